// Records with a short queue between two threads: the decode loop copies and analyses, the other one writes.
#include "engine/record/recorder.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/error.h"
#include "engine/record/query_changes.h"
#include "engine/record/row_analysis.h"
#include "kernels/cpu/ops.h"
#include "traces/schema.h"

namespace reattend {
namespace {

constexpr size_t kMostWaiting = 2;  // steps

/// One step as the decode loop leaves it.
struct Job {
  StepData record;
  std::vector<float> logits;  ///< [n_vocab]

  /// Ready for another step, its memory kept.
  void clear() {
    schema::for_each_column([&](const schema::Dataset&, auto column) { (record.*column).clear(); });
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
  /// Puts the strongest into `out`.
  void store_top(StepData& out) const {
    out.top_ids.assign(schema::kTop, -1);
    out.top_logprobs.assign(schema::kTop, -std::numeric_limits<float>::infinity());
    const int32_t n =
        Cpu::top_k(logits_.data(), static_cast<int32_t>(logits_.size()), schema::kTop, out.top_ids.data());
    double rest = 1;
    for (int32_t i = 0; i < n; ++i) {
      out.top_logprobs[i] = log_probability(out.top_ids[i]);
      rest -= std::exp(logits_[out.top_ids[i]] - shift_);
    }
    out.top_rest.assign(1, static_cast<float>(std::max(0.0, rest)));
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
  if (!settings.takes("dense_layers")) return {};
  return settings.layers("dense_layers");
}

}  // namespace

TraceHeader header_for(const ModelShape& shape, std::span<const int32_t> prompt) {
  TraceHeader h;
  const std::vector<int32_t> windows = shape.windows();
  h.windows.assign(windows.begin(), windows.end());
  int32_t rope = -1;  // of all layers that are stored
  for (int32_t l = 0; l < shape.n_layer; ++l) {
    if (!shape.acts(l)) continue;
    if (!windows.empty()) h.layers.push_back(l);
    if (rope >= 0 && shape.layers[static_cast<size_t>(l)].rope != rope) {
      fail(
          {.where = "recording",
           .expected = "a model whose layers without a window all have one rotation, of which a trace has room for one",
           .got = "another in layer " + std::to_string(l),
           .remedy = "run it without recording"});
    }
    rope = shape.layers[static_cast<size_t>(l)].rope;
  }
  if (rope < 0) {
    fail({.where = "recording",
          .expected = "a model with a layer on which a policy can act",
          .got = "a window of its own in every layer",
          .remedy = "there is nothing to recycle in it"});
  }
  h.attention_scale = shape.attention_scale, h.attention_cap = shape.attention_cap;
  h.architecture = shape.architecture;
  h.n_layer = shape.n_layer, h.n_head = shape.n_head, h.n_kv_head = shape.n_kv_head;
  h.d_head = shape.d_head, h.d_model = shape.d_model;
  h.rope = shape.ropes[static_cast<size_t>(rope)];
  h.settings = Settings("full");
  h.prompt.assign(prompt.begin(), prompt.end());
  return h;
}

struct Recorder::State {
  TraceWriter& writer;
  TraceHeader header;
  const ModelShape& shape;
  QueryChanges changes;
  std::vector<Plan> plans;  ///< [n_layer] of this step
  std::vector<int64_t> dense;
  Job job;                                     ///< the step under way
  std::vector<std::span<const int32_t>> sets;  ///< [n_kv_head] attended positions of the layer under way; empty: all
  std::vector<int32_t> index;                  ///< [n_layer] place among the stored layers, -1 for others
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
        changes(s),
        plans(s.n_layer),
        dense(dense_layers(header.settings)),
        sets(s.n_kv_head),
        index(s.n_layer, -1),
        pool(threads) {
    for (int32_t i = 0; i < header.n_stored(); ++i) index[header.stored_layer(i)] = i;
  }

  KvType stored_type() const { return schema::stored_type(header.kv_type); }

  /// Looks at a layer's rows; `everything`: no KV head attended to less.
  void analyse(const LayerView& view, bool everything) {
    for (int32_t g = 0; g < shape.n_kv_head; ++g) {
      sets[g] = everything ? std::span<const int32_t>() : view.attended(g);
      if (sets[g].size() == view.n_position()) sets[g] = {};
    }
    analysis->layer(index[view.layer()], view.position() + 1, view.full_rows(), sets, job.record);
  }

