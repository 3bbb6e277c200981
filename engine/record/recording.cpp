// Fills a trace's header from model, device and settings, then runs the decode loop with a recorder.
#include "engine/record/recording.h"

#include <fmt/format.h>

#include "engine/record/calibrate.h"
#include "engine/record/decode_into_prompt.h"
#include "engine/record/recorder.h"
#include "kernels/cpu/ops.h"

namespace reattend {
namespace {

TraceHeader header_of(const Model& model, const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                      const RecordingOptions& options, const Backend& backend, const ThreadPool& pool) {
  const ModelShape& shape = model.shape();
  TraceHeader header = header_for(shape, prompt);
  header.engine_version = REATTEND_VERSION;
  header.command_line = options.command_line;
  header.model = model.path().filename().string();
  header.model_sha256 = model.sha256();
  header.device = options.device.device;
  header.cpu_target = Cpu::target_name();
  header.activations = name_of(backend.activations);
  header.threads = pool.n_thread();
  header.kv_type = backend.kv;
  header.settings = options.settings;
  header.shadow = options.shadow;
  header.has_values = options.values;
  header.has_prompt_row_sums = options.row_sums;
  header.expected_steps = options.last_step - options.first_step + 1;
  header.maps = options.stored.maps, header.n_map = options.stored.n_map, header.map_bin = options.stored.map_bin;
  header.measure_every = options.stored.measure_every;
  if (!options.stored.layers.empty()) header.layers = options.stored.layers;
  for (int32_t id = 0; id < shape.n_vocab; ++id) {
    header.vocab.push_back(tokenizer.piece(id, true));
    if (tokenizer.is_end(id)) header.end_tokens.push_back(id);
  }
  return header;
}

}  // namespace

Recording record_run(Backend& backend, const Model& model, const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                     const RecordingOptions& options, ThreadPool& pool, const ProgressFn& progress,
                     const Cancel& cancel) {
  TraceWriter writer(options.path, options.force);
  Recorder recorder(writer, header_of(model, tokenizer, prompt, options, backend, pool), model.shape(), pool);
  std::vector<Observer*> observers = {&recorder};
  observers.insert(observers.end(), options.observers.begin(), options.observers.end());
  SequenceNeeds needs =
      needs_of({&options.settings, 1}, model.shape(), backend.kv, static_cast<int32_t>(prompt.size()), options.n_ctx);
  needs.prompt.row_sums = needs.prompt.row_sums || options.row_sums;
  Recording out{
      .prefilled = prefill_cached(
          backend, model, prompt,
          {.n_ctx = options.n_ctx, .needs = needs, .observers = observers, .progress = progress, .cancel = cancel},
          options.prompt_cache)};
  const int32_t n_skipped = options.first_step - 1, n_step = options.last_step - n_skipped;
  if (n_skipped > 0) {
    decode_into_prompt(backend, model, out.prefilled,
                       {.settings = options.settings,
                        .n_step = n_skipped,
                        .shadow = options.shadow,
                        .next_token = options.next_token,
                        .progress = progress,
                        .cancel = cancel});
    recorder.header().prompt = out.prefilled.prompt;
    recorder.header().n_skipped = n_skipped;
  }
  const int32_t room = options.n_ctx - static_cast<int32_t>(out.prefilled.prompt.size());
  if (options.calibration && room >= Calibrator::kFewestSteps) {
    recorder.header().calibration = calibrate(backend, model, out.prefilled, pool, room, progress, cancel);
    if (out.prefilled.prompt.size() < Calibrator::kFewestTokens) {
      out.uncalibrated = fmt::format("attention takes a prompt of {} tokens; weights and plain reading were measured",
                                     Calibrator::kFewestTokens);
    }
  } else if (options.calibration) {
    out.uncalibrated = fmt::format("takes {} steps; none was made", Calibrator::kFewestSteps);
  }
  const auto sequence = backend.model->fork(*out.prefilled.sequence);
  out.run =
      generate(backend, model, *sequence, out.prefilled,
               {.settings = options.settings,
                .n_step = n_step,
                .shadow = options.shadow,
                .next_token = [&](int32_t t, StepLogits& logits) { return options.next_token(n_skipped + t, logits); },
                .hash = true,
                .observers = observers,
                .progress = progress,
                .cancel = cancel});
  return out;
}

}  // namespace reattend
