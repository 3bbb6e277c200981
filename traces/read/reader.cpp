// The reader: attributes decide what must be there, every dataset is held against them, bulk is read on demand.
#include "traces/read/reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "traces/read/checked_file.h"

namespace reattend {
namespace {

using hdf5::AttributeValue;
using hdf5::CheckedFile;
using hdf5::Extents;
using schema::Id;
using Attributes = std::map<std::string, AttributeValue>;

std::string number_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}
std::string number_text(int64_t value) {
  return std::to_string(value);
}

std::string attribute_text(const AttributeValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  const auto list = [](const auto& numbers) {
    std::string text;
    for (const auto x : numbers) text += (text.empty() ? "" : ", ") + number_text(x);
    return numbers.size() == 1 ? text : "[" + text + "]";
  };
  if (const auto* integers = std::get_if<std::vector<int64_t>>(&value)) return list(*integers);
  return list(std::get<std::vector<double>>(value));
}

/// Typed reads of the root attributes; errors name the attribute.
class AttributeReader {
 public:
  AttributeReader(const Attributes& all, std::string path) : all_(all), path_(std::move(path)) {}

  std::string text(const char* name) const {
    const auto* value = get<std::string>(name);
    return value != nullptr ? *value : missing(name, "text");
  }
  int32_t integer(const char* name, int64_t low, int64_t high) const {
    const auto* value = get<std::vector<int64_t>>(name);
    if (value == nullptr || value->size() != 1) missing(name, "an integer");
    const int64_t x = value->front();
    if (x < low || x > high) {
      fail({.where = where(name),
            .expected = std::to_string(low) + " to " + std::to_string(high),
            .got = std::to_string(x)});
    }
    return static_cast<int32_t>(x);
  }
  double real(const char* name) const {
    const auto* value = get<std::vector<double>>(name);
    if (value == nullptr || value->size() != 1) missing(name, "a number");
    return value->front();
  }
  double real_or_zero(const char* name) const { return all_.contains(name) ? real(name) : 0; }
  std::vector<int64_t> integers(const char* name) const {
    const auto* value = get<std::vector<int64_t>>(name);
    if (value == nullptr) missing(name, "a list of integers");
    return *value;
  }
  /// Index of the attribute's text in `choices`.
  size_t choice(const char* name, std::initializer_list<std::string_view> choices) const {
    const std::string found = text(name);
    const auto* const at = std::find(choices.begin(), choices.end(), found);
    if (at == choices.end()) {
      std::string list;
      for (const auto c : choices) list += (list.empty() ? "" : " or ") + std::string(c);
      fail({.where = where(name), .expected = list, .got = found});
    }
    return static_cast<size_t>(at - choices.begin());
  }
  std::string where(const char* name) const { return path_ + ": attribute " + name; }

