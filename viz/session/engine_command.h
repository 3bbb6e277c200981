// What `reattend` is started with from the window: the program, the trace's model, and the arguments of each job.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "traces/trace_info.h"
#include "tune/bounds.h"

namespace reattend::viz {

/// verify: the setting on the recorded tokens. tune: the policy's settings. compare: the setting beside other policies
/// on the recorded tokens. generate: a text under the setting, and full attention's.
enum class EngineJob : uint8_t { verify, tune, compare, generate };
inline constexpr EngineJob kEngineJobs[] = {EngineJob::verify, EngineJob::tune, EngineJob::compare,
                                            EngineJob::generate};
/// As on the buttons.
std::string_view name_of(EngineJob job);

/// What a job is to be started for.
struct EngineRequest {
  EngineJob job = EngineJob::verify;
  const TraceInfo* info = nullptr;
  Settings settings;
  TuneBounds bounds;                              ///< that a tuner keeps to
  std::string model;                              ///< a path, or a name in the model store
  std::vector<std::filesystem::path> verified{};  ///< files that the tuner corrects its predictions by
  std::filesystem::path out;                      ///< file that the job itself writes; empty where it writes none
  std::filesystem::path report{};                 ///< page that a tuner writes of what it found
};
/// The command lines of a job, without the program: one, or two that run one after the other. What they find is asked
/// for as JSON by kReportOptions, which stand behind each.
std::vector<std::vector<std::string>> commands_of(const EngineRequest& request);
inline constexpr std::string_view kReportOptions[] = {"--json", "--progress", "json"};

/// One command a line, as a shell takes them.
std::string text_of(const std::vector<std::vector<std::string>>& commands);
/// The way back, from what a person made of it; empty lines count for nothing. Throws Error (usage) where a quote has
/// no end or no command is left.
std::vector<std::vector<std::string>> commands_from(const std::string& text);

/// `given`, or `reattend` beside this very program. Empty where there is no such file.
std::filesystem::path find_engine(const std::filesystem::path& given);

struct ModelPlace {
  std::string path;    ///< what --model is given
  bool found = false;  ///< there is such a file; it need not be the trace's, which the engine checks
};
/// Where the model of a trace is likely to be: what its recording was given by --model, a file of its name beside the
/// trace or in the model store.
ModelPlace find_model(const TraceInfo& info);
bool is_model_there(const std::string& model);

}  // namespace reattend::viz
