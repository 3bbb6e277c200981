// Where the ticks of an axis of whole numbers stand: steps, positions, layers.
#pragma once
#include <vector>

namespace reattend::viz {

/// Every n-th whole number in [low, high], n being 1, 2 or 5 times a power of ten, so that labels of `label` pixels
/// find room on an axis of `room` pixels. Where fractions had ticks of their own, their labels repeated whole numbers.
std::vector<double> whole_ticks(double low, double high, double room, double label);

}  // namespace reattend::viz
