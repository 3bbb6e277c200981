// Where model files lie that were got rather than named.
#pragma once
#include <filesystem>

namespace reattend {

/// Where `reattend get-model` puts models: $XDG_CACHE_HOME/reattend, or ~/.cache/reattend. Throws Error where the
/// environment has neither folder.
std::filesystem::path model_store();

}  // namespace reattend
