// Creates a file under a temporary name with a lock, and moves it to the name that was asked for.
#include "traces/write/new_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "traces/live.h"

namespace reattend {
NewFile::NewFile(std::filesystem::path path, bool force) : path_(std::move(path)), force_(force) {
  hdf5::quiet();
  refuse_to_replace(path_, force);
  temporary_ = part_of(path_);
  fd_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) {
    fail({.where = path_.string(),
          .expected = "a path that can be written",
          .got = std::strerror(errno),
          .remedy = "create the folder or choose another --out"});
  }
  if (force_) take_mode(fd_, path_);
  take_live_lock(fd_);
  const hdf5::Handle creation = hdf5::own(H5Pcreate(H5P_FILE_CREATE), H5Pclose, path_.string(), "creation properties");
  // The kernel cuts a write() at a page's end when its process is killed; paged files keep small metadata within a
  // page.
  if (H5Pset_file_space_strategy(creation, H5F_FSPACE_STRATEGY_PAGE, false, 1) < 0 ||
      H5Pset_file_space_page_size(creation, 4096) < 0) {
    hdf5::fail_here(path_.string(), "a paged file");
  }
  file_ = hdf5::Handle(H5Fcreate(temporary_.c_str(), H5F_ACC_TRUNC, creation, hdf5::access_properties(H5F_LIBVER_V110)),
                       H5Fclose);
  if (!file_) {
    unlink(temporary_.c_str());
    ::close(fd_);
    hdf5::fail_here(path_.string(), "to create the file", "free some space or choose another --out");
  }
}

NewFile::~NewFile() {
  file_.reset();
  if (!published_) unlink(temporary_.c_str());
  ::close(fd_);
}

void NewFile::publish() {
  if (give_name(temporary_, path_, force_) != 0) {
    fail({.where = path_.string(),
          .expected = "to give the file its name",
          .got = std::strerror(errno),
          .remedy = "choose another --out, or --force"});
  }
  published_ = true;
}

}  // namespace reattend
