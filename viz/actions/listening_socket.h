// A socket that programs of this machine may connect to: of a path that only its user may open, or of the loopback.
#pragma once
#include <optional>
#include <string>

#include <sys/types.h>

#include "base/descriptor.h"

namespace reattend::viz {

class ListeningSocket {
 public:
  /// See Listener. Throws Error.
  explicit ListeningSocket(const std::string& where);
  /// Removes the path, if it is still this socket's.
  ~ListeningSocket();
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;
  int fd() const { return socket_.fd; }
  const std::string& where() const { return where_; }

 private:
  void bind_port(int port);
  void bind_path();

  std::string where_;
  Descriptor socket_;
  ino_t inode_ = 0;  ///< of the path; 0: there is none
};

}  // namespace reattend::viz
