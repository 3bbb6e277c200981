// A user's task: from an open trace to a setting as good as the tuner's, in a dozen actions, by script and by hand.
#include <fstream>

#include "gui_host.h"
#include "tiny_trace.h"
#include "tune/tune.h"
#include "viz/session/goal.h"
#include "written_trace.h"

namespace reattend::viz::testing {
namespace {

/// What `reattend tune` chooses on a trace by replay alone, within a bound on KL.
struct Task {
  const test::ScratchFolder folder;
  const std::filesystem::path trace = folder / "trace.h5";
  double max_kl = 0;
  double kl = 0, ms = 0;  ///< predicted of the choice

  static constexpr int kMostActions = 12;
  static constexpr double kNear = 1.1;

  void tune(double bound) {
    max_kl = bound;
    const nlohmann::json found = ask_program({"tune", trace.string(), "--max-kl", std::to_string(bound), "--out",
                                              (folder / "tuned.toml").string(), "--force"});
    ASSERT_TRUE(found.is_object());
    ASSERT_EQ(found["cost_unit"], "ms per token");
    kl = found["chosen"]["predicted_kl"], ms = found["chosen"]["cost"];
    ASSERT_TRUE(found["chosen"]["within_bounds"].get<bool>());
    std::filesystem::remove(folder / "tuned.toml");  // it would be the window's first setting
  }
  void expect_reached(double found_kl, double found_ms, int n_action) const {
    EXPECT_LE(found_kl, max_kl);
    EXPECT_LE(found_kl, kNear * kl);
    EXPECT_LE(found_ms, kNear * ms);
    EXPECT_LE(n_action, kMostActions);
    RecordProperty("kl", found_kl), RecordProperty("tune_kl", kl);
    RecordProperty("ms", found_ms), RecordProperty("tune_ms", ms);
    RecordProperty("actions", n_action);
  }
  static void RecordProperty(const char* key, double value) {
    ::testing::Test::RecordProperty(key, std::to_string(value));
  }

  /// A line an action; the last one asks what was reached, and is none.
  void by_script() const {
    const std::vector<std::string> lines = {"trace.open " + trace.string(),
                                            "bounds.set kl=" + std::to_string(max_kl),
                                            "landscape.best",
                                            "ledger.spend",
                                            "ledger.spend",
                                            "ledger.save",
                                            "ledger.spend",
                                            "ledger.save"};
    const std::filesystem::path script = folder / "script.txt";
    {
      std::ofstream out(script);
      for (const std::string& each : lines) out << each << '\n';
      out << "state\n";
    }
    const test::ProgramResult result = test::run_program(
        {"env", "XDG_CONFIG_HOME=" + (folder / "config").string(), "XDG_CACHE_HOME=" + (folder / "cache").string(),
         REATTEND_VIEW, "--headless", "--no-project", "--script", script.string()});
    ASSERT_EQ(result.code, 0) << result.err;
    const size_t last = result.out.rfind('\n', result.out.size() - 2);
    const auto state = nlohmann::json::parse(result.out.substr(last == std::string::npos ? 0 : last + 1));
    expect_reached(state["goal"]["kl"], state["goal"]["ms_per_token"], static_cast<int>(lines.size()));
  }

  /// Clicks and values that are typed count.
  void by_hand() const {
    GuiHost host{open_trace_file};
    host.app().open({trace});
    host.test([&](ImGuiTestContext* ctx) {
      Session& session = host.app().session();
      int n_action = 0;
      const auto click = [&](const char* what) {
        ctx->ItemClick(what);
        ++n_action;
        host.settle(ctx);
      };
      ctx->ItemInputValue(("//##Goal/$$" + std::to_string(static_cast<int>(Bounded::kl)) + "/##limit").c_str(),
                          static_cast<float>(max_kl));
      ++n_action;
      host.settle(ctx);
      click("//Landscape/###best");
      click("//Ledger/#TAB");
      for (const char* const step :
           {"spend where it helps most", "spend where it helps most", "save where it hurts least",
            "spend where it helps most", "save where it hurts least"}) {
        click((std::string("//Ledger/") + step).c_str());
      }
      const Judged* const judged = session.data<Goal>().judged();
      ASSERT_NE(judged, nullptr);
      EXPECT_EQ(judged->settings, session.settings());
      expect_reached(judged->metrics.predicted_kl, judged->metrics.cost, n_action);
    });
  }
};

class MadeUpTask : public ::testing::Test {
 protected:
  MadeUpTask() {
    const SyntheticShape shape = {.n_layer = 5, .n_head = 4, .n_prompt = 256, .n_step = 24, .sha256 = kSmolLM2};
    write_synthetic(task.trace, shape, shape.n_step)->close();
    task.tune(0.05);
  }
  Task task;
};

TEST_F(MadeUpTask, IsDoneByAScriptOfADozenLines) {
  task.by_script();
}

TEST_F(MadeUpTask, IsDoneByADozenClicks) {
  task.by_hand();
}

}  // namespace
}  // namespace reattend::viz::testing
