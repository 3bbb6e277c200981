// Reads the file of a conformance case, and checks every key before it is used.
#include "cli/options/case_file.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json_text.h"
#include "cli/options/model_options.h"

namespace reattend::cli {
namespace {

std::vector<int32_t> read_ids(const nlohmann::json& object, const std::string& key, const std::string& where) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_array()) {
    fail({.where = where,
          .expected = "\"" + key + "\": a list of token ids",
          .got = it == object.end() ? "no such key" : it->type_name()});
  }
  std::vector<int32_t> ids;
  for (const auto& each : *it) {
    const bool fits = each.is_number_integer() && each.get<int64_t>() >= 0 &&
                      each.get<int64_t>() <= std::numeric_limits<int32_t>::max();
    if (!fits) fail({.where = where + ": " + key, .expected = "token ids", .got = json_text(each)});
    ids.push_back(each.get<int32_t>());
  }
  return ids;
}

}  // namespace

Case read_case(const std::filesystem::path& path) {
  const std::string where = path.string();
  constexpr size_t kMostBytes = size_t{1} << 30;  // of token ids, for a prompt of any length
  const std::string text = read_text(path, {.where = where, .expected = "a case file"}, kMostBytes);
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    fail({.where = where, .expected = "JSON", .got = error.what()});
  }
  if (!object.is_object() || !object.contains("policy") || !object.contains("model") || !object["model"].is_string()) {
    fail({.where = where,
          .expected = "an object with model, policy, prompt and continuation",
          .got = object.type_name()});
  }
  Case out;
  out.name = path.stem().string();
  const std::string model = object["model"];
  const std::filesystem::path beside = path.parent_path() / model;
  out.model = std::filesystem::exists(beside) ? beside : find_model(model);
  out.settings = Settings::from_json(object["policy"], where);
  out.prompt = read_ids(object, "prompt", where);
  out.continuation = read_ids(object, "continuation", where);
  if (out.continuation.size() < 2) {
    fail({.where = where,
          .expected = "a continuation of at least two tokens (one fed, one predicted)",
          .got = fmt::format("{}", out.continuation.size())});
  }
  return out;
}

void check_against_model(const Case& one, int32_t n_layer, int32_t n_vocab) {
  try {
    one.settings.check_against_model(n_layer);
  } catch (const Error& error) {
    throw Error(one.name + ": policy: " + error.what(), error.code());
  }
  for (const int32_t id : one.continuation) {
    if (id >= n_vocab) {
      fail({.where = one.name + ": continuation",
            .expected = fmt::format("token ids below {}", n_vocab),
            .got = fmt::format("{}", id),
            .remedy = "was it made by another model's tokenizer?"});
    }
  }
}

}  // namespace reattend::cli
