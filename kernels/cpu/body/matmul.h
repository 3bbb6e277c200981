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
      const auto total = static_cast<int32_t>(sum(add(low_quants, high_quants)));
      for (int k = 0; k < kBlockCols / 4; ++k) {
        std::memcpy(tile.quants + ((b * (kBlockCols / 4) + k) * tile.width + t) * 4, quants + 4 * k, 4);
      }
      tile.scales[b * tile.width + t] = top * (1.0F / 127.0F);
      tile.minus_sum[b * tile.width + t] = -total;
    }
  }
}

/// The four loads of a 4-bit block hold columns 4i .. 4i + 3 in their low and 16 + 4i .. in their high nibbles.
template <int kBits, int kWidth>
REATTEND_INLINE void dot_block(const std::byte* quants, const int8_t* x, IVec (&acc)[kWidth]) {
  constexpr bool kFull = kBits == 8;
  const auto add_columns = [&](const Bytes& w, int k) {
    REATTEND_UNROLL
    for (int t = 0; t < kWidth; ++t) acc[t] = dot4<kFull>(acc[t], w, broadcast4(x + (k * kWidth + t) * 4));
  };
  if constexpr (kFull) {
    REATTEND_UNROLL
    for (int k = 0; k < 8; ++k) add_columns(load_bytes(quants + 64 * k), k);
  } else {
    REATTEND_UNROLL
    for (int k = 0; k < 4; ++k) {
      const Bytes both = load_bytes(quants + 64 * k);
      add_columns(low_nibbles(both), k);
      add_columns(high_nibbles(both), k + 4);
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
      for (int t = 0; t < kWidth; ++t) dot[t] = set_int(tokens.minus_sum[b * kWidth + t] * layout.offset);
      dot_block<kBits, kWidth>(tile + b * kBlockBytes, tokens.quants + b * kBlockCols * kWidth, dot);
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
      const std::byte* quants = tile + b * kBlockBytes;
      const float* x = tokens.x + b * kBlockCols * kWidth;
      const auto add_columns = [&](const Bytes& w, int column) {
        const float* at = x + column * kWidth;
        total.template add_column<0>(fma(byte_of_lane<0>(w), d, m), at);
        total.template add_column<1>(fma(byte_of_lane<1>(w), d, m), at + kWidth);
        total.template add_column<0>(fma(byte_of_lane<2>(w), d, m), at + 2 * kWidth);
        total.template add_column<1>(fma(byte_of_lane<3>(w), d, m), at + 3 * kWidth);
      };
      for (int k = 0; k < kBlockBytes / 64; ++k) {
        const Bytes raw = load_bytes(quants + 64 * k);
        if constexpr (kBits == 8) {
          add_columns(raw, 4 * k);
        } else {
          add_columns(low_nibbles(raw), 4 * k);
          add_columns(high_nibbles(raw), 16 + 4 * k);
        }
      }
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
      product_q8_of<kBits, kMinima, kWidth>(layout, tiles, n_tile, tokens, y, y_stride, n_row);
    });
  });
}

void product_f32(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens, float* y,
                 int64_t y_stride, int64_t n_row) {
  with_width(tokens.width, [&]<int kWidth>() {
    if (layout.bits > 0) {
      with_quants(layout, [&]<int kBits, bool kMinima>() {
        product_dequantized<kBits, kMinima, kWidth>(layout, tiles, n_tile, tokens, y, y_stride, n_row);
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
