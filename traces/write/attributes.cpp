// Writes root attributes: by the table those that TraceInfo keeps as they are, the others made of what it keeps.
#include "traces/write/attributes.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "policies/policy.h"
#include "policies/value_text.h"
#include "traces/attributes.h"
#include "traces/schema.h"

namespace reattend {
namespace {

/// A parameter as a typed attribute, so that h5py shows numbers as numbers.
void write_parameter(hid_t root, const std::string& key, const Value& value) {
  if (const auto* i = std::get_if<int64_t>(&value)) return hdf5::write_attribute(root, key, *i);
  if (const auto* d = std::get_if<double>(&value)) return hdf5::write_attribute(root, key, *d);
  if (const auto* b = std::get_if<bool>(&value)) return hdf5::write_attribute(root, key, int64_t{*b});
  hdf5::write_attribute(root, key, to_text(value));
}

/// An attribute that is kept as it is. Those of an object's header have to fit 64 KB; a longer command line holds a
/// prompt that the tokens repeat.
void write_member(hid_t root, const std::string& name, const std::string& text) {
  constexpr size_t kMostText = 32768;
  hdf5::write_attribute(root, name, text.substr(0, kMostText));
}
void write_member(hid_t root, const std::string& name, const std::vector<int64_t>& list) {
  if (!list.empty()) hdf5::write_attribute(root, name, std::span<const int64_t>(list));
}
void write_member(hid_t root, const std::string& name, double number) {
  if (number != 0) hdf5::write_attribute(root, name, number);
}
template <class T>
void write_member(hid_t root, const std::string& name, T number) {
  hdf5::write_attribute(root, name, static_cast<int64_t>(number));
}

}  // namespace

void write_attributes(hid_t root, const TraceHeader& h) {
  const auto put = [root](const char* name, const auto& value) { hdf5::write_attribute(root, name, value); };
  put("format", std::string(schema::kFormat));
  put("format_version", std::to_string(schema::kMajor) + "." + std::to_string(schema::kMinor));
  put("writer", "reattend " + h.engine_version);
  for (const schema::Attribute& attribute : schema::kAttributes) {
    std::visit(
        [&](auto member) {
          if constexpr (!std::is_same_v<decltype(member), std::monostate>) {
            write_member(root, std::string(attribute.name), h.*member);
          }
        },
        attribute.member);
  }
  put("maps", std::string(name_of(h.maps)));
  put("measure", std::string(h.measure_every == 0 ? "none" : h.measure_every == 1 ? "full" : "sampled"));
  std::vector<int64_t> layers(h.layers.begin(), h.layers.end());
  for (int32_t l = 0; h.layers.empty() && l < h.n_layer; ++l) layers.push_back(l);
  put("layers", std::span<const int64_t>(layers));
  put("rope_base", h.rope.base);
  put("rope_layout", std::string(h.rope.layout == RopeLayout::pairs ? "pairs" : "halves"));
  put("kv_type", std::string(name_of(h.kv_type)));
  put("policy", h.settings.policy());
  put("settings", json_text(h.settings.to_json()));
  for (const PolicyParameter& taken : h.settings.info().parameters) {
    const std::string_view key = taken.parameter->key;
    write_parameter(root, std::string(key), h.settings.get(key));
  }
  for (const CalibrationField& field : kCalibrationFields) {
    const double value = h.calibration.*field.value;
    if (value != field.otherwise || field.since_1_0) put(("calibration_" + std::string(field.name)).c_str(), value);
  }
}

}  // namespace reattend
