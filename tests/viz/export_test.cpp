// What leaves a panel has the values of the replay, to the last digit.
#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/thread_pool.h"
#include "complaint.h"
#include "gui_host.h"
#include "replay/replay.h"
#include "synthetic_source.h"
#include "tests/support/scratch_folder.h"
#include "viz/actions/actions.h"

namespace reattend::viz::testing {
namespace {

class Export : public ::testing::Test {
 protected:
  Export() : host(synthetic_source(shape)) { app().open({folder / "trace.h5"}); }
  App& app() { return host.app(); }
  Session& session() { return host.app().session(); }
  void run(std::function<void(ImGuiTestContext*)> body) { host.test(std::move(body)); }
  nlohmann::json act(const std::string& line) {
    return Actions::run(app().bench(), app().actions().parse(line)).result;
  }
  std::string read(const std::string& name) {
    std::ostringstream text;
    text << std::ifstream(folder / name).rdbuf();
    return text.str();
  }
  std::string file(const std::string& name) { return "\"" + (folder / name).string() + "\""; }
  /// Cells of a CSV without quotes, a line each.
  static std::vector<std::vector<std::string>> cells(const std::string& csv, char between = ',') {
    std::vector<std::vector<std::string>> out;
    std::istringstream lines(csv);
    for (std::string line, cell; std::getline(lines, line);) {
      out.emplace_back();
      std::istringstream row(line + between);
      while (std::getline(row, cell, between)) out.back().push_back(cell);
    }
    return out;
  }

