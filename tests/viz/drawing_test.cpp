// What the pictures show: no peak lost, no weight invented, no byte of a token dropped.
#include <cmath>

#include <gtest/gtest.h>

#include "viz/panels/plot_helpers.h"
#include "viz/render/colormap.h"
#include "viz/render/heatmap.h"
#include "viz/render/ticks.h"
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
  EXPECT_EQ(drawable("a\nb\t\x1b"), "a\u21b5b\u2192\\x1B");
  EXPECT_EQ(drawable("\xe5\x85\x89"), "\u5149");
  EXPECT_EQ(drawable("\xe5\x85"), "\\xE5\\x85");                    // half a character
  EXPECT_EQ(drawable("\xc0\xaf"), "\\xC0\\xAF");                    // overlong
  EXPECT_EQ(drawable("\xed\xa0\x80"), "\\xED\\xA0\\x80");           // a surrogate
  EXPECT_EQ(drawable("\xf4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80");  // beyond Unicode
}

TEST(TokenText, CharactersThatTheFontLacksAreCountedByScriptAndNamed) {
  const auto latin_only = [](char32_t code) { return code < 0x250; };
  const auto missing = [&](std::string_view text) { return in_words(missing_glyphs(text, latin_only)); };
  EXPECT_EQ(missing("caf\u00e9 \u0939\u093f\u0928 \u65e5\u672c\u65e5\U0001F600\u200d\U0001F467\U00013000"),
            "3 of Devanagari (U+0939, U+093F, U+0928), 2 of Han (U+65E5, U+672C), 2 of emoji (U+1F600, U+1F467), "
            "1 of U+13000 (U+13000)");
  EXPECT_EQ(missing("\u0e01\u0e02\u0e03\u0e04"), "4 of Thai (U+0E01, U+0E02, U+0E03, \u2026)");
  EXPECT_EQ(missing("plain\n\xff"), "");
}

// Fewer than six steps in view had ticks at fractions, under labels that were rounded: "0 1 2 2 2 3 4".
TEST(Ticks, StandAtWholeNumbersAndFindRoom) {
  for (const double low : {-0.5, 0.5, 998.7, 130000.25}) {
    for (const double size : {0.4, 1.0, 1.5, 3.0, 5.0, 6.0, 17.0, 300.0, 131072.0}) {
      const std::vector<double> ticks = whole_ticks(low, low + size, 700, 40);
      SCOPED_TRACE(testing::Message() << low << " + " << size);
      EXPECT_LE(ticks.size(), 700U / 40 + 1);
      if (size >= 1) {
        EXPECT_GE(ticks.size(), 1U);
      }
      for (size_t i = 0; i < ticks.size(); ++i) {
        EXPECT_EQ(ticks[i], std::round(ticks[i]));
        EXPECT_FALSE(ticks[i] == 0 && std::signbit(ticks[i])) << "would be labelled -0";
        EXPECT_TRUE(ticks[i] >= low && ticks[i] <= low + size);
        if (i > 0) {
          EXPECT_GT(ticks[i], ticks[i - 1]);
        }
      }
    }
  }
  EXPECT_EQ(whole_ticks(0.5, 5.5, 700, 40), (std::vector<double>{1, 2, 3, 4, 5}));
  EXPECT_EQ(whole_ticks(-0.5, 29.5, 60, 20), (std::vector<double>{0, 10, 20}));
}

// The threshold's label stands on the axis; half a tick label beside it would read as another number.
TEST(ThresholdLabel, HidesTickLabelsThatItWouldMeetAndNoOthers) {
  Limits covered{0.78, 0.92};
  const auto label = [&](double value) {
    char out[16] = "?";
    const int length = uncovered_label(value, out, sizeof out, &covered);
    return std::string(out, static_cast<size_t>(length));
  };
  EXPECT_EQ(label(0.8), "");
  EXPECT_EQ(label(0.9), "");
  EXPECT_EQ(label(0.6), "0.60");
  EXPECT_EQ(label(1), "1.00");
}

}  // namespace
}  // namespace reattend::viz
