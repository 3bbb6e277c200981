// Means of what was measured: values that do not exist count nowhere, and a mean of none is none.
#include "base/statistics.h"

#include <gtest/gtest.h>

namespace reattend {
namespace {

TEST(Mean, SkipsWhatIsNoNumber) {
  Mean mean;
  EXPECT_TRUE(std::isnan(mean.value()));
  for (const double x : {1.0, std::numeric_limits<double>::quiet_NaN(), 4.0}) mean.add(x);
  EXPECT_EQ(mean.value(), 2.5);
  EXPECT_EQ(mean.n(), 2);
}

}  // namespace
}  // namespace reattend
