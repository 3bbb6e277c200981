// Reads GGUF with one bounds-checked cursor; nothing is allocated before the file proves that it holds it.
#include "engine/model/gguf.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/sha256.h"
#include "engine/model/gguf_parser.h"
#include "engine/model/gguf_parts.h"

namespace reattend {
namespace {

template <class T>
T load(std::span<const std::byte> bytes, uint64_t index) {
  T x;
  std::memcpy(&x, bytes.data() + index * sizeof(T), sizeof(T));
  return x;
}

bool is_integer(GgufType type) {
  return type != GgufType::f32 && type != GgufType::f64 && type != GgufType::boolean && type != GgufType::string &&
         type != GgufType::array;
}

/// u64 beyond the range of int64 saturates: no caller's upper limit is as high.
int64_t load_integer(GgufType type, std::span<const std::byte> bytes, uint64_t index) {
  switch (type) {
    case GgufType::u8:
    case GgufType::boolean:
      return load<uint8_t>(bytes, index);
    case GgufType::i8:
      return load<int8_t>(bytes, index);
    case GgufType::u16:
      return load<uint16_t>(bytes, index);
    case GgufType::i16:
      return load<int16_t>(bytes, index);
    case GgufType::u32:
      return load<uint32_t>(bytes, index);
    case GgufType::i32:
      return load<int32_t>(bytes, index);
    case GgufType::i64:
      return load<int64_t>(bytes, index);
    default: {
      const auto x = load<uint64_t>(bytes, index);
      constexpr auto kMost = std::numeric_limits<int64_t>::max();
      return x > static_cast<uint64_t>(kMost) ? kMost : static_cast<int64_t>(x);
    }
  }
}

std::string describe(const GgufValue& value) {
  if (value.type != GgufType::array) return std::string(to_text(value.type));
  return "an array of " + std::to_string(value.count) + " " + std::string(to_text(value.element));
}

}  // namespace

std::string_view to_text(GgufType type) {
  constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};
  const auto index = static_cast<size_t>(type);
  return index < std::size(kNames) ? kNames[index] : "unknown type";
}

Gguf Gguf::open_alone(const std::filesystem::path& path) {
  MappedFile map(path);
  Gguf file = parse(path.string(), map.bytes());
  file.maps_.push_back(std::move(map));
  return file;
}

Gguf Gguf::open(const std::filesystem::path& path) {
  Gguf file = open_alone(path);
  const int64_t n_part = part_count(file);
  if (n_part == 1) return file;
  for (const std::filesystem::path& other : other_parts(file, path)) {
    Gguf part = open_alone(other);
    check_part(part, file.n_part() + 1, n_part);
    file.join(std::move(part));
  }
  check_tensor_count(file);
  return file;
}

/// Takes over the tensors of the next part; its metadata say only which it is.
void Gguf::join(Gguf part) {
  for (const GgufTensor& tensor : part.tensors_) {
    if (find_tensor(tensor.view.name) != nullptr) {
      fail({part.name_ + ": tensor " + std::string(tensor.view.name), "one of that name in all parts", "another one",
            "a part is another model's: copy or download them again"});
    }
    add(tensor);
  }
  parts_.push_back(part.parts_.front());
  maps_.push_back(std::move(part.maps_.front()));
}

void Gguf::add(const GgufTensor& tensor) {
  tensor_index_.emplace(tensor.view.name, tensors_.size());
  tensors_.push_back(tensor);
}

std::string Gguf::sha256() const {
  return reattend::sha256(parts_);
}

void Gguf::forget_pages() const {
  for (const MappedFile& map : maps_) map.forget_pages();
}

Gguf Gguf::parse(std::string name, std::span<const std::byte> bytes) {
  Gguf file;
  file.name_ = std::move(name);
  file.parts_ = {bytes};
  GgufParser parser(file.name_, bytes);
  parser.header();
  file.metadata_ = parser.metadata();
  const int64_t alignment = file.integer_or("general.alignment", 1, int64_t{1} << 30, 32);
  if (!std::has_single_bit(static_cast<uint64_t>(alignment))) {
    fail({file.name_ + ": general.alignment", "a power of two", std::to_string(alignment), ""});
  }
  for (const GgufTensor& tensor : parser.tensors(static_cast<uint64_t>(alignment))) file.add(tensor);
  return file;
}

