// Adds up predicted times: reading is bytes over a rate; choosing and copying take a time for every row of a few lines.
#include "replay/cost/cost.h"

#include <algorithm>
#include <initializer_list>

namespace reattend {
namespace {

/// Keys or values of one position of one KV head.
double row_bytes(const TraceInfo& info) {
  return static_cast<double>(reattend::row_bytes(info.kv_type, info.d_head));
}

/// Two rows of floats a page: lowest and highest value of each channel.
double bound_bytes(const TraceInfo& info, const CountedWork& work) {
  return work.bounds * 2 * info.d_head * static_cast<double>(sizeof(float));
}

/// Ranges by channel that a choice goes through: of pages, and of a sketch's blocks beyond those of 256 positions, with
/// which a position's estimate was timed.
double bounds_ranked(const CountedWork& work) {
  return work.bounds + std::max(0.0, work.blocks - work.estimated / kPiece);
}

}  // namespace

double attend_bytes(const TraceInfo& info, const CountedWork& work) {
  return (work.run + work.kept) * 2 * row_bytes(info);
}

double select_bytes(const TraceInfo& info, const CountedWork& work) {
  return (work.rescored + 2 * work.packed) * row_bytes(info) + bound_bytes(info, work) + work.sketch_bytes;
}

bool is_calibrated(const Calibration& calibration) {
  return calibration.weights_ms > 0 && (calibration.attend_stream_gbps > 0 || calibration.stream_gbps > 0);
}

double predict_ms(const TraceInfo& info, const CountedWork& work) {
  const Calibration& c = info.calibration;
  if (!is_calibrated(c)) return 0;
  const double row = row_bytes(info);
  const auto first_of = [](std::initializer_list<double> rates) {
    for (const double gbps : rates) {
      if (gbps > 0) return gbps;
    }
    return 0.0;
  };
  const double stream = first_of({c.attend_stream_gbps, c.stream_gbps});
  const double gather = first_of({c.attend_gather_gbps, stream}), place = first_of({c.attend_place_gbps, gather});
  const double read = 2 * row * (work.run / stream + (work.kept - work.in_place) / gather + work.in_place / place) +
                      work.rescored * row / first_of({c.rescore_gbps, stream});
  const double ms = c.weights_ms + c.attend_ms + read * 1e-6;
  if (c.rank_ns < 0) {
    const double scored = (work.ranked + work.summed) * row + bound_bytes(info, work);
    return ms + scored / first_of({c.score_gbps, stream}) * 1e-6 + work.sketch_bytes / stream * 1e-6;
  }
  const auto ns = [](double count, double each) { return count * std::max(0.0, each); };
  return ms + 1e-6 * (ns(work.ranked, c.rank_ns) + ns(work.chosen, c.keep_ns) + ns(work.summed, c.sum_ns) +
                      ns(work.packed, c.pack_ns) + ns(bounds_ranked(work), c.page_ns) +
                      ns(work.estimated, c.estimate_ns) + ns(work.looked_up, c.channel_ns));
}

std::vector<std::string> assumed_rates(const TraceInfo& info, const CountedWork& work) {
  const Calibration& c = info.calibration;
  std::vector<std::string> names;
  if (!is_calibrated(c)) return names;
  const auto need = [&](double count, bool measured, const char* name) {
    if (count > 0 && !measured) names.emplace_back(name);
  };
  need(work.run, c.attend_stream_gbps > 0, "attend_stream_gbps");
  need(work.kept - work.in_place, c.attend_gather_gbps > 0, "attend_gather_gbps");
  need(work.in_place, c.attend_place_gbps > 0, "attend_place_gbps");
  need(work.rescored, c.rescore_gbps > 0, "rescore_gbps");
  if (c.rank_ns < 0) {
    need(work.ranked + work.summed + work.bounds, c.score_gbps > 0, "score_gbps");
    return names;
  }
  need(work.chosen, c.keep_ns >= 0, "keep_ns");
  need(work.summed, c.sum_ns >= 0, "sum_ns");
  need(work.packed, c.pack_ns >= 0, "pack_ns");
  need(bounds_ranked(work), c.page_ns >= 0, "page_ns");
  need(work.estimated, c.estimate_ns >= 0, "estimate_ns");
  need(work.looked_up, c.channel_ns >= 0, "channel_ns");
  return names;
}

double window_bytes(const TraceInfo& info) {
  double positions = 0;  // mean over the steps, summed over the layers
  for (const int64_t window : info.windows) {
    if (window == 0 || info.n_step == 0) continue;
    // The first steps may see all L + t positions, the others see the window.
    const auto n_filling = static_cast<int32_t>(std::clamp<int64_t>(window - info.n_prompt, 0, info.n_step));
    const double all = n_filling * (info.n_prompt + (n_filling + 1) / 2.0);
    positions += (all + (info.n_step - n_filling) * static_cast<double>(window)) / info.n_step;
  }
  return positions * info.n_kv_head * 2 * row_bytes(info);
}

CountedWork full_work(const TraceInfo& info) {
  const double mean_row = info.n_prompt + (info.n_step + 1) / 2.0;  // L + t, t = 1..T
  return {.run = mean_row * info.n_acting() * info.n_kv_head};
}

}  // namespace reattend
