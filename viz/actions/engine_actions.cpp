// Actions on the engine: its jobs are started as the panel does it, and whoever waits hears how they ended.
#include <algorithm>

#include "base/error.h"
#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"
#include "viz/session/engine.h"

namespace reattend::viz {
namespace {

constexpr const char* kGroup = "engine";

/// "verify", "tune", "compare", "read": a job's button in one small word.
std::string word_of(EngineJob job) {
  return job == EngineJob::verify    ? "verify"
         : job == EngineJob::tune    ? "tune"
         : job == EngineJob::compare ? "compare"
                                     : "read";
}

std::vector<std::string> job_words(const Workbench&) {
  std::vector<std::string> words;
  for (const EngineJob job : kEngineJobs) words.push_back(word_of(job));
  return words;
}

EngineJob job_of(const Arguments& arguments) {
  return *std::ranges::find(kEngineJobs, arguments.text("job"), word_of);
}

void check_trace(const Session& session) {
  if (session.trace() != nullptr && session.trace()->info.n_step > 0) return;
  fail_usage({.where = "engine", .expected = "an open trace with decode steps", .got = "none", .remedy = "open one"});
}

Outcome start(Workbench& bench, const Arguments& arguments) {
  check_trace(bench.session);
  Engine& engine = bench.session.data<Engine>();
  const EngineJob job = job_of(arguments);
  engine.start(bench.session, job,
               arguments.has("commands") ? arguments.text("commands") : engine.command_text(bench.session, job));
  return {.later = [](Workbench& later) -> std::optional<nlohmann::json> {
    const Engine& of = later.session.data<Engine>();
    if (!of.idle()) return std::nullopt;
    const EngineRun& run = *of.runs().back();
    if (run.state() != RunState::done) throw Error(run.outcome());
    return run.outcome();
  }};
}

}  // namespace

void add_engine_actions(Actions& actions) {
  const Argument job = {.name = "job", .help = "what the engine is started for", .choices = job_words};
  actions.add({.name = "engine.start",
               .title = "start the engine",
               .group = kGroup,
               .run = start,
               .arguments = {job,
                             {.name = "commands",
                              .help = "in place of the panel's own, one a line, without the program",
                              .required = false}}});
  actions.add({.name = "engine.commands",
               .title = "command lines of a job of the engine",
               .group = kGroup,
               .run =
                   [](Workbench& bench, const Arguments& arguments) {
                     check_trace(bench.session);
                     const Engine& engine = bench.session.data<Engine>();
                     return Outcome{.result = engine.command_text(bench.session, job_of(arguments))};
                   },
               .arguments = {job}});
  actions.add({.name = "engine.model",
               .title = "name the trace's model",
               .group = kGroup,
               .run = does([](Workbench& bench, const Arguments& arguments) {
                 bench.session.data<Engine>().set_model(arguments.text("file"));
               }),
               .arguments = {{.name = "file", .help = "a path, or a name in the model store"}}});
  actions.add(
      {.name = "engine.stop", .title = "stop the engine", .group = kGroup, .run = does([](Workbench& bench) {
                                                                             bench.session.data<Engine>().stop();
                                                                           })});
}

}  // namespace reattend::viz
