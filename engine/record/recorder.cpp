// Two sides with a short queue between them: the decode loop copies, the other thread analyses and writes.
#include "engine/record/recorder.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>
#include <utility>

#include "engine/record/measure.h"
#include "traces/schema.h"

namespace reattend {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr size_t kMostWaiting = 2;  // steps: each holds its rows, 6 MB at 5,500 positions of SmolLM2

/// One step as the decode loop leaves it; t = 0 is the prompt's end, of which only rows and logits count.
struct Job {
  int32_t t = 0, n_position = 0;
  StepRecord record;
  std::vector<float> rows;                 ///< [n_layer][n_kv_head][group][n_position]
  std::vector<std::vector<int32_t>> sets;  ///< [n_layer * n_kv_head] attended positions; empty: all
  std::vector<float> logits;               ///< [n_vocab]

  /// Ready for another step, its memory kept: rows are megabytes, and fresh pages for them are cleared by the kernel.
  void clear() {
    StepRecord& r = record;
    r.keys.clear(), r.values.clear(), r.queries.clear();
    r.decision.clear(), r.reason.clear(), r.positions.clear();
    r.cos_last_full.clear(), r.cos_prev_pre.clear(), r.cos_prev_post.clear();
    sets.clear();
  }
};

TopTokens top_of(std::span<const double> log_probability) {
  std::vector<int32_t> order(log_probability.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  const size_t n = std::min<size_t>(schema::kTop, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(),
                    [&](int32_t a, int32_t b) {
                      return log_probability[a] != log_probability[b] ? log_probability[a] > log_probability[b] : a < b;
                    });
  TopTokens top{.ids = std::vector<int32_t>(schema::kTop, -1),
                .logprobs = std::vector<float>(schema::kTop, -std::numeric_limits<float>::infinity())};
  double rest = 1;
  for (size_t i = 0; i < n; ++i) {
    top.ids[i] = order[i];
    top.logprobs[i] = static_cast<float>(log_probability[order[i]]);
    rest -= std::exp(log_probability[order[i]]);
  }
  top.rest = static_cast<float>(std::max(0.0, rest));
  return top;
}

/// What rows say, step after step: maps, masses, overlap with the step before.
class Analysis {
 public:
  Analysis(const ModelShape& shape, const TraceHeader& header)
      : shape_(shape),
        n_map_(header.n_map),
        pool_(header.overlap_pool),
        ranks_(static_cast<size_t>(shape.n_layer) * shape.n_kv_head) {}

  void run(Job& job) {
    const size_t n_unit = ranks_.size(), n_row = static_cast<size_t>(shape_.group()) * job.n_position;
    StepRecord& r = job.record;
    r.map_positions.assign(n_unit * n_map_, -1);
    r.map_weights.assign(n_unit * n_map_, 0);
    r.map_rest.resize(n_unit), r.recovered.resize(n_unit), r.oracle.resize(n_unit);
    r.overlap.resize(n_unit * schema::kOverlapSizes.size());
    for (size_t unit = 0; unit < n_unit; ++unit) {
      const std::span<const float> rows = std::span(job.rows).subspan(unit * n_row, n_row);
      measure_unit(unit, rows, job.n_position, job.sets.empty() ? std::vector<int32_t>() : job.sets[unit], r);
    }
  }

 private:
  void measure_unit(size_t unit, std::span<const float> rows, int32_t n, const std::vector<int32_t>& set,
                    StepRecord& r) {
    mean_.resize(n), score_.resize(n), pooled_.resize(n);
    cpu::reduce_heads(rows.data(), shape_.group(), n, n, Reduce::mean, mean_.data());
    double whole = 0;
    for (const float weight : mean_) whole += weight;
    int32_t* positions = r.map_positions.data() + unit * n_map_;
    const int32_t n_top = cpu::top_k(mean_.data(), n, n_map_, positions);
    double mapped = 0;
    for (int32_t i = 0; i < n_top; ++i) mapped += r.map_weights[unit * n_map_ + i] = mean_[positions[i]];
    r.map_rest[unit] = static_cast<float>(std::max(0.0, whole - mapped));
    const Mass mass = set.empty() ? Mass{whole, whole} : measure_mass(rows, shape_.group(), set);
    r.recovered[unit] = static_cast<float>(mass.recovered);
    r.oracle[unit] = static_cast<float>(mass.oracle);
    cpu::reduce_heads(rows.data(), shape_.group(), n, n, Reduce::max, score_.data());
    cpu::max_pool(score_.data(), n, pool_, pooled_.data());
    measure_overlap_before(unit, n, r);
  }

  /// Top-k sets of all sizes are prefixes of one rank order.
  void measure_overlap_before(size_t unit, int32_t n, StepRecord& r) {
    constexpr auto kSizes = schema::kOverlapSizes;
    const auto largest = static_cast<int32_t>(kSizes.back());
    std::vector<int32_t> order(std::min(largest, n));
    order.resize(static_cast<size_t>(cpu::top_k(pooled_.data(), n, largest, order.data())));
    std::vector<int32_t>& before = ranks_[unit];
    rank_.assign(n, std::numeric_limits<int32_t>::max());
    for (size_t i = 0; i < before.size(); ++i) rank_[before[i]] = static_cast<int32_t>(i);
    for (size_t s = 0; s < kSizes.size(); ++s) {
      const auto k = static_cast<int32_t>(std::min<size_t>(kSizes[s], order.size()));
      const auto both =
          std::count_if(order.begin(), order.begin() + k, [&](int32_t p) { return rank_[p] < kSizes[s]; });
      r.overlap[unit * kSizes.size() + s] = before.empty() ? kNan : static_cast<float>(both) / static_cast<float>(k);
    }
    before = std::move(order);
  }

  const ModelShape& shape_;
  int32_t n_map_, pool_;
  std::vector<std::vector<int32_t>> ranks_;  ///< [n_layer * n_kv_head] rank order of the step before
  std::vector<float> mean_, score_, pooled_;
  std::vector<int32_t> rank_;
};

schema::Reason reason_of(const Plan& plan, bool full, bool dense) {
  using enum schema::Reason;
  if (!full) return plan.gated ? partial_gate : partial_scheduled;
  return plan.gated ? full_gate : dense ? full_dense : full_scheduled;
}

/// Layers that the settings make always full.
std::vector<int64_t> dense_layers(const Settings& settings) {
  if (!find_parameter("dense_layers")->taken_by(settings.policy())) return {};
  return settings.layers("dense_layers");
}

}  // namespace

TraceHeader header_for(const ModelShape& shape, std::span<const int32_t> prompt) {
  return {.architecture = shape.architecture,
          .n_layer = shape.n_layer,
          .n_head = shape.n_head,
          .n_kv_head = shape.n_kv_head,
          .d_head = shape.d_head,
          .d_model = shape.d_model,
          .rope = shape.rope,
          .settings = Settings("full"),
          .prompt = {prompt.begin(), prompt.end()}};
}

struct Recorder::State {
  TraceWriter& writer;
  TraceHeader header;
  const ModelShape& shape;
  std::vector<std::vector<float>> before_pre, before_post;  ///< [n_layer] of [n_head][d_head]
  std::vector<Plan> plans;                                  ///< [n_layer] of this step
  std::vector<int64_t> dense;
  Job job;                      ///< the step under way
  std::vector<std::byte> rows;  ///< of the cache, where a trace stores what they stand for
  std::vector<float> wide;      ///< [d_head] one of them
  Analysis analysis;
  std::vector<double> log_probability;  ///< [n_vocab] after the last step written

