// Stacks of fibers, with a guard page below each, used again from block to block.
#pragma once
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstddef>
#include <vector>

namespace reattend::simt {

inline constexpr size_t kStackBytes = 256 * 1024;

class Stacks {
 public:
  ~Stacks() {
    for (boost::context::stack_context& stack : idle_) make_.deallocate(stack);
  }
  boost::context::stack_context allocate() {
    if (idle_.empty()) return make_.allocate();
    const boost::context::stack_context stack = idle_.back();
    idle_.pop_back();
    return stack;
  }
  void deallocate(const boost::context::stack_context& stack) { idle_.push_back(stack); }

 private:
  boost::context::protected_fixedsize_stack make_{kStackBytes};
  std::vector<boost::context::stack_context> idle_;
};

/// The form in which a fiber wants its allocator: by value.
struct StackSource {
  Stacks* stacks;
  boost::context::stack_context allocate() { return stacks->allocate(); }
  void deallocate(const boost::context::stack_context& stack) { stacks->deallocate(stack); }
};

}  // namespace reattend::simt
