// The tables and charts behind panels, with the values as the replay gives them.
#pragma once
#include "report/chart.h"
#include "report/table.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// Summaries of the layers and of all, in the columns of `reattend replay`. Throws Error until the setting is replayed.
reattend::Table layers_table(const Session& session);
/// The selected layer and KV head, step by step. Throws Error until it is replayed.
reattend::Table steps_table(const Session& session);
/// Weights of these steps and positions, a row each. Throws Error for more than a million, and until they are read.
reattend::Table weights_table(const Session& session, const Limits& steps, const Limits& positions);
/// The ledger's rows. Throws Error until there are some.
reattend::Table ledger_table(const Session& session);
/// What the selected step loses.
reattend::Table lost_table(const Session& session);
/// The weight of the position that is told of, at every step of every layer that is replayed so far.
reattend::Table life_table(const Session& session);
/// Settings of the map that are known.
reattend::Table landscape_table(const Session& session);

/// Curves of steps_table(): similarity, and measures.
reattend::Chart steps_chart(const Session& session);
/// KL, or what settings are ranked by, against cost, a series for each value across.
reattend::Chart landscape_chart(const Session& session);

}  // namespace reattend::viz
