// The devices by name.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "engine/backend/factories.h"
#include "kernels/cpu/stream.h"

namespace reattend {
namespace {

constexpr auto kDevices = std::to_array<DeviceInfo>({
    {"cpu", "fast", make_cpu_backend, cpu::stream_gbps},
    {"reference", "double precision, slow, judges the others", make_reference_backend, cpu::stream_gbps},
    {"guarded", "", make_guarded_backend, cpu::stream_gbps},
});

}  // namespace

std::span<const DeviceInfo> devices() {
  return kDevices;
}

const DeviceInfo& device_of(std::string_view name) {
  std::string names;
  for (const DeviceInfo& each : kDevices) {
    if (each.name == name) return each;
    if (!each.help.empty()) names += (names.empty() ? "" : ", ") + std::string(each.name);
  }
  fail_usage({.where = "--device", .expected = "one of " + names, .got = "'" + std::string(name) + "'", .remedy = {}});
}

std::string devices_help() {
  std::string text;
  for (const DeviceInfo& each : kDevices) {
    if (each.help.empty()) continue;
    text += (text.empty() ? "" : " or ") + std::string(each.name) + " (" + std::string(each.help) + ")";
  }
  return text;
}

Backend make_backend(const BackendOptions& options, const Model& model, ThreadPool& pool) {
  return device_of(options.device).make(options, model, pool);
}

}  // namespace reattend
