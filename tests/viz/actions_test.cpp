// The table of actions: what is typed, pressed or chosen from the palette is the same call, and wrong ones are named.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "complaint.h"
#include "gui_host.h"
#include "synthetic_source.h"
#include "viz/actions/candidates.h"
#include "viz/actions/fuzzy.h"
#include "viz/actions/key_sheet.h"
#include "viz/actions/state.h"
#include "viz/session/baseline.h"
#include "viz/session/state_keeping.h"

namespace reattend::viz::testing {
namespace {

TEST(ActionTable, EveryActionSaysWhatItIs) {
  const Actions actions;
  for (const Action& each : actions.all()) {
    EXPECT_FALSE(each.title.empty()) << each.name;
    EXPECT_FALSE(each.group.empty()) << each.name;
    EXPECT_TRUE(each.run) << each.name;
    for (const Argument& argument : each.arguments) EXPECT_FALSE(argument.help.empty()) << each.name;
  }
  Actions more;
  EXPECT_THROW(more.add({.name = "step.next"}), std::logic_error);
}

TEST(ActionTable, TextAndJsonAreTheSameCall) {
  const Actions actions;
  const auto same = [&](const std::string& text, const std::string& object) {
    const Call a = actions.parse(text), b = actions.parse(object);
    EXPECT_EQ(a.action, b.action) << text;
    EXPECT_EQ(a.arguments, b.arguments) << text;
    const Call again = actions.parse(to_line(a));
    EXPECT_EQ(again.arguments, a.arguments) << to_line(a);
  };
  same("step.next", R"({"action": "step.next"})");
  same("step.set step=12", R"({"action": "step.set", "args": {"step": 12}})");
  same("  step.set\t12 ", R"({"action": "step.set", "args": {"step": 12}})");
  same(R"(setting.load "my \"best\" file.toml")",
       R"({"action": "setting.load", "args": {"file": "my \"best\" file.toml"}})");
  same("setting.load /tmp/a=b.toml", R"({"action": "setting.load", "args": {"file": "/tmp/a=b.toml"}})");
  same("setting.set policy=recycled K=L/8 S=10",
       R"({"action": "setting.set", "args": {"policy": "recycled", "K": "L/8", "S": 10}})");
  same("theme.light on=true", R"({"action": "theme.light", "args": {"on": true}})");
  same("bounds.set kl=0.5", R"({"action": "bounds.set", "args": {"kl": 0.5}})");
}

TEST(ActionTable, WrongCallsAreNamedBeforeAnythingIsRun) {
  const Actions actions;
  const auto expect = [&](const std::string& line, const std::string& words) {
    EXPECT_NE(complaint([&] { actions.parse(line); }).find(words), std::string::npos)
        << line << ": " << complaint([&] { actions.parse(line); });
  };
  expect("step.nxt", "step.next");
  expect("step.set", "got no step");
  expect("step.set step=0", "from 1");
  expect("step.set step=1.5", "a whole number");
  expect("step.set step=12 step=13", "twice");
  expect("step.set 12 13", "\"13\" as well");
  expect("step.next 3", "as well");
  expect("step.set layer=3", "an argument \"layer\"");
  expect("theme.light on=maybe", "true or false");
  expect("bounds.set kl=nan", "a number");
  expect("setting.load \"a", "quotation mark");
  expect(R"({"action": "step.set", "args": {"step": "12"}})", "a whole number");
  expect(R"({"action": "step.set", "args": {"step": 99999999999999999999}})", "a whole number");
  expect(R"({"action": "step.set", "args": [12]})", "args");
  expect(R"({"action": 3})", "no name");
  expect("{\"action\"", "JSON");
  expect("", "a name");
}

TEST(Chords, ReadBackAsTheyAreShown) {
  const Actions actions;
  const Keys keys(actions);
  for (const KeyBinding& each : keys.all()) EXPECT_EQ(parse_chord(to_text(each.chord)), each.chord);
  for (const char* text : {"Ctrl+Shift+P", "?", "F12", "Left", "Ctrl+,", "Alt+7", "Space", "PageUp"}) {
    ASSERT_TRUE(parse_chord(text).has_value()) << text;
    EXPECT_EQ(to_text(*parse_chord(text)), text);
  }
  for (const char* text : {"", "Ctrl", "Ctrl+", "Hyper+P", "PP", "GamepadStart", "MouseLeft", "+"}) {
    EXPECT_FALSE(parse_chord(text).has_value()) << text;
  }
}

