// Playing a trace: the selected step goes on by itself at so many steps a second.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace reattend::viz {

class Player {
 public:
  static constexpr double kSlowest = 1, kFastest = 60;  ///< steps a second

  bool playing() const { return playing_; }
  void start() { playing_ = true, part_ = 0; }
  void stop() { playing_ = false; }
  double speed() const { return speed_; }
  void set_speed(double speed) { speed_ = std::clamp(speed, kSlowest, kFastest); }

  /// The step to show `seconds` after `step` was; the last one ends it.
  int32_t advance(int32_t step, int32_t last_step, double seconds) {
    part_ += seconds * speed_;
    const double whole = std::floor(part_ + kRounding);
    part_ -= whole;
    const double to = step + whole;
    if (to >= last_step) stop();
    return static_cast<int32_t>(std::min<double>(to, last_step));
  }
  /// Until the next step is due.
  double seconds_to_next() const { return std::max(0.0, (1 - part_) / speed_); }

 private:
  static constexpr double kRounding = 1e-6;  ///< sixty frames of a 60th are a second
  bool playing_ = false;
  double speed_ = 10;
  double part_ = 0;  ///< of a step that has gone by
};

}  // namespace reattend::viz
