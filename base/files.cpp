// Makes files under a temporary name and then renames them, with one message for all; reads texts to their end without
// asking for their size.
#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/descriptor.h"

namespace reattend {
namespace {

constexpr std::string_view kPartMark = ".part-";

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : ".";
}

/// The longest name, in bytes, that the folder of `path` takes. File systems that count letters say more than they take
/// of these.
size_t longest_name(const std::filesystem::path& path) {
  constexpr long kLeast = 64;
  return static_cast<size_t>(std::clamp<long>(::pathconf(folder_of(path).c_str(), _PC_NAME_MAX), kLeast, NAME_MAX));
}

/// FNV-1a of 32 bits.
uint32_t number_of(std::string_view name) {
  uint32_t hash = 0x811c9dc5U;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193U;
  return hash;
}

/// At most `room` bytes of a name, ending where a letter ends.
std::string beginning_of(const std::string& name, size_t room) {
  while (room > 0 && (static_cast<unsigned char>(name[room]) & 0xC0) == 0x80) --room;
  return name.substr(0, room);
}

/// Both names are asked for: the longer one may be the temporary.
void refuse_long_names(const std::filesystem::path& path, const std::string& option) {
  for (const std::filesystem::path& each : {path, part_of(path)}) {
    struct stat ignored {};
    if (::lstat(each.c_str(), &ignored) == 0 || errno != ENAMETOOLONG) continue;
    fail_usage({.where = path.string(),
                .expected = fmt::format("a name of at most {} bytes, in a path below {}", longest_name(path), PATH_MAX),
                .got = fmt::format("{} and {}", path.filename().string().size(), path.string().size()),
                .remedy = "give a shorter " + option});
  }
}

/// The mode bits of the plain file at `path`, or -1.
int mode_of(const std::filesystem::path& path) {
  struct stat status {};
  constexpr mode_t kBits = 0777;  // never those that make a program run as somebody else
  return ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) ? static_cast<int>(status.st_mode & kBits) : -1;
}

}  // namespace

std::string read_text(const std::filesystem::path& path, const Complaint& wanted, size_t most) {
  const auto refuse = [&wanted](const std::string& got) {
    fail({.where = wanted.where, .expected = wanted.expected, .got = got, .remedy = wanted.remedy});
  };
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) refuse(std::strerror(errno));
  std::string text;
  for (size_t block = size_t{1} << 16;; block = std::min(2 * block, most + 1)) {
    const size_t before = text.size();
    text.resize(before + block);
    const ssize_t n = ::read(file.fd, text.data() + before, block);
    if (n < 0) refuse(errno == EISDIR ? "a folder" : std::strerror(errno));
    text.resize(before + static_cast<size_t>(n));
    if (n == 0) return text;
    if (text.size() > most) refuse(fmt::format("more than {} bytes", most));
  }
}

std::string part_prefix(const std::filesystem::path& path) {
  constexpr size_t kProcess = 10, kNumber = 9;  // digits of any process; "~" and eight
  const std::string name = path.filename().string();
  const size_t room = longest_name(path) - kPartMark.size() - kProcess;
  const std::string fits =
      name.size() <= room ? name : fmt::format("{}~{:08x}", beginning_of(name, room - kNumber), number_of(name));
  return fits + std::string(kPartMark);
}

std::filesystem::path part_of(const std::filesystem::path& path) {
  return path.parent_path() / (part_prefix(path) + std::to_string(::getpid()));
}

bool is_part(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const size_t mark = name.rfind(kPartMark);
  if (mark == std::string::npos || mark == 0) return false;
  const std::string process = name.substr(mark + kPartMark.size());
  return !process.empty() && process.find_first_not_of("0123456789") == std::string::npos;
}

void refuse_to_replace(const std::filesystem::path& path, bool force, const std::string& option) {
  refuse_long_names(path, option);
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::symlink_status(path, ignored);
  const bool exists = std::filesystem::exists(status);
  if (path.empty() || (exists && !std::filesystem::is_regular_file(status))) {
    // A new file is renamed to `path`: it would take the place of /dev/full, or of the link /dev/stdout.
    fail_usage({.where = path.empty() ? option : path.string(),
                .expected = "the name of a plain file",
                .got = path.empty()                            ? "an empty one"
                       : std::filesystem::is_directory(status) ? "a folder"
                                                               : "a link, device or pipe",
                .remedy = "give another " + option});
  }
  if (force || !exists) return;
  fail_usage({.where = path.string(),
              .expected = "a file that does not exist yet",
              .got = "an existing one",
              .remedy = "give another " + option + ", or --force to replace it"});
}

void refuse_to_replace_by_text(const std::filesystem::path& path, bool force, const std::string& option) {
  refuse_to_replace(path, force, option);
  std::FILE* const file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return;
  char head[4096];
  const size_t n = std::fread(head, 1, sizeof head, file);
  std::fclose(file);
  if (std::memchr(head, '\0', n) == nullptr) return;
  fail_usage({.where = path.string(),
              .expected = "no file yet, or one of text that may be replaced",
              .got = "one that is no text (a trace, a model)",
              .remedy = "give another " + option});
}

void check_folder_of(const std::filesystem::path& path, const std::string& option) {
  if (::access(folder_of(path).c_str(), W_OK) == 0) return;
  fail({.where = path.string(),
        .expected = "a folder that can be written to",
        .got = std::strerror(errno),
        .remedy = "give another " + option});
}

void take_mode(int fd, const std::filesystem::path& path) {
  const int mode = mode_of(path);
  if (mode >= 0) ::fchmod(fd, static_cast<mode_t>(mode) | S_IRUSR | S_IWUSR);
}

int give_name(const std::string& from, const std::string& to, bool replace) {
  const int mode = mode_of(to);
  if (replace && mode >= 0 && ::chmod(from.c_str(), static_cast<mode_t>(mode)) != 0) return -1;
  if (!replace) {
    if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
    // Not every file system can rename without replacing.
    if (errno != EINVAL && errno != ENOSYS) return -1;
    if (access(to.c_str(), F_OK) == 0) return errno = EEXIST, -1;
  }
  return std::rename(from.c_str(), to.c_str());
}

WholeFile::WholeFile(const std::filesystem::path& path, bool replace)
    : path_(path.string()),
      beside_(part_of(path).string()),
      replace_(replace),
      file_(std::fopen(beside_.c_str(), "wbe")) {
  if (file_ == nullptr) refuse();
  if (replace_) take_mode(::fileno(file_), path_);
}

WholeFile::~WholeFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  ::unlink(beside_.c_str());
}

void WholeFile::write(std::span<const std::byte> bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) refuse();
}

void WholeFile::publish() {
  if (std::fflush(file_) != 0 || give_name(beside_, path_, replace_) != 0) refuse();
  std::fclose(std::exchange(file_, nullptr));
}

void WholeFile::refuse() const {
  fail({.where = path_, .expected = "a file that can be written", .got = std::strerror(errno), .remedy = {}});
}

void write_text_file(const std::filesystem::path& path, std::string_view text, bool replace) {
  refuse_to_replace_by_text(path, replace);
  WholeFile file(path, replace);
  file.write(text);
  file.publish();
}

}  // namespace reattend
