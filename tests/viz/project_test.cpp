// The project file: what is kept comes back, what is not this trace's is left alone, and no file can do harm.
#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "session_rig.h"
#include "tests/support/scratch_folder.h"
#include "viz/session/baseline.h"
#include "viz/session/project.h"
#include "viz/session/state_keeping.h"

namespace reattend::viz::testing {
namespace {

const SyntheticShape kShape = {.n_layer = 4, .n_head = 4, .n_prompt = 64, .n_step = 12, .sha256 = kSmolLM2};

std::string read_all(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// A window that opens a trace with its project file.
struct ProjectRig {
  explicit ProjectRig(const std::filesystem::path& trace, const SyntheticShape& shape = kShape)
      : ProjectRig(trace, synthetic_source(shape)) {}
  ProjectRig(const std::filesystem::path& trace, OpenSource source)
      : session(std::move(source), [] {}, {.n_thread = 2}) {
    session.read_projects();
    session.open(trace);
    settle();
    view.steps = {0.5, 16.5}, view.heat_positions = {-0.5, 79.5};
    if (const auto window = project().take_window()) show_axes(window->axes, view);
    frame(), frame();
  }
  Project& project() { return session.data<Project>(); }
  WindowPart window() const { return {shown_axes(view), "reading"}; }
  void settle() {
    for (bool idle = false; !idle; std::this_thread::sleep_for(std::chrono::milliseconds(1)))
      idle = session.idle(), session.update();
  }
  void frame() {
    session.update();
    project().save(session, window(), true);
  }
  /// Long enough for a change to be written.
  void rest() {
    frame(), frame();
    settle();
  }

  Session session;
  SharedView view;
};

class ProjectFile : public ::testing::Test {
 protected:
  const reattend::test::ScratchFolder folder;
  const std::filesystem::path trace = folder / "trace.h5", file = folder / "trace.h5.view.json";
  void write(const std::string& text) const { std::ofstream(file) << text; }
  /// What a session leaves that has one of everything.
  std::string full_file() const {
    ProjectRig rig(trace);
    Settings settings("recycled");
    settings.set("K", std::vector<std::string>{"8", "L/4", "16", "24"});
    settings.set("threshold", 0.9399041175915939);
    settings.let_decide("threshold");
    rig.session.set_settings(settings);
    rig.settle();
    TuneBounds bounds;
    bounds.max_kl = 0.0625, bounds.max_ms = 3.3;
    rig.session.set_bounds(bounds);
    rig.session.select_layer(3), rig.session.select_kv_head(1);
    rig.session.select_step(9), rig.session.select_position(33);
    rig.view.heat_positions = {1.0 / 3, 50.123456789};
    rig.session.data<Baseline>().pin({with_budget(24), {}});
    rig.session.data<Tried>().add_measured(with_budget(32), {.kl = 0.3, .ms = 2.5});
    rig.project().add_note(
        {.text = "the lamp \u2603 \"is\" lost", .steps = {3, 5}, .first_position = 7, .last_position = 9});
    rig.project().add_note({.text = "", .steps = {4, 4}, .layer = 2});
    save_bookmark(2, rig.session, rig.view);
    rig.settle();
    rig.rest();
    return read_all(file);
  }
};

TEST_F(ProjectFile, IsOnlyWrittenWhenSomebodyChangedSomething) {
  ProjectRig rig(trace);
  rig.rest(), rig.rest();
  EXPECT_FALSE(std::filesystem::exists(file)) << "looking leaves nothing behind";
  rig.session.set_settings(with_budget(30));
  rig.frame();
  EXPECT_FALSE(std::filesystem::exists(file)) << "a drag may go on";
  rig.rest();
  ASSERT_TRUE(std::filesystem::exists(file));
  const ProjectData data = project_from_text(read_all(file), "");
  EXPECT_EQ(data.settings, with_budget(30));
  rig.rest();
  EXPECT_EQ(project_from_text(read_all(file), "").tried.size(), 2U) << "its numbers, once they are known";
}

TEST_F(ProjectFile, WhatIsKeptComesBack) {
  const std::string text = full_file();
  ProjectRig rig(trace);
  EXPECT_EQ(rig.project().message(), "");
  EXPECT_EQ(rig.session.settings().get("K"), Value(std::vector<std::string>{"8", "L/4", "16", "24"}));
  EXPECT_EQ(rig.session.settings().real("threshold", 0), 0.9399041175915939);
  EXPECT_EQ(rig.session.bounds().max_kl, 0.0625);
  EXPECT_EQ(rig.session.bounds().max_ms, 3.3);
  EXPECT_EQ(rig.session.selection(), (Selection{.layer = 3, .kv_head = 1, .step = 9, .position = 33}));
  EXPECT_EQ(rig.view.heat_positions, (Limits{1.0 / 3, 50.123456789}));
  EXPECT_EQ(rig.session.data<Baseline>().pinned()->settings, with_budget(24));
  ASSERT_EQ(rig.project().notes().size(), 2U);
  EXPECT_EQ(rig.project().notes()[0].text, "the lamp \u2603 \"is\" lost");
  EXPECT_EQ(rig.project().notes()[0].steps, (Steps{3, 5}));
  EXPECT_EQ(rig.project().notes()[1].layer, 2);
  EXPECT_TRUE(rig.project().bookmarks()[1] && !rig.project().bookmarks()[0]);
  rig.settle();
  const std::vector<TriedSetting>& tried = rig.session.data<Tried>().settings();
  const auto measured = std::ranges::find(tried, with_budget(32), &TriedSetting::settings);
  ASSERT_NE(measured, tried.end());
  EXPECT_EQ(measured->metrics.measured->kl, 0.3);
  EXPECT_TRUE(std::isnan(measured->metrics.predicted_kl)) << "unknown stays unknown";
  // Written again it is the same, to the byte.
  ProjectData data = project_from_text(text, "");
  EXPECT_EQ(project_text(data), text);
}

TEST_F(ProjectFile, OptionsGoBeforeTheFile) {
  full_file();
  Session session(synthetic_source(kShape), [] {}, {.n_thread = 1});
  session.read_projects();
  session.set_initial({.settings = with_budget(11), .why = {}});
  session.set_start({.layer = 1, .kv_head = -1, .step = -1, .position = -1});
  session.open(trace);
  while (session.trace() == nullptr) session.update();
  EXPECT_EQ(session.settings(), with_budget(11));
  EXPECT_EQ(session.selection(), (Selection{.layer = 1, .kv_head = 1, .step = 9, .position = 33}));
}

/// The file must neither be used nor touched; the window goes on.
void expect_left_alone(const std::filesystem::path& trace, const std::string& reason, const std::string& text) {
  ProjectRig rig(trace);
  EXPECT_NE(rig.project().message().find(reason), std::string::npos) << rig.project().message() << "\n"
                                                                     << text.substr(0, 200);
  EXPECT_EQ(rig.project().message().find('\n'), std::string::npos);
  EXPECT_TRUE(rig.project().notes().empty());
  rig.session.set_settings(with_budget(30));
  rig.rest();
  rig.project().save_now(rig.session, rig.window());
  EXPECT_EQ(read_all(project_path(trace)), text);
}

TEST_F(ProjectFile, OfANewerVersionIsRefusedInWordsAndNotOverwritten) {
  std::string text = full_file();
  text.replace(text.find("\"version\": 1"), 12, "\"version\": 2");
  write(text);
  expect_left_alone(trace, "expected version 1, got version 2, of a newer program", text);
}

TEST_F(ProjectFile, OfAnotherTraceIsNotUsed) {
  const std::string text = full_file();
  SyntheticShape other = kShape;
  other.n_prompt = 65;
  ProjectRig rig(trace, other);
  EXPECT_NE(rig.project().message().find("another trace's"), std::string::npos) << rig.project().message();
  rig.session.set_settings(with_budget(30));
  rig.rest();
  EXPECT_EQ(read_all(file), text);
}

// A trace that is being recorded grows; its notes stay its own.
TEST_F(ProjectFile, OfAGrownTraceIsStillIts) {
  full_file();
  SyntheticShape grown = kShape;
  grown.n_step = 16;
  ProjectRig rig(trace, grown);
  EXPECT_EQ(rig.project().message(), "");
  EXPECT_EQ(rig.project().notes().size(), 2U);
}

// A trace that is followed is opened anew every few steps, which must cost nobody a note, and no write its end.
TEST_F(ProjectFile, AsATraceGrowsNothingIsLost) {
  auto shape = std::make_shared<SyntheticShape>(kShape);
  ProjectRig rig(trace, [shape](const std::filesystem::path&) { return make_synthetic_source(*shape); });
  rig.session.set_settings(with_budget(24));
  rig.settle();
  rig.project().add_note({.text = "kept", .steps = {3, 3}});
  save_bookmark(4, rig.session, rig.view);
  rig.frame(), rig.frame();  // begins to write
  const size_t n_tried = rig.session.data<Tried>().settings().size();
  shape->n_step = 16;
  rig.session.reopen();
  rig.settle();
  EXPECT_EQ(rig.session.trace()->info.n_step, 16);
  ASSERT_EQ(rig.project().notes().size(), 1U);
  EXPECT_TRUE(rig.project().bookmarks()[3].has_value());
  EXPECT_EQ(rig.session.data<Tried>().settings().size(), n_tried);
  EXPECT_EQ(project_from_text(read_all(file), "").notes.size(), 1U);
  rig.project().add_note({.text = "another", .steps = {15, 15}});
  rig.rest(), rig.rest();
  const ProjectData data = project_from_text(read_all(file), "");
  EXPECT_EQ(data.notes.size(), 2U);
  EXPECT_EQ(data.tried.size(), n_tried) << "those of before are in it";
}

TEST_F(ProjectFile, JunkIsLeftAlone) {
  const std::string whole = full_file();
  std::vector<std::string> junk = {"",
                                   "null",
                                   "[]",
                                   "{}",
                                   "precious",
                                   std::string(100, '\0'),
                                   "\xff\xfe{",
                                   R"({"format": "reattend-view"})",
                                   R"({"format": "reattend-view", "version": "1"})"};
  junk.push_back(std::string(1 << 20, '['));
  for (size_t n = 1; n < whole.size(); n += whole.size() / 12) junk.push_back(whole.substr(0, n));
  for (const std::string& text : junk) {
    write(text);
    expect_left_alone(trace, "expected", text);
  }
}

// Every member with a value of every wrong kind: no crash, no half-used file, always a line that names the file.
TEST_F(ProjectFile, EveryMemberIsChecked) {
  const nlohmann::json whole = nlohmann::json::parse(full_file());
  const std::vector<nlohmann::json> wrong = {nlohmann::json(),   "x", -7, 1e300, 0.5, nlohmann::json::array({1, 2, 3}),
                                             {{"name", "none"}}, true};
  int n_refused = 0;
  const auto is_refused = [](const nlohmann::json& project) {
    try {
      project_from_text(project.dump(), "the file");
      return false;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find("the file"), 0U) << error.what();
      return true;
    }
  };
  std::set<std::string> seen;
  const nlohmann::json flat = whole.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    for (nlohmann::json::json_pointer at(pointer); !at.empty(); at.pop_back()) {
      if (!seen.insert(at.to_string()).second) continue;
      for (const nlohmann::json& bad : wrong) {
        nlohmann::json changed = whole;
        changed[at] = bad;
        if (is_refused(changed)) ++n_refused;
      }
    }
    nlohmann::json more = whole;
    more[nlohmann::json::json_pointer(pointer).parent_pointer()].is_object()
        ? void(more[nlohmann::json::json_pointer(pointer).parent_pointer()]["surprise"] = 1)
        : void(more["surprise"] = 1);
    EXPECT_TRUE(is_refused(more)) << pointer;
  }
  EXPECT_GT(n_refused, 500);
}

TEST_F(ProjectFile, InAFolderThatCannotBeWrittenToTheWindowGoesOn) {
  // Where even root cannot make a file: beneath what is none.
  const std::filesystem::path nowhere = folder / "plain" / "trace.h5";
  std::ofstream(folder / "plain") << "a file";
  ProjectRig rig(nowhere);
  EXPECT_EQ(rig.project().message(), "");
  rig.session.set_settings(with_budget(30));
  rig.rest();
  rig.frame();
  EXPECT_NE(rig.project().message().find("nothing is kept beyond this window"), std::string::npos)
      << rig.project().message();
  rig.project().add_note({.text = "still here", .steps = {1, 1}});
  rig.rest();
  EXPECT_EQ(rig.project().notes().size(), 1U);
}

TEST_F(ProjectFile, AtTheEndWhatIsNotWrittenYetIs) {
  ProjectRig rig(trace);
  rig.session.set_settings(with_budget(55));
  rig.project().save_now(rig.session, rig.window());
  EXPECT_EQ(project_from_text(read_all(file), "").settings, with_budget(55));
}

TEST_F(ProjectFile, APictureReadsItAndLeavesItAlone) {
  const std::string text = full_file();
  ProjectRig rig(trace);
  rig.project().only_read();
  EXPECT_EQ(rig.project().notes().size(), 2U);
  rig.session.set_settings(with_budget(30));
  rig.rest();
  rig.project().save_now(rig.session, rig.window());
  EXPECT_EQ(read_all(file), text);
}

}  // namespace
}  // namespace reattend::viz::testing
