// The backends by name.
#include <array>

#include "base/error.h"
#include "engine/backend/factories.h"

namespace reattend {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"cpu", "reference", "sealed"};
constexpr std::array kMakers = {make_cpu_backend, make_reference_backend, make_sealed_backend};

}  // namespace

std::span<const std::string_view> backend_names() {
  return kNames;
}

Backend make_backend(const BackendOptions& options, const Model& model, ThreadPool& pool) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == options.device) return kMakers[i](options, model, pool);
  }
  fail_usage({.where = "--device", .expected = "cpu or reference", .got = "'" + options.device + "'", .remedy = {}});
}

}  // namespace reattend
