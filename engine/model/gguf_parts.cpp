// Finds the parts of a model by their names and holds what they say of themselves against it.
#include "engine/model/gguf_parts.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "engine/model/gguf.h"

namespace reattend {
namespace {

/// Names have five digits.
constexpr int64_t kMostParts = 99'999;
constexpr const char* kJoin = "or join the parts: llama-gguf-split --merge FIRST-PART WHOLE";

/// What a part's name ends with.
std::string ending(int64_t number, int64_t n_part) {
  return fmt::format("-{:05}-of-{:05}.gguf", number, n_part);
}

}  // namespace

int64_t part_count(const Gguf& first) {
  return std::max<int64_t>(first.integer_or("split.count", 0, kMostParts, 1), 1);
}

std::vector<std::filesystem::path> other_parts(const Gguf& first, const std::filesystem::path& path) {
  const int64_t n_part = part_count(first), number = first.integer_or("split.no", 0, n_part - 1, 0) + 1;
  const std::string name = path.filename().string(), own = ending(number, n_part);
  if (!name.ends_with(own)) {
    fail({path.string(), "a name that ends with " + own + ", by which the other parts are found", name,
          fmt::format("give all parts their names back, {}", kJoin)});
  }
  const std::string stem = name.substr(0, name.size() - own.size());
  const auto part = [&](int64_t i) { return path.parent_path() / (stem + ending(i, n_part)); };
  if (number > 1) {
    fail({path.string(), "the first part of a model", fmt::format("part {} of {}", number, n_part),
          "give " + part(1).string()});
  }
  std::vector<std::filesystem::path> out;
  for (int64_t i = 2; i <= n_part; ++i) {
    if (std::error_code none; !std::filesystem::exists(part(i), none)) {
      fail({part(i).string(), fmt::format("part {} of {} beside the first", i, n_part), "no such file",
            "copy or download it, too"});
    }
    out.push_back(part(i));
  }
  return out;
}

void check_part(const Gguf& part, int64_t number, int64_t n_part) {
  const int64_t its_count = part.integer_or("split.count", 0, INT64_MAX, 1),
                its_number = part.integer_or("split.no", 0, INT64_MAX - 1, 0) + 1;
  if (its_count == n_part && its_number == number) return;
  fail({part.name(), fmt::format("part {} of {} by its split.no and split.count", number, n_part),
        fmt::format("part {} of {}", its_number, its_count),
        "the file is another model's: copy or download the right one"});
}

void check_tensor_count(const Gguf& whole) {
  const auto n_tensor = static_cast<int64_t>(whole.tensors().size());
  const int64_t promised = whole.integer_or("split.tensors.count", 0, INT64_MAX, n_tensor);
  if (promised == n_tensor) return;
  fail({whole.name() + ": split.tensors.count", fmt::format("{}, as many as all parts have", n_tensor),
        std::to_string(promised), "a part is another model's: copy or download them again"});
}

}  // namespace reattend