  std::deque<Job> waiting;
  std::vector<Job> spare;  ///< written ones, for their memory
  std::mutex mutex;
  std::condition_variable changed;
  bool finished = false;
  std::exception_ptr error;
  std::thread thread;

  State(TraceWriter& w, TraceHeader h, const ModelShape& s)
      : writer(w),
        header(std::move(h)),
        shape(s),
        before_pre(s.n_layer),
        before_post(s.n_layer),
        plans(s.n_layer),
        dense(dense_layers(header.settings)),
        analysis(s, header) {}

  size_t q_size() const { return static_cast<size_t>(shape.n_head) * shape.d_head; }
  /// Appends the keys (or values) of `count` positions to out, as the trace stores them.
  void read_kv(ModelOps& ops, Sequence& sequence, Item item, int32_t layer, int32_t kv_head, int32_t first,
               int32_t count, std::vector<std::byte>& out) {
    const KvType cache = header.kv_type, stored = schema::stored_type(cache);
    const auto from = static_cast<size_t>(row_bytes(cache, shape.d_head)),
               to = static_cast<size_t>(row_bytes(stored, shape.d_head)), at = out.size();
    out.resize(at + count * to);
    if (cache == stored) {
      ops.read(sequence, item, layer, kv_head, first, count, std::span(out).subspan(at));
      return;
    }
    rows.resize(count * from), wide.resize(static_cast<size_t>(shape.d_head));
    ops.read(sequence, item, layer, kv_head, first, count, rows);
    for (int32_t i = 0; i < count; ++i) {
      cpu::load_kv(rows.data() + i * from, shape.d_head, cache, wide.data());
      std::memcpy(out.data() + at + i * to, wide.data(), to);
    }
  }

