// Adds the options that say what a recording keeps: each is a word, some with a number behind a colon.
#include "cli/options/recording_options.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cli/options/lists.h"

namespace reattend::cli {
namespace {

/// "word" or "word:number"; number at least 1, `otherwise` where there is none.
struct Choice {
  std::string word;
  int32_t number;
};
std::optional<Choice> choice(const std::string& text, int32_t otherwise, int32_t most) {
  const size_t colon = text.find(':');
  Choice out = {text.substr(0, colon), otherwise};
  if (colon == text.npos) return out;
  const char* const begin = text.data() + colon + 1;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, out.number);
  if (error != std::errc{} || stop != end || out.number < 1 || out.number > most) return {};
  return out;
}

[[noreturn]] void refuse(const char* option, const char* expected, const std::string& got) {
  fail_usage({.where = option, .expected = expected, .got = fmt::format("\"{}\"", got), .remedy = {}});
}

}  // namespace

void StorageOptions::add_to(CLI::App& app) {
  app.add_option("--steps,-n", steps,
                 "Tokens to generate; A:B records steps A to B alone: the tokens before them are generated first "
                 "and then count as prompt")
      ->type_name("N|A:B")
      ->capture_default_str();
  app.add_option(
         "--maps", maps,
         "Attention maps to store: top:M (the M strongest positions of each row), dense (whole rows in 16 bits; "
         "180 bytes a position, SmolLM2), binned:B (sums over B positions, 64 unless given), none")
      ->type_name("MAPS")
      ->capture_default_str();
  app.add_option("--measure", measure,
                 "At which steps rows over everything are computed and looked at (masses, maps, overlap): full (all), "
                 "sampled:N (every Nth, 16 unless given), none. A policy's own speed is only seen without")
      ->type_name("WHEN")
      ->capture_default_str();
  app.add_option("--layers", layers, "Store these layers alone, such as 0,3,10-12")->type_name("LAYERS");
}

StoredParts StorageOptions::parts(const ModelShape& shape) const {
  StoredParts out;
  constexpr int32_t kMostMap = 1 << 16, kMostEvery = 1 << 28;
  constexpr char kMaps[] = "top:M with M up to 65536, dense, binned:B or none";
  const std::optional<Choice> map = choice(maps, 0, kMostMap);
  const auto* const found = map ? std::find(kMapsNames.begin(), kMapsNames.end(), map->word) : kMapsNames.end();
  if (found == kMapsNames.end()) refuse("--maps", kMaps, maps);
  out.maps = static_cast<Maps>(found - kMapsNames.begin());
  const bool takes_number = out.maps == Maps::top || out.maps == Maps::binned;
  if (!takes_number && map->number > 0) refuse("--maps", kMaps, maps);
  if (map->number > 0) (out.maps == Maps::top ? out.n_map : out.map_bin) = map->number;

  constexpr int32_t kSampled = 16;
  constexpr char kMeasure[] = "full, sampled:N or none";
  const std::optional<Choice> when = choice(measure, 0, kMostEvery);
  if (!when || (when->word != "sampled" && when->number > 0)) refuse("--measure", kMeasure, measure);
  if (when->word == "full") {
    out.measure_every = 1;
  } else if (when->word == "sampled") {
    out.measure_every = when->number > 0 ? when->number : kSampled;
  } else if (when->word == "none") {
    out.measure_every = 0;
    out.maps = Maps::none;  // there is nothing to fill them with
  } else {
    refuse("--measure", kMeasure, measure);
  }

  out.layers = parse_layers(layers, shape.n_layer);
  std::sort(out.layers.begin(), out.layers.end());
  out.layers.erase(std::unique(out.layers.begin(), out.layers.end()), out.layers.end());
  for (const int32_t l : out.layers) {
    if (shape.acts(l)) continue;
    std::vector<int32_t> acting;
    for (int32_t i = 0; i < shape.n_layer; ++i) {
      if (shape.acts(i)) acting.push_back(i);
    }
    fail_usage({.where = "--layers",
                .expected = fmt::format("layers without a window of their own ({})", fmt::join(acting, ", ")),
                .got = fmt::format("{}, which attends to its last {} positions whatever the policy", l,
                                   shape.layers[static_cast<size_t>(l)].window),
                .remedy = "leave it out"});
  }
  if (out.layers.size() == static_cast<size_t>(shape.n_layer)) out.layers.clear();
  return out;
}

}  // namespace reattend::cli
