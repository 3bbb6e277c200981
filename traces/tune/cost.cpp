// Decoding is bound by memory: each part of a step is its bytes over the rate that part was measured at.
#include "traces/tune/cost.h"

namespace reattend {
namespace {

/// Keys or values of one position of one KV head.
double row_bytes(const TraceInfo& info) {
  return static_cast<double>(reattend::row_bytes(info.kv_type, info.d_head));
}

/// Two rows of floats a page: lowest and highest value of each channel.
double bound_bytes(const TraceInfo& info, const StepWork& work) {
  return work.bounds * 2 * info.d_head * static_cast<double>(sizeof(float));
}

}  // namespace

double attend_bytes(const TraceInfo& info, const StepWork& work) {
  return (work.run + work.kept) * 2 * row_bytes(info);
}

double select_bytes(const TraceInfo& info, const StepWork& work) {
  return (work.rescored + 2 * work.packed) * row_bytes(info) + bound_bytes(info, work);
}

bool is_calibrated(const Calibration& calibration) {
  return calibration.weights_ms > 0 && (calibration.attend_stream_gbps > 0 || calibration.stream_gbps > 0);
}

double predict_ms(const TraceInfo& info, const StepWork& work) {
  const Calibration& c = info.calibration;
  if (!is_calibrated(c)) return 0;
  const double stream = c.attend_stream_gbps > 0 ? c.attend_stream_gbps : c.stream_gbps;
  const auto ms = [stream](double bytes, double gbps) { return bytes / (gbps > 0 ? gbps : stream) * 1e-6; };
  return c.weights_ms + ms((2 * work.run + work.rescored) * row_bytes(info), stream) +
         ms(work.kept * 2 * row_bytes(info), c.attend_gather_gbps) +
         ms(work.ranked * row_bytes(info) + bound_bytes(info, work), c.score_gbps);
}

StepWork full_work(const TraceInfo& info) {
  const double mean_row = info.n_prompt + (info.n_step + 1) / 2.0;  // L + t, t = 1..T
  return {.run = mean_row * info.n_layer * info.n_kv_head};
}

}  // namespace reattend
