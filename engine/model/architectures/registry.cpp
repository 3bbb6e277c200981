// All architectures, found by the name in the file.
#include <array>
#include <string>

#include "base/error.h"
#include "engine/model/architectures/registry.h"
#include "engine/model/gguf.h"

namespace reattend {
namespace {

constexpr std::array kAll = {&kGemma2, &kGemma3, &kLlama, &kPhi3, &kQwen2, &kQwen3};

}  // namespace

const Architecture& architecture_of(const Gguf& file) {
  const std::string name(file.string("general.architecture"));
  std::string names;
  for (const Architecture* each : kAll) {
    if (each->name == name) return *each;
    names += (names.empty() ? "" : ", ") + std::string(each->name);
  }
  fail({file.name() + ": general.architecture", "one that this program runs (" + names + ")", name,
        "choose a model of such an architecture"});
}

}  // namespace reattend