TEST(KeyFile, TakesKeysFromOthersAndLeavesAllAsTheyWereWhereItIsWrong) {
  const Actions actions;
  Keys keys(actions);
  keys.replace(R"({"step.next": ["J", "["], "step.last": [], "layer.set layer=3": ["3"]})", "keys.json");
  EXPECT_EQ(keys.shown(*actions.find("step.next")), "J, [");
  EXPECT_EQ(keys.shown(*actions.find("layer.previous")), "") << "had [";
  EXPECT_EQ(keys.shown(*actions.find("step.last")), "");
  EXPECT_EQ(keys.shown(*actions.find("step.previous")), "Left");
  const size_t n = keys.all().size();
  for (const auto& [text, words] : std::initializer_list<std::pair<const char*, const char*>>{
           {"{", "no JSON"},
           {"[]", "keys by action"},
           {R"({"step.next": "J"})", "step.next with"},
           {R"({"step.next": ["Jay"]})", "\"Jay\""},
           {R"({"step.next": ["K"], "step.nxt": ["J"]})", "step.next"},
           {R"({"step.set": ["J"]})", "got no step"}}) {
    const std::string said = complaint([&, bad = text] { keys.replace(bad, "keys.json"); });
    EXPECT_NE(said.find(words), std::string::npos) << text << ": " << said;
    EXPECT_EQ(said.find("keys.json"), 0U) << said;
    EXPECT_EQ(keys.all().size(), n);
    EXPECT_EQ(keys.shown(*actions.find("step.next")), "J, [");
  }
}

TEST(Fuzzy, PrefersWholeWordsAndNeedsAllOfThem) {
  EXPECT_GT(fuzzy_score("step", "next step"), fuzzy_score("step", "instep"));
  EXPECT_GT(fuzzy_score("tep", "next step"), fuzzy_score("nst", "next step"));
  EXPECT_GT(fuzzy_score("ns", "next step"), 0);
  EXPECT_GT(fuzzy_score("STEP next", "next step"), 0);
  EXPECT_EQ(fuzzy_score("step layer", "next step"), 0);
  EXPECT_EQ(fuzzy_score("pets", "next step"), 0);
}

class ActionsInTheWindow : public ::testing::Test {
 protected:
  ActionsInTheWindow() : host(synthetic_source(shape)) { app().open({"trace.h5"}); }
  App& app() { return host.app(); }
  Session& session() { return host.app().session(); }
  void run(std::function<void(ImGuiTestContext*)> body) {
    const std::string log = host.run([this, body](ImGuiTestContext* ctx) {
      answer(ctx);
      body(ctx);
    });
    EXPECT_EQ(log, "");
  }
  /// Frames until the setting's own numbers are there; maps of other settings may take longer.
  void answer(ImGuiTestContext* ctx) {
    do ctx->Yield(3);
    while (!has_answered(app().bench()));
  }
  void act(const std::string& line) { Actions::run(app().bench(), app().actions().parse(line)); }
  /// A place from which every key leads somewhere else.
  void start(ImGuiTestContext* ctx, int32_t head) {
    for (const char* line : {"layer.set 2", "head.set 0", "step.set 25", "position.set 7", "colours.marks on=true",
                             "colours.logarithmic on=true", "text.set 1.21", "theme.light on=false"}) {
      act(line);
    }
    app().bench().keys_shown = app().bench().palette_shown = false;
    app().view().steps = {10, 40}, app().view().heat_positions = {100, 200};
    app().view().focus = Focus::heat_map;
    session().select_kv_head(head);
    answer(ctx);
    session().data<Baseline>().clear();
    Project& project = session().data<Project>();
    while (!project.notes().empty()) project.remove_note(0);
    UndoState now = undo_state(session(), app().view());
    for (size_t i = 0; i < kBookmarks; ++i) project.set_bookmark(i, {{.step = static_cast<int32_t>(i) + 1}, now.axes});
    // Something to take back, and something to do again.
    History& history = session().data<History>();
    history.enter(nullptr);
    for (const int32_t step : {24, 25, 26}) {
      now.selection.step = step;
      for (int frame = 0; frame < 2; ++frame) history.observe(now, true, -1000 + 10 * step);
    }
    history.undo(now);
  }
  nlohmann::json state() {
    nlohmann::json all = state_of(app().bench());
    all.erase("tasks");
    all["view"].erase("last_call");
    return all;
  }

  SyntheticShape shape{.n_layer = 5, .n_prompt = 256, .n_step = 48};
  GuiHost host;
};

// Whoever learns a key from the sheet gets what the action of that name does in a script.
TEST_F(ActionsInTheWindow, EveryKeyDoesWhatItsActionDoes) {
  run([this](ImGuiTestContext* ctx) {
    // Of these the state says nothing, or time goes on in it: that they are called is what is looked at here.
    const std::set<std::string> called_only = {"text", "axis of steps", "trace"};
    const std::vector<KeyBinding> bindings = app().keys().all();
    for (const KeyBinding& each : bindings) {
      if (called_only.contains(each.call.action->group)) continue;
      if (each.call.action->name == "note.add") continue;  // it leaves a field to type in, which takes the next keys
      for (const int32_t head : {0, 1}) {
        start(ctx, head);
        const nlohmann::json before = state();
        ctx->KeyPress(each.chord);
        answer(ctx);
        EXPECT_EQ(app().bench().last_call, to_line(each.call));
        const nlohmann::json by_key = state();
        start(ctx, head);
        act(to_line(each.call));
        answer(ctx);
        EXPECT_EQ(by_key, state()) << to_line(each.call);
        const bool at_end = each.call.action->name == (head == 0 ? "head.previous" : "head.next");
        EXPECT_EQ(by_key == before, at_end) << to_line(each.call) << " by " << to_text(each.chord);
      }
    }
    start(ctx, 0);
    // A dialog or a field to type in takes all keys: those come last.
    const std::vector<std::string> takes_keys = {"text.find", "trace.choose"};
    std::vector<KeyBinding> rest;
    for (const KeyBinding& each : bindings) {
      const bool takes = std::ranges::find(takes_keys, each.call.action->name) != takes_keys.end();
      if (called_only.contains(each.call.action->group) && !takes) rest.push_back(each);
    }
    for (const KeyBinding& each : rest) {
      ctx->KeyPress(each.chord);
      ctx->Yield(2);
      EXPECT_EQ(app().bench().last_call, to_line(each.call)) << to_text(each.chord);
    }
  });
}

TEST_F(ActionsInTheWindow, TheKeySheetHasEveryKeyAndASearchNarrowsIt) {
  const auto rows = [&](const std::string& search) {
    std::vector<KeyRow> out;
    for (const KeyGroup& group : key_groups(app().actions(), app().keys(), search)) {
      out.insert(out.end(), group.rows.begin(), group.rows.end());
    }
    return out;
  };
  const std::vector<KeyRow> all = rows("");
  for (const KeyBinding& each : app().keys().all()) {
    const auto row = std::ranges::find(all, to_line(each.call), &KeyRow::name);
    ASSERT_NE(row, all.end()) << to_line(each.call);
    EXPECT_NE(row->keys.find(to_text(each.chord)), std::string::npos) << row->keys;
  }
  const std::vector<KeyRow> few = rows("undo");
  EXPECT_LT(few.size(), all.size());
  EXPECT_NE(std::ranges::find(few, std::string("edit.undo"), &KeyRow::name), few.end());
  EXPECT_EQ(std::ranges::find(few, std::string("step.next"), &KeyRow::name), few.end());
}

TEST_F(ActionsInTheWindow, TheKeySheetOpensAndCloses) {
  run([this](ImGuiTestContext* ctx) {
    ctx->KeyPress(ImGuiMod_Shift | ImGuiKey_Slash);
    ctx->Yield(2);
    ASSERT_NE(ctx->GetWindowByRef("//Keys"), nullptr);
    EXPECT_TRUE(ctx->GetWindowByRef("//Keys")->WasActive);
    ctx->ItemInputValue("//Keys/##search", "layer");
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Escape);  // ends typing
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(2);
    EXPECT_FALSE(app().bench().keys_shown);
  });
}

