// Makes the tables of lost tokens: how much of a row was left out, and which positions were wanted later.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/reports/analyse.h"

#include "base/utf8.h"

namespace reattend::cli {
namespace {

constexpr size_t kEachSide = 18;

/// The token between its neighbours, cut to some forty characters.
std::string in_context(const std::vector<std::string>& texts, int32_t position) {
  const auto cut = [](const std::string& text, bool keep_end) {
    std::vector<std::string> characters;
    for (const char c : text) {
      if ((c & 0xC0) != 0x80 || characters.empty()) characters.emplace_back();
      characters.back() += c;
    }
    const size_t n = std::min(characters.size(), kEachSide);
    const auto from = keep_end ? characters.end() - static_cast<std::ptrdiff_t>(n) : characters.begin();
    std::string out;
    for (auto each = from; each != from + static_cast<std::ptrdiff_t>(n); ++each) out += *each;
    return out;
  };
  std::string before, after;
  const auto at = static_cast<size_t>(position);
  for (size_t i = at - std::min<size_t>(at, kEachSide); i < at; ++i) before += texts[i];
  for (size_t i = at + 1; i < std::min(texts.size(), at + 1 + kEachSide); ++i) after += texts[i];
  return fmt::format("{}[{}]{}", cut(visible(before), true), cut(visible(texts[at]), false),
                     cut(visible(after), false));
}

}  // namespace

void lost_tables(const AnalysisReport& report, std::vector<Table>& out) {
  const AnalysisResult& result = report.result;
  const LostRequest& how = result.request.lost;
  std::array<double, 3> mass{}, wanted{};
  std::array<int64_t, 3> n_event{};
  double total = 0;
  int64_t n_row = 0;
  for (const LayerLost& layer : result.lost) {
    n_row += layer.n_row;
    for (size_t k = 0; k < kTokenClasses.size(); ++k) {
      mass[k] += layer.mass[k], wanted[k] += layer.wanted[k], n_event[k] += layer.n_event[k], total += layer.mass[k];
    }
  }
  const auto rows = static_cast<double>(n_row);
  Table classes{
      .title = fmt::format("LOST under {}: mass on positions that were not attended to, mean over {} rows. "
                           "sink: the first {}; recent: the last {}; needle: all others. event: one position with more "
                           "than {:g} % of a row.",
                           result.request.settings.summary(), n_row, how.sinks, how.recent, 100 * how.above),
      .columns = {{.title = "class", .left = true},
                  {.title = "lost mass", .digits = 4},
                  {.title = "% of it", .digits = 1},
                  {.title = "in events", .digits = 4},
                  {.title = "% of class", .digits = 1},
                  {"events"},
                  {.title = "per row", .digits = 3}}};
  const auto add = [&](const std::string& name, double lost, double in_events, int64_t n) {
    classes.rows.push_back({name, lost / rows, 100 * lost / total, in_events / rows, 100 * in_events / lost, n,
                            static_cast<double>(n) / rows});
  };
  for (size_t k = 0; k < kTokenClasses.size(); ++k) {
    add(std::string(kTokenClasses[k]), mass[k], wanted[k], n_event[k]);
  }
  add("all", total, wanted[0] + wanted[1] + wanted[2], n_event[0] + n_event[1] + n_event[2]);
  out.push_back(std::move(classes));

  Table tokens{.title =
                   "Tokens lost and later wanted, most mass first. mass: summed over events (a row has 1); away: "
                   "steps since that head last read it; largest: one row's weight, at step/layer/KV head",
               .columns = {{"position"},
                           {.title = "text", .left = true},
                           {.title = "class", .left = true},
                           {"events"},
                           {"steps"},
                           {.title = "mass", .digits = 2},
                           {.title = "away", .digits = 1},
                           {"largest"},
                           {"at"}}};
  for (const LostToken& token : most_lost(result.lost, report.n_token)) {
    tokens.rows.push_back({number(token.position), in_context(report.texts, token.position),
                           std::string(kTokenClasses[static_cast<size_t>(token.kind)]), token.n_event, token.n_step(),
                           token.mass, token.away / static_cast<double>(token.n_event),
                           static_cast<double>(token.largest),
                           fmt::format("{}/{}/{}", token.step, token.layer, token.kv_head)});
  }
  if (tokens.rows.empty()) {
    tokens.title = fmt::format("No position that was left out ever had more than {:g} % of a row.", 100 * how.above);
    tokens.columns.clear();
  }
  if (report.n_token > 0) out.push_back(std::move(tokens));
}

}  // namespace reattend::cli
