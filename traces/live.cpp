// The writer's lock, by fcntl.
#include "traces/live.h"

#include <fcntl.h>

#include <cstdint>

namespace reattend {
namespace {

struct flock lock_beyond_data() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = int64_t{1} << 62;
  lock.l_len = 1;
  return lock;
}

}  // namespace

void take_live_lock(int fd) {
  struct flock lock = lock_beyond_data();
  fcntl(fd, F_OFD_SETLK, &lock);
}

bool is_live(int fd) {
  struct flock lock = lock_beyond_data();
  return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace reattend
