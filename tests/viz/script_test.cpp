// Scripts and sockets run the table's actions; whatever comes in by them, the window stays and says what was wrong.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/descriptor.h"
#include "complaint.h"
#include "gui_host.h"
#include "synthetic_source.h"
#include "tests/support/scratch_folder.h"
#include "viz/actions/driver.h"
#include "viz/actions/state.h"

namespace reattend::viz::testing {
namespace {

using nlohmann::json;

class Outside : public ::testing::Test {
 protected:
  Outside() : host(synthetic_source(shape)) {}
  App& app() { return host.app(); }
  Session& session() { return host.app().session(); }
  Driver& driver() { return host.app().driver(); }
  std::filesystem::path write(const std::string& text) {
    const std::filesystem::path file = folder / "script.txt";
    std::ofstream(file) << text;
    return file;
  }
  /// Frames, and what drives between them, until the script is done.
  void run_script(const std::string& text) {
    driver().run_script(write(text), [this](const json& answer) { printed.push_back(answer); });
    drive_until([this] { return driver().script_done(); });
  }
  void drive_until(const std::function<bool()>& holds) {
    const std::string log = host.run([&](ImGuiTestContext* ctx) {
      while (!holds() && error.empty()) {
        error = complaint([this] { driver().drive(); });
        if (error == "no error") error.clear();
        ctx->Yield();
      }
    });
    EXPECT_EQ(log, "");
  }

