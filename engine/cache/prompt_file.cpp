// Writes and reads the sections of a prompt cache and their digests, with the checks that a hostile file needs.
#include "engine/cache/prompt_file.h"

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/sha256.h"

namespace reattend {
namespace {

static_assert(std::endian::native == std::endian::little, "the file's numbers are written as they lie in memory");

constexpr size_t kDigest = 64;  // hex digits
constexpr const char* kRemedy = "delete it, or give another --prompt-cache";

/// Beyond any model; keeps products of the header's numbers far from overflow.
constexpr int32_t kMostHeads = 1 << 12, kMostRowBytes = 1 << 16, kMostLayers = 1 << 16, kMostPositions = 1 << 28;

/// Digest of buffer: the digest before it, then a section.
std::string digest_of(const std::vector<std::byte>& buffer) {
  return sha256(buffer);
}

/// Room for a section of n bytes behind the digest that buffer begins with.
std::span<std::byte> make_room(std::vector<std::byte>& buffer, size_t n) {
  buffer.resize(kDigest + n);
  return std::span(buffer).subspan(kDigest);
}

void begin_with(std::vector<std::byte>& buffer, const void* digest) {
  buffer.resize(std::max(buffer.size(), kDigest));
  std::memcpy(buffer.data(), digest, kDigest);
}

/// Of the tokens and of what layers hold.
int64_t numbers_bytes(const PromptHeader& header) {
  return (int64_t{header.n_prompt} + header.n_layer) * static_cast<int64_t>(sizeof(int32_t));
}

int64_t bytes_before_layers(const PromptHeader& header) {
  return static_cast<int64_t>(sizeof header + 2 * kDigest) + numbers_bytes(header);
}

}  // namespace

int64_t PromptHeader::query_bytes() const {
  return int64_t{n_query} * n_head * d_head * static_cast<int64_t>(sizeof(float));
}
int64_t PromptHeader::sums_bytes() const {
  return row_sums * int64_t{n_head} * n_prompt * static_cast<int64_t>(sizeof(float));
}

// ---- reading

PromptFileReader::PromptFileReader(const std::filesystem::path& path)
    : name_(path.string()), file_(std::fopen(path.c_str(), "rbe")) {
  if (!file_) fail({name_, "a readable prompt cache", std::strerror(errno), "give another --prompt-cache"});
  open();
}

PromptFileReader::PromptFileReader(std::string name, std::FILE* file) : name_(std::move(name)), file_(file) {
  open();
}

void PromptFileReader::refuse(const std::string& got) const {
  fail({name_, "a complete prompt cache", got, kRemedy});
}

void PromptFileReader::open() {
  if (fseeko(file_.get(), 0, SEEK_END) != 0) refuse(std::strerror(errno));
  const int64_t size = ftello(file_.get());
  std::rewind(file_.get());
  std::array<std::byte, sizeof(PromptHeader)> start{};
  const size_t n_start = std::fread(start.data(), 1, start.size(), file_.get());
  std::rewind(file_.get());
  std::memcpy(&header_, start.data(), start.size());
  if (n_start < sizeof header_.magic || to_text(header_.magic) != PromptHeader::kMagic) {
    fail({name_, "a prompt cache", size == 0 ? "an empty file" : "a file of another kind",
          "give another --prompt-cache; this file is left as it is"});
  }
  if (n_start < start.size()) refuse("one that ends in its header");
  if (header_.format != PromptHeader::kFormat) {
    fail({name_, "a prompt cache of format " + std::to_string(PromptHeader::kFormat),
          "format " + std::to_string(header_.format), kRemedy});
  }
  const std::array<char, kDigest> zeros{};
  begin_with(buffer_, zeros.data());
  section(sizeof header_, "header");
  check_header(size);
  const auto numbers = section(numbers_bytes(header_), "list of tokens");
  numbers_.resize(numbers.size() / sizeof(int32_t));
  std::memcpy(numbers_.data(), numbers.data(), numbers.size());
  check_layers(size);
}

void PromptFileReader::check_header(int64_t size) const {
  const PromptHeader& h = header_;
  const auto within = [](int32_t n, int32_t low, int32_t high) { return n >= low && n <= high; };
  const bool sane = within(h.n_layer, 1, kMostLayers) && within(h.n_head, 1, kMostHeads) &&
                    within(h.n_kv_head, 1, h.n_head) && within(h.d_head, 1, kMostHeads) &&
                    within(h.row_bytes, 1, kMostRowBytes) && within(h.n_prompt, 1, kMostPositions) &&
                    within(h.n_query, 0, h.n_prompt) && within(h.row_sums, 0, 1);
  if (!sane) refuse("numbers in its header that can't be");
  if (size < bytes_before_layers(h)) refuse(std::to_string(size) + " bytes, which is not the size its header tells");
}

void PromptFileReader::check_layers(int64_t size) const {
  int64_t left = size - bytes_before_layers(header_);
  for (const int32_t n : n_held()) {
    if (n < 1 || n > header_.n_prompt) {
      refuse("a layer that holds " + std::to_string(n) + " of " + std::to_string(header_.n_prompt) + " positions");
    }
    left -= header_.layer_bytes(n) + static_cast<int64_t>(kDigest);
    if (left < 0) break;  // before sums of sizes that can't be grow beyond 63 bits
  }
  if (left != 0) refuse(std::to_string(size) + " bytes, which is not the size its header tells");
}

std::span<const std::byte> PromptFileReader::section(int64_t n, const std::string& what) {
  const std::span<std::byte> bytes = make_room(buffer_, static_cast<size_t>(n));
  std::array<char, kDigest> stored{};
  if (std::fread(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size() ||
      std::fread(stored.data(), 1, kDigest, file_.get()) != kDigest) {
    refuse("one that ends in its " + what);
  }
  if (digest_of(buffer_) != std::string_view(stored.data(), kDigest)) refuse("a damaged " + what);
  begin_with(buffer_, stored.data());
  return bytes;
}

std::span<const std::byte> PromptFileReader::next_layer() {
  const int32_t n = n_held()[static_cast<size_t>(layer_)];
  return section(header_.layer_bytes(n), "layer " + std::to_string(layer_++));
}

// ---- writing

PromptFileWriter::PromptFileWriter(const std::filesystem::path& path, const PromptHeader& header,
                                   std::span<const int32_t> ids, std::span<const int32_t> n_held)
    : file_(path) {
  const std::array<char, kDigest> zeros{};
  begin_with(buffer_, zeros.data());
  PromptHeader marked = header;
  marked.magic = to_field<sizeof marked.magic>(PromptHeader::kMagic);
  std::memcpy(begin_section(sizeof marked).data(), &marked, sizeof marked);
  end_section();
  const std::span<std::byte> numbers = begin_section(numbers_bytes(header));
  std::memcpy(numbers.data(), ids.data(), ids.size_bytes());
  std::memcpy(numbers.data() + ids.size_bytes(), n_held.data(), n_held.size_bytes());
  end_section();
}

std::span<std::byte> PromptFileWriter::begin_section(int64_t n) {
  return make_room(buffer_, static_cast<size_t>(n));
}

void PromptFileWriter::end_section() {
  const std::string digest = digest_of(buffer_);
  file_.write(std::span(buffer_).subspan(kDigest));
  file_.write(std::as_bytes(std::span(digest)));
  begin_with(buffer_, digest.data());
}

}  // namespace reattend