  std::vector<float> read_queries(ModelOps& ops, Sequence& sequence, Item item, int32_t layer, int32_t count) const {
    std::vector<float> out(count * q_size());
    ops.read(sequence, item, layer, 0, 0, count, std::as_writable_bytes(std::span(out)));
    return out;
  }

  /// Rows of a layer's KV heads into the job; the caller has set n_position.
  void read_rows(ModelOps& ops, Sequence& sequence, int32_t layer) {
    const size_t n_row = static_cast<size_t>(shape.group()) * job.n_position;
    job.rows.resize(n_row * shape.n_kv_head * shape.n_layer);
    for (int32_t g = 0; g < shape.n_kv_head; ++g) {
      const size_t at = (static_cast<size_t>(layer) * shape.n_kv_head + g) * n_row;
      ops.read(sequence, Item::row, layer, g, 0, 0, std::as_writable_bytes(std::span(job.rows).subspan(at, n_row)));
    }
  }

  /// Cosines of the mean queries to those of the step before.
  std::pair<float, float> compare_queries(int32_t layer, std::vector<float> pre, std::vector<float> post) {
    const auto cosine = [&](const std::vector<float>& now, const std::vector<float>& before) {
      return before.empty()
                 ? kNan
                 : cpu::similarity(now.data(), before.data(), shape.n_head, shape.d_head, Similarity::mean_query);
    };
    const std::pair<float, float> out = {cosine(pre, before_pre[layer]), cosine(post, before_post[layer])};
    before_pre[layer] = std::move(pre), before_post[layer] = std::move(post);
    return out;
  }

  void write_prompt(ModelOps& ops, Sequence& sequence) {
    const auto n_prompt = static_cast<int32_t>(header.prompt.size());
    std::vector<std::byte> keys, values;
    for (int32_t layer = 0; layer < shape.n_layer; ++layer) {
      for (int32_t g = 0; g < shape.n_kv_head; ++g) {
        keys.clear(), values.clear();
        read_kv(ops, sequence, Item::keys, layer, g, 0, n_prompt, keys);
        if (header.values) read_kv(ops, sequence, Item::values, layer, g, 0, n_prompt, values);
        writer.prompt_kv(layer, g, keys, values);
      }
      const int32_t n_query = std::min(n_prompt, schema::kPromptQueries);
      writer.prompt_queries(layer, read_queries(ops, sequence, Item::prompt_queries, layer, n_query));
      if (!header.row_sums) continue;
      std::vector<float> sums(static_cast<size_t>(shape.n_head) * n_prompt);
      ops.read(sequence, Item::row_sums, layer, 0, 0, 0, std::as_writable_bytes(std::span(sums)));
      writer.prompt_row_sums(layer, sums);
    }
  }

  /// The other thread: analyses and writes until told to stop.
  void work() {
    for (;;) {
      Job next;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return finished || !waiting.empty(); });
        if (waiting.empty()) return;
        next = std::move(waiting.front());
        waiting.pop_front();
      }
      changed.notify_all();
      try {
        write(next);
        next.clear();
        const std::lock_guard lock(mutex);
        spare.push_back(std::move(next));
      } catch (...) {
        const std::lock_guard lock(mutex);
        error = std::current_exception();
        waiting.clear();
        changed.notify_all();
        return;
      }
    }
  }

  void write(Job& next) {
    analysis.run(next);
    if (next.t > 0) {
      next.record.logprob = static_cast<float>(log_probability[next.record.token]);
      log_probability = log_softmax(next.logits);
      next.record.top = top_of(log_probability);
      writer.append(next.record);
      writer.commit();
    }
  }

  void hand_over() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return error || waiting.size() < kMostWaiting; });
    if (error) std::rethrow_exception(error);
    waiting.push_back(std::exchange(job, {}));
    if (!spare.empty()) {
      job = std::move(spare.back());
      spare.pop_back();
    }
    lock.unlock();
    changed.notify_all();
  }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      finished = true;
    }
    changed.notify_all();
    if (thread.joinable()) thread.join();
  }
};

