// Writes, checks and maps the files of prepared layers.
#include "replay/prepared_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "base/descriptor.h"
#include "base/error.h"
#include "base/files.h"
#include "base/model_store.h"
#include "base/sha256.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;
using Part = PreparedLayer::Part;

constexpr int64_t kPage = 4096;
constexpr size_t kMostArrays = 2;
constexpr char kMagic[16] = "reattend layer\n";

int64_t whole_pages(int64_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}

/// Four sums side by side, 8 bytes each at a time: 10 GB/s, so that a layer's files are checked in less than they take
/// to be read.
uint64_t checksum(std::span<const std::byte> bytes) {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15ULL;
  uint64_t sums[4] = {1, 2, 3, 4};
  const auto word = [&](size_t at) {
    uint64_t out = 0;
    std::memcpy(&out, bytes.data() + at, std::min(sizeof out, bytes.size() - at));
    return out;
  };
  size_t at = 0;
  for (; at + 32 <= bytes.size(); at += 32) {
    for (size_t i = 0; i < 4; ++i) sums[i] = std::rotl(sums[i] ^ word(at + 8 * i), 29) * kOdd;
  }
  for (; at < bytes.size(); at += 8) sums[0] = std::rotl(sums[0] ^ word(at), 29) * kOdd;
  uint64_t all = bytes.size();
  for (const uint64_t sum : sums) all = (std::rotl(all, 31) ^ sum) * kOdd;
  return all ^ all >> 32;
}

/// The first page of a file.
struct Header {
  char magic[16];
  int32_t version;
  int32_t part;
  int32_t n_prompt, n_step, n_head, n_kv_head, d_head, layer;
  int32_t depth, reduce, pool, n_array;
  char id[64];
  int64_t sizes[kMostArrays];  ///< bytes of the arrays, which begin at pages
  uint64_t checksums[kMostArrays];
  uint64_t own;  ///< checksum of all before
};
static_assert(sizeof(Header) <= kPage && std::is_trivially_copyable_v<Header>);

uint64_t own_checksum(const Header& header) {
  return checksum(std::as_bytes(std::span(&header, 1)).first(offsetof(Header, own)));
}

Header header_of(const PreparedLayer& layer, int32_t index, Part part, const RankNeed& rank, const std::string& id) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = PreparedStore::kVersion, header.part = static_cast<int32_t>(part);
  header.n_prompt = layer.n_row(0), header.n_step = layer.n_step(), header.n_head = layer.n_head();
  header.n_kv_head = layer.n_kv_head(), header.d_head = layer.d_head(), header.layer = index;
  if (part == Part::ranks) header.reduce = static_cast<int32_t>(rank.reduce), header.pool = rank.pool;
  std::memcpy(header.id, id.data(), std::min(id.size(), sizeof header.id));
  return header;
}

/// A file's bytes as long as it lives.
class Map {
 public:
  Map(const Descriptor& file, size_t size)
      : size_(size), begin_(::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0)) {}
  ~Map() {
    if (begin_ != MAP_FAILED) ::munmap(begin_, size_);
  }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;
  bool is_good() const { return begin_ != MAP_FAILED; }
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(begin_), size_}; }

 private:
  size_t size_;
  void* begin_;
};

int64_t bytes_below(const fs::path& folder) {
  int64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code none;
    if (at->is_regular_file(none)) bytes += static_cast<int64_t>(at->file_size(none));
  }
  return bytes;
}

}  // namespace

fs::path prepared_root() {
  const fs::path cache = cache_folder();
  return cache.empty() ? cache : cache / "prepared";
}

std::string trace_id(const TraceInfo& info) {
  if (info.live) return {};
  constexpr int64_t kEnd = 1 << 20;
  const Descriptor file(::open(info.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (file.fd < 0 || ::fstat(file.fd, &status) != 0 || !S_ISREG(status.st_mode)) return {};
  const int64_t n = std::min<int64_t>(kEnd, status.st_size);
  std::vector<std::byte> ends(static_cast<size_t>(2 * n));
  if (::pread(file.fd, ends.data(), static_cast<size_t>(n), 0) != n ||
      ::pread(file.fd, ends.data() + n, static_cast<size_t>(n), status.st_size - n) != n) {
    return {};
  }
  const int64_t said[] = {status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec, info.n_step};
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(said)), ends};
  return sha256(parts);
}

PreparedStore::PreparedStore(fs::path root, const TraceInfo& info, int64_t most)
    : root_(std::move(root)),
      id_(trace_id(info)),
      folder_(root_ / fmt::format("{}-{}", info.path.stem().string(), id_.substr(0, 16))),
      most_(most) {
  full_ = id_.empty();
  std::error_code none;  // where nothing was kept yet
  fs::last_write_time(folder_, fs::file_time_type::clock::now(), none);  // reading it is using it, too: make_room()
}

fs::path PreparedStore::path_of(int32_t index, Part part, const RankNeed& rank) const {
  constexpr const char* kNames[] = {"rows", "best", "ranks", "outputs"};
  std::string name = fmt::format("layer-{}-{}", index, kNames[static_cast<size_t>(part)]);
  if (part == Part::ranks) name += fmt::format("-{}-{}", static_cast<int32_t>(rank.reduce), rank.pool);
  return folder_ / name;
}

void PreparedStore::load(int32_t index, const PreparedLayer::Need& need, PreparedLayer& layer) {
  if (id_.empty()) return;
  for (const Part part : PreparedLayer::kParts) {
    if (layer.lacks(part, need)) load_part(index, part, need.rank, layer);
  }
}

