// The architectures that this program runs; registry.cpp lists them.
#pragma once
#include "engine/model/architecture.h"

namespace reattend {

extern const Architecture kLlama;

}  // namespace reattend
