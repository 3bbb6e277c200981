// A file descriptor that closes itself.
#pragma once
#include <unistd.h>

namespace reattend {

/// Closes the descriptor on every way out; negative: there is none.
struct Descriptor {
  int fd;
  explicit Descriptor(int descriptor) : fd(descriptor) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace reattend
