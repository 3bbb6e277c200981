// Builds command lines from the trace's own record of its run, with the setting under trial.
#include "viz/session/engine_command.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/model_store.h"
#include "base/subprocess.h"
#include "policies/policy.h"
#include "policies/policy_list.h"
#include "policies/shared_parameters.h"

namespace reattend::viz {
namespace {

namespace fs = std::filesystem;

using Words = std::vector<std::string>;

void add(Words& to, std::initializer_list<std::string> words) {
  to.insert(to.end(), words);
}

/// As command-line options: the policy, its S and K, and what else differs from its defaults.
Words options_of(const Settings& settings) {
  Words out = {"--policy", settings.policy()};
  for (const PolicyParameter& each : settings.info().parameters) {
    const Parameter& parameter = *each.parameter;
    const bool named = parameter.key == kStride.key || parameter.key == kBudget.key;
    if (settings.is_set(parameter.key) || named)
      add(out, {fmt::format("--{}", parameter.flag), to_text(settings.get(parameter.key))});
  }
  return out;
}

/// Types as they were while recording, so that the engine's numbers are those of the recorded run.
Words types_of(const TraceInfo& info) {
  Words out = {"--kv", std::string(name_of(info.kv_type)), "--prefill", "f32"};
  const std::string activations = info.attribute("activations");
  if (!activations.empty()) add(out, {"--activations", activations});
  return out;
}

Words tune_words(const EngineRequest& request) {
  Words out = {"tune", request.info->path.string(), "--model", request.model};
  if (!request.settings.is_full()) add(out, {"--policy", request.settings.policy()});
  const auto bound = [&](const char* name, const std::optional<double>& limit) {
    if (limit) add(out, {name, fmt::format("{}", *limit)});
  };
  const TuneBounds& bounds = request.bounds;
  bound("--max-kl", bounds.max_kl), bound("--max-ms", bounds.max_ms), bound("--min-agreement", bounds.min_agreement);
  bound("--max-lost-mass", bounds.max_lost_mass), bound("--max-output-error", bounds.max_output_error);
  for (const fs::path& each : request.verified) add(out, {"--verified", each.string()});
  add(out, {"--out", request.out.string(), "--report", request.report.string(), "--force"});
  return out;
}

/// The setting beside every other policy, each with as many positions.
Words compare_words(const EngineRequest& request) {
  const TraceInfo& info = *request.info;
  ParameterValues common;
  if (request.settings.takes("K")) common.emplace("K", request.settings.get("K"));
  std::string entries = request.settings.is_full() ? std::string() : policy_entry(request.settings);
  for (const PolicyInfo& each : policy_registry()) {
    if (each.name == kFullAttention || each.name == request.settings.policy()) continue;
    Settings settings(each.name);
    try {
      for (const auto& [key, value] : common) {
        if (settings.takes(key)) settings.set(key, value);
      }
      make_policy(settings, info.run_shape());
    } catch (const Error&) {
      continue;  // it cannot have this budget
    }
    entries += (entries.empty() ? "" : ",") + policy_entry(settings);
  }
  Words out = {"compare", "--prompt-trace", info.path.string(), "--model", request.model};
  for (const std::string& each : types_of(info)) out.push_back(each);
  add(out, {"--steps", std::to_string(info.n_step), "--policies", entries});
  return out;
}

Words generate_words(const EngineRequest& request, const Settings& settings) {
  const TraceInfo& info = *request.info;
  Words out = {"run", "--prompt-trace", info.path.string(), "--model", request.model};
  for (const std::string& each : types_of(info)) out.push_back(each);
  add(out, {"--steps", std::to_string(info.n_step), "--ignore-end"});
  for (const std::string& each : options_of(settings)) out.push_back(each);
  return out;
}

}  // namespace

std::string_view name_of(EngineJob job) {
  switch (job) {
    case EngineJob::verify:
      return "Verify";
    case EngineJob::tune:
      return "Tune";
    case EngineJob::compare:
      return "Compare";
    case EngineJob::generate:
      break;
  }
  return "Read it";
}

std::vector<Words> commands_of(const EngineRequest& request) {
  switch (request.job) {
    case EngineJob::verify: {
      Words out = {"verify", request.info->path.string(), "--model", request.model};
      for (const std::string& each : options_of(request.settings)) out.push_back(each);
      add(out, {"--out", request.out.string(), "--force"});
      return {out};
    }
    case EngineJob::tune:
      return {tune_words(request)};
    case EngineJob::compare:
      return {compare_words(request)};
    case EngineJob::generate:
      break;
  }
  return {generate_words(request, Settings(kFullAttention)), generate_words(request, request.settings)};
}

std::string text_of(const std::vector<Words>& commands) {
  std::string out;
  for (const Words& command : commands) {
    for (const std::string& word : command) {
      if (&word != &command.front()) out += ' ';
      out += shell_word(word);
    }
    out += '\n';
  }
  return out;
}

std::vector<Words> commands_from(const std::string& text) {
  std::vector<Words> out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    Words words = split_words(std::string_view(text).substr(begin, end - begin));
    if (!words.empty()) out.push_back(std::move(words));
    begin = end + 1;
  }
  if (out.empty()) fail_usage({"command", "arguments for reattend", "none", "choose the job again"});
  return out;
}

fs::path find_engine(const fs::path& given) {
  std::error_code error;
  if (!given.empty()) return fs::is_regular_file(given, error) ? fs::absolute(given, error) : fs::path();
  const fs::path beside = fs::read_symlink("/proc/self/exe", error).parent_path() / "reattend";
  return fs::is_regular_file(beside, error) ? beside : fs::path();
}

bool is_model_there(const std::string& model) {
  std::error_code error;
  if (fs::is_regular_file(model, error)) return true;
  if (model.empty() || fs::path(model).has_parent_path()) return false;
  try {
    return fs::is_regular_file(model_store() / model, error);
  } catch (const Error&) {
    return false;  // an environment without a home has no store
  }
}

ModelPlace find_model(const TraceInfo& info) {
  std::vector<std::string> places;
  try {
    const Words words = split_words(info.attribute("command_line"));
    const auto option = std::ranges::find(words, "--model");
    if (option != words.end() && option + 1 != words.end()) places.push_back(*(option + 1));
  } catch (const Error&) {
    // a command line that somebody else wrote
  }
  const std::string name = fs::path(info.attribute("model")).filename().string();
  if (!name.empty()) places.push_back((info.path.parent_path() / name).string()), places.push_back(name);
  for (const std::string& each : places) {
    if (is_model_there(each)) return {each, true};
  }
  return {name, false};
}

}  // namespace reattend::viz
