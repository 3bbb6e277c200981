// A person verifies, tunes, compares and reads from the window: what comes back is what the program found, and a
// program that does not come back is said in words.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "base/error.h"
#include "base/utf8.h"
#include "gui_host.h"
#include "policies/policy_list.h"
#include "tiny_trace.h"
#include "tune/judge.h"
#include "viz/session/engine.h"
#include "viz/session/goal.h"
#include "viz/session/landscape.h"
#include "viz/session/measured.h"
#include "viz/session/tried.h"

namespace reattend::viz::testing {
namespace {

namespace fs = std::filesystem;

Settings trial() {
  Settings settings(kDefaultPolicy);
  settings.set("S", int64_t{6}), settings.set("K", int64_t{12});
  return settings;
}

class EngineFromTheWindow : public ::testing::Test {
 protected:
  EngineFromTheWindow() { engine().set_program(REATTEND_PROGRAM); }
  App& app() { return host.app(); }
  Session& session() { return app().session(); }
  Engine& engine() { return session().data<Engine>(); }
  const Measured& measured() { return session().data<Measured>(); }
  const EngineRun& last() { return *engine().runs().back(); }
  std::vector<std::string> log() {
    std::vector<std::string> out;
    last().look_at_log([&](const auto& lines, size_t) { out.assign(lines.begin(), lines.end()); });
    return out;
  }

  /// An executable script in the trace's folder.
  fs::path script(const std::string& text) {
    const fs::path path = trace.folder / "program";
    std::ofstream(path) << "#!/bin/sh\n" << text << "\n";
    ::chmod(path.c_str(), 0700);
    return path;
  }
  void run(const std::function<void(ImGuiTestContext*)>& body) {
    app().open({trace.path});
    const std::string log = host.run([this, &body](ImGuiTestContext* ctx) {
      host.settle(ctx);
      session().set_settings(trial());
      app().bench().show(app().bench().panel("Engine", ""));
      host.settle(ctx);
      body(ctx);
    });
    EXPECT_EQ(log, "");
  }
  /// Chooses the job, starts it and waits for its end.
  void do_job(ImGuiTestContext* ctx, EngineJob job) {
    ctx->ItemClick(("//Engine/" + std::string(name_of(job))).c_str());
    ctx->Yield(2);
    ctx->ItemClick("//Engine/###start");
    host.settle(ctx);
  }
  void start_script(ImGuiTestContext* ctx, const std::string& text) {
    engine().set_program(script(text));
    ctx->Yield(2);
    ctx->ItemClick("//Engine/###start");
  }

