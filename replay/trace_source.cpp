// A trace file as the replay's source.
#include "replay/replay.h"

namespace reattend {
namespace {

class TraceSource final : public ReplaySource {
 public:
  explicit TraceSource(std::shared_ptr<TraceReader> trace) : trace_(std::move(trace)) {}
  const TraceInfo& info() const override { return trace_->info(); }
  LayerData layer(int32_t layer) override { return trace_->layer(layer, trace_->info().has_values); }
  std::vector<float> prompt_queries(int32_t layer) override { return trace_->prompt_queries(layer); }
  std::vector<float> prompt_row_sums(int32_t layer) override { return trace_->prompt_row_sums(layer); }
  MapData map(int32_t layer, int32_t kv_head) override { return trace_->map(layer, kv_head); }
  std::vector<std::string> token_texts() override { return trace_->token_texts(); }
  std::vector<int32_t> token_ids() override { return trace_->tokens(); }
  StepData steps() override { return trace_->steps(); }

 private:
  std::shared_ptr<TraceReader> trace_;
};

}  // namespace

std::shared_ptr<ReplaySource> make_replay_source(std::shared_ptr<TraceReader> trace) {
  return std::make_shared<TraceSource>(std::move(trace));
}

Replayer::Replayer(std::shared_ptr<TraceReader> trace, ThreadPool& pool, int64_t memory)
    : Replayer(make_replay_source(std::move(trace)), pool, memory) {}

}  // namespace reattend
