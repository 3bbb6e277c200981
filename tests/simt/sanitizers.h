// What the sanitizers must be told about fibers: who runs on which stack, and which waits order memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#if defined(REATTEND_SIMT_TSAN)
extern "C" {
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void* __tsan_get_current_fiber();
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#elif defined(REATTEND_SIMT_ASAN)
#include <sanitizer/common_interface_defs.h>

#include <sanitizer/asan_interface.h>
#endif

namespace reattend::simt {

// One of three classes with the same calls. Scheduler to thread i: enter(i), the switch, then in the thread
// entered_first(i) or entered(i). Back: leave(i, is it the last time?), the switch, then in the scheduler left().
// A wait is arrive_...(), the switches, then depart() with what arrive gave. end_block() may come twice.

#if defined(REATTEND_SIMT_TSAN)
/// The machine's own code is compiled without ThreadSanitizer, so every order between fibers is stated here.
class SanitizerView {
 public:
  void begin_block(size_t n_thread) {
    scheduler_ = __tsan_get_current_fiber();
    fibers_.resize(n_thread);
    for (void*& fiber : fibers_) fiber = __tsan_create_fiber(0);
    fences_.assign(2 + n_thread * 2, 0);
    phases_.assign(n_thread * 2, 0);
    __tsan_release(&start_);
  }
  void end_block() {
    __tsan_acquire(&finish_);
    for (void* fiber : fibers_) __tsan_destroy_fiber(fiber);
    fibers_.clear();
  }
  void new_stack(size_t, const void*, size_t) {}
  void enter(size_t thread) { __tsan_switch_to_fiber(fibers_[thread], 1); }
  void entered_first(size_t) { __tsan_acquire(&start_); }
  void entered(size_t) {}
  void leave(size_t, bool last) {
    if (last) __tsan_release(&finish_);
    __tsan_switch_to_fiber(scheduler_, 1);
  }
  void left() {}
  /// Two fences in turn, or a fast thread's next phase would hide a race of this one.
  void* arrive_block(size_t thread) { return arrive(phases_[thread * 2], 0); }
  void* arrive_warp(size_t thread, size_t warp) { return arrive(phases_[thread * 2 + 1], 2 + warp * 2); }
  void depart(void* fence) { __tsan_acquire(fence); }

 private:
  void* arrive(uint32_t& phase, size_t first_fence) {
    void* const fence = &fences_[first_fence + (phase++ & 1u)];
    __tsan_release(fence);
    return fence;
  }
  void* scheduler_ = nullptr;
  std::vector<void*> fibers_;     // [n_thread]
  std::vector<char> fences_;      // [2 + 2 n_thread]: only their addresses count
  std::vector<uint32_t> phases_;  // [n_thread][block, warp]
  char start_ = 0, finish_ = 0;
};

#elif defined(REATTEND_SIMT_ASAN)
/// AddressSanitizer must know the stack that runs, or an exception inside a fiber is reported as an overflow.
class SanitizerView {
 public:
  void begin_block(size_t n_thread) { stacks_.assign(n_thread, {}); }
  void end_block() {}
  /// Memory of stack `bottom` [bytes] is clean again: its last user may have left without returning.
  void new_stack(size_t thread, const void* bottom, size_t bytes) {
    stacks_[thread] = {bottom, bytes, nullptr};
    __asan_unpoison_memory_region(bottom, bytes);
  }
  void enter(size_t thread) {
    __sanitizer_start_switch_fiber(&scheduler_.fake, stacks_[thread].bottom, stacks_[thread].bytes);
  }
  void entered_first(size_t) { __sanitizer_finish_switch_fiber(nullptr, &scheduler_.bottom, &scheduler_.bytes); }
  void entered(size_t thread) { __sanitizer_finish_switch_fiber(stacks_[thread].fake, nullptr, nullptr); }
  void leave(size_t thread, bool last) {
    __sanitizer_start_switch_fiber(last ? nullptr : &stacks_[thread].fake, scheduler_.bottom, scheduler_.bytes);
  }
  void left() { __sanitizer_finish_switch_fiber(scheduler_.fake, nullptr, nullptr); }
  void* arrive_block(size_t) { return nullptr; }
  void* arrive_warp(size_t, size_t) { return nullptr; }
  void depart(void*) {}

 private:
  struct Stack {
    const void* bottom = nullptr;
    size_t bytes = 0;
    void* fake = nullptr;  // of AddressSanitizer, while the stack's owner is away
  };
  Stack scheduler_;
  std::vector<Stack> stacks_;  // [n_thread]
};

#else
class SanitizerView {
 public:
  void begin_block(size_t) {}
  void end_block() {}
  void new_stack(size_t, const void*, size_t) {}
  void enter(size_t) {}
  void entered_first(size_t) {}
  void entered(size_t) {}
  void leave(size_t, bool) {}
  void left() {}
  void* arrive_block(size_t) { return nullptr; }
  void* arrive_warp(size_t, size_t) { return nullptr; }
  void depart(void*) {}
};
#endif

}  // namespace reattend::simt