 private:
  template <class T>
  const T* get(const char* name) const {
    const auto at = all_.find(name);
    return at == all_.end() ? nullptr : std::get_if<T>(&at->second);
  }
  [[noreturn]] std::string missing(const char* name, const char* kind) const {
    fail({.where = where(name),
          .expected = kind,
          .got = all_.contains(name) ? "another type" : "nothing",
          .remedy = "give a trace written by `reattend record`"});
  }
  const Attributes& all_;
  std::string path_;
};

/// Refuses other formats and newer major versions; a newer minor one becomes a warning. Returns whether it is newer.
bool check_version(const AttributeReader& read, std::string& warning) {
  read.choice("format", {schema::kFormat});
  const std::string version = read.text("format_version");
  const size_t dot = version.find('.');
  int major = -1, minor = -1;
  const char* const begin = version.data();
  const char* const end = begin + version.size();
  if (dot != std::string::npos) {
    if (std::from_chars(begin, begin + dot, major).ptr != begin + dot) major = -1;
    if (std::from_chars(begin + dot + 1, end, minor).ptr != end) minor = -1;
  }
  const std::string ours = std::to_string(schema::kMajor) + "." + std::to_string(schema::kMinor);
  if (major < 1 || minor < 0)
    fail({.where = read.where("format_version"), .expected = "a version like " + ours, .got = version});
  if (major > schema::kMajor) {
    fail({.where = read.where("format_version"),
          .expected = "at most " + ours,
          .got = version,
          .remedy = "the trace comes from a newer program: use that one, or a newer version of this one"});
  }
  const bool newer = minor > schema::kMinor;
  if (newer) warning = "written in format " + version + ", newer than " + ours + ": what is new in it is not shown";
  return newer;
}

void add_warning(std::string& warning, const std::string& more) {
  warning += (warning.empty() ? "" : "; ") + more;
}

TraceInfo read_info(const CheckedFile& file) {
  const Attributes all = file.attributes();
  const AttributeReader read(all, file.path().string());
  TraceInfo info;
  info.path = file.path();
  for (const auto& [name, value] : all) info.attributes.emplace(name, attribute_text(value));
  const bool newer = check_version(read, info.warning);
  constexpr int64_t kMostHeads = 1 << 14;
  info.n_layer = read.integer("n_layer", 1, kMostHeads);
  info.n_head = read.integer("n_head", 1, kMostHeads);
  info.n_kv_head = read.integer("n_kv_head", 1, info.n_head);
  info.d_head = read.integer("d_head", 2, kMostHeads);
  info.n_vocab = read.integer("n_vocab", 1, 1 << 24);
  info.n_prompt = read.integer("n_prompt", 1, 1 << 28);
  if (info.n_head % info.n_kv_head != 0 || info.d_head % 2 != 0) {
    fail({.where = read.where("n_kv_head, d_head"),
          .expected = "a divisor of n_head, and an even width",
          .got = std::to_string(info.n_kv_head) + " of " + std::to_string(info.n_head) + ", " +
                 std::to_string(info.d_head)});
  }
  info.rope.base = read.real("rope_base");
  info.rope.layout = read.choice("rope_layout", {"pairs", "halves"}) == 0 ? RopeLayout::pairs : RopeLayout::halves;
  info.rope.d_head = info.d_head;
  if (!(info.rope.base > 0) || !std::isfinite(info.rope.base)) {
    fail({.where = read.where("rope_base"), .expected = "a positive number", .got = number_text(info.rope.base)});
  }
  info.kv_type = kKvTypes[read.choice("kv_type", {"f32", "f16", "bf16", "q8"})];
  info.shadow = read.integer("shadow", 0, 1) != 0;
  info.n_map = read.integer("n_map", 0, 1 << 16);
  info.overlap_k = read.integers("overlap_k");
  if (all.contains("end_tokens")) info.end_tokens = read.integers("end_tokens");
  info.calibration = {.weights_ms = read.real_or_zero("calibration_weights_ms"),
                      .stream_gbps = read.real_or_zero("calibration_stream_gbps"),
                      .attend_stream_gbps = read.real_or_zero("calibration_attend_stream_gbps"),
                      .attend_gather_gbps = read.real_or_zero("calibration_attend_gather_gbps"),
                      .score_gbps = read.real_or_zero("calibration_score_gbps")};
  try {
    const auto settings = nlohmann::json::parse(read.text("settings"), nullptr, false);
    info.settings = Settings::from_json(settings, read.where("settings"));
    info.settings.check_against_model(info.n_layer);
  } catch (const Error& error) {
    // A newer program may know policies that this one does not; the recording itself can still be read.
    if (!newer) throw Error(error.what());
    info.settings = Settings();
    add_warning(info.warning, std::string("its policy is unknown here: ") + error.what());
  }
  return info;
}

}  // namespace

struct TraceReader::State {
  explicit State(const std::filesystem::path& path);

  CheckedFile file;
  TraceInfo info;
  schema::Sizes sizes;
  std::array<std::optional<CheckedFile::Opened>, schema::kDatasets.size()> datasets;
  std::vector<std::string> vocab;  ///< filled on first use

  size_t n_prompt() const { return static_cast<size_t>(info.n_prompt); }
  size_t n_step() const { return static_cast<size_t>(info.n_step); }

  /// Opens the dataset; Error if it is missing and the format needs it.
  void open(Id id);
  int64_t read_committed();
  const CheckedFile::Opened& at(Id id) const;
  /// A block of a dataset as elements of T. Beyond `start` and `count`, a dimension is taken whole.
  template <class T>
  std::vector<T> read(Id id, const Extents& start, const Extents& count) const {
    std::vector<T> out(count[0] * count[1] * count[2] * count[3] * bytes_of(at(id).element) / sizeof(T));
    CheckedFile::read(at(id), start, count, std::as_writable_bytes(std::span(out)));
    return out;
  }
  /// All rows that count: the whole of a fixed dataset, the committed part of a growing one.
  template <class T>
  std::vector<T> read_all(Id id) const {
    Extents count = sizes.shape(schema::dataset(id));
    if (id == Id::vocab_text) count = at(id).extents;
    return read<T>(id, {}, count);
  }
  /// The rows' parts that belong to index `i` of the second dimension: one layer of all steps.
  template <class T>
  std::vector<T> read_layer_steps(Id id, int32_t i) const {
    Extents count = sizes.shape(schema::dataset(id));
    count[1] = 1;
    return read<T>(id, {0, static_cast<hsize_t>(i), 0, 0}, count);
  }
  void check_layer(int32_t layer) const {
    if (layer >= 0 && layer < info.n_layer) return;
    fail_usage({.where = info.path.string() + ": layer",
                .expected = "0 to " + std::to_string(info.n_layer - 1),
                .got = std::to_string(layer)});
  }
  void fill_vocab();
  void append_rows(std::vector<std::byte>& out, Id prompt, Id steps, int32_t layer) const;
};

