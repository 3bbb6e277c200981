// Asks the environment for the folder of the store.
#include "base/model_store.h"

#include <cstdlib>

#include "base/error.h"

namespace reattend {

namespace fs = std::filesystem;

fs::path cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return fs::path(cache) / "reattend";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return fs::path(home) / ".cache" / "reattend";
  return {};
}

fs::path model_store() {
  if (fs::path folder = cache_folder(); !folder.empty()) return folder;
  fail({"model store", "$HOME or $XDG_CACHE_HOME in the environment", "neither", "set one, or give --model a path"});
}

}  // namespace reattend
