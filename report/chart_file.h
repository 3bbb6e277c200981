// A chart as a file: SVG, or PNG by an external program.
#pragma once
#include <filesystem>
#include <string>

#include "base/progress.h"
#include "report/chart.h"

namespace reattend {

/// Throws Error before long work: a name that ends neither in .svg nor in .png (usage), a folder that is not there, a
/// file that may not be replaced, and for .png a machine without `rsvg-convert`. Nothing to refuse for an empty path.
void check_chart_path(const std::filesystem::path& path, bool force, const std::string& option);

/// The suffix says which. A .png has two pixels for each of the chart's.
void write_chart(const Chart& chart, const std::filesystem::path& path, bool force, const Cancel& cancel = {});

}  // namespace reattend
