// Parses a GGUF header and checks counts, types, strings, dimensions and offsets: hostile until proved otherwise.
#include "engine/model/gguf_parser.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace reattend {
namespace {

constexpr std::string_view kMagic = "GGUF";
/// Version 2 differs from 3 in nothing but that all its files are little-endian; 1 has 32-bit counts.
constexpr uint32_t kVersion = 3, kOldestVersion = 2;
constexpr uint64_t kLongestKey = 65535, kLongestTensorName = 64;  // limits of the format
/// The least bytes an entry can take: lengths, types and offsets without any text.
constexpr uint64_t kLeastKeyBytes = 8 + 4 + 1, kLeastTensorBytes = 8 + 4 + 8 + 4 + 8;

/// Bytes of a value; 0 for strings and arrays, whose size is written in the file.
uint64_t fixed_bytes(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
      return 8;
    case GgufType::string:
    case GgufType::array:
      break;
  }
  return 0;
}

std::string supported_tensor_types() {
  std::string list;
  for (const TensorFormat& format : tensor_formats()) list += (list.empty() ? "" : ", ") + std::string(format.name);
  return list;
}

}  // namespace

void GgufParser::refuse(const std::string& what, const std::string& expected, const std::string& got,
                        const std::string& remedy) const {
  fail({name_ + ": " + what, expected, got, remedy});
}

std::span<const std::byte> GgufParser::take(uint64_t n, const std::string& what) {
  if (n > left()) {
    refuse(what, std::to_string(n) + " bytes at offset " + std::to_string(at_),
           std::to_string(left()) + " bytes to the end of the file",
           "the file is truncated or garbled: copy or download it again");
  }
  const auto out = bytes_.subspan(at_, n);
  at_ += n;
  return out;
}

template <class T>
T GgufParser::number(const std::string& what) {
  T x;
  std::memcpy(&x, take(sizeof(T), what).data(), sizeof(T));
  return x;
}

std::string_view GgufParser::string(const std::string& what) {
  const auto length = number<uint64_t>(what + " (length)");
  const auto text = take(length, what);
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}

void GgufParser::refuse_magic(std::string_view got) const {
  struct Other {
    std::string_view magic;
    const char *is, *remedy;
  };
  constexpr const char* kConvert = "convert the original model to GGUF with a current converter";
  constexpr Other kOthers[] = {
      {"FUGG", "a big-endian GGUF file", "convert the model for little-endian machines"},
      {"lmgg", "a GGML file, which came before GGUF", kConvert},
      {"fmgg", "a GGML file, which came before GGUF", kConvert},
      {"tjgg", "a GGML file, which came before GGUF", kConvert},
      {"algg", "a GGML adapter, which came before GGUF", kConvert},
      {"PK\x03\x04", "a ZIP archive, as PyTorch's checkpoints are", kConvert},
      {"vers", "a text file, perhaps git-lfs's pointer to the model", "fetch the file itself: git lfs pull"},
      {"<!DO", "a web page", "download the file itself"},
      {"<htm", "a web page", "download the file itself"},
  };
  for (const Other& other : kOthers) {
    if (got == other.magic) refuse("magic number", "GGUF", other.is, other.remedy);
  }
  refuse("magic number", "GGUF", "\"" + std::string(got) + "\"", "this is no GGUF model");
}

void GgufParser::refuse_byte_order(const char* what) const {
  refuse(std::string("byte order (") + what + ")", "little-endian", "big-endian",
         "convert the model for little-endian machines");
}

void GgufParser::header() {
  const auto magic = take(kMagic.size(), "magic number");
  const std::string_view got(reinterpret_cast<const char*>(magic.data()), magic.size());
  if (got != kMagic) refuse_magic(got);
  const auto version = number<uint32_t>("version");
  const uint32_t swapped = __builtin_bswap32(version);
  if (version > kVersion && swapped >= 1 && swapped <= kVersion) refuse_byte_order("version");
  if (version < kOldestVersion || version > kVersion) {
    refuse("version", "GGUF version 2 or 3", std::to_string(version), "convert the model with a current converter");
  }
  n_tensor_ = number<uint64_t>("tensor count");
  n_key_ = number<uint64_t>("metadata count");
  const auto fit = [this](uint64_t n_tensor, uint64_t n_key) {
    return n_tensor <= left() / kLeastTensorBytes && n_key <= left() / kLeastKeyBytes;
  };
  if (!fit(n_tensor_, n_key_) && fit(__builtin_bswap64(n_tensor_), __builtin_bswap64(n_key_))) {
    refuse_byte_order("counts");
  }
  const auto check = [this](const char* what, uint64_t count, uint64_t least_bytes) {
    if (count > left() / least_bytes) {
      refuse(what, "at most " + std::to_string(left() / least_bytes) + ", for which the file has room",
             std::to_string(count), "the file is truncated or garbled: copy or download it again");
    }
  };
  check("tensor count", n_tensor_, kLeastTensorBytes);
  check("metadata count", n_key_, kLeastKeyBytes);
}

std::map<std::string_view, GgufValue> GgufParser::metadata() {
  std::map<std::string_view, GgufValue> out;
  for (uint64_t i = 0; i < n_key_; ++i) {
    const std::string which = "metadata key " + std::to_string(i);
    const std::string_view key = string(which);
    if (key.empty() || key.size() > kLongestKey) {
      refuse(which, "a name of 1 to 65535 bytes", std::to_string(key.size()) + " bytes");
    }
    if (!out.emplace(key, value(key)).second) refuse(std::string(key), "one value", "the key twice");
  }
  return out;
}

