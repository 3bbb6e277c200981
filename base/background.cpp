// The loop of the background thread: one slot for each kind of task, and only the newest task's result is delivered.
#include "base/background.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

namespace reattend {

BackgroundTasks::BackgroundTasks(int n_kind, std::function<void()> wake)
    : wake_(std::move(wake)), slots_(static_cast<size_t>(n_kind)), thread_([this] { loop(); }) {}

BackgroundTasks::~BackgroundTasks() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    cancel_.raise();
  }
  changed_.notify_all();
  thread_.join();
}

void BackgroundTasks::post(int kind, Task task) {
  {
    const std::lock_guard lock(mutex_);
    // The same kind is superseded, a less urgent one has to make room; what is more urgent goes on.
    if (running_ && *running_ >= kind) cancel_.raise();
    Slot& slot = slots_[static_cast<size_t>(kind)];
    ++slot.newest;
    slot.waiting = std::move(task);
  }
  changed_.notify_all();
}

void BackgroundTasks::forget(int kind) {
  Slot& slot = slots_[static_cast<size_t>(kind)];
  ++slot.newest;
  slot.waiting.reset();
  if (running_ && *running_ == kind) cancel_.raise();
}

void BackgroundTasks::drop(int kind) {
  const std::lock_guard lock(mutex_);
  forget(kind);
}

void BackgroundTasks::drop_all() {
  const std::lock_guard lock(mutex_);
  for (int kind = 0; kind < static_cast<int>(slots_.size()); ++kind) forget(kind);
}

void BackgroundTasks::locked(const std::function<void()>& look) const {
  const std::lock_guard lock(mutex_);
  look();
}

std::vector<BackgroundTasks::Failure> BackgroundTasks::take_failures() {
  const std::lock_guard lock(mutex_);
  return std::exchange(failures_, {});
}

bool BackgroundTasks::has_failures() const {
  const std::lock_guard lock(mutex_);
  return !failures_.empty();
}

BackgroundTasks::Activity BackgroundTasks::activity() const {
  const std::lock_guard lock(mutex_);
  Activity activity = activity_;
  activity.busy = running_ || std::any_of(slots_.begin(), slots_.end(), [](const Slot& s) { return s.waiting; });
  return activity;
}

bool BackgroundTasks::waiting_for(int kind) const {
  const std::lock_guard lock(mutex_);
  const Slot& slot = slots_[static_cast<size_t>(kind)];
  return slot.waiting || (running_ && *running_ == kind && slot.newest == number_);
}

void BackgroundTasks::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto next = [this] {
      return std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.waiting.has_value(); });
    };
    changed_.wait(lock, [&] { return stop_ || next() != slots_.end(); });
    if (stop_) return;
    const auto slot = next();
    const Task task = *std::exchange(slot->waiting, std::nullopt);
    const int kind = static_cast<int>(slot - slots_.begin());
    running_ = kind, number_ = slot->newest;
    cancel_ = Cancel();
    activity_ = {};
    const Cancel cancel = cancel_;
    const uint64_t number = number_;
    lock.unlock();

    std::string message;
    bool interrupted = false;
    try {
      run(kind, number, task, cancel);
    } catch (const Cancelled&) {
      interrupted = true;
    } catch (const std::bad_alloc&) {
      message = "out of memory; close other programs, or give a smaller --memory";
    } catch (const std::exception& error) {
      message = error.what();
    }

    lock.lock();
    running_.reset();
    activity_ = {};
    if (slot->newest == number) {
      if (interrupted && !stop_) slot->waiting = task;
      if (!message.empty()) failures_.push_back({kind, message});
    }
    lock.unlock();
    wake_();
    lock.lock();
  }
}

void BackgroundTasks::run(int kind, uint64_t number, const Task& task, const Cancel& cancel) {
  const Slot& slot = slots_[static_cast<size_t>(kind)];
  task({.cancel = cancel,
        .progress = [this](const std::string& what, double done, double total,
                           const std::string&) { report(what, done, total); },
        .deliver =
            [&](const std::function<void()>& store) {
              {
                const std::lock_guard lock(mutex_);
                if (slot.newest != number) return;
                store();
              }
              wake_();
            }});
}

void BackgroundTasks::report(const std::string& what, double done, double total) {
  {
    const std::lock_guard lock(mutex_);
    activity_.what = what, activity_.done = done, activity_.total = total;
  }
  // Ten times a second is as often as anybody can read.
  if (const auto now = std::chrono::steady_clock::now(); now - reported_ > std::chrono::milliseconds(100)) {
    reported_ = now;
    wake_();
  }
}

}  // namespace reattend