  SyntheticShape shape{.n_layer = 3, .n_prompt = 128, .n_step = 24};
  const test::ScratchFolder folder;
  GuiHost host;
};

TEST_F(Export, TheTuneTableIsWhatAReplayOfItsOwnGives) {
  run([this](ImGuiTestContext* ctx) {
    act("setting.set K=40 S=6");
    host.settle(ctx);
    act("panel.export panel=Tune file=" + file("layers.csv"));
    ThreadPool pool(1);
    Replayer replayer(make_synthetic_source(shape), pool);
    const ReplayResult result = replayer.run({.settings = session().settings()}, {}, {});
    const auto rows = cells(read("layers.csv"));
    ASSERT_EQ(rows.size(), result.layers.size() + 2);
    ASSERT_EQ(rows[0][1], "recovered");
    ASSERT_EQ(rows[0][8], "output_error_mean");
    ASSERT_EQ(rows[0][11], "positions");
    for (size_t i = 0; i <= result.layers.size(); ++i) {
      const bool total = i == result.layers.size();
      const ReplaySummary& expected = total ? result.total : result.per_layer[i];
      const auto& row = rows[i + 1];
      EXPECT_EQ(row[0], total ? "total" : std::to_string(i));
      EXPECT_EQ(std::stod(row[1]), expected.recovered);
      EXPECT_EQ(std::stod(row[8]), expected.output_error_mean);
      EXPECT_EQ(std::stod(row[11]), expected.positions);
    }
  });
}

TEST_F(Export, TheTimelinesStepsAreThoseOfTheReplay) {
  run([this](ImGuiTestContext* ctx) {
    act("layer.set 2");
    act("head.set 1");
    host.settle(ctx);
    act("panel.copy Timeline");
    const auto rows = cells(ImGui::GetClipboardText(), '\t');
    ASSERT_EQ(rows.size(), static_cast<size_t>(shape.n_step) + 1);
    const LayerReplay& layer = *session().layer();
    for (int32_t t = 1; t <= shape.n_step; ++t) {
      const auto at = static_cast<size_t>((t - 1) * shape.n_kv_head + 1);
      const auto& row = rows[static_cast<size_t>(t)];
      EXPECT_EQ(row[0], std::to_string(t));
      EXPECT_EQ(row[1] == "full", layer.positions[at] == shape.n_prompt + t) << t;
      EXPECT_EQ(std::stoi(row[3]), layer.positions[at]);
      EXPECT_EQ(std::stod(row[5]), double{layer.recovered[at]});
    }
    const nlohmann::json table = act("panel.table Timeline");
    EXPECT_EQ(table.size(), rows.size() - 1);
    EXPECT_EQ(table[0]["recovered"].get<double>(), double{layer.recovered[1]});
    act("panel.export Timeline " + file("curves.svg"));
    EXPECT_NE(read("curves.svg").find("<path"), std::string::npos) << "curves are lines, not a picture";
    EXPECT_EQ(read("curves.svg").find("<image"), std::string::npos);
  });
}

TEST_F(Export, TheHeatMapsWeightsAreThoseInView) {
  run([this](ImGuiTestContext*) {
    app().view().steps = {4.5, 6.5}, app().view().heat_positions = {9.5, 12.5};
    act("panel.export Attention " + file("weights.csv"));
    const nlohmann::json table = act("panel.table Attention");
    ASSERT_EQ(table.size(), 6U);
    for (const nlohmann::json& row : table) {
      EXPECT_EQ(row["weight"].get<float>(), *session().weight(row["step"], row["position"]));
      EXPECT_EQ(row["attended"] == "yes", *session().attended(row["step"], row["position"]));
    }
    EXPECT_EQ(table[0]["step"], 5);
    EXPECT_EQ(table[5]["position"], 12);
  });
}

// Whatever a pane shows can be taken out of the window.
TEST_F(Export, EveryPanelHasTablesAndThoseWithCurvesAChart) {
  run([this](ImGuiTestContext* ctx) {
    act("step.set 15");
    act("note.add");
    const std::set<std::string> waiting = {"Texts"};  // nothing was generated
    const std::set<std::string> empty = {"Engine", "Measured", "Notes/bookmarks"};
    std::set<std::string> with_curves;
    for (const auto& panel : app().bench().panels) {
      const std::string name = panel->name();
      SCOPED_TRACE(name);
      app().bench().show(*panel);
      ctx->Yield(4);
      host.settle(ctx);
      const std::vector<PanelTable> tables = panel->tables(session(), app().view());
      EXPECT_FALSE(tables.empty()) << name << " has no table";
      for (const PanelTable& each : tables) {
        if (waiting.contains(name)) {
          EXPECT_NE(complaint([&] { each.make(); }).find("Read it"), std::string::npos);
          continue;
        }
        const reattend::Table table = each.make();
        EXPECT_GT(table.columns.size(), 1U) << each.name;
        EXPECT_EQ(table.rows.empty(), empty.contains(name) || empty.contains(name + "/" + each.name)) << each.name;
        for (const auto& row : table.rows) ASSERT_EQ(row.size(), table.columns.size()) << each.name;
      }
      const Panel::MakeChart chart = panel->chart();
      if (!chart) continue;
      with_curves.insert(name);
      if (name == "Measured") continue;  // nothing was
      EXPECT_FALSE(chart(session()).panels.empty());
    }
    EXPECT_EQ(with_curves, (std::set<std::string>{"Curves", "Heads", "Landscape", "Measured", "Profile", "Timeline",
                                                  "Tried", "Why lost"}));
  });
}

TEST_F(Export, TheLedgerHasTheSpreadOfTheMarkedSteps) {
  run([this](ImGuiTestContext* ctx) {
    act("panel.show Ledger");
    act("range.set 5 9");
    host.settle(ctx);
    ctx->Yield(4);
    const nlohmann::json rows = act("panel.table Ledger");
    ASSERT_EQ(rows.size(), 3U);
    for (const nlohmann::json& row : rows) {
      const LayerReplay& layer = *session().answer()->layers[row["layer"].get<size_t>()];
      std::vector<float> lost;
      for (size_t i = 4 * 2; i < 9 * 2; ++i) lost.push_back(1 - layer.recovered[i]);
      std::ranges::sort(lost);
      EXPECT_EQ(row["lost_p50_in_range"].get<double>(), double{lost[4]});
      EXPECT_EQ(row["lost_p95_in_range"].get<double>(), double{lost[9]});
      EXPECT_EQ(row["lost_p99_in_range"].get<double>(), double{lost[9]});
    }
  });
}

TEST_F(Export, TheTimelinesStepsSayWhy) {
  run([this](ImGuiTestContext* ctx) {
    act("setting.set S=6");
    host.settle(ctx);
    const nlohmann::json rows = act("panel.table Timeline");
    EXPECT_EQ(rows[5]["reason"], "due by the schedule, S = 6");
    EXPECT_EQ(rows[6]["reason"], "not due before step 12, S = 6");
  });
}

TEST_F(Export, WhatAPanelLacksOrAFileForbidsIsSaid) {
  run([this](ImGuiTestContext*) {
    const auto refuse = [&](const std::string& line, const std::string& words) {
      const std::string said = complaint([&] { act(line); });
      EXPECT_NE(said.find(words), std::string::npos) << line << ": " << said;
    };
    refuse("panel.export Tune " + file("x.svg"), "a panel with curves");
    refuse("panel.export Tune " + file("x.png"), ".csv or .svg");
    refuse("panel.export Nosuch " + file("x.csv"), "Timeline");
    refuse("panel.export Tune " + file("x.csv") + " table=nosuch", "a table of layers");
    { std::ofstream(folder / "x.csv") << "precious"; }
    refuse("panel.export Tune " + file("x.csv"), "x.csv");
    EXPECT_EQ(read("x.csv"), "precious");
    act("panel.export Tune " + file("x.csv") + " force=true");
    EXPECT_NE(read("x.csv"), "precious");
  });
}

TEST_F(Export, WithoutATraceThereIsNothingToTake) {
  run([this](ImGuiTestContext*) {
    act("trace.close");
    for (const auto& panel : app().bench().panels) {
      const std::string said = complaint([&] { act(std::string("panel.copy \"") + panel->name() + "\""); });
      EXPECT_NE(said.find("an open trace"), std::string::npos) << panel->name() << ": " << said;
    }
  });
}

TEST_F(Export, TheMenuOfATitleSavesBesideTheTraceAndReplacesNothing) {
  run([this](ImGuiTestContext* ctx) {
    for (const char* name : {"trace-tune.csv", "trace-tune-2.csv"}) {
      ctx->MouseMove("//Tune/#TAB");
      ctx->MouseClick(ImGuiMouseButton_Right);
      ctx->ItemClick("//$FOCUSED/save numbers as CSV");
      ctx->Yield(2);
      EXPECT_EQ(read(name).substr(0, 15), "layer,recovered") << name << app().bench().notice;
    }
  });
}

}  // namespace
}  // namespace reattend::viz::testing
