// From one lost token to the next.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace reattend::viz {

class Session;

/// Positions that the selected step loses, ascending: the heaviest, which hold kMostOfLoss of the lost mass together.
/// Empty where nothing is lost or what is attended to is not known yet.
std::vector<int32_t> heaviest_lost(const Session& session);
inline constexpr double kMostOfLoss = 0.9;

/// The next (direction 1) or previous (-1) of them from the selected position on, around the ends.
std::optional<int32_t> next_lost(const Session& session, int direction);

}  // namespace reattend::viz
