// The settings that a sweep tries: which parameters of a policy vary, and over which values.
#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "policies/settings.h"
#include "traces/read/info.h"

namespace reattend {

/// Values to try, by a parameter's key.
using ValueLists = std::map<std::string, std::vector<Value>, std::less<>>;

/// Of each policy of `bases` every combination of the values that its parameters are tried at. What a parameter is
/// tried at is its list here, whichever policies take it, otherwise what it says itself (Parameter::tried); one that
/// has neither keeps its value. A threshold varies only where it decides (on recycled's query schedule).
struct TuneGrid {
  std::vector<Settings> bases = {Settings(kDefaultPolicy)};  ///< one for each policy that is swept
  ValueLists tried;
  std::vector<Value> gate_strides;  ///< of S where a threshold decides; empty: 2, 4, 8
  std::vector<Settings> more;       ///< tried as they stand beside the grid, of any policy
};

/// A setting that does not fit one of the traces.
struct LeftOut {
  Settings settings;
  std::string reason;
  bool operator==(const LeftOut&) const = default;
};

struct GridSettings {
  std::vector<Settings> settings;
  std::vector<LeftOut> left_out;
};

/// All settings of the grid, policy after policy, each policy's largest budgets first. What a policy refuses for one of
/// the traces, and what a trace has no data for, is left out. Throws Error (usage) for a policy of which nothing
/// varies, a list of a parameter that none of them takes or that decides in no setting, and where no setting fits the
/// traces.
GridSettings make_grid(const TuneGrid& grid, std::span<const TraceInfo* const> traces);  // [n_trace]

/// What a layer may get in a schedule by layer of the policy of `base`: as the grid, but parameters that have to be the
/// same in all layers stay at the first of their values, and where the grid leaves lists open K goes down to L/64 (a
/// layer that hardly matters takes less than a whole model would), with strides 4, 16 and 64, and with stride 4 and
/// thresholds 0.7, 0.8 and 0.9. Empty where no parameter may differ by layer.
GridSettings schedule_menu(const TuneGrid& grid, const Settings& base,
                           std::span<const TraceInfo* const> traces);  // [n_trace]

/// Whether some parameter of the policy says what is worth trying of it.
bool has_axes(const PolicyInfo& policy);

/// The option of `reattend tune` that lists values of a parameter, with its dashes: "--budgets", "--sweep window".
std::string list_option(const Parameter& parameter);

}  // namespace reattend
