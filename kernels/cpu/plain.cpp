// Plain scalar bodies of the CPU's operations.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "kernels/attn_state.h"
#include "kernels/cpu/ops.h"

namespace reattend::cpu {

std::string_view target_name() {
  return "scalar";
}

struct Matrix::Data {
  TensorType type;
  int64_t n_row, n_col;
  std::vector<std::byte> bytes;
};
Matrix::Matrix() = default;
Matrix::~Matrix() = default;
Matrix::Matrix(Matrix&&) noexcept = default;
Matrix& Matrix::operator=(Matrix&&) noexcept = default;
int64_t Matrix::n_row() const {
  return data ? data->n_row : 0;
}
int64_t Matrix::n_col() const {
  return data ? data->n_col : 0;
}
TensorType Matrix::type() const {
  return data->type;
}
int64_t Matrix::bytes() const {
  return data ? static_cast<int64_t>(data->bytes.size()) : 0;
}
void Matrix::row(int64_t row, float* out) const {
  format_of(data->type).dequantize(data->bytes.data() + matrix_bytes(data->type, row, data->n_col), data->n_col, out);
}
Matrix pack(const TensorView& tensor) {
  const int64_t bytes = matrix_bytes(tensor.type, tensor.n_row, tensor.n_col);
  if (static_cast<int64_t>(tensor.bytes.size()) != bytes) {
    fail({.where = std::string(tensor.name),
          .expected = std::to_string(bytes) + " bytes",
          .got = std::to_string(tensor.bytes.size()),
          .remedy = ""});
  }
  Matrix m;
  m.data.reset(new Matrix::Data{tensor.type, tensor.n_row, tensor.n_col, {tensor.bytes.begin(), tensor.bytes.end()}});
  return m;
}

struct MatmulScratch {
  std::vector<float> x;
};
void MatmulScratchDelete::operator()(MatmulScratch* s) const {
  delete s;
}
MatmulScratchPtr make_matmul_scratch() {
  return MatmulScratchPtr(new MatmulScratch);
}

void matmul(ThreadPool& pool, MatmulScratch& scratch, Activations how, const float* x, int64_t n_token,
            std::span<const Product> products) {
  if (products.empty()) return;
  const int64_t n_col = products[0].w->n_col();
  scratch.x.assign(x, x + n_token * n_col);
  if (n_col % 32 == 0) {
    for (int64_t b = 0; b < n_token * n_col; b += 32) {
      float amax = 0;
      for (int i = 0; i < 32; ++i) amax = std::max(amax, std::fabs(x[b + i]));
      const float d = amax / 127.0F, inverse = amax > 0 ? 127.0F / amax : 0.0F;
      for (int i = 0; i < 32; ++i) scratch.x[static_cast<size_t>(b + i)] = d * std::nearbyint(x[b + i] * inverse);
    }
  }
  for (const Product& p : products) {
    const bool quantised = p.w->type() >= TensorType::q8_0 && how == Activations::q8;
    const float* in = quantised ? scratch.x.data() : x;
    pool.run((p.w->n_row() + 15) / 16, [&](int64_t task, int) {
      std::vector<float> row(static_cast<size_t>(n_col));
      for (int64_t r = task * 16; r < std::min(p.w->n_row(), task * 16 + 16); ++r) {
        p.w->row(r, row.data());
        for (int64_t t = 0; t < n_token; ++t) {
          float sum[16] = {};
          for (int64_t c = 0; c < n_col; ++c) sum[c % 16] += row[static_cast<size_t>(c)] * in[t * n_col + c];
          p.y[t * p.y_stride + r] = std::accumulate(sum, sum + 16, 0.0F);
        }
      }
    });
  }
}

void rms_norm(const float* x, const float* w, int64_t n, float eps, float* y) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * double{x[i]};
  const auto scale = static_cast<float>(1 / std::sqrt(sum / static_cast<double>(n) + double{eps}));
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * scale * w[i];
}
void swiglu(const float* gate, const float* up, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}
void add(float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}
void store_kv(const float* x, int64_t n, KvType type, void* out) {
  for (int64_t i = 0; i < n; ++i) {
    if (type == KvType::f32) {
      static_cast<float*>(out)[i] = x[i];
    } else {
      static_cast<Half*>(out)[i] = to_half(x[i]);
    }
  }
}
void load_kv(const void* x, int64_t n, KvType type, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = type == KvType::f32 ? static_cast<const float*>(x)[i] : to_float(static_cast<const Half*>(x)[i]);
  }
}

