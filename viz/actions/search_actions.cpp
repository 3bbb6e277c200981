// Actions that look for a better setting: the map's best, steps in the ledger, what is lost most and what would keep
// it.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/error.h"
#include "base/json_number.h"
#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"
#include "viz/session/axes.h"
#include "viz/session/landscape.h"
#include "viz/session/ledger.h"
#include "viz/session/story.h"

namespace reattend::viz {
namespace {

using nlohmann::json;

constexpr const char *kSearch = "look for a setting", *kLosses = "losses";

/// Throws Error where there is nothing to replay, or what is to be replayed cannot be.
void check_replayed(const Session& session, const char* where) {
  if (session.tuning() == nullptr) {
    fail_usage({.where = where, .expected = "a trace with decode steps", .got = "none", .remedy = "open one"});
  }
  if (!session.replay_error().empty()) fail({where, "a setting that is replayed", session.replay_error(), ""});
}

/// Throws Error also where not all layers are stored, of which neither KL nor time follows.
void check_whole(const Session& session, const char* where) {
  check_replayed(session, where);
  const TraceInfo& info = session.trace()->info;
  if (info.n_stored() < info.n_acting()) {
    fail({where, "a trace that stores all layers", fmt::format("{} of {}", info.n_stored(), info.n_acting()),
          "record without --layers"});
  }
}

/// Whether all settings of the map that the tuner tries are known, between which the others lie.
bool knows_what_is_tried(const Landscape& map) {
  const auto tried = [](const Axis& axis, size_t place) { return axis.key.empty() || axis.tried[place]; };
  for (size_t i = 0; i < map.cells.size(); ++i) {
    const size_t n_column = map.across.size();
    if (!tried(map.across, i % n_column) || !tried(map.upwards, i / n_column)) continue;
    if (!map.cells[i].metrics && map.cells[i].impossible.empty()) return false;
  }
  return true;
}

std::optional<json> take_best(Workbench& bench) {
  constexpr const char* kWhere = "landscape.best";
  Session& session = bench.session;
  check_whole(session, kWhere);
  const Axes axes = axes_of(session.settings(), session.trace()->info);
  if (axes.across.key.empty() && axes.upwards.key.empty()) {
    fail({kWhere, "a policy with something to vary", session.settings().policy(), "choose another with setting.set"});
  }
  const Landscape& map = session.data<Landscapes>().ask(session, session.settings(), axes.across, axes.upwards);
  if (!knows_what_is_tried(map)) return std::nullopt;
  if (!map.best) {
    fail({kWhere, "a setting that is faster than full attention", "none on the map", "record a longer prompt"});
  }
  const LandscapeCell& best = map.cells[*map.best];
  json out = {{"setting", best.settings.to_json()}, {"within_bounds", !map.judged.reason.beyond_bounds}};
  session.set_settings(best.settings);
  return out;
}

/// The page of the setting under trial, once it is there; null until then.
const LedgerPage* current_page(const Workbench& bench, const char* where) {
  const Session& session = bench.session;
  check_whole(session, where);
  const LedgerPage* const page = session.data<Ledger>().ask();
  return page != nullptr && page->settings == session.settings() ? page : nullptr;
}

using TakeSteps = std::optional<Settings> (*)(const LedgerPage&, double, int32_t);

Action steps(const char* name, const char* title, const char* help, TakeSteps take) {
  return {.name = name,
          .title = title,
          .group = kSearch,
          .run =
              [name, take](Workbench&, const Arguments& arguments) {
                const double asked = arguments.has("amount") ? arguments.number("amount") : 0;
                return Outcome{.later = [name, take, asked](Workbench& later) -> std::optional<json> {
                  const LedgerPage* const page = current_page(later, name);
                  if (page == nullptr || !page->priced()) return std::nullopt;
                  Session& session = later.session;
                  const double amount = asked > 0 ? asked : kLedgerStep * session.tuning()->full_cost;
                  const std::optional<Settings> next = take(*page, amount, session.trace()->info.n_layer);
                  if (!next) fail({name, "a layer with a step to take", "none", "choose another policy"});
                  session.set_settings(*next);
                  return json(nullptr);
                }};
              },
          .arguments = {{.name = "amount", .type = ArgumentType::number, .help = help, .required = false, .low = 0}}};
}

/// A column of the ledger by which a layer can be the first.
struct Column {
  const char* name;
  double LedgerRow::*value;
};
constexpr Column kColumns[] = {{"share", &LedgerRow::share},
                               {"lost", &LedgerRow::lost},
                               {"error", &LedgerRow::output_error},
                               {"cost", &LedgerRow::cost}};

Outcome go_to_worst(Workbench&, const Arguments& arguments) {
  const std::string by = arguments.has("by") ? arguments.text("by") : kColumns[0].name;
  const Column& column = *std::ranges::find(kColumns, by, &Column::name);
  return {.later = [&column](Workbench& later) -> std::optional<json> {
    const LedgerPage* const page = current_page(later, "ledger.worst");
    if (page == nullptr) return std::nullopt;
    const auto known = [&](const LedgerRow& row) { return std::isnan(row.*column.value) ? -1 : row.*column.value; };
    const auto worst = std::ranges::max_element(page->rows, {}, known);
    if (worst == page->rows.end()) fail({"ledger.worst", "a layer on which the policy acts", "none", ""});
    later.session.select_layer(worst->layer);
    return json{{"layer", worst->layer}, {column.name, json_number((*worst).*column.value)}};
  }};
}

/// To the step and KV head of the selected layer that lose most; no position, so that the heaviest lost one is told of.
std::optional<json> go_to_heaviest(Workbench& bench) {
  Session& session = bench.session;
  check_replayed(session, "lost.heaviest");
  if (!session.layer_is_current()) return std::nullopt;
  const std::vector<float>& recovered = session.layer()->recovered;  // [T][n_kv_head]
  const auto at = static_cast<int32_t>(std::ranges::min_element(recovered) - recovered.begin());
  const int32_t n_kv_head = session.trace()->info.n_kv_head;
  session.select_step(at / n_kv_head + 1);
  session.select_kv_head(at % n_kv_head);
  session.select_position(-1);
  return json{
      {"step", at / n_kv_head + 1}, {"head", at % n_kv_head}, {"lost", 1 - double{recovered[static_cast<size_t>(at)]}}};
}

/// Of the setting and selection, with all cures, and their prices where there will be some; null until then.
const Story* current_story(const Workbench& bench, const char* where) {
  const Session& session = bench.session;
  check_replayed(session, where);
  const Story* const story = session.data<Stories>().ask();
  const Selection& at = session.selection();
  if (story == nullptr || story->settings != session.settings() || !story->row || !story->cured) return nullptr;
  if (story->at != RowPlace{at.layer, at.kv_head, at.step}) return nullptr;
  const std::vector<LostPosition>& lost = story->row->positions;
  const int32_t position = at.position >= 0 || lost.empty() ? at.position : lost.front().position;
  if (story->position != position) return nullptr;
  const bool priced = std::ranges::all_of(story->cures, [](const PricedCure& each) { return each.price.has_value(); });
  return priced || story->whole ? story : nullptr;
}

std::optional<json> tell_why(Workbench& bench) {
  const Story* const story = current_story(bench, "lost.why");
  if (story == nullptr) return std::nullopt;
  json cures = json::array();
  for (const PricedCure& each : story->cures) {
    json cure = {{"parameter", each.cure.key}, {"change", each.cure.change}, {"kl", nullptr}, {"cost", nullptr}};
    if (each.price) cure["kl"] = json_number(each.price->kl), cure["cost"] = json_number(each.price->cost);
    cures.push_back(std::move(cure));
  }
  const LostPosition* const lost = story->lost();
  return json{{"row", summary_in_words(*story->row)},
              {"position", story->position},
              {"weight", lost != nullptr ? json(double{lost->weight}) : json(nullptr)},
              {"why", story_in_words(*story, *bench.session.trace())},
              {"cures", std::move(cures)}};
}

Outcome take_cure(Workbench&, const Arguments& arguments) {
  return {.later = [parameter = arguments.text("parameter")](Workbench& later) -> std::optional<json> {
    const Story* const story = current_story(later, "lost.cure");
    if (story == nullptr) return std::nullopt;
    const auto at = std::ranges::find(story->cures, parameter, [](const PricedCure& each) { return each.cure.key; });
    if (at == story->cures.end()) {
      std::string keys;
      for (const PricedCure& each : story->cures) keys += (keys.empty() ? "" : ", ") + each.cure.key;
      fail({"lost.cure", keys.empty() ? "a lost position that a parameter can keep" : "one of " + keys, parameter,
            keys.empty() ? "select another with lost.next" : ""});
    }
    json out = {{"layer", story->at.layer}, {"change", at->cure.change}};
    later.session.set_settings(at->cure.settings);
    return out;
  }};
}

/// What waits for an answer of the background.
Action later(const char* name, const char* title, const char* group, Later act) {
  return {.name = name, .title = title, .group = group, .run = [act = std::move(act)](Workbench&, const Arguments&) {
            return Outcome{.later = act};
          }};
}

}  // namespace

void add_search_actions(Actions& actions) {
  actions.add(
      later("landscape.best", "take the map's star, once all that the tuner tries is known", kSearch, take_best));
  actions.add(steps("ledger.spend", "spend where it helps most",
                    "of cost (ms, or MB without a calibration); without it the 200th part of full attention's", spend));
  actions.add(steps("ledger.save", "save where it hurts least",
                    "of cost (ms, or MB without a calibration); without it the 200th part of full attention's", save));
  actions.add({.name = "ledger.worst",
               .title = "go to the layer that is the first by",
               .group = kSearch,
               .run = go_to_worst,
               .arguments = {{.name = "by",
                              .help = "a column of the ledger; without it the share of the KL",
                              .required = false,
                              .choices = [](const Workbench&) {
                                std::vector<std::string> names;
                                for (const Column& each : kColumns) names.emplace_back(each.name);
                                return names;
                              }}}});
  actions.add(
      later("lost.heaviest", "go to the step and KV head of the layer that lose most", kLosses, go_to_heaviest));
  actions.add(later("lost.why", "why the position is lost, as JSON", kLosses, tell_why));
  actions.add({.name = "lost.cure",
               .title = "keep the lost position by the smallest change of",
               .group = kLosses,
               .run = take_cure,
               .arguments = {{.name = "parameter", .help = "S, K or threshold, in the selected layer"}}});
}

}  // namespace reattend::viz
