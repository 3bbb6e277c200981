// Binds without a moment in which others could connect: the mode of the path is set before anybody listens at it.
#include "viz/actions/listening_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"

namespace reattend::viz {
namespace {

constexpr int kBacklog = 8;

[[noreturn]] void refuse(const std::string& where, const std::string& expected, const std::string& got,
                         const std::string& remedy) {
  fail({.where = "--listen " + where, .expected = expected, .got = got, .remedy = remedy});
}

std::string reason() {
  return std::strerror(errno);
}

/// The number that `where` is; nothing for a path. Throws Error (usage) for one that is no port.
std::optional<int> port_in(const std::string& where) {
  if (where.empty() || where.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  int port = 0;
  const auto [end, error] = std::from_chars(where.data(), where.data() + where.size(), port);
  constexpr int kMostPort = 65535;
  if (error != std::errc() || port > kMostPort) {
    fail_usage({"--listen", fmt::format("a port up to {}, or a path", kMostPort), where, "./NAME is a path"});
  }
  return port;
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    fail_usage({"--listen", fmt::format("a path of 1 to {} bytes", sizeof address.sun_path - 1),
                fmt::format("{}", path.size()), "choose a shorter one"});
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

template <class Address>
const sockaddr* generic(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

/// Others who could write to the folder could put a socket of their own in this one's place.
void check_folder(const std::string& where) {
  const std::filesystem::path parent = std::filesystem::path(where).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  struct stat found {};
  if (::stat(folder.c_str(), &found) != 0) refuse(where, "a folder that is there", reason(), "make " + folder);
  const std::string remedy = "make a folder for it with `mkdir -m 700`";
  if (found.st_uid != ::geteuid()) refuse(where, "a folder of your own", folder + " of another user", remedy);
  if ((found.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    refuse(where, "a folder that only you may write to",
           fmt::format("{} with mode {:03o}", folder, found.st_mode & 0777), remedy);
  }
}

/// Makes way for a new socket where one was left behind.
void remove_old(const std::string& where, const sockaddr_un& address) {
  struct stat found {};
  if (::lstat(where.c_str(), &found) != 0) return;
  if (!S_ISSOCK(found.st_mode))
    refuse(where, "a new name, or an old socket's", "a file that is no socket", "choose another");
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Only a refusal says that nobody is there; a queue that is full says the contrary.
  const bool left =
      probe.fd >= 0 && ::connect(probe.fd, generic(address), sizeof address) != 0 && errno == ECONNREFUSED;
  if (!left) refuse(where, "a socket that nobody uses", "one that a program answers at", "choose another name");
  if (::unlink(where.c_str()) != 0) refuse(where, "an old socket that can be removed", reason(), "choose another name");
}

}  // namespace

ListeningSocket::ListeningSocket(const std::string& where)
    : where_(where),
      socket_(::socket(port_in(where) ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  if (socket_.fd < 0) refuse(where_, "a socket", reason(), {});
  const std::optional<int> port = port_in(where);
  port ? bind_port(*port) : bind_path();
}

void ListeningSocket::bind_port(int port) {
  const std::string asked = where_;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  socklen_t size = sizeof address;
  if (::bind(socket_.fd, generic(address), size) != 0 || ::listen(socket_.fd, kBacklog) != 0 ||
      ::getsockname(socket_.fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    refuse(asked, "a port that is free", reason(), "choose another, or 0 for any");
  }
  where_ = fmt::format("127.0.0.1:{}", ntohs(address.sin_port));
}

void ListeningSocket::bind_path() {
  const sockaddr_un address = address_of(where_);
  check_folder(where_);
  remove_old(where_, address);
  if (::bind(socket_.fd, generic(address), sizeof address) != 0) {
    refuse(where_, "a name for a socket", reason(), "choose another");
  }
  struct stat made {};
  if (::chmod(where_.c_str(), S_IRUSR | S_IWUSR) != 0 || ::lstat(where_.c_str(), &made) != 0 ||
      ::listen(socket_.fd, kBacklog) != 0) {
    const std::string why = reason();
    ::unlink(where_.c_str());
    refuse(where_, "a socket of your own", why, "choose another folder");
  }
  inode_ = made.st_ino;
}

ListeningSocket::~ListeningSocket() {
  struct stat found {};
  if (inode_ != 0 && ::lstat(where_.c_str(), &found) == 0 && found.st_ino == inode_) ::unlink(where_.c_str());
}

}  // namespace reattend::viz
