// Opening, failing to open and leaving traces: nothing that a person has at hand is lost by it, and the first setting
// is one that means something for the trace.
#include <fstream>

#include <gtest/gtest.h>

#include "base/error.h"
#include "session_rig.h"
#include "tests/support/scratch_folder.h"

namespace reattend::viz::testing {
namespace {

/// Traces of one model, but for those called other*; what is called bad* is none. The file is the trace's path.
std::shared_ptr<ReplaySource> open_by_name(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  if (name.starts_with("bad")) throw Error(name + " is no trace");
  return make_synthetic_source({.n_step = 8, .sha256 = name.starts_with("other") ? kGemma : kSmolLM2, .path = path});
}

struct Opening : ::testing::Test {
  Opening() : session(open_by_name, [] {}, {.n_thread = 1}) {}
  void settle() {
    do {
      sleep_a_little();
      session.update();
    } while (!session.idle());
  }
  void write(const char* name, const std::string& text) { std::ofstream(folder / name) << text; }

  const test::ScratchFolder folder;
  Session session;
};

TEST_F(Opening, WhatIsNoTraceCostsNeitherTheOpenOneNorTheSettingUnderTrial) {
  session.open("trace.h5");
  settle();
  session.set_settings(with_budget(37));
  settle();
  session.open("bad.h5");
  EXPECT_EQ(session.opening(), "bad.h5");
  settle();
  EXPECT_EQ(session.open_error(), "bad.h5 is no trace");
  EXPECT_EQ(session.path(), "trace.h5");
  EXPECT_EQ(session.settings(), with_budget(37));
  EXPECT_TRUE(session.total_is_current());
  EXPECT_NE(session.rows(), nullptr);
}

TEST_F(Opening, AnotherTraceOfTheModelIsTriedUnderTheSameSetting) {
  session.open("trace.h5");
  settle();
  session.set_settings(with_budget(37));
  session.open("second.h5");
  settle();
  EXPECT_EQ(session.settings(), with_budget(37));
  EXPECT_EQ(session.origin(), "kept from trace.h5");
  session.open("other.h5");  // of another model
  settle();
  EXPECT_EQ(session.settings(), Settings("recycled"));
}

TEST_F(Opening, AfterClosingNothingOfTheTraceIsLeft) {
  session.open("trace.h5");
  settle();
  session.close();
  settle();
  EXPECT_EQ(session.trace(), nullptr);
  EXPECT_EQ(session.path(), "");
  EXPECT_EQ(session.rows(), nullptr);
  EXPECT_EQ(session.total(), nullptr);
  session.open("trace.h5");
  settle();
  EXPECT_TRUE(session.total_is_current());
}

TEST_F(Opening, ClosingWhileATraceIsBeingOpenedOpensNone) {
  session.open("trace.h5");
  session.close();
  settle();
  EXPECT_EQ(session.trace(), nullptr);
}

TEST_F(Opening, StartsWithWhatWasRecorded) {
  Session recorded(
      [](const std::filesystem::path& path) {
        return make_synthetic_source({.n_step = 8, .path = path, .recorded = with_budget(50)});
      },
      [] {}, {.n_thread = 1});
  recorded.open("trace.h5");
  for (bool idle = false; !idle; sleep_a_little()) idle = recorded.idle(), recorded.update();
  EXPECT_EQ(recorded.settings(), with_budget(50));
  EXPECT_EQ(recorded.origin(), "as recorded");
  recorded.set_settings(with_budget(51));
  EXPECT_EQ(recorded.origin(), "") << "it is the user's own by now";
}

TEST_F(Opening, StartsWithTheSettingThatWasTunedOnIt) {
  write("notes.toml", "[policy]\nname = \"recycled\"\nK = 5\n");  // names no trace
  write("broken.toml", "[policy\n");
  write("longer.toml",
        "[policy]\nname = \"recycled\"\nK = 6\n[evidence]\ntrace = \"out/trace.h5\"\nn_prompt = 400\n"
        "n_step = 9\n");
  write("reattend.toml",
        "[policy]\nname = \"recycled\"\nK = 77\n[evidence]\ntrace = \"out/trace.h5\"\nn_prompt = 400\n"
        "n_step = 8\n[evidence.predicted]\nmean_kl = 0.0819\nspeed_up = 0.5\n"
        "[evidence.measured]\nmean_kl = 0.0656\n");
  session.open(folder / "trace.h5");
  settle();
  EXPECT_EQ(session.settings(), with_budget(77));
  EXPECT_EQ(session.origin(), "from reattend.toml: KL 0.0819 predicted, 0.0656 measured; predicted 2.00 times as slow");
}

TEST_F(Opening, ASettingThatWasAskedForGoesFirst) {
  write("reattend.toml",
        "[policy]\nname = \"recycled\"\nK = 77\n[evidence]\ntrace = \"trace.h5\"\nn_prompt = 400\n"
        "n_step = 8\n");
  session.set_initial({.settings = with_budget(12), .why = "asked for"});
  session.open(folder / "trace.h5");
  settle();
  EXPECT_EQ(session.settings(), with_budget(12));
}

}  // namespace
}  // namespace reattend::viz::testing
