// Opens, replays and judges what is pinned.
#include "viz/session/baseline.h"

#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/policy.h"
#include "tune/judge.h"
#include "viz/session/measured.h"
#include "viz/session/session.h"
#include "viz/session/tried.h"

namespace reattend::viz {
namespace {

/// Of the memory that the window may take what a second trace has: its layers are looked at once each.
constexpr int64_t kSecondShare = 4;

/// Kinds of task behind the first, which opens a second trace, and the replay's four.
constexpr int kJudging = 5, kBands = 6;

}  // namespace

Baseline::Baseline(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}

Baseline::~Baseline() {
  drop_tasks();
}

/// Those of the replay drops who has it.
void Baseline::drop_tasks() {
  for (const int kind : {kind_, kind_ + kJudging, kind_ + kBands}) tasks_.drop(kind);
}

void Baseline::enter(std::shared_ptr<Replayer> replayer) {
  const std::optional<Pinned> before = pinned_;
  clear();
  own_ = std::move(replayer);
  room_made_ = std::make_shared<bool>(false);
  pinned_ = before;
  carried_ = before && !before->trace.empty();
}

void Baseline::pin(const Pinned& pinned) {
  if (pinned_ == pinned && error_.empty()) return;
  clear();
  pinned_ = pinned;
}

void Baseline::clear() {
  drop_tasks();
  replayer_.reset(), tuning_.reset(), answer_.reset(), judged_.reset(), pinned_.reset();
  bands_.reset(), bands_of_.reset();
  begun_ = asked_to_judge_ = carried_ = false;
  error_.clear();
  found_ = std::make_shared<Found>();
}

void Baseline::open_second(const Session& session) {
  const auto work = [open = session.source(), path = pinned_->trace, settings = pinned_->settings,
                     pool = &session.pool(), memory = session.means().memory / kSecondShare, bounds = session.bounds(),
                     verified = session.data<Measured>().files().verified, own = own_, room_made = room_made_,
                     found = found_](const BackgroundTasks::Context& context) {
    context.progress("opening " + path.filename().string(), 0, 0, "");
    Opened out;
    try {
      const std::shared_ptr<ReplaySource> source = open(path);
      const TraceInfo& info = source->info();
      if (info.n_step == 0) throw Error(path.string() + ": a trace without decode steps");
      settings.check_against_model(info.n_layer);
      make_policy(settings, info.run_shape());
      // Beside what the session has set aside; two traces that are pinned one after the other share it.
      if (!*room_made) own->set_aside(own->aside() + memory), *room_made = true;
      out.replayer = std::make_shared<Replayer>(source, *pool, memory);
      out.replayer->keep_one_layer();
      out.tuning = tuning_of(info, bounds, verified);
    } catch (const Error& error) {
      out.error = error.what();
    }
    context.deliver([&] { found->opened = std::move(out); });
  };
  tasks_.post(kind_, work);
}

void Baseline::begin(const Session& session, std::shared_ptr<Replayer> replayer) {
  const AsyncReplayer::Kinds kinds = {
      .looked_at = kind_ + 1, .masses = kind_ + 2, .layer_errors = kind_ + 3, .errors = kind_ + 4};
  replayer_ = std::make_unique<AsyncReplayer>(tasks_, kinds, std::move(replayer));
  if (on_this_trace()) replayer_->look_at(session.looked_at());
  replayer_->submit(request_to_judge(*tuning_, pinned_->settings));
}

void Baseline::take(const Session& session) {
  if (auto answer = replayer_->take()) {
    // What the setting had as it was pinned goes on until the replay has as much.
    const bool says_more =
        !answer_ || answer->has_errors || (!answer_->has_errors && answer->n_done >= answer_->n_done);
    if (says_more) answer_ = std::move(answer);
  }
  std::shared_ptr<const Judged> found;
  std::shared_ptr<const StepBands> bands;
  tasks_.locked([&] {
    found = std::exchange(found_->judged, nullptr);
    bands = std::exchange(found_->bands, nullptr);
  });
  if (bands) bands_ = std::move(bands);
  find_bands();
  judge(session, std::move(found));
}

void Baseline::find_bands() {
  if (!answer_ || !answer_->has_masses || bands_of_ == answer_) return;
  bands_of_ = answer_;
  tasks_.post(kind_ + kBands, [answer = answer_, info = tuning_->traces.front().info,
                               found = found_](const BackgroundTasks::Context& context) {
    auto out = std::make_shared<const StepBands>(step_bands(*answer, info, {}));
    context.deliver([&] { found->bands = std::move(out); });
  });
}

void Baseline::judge(const Session& session, std::shared_ptr<const Judged> found) {
  if (found) judged_ = std::move(found);
  if (judged_ && on_this_trace() && judged_->under != session.tuning()) {
    tuning_ = session.tuning();
    judged_ = std::make_shared<const Judged>(
        judged_->settings, judge_again(judged_->metrics, judged_->under->prediction.correction, *tuning_), tuning_);
  }
  if (judged_) return;
  const Tried& tried = session.data<Tried>();
  const Metrics* const known = on_this_trace() ? tried.known(pinned_->settings) : nullptr;
  if (known != nullptr) {
    judged_ = std::make_shared<const Judged>(pinned_->settings, *known, tried.judged_under());
  } else if (answer_ && answer_->has_errors && !std::exchange(asked_to_judge_, true)) {
    tasks_.post(kind_ + kJudging,
                [answer = answer_, tuned = tuning_, found = found_](const BackgroundTasks::Context& context) {
                  auto out = std::make_shared<const Judged>(judge_answer(tuned, *answer));
                  context.deliver([&] { found->judged = std::move(out); });
                });
  }
}

void Baseline::update(const Session& session) {
  const bool another = std::exchange(path_, session.path()) != session.path();
  if (std::exchange(carried_, false) && another) pinned_->trace.clear();
  if (!awaited_.empty()) pin({session.settings(), std::exchange(awaited_, {})});
  if (!pinned_ || !own_) return;
  if (!std::exchange(begun_, true)) {
    if (!pinned_->trace.empty()) {
      open_second(session);
    } else {
      tuning_ = session.tuning();
      const TraceInfo& info = session.trace()->info;
      try {
        pinned_->settings.check_against_model(info.n_layer);
        make_policy(pinned_->settings, info.run_shape());
        // What the session has found of the same setting need not wait.
        const auto& answer = session.answer();
        if (answer && answer->settings == pinned_->settings) answer_ = answer;
        begin(session, own_);
      } catch (const Error& error) {
        error_ = error.what();
      }
    }
  }
  std::optional<Opened> opened;
  tasks_.locked([&] { opened = std::exchange(found_->opened, std::nullopt); });
  if (opened) {
    error_ = opened->error;
    tuning_ = opened->tuning;
    if (error_.empty()) begin(session, opened->replayer);
  }
  if (!replayer_) return;
  if (on_this_trace()) replayer_->look_at(session.looked_at());
  take(session);
}

bool Baseline::idle() const {
  bool news = false;
  tasks_.locked([&] { news = found_->opened || found_->judged || found_->bands; });
  const bool begins = pinned_ && own_ && !begun_;
  return !news && !begins && !(replayer_ && replayer_->has_news());
}

}  // namespace reattend::viz
