// What the pictures show: no peak lost, no weight invented, no byte of a token dropped.
#include <cmath>

#include <gtest/gtest.h>

#include "viz/render/colormap.h"
#include "viz/render/heatmap.h"
#include "viz/session/token_text.h"

namespace reattend::viz {
namespace {

struct Matrix {
  int32_t n_row, n_column;
  std::vector<float> values;
  Matrix(int32_t rows, int32_t columns)
      : n_row(rows), n_column(columns), values(size_t(rows) * size_t(columns), 0.001F) {}
  float& at(int32_t r, int32_t c) { return values[size_t(r) * size_t(n_column) + size_t(c)]; }
  HeatMatrix view() const { return {values.data(), n_row, n_column, {}, 1}; }
};

// One position out of 8192 gets attention for one step out of 1024: at 1/8 of the size it must still be seen.
TEST(HeatMap, AOneCellPeakSurvivesZoomingOut) {
  Matrix matrix(1024, 8192);
  matrix.at(700, 5003) = -0.9F;
  std::vector<float> pixels;
  constexpr int32_t kWidth = 1000, kHeight = 100;
  reduce_to_pixels(matrix.view(), {0, 8192, 0, 1024}, kWidth, kHeight, pixels);
  int n = 0;
  for (int32_t y = 0; y < kHeight; ++y) {
    for (int32_t x = 0; x < kWidth; ++x) {
      if (pixels[size_t(y) * kWidth + size_t(x)] != -0.9F) continue;
      ++n;
      EXPECT_EQ(x, 5003 * kWidth / 8192);
      EXPECT_EQ(y, 700 * kHeight / 1024);
    }
  }
  EXPECT_EQ(n, 1);
}

TEST(HeatMap, ZoomedInEveryPixelShowsTheCellUnderItsCentre) {
  Matrix matrix(3, 4);
  for (int32_t r = 0; r < 3; ++r) {
    for (int32_t c = 0; c < 4; ++c) matrix.at(r, c) = static_cast<float>(10 * r + c);
  }
  std::vector<float> pixels;
  reduce_to_pixels(matrix.view(), {1, 3, 1, 3}, 10, 6, pixels);
  for (int32_t y = 0; y < 6; ++y) {
    for (int32_t x = 0; x < 10; ++x) {
      EXPECT_EQ(pixels[size_t(y * 10 + x)], static_cast<float>(10 * (1 + y / 3) + 1 + x / 5)) << x << ' ' << y;
    }
  }
}

TEST(HeatMap, WhatLiesOutsideTheMatrixOrItsRowsIsEmpty) {
  Matrix matrix(2, 4);
  const std::vector<int32_t> row_end = {2, 3};
  HeatMatrix view = matrix.view();
  view.row_end = row_end;
  std::vector<float> pixels;
  reduce_to_pixels(view, {-1, 5, -1, 3}, 6, 4, pixels);
  for (int32_t y = 0; y < 4; ++y) {
    for (int32_t x = 0; x < 6; ++x) {
      const int32_t r = y - 1, c = x - 1;
      const bool inside = r >= 0 && r < 2 && c >= 0 && c < row_end[size_t(r)];
      EXPECT_EQ(!std::isnan(pixels[size_t(y * 6 + x)]), inside) << x << ' ' << y;
    }
  }
}

TEST(ColorScale, PlacesAndValuesAreInverse) {
  for (const bool logarithmic : {false, true}) {
    const ColorScale scale{.low = 1e-4F, .high = 0.5F, .logarithmic = logarithmic};
    for (const float place : {0.0F, 0.25F, 0.7F, 1.0F}) EXPECT_NEAR(scale.place(scale.value_at(place)), place, 1e-5);
    EXPECT_EQ(scale.place(0), 0);
    EXPECT_EQ(scale.place(2), 1);
  }
}

TEST(TokenText, BytesThatAreNoCharacterAreShownAsBytes) {
  EXPECT_EQ(visible("a\nb\t\x1b"), "a\u21b5b\u2192\\x1B");
  EXPECT_EQ(visible("\xe5\x85\x89"), "\u5149");
  EXPECT_EQ(visible("\xe5\x85"), "\\xE5\\x85");                    // half a character
  EXPECT_EQ(visible("\xc0\xaf"), "\\xC0\\xAF");                    // overlong
  EXPECT_EQ(visible("\xed\xa0\x80"), "\\xED\\xA0\\x80");           // a surrogate
  EXPECT_EQ(visible("\xf4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80");  // beyond Unicode
}

}  // namespace
}  // namespace reattend::viz
