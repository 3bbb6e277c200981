// What the tuner's stages ask of its points: one from several traces, how far it is from the bounds, which ones nothing
// beats.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tune/tune.h"

namespace reattend {

/// Means of times and positions, the worst of everything else; measured where all were. `full_cost` of the same traces,
/// their mean.
PointNumbers over_traces(std::span<const PointNumbers> traces, double full_cost);  // [n_trace]

/// a is at least as good as b in cost, estimate and lost mass, and better in one.
bool dominates(const PointNumbers& a, const PointNumbers& b);

/// How far numbers of one trace are from the bounds: the largest ratio to one of them, as predicted. At most 1: within;
/// nan: not known, for what is bounded is not and nothing that is known is beyond its bound.
double excess(const PointNumbers& numbers, const TuneResult& result);
/// As measured; time as predicted where that is for another machine.
double measured_excess(const PointNumbers& numbers, const TuneResult& result);

/// Of a point's traces the one with the most of something, such as its distance from the bounds; nan is most.
struct Hardest {
  size_t trace = 0;
  double most = 0;
};
Hardest hardest(const TunePoint& point, const std::function<double(const PointNumbers&)>& of);
/// By the distance from the bounds as predicted, and as measured.
Hardest hardest_predicted(const TunePoint& point, const TuneResult& result);
Hardest hardest_measured(const TunePoint& point, const TuneResult& result);
/// On every trace, as measured; the point was.
bool passes(const TunePoint& point, const TuneResult& result);

/// "mean KL <= 0.1, top-1 agreement >= 0.9": the bounds that a measurement, or a replay, is held against.
std::string bounds_in_words(const TuneResult& result, bool measured);

/// Parallel to the traces.
std::vector<const TraceInfo*> infos_of(std::span<const TunedTrace> traces);  // [n_trace]

/// Adds points, each in place of an older one of the same settings.
void merge(std::vector<TunePoint>& points, std::vector<TunePoint> newer);

/// Sorts by cost, fastest first, numbers schedules by layer, and says which points are within the bounds and on the
/// front.
void finish_points(TuneResult& result);

/// Full attention, for when nothing is faster.
TunePoint full_point(const TuneResult& result);

/// What tells the traces apart: file names, or whole paths where two share one.
std::vector<std::string> trace_names(const TuneResult& result);

}  // namespace reattend
