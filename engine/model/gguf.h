// A model in GGUF (version 2 or 3), in one file or in parts: typed metadata and tensor views, every number checked
// against the file's size.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/mapped_file.h"
#include "kernels/quant.h"

namespace reattend {

/// Types of metadata values; the numbers are those of the file format.
enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

/// One metadata value as it lies in the file. An array's `element` is its elements' type, otherwise it equals `type`.
struct GgufValue {
  GgufType type, element;
  uint64_t count;                    ///< elements; 1 where `type` is not an array
  std::span<const std::byte> bytes;  ///< the elements, strings with their 8-byte lengths
};

/// A tensor's view with its dimensions in the file's order, fastest first; unused ones are 1.
struct GgufTensor {
  TensorView view;  ///< n_col = dims[0], n_row = the product of the others
  std::array<int64_t, 4> dims;
};

/// Views into the bytes, which live as long as the Gguf (open) or as the caller keeps them (parse).
class Gguf {
 public:
  /// Maps the file, and the other parts of a model in several, of which it is the first: metadata are the first one's.
  /// Throws Error naming file and what is wrong in it.
  static Gguf open(const std::filesystem::path& path);
  /// The same for bytes in memory; `name` stands for the file in messages.
  static Gguf parse(std::string name, std::span<const std::byte> bytes);

  const std::string& name() const { return name_; }
  int64_t n_part() const { return static_cast<int64_t>(parts_.size()); }
  /// Of the bytes of all parts in their order.
  std::string sha256() const;
  /// Gives the pages of an open file's map back to the system; what is read again comes from the file.
  void forget_pages() const;

  /// All metadata, sorted by key.
  const std::map<std::string_view, GgufValue>& metadata() const { return metadata_; }
  bool has(std::string_view key) const { return metadata_.contains(key); }
  /// Any integer type. Throws Error when the key is missing, of another type, or outside [low, high].
  int64_t integer(std::string_view key, int64_t low, int64_t high) const;
  int64_t integer_or(std::string_view key, int64_t low, int64_t high, int64_t missing) const;
  /// f32 or f64. Throws Error when the key is missing, of another type or not finite.
  double real(std::string_view key) const;
  double real_or(std::string_view key, double missing) const;
  bool boolean_or(std::string_view key, bool missing) const;
  /// A plain integer, real number or bool (0 or 1); nothing for text and arrays.
  std::optional<double> number(std::string_view key) const;
  /// Any value in words for a message: a number, a text, "an array of 3 u32".
  std::string text_of(std::string_view key) const;
  std::string_view string(std::string_view key) const;
  std::string_view string_or(std::string_view key, std::string_view missing) const;
  /// Arrays. Throw Error when the key is missing or the elements are of another type; bools are the integers 0 and 1.
  std::vector<std::string_view> strings(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;

  /// In the order of the file, of part after part.
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  /// nullptr when there is none of that name.
  const GgufTensor* find_tensor(std::string_view name) const;

 private:
  Gguf() = default;
  const GgufValue& value(std::string_view key, std::string_view expected) const;
  static Gguf open_alone(const std::filesystem::path& path);
  void join(Gguf part);
  void add(const GgufTensor& tensor);

  std::vector<MappedFile> maps_;  ///< of the parts, where files were opened
  std::string name_;
  std::vector<std::span<const std::byte>> parts_;  ///< [n_part] each of a file's size
  std::map<std::string_view, GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string_view, size_t> tensor_index_;
};

/// "u32", "string", ...
std::string_view to_text(GgufType type);

}  // namespace reattend
