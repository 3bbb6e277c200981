// What benchmarks found, each as tables, JSON and a chart.
#pragma once
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "bench/model_bench.h"
#include "bench/replay_times.h"
#include "bench/scale.h"
#include "report/chart.h"

namespace reattend::cli {

std::string to_text(const ModelBench& found);
nlohmann::json to_json(const ModelBench& found);
/// Rate against multiply-adds per byte under the machine's limits.
Chart to_chart(const ModelBench& found);

std::string to_text(const ScaleBench& found);
nlohmann::json to_json(const ScaleBench& found);
/// Time of a token, and speed-up, against context.
Chart to_chart(const ScaleBench& found);

/// `trace`: its name; empty for a made-up run.
std::string to_text(const ReplayTimes& found, const std::string& trace);
nlohmann::json to_json(const ReplayTimes& found, const std::string& trace);

}  // namespace reattend::cli
