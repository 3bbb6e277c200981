// Rotary position embedding with angles in double.
#include "kernels/rope.h"

#include <cmath>

namespace reattend {

template <class T>
void Rope::angles(int64_t position, T* cos_sin) const {
  for (int32_t i = 0; i < d_head / 2; ++i) {
    const double factor = factors.empty() ? 1.0 : static_cast<double>(factors[static_cast<size_t>(i)]);
    const double angle = static_cast<double>(position) * std::pow(base, -2.0 * i / d_head) / factor;
    cos_sin[2 * i] = static_cast<T>(std::cos(angle));
    cos_sin[2 * i + 1] = static_cast<T>(std::sin(angle));
  }
}

template <class T>
void Rope::rotate_by(T* x, int32_t n_head, const T* cos_sin) const {
  const int32_t half = d_head / 2;
  const int32_t step = layout == RopeLayout::pairs ? 2 : 1, apart = layout == RopeLayout::pairs ? 1 : half;
  for (int32_t h = 0; h < n_head; ++h, x += d_head) {
    for (int32_t i = 0; i < half; ++i) {
      T& first = x[step * i];
      T& second = x[step * i + apart];
      const T a = first, b = second, c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
      first = a * c - b * s;
      second = a * s + b * c;
    }
  }
}

template <class T>
void Rope::rotate(T* x, int32_t n_head, int64_t position) const {
  std::vector<T> cos_sin(static_cast<size_t>(d_head));
  angles(position, cos_sin.data());
  rotate_by(x, n_head, cos_sin.data());
}

template void Rope::angles<float>(int64_t, float*) const;
template void Rope::angles<double>(int64_t, double*) const;
template void Rope::rotate_by<float>(float*, int32_t, const float*) const;
template void Rope::rotate_by<double>(double*, int32_t, const double*) const;
template void Rope::rotate<float>(float*, int32_t, int64_t) const;
template void Rope::rotate<double>(double*, int32_t, int64_t) const;

}  // namespace reattend