bool PreparedStore::load_part(int32_t index, Part part, const RankNeed& rank, PreparedLayer& layer) {
  const fs::path path = path_of(index, part, rank);
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd < 0) return false;
  const auto refuse = [&](const char* why) {
    take_note(fmt::format("{}: {}; made anew", path.string(), why));
    return false;
  };
  struct stat status {};
  Header header;
  if (::fstat(file.fd, &status) != 0 || !S_ISREG(status.st_mode) ||
      ::pread(file.fd, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header) ||
      std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    return refuse("expected a prepared layer, got something else");
  }
  if (header.version != kVersion) {
    return refuse(header.version > kVersion ? "written by a newer reattend" : "written by an older reattend");
  }
  if (header.own != own_checksum(header)) return refuse("its header is damaged");
  Header expected = header_of(layer, index, part, rank, id_);
  expected.depth = header.depth, expected.n_array = header.n_array;
  std::memcpy(expected.sizes, header.sizes, sizeof header.sizes);
  std::memcpy(expected.checksums, header.checksums, sizeof header.checksums);
  expected.own = header.own;
  if (std::memcmp(&header, &expected, sizeof header) != 0) return refuse("of another trace or layer");
  int64_t size = kPage;
  bool sound = header.n_array >= 1 && header.n_array <= static_cast<int32_t>(kMostArrays);
  for (int32_t i = 0; sound && i < header.n_array; ++i) {
    const int64_t bytes = header.sizes[i];
    sound = bytes >= 0 && bytes <= status.st_size;
    if (sound) size += whole_pages(bytes);
  }
  if (!sound || size != status.st_size) return refuse("its size is not what its header says");
  const auto map = std::make_shared<const Map>(file, static_cast<size_t>(size));
  if (!map->is_good()) return refuse(std::strerror(errno));
  KeptBytes kept = {.arrays = {}, .keeper = map};
  int64_t at = kPage;
  for (int32_t i = 0; i < header.n_array; ++i) {
    kept.arrays.push_back(map->bytes().subspan(static_cast<size_t>(at), static_cast<size_t>(header.sizes[i])));
    if (checksum(kept.arrays.back()) != header.checksums[i]) return refuse("its contents are damaged");
    at += whole_pages(header.sizes[i]);
  }
  return layer.take(part, header.depth, rank, kept) || refuse("its lists do not fit the layer");
}

void PreparedStore::save(int32_t index, PreparedLayer& layer) {
  const RankNeed rank = layer.ranked_by();  // of what it holds: a setting that needs no rankings says nothing of them
  for (const Part part : PreparedLayer::kParts) {
    if (full_ || layer.made_arrays(part).empty()) continue;
    try {
      save_part(index, part, rank, layer);
    } catch (const std::exception& error) {
      full_ = true;
      take_note(fmt::format("prepared layers are not kept: {}", error.what()));
      return;
    }
    load_part(index, part, rank, layer);
  }
}

void PreparedStore::save_part(int32_t index, Part part, const RankNeed& rank, const PreparedLayer& layer) {
  const std::vector<std::span<const std::byte>> arrays = layer.made_arrays(part);
  Header header = header_of(layer, index, part, rank, id_);
  header.depth = layer.depth_of(part), header.n_array = static_cast<int32_t>(arrays.size());
  int64_t bytes = kPage;
  for (size_t i = 0; i < arrays.size(); ++i) {
    header.sizes[i] = static_cast<int64_t>(arrays[i].size()), header.checksums[i] = checksum(arrays[i]);
    bytes += whole_pages(header.sizes[i]);
  }
  header.own = own_checksum(header);
  make_room(bytes);
  fs::create_directories(folder_);
  WholeFile file(path_of(index, part, rank));
  const std::vector<std::byte> zeros(static_cast<size_t>(kPage));
  const auto pad = [&](int64_t written) {
    file.write(std::span(zeros).first(static_cast<size_t>(whole_pages(written) - written)));
  };
  file.write(std::as_bytes(std::span(&header, 1)));
  pad(sizeof header);
  for (const auto& array : arrays) {
    file.write(array);
    pad(static_cast<int64_t>(array.size()));
  }
  file.publish();
}

/// Folders of other traces go, the one that was used longest ago first. Throws Error where that is not enough.
void PreparedStore::make_room(int64_t bytes) {
  const auto others = [&] {
    std::vector<std::pair<fs::file_time_type, fs::path>> found;
    std::error_code error;
    for (fs::directory_iterator at(root_, error), end; !error && at != end; at.increment(error)) {
      std::error_code none;
      if (at->is_directory(none) && at->path() != folder_) found.emplace_back(at->last_write_time(none), at->path());
    }
    std::ranges::sort(found);
    return found;
  };
  int64_t held = bytes_below(root_);
  for (const auto& [when, path] : others()) {
    if (held + bytes <= most_) break;
    held -= bytes_below(path);
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  if (held + bytes > most_) {
    constexpr double kGb = 1e9;
    fail({.where = root_.string(),
          .expected = fmt::format("room for {:.2f} GB more", static_cast<double>(bytes) / kGb),
          .got = fmt::format("{:.2f} of {:.2f} GB in use", static_cast<double>(held) / kGb,
                             static_cast<double>(most_) / kGb),
          .remedy = "give a larger --cache"});
  }
}

void PreparedStore::take_note(std::string text) {
  const std::lock_guard lock(mutex_);
  note_ = std::move(text);
}

std::string PreparedStore::note() const {
  const std::lock_guard lock(mutex_);
  return note_;
}

}  // namespace reattend
