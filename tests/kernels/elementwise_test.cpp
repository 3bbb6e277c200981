// Norm, activation function, the cache's roundings, weight formats, rotary embedding, sets, and the choice of target.
#include "base/error.h"
#include "kernels/rope.h"
#include "tests/kernels/support.h"

namespace reattend {
namespace {

using namespace test;

class Elementwise : public OnTarget {};

TEST_P(Elementwise, NormAndGatesAgreeWithReference) {
  for (const int64_t n : {1, 15, 16, 17, 64, 80, 576}) {
    const std::vector<float> x = Random(1).normals(n, 3), w = Random(2).normals(n);
    std::vector<float> got(x.size());
    std::vector<double> want(x.size());
    Cpu::rms_norm(x.data(), w.data(), n, 1e-5F, got.data());
    Reference::rms_norm(widen(x).data(), widen(w).data(), n, 1e-5, want.data());
    // The mean of squares carries n / 16 + 4 roundings, of which the root halves the effect; two products follow.
    const double relative = (static_cast<double>(n) / 32 + 8) * 0x1p-24;
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(double{got[i]}, want[i], std::fabs(want[i]) * relative);

    std::vector<float> gate = Random(3).normals(n, 20);
    gate[0] = -200;
    std::vector<float> gelu = gate;
    gelu[n - 1] = 0.3F;
    Reference::geglu(widen(gelu).data(), widen(w).data(), n, want.data());
    Cpu::geglu(gelu.data(), w.data(), n, gelu.data());
    // The exponent is wrong by a few roundings of itself, and with it the whole value: up to 88 of them. Where tanh is
    // near -1, the reference's sum of the two is as exact as a double near 1.
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(double{gelu[i]}, want[i],
                  std::fabs(want[i]) * 500 * 0x1p-24 + 201 * 0x1p-52 * std::fabs(double{w[i]}));
    }
    Reference::swiglu(widen(gate).data(), widen(w).data(), n, want.data());
    Cpu::swiglu(gate.data(), w.data(), n, gate.data());  // in place, as the engine calls it
    for (size_t i = 0; i < x.size(); ++i) {
      // Below -88 the logistic function stays at e^-88: 200 of that is nothing.
      EXPECT_NEAR(double{gate[i]}, want[i],
                  std::fabs(want[i]) * 8 * 0x1p-24 + 201 * std::exp(-88.0) * std::fabs(double{w[i]}));
    }
  }
}

TEST_P(Elementwise, AddAddsEveryElement) {
  std::vector<float> x = Random(1).normals(37);
  const std::vector<float> y = Random(2).normals(37), before = x;
  Cpu::add(x.data(), y.data(), 37);
  for (size_t i = 0; i < 37; ++i) EXPECT_EQ(x[i], before[i] + y[i]);
}

// The cache's bits are part of a trace: every target must round as the reference does, ties and subnormals included.
TEST_P(Elementwise, HalfPrecisionRoundsAsTheReference) {
  std::vector<float> x;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = to_float(static_cast<Half>(bits));
    if (!std::isfinite(value)) continue;
    x.push_back(value);
    if (bits % 7 == 0) x.push_back(value * 1.00049F), x.push_back(value * (1 + 0x1p-11F));
  }
  x.push_back(1e6F), x.push_back(-65520), x.push_back(65519.996F), x.push_back(1e-9F);
  std::vector<uint16_t> got(x.size() + 1, 0x1234), want(x.size());
  const auto n = static_cast<int32_t>(x.size());
  Cpu::store_kv(x.data(), n, KvType::f16, got.data());
  Reference::store_kv(widen(x).data(), n, KvType::f16, want.data());
  EXPECT_EQ(got.back(), 0x1234) << "wrote past the row";
  got.pop_back();
  EXPECT_EQ(got, want);
  std::vector<float> back(x.size());
  std::vector<double> exact(x.size());
  Cpu::load_kv(got.data(), n, KvType::f16, back.data());
  Reference::load_kv(got.data(), n, KvType::f16, exact.data());
  EXPECT_EQ(widen(back), exact);
}

