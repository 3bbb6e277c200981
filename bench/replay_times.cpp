// Times every kind of change on a replay that is prepared and has answered its like before, with a value that it has
// not seen.
#include "bench/replay_times.h"

#include <sys/resource.h>

#include <chrono>
#include <ctime>
#include <functional>

#include "base/statistics.h"
#include "policies/policy.h"

namespace reattend {
namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

class Timer {
 public:
  Timer(std::shared_ptr<ReplaySource> source, ThreadPool& pool, const ReplayTimesOptions& options)
      : options_(options), replayer_(std::move(source), pool, options.memory_limit) {
    const TraceInfo& info = replayer_.info();
    out_.n_layer = info.n_stored(), out_.n_kv_head = info.n_kv_head;
    out_.n_prompt = info.n_prompt, out_.n_step = info.n_step;
    out_.threads = pool.n_thread(), out_.memory_limit = options.memory_limit;
    one_ = {info.stored_layer(info.n_stored() / 2)};
    budget_ = std::max(64, std::min(1024, info.n_prompt / 8));  // half of it holds a window of 32
  }

  ReplayTimes run() {
    try {
      time_all();
    } catch (const Cancelled&) {
      out_.stopped = true;
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    out_.held = replayer_.bytes();
    out_.peak = int64_t{usage.ru_maxrss} * 1024;
    return std::move(out_);
  }

 private:
  using Layers = std::vector<int32_t>;
  using Change = std::function<Settings(int64_t i)>;

  void time_all() {
    constexpr double kOne = 50, kAll = 300, kBudget = 16, kWalk = 1000;
    const TraceInfo& info = replayer_.info();
    time("prepare one layer, the first answer", 0, 1, one_, [&](int64_t) { return recycled(16, 0); });
    time("prepare all layers, the first answer", 0, 1, {}, [&](int64_t) { return recycled(16, 0); });
    // A user drags the budget up and down; what is the first of its kind is not timed.
    const auto budget = [this](const char* policy) {
      return [this, policy](int64_t i) {
        Settings settings(policy);
        settings.set("K", budget_ - 37 * i % (budget_ / 2));
        return settings;
      };
    };
    for (const char* policy : {"recycled", "streaming", "snapkv", "oracle"}) {
      replay(budget(policy)(0), {}, false);
      time(std::string("K of all layers, ") + policy, kBudget, options_.repeats, {},
           [&](int64_t i) { return budget(policy)(i + 1); });
    }
    replay(recycled(16, 0), {}, false);
    time("S of one layer", kOne, options_.repeats, one_, [&](int64_t i) { return recycled(15 - i, 0); });
    time("S of all layers", kAll, options_.repeats, {}, [&](int64_t i) { return recycled(31 - i, 0); });
    time("threshold of one layer", kOne, options_.repeats, one_,
         [&](int64_t i) { return recycled(4, 0.9 - 0.02 * static_cast<double>(i)); });
    time("threshold of all layers", kAll, options_.repeats, {},
         [&](int64_t i) { return recycled(4, 0.9 - 0.02 * static_cast<double>(i)); });
    const auto schedule = [&](int64_t i) { return recycled(9 + i, i % 2 == 0 ? 0.85 : 0); };
    time("schedule of one layer", kOne, options_.repeats, one_, schedule);
    time("schedule of all layers", kAll, options_.repeats, {}, schedule);
    for (const char* policy : {"h2o", "tova", "quest", "tokenselect"}) {
      const auto made = make_policy(budget(policy)(0), info.run_shape());
      if (made->needs().row_sums && !info.has_prompt_row_sums) continue;
      time(std::string("all layers, ") + policy, kWalk, 3, {}, budget(policy));
    }
    if (info.has_values) {
      replay(recycled(16, 0), {}, true);  // outputs of full attention are prepared once
      time(
          "output errors of one layer", 0, 3, one_, [&](int64_t i) { return recycled(16 + i, 0); }, true);
      time(
          "output errors of all layers", 0, 1, {}, [&](int64_t i) { return recycled(16 + i, 0); }, true);
    }
    time("pool of one layer, prepared anew", 0, 3, one_, [&](int64_t i) {
      Settings settings = recycled(16, 0);
      settings.set("pool", 3 + 2 * (i % 2));
      return settings;
    });
  }

  Settings recycled(int64_t stride, double threshold) const {
    Settings settings("recycled");
    settings.set("K", budget_);
    settings.set("S", std::max<int64_t>(1, stride));
    if (threshold > 0) settings.set("schedule", std::string("query")), settings.set("threshold", threshold);
    return settings;
  }

  void replay(const Settings& settings, const Layers& layers, bool errors) {
    replayer_.run({.settings = settings, .layers = layers, .output_error = errors}, {}, options_.cancel);
  }

  void time(const std::string& change, double target, int repeats, const Layers& layers, const Change& settings,
            bool errors = false) {
    if (options_.progress) options_.progress(change, static_cast<double>(out_.times.size()), 0, "changes");
    std::vector<double> wall, cpu;
    for (int i = 0; i < repeats; ++i) {
      const Settings now = settings(i);
      const double cpu_began = cpu_seconds();
      const auto began = std::chrono::steady_clock::now();
      replay(now, layers, errors);
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
      wall.push_back(took.count()), cpu.push_back((cpu_seconds() - cpu_began) * 1e3);
    }
    out_.times.push_back(
        {.change = change, .target_ms = target, .n = repeats, .ms = median(wall), .cpu_ms = median(cpu)});
  }

  const ReplayTimesOptions& options_;
  Replayer replayer_;
  ReplayTimes out_;
  Layers one_;
  int64_t budget_ = 0;
};

}  // namespace

ReplayTimes time_replay(std::shared_ptr<ReplaySource> source, ThreadPool& pool, const ReplayTimesOptions& options) {
  return Timer(std::move(source), pool, options).run();
}

}  // namespace reattend
