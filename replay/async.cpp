// Three errands a request: the layer that is looked at, the masses of all, and last what takes long, the output errors.
#include "replay/async.h"

#include <algorithm>
#include <utility>

namespace reattend {

AsyncReplayer::AsyncReplayer(std::unique_ptr<Replayer> replayer, std::function<void()> wake)
    : replayer_(std::move(replayer)), info_(replayer_->info()), errands_(kKinds, std::move(wake)) {}

uint64_t AsyncReplayer::submit(const AsyncRequest& request) {
  errands_.drop_all();
  const uint64_t ticket = ++ticket_;
  errands_.locked([&] {
    answer_ = {.ticket = ticket, .settings = request.settings, .layers = {}, .per_layer = {}, .total = {}};
    answer_.layers.resize(static_cast<size_t>(info_.n_layer));
    answer_.per_layer.resize(static_cast<size_t>(info_.n_layer));
    changed_ = true;
  });
  if (request.first_layer >= 0) post(kFirst, request, ticket);
  post(kMasses, request, ticket);
  if (request.output_error && info_.has_values && !request.from_maps) post(kErrors, request, ticket);
  return ticket;
}

void AsyncReplayer::cancel() {
  errands_.drop_all();
}

std::shared_ptr<const AsyncAnswer> AsyncReplayer::take() {
  std::shared_ptr<const AsyncAnswer> answer;
  errands_.locked([&] {
    if (std::exchange(changed_, false)) answer = std::make_shared<const AsyncAnswer>(answer_);
  });
  return answer;
}

std::vector<std::string> AsyncReplayer::take_failures() {
  std::vector<std::string> messages;
  for (Errands::Failure& failure : errands_.take_failures()) {
    // What is wrong with a request is wrong with all parts of it.
    if (messages.empty() || messages.back() != failure.message) messages.push_back(std::move(failure.message));
  }
  return messages;
}

void AsyncReplayer::post(Kind kind, const AsyncRequest& request, uint64_t ticket) {
  ReplayRequest part = {.settings = request.settings,
                        .layers = {},
                        .output_error = kind == kErrors,
                        .keep_sets = kind == kFirst,
                        .from_maps = request.from_maps};
  // The layer that is looked at goes first in every part.
  if (request.first_layer >= 0) part.layers.push_back(request.first_layer);
  for (int32_t i = 0; kind != kFirst && i < info_.n_stored(); ++i) {
    if (info_.stored_layer(i) != request.first_layer) part.layers.push_back(info_.stored_layer(i));
  }
  errands_.post(kind, [this, kind, ticket, part](const Errands::Context& context) {
    const ReplayResult result = replayer_->run(part, context.progress, context.cancel,
                                               [&](const LayerReplay& layer, const ReplaySummary& summary) {
                                                 auto shared = std::make_shared<LayerReplay>(layer);
                                                 context.deliver([&] {
                                                   if (answer_.ticket == ticket) store(std::move(shared), summary);
                                                 });
                                               });
    if (kind == kFirst) return;
    context.deliver([&] {
      if (answer_.ticket != ticket) return;
      answer_.total = result.total;
      (kind == kMasses ? answer_.has_masses : answer_.has_errors) = true;
      changed_ = true;
    });
  });
}

void AsyncReplayer::store(std::shared_ptr<LayerReplay> layer, const ReplaySummary& summary) {
  const auto at = static_cast<size_t>(layer->layer);
  std::shared_ptr<const LayerReplay>& known = answer_.layers[at];
  if (!known) ++answer_.n_done;
  // Later parts ask for no sets: those of the first stay.
  if (known && layer->sets.empty()) layer->sets = known->sets;
  known = std::move(layer);
  answer_.per_layer[at] = summary;
  changed_ = true;
}

}  // namespace reattend
