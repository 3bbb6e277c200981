// Times the engine itself, not its kernels: barriers, copies and logits are in the numbers, as they are in a run.
#include "engine/record/calibrate.h"

#include <algorithm>
#include <chrono>

#include "base/statistics.h"

namespace reattend {
namespace {

/// Milliseconds of each step of a run but the first, which finds the caches as the run before left them and copies what
/// the prompt's choice kept.
class StepTimes final : public Observer {
 public:
  void step_end(const StepView& step) override {
    if (step.t == 1) return;
    (step.any_full() ? full : partial).push_back(step.seconds * 1e3);
  }
  std::vector<double> full, partial;
};

constexpr int32_t kPage = 16;  // quest's own

int32_t whole_pages(size_t n) {
  return std::max(1, static_cast<int32_t>(n) / kPage) * kPage;
}

/// bytes over a time; 0 (not measured) where noise ate it.
double rate(double bytes, double ms) {
  return ms > 0 ? bytes / ms * 1e-6 : 0;
}

}  // namespace

Calibrator::Calibrator(Backend& backend, const Model& model, const Prefilled& prefilled, ThreadPool& pool,
                       int32_t n_step)
    : backend_(backend),
      model_(model),
      prefilled_(prefilled),
      pool_(pool),
      n_step_(std::min(n_step, 7)),
      whole_(prefilled.prompt.size() >= kFewestTokens),
      many_(whole_pages(prefilled.prompt.size() / 4)),
      few_(whole_pages(prefilled.prompt.size() / 16)) {}

Settings Calibrator::settings_of(Part part) const {
  const auto make = [](const char* policy, int32_t budget) {
    Settings out(policy);
    out.set("K", int64_t{budget});
    return out;
  };
  const auto recycled = [&](int32_t budget, Value stride) {
    Settings out = make("recycled", budget);
    out.set("S", std::move(stride));
    return out;
  };
  switch (part) {
    case kNothing:
    case kLittle: {
      Settings out = make("streaming", part == kNothing ? 1 : few_);
      out.set("sinks", int64_t{1});
      return out;
    }
    case kFull:
    case kParts:
      break;
    case kCopied:
      return recycled(many_, Value{});
    case kRank:
      return recycled(1, int64_t{1});
    case kCopy:
      return recycled(many_, int64_t{2});
    case kScore:
      return make("oracle", 1);
    case kSum:
      return make("tova", many_);
    case kPages:
    case kPlace: {  // the oracle has just read the keys that it gathers; these are cold, as they are for the others
      Settings out = make("quest", part == kPages ? few_ : many_);
      out.set("dense_layers", std::vector<int64_t>{});
      return out;
    }
    case kSketch:
    case kChannels: {
      Settings out = make("sketch", few_);
      out.set("channels", int64_t{sketch_channels(part == kChannels)});
      return out;
    }
  }
  return Settings("full");
}

/// A quarter of the channels, or (`many`) three.
int32_t Calibrator::sketch_channels(bool many) const {
  const int32_t quarter = (model_.shape().d_head + 3) / 4;
  return many ? std::min(3 * quarter, model_.shape().d_head) : quarter;
}

void Calibrator::round(const Cancel& cancel) {
  // One token again and again would choose the same pages and positions again, and find them in the processor's caches.
  const std::vector<int32_t>& prompt = prefilled_.prompt;
  const size_t n = prompt.size();
  for (size_t part = kNothing; part < (whole_ ? kParts : kNothing + 1); ++part) {
    StepTimes observed;
    Observer* observers[] = {&observed};
    const auto sequence = backend_.model->fork(*prefilled_.sequence);
    generate(backend_, model_, *sequence, prefilled_,
             {.settings = settings_of(static_cast<Part>(part)),
              .n_step = n_step_,
              .next_token = [&](int32_t t, StepLogits&) { return prompt[static_cast<size_t>(t) * 37 % n]; },
              .observers = observers,
              .cancel = cancel});
    cancel.check();
    times_[part].full.push_back(median(observed.full));
    times_[part].partial.push_back(median(observed.partial));
  }
}

double Calibrator::median_of(const std::vector<double>& with, const std::vector<double>& without) const {
  std::vector<double> differences;
  for (size_t i = 0; i < with.size(); ++i) differences.push_back(with[i] - without[i]);
  return std::max(0.0, median(differences));
}

Calibration Calibrator::result() const {
  const ModelShape& shape = model_.shape();
  const double heads = static_cast<double>(shape.n_acting()) * shape.n_kv_head;
  const auto key = static_cast<double>(row_bytes(backend_.kv, shape.d_head)) * heads;    // of a position, all heads
  const double n = static_cast<double>(prefilled_.prompt.size()) + (2 + n_step_) / 2.0;  // positions, mean of the steps
  const double few = std::min<double>(few_ + 1, n), many = std::min<double>(many_, n);
  // Which of a part's steps count as full is the policy's own word: full attention and recycled with S = 1 are, the
  // oracle is not.
  const auto& nothing = times_[kNothing].partial;
  const auto& full = times_[kFull].full;
  const auto ns_each = [&](double ms, double count) { return std::max(0.0, ms) * 1e6 / (heads * count); };

  Calibration out{.weights_ms = median(nothing), .stream_gbps = device_of(backend_.name).read_rate(pool_, 0.3).best};
  if (!whole_) return out;
  const double per_position = median_of(full, times_[kLittle].partial) / std::max(1.0, n - few);  // of a run, ms
  out.attend_stream_gbps = rate(2 * key, per_position);
  out.attend_ms = std::max(0.0, median_of(times_[kLittle].partial, nothing) - few * per_position);
  const double base = out.attend_ms;                       // beside `nothing`
  const double tail = (n_step_ - 1) / 2.0 * per_position;  // what came since the choice
  out.attend_gather_gbps = rate(2 * key * many, median_of(times_[kCopied].partial, nothing) - base - tail);

  const double ranking = median_of(times_[kRank].full, full);
  out.rank_ns = ns_each(ranking, n);
  out.keep_ns = ns_each(median_of(times_[kCopy].full, times_[kRank].full), many);
  out.pack_ns = ns_each(median_of(times_[kCopy].partial, times_[kCopied].partial), many);
  const double scoring = median_of(times_[kScore].partial, nothing) - base - ranking;
  out.rescore_gbps = rate(key * n, scoring);
  const double placed = median_of(times_[kPlace].partial, times_[kPages].partial);
  out.attend_place_gbps = rate(2 * key * (many - few), placed);
  const double per_place = placed > 0 && many > few ? placed / (many - few) : per_position;
  out.sum_ns = ns_each(median_of(times_[kSum].partial, nothing) - base - many * per_place, many);
  out.page_ns = ns_each(median_of(times_[kPages].partial, nothing) - base - few * per_place, n / kPage);
  const int32_t quarter = sketch_channels(false), three = sketch_channels(true);
  out.channel_ns =
      ns_each(median_of(times_[kChannels].partial, times_[kSketch].partial), n * std::max(1, three - quarter));
  out.estimate_ns = std::max(
      0.0, ns_each(median_of(times_[kSketch].partial, nothing) - base - few * per_place, n) - quarter * out.channel_ns);
  // What a program of format 1.1 makes of a refresh: ranking and copying an eighth.
  const double refresh = ranking + heads * n / 8 * (out.keep_ns + out.pack_ns) * 1e-6;
  out.score_gbps = rate(key * n, refresh);
  for (const CalibrationField& field : kCalibrationFields) {
    if (!is_plausible(field, out.*field.value)) out.*field.value = field.otherwise;
  }
  return out;
}

Calibration calibrate(Backend& backend, const Model& model, const Prefilled& prefilled, ThreadPool& pool,
                      int32_t n_step, const ProgressFn& progress, const Cancel& cancel) {
  constexpr int kFewest = 3, kMost = 12;
  constexpr double kSeconds = 3;
  const auto begin = std::chrono::steady_clock::now();
  const auto enough = [&](int n) {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return n >= kMost || (n >= kFewest && seconds > kSeconds);
  };
  Calibrator calibrator(backend, model, prefilled, pool, n_step);
  for (int i = 0; !enough(i); ++i) {
    if (progress) progress("calibrate", i, kMost, "rounds");
    calibrator.round(cancel);
  }
  if (progress) progress("calibrate", kMost, kMost, "rounds");
  return calibrator.result();
}

}  // namespace reattend
