// Means of what a trace holds, and their two spellings.
#include "traces/export/trace_tables.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace reattend {
namespace {

constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

/// A mean of those values that are numbers.
class Mean {
 public:
  void add(double x) {
    if (!std::isnan(x)) sum_ += x, ++n_;
  }
  double value() const { return n_ > 0 ? sum_ / static_cast<double>(n_) : std::numeric_limits<double>::quiet_NaN(); }
  int64_t n() const { return n_; }

 private:
  double sum_ = 0;
  int64_t n_ = 0;
};

/// One value of a row under its name; a table's rows all have the same names.
using Cell = std::pair<std::string, std::variant<int64_t, double, std::string>>;
using Cells = std::vector<Cell>;

void add_overlaps(Cells& cells, const std::vector<double>& overlap, const std::vector<int64_t>& sizes) {
  for (size_t i = 0; i < sizes.size(); ++i) cells.emplace_back(fmt::format("overlap_{}", sizes[i]), overlap[i]);
}

Cells cells_of(const StepRow& row, const std::vector<int64_t>& overlap_k) {
  Cells cells = {{"step", int64_t{row.step}},
                 {"position", int64_t{row.position}},
                 {"token", int64_t{row.token}},
                 {"text", row.text},
                 {"logprob", row.logprob},
                 {"ms", row.ms},
                 {"bytes_weights", row.bytes_weights},
                 {"bytes_attend", row.bytes_attend},
                 {"bytes_select", row.bytes_select},
                 {"full", row.full},
                 {"positions", row.positions},
                 {"recovered", row.recovered},
                 {"oracle", row.oracle},
                 {"cos_last_full", row.cos_last_full},
                 {"cos_prev_pre", row.cos_prev_pre},
                 {"cos_prev_post", row.cos_prev_post}};
  add_overlaps(cells, row.overlap, overlap_k);
  return cells;
}

Cells cells_of(const HeadRow& row, const std::vector<int64_t>& overlap_k) {
  Cells cells = {
      {"layer", int64_t{row.layer}}, {"kv_head", int64_t{row.kv_head}},   {"n_step", row.n_step},
      {"n_full", row.n_full},        {"n_measured", row.n_measured},      {"effective_stride", row.effective_stride},
      {"positions", row.positions},  {"recovered", row.recovered},        {"least_recovered", row.least_recovered},
      {"oracle", row.oracle},        {"cos_last_full", row.cos_last_full}};
  add_overlaps(cells, row.overlap, overlap_k);
  return cells;
}

/// Numbers have the digits that bring them back; text is written as in JSON, so that a line stays a line.
std::string csv_text(const Cell& cell) {
  if (const auto* integer = std::get_if<int64_t>(&cell.second)) return fmt::format("{}", *integer);
  if (const auto* x = std::get_if<double>(&cell.second)) return std::isfinite(*x) ? fmt::format("{}", *x) : "";
  const std::string escaped = nlohmann::json(std::get<std::string>(cell.second)).dump(-1, ' ', false, kReplace);
  std::string out;
  for (const char c : escaped.substr(1, escaped.size() - 2)) out += c == '"' ? "\"\"" : std::string(1, c);
  return '"' + out + '"';
}

nlohmann::ordered_json json_value(const Cell& cell) {
  if (const auto* integer = std::get_if<int64_t>(&cell.second)) return *integer;
  if (const auto* x = std::get_if<double>(&cell.second))
    return std::isfinite(*x) ? nlohmann::ordered_json(*x) : nullptr;
  return std::get<std::string>(cell.second);
}

template <class Row>
std::string to_csv(const std::vector<Row>& rows, const std::vector<int64_t>& overlap_k) {
  const auto line = [](const Cells& cells, auto&& text) {
    std::string out;
    for (const Cell& cell : cells) out += (out.empty() ? "" : ",") + text(cell);
    return out + '\n';
  };
  Row none;
  none.overlap.resize(overlap_k.size());
  std::string out = line(cells_of(none, overlap_k), [](const Cell& cell) { return cell.first; });
  for (const Row& row : rows) out += line(cells_of(row, overlap_k), csv_text);
  return out;
}

template <class Row>
nlohmann::ordered_json json_rows(const std::vector<Row>& rows, const std::vector<int64_t>& overlap_k) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    nlohmann::ordered_json object;
    for (const Cell& cell : cells_of(row, overlap_k)) object[cell.first] = json_value(cell);
    out.push_back(std::move(object));
  }
  return out;
}

}  // namespace

