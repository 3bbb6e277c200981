// The file of a prompt cache: header, token ids with what layers hold, one section a layer; each digest also covers the
// digest before it.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace reattend {

/// What a file says of itself; on disk as it stands here. Texts end with their first zero byte.
struct PromptHeader {
  static constexpr int32_t kFormat = 2;
  static constexpr std::string_view kMagic = "reattend prompt";

  std::array<char, 16> magic{};
  int32_t format = kFormat;
  int32_t n_layer = 0, n_head = 0, n_kv_head = 0, d_head = 0;
  int32_t row_bytes = 0;  ///< of a key, or a value, of one position and KV head
  int32_t n_prompt = 0;
  int32_t n_query = 0;   ///< queries of the last prompt tokens that a layer holds
  int32_t row_sums = 0;  ///< 1: a layer holds the sums of the prompt's attention rows
  std::array<char, 64> model_sha256{};
  std::array<char, 64> model{};     ///< file name, for people
  std::array<char, 128> made_by{};  ///< everything else that decides the bits: equal texts, equal bits

  /// Keys (or values) of a layer: [n_kv_head][n_held] rows.
  int64_t half_bytes(int32_t n_held) const { return int64_t{n_kv_head} * n_held * row_bytes; }
  int64_t query_bytes() const;  ///< f32 [n_query][n_head][d_head]
  int64_t sums_bytes() const;   ///< f32 [n_head][n_prompt], or nothing
  /// A layer's section: keys, values, queries, sums.
  int64_t layer_bytes(int32_t n_held) const { return 2 * half_bytes(n_held) + query_bytes() + sums_bytes(); }
};
static_assert(sizeof(PromptHeader) == 308, "the header has no gaps: it is written as it stands");

/// A text cut to fit, and back.
template <size_t N>
std::array<char, N> to_field(std::string_view text) {
  std::array<char, N> field{};
  text.copy(field.data(), N);
  return field;
}
template <size_t N>
std::string_view to_text(const std::array<char, N>& field) {
  const std::string_view all(field.data(), N);
  return all.substr(0, all.find('\0'));
}

/// Reads in order: header and ids at once, then layer by layer. Nothing is allocated that the file's size does not
/// account for, nothing is handed out before its digest is checked.
class PromptFileReader {
 public:
  /// Throws Error for a file of another kind or format, a cut-off or damaged one; `name` stands for it in messages.
  explicit PromptFileReader(const std::filesystem::path& path);
  PromptFileReader(std::string name, std::FILE* file);

  const PromptHeader& header() const { return header_; }
  /// [n_prompt]
  std::span<const int32_t> ids() const { return std::span(numbers_).first(static_cast<size_t>(header_.n_prompt)); }
  /// [n_layer] the last positions of the prompt whose keys and values a layer holds: all, or those of its window.
  std::span<const int32_t> n_held() const { return std::span(numbers_).last(static_cast<size_t>(header_.n_layer)); }
  /// The next layer's section, valid until the next call. [layer_bytes(n_held)]
  std::span<const std::byte> next_layer();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void open();
  void check_header(int64_t size) const;
  void check_layers(int64_t size) const;
  std::span<const std::byte> section(int64_t n, const std::string& what);
  [[noreturn]] void refuse(const std::string& got) const;

  std::string name_;
  std::unique_ptr<std::FILE, Close> file_;
  PromptHeader header_;
  std::vector<int32_t> numbers_;   ///< ids, then n_held
  std::vector<std::byte> buffer_;  ///< a digest, then the section that its successor covers with it
  int32_t layer_ = 0;
};

/// Writes in the same order, beside the name that publish() gives.
class PromptFileWriter {
 public:
  /// ids [n_prompt], n_held [n_layer]
  PromptFileWriter(const std::filesystem::path& path, const PromptHeader& header, std::span<const int32_t> ids,
                   std::span<const int32_t> n_held);
  /// Where the next section is to be put together. [n]
  std::span<std::byte> begin_section(int64_t n);
  void end_section();
  void publish() { file_.publish(); }

 private:
  WholeFile file_;
  std::vector<std::byte> buffer_;  ///< as the reader's
};

}  // namespace reattend