namespace {
void entry_row(const KvBlocks& kv, const PositionSet& set, int32_t i, bool values, float* out) {
  if (set.packed_keys != nullptr && i >= set.lead && i < set.lead + set.n_kept) {
    const auto* rows = static_cast<const std::byte*>(values ? set.packed_values : set.packed_keys);
    load_kv(rows + (i - set.lead) * kv.d_head * bytes_per_element(set.packed_type), kv.d_head, set.packed_type, out);
    return;
  }
  const int32_t p = set[i];
  const auto* block = static_cast<const std::byte*>((values ? kv.values : kv.keys)[p / kPiece]);
  load_kv(block + (p % kPiece) * kv.d_head * bytes_per_element(kv.type), kv.d_head, kv.type, out);
}
}  // namespace

void attend_piece(const float* q, int32_t group, const KvBlocks& kv, const PositionSet& set, int32_t piece, float scale,
                  float* m, float* d, float* o, float* scores, int64_t score_stride) {
  const int32_t begin = piece * kPiece, end = std::min(set.size(), begin + kPiece);
  std::vector<float> row(static_cast<size_t>(kv.d_head)), s(static_cast<size_t>(group) * kPiece);
  for (int32_t i = begin; i < end; ++i) {
    entry_row(kv, set, i, false, row.data());
    for (int32_t h = 0; h < group; ++h) {
      float sum = 0;
      for (int32_t c = 0; c < kv.d_head; ++c) sum += q[h * kv.d_head + c] * row[static_cast<size_t>(c)];
      s[static_cast<size_t>(h * kPiece + i - begin)] = sum * scale;
      if (scores != nullptr) scores[h * score_stride + i] = sum * scale;
    }
  }
  for (int32_t h = 0; h < group; ++h) {
    m[h] = *std::max_element(&s[static_cast<size_t>(h * kPiece)], &s[static_cast<size_t>(h * kPiece)] + (end - begin));
    d[h] = 0;
    std::fill_n(o + h * kv.d_head, kv.d_head, 0.0F);
  }
  for (int32_t i = begin; i < end; ++i) {
    entry_row(kv, set, i, true, row.data());
    for (int32_t h = 0; h < group; ++h) {
      const float w = std::exp(s[static_cast<size_t>(h * kPiece + i - begin)] - m[h]);
      d[h] += w;
      for (int32_t c = 0; c < kv.d_head; ++c) o[h * kv.d_head + c] += w * row[static_cast<size_t>(c)];
    }
  }
}

struct AttendScratch {};
void AttendScratchDelete::operator()(AttendScratch* s) const {
  delete s;
}
AttendScratchPtr make_attend_scratch() {
  return AttendScratchPtr(new AttendScratch);
}

void attend(ThreadPool& pool, AttendScratch&, const float* q, int32_t group, std::span<const KvBlocks> kv,
            std::span<const PositionSet> sets, float scale, float* out, float* const* scores, int64_t score_stride) {
  pool.run(static_cast<int64_t>(sets.size()), [&](int64_t k, int) {
    const KvBlocks& blocks = kv[static_cast<size_t>(k)];
    const PositionSet& set = sets[static_cast<size_t>(k)];
    const size_t n = static_cast<size_t>(group) * static_cast<size_t>(blocks.d_head), g = static_cast<size_t>(group);
    std::vector<float> m(g), d(g), o(n), m2(g), d2(g), o2(n);
    for (int32_t piece = 0; piece < n_piece(set.size()); ++piece) {
      attend_piece(q + k * static_cast<int64_t>(n), group, blocks, set, piece, scale, m2.data(), d2.data(), o2.data(),
                   scores != nullptr ? scores[k] : nullptr, score_stride);
      for (size_t h = 0; h < g; ++h) {
        const size_t width = static_cast<size_t>(blocks.d_head);
        merge<float>(m[h], d[h], {&o[h * width], width}, m2[h], d2[h], {&o2[h * width], width});
      }
    }
    for (size_t i = 0; i < n; ++i)
      out[static_cast<size_t>(k) * n + i] = o[i] / d[i / static_cast<size_t>(blocks.d_head)];
  });
}

