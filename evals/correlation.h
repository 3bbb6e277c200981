// How well one list of numbers orders another: rank correlations.
#pragma once
#include <span>
#include <vector>

namespace reattend {

/// From 1 for the lowest; equal values share the mean of their ranks.
std::vector<double> ranks(std::span<const double> values);

/// Spearman's rho: correlation of the ranks. Pairs with a value that is not finite are left out; nan where fewer than
/// two are left or one side is constant. x, y [n]
double spearman(std::span<const double> x, std::span<const double> y);
/// Kendall's tau-b: pairs ordered alike less pairs ordered otherwise, over all, ties allowed for. As above.
double kendall(std::span<const double> x, std::span<const double> y);

}  // namespace reattend
