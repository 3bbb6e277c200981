// Finds the model and checks the device that a trace's text is run with.
#include "cli/options/engine_options.h"

#include <fmt/format.h>

#include "cli/options/model_options.h"

namespace reattend::cli {

void EngineOptions::add_to(CLI::App& app, const std::string& otherwise) {
  app.add_option("--model", model,
                 fmt::format("Model of the trace: a path, or a name in the model store [{}]", otherwise))
      ->type_name("FILE")
      ->group("Model");
  app.add_option("--device", device, devices_help())->type_name("NAME")->capture_default_str()->group("Model");
}

TracedModel EngineOptions::traced() const {
  ModelOptions known;
  known.device = device;
  return {.path = find_model(model.empty() ? std::string(kDefaultModel) : model),
          .device = known.backend().device,
          .prompt_cache = prompt_cache.cache()};
}

}  // namespace reattend::cli
