// Weight products: right within the bound of their arithmetic, and the same bits however they are cut up.
#include "base/error.h"
#include "tests/kernels/support.h"

namespace reattend {
namespace {

using namespace test;

constexpr TensorType kAllTypes[] = {TensorType::f32,    TensorType::f16,  TensorType::bf16,  TensorType::q8_0,
                                    TensorType::q4_0,   TensorType::q4_1, TensorType::q5_0,  TensorType::q5_1,
                                    TensorType::iq4_nl, TensorType::q2_k, TensorType::q3_k,  TensorType::q4_k,
                                    TensorType::q5_k,   TensorType::q6_k, TensorType::iq4_xs};

bool quantised(TensorType type) {
  return format_of(type).block_size > 1;
}

std::vector<int64_t> columns_of(TensorType type) {
  if (!quantised(type)) return {1, 8, 64, 81};
  return format_of(type).block_size == 256 ? std::vector<int64_t>{256, 512, 768} : std::vector<int64_t>{32, 64, 576};
}

std::vector<float> product(ThreadPool& pool, Activations how, const Cpu::Matrix& w, const std::vector<float>& x,
                           int64_t n_token, int64_t chunk) {
  Cpu::Scratch scratch;
  const int64_t stride = w.n_row() + 3;
  std::vector<float> y(static_cast<size_t>(n_token * stride), -7.0F);
  for (int64_t t = 0; t < n_token; t += chunk) {
    const Cpu::Product one[] = {{&w, y.data() + t * stride, stride}};
    Cpu::matmul(pool, scratch, how, x.data() + t * w.n_col(), std::min(chunk, n_token - t), one);
  }
  return y;
}

class Matmul : public OnTarget {};

// Wrong logits for some tensor type, row count or width would show here first.
TEST_P(Matmul, AgreesWithReference) {
  ThreadPool pool(2);
  for (const TensorType type : kAllTypes) {
    for (const int64_t n_row : {1, 15, 16, 17, 49}) {
      for (const int64_t n_col : columns_of(type)) {
        for (const int64_t n_token : {1, 2, 7, 9, 19}) {
          const FileMatrix file(type, n_row, n_col, 5);
          const std::vector<float> x = Random(6).normals(n_token * n_col);
          const Cpu::Matrix w = Cpu::pack(file.view());
          const Reference::Matrix exact = Reference::pack(file.view());
          for (const auto how : {Activations::f32, Activations::q8}) {
            std::vector<double> in = widen(x), want(static_cast<size_t>(n_token * n_row));
            std::vector<double> error(want.size());
            const bool q8 = how == Activations::q8 && quantised(type);
            if (q8) {  // the same rounding of the activations, in plain arithmetic
              for (size_t b = 0; b < in.size(); b += 32) {
                float top = 0;
                for (size_t i = b; i < b + 32; ++i) top = std::max(top, std::fabs(x[i]));
                const float inverse = top > 0 ? 127.0F / top : 0.0F;
                for (size_t i = b; i < b + 32; ++i) {
                  in[i] = double{top * (1.0F / 127.0F)} * std::nearbyint(double{x[i] * inverse});
                }
              }
            }
            const Reference::Product one[] = {{&exact, want.data(), n_row}};
            Reference::matmul(pool, {}, Activations::f32, in.data(), n_token, one);
            const std::vector<float> got = product(pool, how, w, x, n_token, n_token);
            for (int64_t t = 0; t < n_token; ++t) {
              for (int64_t r = 0; r < n_row; ++r) {
                // A chain of n roundings of relative 2^-24 is off by at most n 2^-24 times the sum of magnitudes;
                // quantised products round twice to three times a block, on terms that may cancel (offset, minimum).
                double magnitude = 0;
                for (int64_t c = 0; c < n_col; ++c) {
                  magnitude += std::fabs(in[static_cast<size_t>(t * n_col + c)] *
                                         double{exact.w[static_cast<size_t>(r * n_col + c)]});
                }
                const double bound =
                    (q8 ? 4.0 * static_cast<double>(n_col / 32 + 1) * 4 : static_cast<double>(n_col + 2)) * 0x1p-24 *
                    magnitude;
                EXPECT_NEAR(double{got[static_cast<size_t>(t * (n_row + 3) + r)]},
                            want[static_cast<size_t>(t * n_row + r)], bound)
                    << format_of(type).name << " " << n_row << "x" << n_col << " tokens " << n_token << " q8 " << q8;
              }
              for (int64_t r = n_row; r < n_row + 3; ++r) {
                EXPECT_EQ(got[static_cast<size_t>(t * (n_row + 3) + r)], -7.0F) << "wrote past the row";
              }
            }
          }
        }
      }
    }
  }
}

// The same prompt must give the same logits in one chunk or many, on one thread or three.
TEST_P(Matmul, BitsDependOnNothingButTheData) {
  for (const TensorType type : kAllTypes) {
    const int64_t n_row = 100, n_col = columns_of(type).back(), n_token = 130;
    const Cpu::Matrix w = Cpu::pack(FileMatrix(type, n_row, n_col, 1).view());
    const std::vector<float> x = Random(2).normals(n_token * n_col);
    for (const auto how : {Activations::f32, Activations::q8}) {
      ThreadPool alone(1);
      const std::vector<float> want = product(alone, how, w, x, n_token, n_token);
      for (const int threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        for (const int64_t chunk : {1, 7, 64, 130}) {
          EXPECT_TRUE(same_bits(product(pool, how, w, x, n_token, chunk), want))
              << format_of(type).name << " threads " << threads << " chunk " << chunk;
        }
      }
    }
  }
}

TEST_P(Matmul, SeveralProductsShareAnInput) {
  ThreadPool pool(2);
  const Cpu::Matrix a = Cpu::pack(FileMatrix(TensorType::q4_1, 40, 64, 1).view());
  const Cpu::Matrix b = Cpu::pack(FileMatrix(TensorType::f16, 33, 64, 2).view());
  const std::vector<float> x = Random(3).normals(64 * 3);
  std::vector<float> ya(3 * 43), yb(3 * 36);
  Cpu::Scratch scratch;
  const Cpu::Product both[] = {{&a, ya.data(), 43}, {&b, yb.data(), 36}};
  Cpu::matmul(pool, scratch, Activations::q8, x.data(), 3, both);
  const auto alone_a = product(pool, Activations::q8, a, x, 3, 3);
  const auto alone_b = product(pool, Activations::q8, b, x, 3, 3);
  for (size_t t = 0; t < 3; ++t) {
    EXPECT_TRUE(std::equal(&ya[t * 43], &ya[t * 43 + 40], &alone_a[t * 43]));
    EXPECT_TRUE(std::equal(&yb[t * 36], &yb[t * 36 + 33], &alone_b[t * 36]));
  }
  const Cpu::Matrix narrow = Cpu::pack(FileMatrix(TensorType::f32, 4, 32, 1).view());
  const Cpu::Product wrong[] = {{&a, ya.data(), 43}, {&narrow, yb.data(), 36}};
  EXPECT_THROW(Cpu::matmul(pool, scratch, Activations::q8, x.data(), 1, wrong), Error);
}

// All weights and activations at the ends of their ranges: 16-bit sums inside the products must not saturate.
TEST_P(Matmul, ExtremesDoNotSaturate) {
  ThreadPool pool(1);
  for (const TensorType type :
       {TensorType::q8_0, TensorType::q4_0, TensorType::q4_1, TensorType::q5_0, TensorType::q5_1, TensorType::iq4_nl}) {
    const TensorFormat& format = format_of(type);
    for (const int fill : {0x7f, 0x80, 0xff, 0x00}) {
      std::vector<std::byte> bytes(static_cast<size_t>(format.block_bytes) * 2, static_cast<std::byte>(fill));
      const Half one = to_half(1);
      for (const size_t block : {size_t{0}, static_cast<size_t>(format.block_bytes)}) {
        std::memcpy(&bytes[block], &one, 2);
        if (format.has_minima) std::memcpy(&bytes[block + 2], &one, 2);
      }
      const TensorView view{.name = "w", .type = type, .n_row = 1, .n_col = 64, .bytes = bytes};
      const std::vector<float> x(64, -127.0F);
      const auto got = product(pool, Activations::q8, Cpu::pack(view), x, 1, 1);
      double want = 0;
      for (const float w : Reference::pack(view).w) want += -127.0 * double{w};
      EXPECT_EQ(double{got[0]}, want) << format.name << " " << fill;
    }
  }
}

TEST_P(Matmul, RowReadsBackWhatTheFileHolds) {
  for (const TensorType type : kAllTypes) {
    const int64_t n_col = columns_of(type).back();
    const FileMatrix file(type, 21, n_col, 9);
    const Cpu::Matrix w = Cpu::pack(file.view());
    const Reference::Matrix exact = Reference::pack(file.view());
    for (int64_t r = 0; r < 21; ++r) {
      std::vector<float> row(static_cast<size_t>(n_col));
      w.row(r, row.data());
      EXPECT_TRUE(std::equal(row.begin(), row.end(), exact.w.begin() + r * n_col))
          << format_of(type).name << " row " << r;
    }
  }
}

REATTEND_ON_EVERY_TARGET(Matmul);

// A model takes in memory what its file says, and decoding reads no more: quants of 5 and 6 bits used to take 8.
TEST(Pack, AMatrixTakesAboutItsSizeInTheFile) {
  for (const TensorFormat& format : tensor_formats()) {
    const FileMatrix file(format.type, 64, 512, 3);
    const auto in_file = static_cast<double>(file.view().bytes.size());
    EXPECT_EQ(Cpu::packed_bytes(file.view()), Cpu::pack(file.view()).bytes()) << format.name;
    EXPECT_LE(static_cast<double>(Cpu::packed_bytes(file.view())), 1.04 * in_file) << format.name;
  }
}

TEST(Pack, RefusesSizesThatDoNotFit) {
  std::vector<std::byte> bytes(100);
  EXPECT_THROW(Cpu::pack({.name = "w", .type = TensorType::q4_0, .n_row = 2, .n_col = 33, .bytes = bytes}), Error);
  EXPECT_THROW(Cpu::pack({.name = "w", .type = TensorType::q4_0, .n_row = 2, .n_col = 32, .bytes = bytes}), Error);
  EXPECT_THROW(matrix_bytes(TensorType::f32, int64_t{1} << 40, int64_t{1} << 40), Error);
  EXPECT_THROW(matrix_bytes(TensorType::f32, -1, 4), Error);
}

}  // namespace
}  // namespace reattend
