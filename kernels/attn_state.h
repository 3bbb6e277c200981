// Softmax attention over a set of positions as a value that can be merged.
#pragma once
#include <cmath>
#include <limits>
#include <span>
#include <vector>

namespace reattend {

/// State of one query head over a set I of positions: m = max of the scores, d = sum exp(s - m),
/// o = sum exp(s - m) v (not yet divided by d). The empty set is the identity of merge(). T is float or double.
template <class T>
struct AttnState {
  T m = -std::numeric_limits<T>::infinity();
  T d = 0;
  std::vector<T> o;  ///< [d_head]
  explicit AttnState(size_t d_head = 0) : o(d_head) {}
};

/// (m, d, o) += (m2, d2, o2): the state of the union of two disjoint sets. Associative up to rounding.
/// o and o2 are [d_head]; either side may be empty (d == 0).
template <class T>
void merge(T& m, T& d, std::span<T> o, T m2, T d2, std::span<const T> o2) {
  if (d2 == 0) return;
  if (d == 0) {
    m = m2, d = d2;
    for (size_t i = 0; i < o.size(); ++i) o[i] = o2[i];
    return;
  }
  const T top = m > m2 ? m : m2, a = std::exp(m - top), b = std::exp(m2 - top);
  m = top, d = d * a + d2 * b;
  for (size_t i = 0; i < o.size(); ++i) o[i] = o[i] * a + o2[i] * b;
}

template <class T>
void merge(AttnState<T>& into, const AttnState<T>& from) {
  merge<T>(into.m, into.d, into.o, from.m, from.d, from.o);
}

}  // namespace reattend
