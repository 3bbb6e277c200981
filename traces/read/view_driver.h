// An HDF5 driver over an open file descriptor, for reading: two views of one file know nothing of each other.
#pragma once
#include "traces/hdf5.h"

namespace reattend::hdf5 {

/// Opens the file behind `fd`, which stays the caller's and must stay open as long as the view. HDF5's own drivers
/// recognise a file that the process has open already and let all share one cache of its structure; what one of them
/// refreshes while a trace grows is then torn from under the others ("can't insert duplicate key"). An empty handle
/// where HDF5 refuses; its error stack says why. `name` is for error texts.
Handle open_view(int fd, const std::string& name, unsigned flags);

}  // namespace reattend::hdf5
