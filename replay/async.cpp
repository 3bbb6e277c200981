// Answers a request in four tasks: the layer that is looked at, the masses of all, and last what takes long, the output
// errors, of that layer and of all.
#include "replay/async.h"

#include <algorithm>
#include <utility>

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

uint64_t AsyncReplayer::submit(const AsyncRequest& request) {
  cancel();
  request_ = request;
  const uint64_t ticket = ++ticket_;
  tasks_.locked([&] {
    AsyncAnswer& answer = found_->answer;
    answer = {.ticket = ticket, .settings = request.settings, .layers = {}, .per_layer = {}, .total = {}};
    answer.layers.resize(static_cast<size_t>(info_.n_layer)), answer.per_layer.resize(answer.layers.size());
    found_->changed = true;
  });
  post_layer();
  post_all(kinds_.masses, false);
  if (wants_losses()) post_all(kinds_.errors, true);
  return ticket;
}

void AsyncReplayer::look_at(const LookedAt& what) {
  if (what == looked_at_) return;
  looked_at_ = what;
  if (ticket_ > 0) post_layer();
}

void AsyncReplayer::cancel() {
  for (const int kind : {kinds_.looked_at, kinds_.masses, kinds_.layer_errors, kinds_.errors}) tasks_.drop(kind);
}

std::shared_ptr<const AsyncAnswer> AsyncReplayer::take() {
  std::shared_ptr<const AsyncAnswer> answer;
  tasks_.locked([&] {
    if (std::exchange(found_->changed, false)) answer = std::make_shared<const AsyncAnswer>(found_->answer);
  });
  return answer;
}

bool AsyncReplayer::has_news() const {
  bool news = false;
  tasks_.locked([&] { news = found_->changed; });
  return news;
}

/// Whether there is more to find than masses.
bool AsyncReplayer::wants_losses() const {
  return !request_.from_maps && (request_.estimates || (request_.output_error && info_.has_values));
}

void AsyncReplayer::post_layer() {
  tasks_.drop(kinds_.looked_at), tasks_.drop(kinds_.layer_errors);
  if (looked_at_.layer < 0) return;
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
  const auto work = [found = found_, replayer = replayer_, ticket = ticket_, looked_at = looked_at_, request,
                     whole](const BackgroundTasks::Context& context) {
    const auto deliver = [&](const std::function<void(AsyncAnswer&)>& store) {
      context.deliver([&] {
        if (found->answer.ticket != ticket) return;
        store(found->answer);
        found->changed = true;
      });
    };
    const auto on_layer = [&](const LayerReplay& layer, const ReplaySummary& summary) {
      deliver([&](AsyncAnswer&) { found->store(layer, summary); });
    };
    // With sets a layer is not copied but taken, its sets by themselves.
    ReplayResult result =
        replayer->run(request, context.progress, context.cancel, request.keep_sets ? LayerFn() : LayerFn(on_layer));
    if (request.keep_sets) {
      auto sets = std::make_shared<std::vector<std::vector<int32_t>>>();
      std::vector<std::vector<int32_t>> all = std::exchange(result.layers[0].sets, {});
      const size_t n_kv_head = all.size() / static_cast<size_t>(replayer->info().n_step);
      for (int32_t t = looked_at.steps.first; t <= looked_at.steps.last; ++t) {
        sets->push_back(
            std::move(all[static_cast<size_t>(t - 1) * n_kv_head + static_cast<size_t>(looked_at.kv_head)]));
      }
      deliver([&](AsyncAnswer& answer) { answer.sets_of = looked_at, answer.sets = std::move(sets); });
      on_layer(result.layers[0], result.per_layer[0]);
    }
    if (!whole) return;
    deliver([&](AsyncAnswer& answer) {
      answer.total = result.total;
      (request.output_error || request.estimates ? answer.has_errors : answer.has_masses) = true;
    });
  };
  tasks_.post(kind, work);
}

void AsyncReplayer::Found::store(const LayerReplay& layer, const ReplaySummary& summary) {
  const auto at = static_cast<size_t>(layer.layer);
  std::shared_ptr<const LayerReplay>& known = answer.layers[at];
  if (!known) ++answer.n_done;
  const auto has_losses = [](const LayerReplay& each) {
    return !each.output_error.empty() || !each.losses.largest.empty();
  };
  if (known && has_losses(*known) && !has_losses(layer)) return;  // that says more
  known = std::make_shared<const LayerReplay>(layer);
  answer.per_layer[at] = summary;
}

}  // namespace reattend
