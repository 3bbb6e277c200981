// A thread polls the sockets and keeps lines in and out in bounded buffers; the drawing thread only exchanges strings
// with it under a lock.
#include "viz/actions/listener.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/json_text.h"
#include "viz/actions/listening_socket.h"
#include "viz/actions/running.h"
#include "viz/actions/state.h"

namespace reattend::viz {
namespace {

using nlohmann::json;

constexpr size_t kMostClients = 8, kMostLine = 1 << 20;
constexpr size_t kMostWaiting = 64;            ///< lines of a client that have not been run
constexpr size_t kMostUnread = 16 << 20;       ///< bytes of answers that a client has not taken; more calls wait then
constexpr std::chrono::milliseconds kTurn{4};  ///< of a frame, after which calls are left to the next
constexpr int kNoDescriptorMs = 100;           ///< until a connection is tried again for which there was none left

/// The id that an answer carries, whatever came.
json id_of(const json& request) {
  const auto id = request.is_object() ? request.find("id") : request.end();
  return request.is_object() && id != request.end() ? *id : json(nullptr);
}

std::string answer_line(const json& id, const json& result) {
  return json_text(json{{"id", id}, {"ok", true}, {"result", result}}) + "\n";
}

std::string refusal_line(const json& id, const std::string& error) {
  return json_text(json{{"id", id}, {"ok", false}, {"error", error}}) + "\n";
}

}  // namespace

struct Listener::State {
  /// What both threads see of a client.
  struct Client {
    std::deque<std::string> lines;  ///< that are to be run
    std::string out;                ///< that is to be written
    bool working = false;           ///< a line was taken, and is not answered yet
    bool gone = false;              ///< nobody reads answers any more
    bool can_go_on() const { return !lines.empty() && out.size() <= kMostUnread; }
    // The drawing thread's own:
    Running running;
    json id = nullptr;  ///< of what is running
  };
  /// What only the thread sees.
  struct Connection {
    explicit Connection(int fd) : socket(fd) {}
    Descriptor socket;
    std::string in;
    bool ended = false;    ///< nothing more is read; the rest of the answers is still written
    bool hung_up = false;  ///< nobody reads answers any more; what came whole is still read and run
  };

  State(const std::string& where, std::function<void()> on_news)
      : wake(std::move(on_news)), socket(where), ends{-1, -1} {
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
      fail({.where = "--listen", .expected = "a pipe", .got = "none", .remedy = "close some files"});
    }
    thread = std::thread([this] { loop(); });
  }
  ~State() {
    stop = true;
    poke();
    thread.join();
    for (const int end : ends) ::close(end);
  }
  /// Makes the thread look again.
  void poke() {
    const char byte = 0;
    [[maybe_unused]] const ssize_t n = ::write(ends[1], &byte, 1);  // a full pipe wakes it as well
  }
  void loop();
  void take_new();
  void read_from(int key, Connection& connection);
  bool take_lines(Client& client, Connection& connection);
  bool write_to(int key, Connection& connection);
  /// Runs or goes on with one call, on the drawing thread; whether it was answered.
  bool serve(Client& client, const Actions& actions, Workbench& bench);

  const std::function<void()> wake;
  ListeningSocket socket;
  int ends[2];  ///< of a pipe that wakes the thread
  std::atomic<bool> stop = false;
  std::mutex mutex;
  std::map<int, std::shared_ptr<Client>> clients;  ///< guarded by mutex
  std::map<int, Connection> connections;           ///< the thread's
  int n_connection = 0;                            ///< that there ever were
  std::thread thread;
};

void Listener::State::loop() {
  while (!stop) {
    std::vector<pollfd> wanted = {{ends[0], POLLIN, 0}, {socket.fd(), POLLIN, 0}};
    std::vector<int> keys;
    {
      const std::lock_guard lock(mutex);
      for (const auto& [key, connection] : connections) {
        const Client& client = *clients[key];
        short events = 0;
        if (!connection.ended && client.lines.size() < kMostWaiting) events |= POLLIN;
        if (!client.out.empty()) events |= POLLOUT;
        // A hang-up is reported again and again, whether or not something can be done about it.
        const bool waits = connection.hung_up && events == 0;
        wanted.push_back({waits ? -1 : connection.socket.fd, events, 0});
        keys.push_back(key);
      }
    }
    if (::poll(wanted.data(), wanted.size(), -1) < 0 && errno != EINTR) return;
    char bytes[64];
    while (::read(ends[0], bytes, sizeof bytes) > 0) {
    }
    for (size_t i = 0; i < keys.size(); ++i) {
      Connection& connection = connections.at(keys[i]);
      const short events = wanted[i + 2].revents;
      if ((events & POLLHUP) != 0) connection.hung_up = true;
      if ((events & (POLLIN | POLLERR)) != 0) read_from(keys[i], connection);
      // A half line may have stayed while too many whole ones waited.
      {
        const std::lock_guard lock(mutex);
        if (take_lines(*clients[keys[i]], connection)) wake();
      }
      if (write_to(keys[i], connection)) continue;
      // What came whole is run, whether or not somebody waits for the answer; unread answers must not hold it up.
      const std::lock_guard lock(mutex);
      clients[keys[i]]->gone = true, clients[keys[i]]->out.clear();
      connections.erase(keys[i]);
      wake();
    }
    if ((wanted[1].revents & POLLIN) != 0) take_new();
  }
  // Whoever asked for the end hears that it was done.
  for (auto& [key, connection] : connections) write_to(key, connection);
}

