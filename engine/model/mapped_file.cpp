// Maps a file into memory, with errors in words.
#include "engine/model/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/descriptor.h"
#include "base/error.h"

namespace reattend {
MappedFile::MappedFile(const std::filesystem::path& path) {
  // The map stays valid without the descriptor. O_NONBLOCK: a named pipe must not make the program wait for a writer
  // before it can be refused.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd < 0) {
    const bool missing = errno == ENOENT;
    fail({path.string(), "a readable file", std::strerror(errno),
          missing ? "check the path, or get the default model with `reattend get-model`" : "check its permissions"});
  }
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) fail({path.string(), "a readable file", std::strerror(errno), ""});
  if (!S_ISREG(status.st_mode)) {
    fail({path.string(), "a regular file", S_ISDIR(status.st_mode) ? "a directory" : "a device or pipe", ""});
  }
  if (status.st_size == 0) fail({path.string(), "a model", "an empty file", "copy or download it again"});
  const auto size = static_cast<size_t>(status.st_size);
  void* const address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED) fail({path.string(), "a file that can be mapped", std::strerror(errno), ""});
  bytes_ = {static_cast<const std::byte*>(address), size};
}

void MappedFile::forget_pages() const {
  if (!bytes_.empty()) ::madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace reattend