TraceReader::State::State(const std::filesystem::path& path) : file(path), info(read_info(file)) {
  sizes = {.n_layer = info.n_layer,
           .n_head = info.n_head,
           .n_kv_head = info.n_kv_head,
           .d_head = info.d_head,
           .n_prompt = info.n_prompt,
           .n_vocab = info.n_vocab,
           .n_map = info.n_map,
           .n_overlap = static_cast<int64_t>(info.overlap_k.size())};
  // `committed` is written last, so it has to be read before the rest is looked at.
  open(Id::committed);
  sizes.n_step = read_committed();
  info.n_step = static_cast<int32_t>(sizes.n_step);
  for (size_t i = 0; i < schema::kDatasets.size(); ++i) open(static_cast<Id>(i));
  const auto has = [&](Id id) { return datasets[static_cast<size_t>(id)].has_value(); };
  info.has_values = has(Id::prompt_values) && has(Id::values);
  info.has_prompt_row_sums = has(Id::prompt_row_sums);
  info.rope.factors = read_all<float>(Id::rope_factors);
  if (std::all_of(info.rope.factors.begin(), info.rope.factors.end(), [](float f) { return f == 1; })) {
    info.rope.factors.clear();
  }
  info.live = file.live();
  info.closed = !file.marked_open();
  if (!info.closed && !info.live) {
    add_warning(info.warning, "recording ended without closing the file: its " + std::to_string(info.n_step) +
                                  " finished steps are all here; `reattend trace repair` makes a copy that any "
                                  "program opens");
  }
}

void TraceReader::State::open(Id id) {
  const auto& row = schema::dataset(id);
  auto& dataset = datasets[static_cast<size_t>(id)];
  if (dataset) return;
  const Extents shape = sizes.shape(row);
  dataset =
      file.open(row, schema::element_of(row.type, info.kv_type),
                std::span(shape.data(), static_cast<size_t>(row.rank())), row.extendible() || id == Id::vocab_text);
  if (!dataset && !row.optional) {
    fail({.where = info.path.string(),
          .expected = "dataset " + std::string(row.group) + "/" + std::string(row.name),
          .got = "none",
          .remedy = "give a trace written by `reattend record`"});
  }
}

int64_t TraceReader::State::read_committed() {
  const int64_t n = read<int64_t>(Id::committed, {}, {1, 1, 1, 1}).front();
  constexpr int64_t kMost = 1 << 28;
  if (n < 0 || n > kMost) {
    fail({.where = at(Id::committed).where, .expected = "0 to " + std::to_string(kMost), .got = std::to_string(n)});
  }
  return n;
}

const CheckedFile::Opened& TraceReader::State::at(Id id) const {
  const auto& dataset = datasets[static_cast<size_t>(id)];
  if (!dataset) {
    fail({.where = info.path.string(),
          .expected = "dataset " + std::string(schema::dataset(id).group) + "/" + std::string(schema::dataset(id).name),
          .got = "none",
          .remedy = "record again with it"});
  }
  return *dataset;
}

void TraceReader::State::fill_vocab() {
  if (!vocab.empty()) return;
  const auto text = read_all<char>(Id::vocab_text);
  const auto offsets = read_all<int64_t>(Id::vocab_offsets);
  std::vector<std::string> all;
  all.reserve(offsets.size() - 1);
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const int64_t from = offsets[i], to = offsets[i + 1];
    if (from < 0 || to < from || to > static_cast<int64_t>(text.size())) {
      fail({.where = at(Id::vocab_offsets).where,
            .expected = "rising offsets up to " + std::to_string(text.size()),
            .got = std::to_string(from) + ", " + std::to_string(to)});
    }
    all.emplace_back(text.data() + from, static_cast<size_t>(to - from));
  }
  vocab = std::move(all);
}