TEST_F(ActionsInTheWindow, ThePaletteRunsWhatIsTyped) {
  run([this](ImGuiTestContext* ctx) {
    const auto type = [&](const char* text) {
      ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_K);
      ctx->Yield(3);
      ASSERT_TRUE(app().bench().palette_shown);
      ctx->KeyChars(text);
      ctx->Yield(2);
      ctx->KeyPress(ImGuiKey_Enter);
      ctx->Yield(3);
    };
    type("layer 4");
    EXPECT_EQ(session().selection().layer, 4);
    EXPECT_FALSE(app().bench().palette_shown);
    type("step 33");
    EXPECT_EQ(session().selection().step, 33);
    type("setting.set K=96 S=8");
    answer(ctx);
    EXPECT_EQ(std::get<int64_t>(session().settings().get("K")), 96);
    EXPECT_EQ(std::get<int64_t>(session().settings().get("S")), 8);
    type("light colours");
    EXPECT_TRUE(app().view().light);
    act("panel.hide Ledger");
    type("show panel ledger");
    answer(ctx);
    EXPECT_TRUE(app().bench().panel("Ledger", "").open);
    // What lacks arguments is completed to its name, then says what is wrong, and stays until Escape.
    type("go to step");
    EXPECT_TRUE(app().bench().palette_shown);
    ctx->KeyChars("seven");
    ctx->KeyPress(ImGuiKey_Enter);
    ctx->Yield(2);
    EXPECT_TRUE(app().bench().palette_shown);
    EXPECT_EQ(session().selection().step, 33);
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(2);
    EXPECT_FALSE(app().bench().palette_shown);
    // Keys of the window do nothing while one types.
    EXPECT_TRUE(app().view().marks);
  });
}

