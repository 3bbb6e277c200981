// Two sides with a short queue between them: the decode loop copies and analyses, the other thread writes.
#include "engine/record/recorder.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/error.h"
#include "engine/record/row_analysis.h"
#include "kernels/cpu/ops.h"
#include "traces/schema.h"

namespace reattend {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr size_t kMostWaiting = 2;  // steps

/// One step as the decode loop leaves it.
struct Job {
  StepRecord record;
  std::vector<float> logits;  ///< [n_vocab]

  /// Ready for another step, its memory kept.
  void clear() {
    StepRecord& r = record;
    r.keys.clear(), r.values.clear(), r.queries.clear();
    r.decision.clear(), r.reason.clear(), r.positions.clear();
    r.cos_last_full.clear(), r.cos_prev_pre.clear(), r.cos_prev_post.clear();
  }
};

/// Log-probabilities of one step's predictions.
class Prediction {
 public:
  void set(std::span<const float> logits) {
    logits_.assign(logits.begin(), logits.end());
    weights_ = logits_;
    Cpu::softmax(weights_.data(), static_cast<int64_t>(weights_.size()));
    const auto best = std::max_element(logits_.begin(), logits_.end()) - logits_.begin();
    shift_ = static_cast<double>(logits_[best]) - std::log(static_cast<double>(weights_[best]));
  }
  float log_probability(int32_t token) const { return static_cast<float>(logits_[token] - shift_); }
  TopTokens top() const {
    TopTokens top{.ids = std::vector<int32_t>(schema::kTop, -1),
                  .logprobs = std::vector<float>(schema::kTop, -std::numeric_limits<float>::infinity())};
    const int32_t n = Cpu::top_k(logits_.data(), static_cast<int32_t>(logits_.size()), schema::kTop, top.ids.data());
    double rest = 1;
    for (int32_t i = 0; i < n; ++i) {
      top.logprobs[i] = log_probability(top.ids[i]);
      rest -= std::exp(logits_[top.ids[i]] - shift_);
    }
    top.rest = static_cast<float>(std::max(0.0, rest));
    return top;
  }

 private:
  std::vector<float> logits_, weights_;  ///< [n_vocab]
  double shift_ = 0;                     ///< logarithm of the sum of their exponentials
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
  if (shape.ropes.size() != 1) {
    fail({.where = "recording",
          .expected = "a model whose layers all have one rotation, of which a trace has room for one",
          .got = std::to_string(shape.ropes.size()) + " rotations",
          .remedy = "run it without recording"});
  }
  return {.architecture = shape.architecture,
          .n_layer = shape.n_layer,
          .n_head = shape.n_head,
          .n_kv_head = shape.n_kv_head,
          .d_head = shape.d_head,
          .d_model = shape.d_model,
          .rope = shape.ropes.front(),
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
  Job job;                                 ///< the step under way
  std::vector<std::byte> cache_rows;       ///< of the cache, where a trace stores what they stand for
  std::vector<float> wide;                 ///< [d_head] one of them
  std::vector<float> rows;                 ///< [n_kv_head][group][p + 1] full rows of the layer under way
  std::vector<std::vector<int32_t>> sets;  ///< [n_kv_head] attended positions; empty: all
  std::vector<int32_t> index;              ///< [n_layer] place among the stored layers, -1 for others
  ThreadPool& pool;
  std::optional<RowAnalysis> analysis;  ///< made when the header is final
  Prediction prediction;                ///< after the last step written

  std::deque<Job> waiting;
  std::vector<Job> spare;  ///< written ones, for their memory
  std::mutex mutex;
  std::condition_variable changed;
  bool finished = false;
  std::exception_ptr error;
  std::thread thread;

  State(TraceWriter& w, TraceHeader h, const ModelShape& s, ThreadPool& threads)
      : writer(w),
        header(std::move(h)),
        shape(s),
        before_pre(s.n_layer),
        before_post(s.n_layer),
        plans(s.n_layer),
        dense(dense_layers(header.settings)),
        sets(s.n_kv_head),
        index(s.n_layer, -1),
        pool(threads) {
    for (int32_t i = 0; i < header.n_stored(); ++i) index[stored_layer(i)] = i;
  }
  int32_t stored_layer(int32_t i) const { return header.layers.empty() ? i : header.layers[i]; }

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
    cache_rows.resize(count * from), wide.resize(static_cast<size_t>(shape.d_head));
    ops.read(sequence, item, layer, kv_head, first, count, cache_rows);
    for (int32_t i = 0; i < count; ++i) {
      Cpu::load_kv(cache_rows.data() + i * from, shape.d_head, cache, wide.data());
      std::memcpy(out.data() + at + i * to, wide.data(), to);
    }
  }

  std::vector<float> read_queries(ModelOps& ops, Sequence& sequence, Item item, int32_t layer, int32_t count) const {
    std::vector<float> out(count * q_size());
    ops.read(sequence, item, layer, 0, 0, count, std::as_writable_bytes(std::span(out)));
    return out;
  }

