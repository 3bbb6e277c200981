// Joins a trace's reader and its replayer to the one thing the worker calls.
#include "viz/trace_source.h"

#include <utility>

namespace reattend::viz {
namespace {

class TraceSource : public ViewSource {
 public:
  TraceSource(const std::filesystem::path& path, ThreadPool& pool)
      : reader_(TraceReader::open(path)), replayer_(reader_, pool) {}

  const TraceInfo& info() const override { return reader_->info(); }
  std::vector<std::string> token_texts() override { return reader_->token_texts(); }
  StepData steps() override { return reader_->steps(); }
  ReplayResult replay(const ReplayRequest& request, const ProgressFn& progress, const Cancel& cancel) override {
    return replayer_.run(request, progress, cancel);
  }
  std::vector<float> row(int32_t layer, int32_t kv_head, int32_t t) override {
    return replayer_.row(layer, kv_head, t);
  }

 private:
  std::shared_ptr<TraceReader> reader_;
  Replayer replayer_;
};

}  // namespace

OpenSource trace_source(int n_thread) {
  return [pool = std::make_shared<ThreadPool>(n_thread)](
             const std::filesystem::path& path) -> std::unique_ptr<ViewSource> {
    return std::make_unique<TraceSource>(path, *pool);
  };
}

}  // namespace reattend::viz
