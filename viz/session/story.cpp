// Replays the selected layer for the row's losses and the cures, then every layer for the position's lanes.
#include "viz/session/story.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "tune/judge.h"
#include "viz/session/session.h"

namespace reattend::viz {
namespace {

/// Of one layer, read off a replay as its steps are done.
Lane lane_of(Replayer& replayer, const Settings& settings, int32_t layer, int32_t kv_head, int32_t position,
             const Cancel& cancel) {
  const TraceInfo& info = replayer.info();
  Lane lane{.layer = layer,
            .weights = std::vector<float>(static_cast<size_t>(info.n_step), std::numeric_limits<float>::quiet_NaN())};
  replayer.run({.settings = settings, .layers = {layer}, .output_error = false}, {}, cancel, {},
               [&](const PreparedLayer& prepared, Steps steps, const LayerReplay& replay) {
                 for (int32_t t = steps.first; t <= steps.last; ++t) {
                   if (position > prepared.position(t)) continue;
                   const auto weight = static_cast<float>(mass_of(prepared.mass_row(kv_head, t)[position]));
                   const auto& set = replay.sets[static_cast<size_t>(t - 1) * info.n_kv_head + kv_head];
                   const bool attended = set.holds(position);
                   lane.weights[static_cast<size_t>(t - 1)] = attended ? weight : -weight;
                 }
               });
  return lane;
}

}  // namespace

const LostPosition* Story::lost() const {
  if (!row) return nullptr;
  const auto found = std::ranges::find(row->positions, position, &LostPosition::position);
  return found == row->positions.end() ? nullptr : &*found;
}

/// What one story still wants, shared with the task that works on it.
struct Stories::Job {
  Settings settings;
  RowPlace at;
  int32_t selected = -1;  ///< position; -1: none
  std::shared_ptr<const std::vector<std::string>> texts;
  std::shared_ptr<const TuneResult> tuned;
  std::shared_ptr<const AsyncAnswer> answer;  ///< null: without prices
  Story story;                                ///< the task's
  std::shared_ptr<const Story> found;         ///< guarded by the queue's lock