void Listener::State::take_new() {
  const int fd = ::accept4(socket.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE) ::poll(nullptr, 0, kNoDescriptorMs);
    return;
  }
  if (connections.size() >= kMostClients) {
    const std::string line =
        refusal_line(nullptr, fmt::format("more than {} connections; close another", kMostClients));
    ::send(fd, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::close(fd);
    return;
  }
  const std::lock_guard lock(mutex);
  const int key = n_connection++;
  connections.try_emplace(key, fd);
  clients[key] = std::make_shared<Client>();
}

/// As much as is there, but no more than a line may have.
void Listener::State::read_from(int key, Connection& connection) {
  char bytes[1 << 16];
  const ssize_t n = ::recv(connection.socket.fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (n > 0) {
    connection.in.append(bytes, static_cast<size_t>(n));
    return;
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  // Whoever has sent all may still read answers; half a line is no call.
  connection.ended = true;
  connection.in.erase(connection.in.find_last_of('\n') + 1);
  if (n < 0) {
    const std::lock_guard lock(mutex);
    clients[key]->out.clear(), clients[key]->lines.clear();
  }
}

/// Hands whole lines over; whether there were any. Needs the lock.
bool Listener::State::take_lines(Client& client, Connection& connection) {
  bool any = false;
  while (client.lines.size() < kMostWaiting) {
    const size_t end = connection.in.find('\n');
    if (std::min(end, connection.in.size()) > kMostLine) {
      client.out +=
          refusal_line(nullptr, fmt::format("expected lines of at most {} bytes, got a longer one", kMostLine));
      connection.in.clear(), connection.ended = true;
      break;
    }
    if (end == std::string::npos) break;
    std::string line = connection.in.substr(0, end);
    connection.in.erase(0, end + 1);
    // Of a web page's request to a port of this machine the head is no call, so that its body is never looked at.
    if (!line.starts_with('{')) {
      client.out +=
          refusal_line(nullptr, "expected lines of JSON that begin with {, got \"" + line.substr(0, 80) + "\"");
      connection.in.clear(), connection.ended = true;
      break;
    }
    client.lines.push_back(std::move(line));
    any = true;
  }
  return any;
}

/// False when the connection is over.
bool Listener::State::write_to(int key, Connection& connection) {
  const std::lock_guard lock(mutex);
  Client& client = *clients[key];
  if (!client.out.empty() && !connection.hung_up) {
    const ssize_t n = ::send(connection.socket.fd, client.out.data(), client.out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) connection.hung_up = true;
    if (n > 0) client.out.erase(0, static_cast<size_t>(n));
    if (n > 0 && client.can_go_on()) wake();
  }
  if (connection.hung_up && !client.out.empty()) client.out.clear(), wake();
  const bool all_read = connection.ended && connection.in.empty();
  const bool answered = client.lines.empty() && client.out.empty() && !client.working;
  return !all_read || !(connection.hung_up || answered);
}

Listener::Listener(const std::string& where, std::function<void()> wake)
    : state_(std::make_unique<State>(where, std::move(wake))) {}

Listener::~Listener() = default;

const std::string& Listener::where() const {
  return state_->socket.where();
}

bool Listener::State::serve(Client& client, const Actions& actions, Workbench& bench) {
  std::string answer;
  try {
    std::optional<json> result;
    if (client.running.busy()) {
      result = client.running.poll(bench);
    } else {
      if (is_opening(bench)) return false;  // its end would undo the call; frames go on meanwhile
      std::string line;
      {
        const std::lock_guard lock(mutex);
        if (!client.can_go_on()) return false;
        line = std::move(client.lines.front());
        client.lines.pop_front();
        client.working = true;
      }
      client.id = nullptr;
      const json request = read_json(line);
      client.id = id_of(request);
      result = client.running.start(bench, actions.read(request));
    }
    if (!result) return false;
    answer = answer_line(client.id, *result);
  } catch (const Error& error) {
    answer = refusal_line(client.id, error.what());
  }
  const std::lock_guard lock(mutex);
  client.working = false;
  if (!client.gone) client.out += answer;
  return true;
}

void Listener::serve(const Actions& actions, Workbench& bench) {
  State& state = *state_;
  std::vector<std::shared_ptr<State::Client>> clients;
  {
    const std::lock_guard lock(state.mutex);
    for (const auto& [key, client] : state.clients) clients.push_back(client);
  }
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + kTurn;
  bool any = false, more = true;
  // Each client has its turn, so that none waits for another's calls to end.
  while (more && Clock::now() < end) {
    more = false;
    for (const auto& client : clients) more |= state.serve(*client, actions, bench);
    any |= more;
  }
  {
    const std::lock_guard lock(state.mutex);
    std::erase_if(state.clients, [](const auto& each) {
      return each.second->gone && each.second->lines.empty() && !each.second->working;
    });
  }
  if (any) state.poke();
}

bool Listener::busy() const {
  const std::lock_guard lock(state_->mutex);
  return std::ranges::any_of(state_->clients,
                             [](const auto& each) { return each.second->working || each.second->can_go_on(); });
}

}  // namespace reattend::viz
