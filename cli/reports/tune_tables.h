// The tables of a tuner's result, each declared once for the terminal, for documents and for the demo.
#pragma once
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "report/table.h"
#include "tune/tune.h"

namespace reattend::cli {

/// Short enough for a line of a table and for a place beside a candidate: "S=4 K=L/8 > 0.8", "S=4..64 K=L/8 by layer
/// #2". With the policy's name where several are swept, or it was tried beside the sweep.
std::string short_name(const Candidate& candidate, const TuneResult& tuned);
/// What tells settings apart beside stride, budget and threshold: "window=16".
std::string rest_of(const Settings& settings);
bool any_measured(const TuneResult& tuned);

/// Settings that no other beats, those that were measured and the choice, the fastest first.
enum class Names { brief, whole };
Table front_table(const TuneResult& tuned, Names names, bool with_measured);
/// The measured ones alone: what was predicted beside what was found.
Table measured_table(const TuneResult& tuned, Names names);
/// A row for each policy: best_of_policies().
Table policies_table(const TuneResult& tuned);
/// The choice on every trace, those it was not tuned on last.
Table traces_table(const TuneResult& tuned);
/// The choice's numbers beside its bounds, a row for each number.
Table choice_table(const TuneResult& tuned);
/// What each layer gets; no rows where all get the same.
Table schedule_table(const Settings& settings, const TraceInfo& model);

}  // namespace reattend::cli
