// The page that every decode step is: for each layer project, gate, choose, attend, choose, finish; then the logits.
#include "engine/backend/backend.h"

namespace reattend {

void walk_layers(ModelOps& model, SelectionOps& selection, Sequence& sequence, const StepRequest& request,
                 StepWatch* watch) {
  model.embed(sequence, {&request.token, 1}, request.p);
  for (int32_t layer = 0; layer < static_cast<int32_t>(request.plans.size()); ++layer) {
    const Plan& plan = request.plans[layer];
    if (watch != nullptr) watch->layer_begin(layer);
    model.project(sequence, layer);

    if (watch != nullptr) watch->choosing_begin();
    selection.gate(sequence, layer, plan, request.measure);
    selection.before(sequence, layer, plan);
    if (watch != nullptr) watch->choosing_end();

    selection.attend(sequence, layer, plan, request.shadow);
    if (watch != nullptr) watch->attended(layer);

    if (watch != nullptr) watch->choosing_begin();
    selection.after(sequence, layer, plan);
    if (watch != nullptr) watch->choosing_end();

    model.finish_layer(sequence, layer);
    if (watch != nullptr) watch->layer_end(layer);
  }
  model.predict(sequence, -1);
}

}  // namespace reattend
