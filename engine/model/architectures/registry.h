// The architectures that this program runs; registry.cpp lists them.
#pragma once
#include "engine/model/architecture.h"

namespace reattend {

extern const Architecture kGemma2, kGemma3, kLlama, kPhi3, kQwen2, kQwen3;

}  // namespace reattend
