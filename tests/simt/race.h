// What ThreadSanitizer must be told about fibers: who runs, and which waits order memory. Nothing in other builds.
#pragma once
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
#endif

namespace reattend::simt {

#if defined(REATTEND_SIMT_TSAN)
/// The machine's own code is compiled without ThreadSanitizer, so every order between fibers is stated here.
class RaceView {
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
  }
  void first_step() { __tsan_acquire(&start_); }
  void last_step() { __tsan_release(&finish_); }
  void to_thread(size_t thread) { __tsan_switch_to_fiber(fibers_[thread], 1); }
  void to_scheduler() { __tsan_switch_to_fiber(scheduler_, 1); }
  /// Two fences in turn, or a fast thread's next phase would hide a race of this one.
  void* arrive_block(size_t thread) { return arrive(phases_[thread * 2], 0); }
  void* arrive_warp(size_t thread, size_t warp) { return arrive(phases_[thread * 2 + 1], 2 + warp * 2); }
  void leave(void* fence) { __tsan_acquire(fence); }

 private:
  void* arrive(uint32_t& phase, size_t first_fence) {
    void* const fence = &fences_[first_fence + (phase++ & 1u)];
    __tsan_release(fence);
    return fence;
  }
  void* scheduler_ = nullptr;
  std::vector<void*> fibers_;     // [n_thread]
  std::vector<char> fences_;      // [2 + 2 n_warp]: only their addresses count
  std::vector<uint32_t> phases_;  // [n_thread][block, warp]
  char start_ = 0, finish_ = 0;
};
#else
class RaceView {
 public:
  void begin_block(size_t) {}
  void end_block() {}
  void first_step() {}
  void last_step() {}
  void to_thread(size_t) {}
  void to_scheduler() {}
  void* arrive_block(size_t) { return nullptr; }
  void* arrive_warp(size_t, size_t) { return nullptr; }
  void leave(void*) {}
};
#endif

}  // namespace reattend::simt