// A prompt kept in a file, and a trace, hold these bits: they must not depend on the machine. Wide and narrow ranges,
// ties, zeros, and rows whose last scale is of fewer columns.
TEST_P(Elementwise, RowsOfEveryCacheTypeRoundAsTheReference) {
  for (const KvType type : kKvTypes) {
    for (const int32_t d_head : {1, 8, 15, 16, 17, 31, 32, 33, 48, 64, 80, 100, 128, 192}) {
      for (uint32_t seed = 0; seed < 40; ++seed) {
        std::vector<float> x = Random(seed).normals(d_head, std::ldexp(1.0F, static_cast<int>(seed) - 30));
        if (seed % 5 == 1) std::fill(x.begin(), x.end(), 0.0F);
        if (seed % 5 == 2) {
          for (size_t i = 0; i < x.size(); ++i) x[i] = 63.5F * static_cast<float>(i % 5) - 127;  // quants between two
        }
        if (seed % 5 == 3) x.back() *= 1000;
        const auto bytes = static_cast<size_t>(row_bytes(type, d_head));
        std::vector<std::byte> got(bytes + 1, std::byte{0x5a}), want(bytes + 1, std::byte{0x5a});
        Cpu::store_kv(x.data(), d_head, type, got.data());
        Reference::store_kv(widen(x).data(), d_head, type, want.data());
        ASSERT_EQ(got, want) << name_of(type) << " d_head " << d_head << " seed " << seed;
        std::vector<float> back(x.size());
        std::vector<double> exact(x.size());
        Cpu::load_kv(got.data(), d_head, type, back.data());
        Reference::load_kv(got.data(), d_head, type, exact.data());
        ASSERT_EQ(widen(back), exact) << name_of(type) << " d_head " << d_head << " seed " << seed;
        if (type == KvType::f16) continue;  // whose range is left above
        // q8: half a step of the 127 that reach the block's highest, and what a scale of f16 adds; bf16: half of 2^-7.
        for (size_t i = 0; i < x.size(); ++i) {
          const size_t block = i / kKvScaleCols * kKvScaleCols, end = std::min(x.size(), block + kKvScaleCols);
          float highest = 0;
          for (size_t j = block; j < end; ++j) highest = std::max(highest, std::fabs(x[j]));
          const float step = highest / 127;
          const float bound = type == KvType::f32    ? 0
                              : type == KvType::bf16 ? std::fabs(x[i]) * 0x1p-8F
                              : step > 1e-4F         ? step * (0.5F + 127 * 0x1p-11F)
                                                     : highest * 1e-2F + 127 * 0x1p-25F;
          ASSERT_NEAR(back[i], x[i], bound) << name_of(type) << " d_head " << d_head << " seed " << seed;
        }
      }
    }
  }
}

REATTEND_ON_EVERY_TARGET(Elementwise);

// One block of each format written out by hand, as the file format's definition has it.
TEST(Formats, DequantiseByDefinition) {
  const Half d = to_half(0.5F), m = to_half(-3.0F);
  const auto values = [](TensorType type, const std::vector<std::byte>& bytes) {
    std::vector<float> out(static_cast<size_t>(format_of(type).block_size));
    format_of(type).dequantize(bytes.data(), format_of(type).block_size, out.data());
    return out;
  };
  std::vector<std::byte> q4(20);
  std::memcpy(q4.data(), &d, 2), std::memcpy(q4.data() + 2, &m, 2);
  for (size_t i = 0; i < 16; ++i) q4[4 + i] = static_cast<std::byte>(i | (15 - i) << 4);
  const auto q4_1 = values(TensorType::q4_1, q4);
  q4.erase(q4.begin() + 2, q4.begin() + 4);
  const auto q4_0 = values(TensorType::q4_0, q4);
  std::vector<std::byte> q8(34);
  std::memcpy(q8.data(), &d, 2);
  for (int i = 0; i < 32; ++i)
    q8[static_cast<size_t>(2 + i)] = static_cast<std::byte>(static_cast<int8_t>(i * 8 - 128));
  const auto q8_0 = values(TensorType::q8_0, q8);
  for (int i = 0; i < 16; ++i) {
    const auto low = static_cast<size_t>(i), high = static_cast<size_t>(i + 16);
    const auto x = static_cast<float>(i);
    EXPECT_EQ(q4_1[low], 0.5F * x - 3);
    EXPECT_EQ(q4_1[high], 0.5F * (15 - x) - 3);
    EXPECT_EQ(q4_0[low], 0.5F * (x - 8));
    EXPECT_EQ(q4_0[high], 0.5F * (7 - x));
    EXPECT_EQ(q8_0[low], 0.5F * (x * 8 - 128));
    EXPECT_EQ(q8_0[high], 0.5F * ((x + 16) * 8 - 128));
  }
  EXPECT_EQ(values(TensorType::bf16, {std::byte{0x80}, std::byte{0x3f}})[0], 1.0F);
  EXPECT_EQ(values(TensorType::f16, {std::byte{0x00}, std::byte{0xbc}})[0], -1.0F);
  EXPECT_EQ(format_of_gguf(3), &format_of(TensorType::q4_1));
  EXPECT_EQ(format_of_gguf(19), nullptr) << "IQ1_S is not read";
  EXPECT_EQ(matrix_bytes(TensorType::q8_0, 3, 64), 3 * 2 * 34);
}

