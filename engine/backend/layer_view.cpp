// Fetches each item of a layer once, with the shape and type that the backend gives it.
#include "engine/backend/layer_view.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/cpu/ops.h"

namespace reattend {

void KvRows::append_to(std::vector<std::byte>& out, KvType as) const {
  if (as == type) {
    out.insert(out.end(), bytes.begin(), bytes.end());
    return;
  }
  if (as != KvType::f32) throw Error("rows of a cache are kept in their own type or in f32");
  const auto from = static_cast<size_t>(row_bytes(type, d_head)), to = static_cast<size_t>(row_bytes(as, d_head));
  std::vector<float> row(static_cast<size_t>(d_head));
  for (size_t at = 0; at < bytes.size(); at += from) {
    Cpu::load_kv(bytes.data() + at, d_head, type, row.data());
    const auto* const first = reinterpret_cast<const std::byte*>(row.data());
    out.insert(out.end(), first, first + to);
  }
}

LayerView::LayerView(const Backend& backend, const ModelShape& shape, Sequence& sequence, int32_t n_prompt)
    : ops_(*backend.model), sequence_(sequence), shape_(shape), kv_(backend.kv), n_prompt_(n_prompt) {}

void LayerView::look_at(int32_t layer, int32_t n_token) {
  layer_ = layer, position_ = sequence_.size() - 1, n_token_ = n_token;
  for (Fetched<float>* const each : {&rows_, &pre_rope_, &post_rope_, &outputs_, &full_outputs_}) each->known = false;
  for (Fetched<int32_t>* const each : {&attended_, &kept_}) each->known = false;
  for (FetchedRows* const each : {&keys_, &values_}) each->first = -1;
}

template <class T>
void LayerView::read(Item item, int32_t first, int32_t count, std::span<T> out) const {
  ops_.read(sequence_, item, layer_, first, count, std::as_writable_bytes(out));
  ops_.wait();
}

template <class T>
std::span<const T> LayerView::fetch(Item item, int32_t count, size_t n, Fetched<T>& to) const {
  if (!to.known) {
    to.values.resize(n);
    read(item, 0, count, std::span(to.values));
    to.known = true;
  }
  return to.values;
}

std::span<const float> LayerView::full_rows() const {
  return fetch(Item::rows, 0, static_cast<size_t>(shape_.n_head) * n_position(), rows_);
}

std::span<const float> LayerView::full_row(int32_t g) const {
  const size_t n = static_cast<size_t>(shape_.group()) * n_position();
  return full_rows().subspan(static_cast<size_t>(g) * n, n);
}

std::span<const int32_t> LayerView::positions_of(Item item, int32_t g, Fetched<int32_t>& to) const {
  const size_t stride = n_position() + 1;
  const auto list = fetch(item, 0, static_cast<size_t>(shape_.n_kv_head) * stride, to)
                        .subspan(static_cast<size_t>(g) * stride, stride);
  return list.subspan(1, static_cast<size_t>(list.front()));
}

std::span<const int32_t> LayerView::attended(int32_t g) const {
  return positions_of(Item::sets, g, attended_);
}

std::span<const int32_t> LayerView::kept(int32_t g) const {
  return positions_of(Item::kept, g, kept_);
}

std::span<const float> LayerView::heads_of(Item item, int32_t count, Fetched<float>& to) const {
  return fetch(item, count, static_cast<size_t>(count) * shape_.n_head * shape_.d_head, to);
}

std::span<const float> LayerView::queries(QueryStage stage) const {
  return stage == QueryStage::pre_rope ? heads_of(Item::queries_pre, n_token_, pre_rope_)
                                       : heads_of(Item::queries_post, n_token_, post_rope_);
}

std::span<const float> LayerView::outputs() const {
  return heads_of(Item::heads, 1, outputs_);
}

std::span<const float> LayerView::full_outputs() const {
  return heads_of(Item::full_heads, 1, full_outputs_);
}

KvRows LayerView::rows_of(Item item, int32_t g, int32_t first, int32_t count, FetchedRows& to) const {
  const auto column = static_cast<size_t>(count * row_bytes(kv_, shape_.d_head));
  if (to.first != first || to.count != count) {
    to.bytes.resize(static_cast<size_t>(shape_.n_kv_head) * column);
    read(item, first, count, std::span(to.bytes));
    to.first = first, to.count = count;
  }
  return {kv_, shape_.d_head, std::span(to.bytes).subspan(static_cast<size_t>(g) * column, column)};
}

std::vector<float> LayerView::prompt_queries(int32_t count) const {
  std::vector<float> out(static_cast<size_t>(count) * shape_.n_head * shape_.d_head);
  read(Item::prompt_queries, 0, count, std::span(out));
  return out;
}

std::vector<float> LayerView::prompt_row_sums() const {
  std::vector<float> out(static_cast<size_t>(shape_.n_head) * n_prompt_);
  read(Item::row_sums, 0, 0, std::span(out));
  return out;
}

}  // namespace reattend