/// out := [n_kv_head][L + T][d_head] of one layer from the prompt's and the steps' datasets.
void TraceReader::State::append_rows(std::vector<std::byte>& out, Id prompt, Id steps, int32_t layer) const {
  const size_t row = static_cast<size_t>(info.d_head) * bytes_of(at(prompt).element);
  const size_t n_kv_head = static_cast<size_t>(info.n_kv_head), n_position = n_prompt() + n_step();
  out.resize(n_kv_head * n_position * row);
  Extents one = sizes.shape(schema::dataset(prompt));
  one[0] = one[1] = 1;
  for (size_t h = 0; h < n_kv_head; ++h) {
    CheckedFile::read(at(prompt), {static_cast<hsize_t>(layer), h, 0, 0}, one,
                      std::span(out).subspan(h * n_position * row, n_prompt() * row));
  }
  const auto decoded = read_layer_steps<std::byte>(steps, layer);
  for (size_t t = 0; t < n_step(); ++t) {
    for (size_t h = 0; h < n_kv_head; ++h) {
      std::memcpy(out.data() + (h * n_position + n_prompt() + t) * row, decoded.data() + (t * n_kv_head + h) * row,
                  row);
    }
  }
}

std::shared_ptr<TraceReader> TraceReader::open(const std::filesystem::path& path) {
  hdf5::quiet();
  return std::shared_ptr<TraceReader>(new TraceReader(std::make_unique<State>(path)));
}

TraceReader::TraceReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TraceReader::~TraceReader() = default;
const TraceInfo& TraceReader::info() const {
  return state_->info;
}

std::vector<int32_t> TraceReader::tokens() {
  hdf5::quiet();
  const auto& s = *state_;
  auto ids = s.read_all<int32_t>(Id::token_ids);
  ids.push_back(s.read<int32_t>(Id::top_ids, {s.n_step(), 0, 0, 0}, {1, 1, 1, 1}).front());
  for (const int32_t id : ids) {
    if (id >= 0 && id < s.info.n_vocab) continue;
    fail({.where = s.at(Id::token_ids).where,
          .expected = "ids below " + std::to_string(s.info.n_vocab),
          .got = std::to_string(id)});
  }
  return ids;
}

const std::string& TraceReader::token_text(int32_t id) {
  hdf5::quiet();
  auto& s = *state_;
  s.fill_vocab();
  if (id < 0 || id >= s.info.n_vocab) {
    fail({.where = s.info.path.string() + ": token",
          .expected = "ids below " + std::to_string(s.info.n_vocab),
          .got = std::to_string(id)});
  }
  return s.vocab[static_cast<size_t>(id)];
}

std::vector<std::string> TraceReader::token_texts() {
  std::vector<std::string> texts;
  for (const int32_t id : tokens()) texts.push_back(token_text(id));
  return texts;
}

StepData TraceReader::steps() {
  hdf5::quiet();
  const auto& s = *state_;
  StepData d;
  d.full = s.read_all<uint8_t>(Id::decision);
  d.reason = s.read_all<uint8_t>(Id::reason);
  d.cos_last_full = s.read_all<float>(Id::cos_last_full);
  d.cos_prev_pre = s.read_all<float>(Id::cos_prev_pre);
  d.cos_prev_post = s.read_all<float>(Id::cos_prev_post);
  d.recovered = s.read_all<float>(Id::recovered);
  d.oracle = s.read_all<float>(Id::oracle);
  d.positions = s.read_all<int32_t>(Id::positions);
  d.overlap = s.read_all<float>(Id::overlap);
  d.top_ids = s.read_all<int32_t>(Id::top_ids);
  d.top_logprobs = s.read_all<float>(Id::top_logprobs);
  d.top_rest = s.read_all<float>(Id::top_rest);
  d.logprob = s.read_all<float>(Id::logprob);
  d.logprob.push_back(d.top_logprobs[s.n_step() * schema::kTop]);
  d.ms = s.read_all<double>(Id::ms);
  d.bytes_weights = s.read_all<int64_t>(Id::bytes_weights);
  d.bytes_attend = s.read_all<int64_t>(Id::bytes_attend);
  d.bytes_select = s.read_all<int64_t>(Id::bytes_select);
  for (const int32_t id : d.top_ids) {
    if (id < -1 || id >= s.info.n_vocab) {
      fail({.where = s.at(Id::top_ids).where,
            .expected = "ids below " + std::to_string(s.info.n_vocab),
            .got = std::to_string(id)});
    }
  }
  return d;
}