Recorder::Recorder(TraceWriter& writer, TraceHeader header, const ModelShape& shape)
    : state_(std::make_unique<State>(writer, std::move(header), shape)) {}

Recorder::~Recorder() {
  state_->stop();
}

TraceHeader& Recorder::header() {
  return state_->header;
}

void Recorder::begin(ModelOps& ops, Sequence& sequence, const StepView& step) {
  State& s = *state_;
  s.writer.begin(s.header);
  s.write_prompt(ops, sequence);
  s.log_probability = log_softmax(step.logits);
  s.writer.start(top_of(s.log_probability));
  s.job.n_position = step.p + 1;
  for (int32_t layer = 0; layer < s.shape.n_layer; ++layer) {
    s.read_rows(ops, sequence, layer);
    s.compare_queries(layer, s.read_queries(ops, sequence, Item::queries_pre, layer, 1),
                      s.read_queries(ops, sequence, Item::queries_post, layer, 1));
  }
  s.thread = std::thread([&s] { s.work(); });
  s.hand_over();
}

void Recorder::layer_begin(int32_t t, int32_t layer, const Plan& plan) {
  State& s = *state_;
  s.plans[layer] = plan;
  if (layer > 0) return;
  s.job.t = t;
  s.job.n_position = static_cast<int32_t>(s.header.prompt.size()) + t;
}

void Recorder::attended(ModelOps& ops, Sequence& sequence, int32_t t, int32_t layer) {
  State& s = *state_;
  StepRecord& r = s.job.record;
  const int32_t p = static_cast<int32_t>(s.header.prompt.size()) - 1 + t;
  s.read_rows(ops, sequence, layer);
  const bool everything = !s.plans[layer].gated && s.plans[layer].branch.attend.everything;
  for (int32_t g = 0; g < s.shape.n_kv_head; ++g) {
    s.read_kv(ops, sequence, Item::keys, layer, g, p, 1, r.keys);
    if (s.header.values) s.read_kv(ops, sequence, Item::values, layer, g, p, 1, r.values);
    std::vector<int32_t>& set = s.job.sets.emplace_back();
    if (everything) continue;
    set.resize(static_cast<size_t>(p) + 1);
    set.resize(
        static_cast<size_t>(ops.read(sequence, Item::set, layer, g, 0, 0, std::as_writable_bytes(std::span(set)))));
    if (set.size() == static_cast<size_t>(p) + 1) set.clear();
  }
  std::vector<float> post = s.read_queries(ops, sequence, Item::queries_post, layer, 1);
  r.queries.insert(r.queries.end(), post.begin(), post.end());
  const auto [pre_cosine, post_cosine] =
      s.compare_queries(layer, s.read_queries(ops, sequence, Item::queries_pre, layer, 1), std::move(post));
  r.cos_prev_pre.push_back(pre_cosine);
  r.cos_prev_post.push_back(post_cosine);
}

void Recorder::step_end(const StepView& step) {
  State& s = *state_;
  StepRecord& r = s.job.record;
  r.token = step.token;
  r.ms = step.seconds * 1e3;
  r.bytes_weights = step.bytes.weights, r.bytes_attend = step.bytes.attend, r.bytes_select = step.bytes.select;
  for (size_t unit = 0; unit < step.heads.size(); ++unit) {
    const HeadLog& head = step.heads[unit];
    const auto layer = static_cast<int64_t>(unit) / s.shape.n_kv_head;
    const bool dense = std::find(s.dense.begin(), s.dense.end(), layer) != s.dense.end();
    r.decision.push_back(head.full ? 1 : 0);
    r.reason.push_back(static_cast<uint8_t>(reason_of(s.plans[layer], head.full, dense)));
    r.cos_last_full.push_back(head.cosine);
    r.positions.push_back(head.positions);
  }
  s.job.logits.assign(step.logits.begin(), step.logits.end());
  s.hand_over();
}

void Recorder::end() {
  state_->stop();
  if (state_->error) std::rethrow_exception(state_->error);
  state_->writer.close();
}

}  // namespace reattend
