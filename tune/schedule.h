// Schedules by layer: which stride and budget each layer gets, so that a step's bytes go where they save most.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "policies/policy.h"

namespace reattend {

/// What one layer costs and what it spoils under one setting.
struct LayerNumbers {
  double cost = 0;   ///< of attention and selection; a step's fixed part is nobody's
  double error = 0;  ///< squared error of the layer's output (replay/estimates.h, layer_error)
};

/// An item of a menu for each layer: [n_layer] indices.
using LayerPicks = std::vector<int32_t>;

/// From the cheapest picks to the most careful ones, by single steps of one layer, the step that saves most error per
/// cost first. `menu` is [n_item][n_layer]. Items between the corners of a layer's convex hull are never picked, so
/// every picks of the path is optimal: no other costs as little or less and has less error in sum (the linear
/// relaxation of the multiple-choice knapsack, Sinha and Zoltners 1979, is integral where a layer's step ends). Errors
/// of layers are taken to add up. Throws Error for a menu that is empty or ragged.
std::vector<LayerPicks> schedule_path(std::span<const std::vector<LayerNumbers>> menu);  // [n_item][n_layer]

/// At most n of them, evenly spread over [first, last] of the path, ends included.
std::vector<size_t> spread_over(size_t first, size_t last, size_t n);

/// The setting that gives every layer its item (join_layers): where all get the same it is that item, without lists.
/// `picks` are of the layers without a window; the others of the model get an entry that is not read.
Settings by_layer(std::span<const Settings> menu, const LayerPicks& picks, const RunShape& model);  // [n_item]

}  // namespace reattend