  void write_prompt(SequenceView& sequence) {
    const auto n_prompt = static_cast<int32_t>(header.prompt.size());
    std::vector<std::byte> keys, values;
    for (int32_t i = 0; i < header.n_stored(); ++i) {
      const LayerView& view = sequence.layer(header.stored_layer(i));
      for (int32_t g = 0; g < shape.n_kv_head; ++g) {
        keys.clear(), values.clear();
        view.keys(g, 0, n_prompt).append_to(keys, stored_type());
        if (header.has_values) view.values(g, 0, n_prompt).append_to(values, stored_type());
        writer.prompt_kv(i, g, keys, values);
      }
      writer.prompt_queries(i, view.prompt_queries(std::min(n_prompt, schema::kPromptQueries)));
      if (header.has_prompt_row_sums) writer.prompt_row_sums(i, view.prompt_row_sums());
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
    next.record.logprob.assign(1, prediction.log_probability(next.record.token.front()));
    prediction.set(next.logits);
    prediction.store_top(next.record);
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

bool Recorder::needs_full_rows() const {
  return state_->header.measure_every > 0 || !state_->header.settings.is_full();
}

void Recorder::begin(SequenceView& sequence, const StepView& step) {
  State& s = *state_;
  s.header.complete();
  s.analysis.emplace(s.header, s.pool);
  s.writer.begin(s.header);
  s.write_prompt(sequence);
  s.prediction.set(step.logits());
  s.prediction.store_top(s.job.record);
  s.writer.start(s.job.record);
  s.analysis->start(0, s.job.record);
  for (int32_t i = 0; i < s.header.n_stored(); ++i) {
    const LayerView& view = sequence.layer(s.header.stored_layer(i));
    if (s.header.measure_every == 1) s.analyse(view, true);
    s.changes.next(view);
  }
  s.thread = std::thread([&s] { s.work(); });
}

void Recorder::layer_begin(int32_t t, int32_t layer, const Plan& plan) {
  State& s = *state_;
  s.plans[layer] = plan;
  if (layer == 0) s.analysis->start(t, s.job.record);
}

void Recorder::attended(const LayerView& view) {
  State& s = *state_;
  if (s.index[view.layer()] < 0) return;
  StepData& r = s.job.record;
  const Plan& plan = s.plans[view.layer()];
  if (s.analysis->wants(view.step())) s.analyse(view, !plan.gated && plan.branch.attend.everything);
  for (int32_t g = 0; g < s.shape.n_kv_head; ++g) {
    view.keys(g, view.position(), 1).append_to(r.keys, s.stored_type());
    if (s.header.has_values) view.values(g, view.position(), 1).append_to(r.values, s.stored_type());
  }
  const std::span<const float> query = view.queries(QueryStage::post_rope);
  r.queries.insert(r.queries.end(), query.begin(), query.end());
  const QueryChanges::Cosines cosines = s.changes.next(view);
  r.cos_prev_pre.push_back(cosines.pre_rope);
  r.cos_prev_post.push_back(cosines.post_rope);
}

void Recorder::step_end(const StepView& step) {
  State& s = *state_;
  StepData& r = s.job.record;
  r.token.assign(1, step.token);
  r.ms.assign(1, step.seconds * 1e3);
  r.bytes_weights.assign(1, step.bytes.weights);
  r.bytes_attend.assign(1, step.bytes.attend);
  r.bytes_select.assign(1, step.bytes.select);
  for (size_t unit = 0; unit < step.heads.size(); ++unit) {
    const HeadLog& head = step.heads[unit];
    const auto layer = static_cast<int64_t>(unit) / s.shape.n_kv_head;
    if (s.index[layer] < 0) continue;
    const bool dense = std::find(s.dense.begin(), s.dense.end(), layer) != s.dense.end();
    r.full.push_back(head.full ? 1 : 0);
    r.reason.push_back(static_cast<uint8_t>(reason_of(s.plans[layer], head.full, dense)));
    r.cos_last_full.push_back(head.cosine);
    r.positions.push_back(head.positions);
  }
  s.job.logits.assign(step.logits().begin(), step.logits().end());
  s.hand_over();
}

void Recorder::end() {
  state_->stop();
  if (state_->error) std::rethrow_exception(state_->error);
  state_->writer.close();
}

}  // namespace reattend
