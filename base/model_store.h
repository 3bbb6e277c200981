// Where files lie that were got or made rather than named: models, and what is kept of traces.
#pragma once
#include <filesystem>

namespace reattend {

/// reattend in the user's cache folder: $XDG_CACHE_HOME, where that is a whole path, or ~/.cache. Empty where the
/// environment has neither.
std::filesystem::path cache_folder();
/// Where `reattend get-model` puts models: the same. Throws Error where it is empty.
std::filesystem::path model_store();

}  // namespace reattend