void score_run(const float* q, int32_t group, const KvBlocks& kv, int32_t n, float scale, float* scores,
               int64_t score_stride) {
  std::vector<float> row(static_cast<size_t>(kv.d_head));
  for (int32_t i = 0; i < n; ++i) {
    entry_row(kv, everything_up_to(n), i, false, row.data());
    for (int32_t h = 0; h < group; ++h) {
      float sum = 0;
      for (int32_t c = 0; c < kv.d_head; ++c) sum += q[h * kv.d_head + c] * row[static_cast<size_t>(c)];
      scores[h * score_stride + i] = sum * scale;
    }
  }
}

void attend_prompt(ThreadPool& pool, AttendScratch& scratch, const float* q, int32_t n_token, int32_t first,
                   int32_t group, std::span<const KvBlocks> kv, float scale, float* out) {
  const int64_t width = static_cast<int64_t>(kv.size()) * group * kv[0].d_head;
  for (int32_t t = 0; t < n_token; ++t) {
    const std::vector<PositionSet> sets(kv.size(), everything_up_to(first + t + 1));
    attend(pool, scratch, q + t * width, group, kv, sets, scale, out + t * width, nullptr, 0);
  }
}

void softmax(float* row, int64_t n) {
  const float m = *std::max_element(row, row + n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{row[i] = std::exp(row[i] - m)};
  for (int64_t i = 0; i < n; ++i) row[i] = static_cast<float>(double{row[i]} / sum);
}
void reduce_heads(const float* rows, int32_t group, int64_t stride, int64_t n, Reduce how, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    float value = rows[i];
    for (int32_t h = 1; h < group && how != Reduce::first; ++h) {
      value = how == Reduce::max ? std::max(value, rows[h * stride + i]) : value + rows[h * stride + i];
    }
    out[i] = how == Reduce::mean ? value / static_cast<float>(group) : value;
  }
}
void max_pool(const float* x, int64_t n, int32_t width, float* out) {
  const int64_t half = width / 2;
  for (int64_t i = 0; i < n; ++i) {
    out[i] = *std::max_element(x + std::max<int64_t>(0, i - half), x + std::min(n, i + half + 1));
  }
}
int32_t top_k(const float* score, int32_t n, int32_t k, int32_t* out) {
  std::vector<int32_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  k = std::min(k, n);
  std::partial_sort_copy(order.begin(), order.end(), out, out + k, [score](int32_t a, int32_t b) {
    return score[a] > score[b] || (score[a] == score[b] && a < b);
  });
  return k;
}

float similarity(const float* q, const float* ref, int32_t n_head, int32_t d_head, Similarity how) {
  const auto cosine = [](const double* a, const double* b, int32_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int32_t i = 0; i < n; ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0.0;
  };
  const size_t width = static_cast<size_t>(d_head);
  std::vector<double> a(width), b(width);
  double sum = 0, least = 2;
  for (int32_t h = 0; h < n_head; ++h) {
    for (size_t i = 0; i < width; ++i) {
      const double x = double{q[static_cast<size_t>(h) * width + i]},
                   y = double{ref[static_cast<size_t>(h) * width + i]};
      a[i] = how == Similarity::mean_query ? a[i] + x / n_head : x;
      b[i] = how == Similarity::mean_query ? b[i] + y / n_head : y;
    }
    const double c = cosine(a.data(), b.data(), d_head);
    sum += c, least = std::min(least, c);
    if (how == Similarity::mean_query && h + 1 == n_head) return static_cast<float>(c);
  }
  return static_cast<float>(how == Similarity::min_cosine ? least : sum / n_head);
}

}  // namespace reattend::cpu
