// What providers know of the session's own setting and selection, for tables and charts; an Error says what is not
// there yet.
#pragma once
#include <memory>

#include "viz/session/curves.h"
#include "viz/session/head_grid.h"
#include "viz/session/landscape.h"
#include "viz/session/ledger.h"
#include "viz/session/session.h"
#include "viz/session/story.h"

namespace reattend::viz {

/// Throws Error: `what` has no numbers of the setting yet. Providers know what an open panel asks them for.
[[noreturn]] void not_yet(const char* what);

/// The selected layer's replay.
const LayerReplay& shown_layer(const Session& session);
/// The map that the landscape panel shows.
const Landscape& shown_map(const Session& session);
const LedgerPage& shown_ledger(const Session& session);
/// What the selected step loses.
const Story& shown_story(const Session& session);
/// The selected layer's curves.
const LayerCurves& shown_curves(const Session& session);
std::shared_ptr<const HeadPage> shown_heads(const Session& session, LayerMeasure measure);

}  // namespace reattend::viz
