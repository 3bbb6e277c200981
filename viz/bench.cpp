// Plays a user's actions to the real panels on the null backend, and times frames and answers.
#include "viz/bench.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <imgui.h>
#include <imgui_impl_null.h>
#include <imgui_internal.h>

#include "base/error.h"
#include "base/statistics.h"
#include "base/temporary_folder.h"
#include "replay/synthetic_run.h"
#include "viz/app.h"
#include "viz/frames.h"
#include "viz/session/goal.h"
#include "viz/session/ledger.h"

namespace reattend::viz {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

/// A number of /proc/self/status, in bytes; nan where the system has none.
double status_bytes(const char* name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name)) return 1024 * std::stod(line.substr(line.find(':') + 1));
  }
  return std::nan("");
}

/// Renders nothing, but takes textures as a renderer does.
class NullRenderer {
 public:
  NullRenderer() { ImGui_ImplNullRender_Init(); }
  ~NullRenderer() { ImGui_ImplNullRender_Shutdown(); }
  NullRenderer(const NullRenderer&) = delete;
  NullRenderer& operator=(const NullRenderer&) = delete;
};

class Bench {
 public:
  Bench(const BenchOptions& options, const std::filesystem::path& trace)
      : options_(options),
        trace_(trace),
        app_([](const std::filesystem::path& path) { return make_replay_source(TraceReader::open(path)); },
             [this] { ++n_woken_; }, options.means) {}

  BenchResult run();

  struct Part {
    const char* name;
    void (Bench::*time)();
    bool of_answers;  ///< begins once the first setting has been answered
  };
  static const Part kParts[];

 private:
  Session& session() { return app_.session(); }
  void frame();
  /// Frames until it holds; the time that took.
  struct Took {
    double ms = 0, cpu_ms = 0;
  };
  Took until(const std::function<bool()>& holds);
  void add(std::string key, std::string work, std::string unit, double value, double cpu_ms, double target,
           bool more_is_better = false) {
    out_.times.push_back({std::move(key), std::move(work), std::move(unit), value, cpu_ms, target, more_is_better});
  }
  void set(const char* key, int64_t value);
  bool times(const char* part) const {
    return options_.parts.empty() || std::ranges::find(options_.parts, part) != options_.parts.end();
  }
  void open();
  void prepare();
  void change_budget();
  void drag_budget();
  void drag_stride();
  void draw();
  void scroll();
  void type();
  void idle();
  void report(const char* what) {
    if (options_.progress) options_.progress(what, static_cast<double>(out_.times.size()), 0, "figures");
  }

  const BenchOptions& options_;
  const std::filesystem::path trace_;
  std::atomic<int> n_woken_ = 0;
  const UiContexts contexts_{1.0F};
  App app_;
  const NullRenderer renderer_;
  std::vector<double> frames_;  ///< [frames since it was cleared] own work in ms
  BenchResult out_;
};

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kFrameSeconds = 1.0 / 60;

void Bench::frame() {
  const auto begin = [] {
    ImGuiIO& io = ImGui::GetIO();
    io.DisplaySize = ImVec2(1600, 900);
    io.DeltaTime = static_cast<float>(kFrameSeconds);
    ImGui_ImplNullRender_NewFrame();
  };
  const double began = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  build_frames(begin, [&] { app_.draw_frame(); });
  frames_.push_back((seconds_of(CLOCK_THREAD_CPUTIME_ID) - began) * 1e3);
  ImGui_ImplNullRender_RenderDrawData(ImGui::GetDrawData());
}

