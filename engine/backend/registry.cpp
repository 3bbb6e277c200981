// The devices by name.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "engine/backend/factories.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/stream.h"

namespace reattend {
namespace {

PromptProducts of_cpu() {
  return Cpu::has_bf16_prompt() ? PromptProducts::bf16 : PromptProducts::f32;
}
PromptProducts of_reference() {
  return PromptProducts::f32;
}

constexpr auto kDevices = std::to_array<DeviceInfo>({
    {"cpu", "fast", of_cpu, make_cpu_backend, cpu::stream_gbps},
    {"reference", "double precision, slow, judges the others", of_reference, make_reference_backend, cpu::stream_gbps},
    {"guarded", "", of_cpu, make_guarded_backend, cpu::stream_gbps},
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
  const DeviceInfo& device = device_of(options.device);
  if (options.prefill == PromptProducts::bf16 && device.prefill() != PromptProducts::bf16) {
    fail_usage({.where = "--prefill",
                .expected = "f32 (device " + options.device + ", " + std::string(Cpu::target_name()) + " kernels)",
                .got = "bf16",
                .remedy = "bf16 needs --device cpu on a CPU with AVX512-BF16"});
  }
  return device.make(options, model, pool);
}

}  // namespace reattend
