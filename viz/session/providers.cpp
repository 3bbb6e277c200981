// The list of providers.
#include "viz/session/provider.h"

#include "viz/session/baseline.h"
#include "viz/session/curves.h"
#include "viz/session/engine.h"
#include "viz/session/gates.h"
#include "viz/session/goal.h"
#include "viz/session/head_grid.h"
#include "viz/session/history.h"
#include "viz/session/landscape.h"
#include "viz/session/ledger.h"
#include "viz/session/loss_sums.h"
#include "viz/session/measured.h"
#include "viz/session/project.h"
#include "viz/session/slice_saver.h"
#include "viz/session/step_figures.h"
#include "viz/session/story.h"
#include "viz/session/tried.h"

namespace reattend::viz {
namespace {

struct Row {
  std::unique_ptr<Provider> (*make)(BackgroundTasks&, int kind);
  int n_kind;
};
template <class P>
constexpr Row row() {
  return {
      [](BackgroundTasks& tasks, int kind) -> std::unique_ptr<Provider> { return std::make_unique<P>(tasks, kind); },
      P::kKinds};
}
// What is taken of another stands behind it.
constexpr Row kRows[] = {row<StepBandsData>(), row<RangeData>(),  row<Goal>(),     row<Tried>(),      row<History>(),
                         row<Baseline>(),      row<Stories>(),    row<LossSums>(), row<GateCounts>(), row<HeadGrid>(),
                         row<Engine>(),        row<Measured>(),   row<Curves>(),   row<Ledger>(),     row<GatePages>(),
                         row<SliceSaver>(),    row<Landscapes>(), row<Project>()};

}  // namespace

int n_provider_kinds() {
  int n = 0;
  for (const Row& each : kRows) n += each.n_kind;
  return n;
}

std::vector<std::unique_ptr<Provider>> make_providers(BackgroundTasks& tasks, int first_kind) {
  std::vector<std::unique_ptr<Provider>> providers;
  for (const Row& each : kRows) {
    providers.push_back(each.make(tasks, first_kind));
    first_kind += each.n_kind;
  }
  return providers;
}

}  // namespace reattend::viz
