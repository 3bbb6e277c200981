// What `reattend analyse` shows of its findings: tables for people, records for programs, charts.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "replay/analysis/analyse.h"
#include "report/chart.h"
#include "report/table.h"

namespace reattend::cli {

struct AnalysisReport {
  const TraceInfo& info;
  const AnalysisResult& result;
  const StepData& recorded;        ///< all steps of the trace
  std::vector<std::string> texts;  ///< of the tokens at positions 0..L + T
  size_t n_token = 20;             ///< lost tokens that are listed
};

/// In the order of kAnalyses; no line is longer than 120 columns.
std::vector<Table> printed_tables(const AnalysisReport& report);
/// Those of lost tokens.
void lost_tables(const AnalysisReport& report, std::vector<Table>& out);

/// The same numbers and more in records: a row for each layer and parameter, `layer` "all" where it is none alone.
std::vector<Table> stored_tables(const AnalysisReport& report);
/// Names of the stored tables of an analysis.
std::vector<std::string> table_names(Analysis what);

/// One for each analysis, named like it.
std::vector<std::pair<std::string, Chart>> charts(const AnalysisReport& report);

/// Which budgets or lags of overlap and gate are shown: the request's, and the settings' own (index 0 of all lists)
/// where it is not one of those.
struct Shown {
  size_t index = 0;
  Cell label;  ///< the number, or "own" where layers differ
};
std::vector<Shown> shown_budgets(const AnalysisReport& report);
std::vector<Shown> shown_lags(const AnalysisReport& report);
/// The settings' own K and lag; "own" where layers differ.
Cell own_budget(const AnalysisReport& report);
Cell own_lag(const AnalysisReport& report);

/// A number, or "each layer's own".
std::string text_of(const Cell& own);
/// A count in a cell.
inline Cell number(int64_t x) {
  return x;
}
inline Cell all_of() {
  return std::string("all");
}

/// One layer of a list, as a list.
template <class T>
std::span<const T> only(const std::vector<T>& layers, size_t i) {
  return std::span(layers).subspan(i, 1);
}

/// Rows of each layer and of all of them: fill(layers, label). Records have those of all first; in what is printed they
/// stand last, and one layer alone needs none.
enum class AllLayers : uint8_t { first, last };
template <class T, class Fill>
void for_layers(const std::vector<T>& layers, AllLayers all, const Fill& fill) {
  if (all == AllLayers::first) fill(std::span<const T>(layers), all_of());
  for (size_t i = 0; i < layers.size(); ++i) fill(only(layers, i), number(layers[i].layer));
  if (all == AllLayers::last && layers.size() > 1) fill(std::span<const T>(layers), all_of());
}

inline constexpr std::array<const char*, 2> kStageTitles = {"before RoPE", "after RoPE"};

/// Layers' replays under one threshold, added up.
GatedRun all_layers(const std::vector<LayerStride>& layers, size_t run);

}  // namespace reattend::cli
