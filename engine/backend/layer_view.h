// What observers see of a layer: rows, sets, queries and outputs as arrays of their own type, fetched when asked for.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/model/model.h"

namespace reattend {

/// Rows of a cache as they lie there, one behind the other.
struct KvRows {
  KvType type = KvType::f16;
  int32_t d_head = 0;
  std::span<const std::byte> bytes;  ///< [count][row_bytes(type, d_head)]

  /// Appends them to `out` in their own type or, as values, in f32.
  void append_to(std::vector<std::byte>& out, KvType as) const;
};

/// One layer of a sequence at its newest token, in host memory. What several observers ask for is fetched once; spans
/// are valid until the decode loop goes on. Beside keys and values, everything is of the newest token alone.
class LayerView {
 public:
  LayerView(const Backend& backend, const ModelShape& shape, Sequence& sequence, int32_t n_prompt);

  const ModelShape& shape() const { return shape_; }
  int32_t layer() const { return layer_; }
  int32_t position() const { return position_; }                            ///< p
  int32_t step() const { return std::max(0, position_ - n_prompt_ + 1); }   ///< t; 0 within the prompt
  size_t n_position() const { return static_cast<size_t>(position_) + 1; }  ///< p + 1

  /// Full softmax rows over the whole cache, whatever was attended to. They need an observer that needs_full_rows().
  std::span<const float> full_rows() const;                ///< [n_kv_head][group][p + 1]
  std::span<const float> full_row(int32_t g) const;        ///< [group][p + 1]
  std::span<const int32_t> attended(int32_t g) const;      ///< positions that KV head g attended to, in the set's order
  std::span<const int32_t> kept(int32_t g) const;          ///< its kept set in rank order, as it stood before the step
  std::span<const float> queries(QueryStage stage) const;  ///< [n_token][n_head][d_head]; n_token is 1 in a step
  std::span<const float> outputs() const;                  ///< [n_head][d_head] of the attention, heads side by side
  std::span<const float> full_outputs() const;             ///< [n_head][d_head]: what full attention would have given

  /// Positions first ... first + count - 1 of KV head g; valid until other positions are asked for.
  KvRows keys(int32_t g, int32_t first, int32_t count) const { return rows_of(Item::keys, g, first, count, keys_); }
  KvRows values(int32_t g, int32_t first, int32_t count) const {
    return rows_of(Item::values, g, first, count, values_);
  }

  /// What is remembered of the prompt: queries after RoPE of its last `count` tokens, [count][n_head][d_head], at most
  /// Sequence::holds().window of them; and rows of all its queries, summed, [n_head][n_prompt], where it holds them.
  std::vector<float> prompt_queries(int32_t count) const;
  std::vector<float> prompt_row_sums() const;

  /// For the loop: another layer, or the same one after something was done to it. n_token: of the newest, how many
  /// passed together.
  void look_at(int32_t layer, int32_t n_token);

 private:
  /// An item of all KV heads that is fetched at most once before the view goes on.
  template <class T>
  struct Fetched {
    std::vector<T> values;
    bool known = false;
  };
  struct FetchedRows {
    std::vector<std::byte> bytes;  ///< [n_kv_head][count] rows
    int32_t first = -1, count = 0;
  };
  template <class T>
  void read(Item item, int32_t first, int32_t count, std::span<T> out) const;
  template <class T>
  std::span<const T> fetch(Item item, int32_t count, size_t n, Fetched<T>& to) const;
  std::span<const float> heads_of(Item item, int32_t count, Fetched<float>& to) const;
  std::span<const int32_t> positions_of(Item item, int32_t g, Fetched<int32_t>& to) const;
  KvRows rows_of(Item item, int32_t g, int32_t first, int32_t count, FetchedRows& to) const;

  ModelOps& ops_;
  Sequence& sequence_;
  const ModelShape& shape_;
  const KvType kv_;
  const int32_t n_prompt_;
  int32_t layer_ = 0, position_ = 0, n_token_ = 1;
  mutable Fetched<float> rows_, pre_rope_, post_rope_, outputs_, full_outputs_;
  mutable Fetched<int32_t> attended_, kept_;
  mutable FetchedRows keys_, values_;
};

/// The layers of a sequence, one after another.
class SequenceView {
 public:
  SequenceView(const Backend& backend, const ModelShape& shape, Sequence& sequence, int32_t n_prompt)
      : view_(backend, shape, sequence, n_prompt) {}
  /// As the layer is now; good until the next call.
  const LayerView& layer(int32_t layer, int32_t n_token = 1) {
    view_.look_at(layer, n_token);
    return view_;
  }

 private:
  LayerView view_;
};

}  // namespace reattend
