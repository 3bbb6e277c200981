// Makes a folder of a name that nobody has, and removes it with all that is in it.
#include "base/temporary_folder.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "base/error.h"

namespace reattend {

TemporaryFolder::TemporaryFolder()
    : TemporaryFolder(std::filesystem::temp_directory_path(), "set TMPDIR to a folder that can be written") {}

TemporaryFolder::TemporaryFolder(const std::filesystem::path& parent, const std::string& remedy) {
  std::error_code ignored;  // mkdtemp says what is wrong
  std::filesystem::create_directories(parent, ignored);
  std::string name = (parent / ".reattend-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    fail({.where = name, .expected = "a temporary folder", .got = std::strerror(errno), .remedy = remedy});
  }
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace reattend
