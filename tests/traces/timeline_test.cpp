// A time line is a file that Perfetto and chrome://tracing load: every event has what its kind needs, and no slice
// overlaps another of its track.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/traces/synthetic.h"
#include "traces/export/perfetto.h"

namespace reattend {
namespace {

using namespace synthetic;
using Json = nlohmann::ordered_json;

std::string timeline_of(const std::filesystem::path& path) {
  const auto trace = TraceReader::open(path);
  std::string text;
  write_perfetto(
      *trace, [&](std::string_view part) { text += part; }, Cancel());
  return text;
}

/// What viewers know of a time line once it is loaded.
struct Timeline {
  std::string process;
  std::map<int, std::string> tracks;
  std::map<int, std::vector<Json>> slices;  ///< of each track
  std::map<std::string, std::vector<std::pair<int64_t, double>>> counters;
};

/// Loads as the format's description says (Trace Event Format, JSON object form): phases X, C and M, their required
/// fields and types.
Timeline load(const std::string& text) {
  Timeline out;
  const Json all = Json::parse(text);
  EXPECT_EQ(all.size(), 2U) << "importers stop at a key they don't know";
  EXPECT_EQ(all.begin().key(), "displayTimeUnit") << "it is looked for at the beginning only";
  EXPECT_EQ(all["displayTimeUnit"], "ms");
  std::map<int, int> order;
  for (const Json& event : all["traceEvents"]) {
    const std::string phase = event.at("ph"), name = event.at("name");
    const std::string shown = event.dump(-1, ' ', true, Json::error_handler_t::replace);
    EXPECT_FALSE(name.empty()) << shown;
    EXPECT_TRUE(event.at("pid").is_number_integer()) << shown;
    EXPECT_GT(event.at("tid").get<int>(), 0) << "0 is the idle thread: " << shown;
    EXPECT_TRUE(event.at("args").is_object()) << shown;
    for (const auto& [key, value] : event["args"].items()) {
      EXPECT_TRUE(value.is_string() || value.is_number()) << key << " in " << shown;
    }
    const int track = event["tid"];
    if (phase == "M") {
      if (name == "process_name") out.process = event["args"].at("name");
      if (name == "thread_name") out.tracks[track] = event["args"].at("name");
      if (name == "thread_sort_index") order[track] = event["args"].at("sort_index");
      continue;
    }
    EXPECT_TRUE(event.at("ts").is_number_integer()) << "whole microseconds: " << shown;
    EXPECT_GE(event["ts"], 0) << shown;
    if (phase == "C") {
      EXPECT_EQ(event["args"].size(), 1U) << shown;
      const Json& value = event["args"].begin().value();
      EXPECT_TRUE(value.is_number()) << shown;
      out.counters[name].emplace_back(event["ts"].get<int64_t>(), value.get<double>());
      continue;
    }
    EXPECT_EQ(phase, "X") << shown;
    EXPECT_TRUE(event.at("dur").is_number_integer()) << shown;
    EXPECT_GT(event["dur"], 0) << shown;
    EXPECT_FALSE(event.at("cat").get<std::string>().empty()) << shown;
    out.slices[track].push_back(event);
  }
  EXPECT_FALSE(out.process.empty());
  for (const auto& [track, slices] : out.slices) {
    EXPECT_TRUE(out.tracks.contains(track)) << "a track without a name: " << track;
    EXPECT_TRUE(order.contains(track)) << track;
    int64_t end = 0;
    for (const Json& slice : slices) {
      EXPECT_EQ(slice["ts"], end) << "slices of a track follow each other: " << slice;
      end = slice["ts"].get<int64_t>() + slice["dur"].get<int64_t>();
    }
  }
  for (const auto& [name, values] : out.counters) {
    for (size_t i = 1; i < values.size(); ++i) EXPECT_GT(values[i].first, values[i - 1].first) << name;
  }
  return out;
}

TEST(Timeline, EveryEventIsWhatViewersLoad) {
  const Folder folder;
  constexpr int32_t kSteps = 40;  // every token, the damaged, the empty and the invisible one too
  write_trace(folder / "a.h5", kSteps);
  const Timeline timeline = load(timeline_of(folder / "a.h5"));
  EXPECT_NE(timeline.process.find("recycled"), std::string::npos);
  ASSERT_EQ(timeline.tracks.size(), 1U + kLayers);
  EXPECT_EQ(timeline.tracks.at(1), "steps");
  EXPECT_EQ(timeline.tracks.at(3), "layer 01");
  for (const auto& [track, slices] : timeline.slices) EXPECT_EQ(slices.size(), size_t{kSteps}) << track;
  const auto trace = TraceReader::open(folder / "a.h5");
  const auto& layer = timeline.slices.at(3);
  for (int32_t t = 1; t <= kSteps; ++t) {
    const Json& slice = layer[static_cast<size_t>(t - 1)];
    const std::string name = slice["name"];
    // Decisions of layer 1 of the made-up recording: of both KV heads (t + 1) % 2.
    EXPECT_EQ(name, (t + 1) % 2 == 1 ? "full" : "partial") << t;
    EXPECT_EQ(slice["args"]["step"], t);
    EXPECT_FALSE(slice["args"]["reason"].get<std::string>().empty());
    const StepData made = step(t);
    EXPECT_NEAR(slice["args"]["recovered mass"].get<double>(), (made.recovered[2] + made.recovered[3]) / 2, 1e-6);
    EXPECT_NEAR(slice["args"]["cosine to last full"].get<double>(), made.cos_last_full[2], 1e-6) << "the other is nan";
    EXPECT_NEAR(slice["args"]["overlap 64"].get<double>(), (made.overlap[6] + made.overlap[9]) / 2, 1e-6);
  }
  const double total = 1.5e3 * kSteps * (kSteps + 1) / 2;  // us: step t of the made-up recording takes 1.5 t ms
  EXPECT_EQ(timeline.slices.at(1).back()["ts"].get<double>() + timeline.slices.at(1).back()["dur"].get<double>(),
            total);
  for (const char* name : {"recovered mass", "cosine to last full", "cosine to step before", "overlap 64",
                           "bytes attend", "log-probability", "full share"}) {
    ASSERT_TRUE(timeline.counters.contains(name)) << name;
    EXPECT_EQ(timeline.counters.at(name).size(), size_t{kSteps}) << name;
  }
}

TEST(Timeline, WhatWasNotMeasuredOrCanNotBeIsLeftOut) {
  const Folder folder;
  TraceHeader header = synthetic::header();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  const double times[] = {kNan, kInfinity, -3, 0, 1e-9, 0.0004, 1e300, 2.0004};
  {
    TraceWriter writer(folder / "a.h5", true);
    write_prompt(writer, header);
    for (int32_t t = 1; t <= static_cast<int32_t>(std::size(times)); ++t) {
      StepData record = step(t);
      record.recovered.assign(record.recovered.size(), kNan);
      record.overlap.assign(record.overlap.size(), kNan);
      record.logprob = {-kInfinity};
      record.reason.assign(record.reason.size(), 77);
      record.ms = {times[t - 1]};
      writer.append(record);
      writer.commit();
    }
    writer.close();
  }
  const std::string text = timeline_of(folder / "a.h5");
  const Timeline timeline = load(text);
  EXPECT_EQ(text.find("null"), std::string::npos);
  EXPECT_FALSE(timeline.counters.contains("recovered mass"));
  EXPECT_FALSE(timeline.counters.contains("log-probability"));
  EXPECT_EQ(timeline.slices.at(1).size(), std::size(times));
  EXPECT_EQ(timeline.slices.at(2)[0]["args"]["reason"], "reason 77");
  write_trace(folder / "b.h5", 0);
  EXPECT_TRUE(load(timeline_of(folder / "b.h5")).slices.empty()) << "a trace without steps";
}

}  // namespace
}  // namespace reattend
