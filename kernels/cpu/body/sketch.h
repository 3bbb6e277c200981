// Rows estimated from a sketch of the keys: one block at a time, sixteen positions in a vector. Included once per
// target.
namespace reattend::cpu::REATTEND_TARGET {
namespace {

template <class Row>
void extend_widths_by(const void* low, const void* high, int d_head, float* widest) {
  for_vectors(
      d_head,
      [&](int64_t at) {
        const auto c = static_cast<int>(at);
        store(widest + c, max(load(widest + c), sub(Row::get(high, d_head, c), Row::get(low, d_head, c))));
      },
      [&](int64_t at, int k) {
        const auto c = static_cast<int>(at);
        const Vec width = sub(Row::get_part(high, d_head, c, k), Row::get_part(low, d_head, c, k));
        store_part(widest + c, max(load_part(widest + c, k), width), k);
      });
}

void extend_widths(const void* low, const void* high, int d_head, KvType type, float* widest) {
  with_row(type, [&]<class Row>() { extend_widths_by<Row>(low, high, d_head, widest); });
}

template <class Row>
void code_rows_by(const CodeTile& tile) {
  const int n_vector = tile.n / 16;
  for (int c = 0; c < tile.d_head; c += 16) {
    const int n_channel = static_cast<int>(least(16, tile.d_head - c));
    Vec codes[16];
    for (int v = 0; v < n_vector; ++v) {
      Vec keys[16];
      for (int i = 0; i < 16; ++i) {
        const void* const row = tile.rows[16 * v + i];
        keys[i] = row == nullptr    ? set(-__builtin_inff())
                  : n_channel == 16 ? Row::get(row, tile.d_head, c)
                                    : Row::get_part(row, tile.d_head, c, n_channel);
      }
      transpose(keys);
      const Vec one = set(static_cast<float>(1 << v * tile.code_bits));
      for (int i = 0; i < n_channel; ++i) {
        const float* const edges = tile.edges + int64_t{c + i} * tile.n_edge;
        if (v == 0) codes[i] = zero();
        for (int e = 0; e < tile.n_edge; ++e) codes[i] = add(codes[i], where_at_least(keys[i], edges[e], one));
      }
    }
    for (int i = 0; i < n_channel; ++i) store_codes(tile.codes + int64_t{c + i} * tile.line_bytes, codes[i]);
  }
}

void code_rows(const CodeTile& tile) {
  with_row(tile.type, [&]<class Row>() { code_rows_by<Row>(tile); });
}

/// 2 code + 1 - 2^bits, a whole number, of codes in the lowest kBits of each lane.
template <int kBits>
struct CodeSteps {
  Vec of_two;
  float minus;
  explicit REATTEND_INLINE CodeSteps(int bits) : minus(1.0F - static_cast<float>(1 << bits)) {
    constexpr float kOfTwo[] = {-3, -1, 1, 3};
    of_two = load_quarters(kOfTwo);
  }
  REATTEND_INLINE Vec operator()(const IVec& codes) const {
    if constexpr (kBits == 2) return look_up_low_bits(of_two, codes);
    const Vec code = to_float(kBits == 8 ? codes : low_bits_of(codes, (1 << kBits) - 1));
    return add(add(code, code), set(minus));
  }
};

/// kGroup heads; kBits is what a code takes of a byte.
template <int kBits, int kGroup>
void estimate_block_of(const SketchTile& tile, const float* base, const float* all_factors, int first_head) {
  constexpr int kShared = 8 / kBits;  // vectors that share their bytes
  const CodeSteps<kBits> steps(tile.bits);
  const float* const factors = all_factors + int64_t{first_head} * tile.n_channel;
  const bool weighs = tile.m != nullptr && tile.n == kPiece;
  Vec tops[kGroup];
  REATTEND_UNROLL
  for (int h = 0; h < kGroup; ++h) tops[h] = set(-__builtin_inff());
  for (int at = 0; at < tile.n; at += 16 * kShared) {
    Vec acc[kGroup][kShared];
    REATTEND_UNROLL
    for (int h = 0; h < kGroup; ++h) {
      REATTEND_UNROLL
      for (int k = 0; k < kShared; ++k) acc[h][k] = set(base[first_head + h]);
    }
    for (int c = 0; c < tile.n_channel; ++c) {
      IVec codes = load_codes(tile.codes + int64_t{tile.channels[c]} * tile.line_bytes + at / kShared);
      REATTEND_UNROLL
      for (int k = 0; k < kShared; ++k) {
        const Vec step = steps(codes);
        REATTEND_UNROLL
        for (int h = 0; h < kGroup; ++h) {
          acc[h][k] = add(acc[h][k], mul(set(factors[h * tile.n_channel + c]), step));
        }
        if (k + 1 < kShared) codes = shift_down<kBits>(codes);
      }
    }
    REATTEND_UNROLL
    for (int h = 0; h < kGroup; ++h) {
      float* const out = tile.out + (first_head + h) * tile.out_stride + at;
      REATTEND_UNROLL
      for (int k = 0; k < kShared; ++k) {
        const Vec score = mul(acc[h][k], set(tile.scale));
        const int left = tile.n - at - 16 * k;
        if (left >= 16) {
          store(out + 16 * k, score);
          tops[h] = max(tops[h], score);
        } else if (left > 0) {
          store_part(out + 16 * k, score, left);
        }
      }
    }
  }
  for (int h = 0; h < kGroup && weighs; ++h) {
    const int64_t state = (first_head + h) * tile.state_stride;
    weigh_under(tile.out + (first_head + h) * tile.out_stride, kPiece, max_lane(tops[h]), tile.m + state,
                tile.d + state);
  }
}

template <int kBits>
void estimate_block_in(const SketchTile& tile, const float* base, const float* factors) {
  // Vectors that share a byte are worked on at once, so that codes of one bit leave registers for fewer heads.
  constexpr int kMost = kBits == 1 && kHeads > 2 ? 2 : kHeads;
  in_passes<kMost>(tile.group, 0, [&]<int kGroup>(int h) { estimate_block_of<kBits, kGroup>(tile, base, factors, h); });
}

/// base [group]: what the middles of all ranges give, summed in eight chains of doubles.
void sum_middles(const SketchTile& tile, const float* low, const float* high, float* base) {
  constexpr int kChains = 8;
  const int64_t width = sketch_width(tile.d_head);
  double* const middle = tile.wide_middle;
  for (int c = 0; c < tile.d_head; ++c) middle[c] = (low[c] + high[c]) * 0.5F;
  const double* q = tile.wide_q;
  for (int h = 0; h < tile.group; ++h, q += width) {
    double sums[kChains] = {};
    for (int64_t c = 0; c < width; c += kChains) {
      for (int i = 0; i < kChains; ++i) sums[i] += q[c + i] * middle[c + i];
    }
    base[h] =
        static_cast<float>(((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7])));
  }
}

void estimate_block(const SketchTile& tile) {
  float *const low = tile.scratch, *const high = low + tile.d_head, *const factors = high + tile.d_head;
  float* const base = factors + int64_t{tile.group} * tile.n_channel;
  load_row(tile.low, tile.d_head, tile.bounds, low);
  load_row(tile.high, tile.d_head, tile.bounds, high);
  sum_middles(tile, low, high, base);
  const float share = 1.0F / static_cast<float>(2 << tile.bits);
  for (int i = 0; i < tile.n_channel; ++i) {
    const int c = tile.channels[i];
    const float half = (high[c] - low[c]) * share;
    for (int h = 0; h < tile.group; ++h) factors[h * tile.n_channel + i] = tile.q[h * tile.d_head + c] * half;
  }
  switch (tile.code_bits) {
    case 1:
      return estimate_block_in<1>(tile, base, factors);
    case 2:
      return estimate_block_in<2>(tile, base, factors);
    case 4:
      return estimate_block_in<4>(tile, base, factors);
    default:
      return estimate_block_in<8>(tile, base, factors);
  }
}

}  // namespace
}  // namespace reattend::cpu::REATTEND_TARGET
