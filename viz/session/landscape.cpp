// Replays cell by cell, those that the tuner tries first, and keeps what an interruption left half done.
#include "viz/session/landscape.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "policies/policy.h"
#include "tune/judge.h"
#include "tune/pareto.h"
#include "viz/session/measured.h"
#include "viz/session/session.h"

namespace reattend::viz {
namespace {

/// Maps that are kept: a few policies, or thresholds at a few places.
constexpr size_t kKept = 12;

/// The front and the choice, by the tuner's own rules; `judged` is what nothing was tried of yet.
void choose(Landscape& landscape) {
  TuneResult& judged = landscape.judged;
  landscape.front.clear(), landscape.best.reset();
  for (const LandscapeCell& cell : landscape.cells) {
    if (!cell.metrics) continue;
    Candidate candidate;
    static_cast<Metrics&>(candidate) = *cell.metrics;
    candidate.settings = cell.settings, candidate.whole = true;
    candidate.traces = {*cell.metrics};
    judged.candidates.push_back(std::move(candidate));
  }
  if (judged.candidates.empty()) return;
  judged.policies = {&judged.candidates.front().settings.info()};
  finish_candidates(judged);
  recommend(judged, {}, {}, {}, {});
  const auto cell_of = [&](const Candidate& candidate) {
    const auto at = std::ranges::find(landscape.cells, candidate.settings, &LandscapeCell::settings);
    return static_cast<size_t>(at - landscape.cells.begin());
  };
  // The tuner's front counts lost mass too, which would make a path of it turn back and forth.
  double least = HUGE_VAL;
  for (const Candidate& each : judged.candidates) {
    if (!each.on_front || each.settings.is_full() || !(each.estimate < least)) continue;
    least = each.estimate;
    landscape.front.push_back(cell_of(each));
  }
  if (!judged.best().settings.is_full()) landscape.best = cell_of(judged.best());
}

}  // namespace

/// What one map still wants, shared with the task that works on it.
struct Landscapes::Job {
  std::shared_ptr<const TuneResult> tuned;
  size_t n_all = 0;                                 ///< cells
  std::vector<std::pair<size_t, Settings>> wanted;  ///< cells not begun, in their order; the task's

  /// Cells that are replayed side by side; the task's. One, or as many as before where layers are prepared anew for
  /// each of them, so that preparing them is paid for a few times and not for every cell.
  std::vector<std::pair<size_t, Settings>> batch;
  std::vector<std::vector<LayerReplay>> layers;  ///< parallel: what has been replayed of them
  size_t most = 1;

  std::vector<std::pair<size_t, Metrics>> found;  ///< guarded by the queue's lock
  bool done() const { return wanted.empty() && batch.empty(); }
  size_t n_left() const { return wanted.size() + batch.size(); }

