// Measures every policy along one continuation, then times all of them in rounds.
#include "evals/compare.h"

#include <utility>

#include <fmt/format.h>

#include "evals/setting_rounds.h"

namespace reattend {
namespace {

/// Progress of one of many runs, under its name.
ProgressFn part_of(const ProgressFn& progress, const std::string& what) {
  if (!progress) return {};
  return [&progress, what](const std::string&, double done, double total, const std::string& unit) {
    progress(what, done, total, unit);
  };
}

}  // namespace

Compared compare(Backend& backend, const Model& model, const Prefilled& prefilled, const ReferenceRun& full,
                 const std::vector<Settings>& policies, const CompareOptions& options) {
  Compared out;
  std::vector<Settings> all = {Settings("full")};
  all.insert(all.end(), policies.begin(), policies.end());
  try {
    for (size_t i = 0; i < all.size(); ++i) {
      const std::string what = fmt::format("policy {} of {}, {}", i + 1, all.size(), all[i].summary());
      TeacherForced run = run_teacher_forced(backend, model, prefilled, full, all[i], options.mass,
                                             part_of(options.progress, what), options.cancel);
      const Score score = summarize(run.steps);
      out.policies.push_back({.settings = all[i], .run = std::move(run), .score = score});
    }
    SettingRounds rounds(backend, model, prefilled, full);
    for (const Settings& each : all) rounds.add(each);
    rounds.run(options.repeats, "timing", options.progress, options.cancel, [&] {
      for (size_t i = 0; i < all.size(); ++i) {
        out.policies[i].score.ms = rounds.ms(i), out.policies[i].score.full_ms = rounds.ms(0);
      }
    });
  } catch (const Cancelled&) {
    out.stopped = true;
  }
  return out;
}

int32_t bucket_width(int32_t n_step) {
  constexpr int32_t kMost = 8;
  int32_t width = 1;
  while ((n_step + width - 1) / width > kMost) width *= 2;
  return width;
}

}  // namespace reattend
