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

/// The four loads of a 4-bit block hold columns 4i .. 4i + 3 in their low and 16 + 4i .. in their high nibbles. The
/// first 16 columns are added to `low`, the others to `high`, which may be the same.
template <int kBits, int kWidth>
REATTEND_INLINE void dot_block(const std::byte* quants, const int8_t* x, IVec (&low)[kWidth], IVec (&high)[kWidth]) {
  constexpr bool kFull = kBits == 8;
  const auto add_columns = [&](const Bytes& w, int k, IVec(&acc)[kWidth]) {
    REATTEND_UNROLL
    for (int t = 0; t < kWidth; ++t) acc[t] = dot4<kFull>(acc[t], w, broadcast4(x + (k * kWidth + t) * 4));
  };
  if constexpr (kFull) {
    REATTEND_UNROLL
    for (int k = 0; k < 4; ++k) add_columns(load_bytes(quants + 64 * k), k, low);
    REATTEND_UNROLL
    for (int k = 4; k < 8; ++k) add_columns(load_bytes(quants + 64 * k), k, high);
  } else {
    REATTEND_UNROLL
    for (int k = 0; k < 4; ++k) {
      const Bytes both = load_bytes(quants + 64 * k);
      add_columns(low_nibbles(both), k, low);
      add_columns(high_nibbles(both), k + 4, high);
    }
  }
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
template <int kBits, bool kMinima, int kWidth>
void product_q8_of(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens, float* y,
                   int64_t y_stride, int64_t n_row) {
  constexpr int kBlockBytes = kBlockCols * kTileRows * kBits / 8;
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
        for (int line = 0; line < kBlockBytes + 64; line += 64) prefetch(next + line);
      }
      IVec dot[kWidth];
      REATTEND_UNROLL
      for (int t = 0; t < kWidth; ++t) {
        if constexpr (kMinima) {  // which stand for an offset
          dot[t] = set_int(0);
        } else {
          dot[t] = set_int(tokens.minus_sum[b * kWidth + t] * layout.offset);
        }
      }
      dot_block<kBits, kWidth>(tile + b * kBlockBytes, tokens.quants + b * kBlockCols * kWidth, dot, dot);
      const Vec d = load_half(scales + b * kTileRows);
      REATTEND_UNROLL
      for (int t = 0; t < kWidth; ++t) {
        acc[t] = fma(mul(d, set(tokens.scales[b * kWidth + t])), to_float(dot[t]), acc[t]);
      }
      if constexpr (kMinima) {
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

/// Scales and minima of the blocks of one super-block: calls block(b, group-th scale and minimum as vectors of the
/// rows). kHalves: groups of 16 columns, two a block; otherwise of 32.
template <bool kHalves, bool kMinima, class Block>
REATTEND_INLINE void for_each_block(const TileLayout& layout, const std::byte* super, const Block& block) {
  constexpr int kLines = kHalves ? 4 : 2, kPerLine = kHalves ? 2 : 4, kLineBytes = 4 * kTileRows;
  const Vec d = load_half(reinterpret_cast<const uint16_t*>(super));
  const Vec m = load_half(reinterpret_cast<const uint16_t*>(super) + kTileRows);
  const Vec offset = set(static_cast<float>(layout.scale_offset));
  for (int line = 0; line < kLines; ++line) {
    const Bytes scales = load_bytes(super + (1 + line) * kLineBytes);
    const Bytes minima = load_bytes(super + (kMinima ? 1 + kLines + line : 0) * kLineBytes);
    const auto scale = [&]<int k>() { return mul(d, sub(byte_of_lane<k>(scales), offset)); };
    const auto minimum = [&]<int k>() {
      if constexpr (kMinima) return mul(m, byte_of_lane<k>(minima));
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
      const auto both = [&]<int k>() {
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
template <int kBits, bool kHalves, bool kMinima, int kWidth>
void product_q8_super(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens,
                      float* y, int64_t y_stride, int64_t n_row) {
  constexpr int kBlockBytes = kBlockCols * kTileRows * kBits / 8, kBlocks = kSuperCols / kBlockCols;
  const int64_t ahead = layout.tile_bytes / layout.n_block;
  for (int64_t i = 0; i < n_tile; ++i) {
    const std::byte* tile = tiles + i * layout.tile_bytes;
    Vec acc[kWidth];
    REATTEND_UNROLL
    for (int t = 0; t < kWidth; ++t) acc[t] = zero();
    for (int64_t first = 0; first < layout.n_block; first += kBlocks) {
      const std::byte* super = tile + layout.scales_at + first / kBlocks * layout.super_bytes;
      for_each_block<kHalves, kMinima>(
          layout, super, [&](int in, const Vec& s0, const Vec& s1, const Vec& m0, const Vec& m1) {
            const int64_t b = first + in;
            if constexpr (kWidth == 1) {  // as product_q8_of
              const std::byte* next = tile + layout.tile_bytes + b * ahead;
              for (int line = 0; line < kBlockBytes + 64; line += 64) prefetch(next + line);
            }
            IVec low[kWidth], high[kWidth];
            int32_t low_sum[kWidth], high_sum[kWidth];  // minus the sums of what the scales are for
            REATTEND_UNROLL
            for (int t = 0; t < kWidth; ++t) {
              const int32_t all = tokens.minus_sum[b * kWidth + t];
              low_sum[t] = kHalves ? tokens.minus_half[b * kWidth + t] : all, high_sum[t] = all - low_sum[t];
              low[t] = set_int(low_sum[t] * layout.offset), high[t] = set_int(high_sum[t] * layout.offset);
            }
            dot_block<kBits, kWidth>(tile + b * kBlockBytes, tokens.quants + b * kBlockCols * kWidth, low,
                                     kHalves ? high : low);
            REATTEND_UNROLL
            for (int t = 0; t < kWidth; ++t) {
              const float by = tokens.scales[b * kWidth + t];
              acc[t] = fma(mul(s0, set(by)), to_float(low[t]), acc[t]);
              if constexpr (kHalves) acc[t] = fma(mul(s1, set(by)), to_float(high[t]), acc[t]);
              if constexpr (kMinima) acc[t] = fma(m0, set(by * static_cast<float>(low_sum[t])), acc[t]);
              if constexpr (kMinima && kHalves) acc[t] = fma(m1, set(by * static_cast<float>(high_sum[t])), acc[t]);
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
template <int kBits, int kWidth>
REATTEND_INLINE void add_block(const std::byte* quants, const float* x, const Vec& low_d, const Vec& low_m,
                               const Vec& high_d, const Vec& high_m, FloatSum<kWidth>& total) {
  const auto add_columns = [&](const Bytes& w, int column) {
    const Vec& d = column < 16 ? low_d : high_d;
    const Vec& m = column < 16 ? low_m : high_m;
    const float* at = x + column * kWidth;
    total.template add_column<0>(fma(byte_of_lane<0>(w), d, m), at);
    total.template add_column<1>(fma(byte_of_lane<1>(w), d, m), at + kWidth);
    total.template add_column<0>(fma(byte_of_lane<2>(w), d, m), at + 2 * kWidth);
    total.template add_column<1>(fma(byte_of_lane<3>(w), d, m), at + 3 * kWidth);
  };
  for (int k = 0; k < kBits; ++k) {
    const Bytes raw = load_bytes(quants + 64 * k);
    if constexpr (kBits == 8) {
      add_columns(raw, 4 * k);
    } else {
      add_columns(low_nibbles(raw), 4 * k);
      add_columns(high_nibbles(raw), 16 + 4 * k);
    }
  }
}

/// d scale (q - offset) - m minimum with the one rounding that the dequantiser makes.
template <int kBits, bool kHalves, bool kMinima, int kWidth>
void product_f32_super(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens,
                       float* y, int64_t y_stride, int64_t n_row) {
  constexpr int kBlockBytes = kBlockCols * kTileRows * kBits / 8, kBlocks = kSuperCols / kBlockCols;
  const Vec minus_offset = set(-static_cast<float>(layout.offset));
  for (int64_t i = 0; i < n_tile; ++i) {
    const std::byte* tile = tiles + i * layout.tile_bytes;
    FloatSum<kWidth> total;
    for (int64_t first = 0; first < layout.n_block; first += kBlocks) {
      const std::byte* super = tile + layout.scales_at + first / kBlocks * layout.super_bytes;
      for_each_block<kHalves, kMinima>(
          layout, super, [&](int in, const Vec& s0, const Vec& s1, const Vec& m0, const Vec& m1) {
            const int64_t b = first + in;
            add_block<kBits, kWidth>(tile + b * kBlockBytes, tokens.x + b * kBlockCols * kWidth, s0,
                                     sub(mul(s0, minus_offset), m0), s1, sub(mul(s1, minus_offset), m1), total);
          });
    }
    total.finish(y + i * kTileRows, y_stride, n_row - i * kTileRows);
  }
}

/// d (q - offset) + m with the one rounding that the dequantiser makes.
template <int kBits, bool kMinima, int kWidth>
void product_dequantized(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens,
                         float* y, int64_t y_stride, int64_t n_row) {
  constexpr int kBlockBytes = kBlockCols * kTileRows * kBits / 8;
  for (int64_t i = 0; i < n_tile; ++i) {
    const std::byte* tile = tiles + i * layout.tile_bytes;
    FloatSum<kWidth> total;
    for (int64_t b = 0; b < layout.n_block; ++b) {
      const Vec d = load_half(reinterpret_cast<const uint16_t*>(tile + layout.scales_at) + b * kTileRows);
      Vec m;
      if constexpr (kMinima) {
        m = load_half(reinterpret_cast<const uint16_t*>(tile + layout.minima_at) + b * kTileRows);
      } else {
        m = mul(d, set(-static_cast<float>(layout.offset)));
      }
      add_block<kBits, kWidth>(tile + b * kBlockBytes, tokens.x + b * kBlockCols * kWidth, d, m, d, m, total);
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

/// Calls `body` with how quants lie in the tiles, as compile-time numbers: their bits, and whether there are minima.
template <class Body>
void with_quants(const TileLayout& layout, Body body) {
  if (layout.bits == 4) {
    layout.has_minima ? body.template operator()<4, true>() : body.template operator()<4, false>();
  } else {
    layout.has_minima ? body.template operator()<8, true>() : body.template operator()<8, false>();
  }
}

void product_q8(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens, float* y,
                int64_t y_stride, int64_t n_row) {
  with_width(tokens.width, [&]<int kWidth>() {
    with_quants(layout, [&]<int kBits, bool kMinima>() {
      const auto run = layout.scale_cols == 16   ? product_q8_super<kBits, true, kMinima, kWidth>
                       : layout.scale_cols == 32 ? product_q8_super<kBits, false, kMinima, kWidth>
                                                 : product_q8_of<kBits, kMinima, kWidth>;
      run(layout, tiles, n_tile, tokens, y, y_stride, n_row);
    });
  });
}

void product_f32(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens, float* y,
                 int64_t y_stride, int64_t n_row) {
  with_width(tokens.width, [&]<int kWidth>() {
    if (layout.bits > 0) {
      with_quants(layout, [&]<int kBits, bool kMinima>() {
        const auto run = layout.scale_cols == 16   ? product_f32_super<kBits, true, kMinima, kWidth>
                         : layout.scale_cols == 32 ? product_f32_super<kBits, false, kMinima, kWidth>
                                                   : product_dequantized<kBits, kMinima, kWidth>;
        run(layout, tiles, n_tile, tokens, y, y_stride, n_row);
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
