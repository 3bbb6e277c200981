// gemma2, gemma3: windows in most layers, norms before and behind, GELU, scaled embeddings; caps (2), q/k norms (3).
#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include <fmt/format.h>

#include "base/error.h"
#include "engine/model/architectures/registry.h"
#include "engine/model/decoder.h"
#include "engine/model/gguf.h"

namespace reattend {
namespace {

constexpr int64_t kWidestWindow = 1 << 28;  // beyond any context; what a trace takes
constexpr const char* kPattern = "attention.sliding_window_pattern";

/// Which layers have a window: one bool each (true: it has one), or a period n, the last layer of which has none; 0:
/// all have one.
std::vector<bool> read_pattern(const Gguf& file, const ModelShape& shape, int64_t usual_period) {
  const std::string key = shape.architecture + "." + kPattern;
  const auto n = static_cast<size_t>(shape.n_layer);
  std::vector<bool> windowed;
  const auto at = file.metadata().find(key);
  if (at != file.metadata().end() && at->second.type == GgufType::array) {
    for (const int64_t each : file.integers(key)) windowed.push_back(each != 0);
    if (windowed.size() != n) {
      fail({file.name() + ": " + key, "one value for each of " + std::to_string(n) + " layers",
            std::to_string(windowed.size()), ""});
    }
    return windowed;
  }
  const int64_t period = file.integer_or(key, 0, INT32_MAX, usual_period);
  for (int64_t i = 0; i < shape.n_layer; ++i) windowed.push_back(period == 0 || i % period < period - 1);
  return windowed;
}

double read_cap(const Gguf& file, const std::string& key, double missing) {
  const double cap = file.real_or(key, missing);
  if (cap < 0 || cap > kLargestCap) {
    fail({file.name() + ": " + key, fmt::format("0 (no cap) to {}", kLargestCap), fmt::format("{}", cap), ""});
  }
  return cap;
}

/// What both have: windows, and embeddings times sqrt(d_model). `window`, `period`: where the file does not say.
/// n_layer_27b: the largest model of the kind scales scores by the mean width of a head.
ModelShape read_gemma(const Gguf& file, const Architecture& architecture, int64_t window, int64_t period,
                      int32_t n_layer_27b) {
  ModelShape shape = read_decoder_shape(file, architecture);
  const std::string prefix = shape.architecture + ".";
  const auto n_window =
      static_cast<int32_t>(file.integer_or(prefix + "attention.sliding_window", 0, kWidestWindow, window));
  const std::vector<bool> windowed = read_pattern(file, shape, period);
  for (size_t i = 0; i < windowed.size(); ++i) shape.layers[i].window = windowed[i] ? n_window : 0;
  shape.embedding_scale = std::sqrt(static_cast<float>(shape.d_model));
  if (shape.n_layer == n_layer_27b) {
    shape.attention_scale = 1 / std::sqrt(static_cast<double>(shape.d_model / shape.n_head));
  }
  return shape;
}

ModelShape read_gemma2(const Gguf& file, const Architecture& architecture) {
  ModelShape shape = read_gemma(file, architecture, 4096, 2, 46);
  shape.attention_cap = read_cap(file, shape.architecture + ".attn_logit_softcapping", 50);
  shape.logit_cap = read_cap(file, shape.architecture + ".final_logit_softcapping", 30);
  return shape;
}

/// Windowed layers rotate by a base of their own, and positions are never scaled there.
ModelShape read_gemma3(const Gguf& file, const Architecture& architecture) {
  ModelShape shape = read_gemma(file, architecture, 0, 6, 62);
  shape.logit_cap = read_cap(file, shape.architecture + ".final_logit_softcapping", 0);
  if (shape.windows().empty()) return shape;
  const std::string key = shape.architecture + ".rope.freq_base_swa";
  Rope local = shape.ropes.front();
  local.base = file.real_or(key, 10000);
  if (local.base < 1) fail({file.name() + ": " + key, "at least 1", std::to_string(local.base), ""});
  shape.ropes.push_back(std::move(local));
  for (LayerShape& layer : shape.layers) layer.rope = layer.window > 0 ? 1 : 0;
  return shape;
}

constexpr std::array<std::string_view, 4> kKeys2 = {"attention.sliding_window", kPattern, "attn_logit_softcapping",
                                                    "final_logit_softcapping"};
constexpr std::array<std::string_view, 4> kKeys3 = {"attention.sliding_window", kPattern, "rope.freq_base_swa",
                                                    "final_logit_softcapping"};

}  // namespace

const Architecture kGemma2 = {.name = "gemma2",
                              .rope_layout = RopeLayout::halves,
                              .layer = {.post_norms = true, .activation = Activation::gelu},
                              .applies = kKeys2,
                              .read_shape = read_gemma2,
                              .take_layer = take_decoder_layer};

const Architecture kGemma3 = {.name = "gemma3",
                              .rope_layout = RopeLayout::halves,
                              .layer = {.qk_norm = true, .post_norms = true, .activation = Activation::gelu},
                              .applies = kKeys3,
                              .read_shape = read_gemma3,
                              .take_layer = take_decoder_layer};

}  // namespace reattend
