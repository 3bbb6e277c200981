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
#include "base/files.h"
#include "base/json_text.h"
#include "base/processors.h"
#include "base/standard_streams.h"
#include "viz/app.h"
#include "viz/bench.h"
#include "viz/offscreen.h"
#include "viz/panels/layouts.h"
#include "viz/picture_requests.h"
#include "viz/session/baseline.h"
#include "viz/session/engine.h"
#include "viz/session/state_keeping.h"
#include "viz/start/preferences.h"
#include "viz/window.h"

namespace reattend::viz {
namespace {

struct Options {
  std::vector<std::filesystem::path> traces;
  std::filesystem::path screenshot, settings, baseline, bench_out, engine, script;
  std::vector<std::string> bench_shapes, bench_parts;
  double patience = 10;
  std::string size = "1600x900", panel, layout, listen;
  int layer = -1, head = -1, step = -1, position = -1, threads = 0, frames = 0;
  double memory_gb = 2, scale = 0;
  double bench_idle = 20, cache_gb = 20;
  bool light = false, force = false, bench = false, no_cache = false, no_project = false, headless = false;
};

constexpr const char* kExamples = R"(Examples:
  reattend-view
  reattend-view trace.h5
  reattend-view trace.h5 --settings reattend.toml
  reattend-view trace.h5 --screenshot out.png --size 1600x900 --layer 12 --head 1
  reattend-view trace.h5 --headless --script tour.txt
  reattend-view --bench --bench-out bench.json
  reattend-view --bench --bench-shape 2000x8192 --bench-shape 4096x32768x24x2)";

void add_options(CLI::App& app, Options& options) {
  constexpr int kMost = 1 << 30;
  app.add_option("TRACE", options.traces,
                 "Traces to look at (reattend record makes them); without one the window offers those of before");
  app.add_option("--settings", options.settings, "Start with the policy of this settings file");
  app.add_option(
      "--baseline", options.baseline,
      "Hold the setting against this settings file (.toml), or against another trace under the same setting");
  app.add_flag("--no-project", options.no_project,
               "Leave the project file beside the trace alone (TRACE.view.json: what was tried, notes, bookmarks)");
  app.add_option("--layer", options.layer, "Start at this layer")->check(CLI::Range(0, kMost));
  app.add_option("--head", options.head, "Start at this KV head")->check(CLI::Range(0, kMost));
  app.add_option("--step", options.step, "Start at this step")->check(CLI::Range(1, kMost));
  app.add_option("--position", options.position, "Start with this position selected")->check(CLI::Range(0, kMost));
  app.add_option("--panel", options.panel, "Show this panel before the others of its place (Ledger, ...)");
  std::vector<std::string> names;
  for (const Layout& each : layouts()) names.emplace_back(each.name);
  app.add_option("--layout", options.layout, "Arrange the panels like this")->check(CLI::IsMember(names));
  app.add_option("--script", options.script,
                 "Run the actions of this file, one a line (docs/view.md); a picture is taken after them");
  app.add_option("--listen", options.listen,
                 "Take actions as JSON lines at this path of a Unix socket, or port of 127.0.0.1");
  app.add_flag("--headless", options.headless, "Run --script or --listen without a display");
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
  app.add_option(
         "--cache", options.cache_gb,
         "GB of disk that prepared layers of traces which exceed the memory may take, in the user's cache folder")
      ->type_name("GB")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_flag("--no-cache", options.no_cache, "Keep no prepared layers on disk, and use none");
  app.add_option("--reattend", options.engine,
                 "The program with the engine that Verify, Tune, Compare and Read it start [beside this one]")
      ->type_name("FILE");
  app.add_option("--frames", options.frames, "Close the window after this many frames")->check(CLI::Range(1, kMost));
  app.add_flag(
      "--bench", options.bench,
      "Time opening, sliders, frames, scrolling, keys and rest without a display, on the traces or made-up ones");
  app.add_option(
      "--bench-shape", options.bench_shapes,
      "A made-up trace: STEPSxPOSITIONS of SmolLM2's 30 layers x 3 KV heads, or with xLAYERSxHEADS (512x8192)");
  app.add_option("--bench-part", options.bench_parts, "Time this alone, and what else is named so")
      ->allow_extra_args(false)
      ->check(CLI::IsMember(bench_parts()));
  app.add_option("--bench-out", options.bench_out, "Write the figures to this JSON file as well");
  app.add_option("--bench-idle", options.bench_idle, "How long rest is watched")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  app.footer(kExamples);
}

std::shared_ptr<ReplaySource> open_trace(const std::filesystem::path& path) {
  return make_replay_source(TraceReader::open(path));
}

Means means_of(const Options& options) {
  return {.n_thread = options.threads,
          .memory = static_cast<int64_t>(options.memory_gb * static_cast<double>(kGigabyte)),
          .cache = options.no_cache ? std::filesystem::path() : prepared_root(),
          .cache_bytes = static_cast<int64_t>(options.cache_gb * static_cast<double>(kGigabyte))};
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
  if (!options.no_project) app.session().read_projects();
  if (!options.screenshot.empty()) app.session().data<Project>().only_read();
  if (is_settings_file(options.baseline)) {
    pin_file(app.session(), options.baseline);
  } else if (!options.baseline.empty()) {
    app.session().data<Baseline>().pin_when_open(options.baseline);
  }
  app.session().set_start({options.layer, options.head, options.step, options.position});
  if (options.light) app.bench().set_light(true);
  if (!options.layout.empty()) app.bench().layout = options.layout, app.session().data<Project>().leave_layout();
  if (!options.panel.empty()) app.bench().show(app.bench().panel(options.panel, "--panel"));
  app.session().data<Engine>().set_program(options.engine);
  if (!options.script.empty()) {
    app.driver().run_script(options.script, [](const nlohmann::json& answer) {
      print_out("{}\n", json_text(answer));
      flush_out();
    });
  }
  app.open(options.traces);
}

void listen(App& app, const Options& options, std::function<void()> wake) {
  if (options.listen.empty()) return;
  print_note("listening at {}\n", app.driver().listen(options.listen, std::move(wake)));
}

void draw(App& app, Offscreen& host) {
  host.frame([&] { app.draw_frame(); });
  serve_pictures(app.bench(), 1, [&] { return host.read(); });
}

/// Until the script is done, or, while somebody may still call, until one asks for the end.
void drive(App& app, Offscreen& host) {
  app.bench().takes_pictures = true;
  Driver& driver = app.driver();
  while (!app.bench().closing && (!driver.script_done() || driver.listens())) {
    driver.drive();
    // While something is computed, or nobody calls, frames would only take processors away.
    const bool idle = !driver.has_work() && app.settled();
    if (!idle) draw(app, host);
    // An engine's job is no task of the session's, and measures this very machine.
    const bool computes = app.session().activity().busy || app.session().data<Engine>().running();
    if (idle || computes) std::this_thread::sleep_for(std::chrono::milliseconds(computes ? 20 : 5));
  }
}

void take_screenshot(App& app, Offscreen& host, const Options& options) {
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
    draw(app, host);
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
  listen(app, options, &WindowSystem::wake);
  Window window(app.preferences().now());
  window.run(app, options.frames, options.scale == 0);
  app.keep_preferences();
  save_project(app.session(), app.view());
}

void bench(const Options& options) {
  if (!options.bench_out.empty()) refuse_to_replace_by_text(options.bench_out, options.force, "--bench-out");
  std::vector<BenchOptions> runs;
  const auto add = [&](const BenchShape& shape, const std::filesystem::path& trace) {
    runs.push_back({.shape = shape,
                    .trace = trace,
                    .means = means_of(options),
                    .idle_seconds = options.bench_idle,
                    .parts = options.bench_parts});
  };
  for (const auto& trace : options.traces) add({}, trace);
  for (const std::string& shape : options.bench_shapes) add(BenchShape::parse(shape, "--bench-shape"), {});
  if (runs.empty()) add({}, {});
  std::vector<BenchResult> results;
  for (const BenchOptions& each : runs) {
    results.push_back(run_bench(each));
    print_out("{}{}", results.size() > 1 ? "\n" : "", to_text(results.back()));
    flush_out();
  }
  if (!options.bench_out.empty()) write_text_file(options.bench_out, to_json(results) + "\n", options.force);
}

void run(const Options& options) {
  if (options.bench) return bench(options);
  for (const auto& trace : options.traces) {
    std::error_code error;
    if (!std::filesystem::exists(trace, error)) {
      fail({trace.string(), "a trace", "no such file", "make one with `reattend record`"});
    }
  }
  std::optional<ChosenSetting> initial;
  if (!options.settings.empty()) initial = setting_of_file(options.settings);
  const bool picture = !options.screenshot.empty();
  if (!picture && !options.headless) return show_window(options, initial);
  if (!picture && options.script.empty() && options.listen.empty()) {
    fail_usage({"--headless", "something to do", "neither --script nor --listen nor --screenshot", "give one of them"});
  }
  if (picture) check_png_path(options.screenshot, options.force);
  const UiContexts contexts(options.scale > 0 ? static_cast<float>(options.scale) : 1);
  App app(
      open_trace, [] {}, means_of(options));
  start(app, options, initial);
  listen(app, options, [] {});
  const auto [width, height] = parse_size(options.size);
  Offscreen host(width, height);
  drive(app, host);
  if (picture) return take_screenshot(app, host, options);
  save_project(app.session(), app.view());
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