  SyntheticShape shape{.n_layer = 3, .n_prompt = 200, .n_step = 32};
  const test::ScratchFolder folder;
  GuiHost host;
  std::vector<json> printed;
  std::string error;
};

// From nothing to a settings file, without a hand on the mouse.
TEST_F(Outside, AScriptGoesFromOpeningToASavedSettingsFile) {
  const std::filesystem::path saved = folder / "reattend.toml";
  run_script("# a tour\n\ntrace.open trace.h5\nsetting.set K=48 S=8\nstep.set 20\nlayer.set layer=1\n" +
             std::string(R"({"action": "bounds.set", "args": {"kl": 0.5}})") + "\nstate\nsetting.save \"" +
             saved.string() + "\"\nwait for=answered\n");
  EXPECT_EQ(error, "");
  EXPECT_EQ(Settings::from_toml_file(saved), session().settings());
  EXPECT_EQ(std::get<int64_t>(session().settings().get("K")), 48);
  EXPECT_EQ(session().selection().step, 20);
  EXPECT_EQ(session().selection().layer, 1);
  EXPECT_EQ(session().bounds().max_kl, 0.5);
  ASSERT_EQ(printed.size(), 1U) << "only queries have something to say";
  EXPECT_EQ(printed[0]["setting"]["K"], 48);
  // A script hears of the setting's own numbers, not of those before.
  EXPECT_EQ(printed[0]["goal"]["ms_per_token"].get<double>(), session().total()->ms_per_token);
}

TEST_F(Outside, AWrongScriptIsRefusedByFileAndLineBeforeAnythingIsRun) {
  const auto expect = [&](const std::string& text, const std::string& words) {
    const std::filesystem::path file = write(text);
    const std::string said = complaint([&] { driver().run_script(file, [](const json&) {}); });
    EXPECT_EQ(said.find(file.string() + words), 0U) << said;
  };
  expect("step.next\n\nstep.nxt\n", ":3: action: ");
  expect("step.set", ":1: step.set: ");
  expect("# all well\nstep.set 3\n{\"action\": \"step.set\"", ":3: ");
  EXPECT_TRUE(driver().script_done());
}

TEST_F(Outside, AScriptThatFailsSaysAtWhichLineAndGoesNoFurther) {
  run_script("trace.open trace.h5\nstep.set 5\nsetting.set K=0\nstep.set 9\n");
  EXPECT_NE(error.find("script.txt:3: "), std::string::npos) << error;
  EXPECT_EQ(session().selection().step, 5);
}

TEST_F(Outside, NoPictureIsTakenOfWhatIsNotDrawn) {
  run_script("picture.save \"" + (folder / "x.png").string() + "\"\n");
  EXPECT_NE(error.find("script.txt:1: picture"), std::string::npos) << error;
}

/// What a client of a Unix socket does, without waiting for ever.
class Client {
 public:
  explicit Client(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected_ = ::connect(socket_.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  /// The other side has closed it, whatever there is to read.
  bool broken() const { return broken_; }
  bool connected() const { return connected_; }
  /// Of a socket that takes no more, as much as it takes.
  void send(const std::string& text) { sent_ = text, flush(); }
  void flush() {
    const ssize_t n = ::send(socket_.fd, sent_.data(), sent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) sent_.erase(0, static_cast<size_t>(n));
    broken_ |= n < 0 && (errno == EPIPE || errno == ECONNRESET);
  }
  /// Whole lines that have come so far.
  std::vector<json> lines() {
    char bytes[1 << 16];
    for (ssize_t n = 0; (n = ::recv(socket_.fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0;)
      in_.append(bytes, static_cast<size_t>(n));
    std::vector<json> out;
    for (size_t end = 0; (end = in_.find('\n')) != std::string::npos; in_.erase(0, end + 1)) {
      out.push_back(json::parse(in_.substr(0, end)));
    }
    return out;
  }
  bool closed() {
    char byte = 0;
    const ssize_t n = ::recv(socket_.fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }

 private:
  Descriptor socket_;
  bool connected_ = false, broken_ = false;
  std::string sent_, in_;
};

class Socket : public Outside {
 protected:
  Socket() {
    ::chmod((folder / "").c_str(), S_IRWXU);
    driver().listen(path(), [] {});
    app().open({"trace.h5"});
  }
  std::string path() const { return (folder / "s").string(); }
  /// The next n answers.
  std::vector<json> await(Client& client, size_t n) {
    std::vector<json> out;
    drive_until([&] {
      client.flush();
      for (json& each : client.lines()) out.push_back(std::move(each));
      return out.size() >= n || client.closed();
    });
    return out;
  }
  void expect_alive() {
    Client client(path());
    client.send("{\"id\": 7, \"action\": \"step.set\", \"args\": {\"step\": 3}}\n");
    const std::vector<json> answer = await(client, 1);
    ASSERT_EQ(answer.size(), 1U);
    EXPECT_EQ(answer[0], json::parse(R"({"id": 7, "ok": true, "result": null})"));
  }
};

TEST_F(Socket, CallsAreRunInTheirOrderAndAnswered) {
  Client client(path());
  ASSERT_TRUE(client.connected());
  client.send(
      "{\"id\": 1, \"action\": \"wait\", \"args\": {\"for\": \"answered\"}}\n"
      "{\"id\": 2, \"action\": \"step.set\", \"args\": {\"step\": 17}}\n"
      "{\"id\": \"x\", \"action\": \"state\"}\n{\"id\": 4, \"action\": \"step.set\", \"args\": {\"step\": \"many\"}}\n"
      "{\"id\": 5, \"action\": \"setting.set\", \"args\": {\"K\": 0}}\n");
  const std::vector<json> answers = await(client, 5);
  ASSERT_EQ(answers.size(), 5U);
  EXPECT_EQ(answers[0], json::parse(R"({"id": 1, "ok": true, "result": null})"));
  EXPECT_EQ(answers[1]["id"], 2);
  EXPECT_EQ(answers[2]["id"], "x");
  EXPECT_EQ(answers[2]["result"]["selection"]["step"], 17);
  EXPECT_FALSE(answers[3]["ok"].get<bool>());
  EXPECT_NE(answers[3]["error"].get<std::string>().find("a whole number"), std::string::npos) << answers[3];
  EXPECT_FALSE(answers[4]["ok"].get<bool>());
  EXPECT_EQ(session().selection().step, 17);
}

TEST_F(Socket, JunkIsRefusedAndNothingElse) {
  Client client(path());
  client.send("{junk\n{}\n{\"id\": 3}\n{\xff\xfe\n{\"a\": " + std::string(1000, '[') + "\n{\"id\": {\"a\": [" +
              std::string(200, '[') + "\n{\"id\": 4, \"action\": \"step.next\", \"args\": 3}\n");
  const std::vector<json> answers = await(client, 7);
  ASSERT_EQ(answers.size(), 7U);
  for (const json& each : answers) EXPECT_FALSE(each["ok"].get<bool>()) << each;
  EXPECT_EQ(answers[2]["id"], 3);
  EXPECT_EQ(answers[6]["id"], 4);
  expect_alive();
}

// What a web page can make a browser send must not reach the table by its second line.
TEST_F(Socket, AWebPagesRequestIsNotLookedAtBeyondItsFirstLine) {
  expect_alive();
  Client client(path());
  client.send("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n{\"action\": \"step.set\", \"args\": {\"step\": 9}}\n");
  EXPECT_EQ(await(client, 1).size(), 1U);
  drive_until([&] { return client.closed(); });
  EXPECT_EQ(session().selection().step, 3);
}

TEST_F(Socket, ALineOfTenMegabytesEndsItsConnectionAlone) {
  Client client(path());
  client.send(std::string(10 << 20, 'x'));
  const std::vector<json> answers = await(client, 1);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_NE(answers[0]["error"].get<std::string>().find("at most"), std::string::npos);
  expect_alive();
}

TEST_F(Socket, HalfALineAndAnEarlyCloseChangeNothing) {
  const int32_t step = session().selection().step;
  { Client(path()).send("{\"action\": \"step.set\", \"args\": {\"step\": 5}"); }
  expect_alive();
  EXPECT_NE(session().selection().step, 5);
  EXPECT_NE(step, 5);
  // A whole line is run, though nobody waits for its answer.
  { Client(path()).send("{\"action\": \"step.set\", \"args\": {\"step\": 5}}\n"); }
  drive_until([this] { return session().selection().step == 5; });
}

// A program that sends a long script and leaves means all of it.
TEST_F(Socket, EveryLineOfOneWhoHasLeftIsRun) {
  expect_alive();
  std::string lines;
  for (int step = 1; step <= 31; ++step)
    for (int i = 0; i < 8; ++i)
      lines += fmt::format("{{\"action\": \"step.set\", \"args\": {{\"step\": {}}}}}\n", step);
  { Client(path()).send(lines); }
  drive_until([this] { return session().selection().step == 31; });
}

// What is asked for before the trace is there must not be undone by its arrival.
TEST_F(Socket, ACallThatComesWhileATraceIsOpenedWaitsForIt) {
  expect_alive();
  app().open({"trace.h5"});
  ASSERT_TRUE(is_opening(app().bench()));
  expect_alive();
  EXPECT_FALSE(is_opening(app().bench()));
  drive_until([this] { return session().idle(); });
  EXPECT_EQ(session().selection().step, 3);
}

// The window must neither hold answers without end for somebody who takes none, nor draw for him, nor stop for others.
TEST_F(Socket, WhoeverReadsNothingWaitsAlone) {
  Client silent(path());
  std::string calls;
  for (int i = 0; i < 50000; ++i) calls += "{\"action\": \"actions\"}\n";
  silent.send(calls);
  int n_quiet = 0;
  drive_until([&] {
    silent.flush();
    n_quiet = driver().has_work() ? 0 : n_quiet + 1;
    return n_quiet > 30;
  });
  EXPECT_FALSE(silent.broken());
  expect_alive();
}

TEST_F(Socket, OnlySoManyMayConnect) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(std::make_unique<Client>(path()));
  for (auto& each : clients) each->send("{\"action\": \"step.next\"}\n");
  for (auto& each : clients) EXPECT_EQ(await(*each, 1).size(), 1U);
  Client late(path());
  const std::vector<json> answer = await(late, 1);
  ASSERT_EQ(answer.size(), 1U);
  EXPECT_FALSE(answer[0]["ok"].get<bool>());
  clients.clear();
  drive_until([&, n = 0]() mutable { return ++n > 20; });
  expect_alive();
}

TEST(SocketPlace, IsTheUsersOwnAndNothingIsReplacedButAnOldSocket) {
  const test::ScratchFolder folder;
  const auto says = [](const std::string& where) { return complaint([&] { Listener(where, [] {}); }); };
  ::chmod((folder / "").c_str(), S_IRWXU);
  const std::string path = (folder / "s").string();
  {
    const Listener listener(path, [] {});
    struct stat made {};
    ASSERT_EQ(::stat(path.c_str(), &made), 0);
    EXPECT_EQ(made.st_mode & 0777, 0600U);
    EXPECT_NE(says(path).find("a program answers"), std::string::npos) << says(path);
  }
  EXPECT_FALSE(std::filesystem::exists(path)) << "it is removed at the end";
  {  // left behind by a program that was killed
    const Descriptor old(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(old.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  EXPECT_EQ(says(path), "no error");
  { std::ofstream(path) << "precious"; }
  EXPECT_NE(says(path).find("a file that is no socket"), std::string::npos) << says(path);
  EXPECT_TRUE(std::filesystem::exists(path));
  ::chmod((folder / "").c_str(), 0777);
  EXPECT_NE(says((folder / "t").string()).find("only you may write"), std::string::npos);
  EXPECT_NE(says(std::string(200, 'x')).find("bytes"), std::string::npos);
  EXPECT_NE(says("70000").find("a port up to 65535"), std::string::npos);
  EXPECT_NE(says("/no/such/folder/s").find("a folder that is there"), std::string::npos);
}

TEST(SocketPlace, APortIsThatOfTheLoopback) {
  const Listener listener("0", [] {});
  EXPECT_EQ(listener.where().find("127.0.0.1:"), 0U) << listener.where();
  const auto port = static_cast<uint16_t>(std::stoi(listener.where().substr(10)));
  const Descriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  EXPECT_EQ(::connect(socket.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

}  // namespace
}  // namespace reattend::viz::testing
