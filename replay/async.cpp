// Answers a request in four tasks: the layer that is looked at, the masses of all, and last what takes long, the output
// errors, of that layer and of all.
#include "replay/async.h"

#include <algorithm>
#include <utility>

#include "replay/summary.h"

namespace reattend {

AsyncReplayer::AsyncReplayer(BackgroundTasks& tasks, const Kinds& kinds, std::shared_ptr<Replayer> replayer)
    : tasks_(tasks),
      kinds_(kinds),
      replayer_(std::move(replayer)),
      info_(replayer_->info()),
      found_(std::make_shared<Found>()) {}

AsyncReplayer::~AsyncReplayer() {
  cancel();
}

namespace {

/// Puts in a layer that was found; what says more stays.
void store(AsyncAnswer& answer, const std::shared_ptr<const LayerReplay>& layer, std::shared_ptr<const HeadMeans> means,
           const ReplaySummary& summary) {
  const auto at = static_cast<size_t>(layer->layer);
  std::shared_ptr<const LayerReplay>& known = answer.layers[at];
  if (!known) ++answer.n_done;
  const auto has_losses = [](const LayerReplay& each) {
    return !each.output_error.empty() || !each.losses.largest.empty();
  };
  if (known && has_losses(*known) && !has_losses(*layer)) return;
  known = layer;
  answer.means[at] = std::move(means);
  answer.per_layer[at] = summary;
}

}  // namespace

uint64_t AsyncReplayer::submit(const AsyncRequest& request) {
  const auto now = std::chrono::steady_clock::now();
  const bool under_way = all_ticket_ > 0 && tasks_.waiting_for(kinds_.masses) && now - all_began_ < kPatience;
  for (const int kind : {kinds_.looked_at, kinds_.layer_errors, kinds_.errors}) tasks_.drop(kind);
  look_for_end();
  if (!under_way) tasks_.drop(kinds_.masses);
  request_ = request;
  const uint64_t ticket = ++ticket_;
  tasks_.locked([&] {
    AsyncAnswer& answer = found_->answer;
    if (answer.ticket == all_ticket_) found_->passing = std::move(answer);
    answer = {.ticket = ticket, .settings = request.settings};
    answer.layers.resize(static_cast<size_t>(info_.n_layer)), answer.means.resize(answer.layers.size());
    answer.per_layer.resize(answer.layers.size());
    found_->changed = true;
  });
  waits_ = under_way, layer_waits_ = under_way && !layer_may_go();
  if (!layer_waits_) post_layer();
  if (!waits_) begin_all();
  return ticket;
}

void AsyncReplayer::begin_all() {
  if (layer_waits_) post_layer();
  waits_ = false;
  all_ticket_ = ticket_, all_began_ = std::chrono::steady_clock::now();
  post_all(kinds_.masses, false);
  if (wants_losses()) post_all(kinds_.errors, true);
}

void AsyncReplayer::look_at(const LookedAt& what) {
  if (what == looked_at_) return;
  looked_at_ = what;
  if (ticket_ > 0) post_layer();
}

void AsyncReplayer::cancel() {
  waits_ = layer_waits_ = false;
  for (const int kind : {kinds_.looked_at, kinds_.masses, kinds_.layer_errors, kinds_.errors}) tasks_.drop(kind);
}

std::shared_ptr<const AsyncAnswer> AsyncReplayer::take() {
  const auto now = std::chrono::steady_clock::now();
  if (waits_ && (!tasks_.waiting_for(kinds_.masses) || now - all_began_ >= kPatience)) begin_all();
  look_for_end();
  if (layer_waits_ && layer_may_go()) post_layer();
  std::shared_ptr<const AsyncAnswer> answer;
  tasks_.locked([&] {
    if (std::exchange(found_->changed, false)) answer = std::make_shared<const AsyncAnswer>(found_->answer);
  });
  return answer;
}

std::shared_ptr<const AsyncAnswer> AsyncReplayer::take_passing() {
  std::shared_ptr<const AsyncAnswer> answer;
  tasks_.locked([&] {
    if (std::exchange(found_->passing_changed, false)) answer = std::make_shared<const AsyncAnswer>(found_->passing);
  });
  return answer;
}

bool AsyncReplayer::has_news() const {
  bool news = waits_;
  tasks_.locked([&] { news = news || found_->changed || found_->passing_changed; });
  return news;
}

/// Whether there is more to find than masses.
bool AsyncReplayer::wants_losses() const {
  return !request_.from_maps && (request_.estimates || (request_.output_error && info_.has_values));
}

void AsyncReplayer::look_for_end() {
  if (!layer_runs_ || tasks_.waiting_for(kinds_.looked_at)) return;
  layer_runs_ = false, layer_ended_ = std::chrono::steady_clock::now();
}

/// Whether the other layers had their turn since the one that is looked at.
bool AsyncReplayer::layer_may_go() const {
  return std::chrono::steady_clock::now() - layer_ended_ >= kLayerPause;
}

void AsyncReplayer::post_layer() {
  tasks_.drop(kinds_.looked_at), tasks_.drop(kinds_.layer_errors);
  layer_waits_ = false;
  if (looked_at_.layer < 0) return;
  layer_runs_ = true;
  ReplayRequest request = {.settings = request_.settings,
                           .layers = {looked_at_.layer},
                           .output_error = false,
                           .keep_sets = looked_at_.steps.size() > 0 && !request_.from_maps,
                           .set_steps = looked_at_.steps,
                           .set_kv_head = looked_at_.kv_head,
                           .from_maps = request_.from_maps};
  post(kinds_.looked_at, request, false);
  if (!wants_losses()) return;
  request.output_error = request_.output_error, request.keep_sets = false;
  request.estimates = request_.estimates, request.output_norm = request_.output_error;
  post(kinds_.layer_errors, request, false);
}

void AsyncReplayer::post_all(int kind, bool losses) {
  ReplayRequest request = {.settings = request_.settings,
                           .layers = {},
                           .output_error = losses && request_.output_error,
                           .from_maps = request_.from_maps,
                           .estimates = losses && request_.estimates,
                           .output_norm = losses && request_.output_error};
  // The layer that is looked at goes first in every part.
  if (looked_at_.layer >= 0) request.layers.push_back(looked_at_.layer);
  for (int32_t i = 0; i < info_.n_stored(); ++i) {
    if (info_.stored_layer(i) != looked_at_.layer) request.layers.push_back(info_.stored_layer(i));
  }
  post(kind, request, true);
}

void AsyncReplayer::post(int kind, const ReplayRequest& request, bool whole) {
  const auto work = [found = found_, replayer = replayer_, ticket = ticket_, looked_at = looked_at_,
                     pass = std::make_shared<Pass>(request), whole](const BackgroundTasks::Context& context) {
    const TraceInfo& info = replayer->info();
    const bool keeps_sets = pass->request.keep_sets;
    const auto deliver = [&](const std::function<void(AsyncAnswer&)>& change) {
      context.deliver([&] {
        if (AsyncAnswer* const answer = found->of(ticket)) change(*answer);
      });
    };
    const auto on_layer = [&](const LayerReplay& layer, const ReplaySummary& summary) {
      const auto copy = std::make_shared<const LayerReplay>(layer);
      const auto means = std::make_shared<const HeadMeans>(head_means(info, layer));
      deliver([&](AsyncAnswer& answer) { store(answer, copy, means, summary); });
      if (!whole) return;
      pass->done.push_back(copy);
      std::erase(pass->request.layers, layer.layer);
    };
    // With sets a layer is not copied but taken, its sets by themselves. No layer left to do would mean all of them.
    ReplayResult result;
    if (!whole || !pass->request.layers.empty()) {
      const ReplayRequest now = pass->request;
      result = replayer->run(now, context.progress, context.cancel, keeps_sets ? LayerFn() : LayerFn(on_layer));
    }
    if (keeps_sets) {
      auto sets = std::make_shared<std::vector<PositionRuns>>();
      std::vector<PositionRuns> all = std::exchange(result.layers[0].sets, {});
      const auto n_kv_head = static_cast<size_t>(info.n_kv_head);
      for (int32_t t = looked_at.steps.first; t <= looked_at.steps.last; ++t) {
        sets->push_back(
            std::move(all[static_cast<size_t>(t - 1) * n_kv_head + static_cast<size_t>(looked_at.kv_head)]));
      }
      const auto masks =
          std::make_shared<const PositionMasks>(looked_at.steps.first, *sets, info.n_prompt + info.n_step);
      deliver([&](AsyncAnswer& answer) {
        answer.sets_of = looked_at, answer.sets = std::move(sets), answer.masks = masks;
      });
      on_layer(result.layers[0], result.per_layer[0]);
    }
    if (!whole) return;
    ReplaySummary total = result.total;
    if (result.layers.size() < pass->done.size()) {  // the others were found before an interruption
      std::vector<LayerReplay> all;
      for (const auto& layer : pass->done) all.push_back(*layer);
      total = summarize(info, all);
    }
    deliver([&](AsyncAnswer& answer) {
      answer.total = total;
      (pass->request.output_error || pass->request.estimates ? answer.has_errors : answer.has_masses) = true;
    });
  };
  tasks_.post(kind, work);
}

AsyncAnswer* AsyncReplayer::Found::of(uint64_t ticket) {
  if (answer.ticket == ticket) {
    changed = true;
    return &answer;
  }
  if (passing.ticket != ticket) return nullptr;
  passing_changed = true;
  return &passing;
}

}  // namespace reattend
