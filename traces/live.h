// How a reader tells a trace that is being written from one whose writer was killed: a lock that dies with its process.
#pragma once

namespace reattend {

/// Takes the writer's lock on an open file (an open-file-description lock far beyond the data, which HDF5's own locks
/// never touch). A file system without locks just makes live traces look unfinished.
void take_live_lock(int fd);
/// True while another open file description holds the lock.
bool is_live(int fd);

}  // namespace reattend