  /// Looks at a layer's rows over n positions; `everything`: no KV head attended to less.
  void analyse(ModelOps& ops, Sequence& sequence, int32_t layer, int32_t n, bool everything) {
    const size_t n_row = static_cast<size_t>(shape.group()) * n;
    rows.resize(n_row * shape.n_kv_head);
    for (int32_t g = 0; g < shape.n_kv_head; ++g) {
      ops.read(sequence, Item::row, layer, g, 0, 0, std::as_writable_bytes(std::span(rows).subspan(g * n_row, n_row)));
      std::vector<int32_t>& set = sets[g];
      set.resize(everything ? 0 : n);
      if (everything) continue;
      set.resize(ops.read(sequence, Item::set, layer, g, 0, 0, std::as_writable_bytes(std::span(set))));
      if (set.size() == static_cast<size_t>(n)) set.clear();
    }
    analysis->layer(index[layer], n, rows, sets, job.record);
  }

  /// Cosines of the mean queries to those of the step before.
  std::pair<float, float> compare_queries(int32_t layer, std::vector<float> pre, std::vector<float> post) {
    const auto cosine = [&](const std::vector<float>& now, const std::vector<float>& before) {
      return before.empty()
                 ? kNan
                 : Cpu::similarity(now.data(), before.data(), shape.n_head, shape.d_head, Similarity::mean_query);
    };
    const std::pair<float, float> out = {cosine(pre, before_pre[layer]), cosine(post, before_post[layer])};
    before_pre[layer] = std::move(pre), before_post[layer] = std::move(post);
    return out;
  }

  void write_prompt(ModelOps& ops, Sequence& sequence) {
    const auto n_prompt = static_cast<int32_t>(header.prompt.size());
    std::vector<std::byte> keys, values;
    for (int32_t i = 0; i < header.n_stored(); ++i) {
      const int32_t layer = stored_layer(i);
      for (int32_t g = 0; g < shape.n_kv_head; ++g) {
        keys.clear(), values.clear();
        read_kv(ops, sequence, Item::keys, layer, g, 0, n_prompt, keys);
        if (header.values) read_kv(ops, sequence, Item::values, layer, g, 0, n_prompt, values);
        writer.prompt_kv(i, g, keys, values);
      }
      const int32_t n_query = std::min(n_prompt, schema::kPromptQueries);
      writer.prompt_queries(i, read_queries(ops, sequence, Item::prompt_queries, layer, n_query));
      if (!header.row_sums) continue;
      std::vector<float> sums(static_cast<size_t>(shape.n_head) * n_prompt);
      ops.read(sequence, Item::row_sums, layer, 0, 0, 0, std::as_writable_bytes(std::span(sums)));
      writer.prompt_row_sums(i, sums);
    }
  }

  /// The other thread: writes until told to stop.
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
    next.record.logprob = prediction.log_probability(next.record.token);
    prediction.set(next.logits);
    next.record.top = prediction.top();
    writer.append(next.record);
    writer.commit();
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

Recorder::Recorder(TraceWriter& writer, TraceHeader header, const ModelShape& shape, ThreadPool& pool)
    : state_(std::make_unique<State>(writer, std::move(header), shape, pool)) {}

Recorder::~Recorder() {
  state_->stop();
}

TraceHeader& Recorder::header() {
  return state_->header;
}

bool Recorder::measures() const {
  return state_->header.measure_every > 0 || state_->header.settings.policy() != "full";
}

void Recorder::begin(ModelOps& ops, Sequence& sequence, const StepView& step) {
  State& s = *state_;
  if (s.header.n_column == 0) s.header.n_column = s.header.columns_for(s.header.expected_steps);
  s.analysis.emplace(s.header, s.pool);
  s.writer.begin(s.header);
  s.write_prompt(ops, sequence);
  s.prediction.set(step.logits);
  s.writer.start(s.prediction.top());
  s.analysis->start(0, s.job.record);
  for (int32_t i = 0; i < s.header.n_stored(); ++i) {
    const int32_t layer = s.stored_layer(i);
    if (s.header.measure_every == 1) s.analyse(ops, sequence, layer, step.p + 1, true);
    s.compare_queries(layer, s.read_queries(ops, sequence, Item::queries_pre, layer, 1),
                      s.read_queries(ops, sequence, Item::queries_post, layer, 1));
  }
  s.thread = std::thread([&s] { s.work(); });
}

void Recorder::layer_begin(int32_t t, int32_t layer, const Plan& plan) {
  State& s = *state_;
  s.plans[layer] = plan;
  if (layer == 0) s.analysis->start(t, s.job.record);
}

void Recorder::attended(ModelOps& ops, Sequence& sequence, int32_t t, int32_t layer) {
  State& s = *state_;
  if (s.index[layer] < 0) return;
  StepRecord& r = s.job.record;
  const int32_t p = static_cast<int32_t>(s.header.prompt.size()) - 1 + t;
  const bool everything = !s.plans[layer].gated && s.plans[layer].branch.attend.everything;
  if (s.analysis->wants(t)) s.analyse(ops, sequence, layer, p + 1, everything);
  for (int32_t g = 0; g < s.shape.n_kv_head; ++g) {
    s.read_kv(ops, sequence, Item::keys, layer, g, p, 1, r.keys);
    if (s.header.values) s.read_kv(ops, sequence, Item::values, layer, g, p, 1, r.values);
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
    if (s.index[layer] < 0) continue;
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
