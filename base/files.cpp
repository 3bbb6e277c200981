// One message for all of them; temporary name, then rename().
#include "base/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace reattend {

void refuse_to_replace(const std::filesystem::path& path, bool force, const std::string& option) {
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
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (::access(folder.c_str(), W_OK) == 0) return;
  fail({.where = path.string(),
        .expected = "a folder that can be written to",
        .got = std::strerror(errno),
        .remedy = "give another " + option});
}

int give_name(const std::string& from, const std::string& to, bool replace) {
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
      beside_(path_ + ".part-" + std::to_string(getpid())),
      replace_(replace),
      file_(std::fopen(beside_.c_str(), "wbe")) {
  if (file_ == nullptr) refuse();
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
