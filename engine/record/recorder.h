// Writes a trace while the decode loop runs.
#pragma once
#include <memory>
#include <vector>

#include "engine/generate.h"
#include "traces/write/writer.h"

namespace reattend {

/// What a header takes from the model and the prompt; the rest has defaults or is the caller's.
TraceHeader header_for(const ModelShape& shape, std::span<const int32_t> prompt);

/// Give it to generate(). Looks at each layer's rows there and then, on the loop's own pool, and keeps its new key,
/// value and queries; the writing runs beside the decoding, at most two steps behind. An error of the writer (a full
/// disk) is thrown by the next step; what was committed stays readable.
class Recorder final : public Observer {
 public:
  /// header.prompt must be the prompt that was prefilled; it and the calibration may be set until begin(). With
  /// header.row_sums the sequence must hold them (PrefillOptions::needs).
  Recorder(TraceWriter& writer, TraceHeader header, const ModelShape& shape, ThreadPool& pool);
  ~Recorder() override;
  TraceHeader& header();

  /// Under other policies than full attention always: the cache has to stay whole for its keys to be read.
  bool needs_full_rows() const override;
  void begin(SequenceView& sequence, const StepView& step) override;
  void layer_begin(int32_t t, int32_t layer, const Plan& plan) override;
  void attended(const LayerView& view) override;
  void step_end(const StepView& step) override;
  /// Waits until everything is written and closes the trace.
  void end() override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reattend