Bench::Took Bench::until(const std::function<bool()>& holds) {
  const auto began = Clock::now();
  const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  while (!holds()) {
    const auto frame_began = Clock::now();
    frame();
    if (!session().open_error().empty()) throw Error(session().open_error());
    if (!session().replay_error().empty()) throw Error(session().replay_error());
    // As a display would: but what has been found is shown at once.
    const int woken = n_woken_;
    while (since(frame_began) < kFrameSeconds && n_woken_ == woken) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }
  return {since(began) * 1e3, (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e3};
}

void Bench::set(const char* key, int64_t value) {
  Settings settings = session().settings();
  settings.set(key, value);
  session().set_settings(settings);
}

void Bench::open() {
  report("open");
  app_.open({trace_});
  const Took took = until([&] { return session().rows() != nullptr; });
  add("open", "open to first picture", "ms", took.ms, took.cpu_ms, 1000);
  const Took rest = until([&] { return session().layer_is_current() && session().rows()->all(); });
  add("open_layer", "open to the layer's figures and all its rows", "ms", took.ms + rest.ms, took.cpu_ms + rest.cpu_ms,
      kNone);
}

void Bench::prepare() {
  report("prepare");
  const Took took = until([&] { return app_.settled() || session().answered(); });
  add("prepare", "then until all layers are prepared and judged", "ms", took.ms, took.cpu_ms, kNone);
}

void Bench::change_budget() {
  report("K");
  constexpr int kRepeats = 9;
  std::vector<double> layer, layer_cpu, strip, strip_cpu, ledger, ledger_cpu, all, all_cpu;
  for (int i = 0; i < kRepeats; ++i) {
    set("K", 100 + 37 * i);
    const auto began = Clock::now();
    const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    const auto note = [&](std::vector<double>& ms, std::vector<double>& cpu_ms) {
      ms.push_back(since(began) * 1e3), cpu_ms.push_back((seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e3);
    };
    until([&] { return session().layer_is_current() && session().attended_masks() != nullptr; });
    note(layer, layer_cpu);
    until([&] { return session().total_is_current(); });
    note(all, all_cpu);
    until([&] {
      const Judged* const judged = session().data<Goal>().judged();
      return judged != nullptr && judged->settings == session().settings();
    });
    note(strip, strip_cpu);
    until([&] {
      const LedgerPage* const page = session().data<Ledger>().ask();
      return page != nullptr && page->settings == session().settings();
    });
    note(ledger, ledger_cpu);
  }
  add("k_layer", "K to heat map and figures of the layer", "ms", median(layer), median(layer_cpu), 50);
  add("k_all", "K to figures of all layers", "ms", median(all), median(all_cpu), 1500);
  add("k_strip", "K to the strip's KL (all layers' errors)", "ms", median(strip), median(strip_cpu), 50);
  add("k_ledger", "K to the ledger", "ms", median(ledger), median(ledger_cpu), 50);
}

/// A value a frame, up and down; what each takes to the layer's answer.
void Bench::drag_budget() {
  report("drag of K");
  std::vector<double> answers, cpu;
  frames_.clear();
  for (int i = 0; i < 60; ++i) {
    set("K", 64 + 8 * std::abs(30 - i));
    const Took took = until([&] { return session().layer_is_current(); });
    answers.push_back(took.ms), cpu.push_back(took.cpu_ms);
  }
  add("k_drag", "K by drag to the layer's figures, a frame among it", "ms", median(answers), median(cpu), 16);
  add("k_drag_frame", "frame while K is dragged, own work (95th percentile)", "ms", percentile(frames_, 0.95), kNone,
      4);
}

void Bench::drag_stride() {
  report("drag of S");
  constexpr double kSeconds = 4;
  int n_total = 0, n_layer = 0;
  double longest = 0;
  const ReplaySummary* total = session().total();
  const LayerReplay* layer = session().layer();
  const auto began = Clock::now();
  auto answered = began;
  for (int i = 0; since(began) < kSeconds; ++i) {
    if (i % 2 == 0) set("S", 4 + std::abs(20 - i / 2 % 40));
    const auto frame_began = Clock::now();
    frame();
    if (session().total() != total) {
      total = session().total(), ++n_total;
      longest = std::max(longest, std::chrono::duration<double>(Clock::now() - answered).count());
      answered = Clock::now();
    }
    if (session().layer() != layer) layer = session().layer(), ++n_layer;
    while (since(frame_began) < kFrameSeconds) std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  longest = std::max(longest, std::chrono::duration<double>(Clock::now() - answered).count());
  add("s_drag", "S by drag: answers of all layers a second", "1/s", n_total / kSeconds, kNone, 4, true);
  add("s_drag_gap", "S by drag: longest wait for one", "ms", longest * 1e3, kNone, kNone);
  add("s_drag_layer", "S by drag: answers of the layer a second", "1/s", n_layer / kSeconds, kNone, kNone, true);
}

void Bench::draw() {
  report("frames");
  until([&] { return session().answered(); });
  frames_.clear();
  for (int i = 0; i < 120; ++i) frame();
  add("frame", "frame of a window at rest, own work (median)", "ms", median(frames_), kNone, 4);
}

/// Zooms into the heat map at several places, drags it about, and zooms out again.
void Bench::scroll() {
  report("scrolling");
  ImGuiIO& io = ImGui::GetIO();
  const ImVec2 corner = app_.view().heat_corner, size = app_.view().heat_size;
  const ImVec2 middle(corner.x + size.x / 2, corner.y + size.y / 2);
  frames_.clear();
  std::vector<double> wall;
  const auto one = [&] {
    const auto began = Clock::now();
    frame();
    wall.push_back(since(began) * 1e3);
    while (since(began) < kFrameSeconds) std::this_thread::sleep_for(std::chrono::microseconds(500));
  };
  const auto wheel = [&](float by, int n) {
    for (int i = 0; i < n; ++i) io.AddMouseWheelEvent(0, by), one();
  };
  const auto pan = [&](float x, float y, int n) {
    io.AddMousePosEvent(middle.x, middle.y), one();
    io.AddMouseButtonEvent(ImGuiMouseButton_Left, true), one();
    for (int i = 1; i <= n; ++i) {
      io.AddMousePosEvent(middle.x + x * static_cast<float>(i % 20), middle.y + y * static_cast<float>(i % 20)), one();
    }
    io.AddMouseButtonEvent(ImGuiMouseButton_Left, false), one();
  };
  io.AddMousePosEvent(middle.x, middle.y), one();
  for (int i = 0; i < 3; ++i) {
    wheel(1, 12), pan(-9, 6, 40), wheel(-1, 8), pan(7, -8, 40), wheel(-1, 20);
  }
  io.AddMousePosEvent(-1, -1), one();
  add("scroll", "frame while the heat map is scrolled and zoomed, own work (median)", "ms", median(frames_), kNone, 4);
  add("scroll_95", "the same, 95th percentile", "ms", percentile(frames_, 0.95), kNone, 33);
  add("scroll_most", "the same, the longest by the clock", "ms", *std::ranges::max_element(wall), kNone, kNone);
}

/// Frames that keys still wait for after the last one of thirty, 30 ms apart.
void Bench::type() {
  report("keys");
  ImGuiIO& io = ImGui::GetIO();
  for (int i = 0; i < 30; ++i) {
    io.AddKeyEvent(ImGuiKey_LeftArrow, true), io.AddKeyEvent(ImGuiKey_LeftArrow, false);
    const auto began = Clock::now();
    frame(), frame();  // as many as a display shows in that time
    while (since(began) < 0.03) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  int n_late = 0;
  for (; !GImGui->InputEventsQueue.empty(); ++n_late) frame();
  add("keys", "30 keys at 30 ms: frames until all are taken", "frames", n_late, kNone, 1);
}

/// Without the map of settings, which takes minutes to fill on a large trace.
void Bench::idle() {
  report("idle");
  app_.bench().panel("Landscape", "--bench").open = false;
  until([&] { return app_.settled(); });
  const int woken = n_woken_;
  const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  std::this_thread::sleep_for(std::chrono::duration<double>(options_.idle_seconds));
  add("idle", fmt::format("redraws asked for in {:g} s of rest, no map", options_.idle_seconds), "frames",
      n_woken_ - woken, (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e3, 0);
}

const Bench::Part Bench::kParts[] = {{"K", &Bench::change_budget, true},    {"drag-K", &Bench::drag_budget, true},
                                     {"drag-S", &Bench::drag_stride, true}, {"frames", &Bench::draw, true},
                                     {"scroll", &Bench::scroll, false},     {"keys", &Bench::type, false},
                                     {"idle", &Bench::idle, true}};

BenchResult Bench::run() {
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew: writing the trace is not the window's
  open();
  if (std::ranges::any_of(kParts, [&](const Part& part) { return part.of_answers && times(part.name); })) prepare();
  for (const Part& part : kParts) {
    if (times(part.name)) (this->*part.time)();
  }
  const TraceInfo& info = session().trace()->info;
  constexpr double kMb = 1e6;
  const auto limit = static_cast<double>(options_.means.memory);
  add("memory", "memory of the process, without mapped files", "MB", status_bytes("RssAnon") / kMb, kNone, limit / kMb);
  add("memory_files", "of mapped files that are in memory, the system's to take", "MB", status_bytes("RssFile") / kMb,
      kNone, kNone);
  add("memory_peak", "the most of both together", "MB", status_bytes("VmHWM") / kMb, kNone, kNone);
  out_.trace = trace_.filename().string();
  out_.n_step = info.n_step, out_.n_position = info.n_prompt + info.n_step;
  out_.n_layer = info.n_layer, out_.n_kv_head = info.n_kv_head;
  out_.threads = ThreadPool(options_.means.n_thread).n_thread(), out_.memory_limit = options_.means.memory;
  std::error_code error;
  const auto bytes = std::filesystem::file_size(trace_, error);
  out_.file_bytes = error ? 0 : static_cast<int64_t>(bytes);
  return std::move(out_);
}

}  // namespace

BenchShape BenchShape::parse(const std::string& text, const std::string& option) {
  BenchShape shape;
  char rest = 0;
  const int n = std::sscanf(text.c_str(), "%7dx%8dx%4dx%3d%c", &shape.n_step, &shape.n_position, &shape.n_layer,
                            &shape.n_kv_head, &rest);
  const bool whole = n == 4 || (n == 2 && std::ranges::count(text, 'x') == 1);
  if (!whole || shape.n_step < 1 || shape.n_position <= shape.n_step || shape.n_layer < 1 || shape.n_kv_head < 1) {
    fail_usage({.where = option,
                .expected = "STEPSxPOSITIONS, or STEPSxPOSITIONSxLAYERSxHEADS, with more positions than steps",
                .got = "\"" + text + "\"",
                .remedy = "try 512x8192 or 4096x32768x24x2"});
  }
  return shape;
}

std::vector<std::string> bench_parts() {
  std::vector<std::string> names;
  for (const Bench::Part& part : Bench::kParts) names.emplace_back(part.name);
  return names;
}

BenchResult run_bench(const BenchOptions& options) {
  if (!options.trace.empty()) return Bench(options, options.trace).run();
  const BenchShape& shape = options.shape;
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / fmt::format("{}x{}.h5", shape.n_step, shape.n_position);
  write_synthetic_trace({.n_layer = shape.n_layer,
                         .n_head = 3 * shape.n_kv_head,
                         .n_kv_head = shape.n_kv_head,
                         .n_prompt = shape.n_position - shape.n_step,
                         .n_step = shape.n_step},
                        path, options.progress, {});
  return Bench(options, path).run();
}

}  // namespace reattend::viz
