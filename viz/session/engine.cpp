// Starts jobs, and passes on what they found: files beside the trace are read again, texts are taken as they are.
#include "viz/session/engine.h"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "viz/session/measured.h"
#include "viz/session/session.h"

namespace reattend::viz {
namespace {

using Outputs = std::vector<std::string>;

/// What a job says of its findings in sentences.
Outputs sentences(EngineJob job, const Outputs& outputs) {
  const nlohmann::json json = nlohmann::json::parse(outputs.back());
  Outputs out;
  const auto take = [&](const char* key) {
    const auto at = json.find(key);
    if (at == json.end()) return;
    if (at->is_string()) out.push_back(*at);
    for (const nlohmann::json& each : at->is_array() ? *at : nlohmann::json::array()) {
      if (each.is_string()) out.push_back(each);
    }
  };
  if (job == EngineJob::verify) take("findings");
  if (job == EngineJob::tune) take("reason"), take("estimate_evidence");
  return out;
}

}  // namespace

Engine::Engine(BackgroundTasks& tasks, int) : tasks_(tasks), program_(find_engine({})) {}

void Engine::enter(std::shared_ptr<Replayer> replayer) {
  entered_ = replayer != nullptr;
  model_ = {};
  // A job goes on: what it finds lies beside its own trace.
}

void Engine::update(const Session& session) {
  if (std::exchange(entered_, false)) {
    model_ = find_model(session.trace()->info);
    if (texts_of_ != session.path()) texts_.reset(), ++texts_version_;
  }
  if (seen_ || running()) return;
  seen_ = true;
  const RunPlan& plan = runs_.back()->plan();
  if (plan.job != EngineJob::generate) return session.data<Measured>().look_again();
  if (runs_.back()->state() != RunState::done || plan.trace != session.path()) return;
  texts_of_ = plan.trace, texts_ = *made_;
  ++texts_version_;
}

bool Engine::idle() const {
  return seen_ && !running();
}

void Engine::set_program(const std::filesystem::path& program) {
  given_ = program;
  program_ = find_engine(given_);
}

void Engine::set_model(const std::string& model) {
  model_ = {model, is_model_there(model)};
}

std::string Engine::command_text(const Session& session, EngineJob job) const {
  const std::filesystem::path& trace = session.path();
  const TraceFiles& files = session.data<Measured>().files();
  EngineRequest request = {.job = job,
                           .info = &session.trace()->info,
                           .settings = session.settings(),
                           .bounds = session.bounds(),
                           .model = model_.path,
                           .verified = files.verified_files,
                           .out = {}};
  if (job == EngineJob::verify) request.out = verified_file_for(trace, session.settings(), files);
  if (job == EngineJob::tune) request.out = tuned_settings_of(trace), request.report = tune_report_of(trace);
  return text_of(commands_of(request));
}

void Engine::start(const Session& session, EngineJob job, const std::string& commands) {
  if (running()) fail({"engine", "one job at a time", "another that still runs", "stop it, or wait"});
  program_ = find_engine(given_);
  if (program_.empty()) {
    fail({given_.empty() ? "reattend" : given_.string(), "the program with the engine beside this one", "no such file",
          "build it, or name it by --reattend"});
  }
  RunPlan plan = {.job = job,
                  .program = program_,
                  .commands = commands_from(commands),
                  .trace = session.path(),
                  .settings = session.settings(),
                  .keep = {},
                  .grace = grace_};
  if (job == EngineJob::tune) plan.keep = tune_json_of(plan.trace);
  if (job == EngineJob::compare) plan.keep = compare_json_of(plan.trace);
  if (job == EngineJob::generate) {
    made_ = std::make_shared<std::shared_ptr<const TwoTexts>>();
    plan.finish = [to = made_, settings = plan.settings](const Outputs& outputs) {
      if (outputs.size() != 2) fail_usage({"Read it", "two command lines", std::to_string(outputs.size()), {}});
      *to =
          std::make_shared<const TwoTexts>(hold_together(settings, read_written(outputs[0]), read_written(outputs[1])));
      return Outputs();
    };
  } else {
    plan.finish = [job](const Outputs& outputs) { return sentences(job, outputs); };
  }
  runs_.push_back(std::make_unique<EngineRun>(std::move(plan), [this] { tasks_.wake(); }));
  if (runs_.size() > kMostRuns) runs_.pop_front();
  seen_ = false;
}

void Engine::stop() {
  if (running()) runs_.back()->stop();
}

}  // namespace reattend::viz
