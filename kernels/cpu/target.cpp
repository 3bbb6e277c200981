// Chooses the instruction set once: the best this machine has, or the one that REATTEND_CPU names.
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/table.h"

namespace reattend::cpu {
namespace {

#if defined(__x86_64__)
/// Asked of the CPU itself: clang 14 does not know "f16c" in __builtin_cpu_supports.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

const std::vector<const KernelTable*>& runnable() {
  static const std::vector<const KernelTable*> tables = [] {
    std::vector<const KernelTable*> found{&scalar_table()};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
      found.push_back(&avx2_table());
      if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vnni")) {
        found.push_back(&avx512_table());
      }
    }
#endif
    return found;
  }();
  return tables;
}

const KernelTable& find(std::string_view name, const char* where) {
  std::string names;
  for (const KernelTable* table : runnable()) {
    if (table->name == name) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  fail_usage({.where = where,
              .expected = "an instruction set of this machine (" + names + ")",
              .got = "'" + std::string(name) + "'",
              .remedy = "name one of these or leave it unset"});
}

const KernelTable& chosen_at_start() {
  const char* const name = std::getenv("REATTEND_CPU");
  return name != nullptr && *name != '\0' ? find(name, "REATTEND_CPU") : *runnable().back();
}

std::atomic<const KernelTable*>& current() {
  static std::atomic<const KernelTable*> table{&chosen_at_start()};
  return table;
}

}  // namespace

const KernelTable& table() {
  return *current().load(std::memory_order_acquire);
}

const PromptKernel* bf16_prompt() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  if (has && &table() == &avx512_table()) return &avx512_bf16_prompt();
#endif
  return nullptr;
}

void use_target(std::string_view name) {
  current().store(&find(name, "use_target"), std::memory_order_release);
}

std::span<const std::string_view> available_targets() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all;
    for (const KernelTable* table : runnable()) all.push_back(table->name);
    return all;
  }();
  return names;
}

}  // namespace reattend::cpu

namespace reattend {

std::string_view Cpu::target_name() {
  return cpu::table().name;
}

}  // namespace reattend
