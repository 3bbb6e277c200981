// One message for all of them.
#include "base/files.h"

#include "base/error.h"

namespace reattend {

void refuse_to_replace(const std::filesystem::path& path, bool force) {
  std::error_code ignored;
  if (force || !std::filesystem::exists(path, ignored)) return;
  fail_usage({.where = path.string(),
              .expected = "a file that does not exist yet",
              .got = "an existing one",
              .remedy = "give another --out, or --force to replace it"});
}

}  // namespace reattend