TEST(RopeTest, TurnsPairsByTheirAngleAndBack) {
  for (const RopeLayout layout : {RopeLayout::pairs, RopeLayout::halves}) {
    Rope rope{.layout = layout, .base = 100, .d_head = 4, .factors = {}};
    // Pair 0 turns by p, pair 1 by p / 10.
    std::vector<double> x = {1, 0, 0, 1};
    rope.rotate(x.data(), 1, 3);
    const double c0 = std::cos(3.0), s0 = std::sin(3.0), c1 = std::cos(0.3), s1 = std::sin(0.3);
    const std::vector<double> pairs = {c0, s0, -s1, c1}, halves = {c0, -s1, s0, c1};
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(x[i], (layout == RopeLayout::pairs ? pairs : halves)[i], 1e-15);
    rope.rotate(x.data(), 1, -3);
    EXPECT_NEAR(x[0], 1, 1e-15);
    EXPECT_NEAR(x[3], 1, 1e-15);
    rope.factors = {2, 1};
    std::vector<double> slow = {1, 0, 0, 0};
    rope.rotate(slow.data(), 1, 3);
    EXPECT_NEAR(slow[0], std::cos(1.5), 1e-15);
  }
}

// A score after RoPE depends on the distance alone: what keeps cached keys valid wherever they are attended from.
TEST(RopeTest, ScoresDependOnTheDistanceEvenFarOut) {
  const Rope rope{.layout = RopeLayout::pairs, .base = 100000, .d_head = 64, .factors = {}};
  const std::vector<float> q = Random(1).normals(2 * 64), k = Random(2).normals(2 * 64);
  const auto score = [&](int64_t at) {
    std::vector<float> a = q, b = k;
    rope.rotate(a.data(), 2, at + 10);
    rope.rotate(b.data(), 2, at);
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
    return sum;
  };
  for (const int64_t at : {100, 8000, 1000000}) EXPECT_NEAR(score(at), score(0), 1e-4);
}

TEST(Sets, EntriesFollowTheirOrder) {
  const int32_t kept[] = {7, 3, 5};
  const PositionSet set{.lead = 2, .kept = kept, .n_kept = 3, .tail = 9, .end = 11};
  const std::vector<int32_t> want = {0, 1, 7, 3, 5, 9, 10};
  ASSERT_EQ(set.size(), 7);
  for (int32_t i = 0; i < 7; ++i) EXPECT_EQ(set[i], want[static_cast<size_t>(i)]);
}
static_assert(n_piece(0) == 0 && n_piece(1) == 1 && n_piece(kPiece) == 1 && n_piece(kPiece + 1) == 2);
static_assert(everything_up_to(5).size() == 5 && everything_up_to(5)[4] == 4);
static_assert(PositionSet{.tail = 5, .end = 3}.size() == 0);
static_assert(kv_head_of(8, 3) == 2 && kv_head_of(2, 3) == 0);
static_assert(kPiece % 64 == 0, "prompt attention's panels and tiles divide a piece");

TEST(Target, AnUnknownOneIsRefusedByName) {
  try {
    cpu::use_target("neon");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("scalar"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("neon"), std::string::npos) << error.what();
    EXPECT_EQ(error.code(), ExitCode::usage);
  }
  EXPECT_EQ(Cpu::target_name(), cpu::available_targets().back()) << "a refused name changes nothing";
}

}  // namespace
}  // namespace reattend