const GgufTensor* Gguf::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufValue& Gguf::value(std::string_view key, std::string_view expected) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) fail({name_ + ": " + std::string(key), std::string(expected), "no such key", ""});
  return found->second;
}

int64_t Gguf::integer(std::string_view key, int64_t low, int64_t high) const {
  const GgufValue& found = value(key, "an integer");
  if (!is_integer(found.type)) fail({name_ + ": " + std::string(key), "an integer", describe(found), ""});
  const int64_t x = load_integer(found.type, found.bytes, 0);
  if (x < low || x > high) {
    fail({name_ + ": " + std::string(key), std::to_string(low) + " to " + std::to_string(high), std::to_string(x), ""});
  }
  return x;
}

int64_t Gguf::integer_or(std::string_view key, int64_t low, int64_t high, int64_t missing) const {
  return has(key) ? integer(key, low, high) : missing;
}

double Gguf::real(std::string_view key) const {
  const GgufValue& found = value(key, "a number");
  if (found.type != GgufType::f32 && found.type != GgufType::f64) {
    fail({name_ + ": " + std::string(key), "f32 or f64", describe(found), ""});
  }
  const double x =
      found.type == GgufType::f32 ? static_cast<double>(load<float>(found.bytes, 0)) : load<double>(found.bytes, 0);
  if (!std::isfinite(x)) fail({name_ + ": " + std::string(key), "a finite number", std::to_string(x), ""});
  return x;
}

double Gguf::real_or(std::string_view key, double missing) const {
  return has(key) ? real(key) : missing;
}

std::optional<double> Gguf::number(std::string_view key) const {
  const GgufValue& found = value(key, "a number");
  if (is_integer(found.type)) return static_cast<double>(load_integer(found.type, found.bytes, 0));
  if (found.type == GgufType::f32) return load<float>(found.bytes, 0);
  if (found.type == GgufType::f64) return load<double>(found.bytes, 0);
  if (found.type == GgufType::boolean) return load<uint8_t>(found.bytes, 0);
  return std::nullopt;
}

std::string Gguf::text_of(std::string_view key) const {
  const GgufValue& found = value(key, "a value");
  if (found.type == GgufType::string) return "\"" + std::string(string(key)) + "\"";
  if (found.type == GgufType::boolean) return boolean_or(key, false) ? "true" : "false";
  if (is_integer(found.type)) return std::to_string(load_integer(found.type, found.bytes, 0));
  const auto x = number(key);
  return x ? fmt::format("{}", *x) : describe(found);
}

bool Gguf::boolean_or(std::string_view key, bool missing) const {
  if (!has(key)) return missing;
  const GgufValue& found = value(key, "a bool");
  if (found.type != GgufType::boolean) fail({name_ + ": " + std::string(key), "a bool", describe(found), ""});
  return load<uint8_t>(found.bytes, 0) != 0;
}

std::string_view Gguf::string(std::string_view key) const {
  const GgufValue& found = value(key, "a string");
  if (found.type != GgufType::string) fail({name_ + ": " + std::string(key), "a string", describe(found), ""});
  const auto text = found.bytes.subspan(sizeof(uint64_t));
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}

std::string_view Gguf::string_or(std::string_view key, std::string_view missing) const {
  return has(key) ? string(key) : missing;
}

std::vector<std::string_view> Gguf::strings(std::string_view key) const {
  const GgufValue& found = value(key, "an array of string");
  if (found.type != GgufType::array || found.element != GgufType::string) {
    fail({name_ + ": " + std::string(key), "an array of string", describe(found), ""});
  }
  std::vector<std::string_view> out;
  out.reserve(found.count);
  auto rest = found.bytes;
  for (uint64_t i = 0; i < found.count; ++i) {
    const auto length = load<uint64_t>(rest, 0);
    out.emplace_back(reinterpret_cast<const char*>(rest.data()) + sizeof(length), length);
    rest = rest.subspan(sizeof(length) + length);
  }
  return out;
}

std::vector<int64_t> Gguf::integers(std::string_view key) const {
  const GgufValue& found = value(key, "an array of integers");
  if (found.type != GgufType::array || !(is_integer(found.element) || found.element == GgufType::boolean)) {
    fail({name_ + ": " + std::string(key), "an array of integers", describe(found), ""});
  }
  std::vector<int64_t> out(found.count);
  for (uint64_t i = 0; i < found.count; ++i) out[i] = load_integer(found.element, found.bytes, i);
  return out;
}

}  // namespace reattend
