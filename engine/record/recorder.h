// Writes a trace while the decode loop runs; what needs no backend happens on a thread of its own.
#pragma once
#include <memory>
#include <vector>

#include "engine/generate.h"
#include "traces/write/writer.h"

namespace reattend {

/// What a header takes from the model and the prompt; the rest has defaults or is the caller's.
TraceHeader header_for(const ModelShape& shape, std::span<const int32_t> prompt);

/// Give it to generate(). Reads rows, queries, keys and values through the backend's door between
/// operations; the analysis of rows (maps, masses, overlap) and the writing run beside the decoding, at most two steps
/// behind. An error of the writer (a full disk) is thrown by the next step; what was committed stays readable.
class Recorder final : public Observer {
 public:
  /// header.prompt must be the prompt that was prefilled; its calibration may be set until begin(). With header.row_sums
  /// the sequence must hold them (PrefillOptions::needs).
  Recorder(TraceWriter& writer, TraceHeader header, const ModelShape& shape);
  ~Recorder() override;
  TraceHeader& header();

  bool measures() const override { return true; }
  void begin(ModelOps& ops, Sequence& sequence, const StepView& step) override;
  void layer_begin(int32_t t, int32_t layer, const Plan& plan) override;
  void attended(ModelOps& ops, Sequence& sequence, int32_t t, int32_t layer) override;
  void step_end(const StepView& step) override;
  /// Waits until everything is written and closes the trace.
  void end() override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reattend
