// Times settings in rounds, each by a clock of its own.
#include "evals/setting_rounds.h"

namespace reattend {

void SettingRounds::add(const Settings& settings) {
  StepClock& clock = clocks_.emplace_back();
  rounds_.add(settings.summary(), [this, settings, &clock] {
    run_timed(backend_, model_, prefilled_, full_, settings, clock, {}, cancel_);
  });
}

void SettingRounds::add(Calibrator& calibrator) {
  rounds_.add("calibration", [this, &calibrator] { calibrator.round(cancel_); });
}

void SettingRounds::run(int32_t n_round, const std::string& what, const ProgressFn& progress, const Cancel& cancel,
                        const std::function<void()>& round_done) {
  cancel_ = cancel;
  rounds_.run(n_round, report_rounds(progress, what), cancel, round_done);
}

double SettingRounds::ms(size_t i) const {
  return clocks_[i].kinds().empty() ? Score::kNone : clocks_[i].ms_per_token();
}

}  // namespace reattend
