// What the tuner's tests share: hand-made runs of one model, options that suit them, and an engine that answers.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/replay/hand_made.h"
#include "tune/tune.h"

namespace reattend {

/// One run with a calibration, and a grid of eight settings.
class Tune : public ::testing::Test {
 protected:
  Tune() : run_(std::make_shared<HandMade>(HandMadeShape{.n_layer = 3, .n_prompt = 128, .n_step = 24}, 5)), pool_(2) {
    run_->info().calibration = {
        .weights_ms = 1e-3, .stream_gbps = 40, .attend_stream_gbps = 20, .attend_gather_gbps = 10, .score_gbps = 15};
    options_.grid.tried = {
        {"K", {std::string("L/4"), int64_t{16}}}, {"S", {int64_t{2}, int64_t{8}}}, {"threshold", {0.3, 0.6}}};
    options_.grid.gate_strides = {int64_t{4}};
    options_.bounds = {.max_output_error = 10, .max_lost_mass = 0.9, .max_kl = 0.1};
    options_.n_schedule = 0;  // tests/tune/schedule_test.cpp
  }
  TuneResult tuned(const MeasureFn& measure = {}) {
    Replayer replayer(run_, pool_);
    Replayer* const one[] = {&replayer};
    return tune(one, options_, measure, {}, Cancel());
  }

  std::shared_ptr<HandMade> run_;
  ThreadPool pool_;
  TuneOptions options_;
};

/// Which setting is which, by the order in which they were first asked for.
struct Asked {
  std::vector<Settings> different;
  std::vector<int> calls;
  /// From 1.
  int place(const Settings& settings) {
    auto found = std::find(different.begin(), different.end(), settings);
    if (found == different.end()) found = different.insert(found, settings);
    calls.push_back(static_cast<int>(found - different.begin()) + 1);
    return calls.back();
  }
};

/// Full attention takes 5 ms and differs from itself in nothing; the others are `answer`'s.
inline MeasureFn beside_full(std::function<Score(const Settings&, size_t trace)> answer) {
  return [answer = std::move(answer)](const Settings& settings, size_t trace) {
    if (settings == Settings("full")) return Score{.kl = 0, .agreement = 1, .ms = 5};
    return answer(settings, trace);
  };
}

/// The line of an error in wrong use; "accepted" where there is none.
inline std::string refusal(const std::function<void()>& what) {
  try {
    what();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
    return error.what();
  }
  return "accepted";
}

/// Two texts on one model: of the longer prompt a budget of so many positions loses more.
class TuneTwo : public Tune {
 protected:
  TuneTwo() : longer_(std::make_shared<HandMade>(HandMadeShape{.n_layer = 3, .n_prompt = 300, .n_step = 16}, 9)) {
    run_->info().path = "short.h5", longer_->info().path = "long.h5";
    longer_->info().calibration = run_->info().calibration;
    options_.grid.tried["K"] = {int64_t{16}, int64_t{64}};
  }
  TuneResult both(const MeasureFn& measure = {}) {
    Replayer a(run_, pool_), b(longer_, pool_);
    Replayer* const traces[] = {&a, &b};
    return tune(traces, options_, measure, {}, Cancel());
  }
  static const Candidate& find(const TuneResult& result, const Settings& settings) {
    return *std::find_if(result.candidates.begin(), result.candidates.end(),
                         [&](const Candidate& candidate) { return candidate.settings == settings; });
  }

  std::shared_ptr<HandMade> longer_;
};

}  // namespace reattend