LayerData TraceReader::layer(int32_t layer, bool with_values) {
  hdf5::quiet();
  const auto& s = *state_;
  s.check_layer(layer);
  LayerData d{.kv_type = schema::stored_type(s.info.kv_type),
              .n_kv_head = s.info.n_kv_head,
              .n_head = s.info.n_head,
              .d_head = s.info.d_head,
              .n_position = s.info.n_prompt + s.info.n_step,
              .n_step = s.info.n_step};
  s.append_rows(d.keys, Id::prompt_keys, Id::keys, layer);
  if (with_values && s.info.has_values) s.append_rows(d.values, Id::prompt_values, Id::values, layer);
  const hsize_t last = s.sizes.of(schema::Dim::n_query) - 1;
  d.queries = s.read<float>(Id::prompt_queries, {static_cast<hsize_t>(layer), last, 0, 0},
                            {1, 1, static_cast<hsize_t>(d.n_head), static_cast<hsize_t>(d.d_head)});
  const auto decoded = s.read_layer_steps<float>(Id::queries, layer);
  d.queries.insert(d.queries.end(), decoded.begin(), decoded.end());
  return d;
}

MapData TraceReader::map(int32_t layer, int32_t kv_head) {
  hdf5::quiet();
  const auto& s = *state_;
  s.check_layer(layer);
  if (kv_head < 0 || kv_head >= s.info.n_kv_head) {
    fail_usage({.where = s.info.path.string() + ": KV head",
                .expected = "0 to " + std::to_string(s.info.n_kv_head - 1),
                .got = std::to_string(kv_head)});
  }
  const Extents start = {0, static_cast<hsize_t>(layer), static_cast<hsize_t>(kv_head), 0};
  const Extents rows = {s.n_step(), 1, 1, static_cast<hsize_t>(s.info.n_map)};
  MapData d{.n_kept = s.info.n_map,
            .positions = s.read<int32_t>(Id::map_positions, start, rows),
            .weights = s.read<float>(Id::map_weights, start, rows),
            .rest = s.read<float>(Id::map_rest, start, {s.n_step(), 1, 1, 1})};
  for (size_t i = 0; i < d.positions.size(); ++i) {
    const auto p = static_cast<int64_t>(s.n_prompt() + i / static_cast<size_t>(d.n_kept));
    if (d.positions[i] >= -1 && d.positions[i] <= p) continue;
    fail({.where = s.at(Id::map_positions).where,
          .expected = "positions up to " + std::to_string(p),
          .got = std::to_string(d.positions[i])});
  }
  return d;
}

std::vector<float> TraceReader::prompt_queries(int32_t layer) {
  hdf5::quiet();
  state_->check_layer(layer);
  Extents count = state_->sizes.shape(schema::dataset(Id::prompt_queries));
  count[0] = 1;
  return state_->read<float>(Id::prompt_queries, {static_cast<hsize_t>(layer), 0, 0, 0}, count);
}

std::vector<float> TraceReader::prompt_row_sums(int32_t layer) {
  hdf5::quiet();
  state_->check_layer(layer);
  Extents count = state_->sizes.shape(schema::dataset(Id::prompt_row_sums));
  count[0] = 1;
  return state_->read<float>(Id::prompt_row_sums, {static_cast<hsize_t>(layer), 0, 0, 0}, count);
}

bool TraceReader::refresh() {
  hdf5::quiet();
  auto& s = *state_;
  if (!s.file.marked_open()) return false;
  s.info.live = s.file.live();
  s.file.refresh(*s.datasets[static_cast<size_t>(Id::committed)]);
  const int64_t n = s.read_committed();
  if (n <= s.sizes.n_step) return false;
  s.sizes.n_step = n;
  for (size_t i = 0; i < schema::kDatasets.size(); ++i) {
    auto& dataset = s.datasets[i];
    if (!dataset || !schema::kDatasets[i].extendible()) continue;
    s.file.refresh(*dataset);
    const hsize_t need = s.sizes.of(schema::kDatasets[i].shape[0]);
    if (dataset->extents[0] < need) {
      fail({.where = dataset->where,
            .expected = std::to_string(need) + " rows",
            .got = std::to_string(dataset->extents[0])});
    }
  }
  s.info.n_step = static_cast<int32_t>(n);
  return true;
}

}  // namespace reattend