  void begin_batch(const TraceInfo& info, const Replayer& replayer);
  void work(Replayer& replayer, const BackgroundTasks::Context& context);
};

void Landscapes::Job::begin_batch(const TraceInfo& info, const Replayer& replayer) {
  const ReplayRequest request = {.settings = info.settings, .estimates = true};
  const int64_t cell = std::max<int64_t>(1, replay_bytes(info, request) * info.n_acting());
  const auto room = static_cast<size_t>(std::max<int64_t>(1, replayer.memory() / kMapMemoryShare / cell));
  const size_t n = std::min({most, room, wanted.size()});
  batch.assign(std::make_move_iterator(wanted.begin()), std::make_move_iterator(wanted.begin() + static_cast<long>(n)));
  wanted.erase(wanted.begin(), wanted.begin() + static_cast<long>(n));
  layers.assign(n, {});
}

void Landscapes::Job::work(Replayer& replayer, const BackgroundTasks::Context& context) {
  const TraceInfo& info = tuned->traces.front().info;
  if (batch.empty()) begin_batch(info, replayer);
  const std::vector<int32_t> all = info.acting_layers();
  context.progress("map of settings", static_cast<double>(n_all - n_left()), static_cast<double>(n_all), "settings");
  for (size_t l = layers.back().size(); l < all.size(); ++l) {
    for (size_t i = 0; i < batch.size(); ++i) {
      if (layers[i].size() > l) continue;
      const ReplayRequest request = request_to_judge(tuned->prediction, batch[i].second, {all[l]});
      layers[i].push_back(std::move(replayer.run(request, {}, context.cancel).layers.front()));
    }
  }
  std::vector<std::pair<size_t, Metrics>> judged;
  for (size_t i = 0; i < batch.size(); ++i) judged.emplace_back(batch[i].first, judge(*tuned, 0, layers[i]));
  bool delivered = false;
  context.deliver([&] {
    std::move(judged.begin(), judged.end(), std::back_inserter(found));
    delivered = true;
  });
  if (!delivered) return;
  most = replayer.holds_all_layers() ? 1 : 2 * most;
  batch.clear(), layers.clear();
}

Landscapes::Landscapes(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}

Landscapes::~Landscapes() {
  tasks_.drop(kind_);
}

void Landscapes::enter(std::shared_ptr<Replayer> replayer) {
  tasks_.drop(kind_);
  replayer_ = std::move(replayer);
  maps_.clear(), posted_.clear();
}

const Landscape& Landscapes::ask(const Session& session, const Settings& like, const Axis& across,
                                 const Axis& upwards) {
  const Settings base = at_places(at_places(like, across, 0), upwards, 0);
  const auto fits = [&](const Map& map) {
    return map.base == base && map.landscape.across.key == across.key && map.landscape.upwards.key == upwards.key;
  };
  const auto at = std::ranges::find_if(maps_, fits);
  if (at != maps_.end()) {
    maps_.splice(maps_.begin(), maps_, at);
    maps_.front().asked = true;
    return maps_.front().landscape;
  }
  Map& map = maps_.emplace_front();
  map.base = base, map.asked = true;
  map.job = std::make_shared<Job>();
  map.job->tuned = session.tuning();
  Landscape& made = map.landscape;
  made.across = across, made.upwards = upwards, made.version = ++version_;
  made.judged = *session.tuning();
  std::vector<std::pair<size_t, Settings>> fine;
  for (size_t y = 0; y < upwards.size(); ++y) {
    for (size_t x = 0; x < across.size(); ++x) {
      LandscapeCell cell = {.settings = at_places(at_places(like, across, x), upwards, y)};
      try {
        make_policy(cell.settings, session.trace()->info.run_shape());
        const bool coarse = (across.key.empty() || across.tried[x]) && (upwards.key.empty() || upwards.tried[y]);
        (coarse ? map.job->wanted : fine).emplace_back(made.cells.size(), cell.settings);
        ++made.n_possible;
      } catch (const Error& error) {
        cell.impossible = error.what();
      }
      made.cells.push_back(std::move(cell));
    }
  }
  // The largest budgets first: rankings are prepared at their greatest depth at once.
  for (auto* const list : {&map.job->wanted, &fine}) std::ranges::reverse(*list);
  std::ranges::move(fine, std::back_inserter(map.job->wanted));
  map.job->n_all = map.job->wanted.size();
  for (const auto& [cell, settings] : map.job->wanted) map.order.push_back(cell);
  while (maps_.size() > kKept) maps_.pop_back();
  return made;
}

void Landscapes::post() {
  std::vector<std::shared_ptr<Job>> jobs;
  for (Map& map : maps_) {
    if (!map.asked || map.landscape.n_known == map.landscape.n_possible) continue;
    jobs.push_back(map.job);
  }
  std::ranges::sort(jobs);
  if (jobs == posted_) return;
  posted_ = jobs;
  if (jobs.empty()) return tasks_.drop(kind_);
  tasks_.post(kind_, [jobs, replayer = replayer_](const BackgroundTasks::Context& context) {
    for (;;) {
      // The one with least to do goes first: a strip of thresholds is there while the large map grows.
      Job* next = nullptr;
      for (const std::shared_ptr<Job>& each : jobs) {
        if (!each->done() && (next == nullptr || each->n_left() < next->n_left())) next = each.get();
      }
      if (next == nullptr) return;
      next->work(*replayer, context);
      context.cancel.check();
    }
  });
}

void Landscapes::take(Map& map, const Session& session) {
  std::vector<std::pair<size_t, Metrics>> found;
  tasks_.locked([&] { found = std::exchange(map.job->found, {}); });
  Landscape& landscape = map.landscape;
  const TuneResult& now = *session.tuning();
  if (judged_under_ != session.tuning()) {
    for (LandscapeCell& cell : landscape.cells) {
      if (cell.metrics) cell.metrics = judge_again(*cell.metrics, landscape.judged.prediction.correction, now);
    }
  }
  for (auto& [cell, metrics] : found) {
    if (!landscape.cells[cell].metrics) ++landscape.n_known;
    landscape.cells[cell].metrics = judge_again(std::move(metrics), map.job->tuned->prediction.correction, now);
  }
  const Measured& measured = session.data<Measured>();
  const bool has_tuned = map.tuned_version != measured.tuned_version();
  if (has_tuned) take_tuned(map, measured);
  if (found.empty() && !has_tuned && judged_under_ == session.tuning()) return;
  landscape.judged = now;
  landscape.version = ++version_;
  choose(landscape);
}

/// What the tuner has replayed need not be replayed again; a cell that is half done is begun anew.
void Landscapes::take_tuned(Map& map, const Measured& measured) {
  map.tuned_version = measured.tuned_version();
  bool any = false;
  for (LandscapeCell& cell : map.landscape.cells) {
    const Metrics* const tuned = cell.metrics || !cell.impossible.empty() ? nullptr : measured.tuned(cell.settings);
    if (tuned == nullptr) continue;
    cell.metrics = *tuned;
    ++map.landscape.n_known;
    any = true;
  }
  if (!any) return;
  const auto job = std::make_shared<Job>();
  job->tuned = map.job->tuned, job->n_all = map.job->n_all;
  for (const auto& cell : map.order) {
    if (!map.landscape.cells[cell].metrics) job->wanted.emplace_back(cell, map.landscape.cells[cell].settings);
  }
  map.job = job;
}

void Landscapes::update(const Session& session) {
  if (!replayer_) return;
  for (Map& map : maps_) take(map, session);
  judged_under_ = session.tuning();
  post();
  for (Map& map : maps_) map.asked = false;
}

std::vector<MeasuredPlace> measured_on(const Session& session, const Landscape& map) {
  std::vector<MeasuredPlace> out;
  const int32_t n_prompt = session.trace()->info.n_prompt;
  for (const MeasuredSetting& each : session.data<Measured>().files().measured) {
    if (map.cells.empty() || each.settings.policy() != map.cells.front().settings.policy()) continue;
    const Settings base = at_places(at_places(each.settings, map.across, 0), map.upwards, 0);
    const double x = number_of(each.settings, map.across, n_prompt),
                 y = number_of(each.settings, map.upwards, n_prompt);
    if (base != map.cells.front().settings || std::isnan(x) || std::isnan(y)) continue;
    out.push_back({&each, map.across.place(x), map.upwards.place(y)});
  }
  return out;
}

bool Landscapes::idle() const {
  bool news = false;
  tasks_.locked([&] {
    for (const Map& map : maps_) news = news || !map.job->found.empty();
  });
  return !news;
}

std::vector<const LandscapeCell*> Landscapes::known() const {
  std::vector<const LandscapeCell*> out;
  for (const Map& map : maps_) {
    for (const LandscapeCell& cell : map.landscape.cells) {
      if (cell.metrics) out.push_back(&cell);
    }
  }
  return out;
}

const Metrics* Landscapes::known(const Settings& settings) const {
  for (const Map& map : maps_) {
    const auto at = std::ranges::find(map.landscape.cells, settings, &LandscapeCell::settings);
    if (at != map.landscape.cells.end() && at->metrics) return &*at->metrics;
  }
  return nullptr;
}

}  // namespace reattend::viz
