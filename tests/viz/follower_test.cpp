// A trace under recording grows before one's eyes; what is shown at its end must be what opening it then would show.
#include <gtest/gtest.h>

#include "session_rig.h"
#include "tests/support/descriptors.h"
#include "tests/traces/synthetic.h"
#include "viz/session/follower.h"

namespace reattend::viz::testing {
namespace {

class Following : public ::testing::Test {
 protected:
  Following() : writer(path, false), session(open_file, [] {}, {.n_thread = 2}) {
    synthetic::write_prompt(writer, 256);
    record(20);
    session.open(path);
    settle(session);
  }
  static std::shared_ptr<ReplaySource> open_file(const std::filesystem::path& file) {
    return make_replay_source(TraceReader::open(file));
  }
  static void settle(Session& of) {
    for (bool idle = false; !idle; sleep_a_little()) idle = of.idle(), of.update();
  }
  void record(int32_t n) {
    for (int32_t i = 0; i < n; ++i) writer.append(synthetic::step(++n_step));
    writer.commit();
  }
  void look() {
    follower.update(session, true, 1.0);
    settle(session);
  }

  const test::ScratchFolder folder;
  const std::filesystem::path path = folder / "trace.h5";
  TraceWriter writer;
  int32_t n_step = 0;
  Session session;
  Follower follower;
};

TEST_F(Following, AHundredMoreStepsEndWithTheFiguresOfAFreshOpen) {
  ASSERT_TRUE(session.trace()->info.live);
  Settings setting = with_budget(24);
  setting.set("S", int64_t{7});
  session.set_settings(setting);
  session.select_layer(0);
  session.select_kv_head(1);
  settle(session);  // a look waits for the masses of the setting
  for (int i = 0; i < 10; ++i) {
    record(10);
    look();
    EXPECT_EQ(session.trace()->info.n_step, n_step);
    EXPECT_EQ(session.selection().step, n_step) << "who looks at the last step goes on to";
  }
  writer.close();
  look();
  EXPECT_FALSE(session.trace()->info.live);
  EXPECT_FALSE(follower.next_in(session, true).has_value()) << "nobody records: nothing is watched";
  EXPECT_EQ(session.settings(), setting);
  EXPECT_EQ(session.selection().layer, 0);
  EXPECT_EQ(session.selection().kv_head, 1);

  Session fresh(open_file, [] {}, {.n_thread = 2});
  fresh.open(path);
  settle(fresh);
  fresh.set_settings(setting);
  settle(fresh);
  ASSERT_EQ(fresh.trace()->info.n_step, 120);
  EXPECT_EQ(session.trace()->token_texts, fresh.trace()->token_texts);
  EXPECT_EQ(session.trace()->steps.logprob, fresh.trace()->steps.logprob);
  for (size_t l = 0; l < static_cast<size_t>(synthetic::kLayers); ++l) {
    const LayerReplay &grown = *session.answer()->layers[l], &read = *fresh.answer()->layers[l];
    EXPECT_EQ(grown.full, read.full);
    EXPECT_EQ(grown.recovered, read.recovered);
    EXPECT_EQ(grown.output_error, read.output_error);
  }
  EXPECT_EQ(session.total()->recovered, fresh.total()->recovered);
  EXPECT_EQ(session.total()->output_error_p95, fresh.total()->output_error_p95);
}

TEST_F(Following, AStepInThePastStaysSelected) {
  session.select_step(7);
  record(5);
  look();
  EXPECT_EQ(session.trace()->info.n_step, 25);
  EXPECT_EQ(session.selection().step, 7);
}

TEST_F(Following, NothingIsOpenedAnewWhereNothingWasWritten) {
  record(1);
  look();
  const uint64_t version = session.trace_version();
  for (int i = 0; i < 12; ++i) look();
  EXPECT_EQ(session.trace_version(), version);
  ASSERT_TRUE(follower.next_in(session, true).has_value());
  EXPECT_LE(*follower.next_in(session, true), 1.0);
  EXPECT_FALSE(follower.next_in(session, false).has_value());
}

// Killed, not closed: the file changes no more, and nobody may wait for it for ever.
TEST_F(Following, AWriterThatIsGoneIsNoticed) {
  const std::filesystem::path copy = folder / "copy.h5";
  std::filesystem::copy_file(path, copy);  // nobody holds its lock
  Session other(open_file, [] {}, {.n_thread = 2});
  other.open(copy);
  settle(other);
  EXPECT_FALSE(other.trace()->info.live);
  EXPECT_FALSE(follower.next_in(other, true).has_value());
}

}  // namespace
}  // namespace reattend::viz::testing
