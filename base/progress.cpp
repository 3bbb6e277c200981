// Shows progress as a line that renews itself for people, and as lines of JSON for programs.
#include "base/progress.h"
#include "base/json_text.h"
#include "base/standard_streams.h"

#include <unistd.h>
#include <csignal>

#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace reattend {
namespace {

using Clock = std::chrono::steady_clock;

std::atomic<int> g_signals{0};  // a signal handler can reach nothing else
const Cancel* g_cancel = nullptr;

extern "C" void on_signal(int signal) {
  if (g_signals.fetch_add(1) > 0) _exit(128 + signal);
  if (g_cancel != nullptr) g_cancel->raise();
}

/// State of one reporter: the work under way and when it was last shown.
struct Reporter {
  ProgressStyle style;
  std::string what;
  Clock::time_point begun, shown;
  bool open_line = false;

  void operator()(const std::string& now, double done, double total, const std::string& unit) {
    const auto time = Clock::now();
    const bool fresh = now != what;
    if (fresh) what = now, begun = time;
    const bool last = total > 0 && done >= total;
    if (!fresh && !last && time - shown < std::chrono::milliseconds(100)) return;
    shown = time;
    const double seconds = std::chrono::duration<double>(time - begun).count();
    const double rate = seconds > 0 ? done / seconds : 0;
    if (style == ProgressStyle::json) {
      const nlohmann::json line = {
          {"progress", now}, {"done", done}, {"total", total}, {"unit", unit}, {"seconds", seconds}};
      print_note("{}\n", json_text(line));
      return;
    }
    std::string text = fmt::format("{}: {:.0f}", now, done);
    if (total > 0) text += fmt::format("/{:.0f}", total);
    text += fmt::format(" {}", unit);
    if (rate > 0 && seconds > 0.5) text += fmt::format(", {:.4g}/s", rate);
    if (total > 0 && rate > 0 && !last && seconds > 0.5) text += fmt::format(", {:.0f} s left", (total - done) / rate);
    if (fresh && open_line) print_note("\n");
    print_note("\r\033[K{}{}", text, last ? "\n" : "");
    open_line = !last;
  }
};

}  // namespace

Cancel cancel_on_signals() {
  static const Cancel cancel;
  g_cancel = &cancel;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return cancel;
}

ProgressFn make_progress(ProgressStyle style) {
  if (style == ProgressStyle::automatic)
    style = isatty(STDERR_FILENO) != 0 ? ProgressStyle::terminal : ProgressStyle::off;
  if (style == ProgressStyle::off) return [](const std::string&, double, double, const std::string&) {};
  auto reporter = std::make_shared<Reporter>(Reporter{.style = style, .what = {}, .begun = {}, .shown = {}});
  return [reporter](const std::string& what, double done, double total, const std::string& unit) {
    (*reporter)(what, done, total, unit);
  };
}

}  // namespace reattend
