// The program `reattend-view`: a window on traces, or a picture of what the window would show.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <imgui.h>
#include <CLI/CLI.hpp>

#include "base/error.h"
#include "base/processors.h"
#include "base/standard_streams.h"
#include "viz/app.h"
#include "viz/layouts.h"
#include "viz/offscreen.h"
#include "viz/start/preferences.h"
#include "viz/window.h"

namespace reattend::viz {
namespace {

struct Options {
  std::vector<std::filesystem::path> traces;
  std::filesystem::path screenshot, settings;
  double patience = 10;
  std::string size = "1600x900", panel, layout;
  int layer = -1, head = -1, step = -1, position = -1, threads = 0, frames = 0;
  double memory_gb = 2, scale = 0;
  bool light = false, force = false;
};

constexpr const char* kExamples = R"(Examples:
  reattend-view
  reattend-view trace.h5
  reattend-view trace.h5 --settings reattend.toml
  reattend-view trace.h5 --screenshot out.png --size 1600x900 --layer 12 --head 1)";

void add_options(CLI::App& app, Options& options) {
  constexpr int kMost = 1 << 30;
  app.add_option("TRACE", options.traces,
                 "Traces to look at (reattend record makes them); without one the window offers those of before");
  app.add_option("--settings", options.settings, "Start with the policy of this settings file");
  app.add_option("--layer", options.layer, "Start at this layer")->check(CLI::Range(0, kMost));
  app.add_option("--head", options.head, "Start at this KV head")->check(CLI::Range(0, kMost));
  app.add_option("--step", options.step, "Start at this step")->check(CLI::Range(1, kMost));
  app.add_option("--position", options.position, "Start with this position selected")->check(CLI::Range(0, kMost));
  app.add_option("--panel", options.panel, "Show this panel before the others of its place (Ledger, ...)");
  std::vector<std::string> names;
  for (const Layout& each : layouts()) names.emplace_back(each.name);
  app.add_option("--layout", options.layout, "Arrange the panels like this")->check(CLI::IsMember(names));
  app.add_flag("--light", options.light, "Light colours");
  app.add_option("--screenshot", options.screenshot,
                 "Write a picture of the window to this PNG file; needs no display");
  app.add_option("--size", options.size, "Size of the picture, WIDTHxHEIGHT")->capture_default_str();
  app.add_option("--scale", options.scale,
                 "Pixels per unit of size, 2 for a picture in high resolution; 0: the display's")
      ->check(CLI::Range(0.0, 8.0));
  app.add_option("--patience", options.patience,
                 "How long a picture waits for maps of other settings, once this one's numbers are there")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_flag("--force", options.force, "Overwrite an existing picture");
  app.add_option("--threads", options.threads,
                 "Threads to re-simulate with; 0: as many as the processors that may be used")
      ->check(CLI::Range(0, 1024));
  app.add_option("--memory", options.memory_gb,
                 "GB that the window may hold of a trace; what does not fit is computed anew")
      ->type_name("GB")
      ->check(CLI::Range(0.001, 1e6))
      ->capture_default_str();
  app.add_option("--frames", options.frames, "Close the window after this many frames")->check(CLI::Range(1, kMost));
  app.footer(kExamples);
}

std::shared_ptr<ReplaySource> open_trace(const std::filesystem::path& path) {
  return make_replay_source(TraceReader::open(path));
}

Means means_of(const Options& options) {
  return {.n_thread = options.threads,
          .memory = static_cast<int64_t>(options.memory_gb * static_cast<double>(kGigabyte))};
}

std::pair<int32_t, int32_t> parse_size(const std::string& text) {
  int32_t width = 0, height = 0;
  char rest = 0;
  constexpr int32_t kLeast = 320, kMost = 16384;
  if (std::sscanf(text.c_str(), "%5dx%5d%c", &width, &height, &rest) != 2 || std::min(width, height) < kLeast ||
      std::max(width, height) > kMost) {
    fail_usage({"--size", fmt::format("WIDTHxHEIGHT with {} to {} pixels each way", kLeast, kMost), text, ""});
  }
  return {width, height};
}

void start(App& app, const Options& options, const std::optional<ChosenSetting>& initial) {
  if (initial) app.session().set_initial(*initial);
  app.session().set_start({options.layer, options.head, options.step, options.position});
  if (options.light) app.bench().set_light(true);
  if (!options.layout.empty()) app.bench().layout = options.layout;
  if (!options.panel.empty()) app.bench().show(app.bench().panel(options.panel, "--panel"));
  app.open(options.traces);
}

void take_screenshot(App& app, const Options& options) {
  const auto [width, height] = parse_size(options.size);
  Offscreen host(width, height);
  // Layout and scrolling take a few frames after the last result has arrived.
  constexpr int kQuiet = 6;
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> answered;  // since when
  const auto enough = [&] {
    if (!app.session().answered()) answered.reset();
    if (app.session().answered() && !answered) answered = Clock::now();
    return app.settled() ||
           (answered && std::chrono::duration<double>(Clock::now() - *answered).count() >= options.patience);
  };
  for (int quiet = 0; quiet < kQuiet;) {
    host.frame([&] { app.draw_frame(); });
    if (!app.session().open_error().empty()) throw Error(app.session().open_error());
    quiet = enough() ? quiet + 1 : 0;
    // What is drawn while something is computed nobody sees, and it takes processors away from that.
    for (int i = 0; i < 50 && quiet == 0 && app.session().activity().busy; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  if (!app.session().replay_error().empty()) throw Error(app.session().replay_error());
  write_png(host.read(), options.screenshot, options.force);
  print_out("{}\n", options.screenshot.string());
}

void show_window(const Options& options, const std::optional<ChosenSetting>& initial) {
  const WindowSystem system;
  const std::filesystem::path config = config_folder();
  const std::string layout = config.empty() ? std::string() : (config / "view.ini").string();
  const UiContexts contexts(options.scale > 0 ? static_cast<float>(options.scale) : system.scale());
  if (!layout.empty()) ImGui::GetIO().IniFilename = layout.c_str();
  PreferenceFile preferences = config.empty() ? PreferenceFile() : PreferenceFile(config / "window.json");
  App app(open_trace, &WindowSystem::wake, means_of(options), std::move(preferences));
  if (!config.empty()) app.use_keys(config / "keys.json");
  start(app, options, initial);
  Window window(app.preferences().now());
  window.run(app, options.frames, options.scale == 0);
  app.keep_preferences();
}

void run(const Options& options) {
  for (const auto& trace : options.traces) {
    std::error_code error;
    if (!std::filesystem::exists(trace, error)) {
      fail({trace.string(), "a trace", "no such file", "make one with `reattend record`"});
    }
  }
  std::optional<ChosenSetting> initial;
  if (!options.settings.empty()) initial = setting_of_file(options.settings);
  if (options.screenshot.empty()) return show_window(options, initial);
  check_png_path(options.screenshot, options.force);
  const UiContexts contexts(options.scale > 0 ? static_cast<float>(options.scale) : 1);
  App app(
      open_trace, [] {}, means_of(options));
  start(app, options, initial);
  take_screenshot(app, options);
}

}  // namespace
}  // namespace reattend::viz

int main(int argc, char** argv) {
  using namespace reattend;
  prepare_standard_streams();
  CLI::App app("Looks at recorded decodes and tunes cache policies on them.", "reattend-view");
  app.set_version_flag("--version", "reattend-view " REATTEND_VERSION);
  viz::Options options;
  viz::add_options(app, options);
  const auto complain = [](const std::string& line, ExitCode code) {
    print_note("reattend-view: {}\n", line);
    return static_cast<int>(code);
  };
  try {
    try {
      app.parse(argc, argv);
      if (const std::string warning = too_many_threads(options.threads, processors()); !warning.empty()) {
        print_note("reattend-view: warning: {}\n", warning);
      }
      viz::run(options);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() != 0) {
        return complain(std::string(error.what()) + "; see `reattend-view --help`", ExitCode::usage);
      }
      std::ostringstream text;  // of --help or --version
      app.exit(error, text, text);
      write_out(text.str());
    }
    flush_out();
    return static_cast<int>(ExitCode::ok);
  } catch (const ReaderGone&) {
    end_without_reader();
  } catch (const Error& error) {
    return complain(error.what(), error.code());
  } catch (const std::exception& error) {
    return complain(error.what(), ExitCode::failed);
  }
}
