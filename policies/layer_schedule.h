// What a setting gives each layer: how often it refreshes, how much it keeps, what keeps a due step partial.
#pragma once
#include <optional>
#include <span>

#include "policies/settings.h"

namespace reattend {

/// The strides, budgets and gates of a setting's layers, for any policy: it may have all three, some or none. Refers to
/// the setting, which must outlive it.
class LayerSchedule {
 public:
  explicit LayerSchedule(const Settings& settings) : settings_(settings) {}

  /// Whether layers may differ: one of the three is a list.
  bool by_layer() const { return n_layer() > 0; }
  /// Entries of its lists; 0 where it has none.
  size_t n_layer() const;
  /// S as it was given (`never` is a value); nothing where the policy has none.
  std::optional<Value> stride(int layer) const { return at("S", layer); }
  /// K as it was given; nothing where the policy has none.
  std::optional<Value> budget(int layer) const { return at("K", layer); }
  /// The threshold that a due step's cosine is held against; nothing where no gate decides.
  std::optional<double> gate(int layer) const;
  bool any_gate() const;

 private:
  std::optional<Value> at(std::string_view key, int layer) const;
  const Settings& settings_;
};

/// The setting under which layer l does as layers[l] says; they are of one policy. Parameters that may be lists become
/// lists; one that another parameter keeps from deciding (recycled's threshold where schedule = fixed) is switched off
/// in the layers where it doesn't decide. Throws Error where layers differ in anything else. One setting for all layers
/// stays as it is.
Settings join_layers(std::span<const Settings> layers);  // [n_layer]

/// Whether join_layers() can give layers different values of a parameter that the policy takes.
bool may_differ_by_layer(const PolicyInfo& policy, const Parameter& parameter);

}  // namespace reattend
