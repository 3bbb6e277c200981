// Norm, activation function, residual and row operations. Included once per target.
namespace reattend::cpu::REATTEND_TARGET {
namespace {

void rms_norm(const float* x, const float* w, int64_t n, float eps, float* y) {
  Vec squares = zero();
  for_vectors(
      n, [&](int64_t i) { squares = fma(load(x + i), load(x + i), squares); },
      [&](int64_t i, int k) { squares = fma(load_part(x + i, k), load_part(x + i, k), squares); });
  const Vec scale = set(1.0F / __builtin_sqrtf(sum(squares) / static_cast<float>(n) + eps));
  for_vectors(
      n, [&](int64_t i) { store(y + i, mul(mul(load(x + i), scale), load(w + i))); },
      [&](int64_t i, int k) { store_part(y + i, mul(mul(load_part(x + i, k), scale), load_part(w + i, k)), k); });
}

/// y[i] = gate[i] sigmoid(inner(gate[i])) up[i]
template <class Inner>
void gated(const float* gate, const float* up, int64_t n, float* y, const Inner& inner) {
  const auto value = [&](const Vec& g, const Vec& u) {
    return mul(div(g, add(set(1.0F), exp(min(sub(zero(), inner(g)), set(88.0F))))), u);
  };
  for_vectors(
      n, [&](int64_t i) { store(y + i, value(load(gate + i), load(up + i))); },
      [&](int64_t i, int k) { store_part(y + i, value(load_part(gate + i, k), load_part(up + i, k)), k); });
}

void swiglu(const float* gate, const float* up, int64_t n, float* y) {
  gated(gate, up, n, y, [](const Vec& g) { return g; });
}

/// (1 + tanh(z)) / 2 is sigmoid(2 z), with z = sqrt(2 / pi) (g + 0.044715 g^3).
void geglu(const float* gate, const float* up, int64_t n, float* y) {
  gated(gate, up, n, y,
        [](const Vec& g) { return mul(set(1.5957691216F), fma(mul(mul(g, g), g), set(0.044715F), g)); });
}

/// tanh(z) = 1 - 2 / (e^(2z) + 1), within 2^-23 of the cap. NaN stays (min gives its second argument then).
void cap_scores(float* x, int64_t n, float cap) {
  const Vec twice = set(2 / cap);
  const auto capped = [&](const Vec& score) {
    const Vec e = exp(min(set(88.0F), mul(score, twice)));
    return mul(sub(set(1.0F), div(set(2.0F), add(e, set(1.0F)))), set(cap));
  };
  for_vectors(
      n, [&](int64_t i) { store(x + i, capped(load(x + i))); },
      [&](int64_t i, int k) { store_part(x + i, capped(load_part(x + i, k)), k); });
}

void add_to(float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

/// Maximum of x [n], n >= 1. Any order gives the same bits.
float highest(const float* x, int64_t n) {
  Vec tops = set(x[0]);
  float rest = x[0];
  for_vectors(
      n, [&](int64_t i) { tops = max(tops, load(x + i)); },
      [&](int64_t i, int k) {
        for (int j = 0; j < k; ++j) rest = x[i + j] > rest ? x[i + j] : rest;
      });
  const float top = max_lane(tops);
  return rest > top ? rest : top;
}

void reduce_heads(const float* rows, int32_t group, int64_t stride, int64_t n, Reduce how, float* out) {
  if (how == Reduce::first) group = 1;
  const Vec share = set(1.0F / static_cast<float>(group));
  const auto reduce = [&](const float* x, auto get) {
    Vec all = get(x);
    for (int32_t h = 1; h < group; ++h) {
      const Vec here = get(x + h * stride);
      all = how == Reduce::max ? max(all, here) : add(all, here);
    }
    return how == Reduce::mean ? mul(all, share) : all;
  };
  for_vectors(
      n, [&](int64_t i) { store(out + i, reduce(rows + i, load)); },
      [&](int64_t i, int k) {
        store_part(out + i, reduce(rows + i, [k](const float* x) { return load_part(x, k); }), k);
      });
}

void max_of(const float* a, const float* b, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = a[i] > b[i] ? a[i] : b[i];
}

template <class Row>
void extend_bounds_by(const void* rows, int n, int d_head, float* bounds) {
  const int64_t stride = row_bytes(Row::kType, d_head);
  const auto extend = [&](int64_t c, auto get, auto load_some, auto store_some) {
    Vec low = load_some(bounds + c), high = load_some(bounds + d_head + c);
    for (int i = 0; i < n; ++i) {
      const Vec x = get(static_cast<const std::byte*>(rows) + i * stride, static_cast<int>(c));
      low = min(low, x), high = max(high, x);
    }
    store_some(bounds + c, low), store_some(bounds + d_head + c, high);
  };
  for_vectors(
      d_head,
      [&](int64_t c) {
        extend(
            c, [d_head](const void* row, int at) { return Row::get(row, d_head, at); }, load, store);
      },
      [&](int64_t c, int k) {
        extend(
            c, [d_head, k](const void* row, int at) { return Row::get_part(row, d_head, at, k); },
            [k](const float* p) { return load_part(p, k); }, [k](float* p, const Vec& x) { store_part(p, x, k); });
      });
}

void extend_bounds(const void* rows, int n, int d_head, KvType type, float* bounds) {
  with_row(type, [&]<class Row>() { extend_bounds_by<Row>(rows, n, d_head, bounds); });
}

int32_t count_at_least(const int32_t* keys, int32_t n, int32_t limit) {
  int32_t count = 0, i = 0;
  for (; i + 16 <= n; i += 16) count += __builtin_popcount(mask_at_least(load_int(keys + i), set_int(limit)));
  for (; i < n; ++i) count += keys[i] >= limit ? 1 : 0;
  return count;
}

void find_at_least(const int32_t* keys, int32_t n, int32_t limit, int32_t* out) {
  int32_t i = 0;
  for (; i + 16 <= n; i += 16) out += put_places(mask_at_least(load_int(keys + i), set_int(limit)), i, out);
  for (; i < n; ++i) {
    if (keys[i] >= limit) *out++ = i;
  }
}

void rank_keys(const float* scores, int32_t n, int32_t* keys) {
  for (int32_t i = 0; i < n; ++i) {
    const float score = scores[i] + 0.0F;
    int32_t bits = 0;
    std::memcpy(&bits, &score, sizeof bits);
    keys[i] = bits ^ (bits >> 31 & INT32_MAX);
  }
}

}  // namespace
}  // namespace reattend::cpu::REATTEND_TARGET