TEST_F(ActionsInTheWindow, ThePaletteFindsTokensFromTheSelectedPositionOn) {
  run([this](ImGuiTestContext*) {
    session().select_position(100);
    const std::string token = session().token_text(150);
    const auto found = candidates(app().actions(), app().bench(), token);
    ASSERT_FALSE(found.empty());
    bool listed = false;
    for (const Candidate& each : found) listed |= each.line == "position.set 150" && each.problem.empty();
    EXPECT_TRUE(listed) << token;
  });
}

TEST_F(ActionsInTheWindow, TheMenusHaveTheTablesActions) {
  run([this](ImGuiTestContext* ctx) {
    ctx->MenuClick("//##MainMenuBar/Edit/###note at the selected step and position");
    EXPECT_EQ(session().data<Project>().notes().size(), 1U);
    ctx->MenuClick("//##MainMenuBar/View/light colours");
    EXPECT_TRUE(app().view().light);
    ctx->MenuClick("//##MainMenuBar/Help/keys and what they do");
    EXPECT_TRUE(app().bench().keys_shown);
    ctx->MenuClick("//##MainMenuBar/Trace/close the window");
    EXPECT_TRUE(app().bench().closing);
  });
}

TEST_F(ActionsInTheWindow, WrongValuesOfASettingLeaveItAsItWas) {
  run([this](ImGuiTestContext*) {
    const Settings before = session().settings();
    for (const char* line : {"setting.set K=0", "setting.set K=64 nosuch=3", "setting.set K=64 stride=many",
                             "setting.set policy=nosuch", "setting.set K=12 threshold=much", "bounds.set kl=0",
                             "panel.show Nosuch", "setting.load /no/such/file.toml"}) {
      EXPECT_NE(complaint([&] { act(line); }), "no error") << line;
      EXPECT_EQ(session().settings(), before) << line;
    }
    EXPECT_EQ(session().bounds(), TuneBounds());
  });
}

// The numbers that a script reads are those of the panels, to the bit.
TEST_F(ActionsInTheWindow, TheStateHasTheNumbersOfThePanels) {
  run([this](ImGuiTestContext* ctx) {
    act("setting.set K=96 S=8");
    answer(ctx);
    const nlohmann::json state = state_of(app().bench());
    EXPECT_EQ(state["setting"], session().settings().to_json());
    EXPECT_EQ(state["goal"]["ms_per_token"].get<double>(), session().total()->ms_per_token);
    EXPECT_EQ(state["selection"]["step"], session().selection().step);
    EXPECT_TRUE(state["tasks"]["answered"].get<bool>());
    EXPECT_EQ(state["trace"]["n_layer"], shape.n_layer);
    EXPECT_TRUE(state["goal"]["kl"].is_null()) << "there is no study of this model";
  });
}

}  // namespace
}  // namespace reattend::viz::testing
