// The tables behind panels, with the values as replay and files give them. Those of the replay throw Error until the
// setting is replayed.
#pragma once
#include "report/table.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

class EngineRun;
struct PositionLosses;

/// Summaries of the layers and of all, in the columns of `reattend replay`.
reattend::Table layers_table(const Session& session);
/// The selected layer and KV head, step by step, with why each step was what it was.
reattend::Table steps_table(const Session& session);
/// Weights of these steps and positions, a row each. Throws Error for more than a million, and until they are read.
reattend::Table weights_table(const Session& session, const Limits& steps, const Limits& positions);
/// The ledger's rows, with the spread over the marked steps where some are.
reattend::Table ledger_table(const Session& session, const SharedView& view);
/// What the selected step loses.
reattend::Table lost_table(const Session& session);
/// The weight of the position that is told of, at every step of every layer that is replayed so far.
reattend::Table life_table(const Session& session);
/// Every KV head of every layer.
reattend::Table heads_table(const Session& session, LayerMeasure measure);
/// The largest value of each head in each of HeadStory::kStretches equal stretches of the trace, counted from 1.
reattend::Table stretches_table(const Session& session, LayerMeasure measure);
/// Of the selected layer: the mass of the K best positions, and how a set ages.
reattend::Table mass_table(const Session& session);
reattend::Table ages_table(const Session& session);

/// Settings that were tried, in their order.
reattend::Table tried_table(const Session& session);
/// Settings of the map that are known.
reattend::Table landscape_table(const Session& session);
/// Settings that were measured, beside what had been predicted.
reattend::Table measured_table(const Session& session);

/// Every token with its weight at a step, its losses (null: not known) and its log-probability.
reattend::Table tokens_table(const Session& session, int32_t step, const PositionLosses* losses);
/// Both texts token by token. Throws Error where none was generated.
reattend::Table two_texts_table(const Session& session);
/// Jobs of the engine, oldest first.
reattend::Table jobs_table(const Session& session);
/// What one of them said; without rows where `run` is null.
reattend::Table log_table(const EngineRun* run);
reattend::Table notes_table(const Session& session);
reattend::Table bookmarks_table(const Session& session);
/// What was changed; the moment that is shown is marked.
reattend::Table history_table(const Session& session);

}  // namespace reattend::viz
