// Where a setting's loss and time come from, layer by layer, and what more or less of each layer would cost.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replay/async.h"
#include "tune/tune.h"
#include "viz/session/provider.h"

namespace reattend::viz {

/// Another setting, which differs in one layer, and what would be different under it.
struct Price {
  Settings settings;
  std::string change;           ///< "K 128", "θ 0.8"
  double kl = 0, estimate = 0;  ///< nan where they are not known
  double cost = 0;              ///< ms per token, MB without a calibration
  double error = 0;             ///< squared error of the layer's output; of the estimate without values
  /// Of one that gives more: error saved per cost; infinite where it costs nothing.
  double gain() const;
  /// Of one that gives less: error per cost saved.
  double damage() const { return error / -cost; }
};

/// "K 128", "θ 0.8".
std::string change_in_words(const std::string& key, const Value& value);
/// What another setting of one layer harms and costs against `now`, by a replay of that layer. `layers` are all on
/// which the policy acts, as `now` judges them, the changed one in place `row`; they are left as they were.
Price price_of(const TuneResult& tuned, std::vector<LayerReplay>& layers, size_t row, const Metrics& now,
               const Settings& changed, std::string change, Replayer& replayer, const Cancel& cancel);

struct LedgerRow {
  int32_t layer = 0;
  double lost = 0, output_error = 0;  ///< means over steps and heads; nan without values
  double cost = 0;                    ///< of the layer's attention and selection
  double share = 0;  ///< of the predicted KL: of what the estimate would be less if nothing were lost here
  bool priced = false;
  std::optional<Price> more, less;  ///< the best that can be had; nothing where there is none
};

struct LedgerPage {
  Settings settings;
  Metrics metrics;
  std::vector<LedgerRow> rows;  ///< of the layers on which the policy acts
  bool priced() const;
};

class Ledger final : public Provider {
 public:
  Ledger(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}
  ~Ledger() override;
  void enter(std::shared_ptr<Replayer> replayer) override;
  void update(const Session& session) override;
  bool idle() const override;

  /// The page of the session's setting, or of an older one until that is known; null until there is one. Whoever draws
  /// asks in every frame.
  const LedgerPage* ask();

 private:
  struct Job;
  BackgroundTasks& tasks_;
  const int kind_;
  std::shared_ptr<Replayer> replayer_;  ///< the queue's
  std::shared_ptr<Job> job_;
  std::shared_ptr<const LedgerPage> page_;
  bool asked_ = false;
};

/// What the setting is in one layer, without lists.
Settings in_layer(const Settings& settings, int32_t layer);
/// The setting with another value of a parameter in these layers; all others stay as they are.
Settings with_value(const Settings& settings, const std::string& key, const Value& value,
                    const std::vector<int32_t>& layers, int32_t n_layer);
/// The parameters that a layer may have of its own, and that decide: of S, K and threshold those the policy has.
std::vector<std::string> layer_keys(const Settings& settings);

/// Of a token's cost under full attention: what spend() and save() move until somebody says how much.
inline constexpr double kLedgerStep = 0.005;

/// More (or less) of the layers in which it helps most (hurts least), one step each, until `amount` of cost is spent
/// (saved); one layer at least. Nothing where no layer has a step to take.
std::optional<Settings> spend(const LedgerPage& page, double amount, int32_t n_layer);
std::optional<Settings> save(const LedgerPage& page, double amount, int32_t n_layer);

}  // namespace reattend::viz