  void deliver(const BackgroundTasks::Context& context) {
    auto copy = std::make_shared<const Story>(story);
    context.deliver([&] { found = std::move(copy); });
  }
  void work(Replayer& replayer, ThreadPool& threads, const BackgroundTasks::Context& context);
  void look_at_row(Replayer& replayer, ThreadPool& threads, const Cancel& cancel);
  void price(Replayer& replayer, const Cancel& cancel);
  bool has_lane(int32_t layer) const;
  void add_lane(int32_t layer, Replayer& replayer, const Cancel& cancel);
};

void Stories::Job::look_at_row(Replayer& replayer, ThreadPool& threads, const Cancel& cancel) {
  if (!story.row) {
    story.row = std::make_shared<const LostRow>(lost_row(replayer, story.settings, story.at, *texts, threads, cancel));
  }
  const std::vector<LostPosition>& heaviest = story.row->positions;
  story.position = selected >= 0 || heaviest.empty() ? selected : heaviest.front().position;
  const LostPosition* const lost = story.lost();
  if (lost == nullptr) story.cured = true;
  if (lost != nullptr && !story.detail) {
    story.detail = loss_detail(replayer, story.settings, *story.row, *lost, threads, cancel);
  }
}

void Stories::Job::price(Replayer& replayer, const Cancel& cancel) {
  std::vector<LayerReplay> layers;
  size_t row = 0;
  for (const auto& layer : answer->layers) {
    if (!layer) continue;
    if (layer->layer == story.at.layer) row = layers.size();
    layers.push_back(*layer);
  }
  const Metrics now = judge(*tuned, 0, layers);
  for (PricedCure& each : story.cures) {
    if (each.price) continue;
    each.price = price_of(*tuned, layers, row, now, each.cure.settings, each.cure.change, replayer, cancel);
  }
}

bool Stories::Job::has_lane(int32_t layer) const {
  return story.lanes && std::ranges::find(*story.lanes, layer, &Lane::layer) != story.lanes->end();
}

void Stories::Job::add_lane(int32_t layer, Replayer& replayer, const Cancel& cancel) {
  if (story.position < 0 || has_lane(layer)) return;
  std::vector<Lane> lanes = story.lanes ? *story.lanes : std::vector<Lane>{};
  lanes.push_back(lane_of(replayer, story.settings, layer, story.at.kv_head, story.position, cancel));
  std::ranges::sort(lanes, {}, &Lane::layer);
  story.lanes = std::make_shared<const std::vector<Lane>>(std::move(lanes));
}

void Stories::Job::work(Replayer& replayer, ThreadPool& threads, const BackgroundTasks::Context& context) {
  const TraceInfo& info = replayer.info();
  look_at_row(replayer, threads, context.cancel);
  deliver(context);
  add_lane(story.at.layer, replayer, context.cancel);
  deliver(context);
  if (!story.cured) {
    const int32_t budget = story.detail ? story.detail->budget : -1;
    for (Cure& each : CureSearch(replayer, story.settings, story.at, story.position, context.cancel).find(budget)) {
      story.cures.push_back({std::move(each), {}});
    }
    story.cured = true;
    deliver(context);
  }
  if (answer) price(replayer, context.cancel);
  deliver(context);
  for (int32_t i = 0; i < info.n_stored(); ++i) {
    const int32_t layer = info.stored_layer(i);
    if (!info.acts(layer) || has_lane(layer)) continue;
    add_lane(layer, replayer, context.cancel);
    context.progress("life of a position", i + 1, info.n_stored(), "layers");
    deliver(context);
  }
  story.whole = true;
  deliver(context);
}

Stories::~Stories() {
  tasks_.drop(kind_);
}

void Stories::enter(std::shared_ptr<Replayer> replayer) {
  tasks_.drop(kind_);
  replayer_ = std::move(replayer);
  job_.reset(), story_.reset(), texts_.reset();
  asked_ = false;
}

const Story* Stories::ask() {
  asked_ = true;
  return story_.get();
}

void Stories::update(const Session& session) {
  if (!replayer_) return;
  if (job_) {
    std::shared_ptr<const Story> found;
    tasks_.locked([&] { found = std::exchange(job_->found, nullptr); });
    if (found) story_ = std::move(found);
  }
  if (!std::exchange(asked_, false) || !session.layer_is_current()) return;
  const Selection& selection = session.selection();
  const RowPlace at = {selection.layer, selection.kv_head, selection.step};
  const TraceInfo& info = session.trace()->info;
  const bool prices = session.answer()->has_errors && info.n_stored() >= info.n_acting();
  const auto same = [&](const auto& of) { return of.settings == session.settings() && of.at == at; };
  const bool asked_before = job_ && same(*job_) && job_->selected == selection.position;
  const bool same_law = job_ && job_->tuned->prediction.correction == session.tuning()->prediction.correction;
  if (asked_before && same_law && (job_->answer || !prices)) return;
  if (!texts_) texts_ = std::make_shared<const std::vector<std::string>>(session.trace()->token_texts);
  job_ = std::make_shared<Job>();
  job_->settings = session.settings(), job_->at = at;
  job_->selected = selection.position, job_->texts = texts_;
  job_->tuned = session.tuning(), job_->answer = prices ? session.answer() : nullptr;
  // What is known already of the same row, or of the same position, need not be found again.
  Story& story = job_->story;
  const bool same_position = story_ && story_->position >= 0 && story_->position == selection.position;
  if (story_ && same(*story_) && (asked_before || same_position)) story = *story_, story.whole = false;
  if (story_ && same(*story_)) story.row = story_->row;
  if (!same_law) {
    for (PricedCure& each : story.cures) each.price.reset();
  }
  if (same_position && story_->settings == session.settings() && story_->at.kv_head == at.kv_head)
    story.lanes = story_->lanes;
  story.settings = job_->settings, story.at = at;
  tasks_.post(kind_, [job = job_, replayer = replayer_, threads = threads_](const BackgroundTasks::Context& context) {
    job->work(*replayer, *threads, context);
  });
}

bool Stories::idle() const {
  bool news = false;
  tasks_.locked([&] { news = job_ && job_->found; });
  return !news;
}

}  // namespace reattend::viz
