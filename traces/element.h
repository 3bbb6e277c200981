// Element types of a trace's datasets: their sizes and names.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/layout.h"

namespace reattend::hdf5 {

/// Element types of the format, all little-endian.
enum class Element : uint8_t { u8, i32, i64, f16, f32, f64 };
constexpr size_t bytes_of(Element e) {
  constexpr size_t kBytes[] = {1, 4, 8, 2, 4, 8};
  return kBytes[static_cast<size_t>(e)];
}
constexpr std::string_view name_of(Element e) {
  constexpr std::string_view kNames[] = {"uint8", "int32", "int64", "float16", "float32", "float64"};
  return kNames[static_cast<size_t>(e)];
}
constexpr Element element_of(KvType type) {
  return type == KvType::f16 ? Element::f16 : Element::f32;
}

}  // namespace reattend::hdf5