GgufValue GgufParser::value(std::string_view key) {
  const std::string what(key);
  const auto type_of = [&](const std::string& name) {
    const auto raw = number<uint32_t>(name);
    if (raw > static_cast<uint32_t>(GgufType::f64)) refuse(name, "a type from 0 to 12", std::to_string(raw));
    return static_cast<GgufType>(raw);
  };
  GgufValue out{.type = type_of(what + " (type)"), .element = {}, .count = 1, .bytes = {}};
  out.element = out.type;
  if (out.type == GgufType::array) {
    out.element = type_of(what + " (element type)");
    if (out.element == GgufType::array) refuse(what, "an array of numbers or strings", "an array of arrays");
    out.count = number<uint64_t>(what + " (length)");
  }
  const uint64_t start = at_;
  if (out.element == GgufType::string) {
    // Each string brings its own length; the loop ends with the file at the latest.
    for (uint64_t i = 0; i < out.count; ++i) string(what);
  } else {
    const uint64_t each = fixed_bytes(out.element);
    if (out.count > left() / each) {
      refuse(what, "at most " + std::to_string(left() / each) + " elements, for which the file has room",
             std::to_string(out.count), "the file is truncated or garbled: copy or download it again");
    }
    take(out.count * each, what);
  }
  out.bytes = bytes_.subspan(start, at_ - start);
  if (out.type == GgufType::boolean && out.bytes[0] > std::byte{1}) {
    refuse(what, "a bool of 0 or 1", std::to_string(static_cast<int>(out.bytes[0])));
  }
  return out;
}

GgufTensor GgufParser::tensor(uint64_t index, uint64_t& offset) {
  const std::string_view name = string("name of tensor " + std::to_string(index));
  if (name.empty() || name.size() > kLongestTensorName) {
    refuse("name of tensor " + std::to_string(index), "1 to 64 bytes", std::to_string(name.size()) + " bytes");
  }
  const std::string what = "tensor " + std::string(name);
  const auto n_dim = number<uint32_t>(what + " (number of dimensions)");
  if (n_dim < 1 || n_dim > 4) refuse(what, "1 to 4 dimensions", std::to_string(n_dim));
  GgufTensor out{.view = {}, .dims = {1, 1, 1, 1}};
  out.view.name = name;
  int64_t n_element = 1;
  for (uint32_t i = 0; i < n_dim; ++i) {
    const auto dim = number<uint64_t>(what + " (dimensions)");
    if (dim < 1 || dim > uint64_t{INT64_MAX} ||
        __builtin_mul_overflow(n_element, static_cast<int64_t>(dim), &n_element)) {
      refuse(what, "dimensions of at least 1 whose product fits 63 bits", "dimension " + std::to_string(dim));
    }
    out.dims[i] = static_cast<int64_t>(dim);
  }
  const auto type = number<uint32_t>(what + " (type)");
  offset = number<uint64_t>(what + " (offset)");
  const TensorFormat* format = format_of_gguf(type);
  if (format == nullptr) {
    refuse(what, "a type among " + supported_tensor_types(), "GGML type " + std::to_string(type),
           "convert the model to one of these types");
  }
  out.view.type = format->type;
  out.view.n_col = out.dims[0];
  out.view.n_row = n_element / out.dims[0];
  if (out.view.n_col % format->block_size != 0) {
    refuse(what,
           "rows of a multiple of " + std::to_string(format->block_size) + " columns for " + std::string(format->name),
           std::to_string(out.view.n_col));
  }
  return out;
}

std::vector<GgufTensor> GgufParser::tensors(uint64_t alignment) {
  std::vector<GgufTensor> out;
  std::vector<uint64_t> offsets(n_tensor_);
  out.reserve(n_tensor_);
  std::vector<std::string_view> names;
  names.reserve(n_tensor_);
  for (uint64_t i = 0; i < n_tensor_; ++i) {
    out.push_back(tensor(i, offsets[i]));
    names.push_back(out.back().view.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) refuse("tensor " + std::string(*twice), "one tensor of that name", "two");
  place(out, offsets, alignment);
  return out;
}

void GgufParser::place(std::vector<GgufTensor>& tensors, const std::vector<uint64_t>& offsets,
                       uint64_t alignment) const {
  // at_ <= file size < 2^63 and alignment <= 2^30: no overflow.
  const uint64_t data = (at_ + alignment - 1) / alignment * alignment;
  const uint64_t room = data < bytes_.size() ? bytes_.size() - data : 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    TensorView& view = tensors[i].view;
    const std::string what = "tensor " + std::string(view.name);
    const TensorFormat& format = format_of(view.type);
    if (offsets[i] % alignment != 0) {
      refuse(what, "an offset that is a multiple of " + std::to_string(alignment), std::to_string(offsets[i]));
    }
    // n_col * n_row fits 63 bits, but its bytes need not.
    const uint64_t n_block = static_cast<uint64_t>(view.n_col / format.block_size) * static_cast<uint64_t>(view.n_row);
    const auto each = static_cast<uint64_t>(format.block_bytes);
    if (offsets[i] > room || n_block > (room - offsets[i]) / each) {
      refuse(what,
             std::to_string(n_block) + " blocks of " + std::to_string(each) + " bytes from data offset " +
                 std::to_string(offsets[i]),
             "a data section of " + std::to_string(room) + " bytes",
             "the file is truncated or garbled: copy or download it again");
    }
    view.bytes = bytes_.subspan(data + offsets[i], n_block * each);
  }
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return offsets[a] < offsets[b]; });
  for (size_t i = 1; i < order.size(); ++i) {
    const TensorView &before = tensors[order[i - 1]].view, &view = tensors[order[i]].view;
    if (before.bytes.data() + before.bytes.size() > view.bytes.data()) {
      refuse("tensor " + std::string(view.name), "data of its own",
             "data that overlap tensor " + std::string(before.name));
    }
  }
}

}  // namespace reattend