  const TinyTrace trace;
  GuiHost host{open_trace_file};
};

TEST_F(EngineFromTheWindow, VerifyMeasuresTheSettingAndCorrectsWhatIsPredicted) {
  run([this](ImGuiTestContext* ctx) {
    EXPECT_TRUE(engine().model().found) << engine().model().path;
    EXPECT_EQ(kl_in_words(session()).text, "KL unknown: no study of this model");
    do_job(ctx, EngineJob::verify);
    EXPECT_EQ(last().state(), RunState::done) << last().outcome();
    const nlohmann::json found = json_in(trace.beside(".verified.1.json"));
    ASSERT_TRUE(found.is_object());
    const MeasuredSetting* const one = measured().find(trial());
    ASSERT_NE(one, nullptr);
    EXPECT_EQ(one->measured.kl, found["kl"].get<double>());
    EXPECT_EQ(one->measured.agreement, found["agreement"].get<double>());
    EXPECT_EQ(one->measured.ms, found["verified"]["ms"].get<double>());
    const auto& tried = session().data<Tried>().settings();
    const auto at = std::ranges::find(tried, trial(), &TriedSetting::settings);
    ASSERT_NE(at, tried.end());
    EXPECT_EQ(at->metrics.measured->kl, one->measured.kl);
    EXPECT_EQ(kl_in_words(session()).text, fmt::format("KL measured {:.3g}", found["kl"].get<double>()));
    const std::vector<std::string> said = log();
    for (const nlohmann::json& line : found["findings"]) {
      EXPECT_NE(std::ranges::find(said, visible(line.get<std::string>())), said.end()) << line;
    }
    // The law is the tuner's, to the bit, and other settings now have a KL.
    const TraceInfo& info = session().trace()->info;
    const Prediction law = make_prediction(info, {}, {read_verified(trace.beside(".verified.1.json"))});
    EXPECT_EQ(session().tuning()->prediction.curve.scale, law.curve.scale);
    EXPECT_EQ(law.correction.n, 1);
    Settings other = trial();
    other.set("K", int64_t{8});
    session().set_settings(other);
    host.settle(ctx);
    const nlohmann::json tuned = ask_program(
        {"tune", trace.path.string(), "--strides", "6", "--budgets", "8", "--schedule", "fixed", "--schedules", "0",
         "--verified", trace.beside(".verified.1.json").string(), "--out", (trace.folder / "x.toml").string()});
    bool seen = false;
    for (const nlohmann::json& point : tuned["points"]) {
      if (Settings::from_json(point["settings"], "") != other) continue;
      EXPECT_EQ(session().data<Goal>().judged()->metrics.predicted_kl, point["predicted_kl"].get<double>());
      seen = true;
    }
    EXPECT_TRUE(seen);
  });
}

TEST_F(EngineFromTheWindow, WhatWasMeasuredIsThereWhenTheTraceIsOpenedAgain) {
  run([this](ImGuiTestContext* ctx) {
    do_job(ctx, EngineJob::verify);
    do_job(ctx, EngineJob::verify);
    EXPECT_FALSE(fs::exists(trace.beside(".verified.2.json"))) << "the same setting keeps its file";
    const double kl = measured().find(trial())->measured.kl;
    session().open(trace.path);
    host.settle(ctx);
    ASSERT_NE(measured().find(trial()), nullptr);
    EXPECT_EQ(measured().find(trial())->measured.kl, kl);
    EXPECT_EQ(session().tuning()->prediction.correction.n, 1);
  });
}

TEST_F(EngineFromTheWindow, TuneFillsTheLandscape) {
  run([this](ImGuiTestContext* ctx) {
    do_job(ctx, EngineJob::tune);
    EXPECT_EQ(last().state(), RunState::done) << last().outcome();
    const nlohmann::json found = json_in(trace.beside(".tune.json"));
    ASSERT_TRUE(found.is_object());
    EXPECT_TRUE(fs::exists(trace.beside(".tuned.toml")) && fs::exists(trace.beside(".tune.html"))) << "choice, report";
    const Landscapes& maps = session().data<Landscapes>();
    size_t n_known = 0, n_measured = 0;
    for (const nlohmann::json& point : found["points"]) {
      const Settings settings = Settings::from_json(point["settings"], "");
      if (point.contains("measured")) {
        ASSERT_NE(measured().find(settings), nullptr) << settings.summary();
        EXPECT_EQ(measured().find(settings)->measured.kl, point["measured"]["kl"].get<double>());
        ++n_measured;
      }
      if (!point["all_layers"].get<bool>() || settings.is_full()) continue;
      ASSERT_NE(measured().tuned(settings), nullptr) << settings.summary();
      EXPECT_EQ(measured().tuned(settings)->estimate, point["estimate"].get<double>());
      const Metrics* const known = maps.known(settings);
      if (known == nullptr) continue;  // with a gate, or by layer
      EXPECT_EQ(known->estimate, point["estimate"].get<double>()) << settings.summary();
      EXPECT_EQ(known->cost, point["cost"].get<double>());
      ++n_known;
    }
    EXPECT_GT(n_known, 5U);
    EXPECT_GT(n_measured, 0U);
  });
}

TEST_F(EngineFromTheWindow, CompareMeasuresOtherPoliciesToo) {
  run([this](ImGuiTestContext* ctx) {
    do_job(ctx, EngineJob::compare);
    EXPECT_EQ(last().state(), RunState::done) << last().outcome();
    const nlohmann::json found = json_in(trace.beside(".compare.json"));
    ASSERT_TRUE(found.is_object());
    size_t n = 0;
    for (const nlohmann::json& policy : found["policies"]) {
      const Settings settings = Settings::from_json(policy["settings"], "");
      if (settings.is_full()) continue;
      const MeasuredSetting* const one = measured().find(settings);
      ASSERT_NE(one, nullptr) << settings.summary();
      EXPECT_EQ(one->measured.kl, policy["kl"].get<double>());
      EXPECT_EQ(settings.count("K", 0, 60), 12);
      ++n;
    }
    EXPECT_GT(n, 5U);
    // Along the recorded tokens: what `verify` measures.
    const nlohmann::json verified = ask_program({"verify", trace.path.string(), "--model", kTinyModel, "--policy",
                                                 "recycled", "--stride", "6", "--budget", "12", "--repeats", "0"});
    EXPECT_NEAR(measured().find(trial())->measured.kl, verified["kl"].get<double>(), 1e-9);
  });
}

TEST_F(EngineFromTheWindow, BothTextsAreReadAndPartWhereTheyDo) {
  run([this](ImGuiTestContext* ctx) {
    do_job(ctx, EngineJob::generate);
    EXPECT_EQ(last().state(), RunState::done) << last().outcome();
    const TwoTexts* const texts = engine().texts();
    ASSERT_NE(texts, nullptr);
    const std::vector<std::string> like = {"run",
                                           "--prompt-trace",
                                           trace.path.string(),
                                           "--model",
                                           kTinyModel,
                                           "--kv",
                                           "f16",
                                           "--activations",
                                           "q8",
                                           "--prefill",
                                           "f32",
                                           "--steps",
                                           "24",
                                           "--ignore-end"};
    std::vector<std::string> under = like;
    under.insert(under.end(), {"--policy", "recycled", "--stride", "6", "--budget", "12"});
    const nlohmann::json full = ask_program(like), policy = ask_program(under);
    EXPECT_EQ(texts->full.text, full["text"].get<std::string>());
    EXPECT_EQ(texts->policy.tokens, policy["tokens"].get<std::vector<int32_t>>());
    const auto ids = full["tokens"].get<std::vector<int32_t>>();
    ASSERT_EQ(ids.size(), 24U);
    // The recording is greedy, so that full attention writes it again.
    EXPECT_EQ(n_recorded(texts->full, measured().files().tokens, 60), ids.size());
    ASSERT_TRUE(texts->part()) << "a setting this poor writes something else";
    const auto n = static_cast<size_t>(texts->step());
    EXPECT_NE(texts->full.tokens[n], texts->policy.tokens[n]);
    EXPECT_TRUE(std::equal(ids.begin(), ids.begin() + texts->step(), texts->policy.tokens.begin()));
    // From the text to the step, and to the layer that lost most there.
    app().bench().show(app().bench().panel("Texts", ""));
    ctx->Yield(3);
    const HeatMatrix lost = session().layer_map(LayerMeasure::lost_mass);
    int32_t worst = 0;
    const auto at = [&](int32_t layer) { return lost.values[int64_t{layer} * lost.n_column + texts->step() - 1]; };
    for (int32_t l = 1; l < lost.n_row; ++l) worst = at(l) > at(worst) ? l : worst;
    session().select_step(1);
    ctx->ItemClick("//Texts/###step");
    EXPECT_EQ(session().selection().step, texts->step());
    session().select_step(1), session().select_layer(worst == 0 ? 1 : 0);
    ctx->ItemClick(("//Texts/###layer" + std::to_string(worst)).c_str());
    EXPECT_EQ(session().selection().layer, worst);
    EXPECT_EQ(session().selection().step, texts->step());
  });
}

TEST_F(EngineFromTheWindow, CommandsAreEditedBeforeTheyStart) {
  run([this](ImGuiTestContext* ctx) {
    const std::string made = engine().command_text(session(), EngineJob::verify);
    EXPECT_NE(made.find("verify " + trace.path.string()), std::string::npos) << made;
    EXPECT_NE(made.find("--stride 6 --budget 12"), std::string::npos) << made;
    ctx->ItemInput("//Engine/##commands");
    ctx->KeyCharsReplace(("verify " + trace.path.string() + " --policy h2o --budget 9 --repeats 0 --model " +
                          std::string(kTinyModel) + " --out " + trace.beside(".verified.7.json").string())
                             .c_str());
    ctx->ItemClick("//Engine/###start");
    host.settle(ctx);
    Settings h2o("h2o");
    h2o.set("K", int64_t{9});
    ASSERT_NE(measured().find(h2o), nullptr) << last().outcome();
    EXPECT_EQ(measured().find(h2o)->from, "trace.h5.verified.7.json");
  });
}

TEST_F(EngineFromTheWindow, HowAProgramEndedIsSaidInWords) {
  const std::pair<std::string, std::string> cases[] = {
      {"kill -9 $$", "killed by signal 9 (Killed)"},
      {"echo 'reattend: no model' >&2; exit 1", "exit code 1: failed; reattend: no model"},
      {"exit 2", "exit code 2: wrong use"},
      {"echo '{\"progress\"'; echo garbage", "it ended, but what it printed is no JSON"},
      {"head -c 1000 /dev/urandom; head -c 1000 /dev/urandom >&2", "it ended, but what it printed is no JSON"},
      {"exit 0", "it ended without an answer"},
  };
  run([&](ImGuiTestContext* ctx) {
    for (const auto& [text, words] : cases) {
      start_script(ctx, text);
      host.settle(ctx);
      EXPECT_EQ(last().state(), RunState::failed) << text;
      EXPECT_EQ(last().outcome(), words) << text;
      EXPECT_TRUE(measured().files().measured.empty());
    }
    EXPECT_EQ(engine().runs().size(), std::size(cases)) << "the history has them all";
  });
}

TEST_F(EngineFromTheWindow, JsonOfAnotherShapeIsNoFinding) {
  run([this](ImGuiTestContext* ctx) {
    for (const EngineJob job : {EngineJob::tune, EngineJob::compare, EngineJob::generate, EngineJob::verify}) {
      engine().set_program(script("echo '{\"points\": 3}'"));
      do_job(ctx, job);
      EXPECT_TRUE(measured().files().measured.empty());
      EXPECT_EQ(engine().texts(), nullptr);
    }
    EXPECT_EQ(measured().files().complaints.size(), 2U) << "of the two files that are kept";
    app().bench().show(app().bench().panel("Measured", ""));
    host.settle(ctx);
  });
}

TEST_F(EngineFromTheWindow, ProgressIsShownAndALongLogIsBounded) {
  run([this](ImGuiTestContext* ctx) {
    start_script(
        ctx,
        "i=0; while [ $i -lt 12000 ]; do echo \"line $i\" >&2; i=$((i+1)); done\n"
        "echo '{\"progress\": \"decode\", \"done\": 3, \"total\": 12, \"unit\": \"steps\", \"seconds\": 1}' >&2\n"
        "while [ ! -e " +
            (trace.folder / "go").string() + " ]; do sleep 0.01; done; echo '{}'");
    while (last().progress().what.empty()) ctx->Yield();
    EXPECT_EQ(last().progress().what, "decode");
    EXPECT_EQ(last().progress().done, 3);
    EXPECT_EQ(last().progress().total, 12);
    ctx->Yield(3);  // the panel draws it
    size_t n_gone = 0;
    last().look_at_log([&](const auto& lines, size_t gone) {
      n_gone = gone;
      EXPECT_EQ(lines.size(), EngineRun::kMostLines);
      EXPECT_EQ(lines.back(), "line 11999");
    });
    EXPECT_EQ(n_gone, 12'001 - EngineRun::kMostLines) << "the command line was one";
    ctx->ItemInput("//Engine/##filter");
    ctx->KeyCharsReplace("11999");
    ctx->Yield(2);
    ctx->ItemClick("//Engine/copy log");
    EXPECT_STREQ(ImGui::GetClipboardText(), "line 11999\n");
    std::ofstream(trace.folder / "go") << "";
    host.settle(ctx);
  });
}

TEST_F(EngineFromTheWindow, StopEndsEvenAProgramThatIgnoresSignals) {
  engine().set_grace(std::chrono::milliseconds(50));
  run([this](ImGuiTestContext* ctx) {
    start_script(ctx, "trap '' INT TERM; echo ready >&2; while :; do sleep 1; done");
    while (log().size() < 2) ctx->Yield();
    EXPECT_THROW(engine().start(session(), EngineJob::verify, "verify x"), Error) << "one at a time";
    ctx->ItemClick("//Engine/stop");
    host.settle(ctx);
    EXPECT_EQ(last().state(), RunState::stopped);
    EXPECT_EQ(last().outcome(), "stopped");
  });
}

TEST_F(EngineFromTheWindow, AWindowThatClosesLeavesNoProgramBehind) {
  engine().set_grace(std::chrono::milliseconds(50));
  pid_t child = 0;
  auto other = std::make_unique<Session>(open_trace_file, [] {});
  Session& in = *other;
  in.data<Engine>().set_program(script("echo $$ >&2; while :; do sleep 1; done"));
  in.data<Engine>().set_grace(std::chrono::milliseconds(50));
  in.open(trace.path);
  const auto wait = [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    in.update();
  };
  while (in.trace() == nullptr) wait();
  in.data<Engine>().start(in, EngineJob::verify, "verify x");
  while (child == 0) {
    wait();
    in.data<Engine>().runs().back()->look_at_log([&](const auto& lines, size_t) {
      if (lines.size() > 1) child = std::stoi(lines.back());
    });
  }
  ASSERT_GT(child, 0);
  EXPECT_EQ(::kill(child, 0), 0);
  other.reset();
  EXPECT_NE(::kill(child, 0), 0);
}

TEST_F(EngineFromTheWindow, AMissingProgramOrModelIsNamed) {
  engine().set_program("/no/such/reattend");
  run([this](ImGuiTestContext* ctx) {
    EXPECT_TRUE(engine().program().empty());
    try {
      engine().start(session(), EngineJob::verify, "verify x");
      FAIL();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("/no/such/reattend"), std::string::npos) << error.what();
    }
    engine().set_program(REATTEND_PROGRAM);
    engine().set_model("/no/such/model.gguf");
    EXPECT_FALSE(engine().model().found);
    ctx->Yield(2);
    do_job(ctx, EngineJob::verify);
    EXPECT_EQ(last().state(), RunState::failed);
    EXPECT_NE(last().outcome().find("/no/such/model.gguf"), std::string::npos) << last().outcome();
  });
}

// What is drawn is drawn by a program that cannot compute a token.
TEST(View, LinksNoEngine) {
  std::istringstream links(VIEW_LINKS);
  std::vector<std::string> names;
  for (std::string each; std::getline(links, each, ',');) names.push_back(each);
  EXPECT_NE(std::ranges::find(names, "replay"), names.end());
  for (const std::string& each : names) {
    EXPECT_FALSE(each.starts_with("engine") || each == "evals" || each == "bench") << each;
  }
}

}  // namespace
}  // namespace reattend::viz::testing
