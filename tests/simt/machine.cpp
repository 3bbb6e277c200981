// The fiber machine: schedules the threads of a block, carries out what they wait for, complains about what they break.
#include "tests/simt/machine.h"

#include <algorithm>
#include <bit>
#include <boost/context/fiber.hpp>
#include <exception>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "tests/simt/sanitizers.h"
#include "tests/simt/stacks.h"

namespace reattend::simt {
namespace {

namespace context = boost::context;
using cuda::fiber::Shuffle;

constexpr unsigned kLane = 32;
constexpr size_t kRedZone = 64;

enum class Wait : uint8_t { nothing, block, warp, finished };
enum class WarpOp : uint8_t { sync, ballot, shuffle_index, shuffle_xor, shuffle_down };
constexpr const char* kWarpOpNames[] = {"__syncwarp", "__ballot_sync", "__shfl_sync", "__shfl_xor_sync",
                                        "__shfl_down_sync"};

/// Thrown out of a wait when the launch has failed.
struct Abandoned {};

struct Thread {
  context::fiber fiber;
  cuda::fiber::Self self;
  unsigned index = 0, lane = 0, warp = 0;
  Wait wait = Wait::nothing;
  Site site{"", 0};  ///< of what it waits for
  WarpOp op = WarpOp::sync;
  uint32_t mask = 0, argument = 0, width = kLane;
  uint64_t value = 0;  ///< given to the warp operation, then its result
};

std::string to_text(const Site& site) {
  return std::string(site.file) + ":" + std::to_string(site.line);
}
std::string to_text(const cuda::uint3& x) {
  return "(" + std::to_string(x.x) + ", " + std::to_string(x.y) + ", " + std::to_string(x.z) + ")";
}

/// Machine::State of the launch that this OS thread is in: kernels reach their own thread through it, as on a device.
thread_local Machine::State* running = nullptr;

}  // namespace

struct Machine::State {
  explicit State(const MachineOptions& given) : options(given), random(given.seed) {}

  MachineOptions options;
  std::mt19937 random;
  std::set<Site> barriers;

  Stacks stacks;  // outlives the fibers
  std::vector<Thread> threads;
  std::vector<std::byte> shared;
  Thread* current = nullptr;
  context::fiber scheduler;
  std::exception_ptr error;  // thrown inside a fiber
  bool abandoned = false;    // the launch has failed: fibers only leave
  SanitizerView sanitizers;

