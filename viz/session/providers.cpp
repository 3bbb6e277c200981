// The list of providers.
#include "viz/session/provider.h"

#include <iterator>

#include "viz/session/curves.h"
#include "viz/session/engine.h"
#include "viz/session/gates.h"
#include "viz/session/goal.h"
#include "viz/session/landscape.h"
#include "viz/session/ledger.h"
#include "viz/session/measured.h"
#include "viz/session/slice_saver.h"
#include "viz/session/step_figures.h"

namespace reattend::viz {
namespace {

using Make = std::unique_ptr<Provider> (*)(BackgroundTasks&, int kind);
template <class P>
std::unique_ptr<Provider> make(BackgroundTasks& tasks, int kind) {
  return std::make_unique<P>(tasks, kind);
}
constexpr Make kMake[] = {make<StepBandsData>, make<RangeData>,  make<Goal>,      make<GateCounts>,
                          make<Engine>,        make<Measured>,   make<Curves>,    make<Ledger>,
                          make<GatePages>,     make<SliceSaver>, make<Landscapes>};

}  // namespace

int n_provider_kinds() {
  return static_cast<int>(std::size(kMake));
}

std::vector<std::unique_ptr<Provider>> make_providers(BackgroundTasks& tasks, int first_kind) {
  std::vector<std::unique_ptr<Provider>> providers;
  for (int i = 0; i < n_provider_kinds(); ++i) providers.push_back(kMake[i](tasks, first_kind + i));
  return providers;
}

}  // namespace reattend::viz
