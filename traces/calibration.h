// What a machine was found to need for each part of a decode step, and the names of these numbers.
#pragma once
#include <string_view>

namespace reattend {

/// predict_ms() (replay/cost/cost.h) adds it up. Rates in GB/s (1e9 bytes), 0 where not measured; ns: for one position
/// (weight, page) of one KV head.
struct Calibration {
  static constexpr double kNone = -1;  ///< of ns: not measured (0 is a time too short to be seen)
  double weights_ms = 0;               ///< everything of a step but attention and selection
  double attend_ms = 0;                ///< what attention over more than one position takes however few they are
  double stream_gbps = 0;              ///< plain read bandwidth
  double attend_stream_gbps = 0;       ///< attention over runs
  double attend_gather_gbps = 0;       ///< attention over copies of kept sets, in rank order
  double attend_place_gbps = 0;        ///< attention over entries of kept sets where they lie in the cache
  double rescore_gbps = 0;             ///< keys that are read for a choice alone
  double score_gbps = 0;               ///< scoring, selecting and copying after a full step, by bytes of keys
  double rank_ns = kNone;              ///< a position ranked by a whole row
  double keep_ns = kNone;              ///< a position that such a choice keeps
  double sum_ns = kNone;               ///< a weight of the attended set's row that is added up or ranked
  double pack_ns = kNone;              ///< a kept position copied
  double page_ns = kNone;              ///< a page whose bounds are ranked
  double estimate_ns = kNone;          ///< a position ranked by an estimated row, beside its channels
  double channel_ns = kNone;           ///< a channel of it that is read from a sketch
};

/// One of them as it is named in traces (`calibration_` before it), files and tables.
struct CalibrationField {
  const char* name;
  const char* unit;
  const char* what;  ///< for people
  double Calibration::*value;
  double otherwise = 0;  ///< where it is absent
  bool since_1_0 = false;
};
inline constexpr CalibrationField kCalibrationFields[] = {
    {"weights_ms", "ms", "weights and all else", &Calibration::weights_ms, 0, true},
    {"attend_ms", "ms", "attention, of any length", &Calibration::attend_ms},
    {"stream_gbps", "GB/s", "plain stream", &Calibration::stream_gbps, 0, true},
    {"attend_stream_gbps", "GB/s", "attention over runs", &Calibration::attend_stream_gbps, 0, true},
    {"attend_gather_gbps", "GB/s", "attention over copied sets", &Calibration::attend_gather_gbps, 0, true},
    {"attend_place_gbps", "GB/s", "attention over sets in place", &Calibration::attend_place_gbps},
    {"rescore_gbps", "GB/s", "keys read to choose", &Calibration::rescore_gbps},
    {"score_gbps", "GB/s", "a refresh beside attention", &Calibration::score_gbps, 0, true},
    {"rank_ns", "ns", "a position ranked", &Calibration::rank_ns, Calibration::kNone},
    {"keep_ns", "ns", "a position chosen", &Calibration::keep_ns, Calibration::kNone},
    {"sum_ns", "ns", "a weight added up", &Calibration::sum_ns, Calibration::kNone},
    {"pack_ns", "ns", "a position copied", &Calibration::pack_ns, Calibration::kNone},
    {"page_ns", "ns", "a page ranked", &Calibration::page_ns, Calibration::kNone},
    {"estimate_ns", "ns", "a position estimated", &Calibration::estimate_ns, Calibration::kNone},
    {"channel_ns", "ns", "a channel of it", &Calibration::channel_ns, Calibration::kNone}};

/// What a machine can have; far beyond any, yet sums of them stay finite.
struct CalibrationRange {
  double least, most;
};
constexpr CalibrationRange range_of(const CalibrationField& field) {
  const std::string_view unit = field.unit;
  if (unit == "GB/s") return {1e-3, 1e6};
  if (unit == "ns") return {0, 1e9};
  return {field.value == &Calibration::weights_ms ? 1e-6 : 0, 1e6};
}
/// Whether a value is within the range of its field, or is the one that stands for an absent number.
constexpr bool is_plausible(const CalibrationField& field, double value) {
  const CalibrationRange range = range_of(field);
  return value == field.otherwise || (value >= range.least && value <= range.most);  // not for nan
}

}  // namespace reattend