  void run_block(cuda::dim3 grid, cuda::dim3 block, cuda::uint3 index, size_t shared_bytes,
                 const std::function<void()>& body);
  void schedule();
  bool run_warp(unsigned warp, const std::vector<unsigned>& order);
  void step_into(Thread& thread);
  void resume(Thread& thread);
  void wait(Thread& thread);
  void abandon();
  bool resolve_warp(unsigned warp);
  bool all_arrived(unsigned warp, const Thread& thread) const;
  void exchange(unsigned warp, uint32_t mask);
  void open_barrier();
  Thread* lane_of(unsigned warp, unsigned lane);
  uint64_t warp_op(WarpOp op, uint32_t mask, uint64_t value, uint32_t argument, uint32_t width, Site site);
  void sync_block(Site site);
  [[noreturn]] void complain(const Site& site, const std::string& expected, const std::string& got) const;
  std::string whereabouts(const Thread& thread) const;
};

void Machine::State::complain(const Site& site, const std::string& expected, const std::string& got) const {
  fail({to_text(site), expected, got, "every lane must take the same way past it"});
}

std::string Machine::State::whereabouts(const Thread& thread) const {
  const std::string name = "thread " + std::to_string(thread.index);
  if (thread.wait == Wait::finished) return name + ", which has returned";
  const std::string what = thread.wait == Wait::block ? "__syncthreads" : kWarpOpNames[static_cast<int>(thread.op)];
  return name + " waiting in " + what + " at " + to_text(thread.site);
}

Thread* Machine::State::lane_of(unsigned warp, unsigned lane) {
  const size_t index = size_t{warp} * kLane + lane;
  return index < threads.size() ? &threads[index] : nullptr;
}

void Machine::State::run_block(cuda::dim3 grid, cuda::dim3 block, cuda::uint3 index, size_t shared_bytes,
                               const std::function<void()>& body) {
  // Garbage that shows, of two kinds: NaN and -1, or huge and positive, for maxima swallow the one and sums the other.
  const std::byte poison{options.seed % 2 == 0 ? uint8_t{0xff} : uint8_t{0x7f}};
  shared.assign(shared_bytes + kRedZone, poison);
  const size_t n_thread = size_t{block.x} * block.y * block.z;
  threads = std::vector<Thread>(n_thread);
  sanitizers.begin_block(n_thread);
  for (unsigned i = 0; i < n_thread; ++i) {
    Thread& thread = threads[i];
    thread.index = i, thread.lane = i % kLane, thread.warp = i / kLane;
    thread.self = {{i % block.x, i / block.x % block.y, i / block.x / block.y}, index, block, grid, shared.data()};
    const context::stack_context stack = stacks.allocate();
    sanitizers.new_stack(i, static_cast<const std::byte*>(stack.sp) - stack.size, stack.size);
    thread.fiber = context::fiber(std::allocator_arg, context::preallocated(stack.sp, stack.size, stack),
                                  StackSource{&stacks}, [this, i, &body](context::fiber&& caller) {
                                    scheduler = std::move(caller);
                                    sanitizers.entered_first(i);
                                    try {
                                      if (!abandoned) body();
                                    } catch (const Abandoned&) {
                                    } catch (...) {
                                      error = std::current_exception();
                                    }
                                    threads[i].wait = Wait::finished;
                                    sanitizers.leave(i, true);
                                    return std::move(scheduler);
                                  });
  }
  schedule();
  sanitizers.end_block();
  for (size_t i = shared_bytes; i < shared.size(); ++i) {
    if (shared[i] != poison) {
      fail({"block " + to_text(index),
            "writes to the block's " + std::to_string(shared_bytes) + " bytes of shared memory",
            "one at byte " + std::to_string(i), "launch with more, or correct the index"});
    }
  }
}

void Machine::State::schedule() {
  std::vector<unsigned> order(threads.size());
  std::iota(order.begin(), order.end(), 0u);
  std::vector<unsigned> warps((threads.size() + kLane - 1) / kLane);
  std::iota(warps.begin(), warps.end(), 0u);
  const auto finished = [](const Thread& thread) { return thread.wait == Wait::finished; };
  while (!std::all_of(threads.begin(), threads.end(), finished)) {
    if (options.seed != 0) {
      std::shuffle(order.begin(), order.end(), random);
      std::shuffle(warps.begin(), warps.end(), random);
    }
    bool progress = false;
    for (const unsigned warp : warps) {
      while (run_warp(warp, order)) progress = true;
    }
    if (!progress) open_barrier();
  }
}

bool Machine::State::run_warp(unsigned warp, const std::vector<unsigned>& order) {
  bool progress = false;
  for (const unsigned index : order) {
    Thread& thread = threads[index];
    if (thread.warp != warp || thread.wait != Wait::nothing) continue;
    resume(thread);
    progress = true;
  }
  return resolve_warp(warp) || progress;
}

void Machine::State::step_into(Thread& thread) {
  sanitizers.enter(thread.index);
  thread.fiber = std::move(thread.fiber).resume();
  sanitizers.left();
}

void Machine::State::resume(Thread& thread) {
  current = &thread;
  step_into(thread);
  if (error) std::rethrow_exception(std::exchange(error, nullptr));
}

void Machine::State::wait(Thread& thread) {
  sanitizers.leave(thread.index, false);
  scheduler = std::move(scheduler).resume();
  sanitizers.entered(thread.index);
  if (abandoned) throw Abandoned{};
}

/// Lets every fiber that still waits leave the kernel, so that its stack is unwound.
void Machine::State::abandon() {
  abandoned = true;
  for (Thread& thread : threads) {
    if (thread.fiber) step_into(thread);
  }
  abandoned = false;
  sanitizers.end_block();
}

bool Machine::State::all_arrived(unsigned warp, const Thread& thread) const {
  for (unsigned lane = 0; lane < kLane; ++lane) {
    if ((thread.mask >> lane & 1u) == 0) continue;
    const size_t index = size_t{warp} * kLane + lane;
    if (index >= threads.size()) return false;
    const Thread& other = threads[index];
    if (other.wait != Wait::warp || other.mask != thread.mask || other.op != thread.op || other.site != thread.site) {
      return false;
    }
  }
  return true;
}

bool Machine::State::resolve_warp(unsigned warp) {
  bool progress = false;
  for (unsigned lane = 0; lane < kLane; ++lane) {
    const Thread* const thread = lane_of(warp, lane);
    if (thread == nullptr || thread->wait != Wait::warp || !all_arrived(warp, *thread)) continue;
    exchange(warp, thread->mask);
    progress = true;
  }
  return progress;
}

/// Which lane a shuffle reads; a source outside the segment means the lane's own value.
static unsigned source_lane(const Thread& thread) {
  const unsigned base = thread.lane & ~(thread.width - 1), end = base + thread.width;
  switch (thread.op) {
    case WarpOp::shuffle_index:
      return base + (thread.argument & (thread.width - 1));
    case WarpOp::shuffle_xor:
      return (thread.lane ^ thread.argument) < end ? thread.lane ^ thread.argument : thread.lane;
    case WarpOp::shuffle_down:
      return thread.lane + thread.argument < end ? thread.lane + thread.argument : thread.lane;
    default:
      return thread.lane;
  }
}

void Machine::State::exchange(unsigned warp, uint32_t mask) {
  uint64_t given[kLane] = {};
  uint32_t votes = 0;
  for (unsigned lane = 0; lane < kLane; ++lane) {
    if ((mask >> lane & 1u) == 0) continue;
    given[lane] = lane_of(warp, lane)->value;
    votes |= given[lane] != 0 ? 1u << lane : 0u;
  }
  for (unsigned lane = 0; lane < kLane; ++lane) {
    if ((mask >> lane & 1u) == 0) continue;
    Thread& thread = *lane_of(warp, lane);
    const unsigned source = source_lane(thread);
    if ((mask >> source & 1u) == 0) {
      complain(thread.site, "a shuffle from a lane of its mask", "one from lane " + std::to_string(source));
    }
    thread.value = thread.op == WarpOp::ballot ? votes : given[source];
    thread.wait = Wait::nothing;
  }
}

void Machine::State::open_barrier() {
  const auto find = [&](Wait wait) {
    return std::find_if(threads.begin(), threads.end(), [&](const Thread& t) { return t.wait == wait; });
  };
  if (const auto stuck = find(Wait::warp); stuck != threads.end()) {
    std::string others = "a lane that the block does not have";
    for (unsigned lane = 0; lane < kLane; ++lane) {
      const Thread* const other = lane_of(stuck->warp, lane);
      if ((stuck->mask >> lane & 1u) == 0 || other == nullptr) continue;
      if (other->wait != Wait::warp || other->mask != stuck->mask || other->site != stuck->site) {
        others = whereabouts(*other);
        break;
      }
    }
    complain(stuck->site, "every lane of the mask in this " + std::string(kWarpOpNames[static_cast<int>(stuck->op)]),
             others);
  }
  const Thread& first = *find(Wait::block);
  for (Thread& thread : threads) {
    if (thread.wait == Wait::block && thread.site == first.site) continue;
    complain(first.site,
             "all " + std::to_string(threads.size()) + " threads of block " + to_text(thread.self.block) +
                 " in this __syncthreads",
             whereabouts(thread));
  }
  for (Thread& thread : threads) thread.wait = Wait::nothing;
}

void Machine::State::sync_block(Site site) {
  barriers.insert(site);
  if (options.left_out == site) return;
  Thread& thread = *current;
  thread.wait = Wait::block;
  thread.site = site;
  void* const fence = sanitizers.arrive_block(thread.index);
  wait(thread);
  sanitizers.depart(fence);
}

uint64_t Machine::State::warp_op(WarpOp op, uint32_t mask, uint64_t value, uint32_t argument, uint32_t width,
                                 Site site) {
  Thread& thread = *current;
  if ((mask >> thread.lane & 1u) == 0) {
    complain(site, "a mask that names the calling lane", "lane " + std::to_string(thread.lane) + " outside it");
  }
  if (!std::has_single_bit(width) || width > kLane) {
    complain(site, "a width of 1, 2, 4, 8, 16 or 32", std::to_string(width));
  }
  thread.wait = Wait::warp;
  thread.site = site;
  thread.op = op, thread.mask = mask, thread.value = value, thread.argument = argument, thread.width = width;
  void* const fence = sanitizers.arrive_warp(thread.index, thread.warp);
  wait(thread);
  sanitizers.depart(fence);
  return thread.value;
}

Machine::Machine(const MachineOptions& options) : state_(std::make_unique<State>(options)) {}
Machine::~Machine() = default;
const std::set<Site>& Machine::barriers() const {
  return state_->barriers;
}

void Machine::run(cuda::dim3 grid, cuda::dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  std::vector<cuda::uint3> blocks;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) blocks.push_back({x, y, z});
    }
  }
  if (state_->options.seed != 0) std::shuffle(blocks.begin(), blocks.end(), state_->random);
  running = state_.get();
  try {
    for (const cuda::uint3& index : blocks) state_->run_block(grid, block, index, shared_bytes, body);
  } catch (...) {
    state_->abandon();
    running = nullptr;
    throw;
  }
  running = nullptr;
}

}  // namespace reattend::simt

namespace reattend::cuda::fiber {

using simt::running;
using simt::WarpOp;

const Self& self() {
  return running->current->self;
}
void sync_block(const char* file, int line) {
  running->sync_block({file, line});
}
void sync_warp(uint32_t mask, const char* file, int line) {
  running->warp_op(WarpOp::sync, mask, 0, 0, 32, {file, line});
}
uint32_t ballot(uint32_t mask, bool vote, const char* file, int line) {
  return static_cast<uint32_t>(running->warp_op(WarpOp::ballot, mask, vote ? 1 : 0, 0, 32, {file, line}));
}
uint64_t shuffle(Shuffle kind, uint32_t mask, uint64_t value, uint32_t argument, uint32_t width, const char* file,
                 int line) {
  const WarpOp op = kind == Shuffle::index          ? WarpOp::shuffle_index
                    : kind == Shuffle::exclusive_or ? WarpOp::shuffle_xor
                                                    : WarpOp::shuffle_down;
  return running->warp_op(op, mask, value, argument, width, {file, line});
}

}  // namespace reattend::cuda::fiber
