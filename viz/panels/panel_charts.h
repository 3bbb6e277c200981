// The curves and points of panels as charts, with the values of their tables. All throw Error where nothing is known
// yet.
#pragma once
#include "report/chart.h"
#include "viz/session/session.h"

namespace reattend::viz {

/// Curves of steps_table(): similarity, and measures.
reattend::Chart steps_chart(const Session& session);
/// KL, or what settings are ranked by, against cost, a series for each value across.
reattend::Chart landscape_chart(const Session& session);
/// Means of a measure by layer, a series a KV head; `title` is the measure's name.
reattend::Chart heads_chart(const Session& session, LayerMeasure measure, const std::string& title);
/// Mass by K, and sets by age, of the selected layer.
reattend::Chart curves_chart(const Session& session);
/// Measured against predicted: KL, and time.
reattend::Chart measured_chart(const Session& session);
/// Harm against cost of the settings that were tried.
reattend::Chart tried_chart(const Session& session);
/// The weight of the position that is told of, step by step in the selected layer.
reattend::Chart life_chart(const Session& session);

}  // namespace reattend::viz
