// `reattend replay`: what a policy would have attended to in a recorded run, as a table or JSON.
#include <charconv>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/command.h"
#include "cli/policy_options.h"
#include "traces/export/report.h"
#include "traces/replay/replay.h"

namespace reattend::cli {
namespace {

struct ReplayOptions {
  std::string trace, layers;
  PolicyOptions policy;
  bool no_output_error = false;
};

[[noreturn]] void fail_layers(const std::string& text) {
  fail_usage({.where = "--layers",
              .expected = "layers and ranges of them, such as 0,3,10-12",
              .got = fmt::format("\"{}\"", text),
              .remedy = {}});
}

int32_t layer_number(std::string_view text, const std::string& whole) {
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) fail_layers(whole);
  return value;
}

/// "0,3,10-12"
std::vector<int32_t> parse_layers(const std::string& text, int32_t n_layer) {
  std::vector<int32_t> layers;
  for (size_t begin = 0; begin < text.size() || (begin > 0 && begin == text.size());) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const std::string_view part = std::string_view(text).substr(begin, comma - begin);
    const size_t dash = part.find('-');
    const int32_t first = layer_number(part.substr(0, dash), text);
    const int32_t last = dash == part.npos ? first : layer_number(part.substr(dash + 1), text);
    if (last < first || last >= n_layer) fail_layers(text);
    for (int32_t l = first; l <= last; ++l) layers.push_back(l);
    begin = comma + 1;
  }
  return layers;
}

void replay(const ReplayOptions& options, const Globals& globals) {
  const Settings settings = options.policy.settings();
  ThreadPool pool(globals.threads);
  Replayer replayer(TraceReader::open(options.trace), pool);
  const TraceInfo& info = replayer.info();
  if (!info.warning.empty()) fmt::print(stderr, "reattend: {}: {}\n", options.trace, info.warning);
  const ReplayRequest request = {.settings = settings,
                                 .layers = parse_layers(options.layers, info.n_layer),
                                 .output_error = !options.no_output_error};
  const ReplayResult result = replayer.run(request, make_progress(globals.progress), globals.cancel);
  if (globals.json) {
    fmt::print("{}\n", to_json(result, info).dump(2));
  } else {
    fmt::print("{}", to_table(result, info));
  }
}

}  // namespace

void add_replay(CLI::App& app, const Globals& globals) {
  CLI::App* const command =
      app.add_subcommand("replay", "Re-simulate a policy on a trace: mass, overlap, error, predicted time");
  const auto options = std::make_shared<ReplayOptions>();
  options->policy.initial = "recycled";
  command->add_option("trace", options->trace, "Trace to replay")->required()->type_name("TRACE");
  options->policy.add_to(*command);
  command->add_option("--layers", options->layers, "Only these, such as 0,3,10-12 (no time is predicted then)")
      ->type_name("LAYERS");
  command->add_flag("--no-output-error", options->no_output_error, "Leave out what needs the values; faster");
  command->footer(
      "Examples:\n"
      "  reattend replay trace.h5 --policy recycled --stride 16 --budget 512\n"
      "  reattend replay trace.h5 --schedule query --threshold 0.9 --stride 4 --budget L/8 --json\n"
      "  reattend replay trace.h5 --policy quest --budget L/8\n"
      "  reattend replay trace.h5 --settings reattend.toml --layers 0,10-12\n\n"
      "The policy is `recycled` unless another is given. The replay is teacher-forced: the recorded queries and keys "
      "stay\n"
      "what they were, so against a free run its numbers are an estimate. Every policy runs on a full-attention "
      "trace:\n"
      "h2o if the prompt's row sums were recorded (they are unless left out), snapkv and pyramidkv with a window of "
      "at\n"
      "most 64.");
  command->callback([options, &globals] { replay(*options, globals); });
}

}  // namespace reattend::cli
