// Everything about a trace but its bulk: what a recording writes before its first step, and what a reader finds.
#pragma once
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "kernels/layout.h"
#include "kernels/rope.h"
#include "policies/policy.h"
#include "policies/settings.h"
#include "traces/calibration.h"
#include "traces/step_data.h"

namespace reattend {

struct TraceInfo {
  /// Of an opened trace.
  std::filesystem::path path;
  std::map<std::string, std::string> attributes;  ///< every root attribute as text
  std::string warning;                            ///< a newer minor version, an unclean end; empty otherwise
  bool live = false;                              ///< being written right now
  bool closed = true;  ///< the writer closed the file; otherwise it is live, or its writer was killed
  int32_t n_step = 0;  ///< committed decode steps T

  /// Of the recording. What can stand in an attribute as it is has a row in schema::kAttributes.
  static constexpr int32_t kNewest = std::numeric_limits<int32_t>::max();
  int32_t minor = kNewest;  ///< format 1.minor of an opened trace; what is written has the newest
  std::string created_utc;  ///< empty in what is to be written: now
  std::string engine_version, command_line, model, model_sha256, architecture;
  std::string device, cpu_target, activations;
  int32_t threads = 0;
  int32_t n_layer = 0, n_head = 0, n_kv_head = 0, d_head = 0, d_model = 0, n_vocab = 0;
  Rope rope;                     ///< of the layers that are stored
  double attention_scale = 0;    ///< what scores are multiplied by; 0: 1 / sqrt(d_head)
  double attention_cap = 0;      ///< scores s become cap * tanh(s / cap); 0: they stay
  std::vector<int64_t> windows;  ///< [n_layer] positions that the model itself lets a layer attend to, which is then
                                 ///< not stored; 0: all. Empty: 0 in all layers
  KvType kv_type = KvType::f16;  ///< of the cache it was recorded from; what is written has schema::stored_type()
  Settings settings;             ///< the policy it was recorded under
  bool policy_known = true;      ///< false: a newer program's, unknown here, and `settings` are full attention's
  bool shadow = false;           ///< the policy observed only, the output was full attention's
  int32_t n_prompt = 0;          ///< L
  bool has_values = true, has_prompt_row_sums = false;
  Maps maps = Maps::top;  ///< which maps are stored
  static constexpr int32_t kUsualMap = 64, kUsualBin = 64;
  int32_t n_map = kUsualMap;    ///< M, positions of a map's row where maps are `top`
  int32_t map_bin = kUsualBin;  ///< positions of a bin where they are `binned`
  int32_t n_column = 0;         ///< C, columns of a map's row where they are `dense` or `binned`
  int32_t measure_every = 1;    ///< rows were looked at at one step in so many; 0: nowhere
  std::vector<int32_t> layers;  ///< those that are stored, ascending, none with a window; empty: all
  int32_t n_skipped = 0;        ///< decode steps before the first one here; their tokens are the prompt's last
  std::vector<int64_t> overlap_k = {64, 256, 1024};  ///< k of StepData::overlap
  std::string overlap_reduce = "max";
  int32_t overlap_pool = 7;
  std::vector<int64_t> end_tokens;  ///< tokens that end a sequence or turn
  Calibration calibration;

  /// An attribute's text; empty where there is none.
  std::string attribute(const std::string& name) const {
    const auto found = attributes.find(name);
    return found == attributes.end() ? std::string() : found->second;
  }
  /// Whether what was recorded is full attention's: under it, or under a policy that observed only.
  bool is_of_full_attention() const { return shadow || (policy_known && settings.is_full()); }
  /// The policy that it was recorded under, for people.
  std::string policy_text() const { return policy_known ? settings.summary() : "a policy unknown here"; }
  int32_t group() const { return n_head / n_kv_head; }
  /// Layers that are stored.
  int32_t n_stored() const { return layers.empty() ? n_layer : static_cast<int32_t>(layers.size()); }
  int32_t stored_layer(int32_t i) const { return layers.empty() ? i : layers[static_cast<size_t>(i)]; }
  /// Whether a policy acts on the layer: it has no window of its own.
  bool acts(int32_t layer) const { return windows.empty() || windows[static_cast<size_t>(layer)] == 0; }
  /// Layers on which a policy acts, ascending.
  std::vector<int32_t> acting_layers() const {
    std::vector<int32_t> all;
    for (int32_t l = 0; l < n_layer; ++l) {
      if (acts(l)) all.push_back(l);
    }
    return all;
  }
  int32_t n_acting() const {
    return n_layer - static_cast<int32_t>(std::ranges::count_if(windows, [](int64_t window) { return window > 0; }));
  }
  ScoreScale<double> score_scale() const { return reattend::score_scale(attention_scale, attention_cap, d_head); }
  RunShape run_shape() const {
    return {.n_layer = n_layer,
            .n_head = n_head,
            .n_kv_head = n_kv_head,
            .d_head = d_head,
            .n_prompt = n_prompt,
            .windows = {windows.begin(), windows.end()}};
  }
  bool stores(int32_t layer) const { return layers.empty() || std::binary_search(layers.begin(), layers.end(), layer); }
};

}  // namespace reattend
