// Makes and destroys the working space, whose parts only the kernels know.
#include "kernels/cpu/scratch.h"

namespace reattend {

Cpu::Scratch::Scratch() : data(std::make_unique<Data>()) {}
Cpu::Scratch::~Scratch() = default;
Cpu::Scratch::Scratch(Scratch&&) noexcept = default;
Cpu::Scratch& Cpu::Scratch::operator=(Scratch&&) noexcept = default;

}  // namespace reattend
