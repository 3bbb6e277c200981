// A provider of what follows from the replay of all layers and a key: made on the background thread, once a question.
#pragma once
#include <memory>
#include <optional>
#include <utility>

#include "replay/async.h"
#include "viz/session/provider.h"
#include "viz/session/session.h"

namespace reattend::viz {

/// `make` is called with an answer that has_masses; with one that has output errors too as soon as there is one.
template <class Key, class Made, Made (*make)(const AsyncAnswer&, const TraceInfo&, const Key&)>
class FromAnswer final : public Provider {
 public:
  FromAnswer(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}

  void enter(std::shared_ptr<Replayer> replayer) override {
    tasks_.drop(kind_);
    tasks_.locked([&] { found_->reset(); });
    replayer_ = std::move(replayer);
    wanted_.reset(), asked_.reset(), of_.reset(), known_.reset(), made_.reset();
  }

  /// Whoever draws asks in every frame. Of an older setting until the newest is known; null until something is known of
  /// this key.
  std::shared_ptr<const Made> ask(const Key& key) {
    wanted_ = key;
    return known_ == key ? made_ : nullptr;
  }

  void update(const Session& session) override {
    std::optional<Found> found;
    tasks_.locked([&] { found = std::exchange(*found_, std::nullopt); });
    if (found) known_ = found->key, made_ = std::move(found->made);
    const std::optional<Key> key = std::exchange(wanted_, std::nullopt);
    const std::shared_ptr<const AsyncAnswer>& answer = session.answer();
    if (!replayer_ || !key || !answer || !answer->has_masses || (of_ == answer && asked_ == key)) return;
    of_ = answer, asked_ = key;
    tasks_.post(kind_,
                [answer, key = *key, replayer = replayer_, out = found_](const BackgroundTasks::Context& context) {
                  Found made{key, std::make_shared<const Made>(make(*answer, replayer->info(), key))};
                  context.deliver([&] { *out = std::move(made); });
                });
  }

  bool idle() const override {
    bool news = false;
    tasks_.locked([&] { news = found_->has_value(); });
    return !news;
  }

 private:
  struct Found {
    Key key;
    std::shared_ptr<const Made> made;
  };
  BackgroundTasks& tasks_;
  const int kind_;
  std::shared_ptr<Replayer> replayer_;         ///< the queue's
  std::optional<Key> wanted_, asked_, known_;  ///< in this frame; last; of made_
  std::shared_ptr<const AsyncAnswer> of_;      ///< that was asked about last
  std::shared_ptr<const Made> made_;
  std::shared_ptr<std::optional<Found>> found_ = std::make_shared<std::optional<Found>>();  ///< guarded by tasks_
};

}  // namespace reattend::viz
