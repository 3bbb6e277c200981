// A header's extents and root attributes.
#include "traces/write/trace_header.h"
#include "traces/write/attributes.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "policies/policy.h"

namespace reattend {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// A parameter as a typed attribute, so that h5py shows numbers as numbers.
void write_parameter(hid_t root, const std::string& key, const Value& value) {
  if (const auto* i = std::get_if<int64_t>(&value)) return hdf5::write_attribute(root, key, *i);
  if (const auto* d = std::get_if<double>(&value)) return hdf5::write_attribute(root, key, *d);
  if (const auto* b = std::get_if<bool>(&value)) return hdf5::write_attribute(root, key, int64_t{*b});
  hdf5::write_attribute(root, key, to_text(value));
}

}  // namespace

schema::Sizes sizes_of(const TraceHeader& h) {
  schema::Sizes n{.n_layer = h.n_stored(),
                  .n_head = h.n_head,
                  .n_kv_head = h.n_kv_head,
                  .d_head = h.d_head,
                  .n_prompt = static_cast<int64_t>(h.prompt.size()),
                  .n_vocab = static_cast<int64_t>(h.vocab.size()),
                  .n_map = h.maps == Maps::top ? h.n_map : 0,
                  .n_column = h.n_column,
                  .n_overlap = schema::kOverlapSizes.size()};
  for (const auto& text : h.vocab) n.text_bytes += static_cast<int64_t>(text.size());
  return n;
}

void write_attributes(hid_t root, const TraceHeader& h, const schema::Sizes& sizes) {
  const auto put = [root](const char* name, const auto& value) { hdf5::write_attribute(root, name, value); };
  put("format", std::string(schema::kFormat));
  put("format_version", std::to_string(schema::kMajor) + "." + std::to_string(schema::kMinor));
  put("created_utc", h.created_utc.empty() ? utc_now() : h.created_utc);
  put("writer", "reattend " + h.engine_version);
  put("engine_version", h.engine_version);
  // An attribute in an object's header has to fit 64 KB; a longer command line holds a prompt that the tokens repeat.
  put("command_line", h.command_line.substr(0, 32768));
  put("model", h.model);
  put("model_sha256", h.model_sha256);
  put("architecture", h.architecture);
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, int64_t>>{{"n_layer", h.n_layer},
                                                              {"n_head", h.n_head},
                                                              {"n_kv_head", h.n_kv_head},
                                                              {"d_head", h.d_head},
                                                              {"d_model", h.d_model},
                                                              {"n_vocab", sizes.n_vocab},
                                                              {"threads", h.threads},
                                                              {"n_prompt", sizes.n_prompt},
                                                              {"shadow", h.shadow ? 1 : 0},
                                                              {"n_map", sizes.n_map},
                                                              {"n_column", sizes.n_column},
                                                              {"map_bin", h.maps == Maps::binned ? h.map_bin : 0},
                                                              {"measure_every", h.measure_every},
                                                              {"n_skipped", h.n_skipped},
                                                              {"overlap_pool", h.overlap_pool}}) {
    put(name, value);
  }
  put("maps", std::string(name_of(h.maps)));
  put("measure", std::string(h.measure_every == 0 ? "none" : h.measure_every == 1 ? "full" : "sampled"));
  std::vector<int64_t> layers(h.layers.begin(), h.layers.end());
  for (int32_t l = 0; h.layers.empty() && l < h.n_layer; ++l) layers.push_back(l);
  put("layers", std::span<const int64_t>(layers));
  if (!h.end_tokens.empty()) put("end_tokens", std::span<const int64_t>(h.end_tokens));
  put("rope_base", h.rope.base);
  put("rope_layout", std::string(h.rope.layout == RopeLayout::pairs ? "pairs" : "halves"));
  put("kv_type", std::string(name_of(h.kv_type)));
  put("activations", h.activations);
  put("device", h.device);
  put("cpu_target", h.cpu_target);
  put("policy", h.settings.policy());
  put("settings", h.settings.to_json().dump());
  for (const PolicyParameter& taken : h.settings.info().parameters) {
    const std::string_view key = taken.parameter->key;
    write_parameter(root, std::string(key), h.settings.get(key));
  }
  put("overlap_k", std::span<const int64_t>(schema::kOverlapSizes));
  put("overlap_reduce", h.overlap_reduce);
  for (const CalibrationField& field : kCalibrationFields) {
    const double value = h.calibration.*field.value;
    if (value != field.otherwise || field.since_1_0) put(("calibration_" + std::string(field.name)).c_str(), value);
  }
}

}  // namespace reattend
