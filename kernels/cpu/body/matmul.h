// Products of packed weights with a tile of tokens: every lane is one output row. Included once per target.
namespace reattend::cpu::REATTEND_TARGET {
namespace {

void quantize(const float* x, int64_t n_col, const TokenTile& tile) {
  const int64_t n_block = n_col / kBlockCols;
  for (int t = 0; t < tile.width; ++t) {
    const float* token = x + t * n_col;
    for (int64_t b = 0; b < n_block; ++b) {
      const Vec low = load(token + b * kBlockCols), high = load(token + b * kBlockCols + 16);
      const float top = max_lane(max(abs(low), abs(high)));
      const Vec inverse = set(top > 1e-30F ? 127.0F / top : 0.0F);  // below that 127 / top is infinite
      int8_t quants[kBlockCols];
      const Vec low_quants = round(mul(low, inverse)), high_quants = round(mul(high, inverse));
      store_int8(quants, low_quants);
      store_int8(quants + 16, high_quants);
      for (int k = 0; k < kBlockCols / 4; ++k) {
        std::memcpy(tile.quants + ((b * (kBlockCols / 4) + k) * tile.width + t) * 4, quants + 4 * k, 4);
      }
      tile.scales[b * tile.width + t] = top * (1.0F / 127.0F);
      tile.minus_sum[b * tile.width + t] = -static_cast<int32_t>(sum(add(low_quants, high_quants)));
      if (tile.minus_half != nullptr) tile.minus_half[b * tile.width + t] = -static_cast<int32_t>(sum(low_quants));
    }
  }
}

/// How quants and scales of a type lie in its tiles, as compile-time numbers; names as in TileLayout.
template <int bits, bool minima, int scale_cols = 0, int scale_bits = 8, bool codes = false>
struct Quants {
  static constexpr int kBits = bits, kScaleCols = scale_cols, kScaleBits = scale_bits;
  static constexpr bool kMinima = minima, kCodes = codes;
  static constexpr int kBlockBytes = kBlockCols * kTileRows * bits / 8;
  static constexpr bool kFull = bits == 8 || codes;  ///< numbers take all 8 bits of a byte
  static bool lie_in(const TileLayout& layout) {
    return layout.bits == bits && layout.has_minima == minima && layout.scale_cols == scale_cols &&
           layout.scale_bits == scale_bits && layout.has_codes == codes;
  }
};

/// Columns 4k ... 4k + 3 of a block's 16 rows, as bytes.
template <class Q, int k>
REATTEND_INLINE Bytes columns_at(const std::byte* block) {
  constexpr int kLow = low_bits(Q::kBits), kHigh = Q::kBits - kLow;
  Bytes x = load_bytes(block + k % kLow * 64);
  if constexpr (kLow < 8) x = bits_of<kLow*(k / kLow), kLow>(x);
  if constexpr (kHigh > 0) {
    x = or_bits<kHigh*(k / kHigh), kHigh, kLow>(x, load_bytes(block + (kLow + k % kHigh) * 64));
  }
  if constexpr (Q::kCodes) return look_up(kCodeValues, x);
  return x;
}

/// act<k>(columns_at<k>()) for all of a block: as lines follow each other in its first plane.
template <class Q, int i = 0, class Act>
REATTEND_INLINE void for_columns(const std::byte* block, const Act& act) {
  if constexpr (i < 8) {
    constexpr int kLow = low_bits(Q::kBits), kLines = 8 / kLow, k = i % kLines * kLow + i / kLines;
    act.template operator()<k>(columns_at<Q, k>(block));
    for_columns<Q, i + 1>(block, act);
  }
}

/// The first 16 columns are added to `low`, the others to `high`, which may be the same.
template <class Q, int kWidth>
REATTEND_INLINE void dot_block(const std::byte* block, const int8_t* x, IVec (&low)[kWidth], IVec (&high)[kWidth]) {
  for_columns<Q>(block, [&]<int k>(const Bytes& w) REATTEND_INLINED {
    IVec(&acc)[kWidth] = k < 4 ? low : high;
    REATTEND_UNROLL
    for (int t = 0; t < kWidth; ++t) acc[t] = dot4<Q::kFull>(acc[t], w, broadcast4(x + (k * kWidth + t) * 4));
  });
}

template <int kWidth>
REATTEND_INLINE void store_rows(const Vec (&acc)[kWidth], float* y, int64_t y_stride, int64_t n_row) {
  REATTEND_UNROLL
  for (int t = 0; t < kWidth; ++t) {
    if (n_row >= kTileRows) {
      store(y + t * y_stride, acc[t]);
    } else {
      store_part(y + t * y_stride, acc[t], static_cast<int>(n_row));
    }
  }
}

/// Blocks in order, one accumulator a row and token: acc = fma(d_w d_x, dot, acc), with minima also fma(m, d_x sum_x,
/// acc). Quants are unsigned: their offset times the activations' sum is taken from the dot product.
template <class Q, int kWidth>
void product_q8_of(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens, float* y,
                   int64_t y_stride, int64_t n_row) {
  const int64_t ahead = layout.tile_bytes / layout.n_block;
  for (int64_t i = 0; i < n_tile; ++i) {
    const std::byte* tile = tiles + i * layout.tile_bytes;
    const auto* scales = reinterpret_cast<const uint16_t*>(tile + layout.scales_at);
    const auto* minima = reinterpret_cast<const uint16_t*>(tile + layout.minima_at);
    Vec acc[kWidth];
    REATTEND_UNROLL
    for (int t = 0; t < kWidth; ++t) acc[t] = zero();
    for (int64_t b = 0; b < layout.n_block; ++b) {
      // Decoding streams: the next tile is on its way while this one is used, even if another thread takes it (it is
      // then in the shared cache: 38 GB/s against 30).
      if constexpr (kWidth == 1) {
        const std::byte* next = tile + layout.tile_bytes + b * ahead;
        for (int line = 0; line < Q::kBlockBytes + 64; line += 64) prefetch(next + line);
      }
      IVec dot[kWidth];
      REATTEND_UNROLL
      for (int t = 0; t < kWidth; ++t) {
        if constexpr (Q::kMinima) {  // which stand for an offset
          dot[t] = set_int(0);
        } else {
          dot[t] = set_int(tokens.minus_sum[b * kWidth + t] * layout.offset);
        }
      }
      dot_block<Q, kWidth>(tile + b * Q::kBlockBytes, tokens.quants + b * kBlockCols * kWidth, dot, dot);
      const Vec d = load_half(scales + b * kTileRows);
      REATTEND_UNROLL
      for (int t = 0; t < kWidth; ++t) {
        acc[t] = fma(mul(d, set(tokens.scales[b * kWidth + t])), to_float(dot[t]), acc[t]);
      }
      if constexpr (Q::kMinima) {
        const Vec m = load_half(minima + b * kTileRows);
        REATTEND_UNROLL
        for (int t = 0; t < kWidth; ++t) {
          const float total = -tokens.scales[b * kWidth + t] * static_cast<float>(tokens.minus_sum[b * kWidth + t]);
          acc[t] = fma(m, set(total), acc[t]);
        }
      }
    }
    store_rows<kWidth>(acc, y + i * kTileRows, y_stride, n_row - i * kTileRows);
  }
}

/// Scales and minima of the blocks of one super-block: calls block(b, scales and minima of its halves as vectors of the
/// rows), which are the same where they are for 32 columns.
template <class Q, class Block>
REATTEND_INLINE void for_each_block(const TileLayout& layout, const std::byte* super, const Block& block) {
  constexpr bool kHalves = Q::kScaleCols == 16;
  constexpr int kLines = kHalves ? 4 : 2, kPerLine = kHalves ? 2 : 4, kLineBytes = 4 * kTileRows;
  const auto* halves = reinterpret_cast<const uint16_t*>(super);
  const Vec d = load_half(halves), m = load_half(halves + (Q::kMinima ? kTileRows : 0));
  const Vec offset = set(static_cast<float>(layout.scale_offset));
  const std::byte* const lines = super + (Q::kMinima ? 2 : 1) * kTileRows * 2;
  for (int line = 0; line < kLines; ++line) {
    const Bytes raw = load_bytes(lines + line * kLineBytes);
    Bytes scales = raw, minima = raw;
    if constexpr (Q::kScaleBits == 4) {
      scales = bits_of<0, 4>(raw), minima = bits_of<4, 4>(raw);
    } else if constexpr (Q::kMinima) {
      minima = load_bytes(lines + (kLines + line) * kLineBytes);
    }
    const auto scale = [&]<int k>() { return mul(d, sub(byte_of_lane<k>(scales), offset)); };
    const auto minimum = [&]<int k>() {
      if constexpr (Q::kMinima) return mul(m, byte_of_lane<k>(minima));
      return zero();
    };
    const int b = line * kPerLine;
    if constexpr (kHalves) {
      const Vec s[] = {scale.template operator()<0>(), scale.template operator()<1>(), scale.template operator()<2>(),
                       scale.template operator()<3>()};
      const Vec n[] = {minimum.template operator()<0>(), minimum.template operator()<1>(),
                       minimum.template operator()<2>(), minimum.template operator()<3>()};
      block(b, s[0], s[1], n[0], n[1]), block(b + 1, s[2], s[3], n[2], n[3]);
    } else {
      const auto both = [&]<int k>() REATTEND_INLINED {
        const Vec s = scale.template operator()<k>(), n = minimum.template operator()<k>();
        block(b + k, s, s, n, n);
      };
      both.template operator()<0>(), both.template operator()<1>();
      both.template operator()<2>(), both.template operator()<3>();
    }
  }
}

/// As product_q8_of, for blocks whose scales share a scale: acc = fma(d scale d_x, dot, acc) for each group of columns
/// in order, with minima also fma(m minimum, - d_x sum_x, acc).
template <class Q, int kWidth>
void product_q8_super(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens,
                      float* y, int64_t y_stride, int64_t n_row) {
  constexpr int kBlocks = kSuperCols / kBlockCols;
  constexpr bool kHalves = Q::kScaleCols == 16;
  const int64_t ahead = layout.tile_bytes / layout.n_block;
  for (int64_t i = 0; i < n_tile; ++i) {
    const std::byte* tile = tiles + i * layout.tile_bytes;
    Vec acc[kWidth];
    REATTEND_UNROLL
    for (int t = 0; t < kWidth; ++t) acc[t] = zero();
    for (int64_t first = 0; first < layout.n_block; first += kBlocks) {
      const std::byte* super = tile + layout.scales_at + first / kBlocks * layout.super_bytes;
      for_each_block<Q>(
          layout, super, [&](int in, const Vec& s0, const Vec& s1, const Vec& m0, const Vec& m1) REATTEND_INLINED {
            const int64_t b = first + in;
            if constexpr (kWidth == 1) {  // as product_q8_of
              const std::byte* next = tile + layout.tile_bytes + b * ahead;
              for (int line = 0; line < Q::kBlockBytes + 64; line += 64) prefetch(next + line);
            }
            IVec low[kWidth], high[kWidth];
            int32_t low_sum[kWidth], high_sum[kWidth];  // minus the sums of what the scales are for
            REATTEND_UNROLL
            for (int t = 0; t < kWidth; ++t) {
              const int32_t all = tokens.minus_sum[b * kWidth + t];
              low_sum[t] = kHalves ? tokens.minus_half[b * kWidth + t] : all, high_sum[t] = all - low_sum[t];
              low[t] = set_int(low_sum[t] * layout.offset), high[t] = set_int(high_sum[t] * layout.offset);
            }
            dot_block<Q, kWidth>(tile + b * Q::kBlockBytes, tokens.quants + b * kBlockCols * kWidth, low,
                                 kHalves ? high : low);
            REATTEND_UNROLL
            for (int t = 0; t < kWidth; ++t) {
              const float by = tokens.scales[b * kWidth + t];
              acc[t] = fma(mul(s0, set(by)), to_float(low[t]), acc[t]);
              if constexpr (kHalves) acc[t] = fma(mul(s1, set(by)), to_float(high[t]), acc[t]);
              if constexpr (Q::kMinima) acc[t] = fma(m0, set(by * static_cast<float>(low_sum[t])), acc[t]);
              if constexpr (Q::kMinima && kHalves) acc[t] = fma(m1, set(by * static_cast<float>(high_sum[t])), acc[t]);
            }
          });
    }
    store_rows<kWidth>(acc, y + i * kTileRows, y_stride, n_row - i * kTileRows);
  }
}

/// Weights as floats, columns in the order they are stored, even and odd ones in accumulators of their own.
template <int kWidth>
struct FloatSum {
  Vec acc[2][kWidth];
  FloatSum() {
    for (auto& half : acc) {
      for (Vec& each : half) each = zero();
    }
  }
  template <int kChain>
  REATTEND_INLINE void add_column(const Vec& w, const float* x) {
    REATTEND_UNROLL
    for (int t = 0; t < kWidth; ++t) acc[kChain][t] = fma(w, set(x[t]), acc[kChain][t]);
  }
  REATTEND_INLINE void finish(float* y, int64_t y_stride, int64_t n_row) {
    Vec total[kWidth];
    for (int t = 0; t < kWidth; ++t) total[t] = add(acc[0][t], acc[1][t]);
    store_rows<kWidth>(total, y, y_stride, n_row);
  }
};

template <class Element, int kWidth>
void product_elements(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens,
                      float* y, int64_t y_stride, int64_t n_row) {
  for (int64_t i = 0; i < n_tile; ++i) {
    const auto* w = reinterpret_cast<const typename Element::Raw*>(tiles + i * layout.tile_bytes);
    FloatSum<kWidth> total;
    int64_t c = 0;
    for (; c + 2 <= layout.n_col; c += 2) {
      total.template add_column<0>(Element::get(w + c * kTileRows), tokens.x + c * kWidth);
      total.template add_column<1>(Element::get(w + (c + 1) * kTileRows), tokens.x + (c + 1) * kWidth);
    }
    if (c < layout.n_col) total.template add_column<0>(Element::get(w + c * kTileRows), tokens.x + c * kWidth);
    total.finish(y + i * kTileRows, y_stride, n_row - i * kTileRows);
  }
}

/// A block's columns as floats, q low_d + low_m for the first 16 and q high_d + high_m for the others, each added with
/// its token's x.
template <class Q, int kWidth>
REATTEND_INLINE void add_block(const std::byte* block, const float* x, const Vec& low_d, const Vec& low_m,
                               const Vec& high_d, const Vec& high_m, FloatSum<kWidth>& total) {
  for_columns<Q>(block, [&]<int k>(const Bytes& w) REATTEND_INLINED {
    const Vec& d = k < 4 ? low_d : high_d;
    const Vec& m = k < 4 ? low_m : high_m;
    const float* at = x + 4 * k * kWidth;
    total.template add_column<0>(fma(byte_of_lane<0>(w), d, m), at);
    total.template add_column<1>(fma(byte_of_lane<1>(w), d, m), at + kWidth);
    total.template add_column<0>(fma(byte_of_lane<2>(w), d, m), at + 2 * kWidth);
    total.template add_column<1>(fma(byte_of_lane<3>(w), d, m), at + 3 * kWidth);
  });
}

/// d scale (q - offset) - m minimum with the one rounding that the dequantiser makes.
template <class Q, int kWidth>
void product_f32_super(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens,
                       float* y, int64_t y_stride, int64_t n_row) {
  constexpr int kBlocks = kSuperCols / kBlockCols;
  const Vec minus_offset = set(-static_cast<float>(layout.offset));
  for (int64_t i = 0; i < n_tile; ++i) {
    const std::byte* tile = tiles + i * layout.tile_bytes;
    FloatSum<kWidth> total;
    for (int64_t first = 0; first < layout.n_block; first += kBlocks) {
      const std::byte* super = tile + layout.scales_at + first / kBlocks * layout.super_bytes;
      for_each_block<Q>(
          layout, super, [&](int in, const Vec& s0, const Vec& s1, const Vec& m0, const Vec& m1) REATTEND_INLINED {
            const int64_t b = first + in;
            add_block<Q, kWidth>(tile + b * Q::kBlockBytes, tokens.x + b * kBlockCols * kWidth, s0,
                                 sub(mul(s0, minus_offset), m0), s1, sub(mul(s1, minus_offset), m1), total);
          });
    }
    total.finish(y + i * kTileRows, y_stride, n_row - i * kTileRows);
  }
}

/// d (q - offset) + m with the one rounding that the dequantiser makes.
template <class Q, int kWidth>
void product_dequantized(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens,
                         float* y, int64_t y_stride, int64_t n_row) {
  for (int64_t i = 0; i < n_tile; ++i) {
    const std::byte* tile = tiles + i * layout.tile_bytes;
    FloatSum<kWidth> total;
    for (int64_t b = 0; b < layout.n_block; ++b) {
      const Vec d = load_half(reinterpret_cast<const uint16_t*>(tile + layout.scales_at) + b * kTileRows);
      Vec m;
      if constexpr (Q::kMinima) {
        m = load_half(reinterpret_cast<const uint16_t*>(tile + layout.minima_at) + b * kTileRows);
      } else {
        m = mul(d, set(-static_cast<float>(layout.offset)));
      }
      add_block<Q, kWidth>(tile + b * Q::kBlockBytes, tokens.x + b * kBlockCols * kWidth, d, m, d, m, total);
    }
    total.finish(y + i * kTileRows, y_stride, n_row - i * kTileRows);
  }
}

/// Calls `body` with the tile's width, a power of two, as a compile-time number.
template <int kWidth = kTokens, class Body>
void with_width(int width, Body body) {
  if constexpr (kWidth == 1) {
    body.template operator()<1>();
  } else {
    if (width == kWidth) {
      body.template operator()<kWidth>();
    } else {
      with_width<kWidth / 2>(width, body);
    }
  }
}

/// Calls body<Q>() with the Quants that lie in the tiles.
template <class... All, class Body>
void with_one_of(const TileLayout& layout, const Body& body) {
  static_cast<void>(((All::lie_in(layout) && (body.template operator()<All>(), true)) || ...));
}
template <class Body>
void with_quants(const TileLayout& layout, const Body& body) {
  with_one_of<Quants<8, false>,                // Q8_0
              Quants<4, false>,                // Q4_0
              Quants<4, true>,                 // Q4_1
              Quants<5, false>,                // Q5_0
              Quants<5, true>,                 // Q5_1
              Quants<4, false, 0, 8, true>,    // IQ4_NL
              Quants<2, true, 16, 4>,          // Q2_K
              Quants<3, false, 16>,            // Q3_K
              Quants<4, true, 32>,             // Q4_K
              Quants<5, true, 32>,             // Q5_K
              Quants<6, false, 16>,            // Q6_K
              Quants<4, false, 32, 8, true>>(  // IQ4_XS
      layout, body);
}

void product_q8(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens, float* y,
                int64_t y_stride, int64_t n_row) {
  with_width(tokens.width, [&]<int kWidth>() {
    with_quants(layout, [&]<class Q>() {
      if constexpr (Q::kScaleCols > 0) {
        product_q8_super<Q, kWidth>(layout, tiles, n_tile, tokens, y, y_stride, n_row);
      } else {
        product_q8_of<Q, kWidth>(layout, tiles, n_tile, tokens, y, y_stride, n_row);
      }
    });
  });
}

void product_f32(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens, float* y,
                 int64_t y_stride, int64_t n_row) {
  with_width(tokens.width, [&]<int kWidth>() {
    if (layout.bits > 0) {
      with_quants(layout, [&]<class Q>() {
        if constexpr (Q::kScaleCols > 0) {
          product_f32_super<Q, kWidth>(layout, tiles, n_tile, tokens, y, y_stride, n_row);
        } else {
          product_dequantized<Q, kWidth>(layout, tiles, n_tile, tokens, y, y_stride, n_row);
        }
      });
    } else if (layout.type == TensorType::f32) {
      product_elements<FloatElement, kWidth>(layout, tiles, n_tile, tokens, y, y_stride, n_row);
    } else if (layout.type == TensorType::f16) {
      product_elements<HalfElement, kWidth>(layout, tiles, n_tile, tokens, y, y_stride, n_row);
    } else {
      product_elements<BFloatElement, kWidth>(layout, tiles, n_tile, tokens, y, y_stride, n_row);
    }
  });
}

}  // namespace
}  // namespace reattend::cpu::REATTEND_TARGET