TraceTables tables_of(TraceReader& trace) {
  const TraceInfo& info = trace.info();
  const StepData d = trace.steps();
  const std::vector<int32_t> tokens = trace.tokens();
  const size_t n_k = info.overlap_k.size(), n_kv = static_cast<size_t>(info.n_kv_head);
  TraceTables out{.overlap_k = info.overlap_k};
  for (int32_t t = 1; t <= info.n_step; ++t) {
    const auto i = static_cast<size_t>(t - 1);
    StepRow row{.step = t, .position = info.n_prompt - 1 + t};
    row.token = tokens[static_cast<size_t>(row.position)];
    row.text = trace.token_text(row.token);
    row.logprob = d.logprob[i], row.ms = d.ms[i];
    row.bytes_weights = d.bytes_weights[i], row.bytes_attend = d.bytes_attend[i], row.bytes_select = d.bytes_select[i];
    Mean full, positions, recovered, oracle, last, pre, post;
    std::vector<Mean> overlap(n_k);
    for (int32_t s = 0; s < info.n_stored(); ++s) {
      const size_t layer = i * static_cast<size_t>(info.n_layer) + static_cast<size_t>(info.stored_layer(s));
      pre.add(d.cos_prev_pre[layer]), post.add(d.cos_prev_post[layer]);
      for (size_t unit = layer * n_kv; unit < (layer + 1) * n_kv; ++unit) {
        full.add(d.full[unit]), positions.add(d.positions[unit]), last.add(d.cos_last_full[unit]);
        recovered.add(d.recovered[unit]), oracle.add(d.oracle[unit]);
        for (size_t k = 0; k < n_k; ++k) overlap[k].add(d.overlap[unit * n_k + k]);
      }
    }
    row.full = full.value(), row.positions = positions.value(), row.recovered = recovered.value();
    row.oracle = oracle.value(), row.cos_last_full = last.value();
    row.cos_prev_pre = pre.value(), row.cos_prev_post = post.value();
    for (const Mean& each : overlap) row.overlap.push_back(each.value());
    out.steps.push_back(std::move(row));
  }
  for (int32_t s = 0; s < info.n_stored(); ++s) {
    for (int32_t g = 0; g < info.n_kv_head; ++g) {
      HeadRow row{.layer = info.stored_layer(s), .kv_head = g, .n_step = info.n_step};
      row.least_recovered = std::numeric_limits<double>::infinity();
      Mean positions, recovered, oracle, last;
      std::vector<Mean> overlap(n_k);
      for (size_t i = 0; i < static_cast<size_t>(info.n_step); ++i) {
        const size_t unit =
            (i * static_cast<size_t>(info.n_layer) + static_cast<size_t>(row.layer)) * n_kv + static_cast<size_t>(g);
        row.n_full += d.full[unit];
        positions.add(d.positions[unit]), last.add(d.cos_last_full[unit]);
        recovered.add(d.recovered[unit]), oracle.add(d.oracle[unit]);
        if (d.recovered[unit] < row.least_recovered) row.least_recovered = d.recovered[unit];
        for (size_t k = 0; k < n_k; ++k) overlap[k].add(d.overlap[unit * n_k + k]);
      }
      row.n_measured = recovered.n();
      row.effective_stride = static_cast<double>(row.n_step) / static_cast<double>(row.n_full);
      row.positions = positions.value(), row.recovered = recovered.value(), row.oracle = oracle.value();
      row.cos_last_full = last.value();
      for (const Mean& each : overlap) row.overlap.push_back(each.value());
      out.heads.push_back(std::move(row));
    }
  }
  return out;
}

std::string steps_to_csv(const TraceTables& tables) {
  return to_csv(tables.steps, tables.overlap_k);
}
std::string heads_to_csv(const TraceTables& tables) {
  return to_csv(tables.heads, tables.overlap_k);
}

nlohmann::ordered_json to_json(const TraceTables& tables, const TraceInfo& info) {
  return {{"trace", info.path.string()},
          {"policy", info.settings.to_json()},
          {"shadow", info.shadow},
          {"n_prompt", info.n_prompt},
          {"n_step", info.n_step},
          {"steps", json_rows(tables.steps, tables.overlap_k)},
          {"heads", json_rows(tables.heads, tables.overlap_k)}};
}

}  // namespace reattend
