// `reattend demo`: the main job on one long prompt: record, tune by replay, prove in the engine, run, report.
#include <fmt/format.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "base/subprocess.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/options/model_options.h"
#include "cli/options/next_token.h"
#include "cli/options/prompt_text.h"
#include "cli/options/tokenizer_choice.h"
#include "cli/reports/demo.h"
#include "cli/reports/tune_words.h"
#include "engine/record/nvtx.h"
#include "engine/record/recording.h"
#include "evals/setting_scorer.h"
#include "tune/settings_file.h"
#include "tune/tune.h"

namespace reattend::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  ModelOptions model;
  SamplerOptions sampler{.temperature = 0.8F, .top_k = 40, .top_p = 0.95F, .seed = 1};
  TuneBounds bounds;
  TokenizerChoice tokenizer_choice;
  std::string text, out = "out";
  int64_t tokens = 5000, steps = 256, offset = 200'000;
  bool force = false;
};

/// What stands before and after the passage. A story keeps a small model writing; asked to explain, it copies or loops.
constexpr const char* kIntroduction = "Here is a part of a longer work:\n\n";
constexpr const char* kQuestion =
    "\n\nCan you write a short story about a programmer that uses some of the words above?";

/// Byte offset of the first line that begins at or after character `n`; the beginning where the text is too short to
/// leave a prompt's worth behind it.
size_t line_after(const std::string& text, int64_t n, size_t wanted) {
  const size_t line = text.find('\n', first_utf8_chars(text, n).bytes);
  return line == std::string::npos || text.size() - line < wanted ? 0 : line + 1;
}

/// The passage and the question in the model's chat template: about n_token tokens, cut at a line's end.
std::vector<int32_t> make_prompt(const Tokenizer& tokenizer, const std::string& text, const Options& options) {
  if (!tokenizer.has_chat()) {
    fail({.where = "--model",
          .expected = "one with a chat template, for the demo asks a question",
          .got = options.model.model,
          .remedy = "give its format with --chat-template FILE|NAME, or take the default model"});
  }
  constexpr size_t kBytesPerToken = 8;  // more than prose has, so that the piece taken is long enough
  const auto wanted = static_cast<size_t>(options.tokens) * kBytesPerToken;
  const std::string piece = text.substr(line_after(text, options.offset, wanted), wanted);
  const auto compose = [&](const std::string& passage) {
    const Tokenizer::Message message = {.role = "user", .content = kIntroduction + passage + kQuestion};
    std::vector<int32_t> ids = tokenizer.encode(tokenizer.chat({&message, 1}, true));
    tokenizer.add_bos(ids);
    return ids;
  };
  const auto frame = static_cast<int64_t>(compose("").size());
  std::vector<int32_t> ids = tokenizer.encode(piece, false);
  if (options.tokens <= frame || ids.empty()) {
    fail_usage({.where = "--tokens",
                .expected = fmt::format("more than {} (the question alone) and a text that is not empty", frame),
                .got = std::to_string(options.tokens)});
  }
  ids.resize(std::min<size_t>(ids.size(), static_cast<size_t>(options.tokens - frame)));
  std::string passage = tokenizer.decode(ids);
  const size_t end = passage.rfind('\n');
  if (end != std::string::npos && end > passage.size() / 2) passage.resize(end);
  return compose(passage);
}

/// Everything the demo leaves in its folder.
struct Files {
  fs::path trace, settings, picture, report;
  explicit Files(const fs::path& folder)
      : trace(folder / "trace.h5"),
        settings(folder / "reattend.toml"),
        picture(folder / "view.png"),
        report(folder / "report.md") {}
  void check(bool force) const {
    for (const fs::path& path : {trace, picture}) refuse_to_replace(path, force);
    for (const fs::path& path : {settings, report}) refuse_to_replace_by_text(path, force);
  }
};

void say(const Globals& globals, const std::string& line) {
  if (!globals.json) print_note("{}\n", line);
}

/// The front end's picture of the trace under the chosen settings; says why where there is none.
std::string draw_picture(const Files& files, const Globals& globals) {
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path() / "reattend-view";
  if (!fs::exists(program)) return "no picture: the front end was not built";
  const fs::path log = files.picture.string() + ".log";
  const int status =
      run_program({.arguments = {program.string(), files.trace.string(), "--settings", files.settings.string(),
                                 "--screenshot", files.picture.string(), "--force"},
                   .out = log,
                   .errors = log},
                  globals.cancel);
  if (status == 0) {
    fs::remove(log);
    return {};
  }
  std::ifstream file(log);
  std::string line;
  std::getline(file, line);
  return fmt::format("no picture: {}", line.empty() ? fmt::format("reattend-view ended with status {}", status) : line);
}

void run(const Options& options, const Globals& globals) {
  const auto begin = std::chrono::steady_clock::now();
  check_bounds(options.bounds);
  const Files files(options.out);
  files.check(options.force);
  std::error_code made;
  fs::create_directories(options.out, made);
  if (made) fail({.where = options.out, .expected = "a folder that can be made", .got = made.message()});

  constexpr size_t kLongestText = size_t{1} << 30;
  const std::string text = read_text(
      options.text, {.where = options.text, .expected = "a text file", .remedy = "give one with --text"}, kLongestText);
  const Model model = Model::open(find_model(options.model.model));
  const Tokenizer tokenizer = options.tokenizer_choice.open(model.file());
  const std::vector<int32_t> prompt = make_prompt(tokenizer, take_text(text, options.text), options);
  const int32_t n_ctx = options.model.n_ctx(model.shape(), static_cast<int64_t>(prompt.size()), options.steps);
  ThreadPool pool(globals.threads);
  Backend backend = make_backend(options.model.backend(), model, pool);
  const ProgressFn progress = make_progress(globals.progress);

  DemoReport report = {.model = model.path().filename().string(),
                       .text = options.text,
                       .threads = pool.n_thread(),
                       .n_prompt = prompt.size(),
                       .n_step = options.steps,
                       .trace = files.trace.string(),
                       .settings_file = files.settings.string(),
                       .picture = files.picture.string(),
                       .report = files.report.string()};

  say(globals,
      fmt::format("1. record: {} tokens of prompt, {} steps under full attention", prompt.size(), options.steps));
  NextToken next(tokenizer, options.sampler);
  const std::unique_ptr<Observer> ranges = make_nvtx_observer();
  std::vector<Observer*> watching;
  if (ranges) watching.push_back(ranges.get());
  const Recording recording = record_run(backend, model, tokenizer, prompt,
                                         {.path = files.trace,
                                          .force = options.force,
                                          .settings = Settings("full"),
                                          .last_step = static_cast<int32_t>(options.steps),
                                          .n_ctx = n_ctx,
                                          .device = options.model.backend(),
                                          .next_token = [&](int32_t, StepLogits& logits) { return next(logits); },
                                          .command_line = globals.command_line,
                                          .observers = watching},
                                         pool, progress, globals.cancel);
  globals.cancel.check();
  report.prefill_seconds = recording.prefilled.seconds;
  report.full_text = to_utf8(tokenizer.decode(recording.run.tokens));

  say(globals, "2. tune: replaying the trace under many settings, measuring the best in the engine");
  const ReferenceRun full =
      run_reference(backend, model, recording.prefilled, static_cast<int32_t>(recording.run.tokens.size()),
                    follow(recording.run.tokens), progress, globals.cancel);
  std::shared_ptr<TraceReader> trace = TraceReader::open(files.trace);
  Replayer replayer(trace, pool);
  SettingScorer scorer(backend, model, recording.prefilled, full);
  const auto measure = [&](const Settings& settings, size_t) {
    return scorer.measure(settings, progress, globals.cancel);
  };
  Replayer* const traces[] = {&replayer};
  report.tuned = tune(traces, {.bounds = options.bounds}, measure, progress, globals.cancel);
  report.full_ms = report.tuned.best().measured->full_ms;  // in the settings' rounds
  write_text_file(files.settings,
                  settings_file(report.tuned, {.reason = reason_in_words(report.tuned), .times_from = {}}),
                  options.force);

  say(globals, fmt::format("3. run: {} steps under {}", options.steps, report.tuned.best().settings.summary()));
  NextToken again(tokenizer, options.sampler);
  StepClock clock;
  Observer* observers[] = {&clock};
  const auto sequence = backend.model->fork(*recording.prefilled.sequence);
  const Generated free = generate(backend, model, *sequence, recording.prefilled,
                                  {.settings = report.tuned.best().settings,
                                   .n_step = static_cast<int32_t>(options.steps),
                                   .next_token = [&](int32_t, StepLogits& logits) { return again(logits); },
                                   .observers = observers,
                                   .progress = progress,
                                   .cancel = globals.cancel});
  globals.cancel.check();
  report.free_ms = clock.ms_per_token();
  report.tuned_text = to_utf8(tokenizer.decode(free.tokens));
  report.no_picture = draw_picture(files, globals);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  write_document(demo_document(report, true), files.report, options.force);
  if (globals.json) {
    print_out("{}\n", json_text(to_json(report), 2));
  } else {
    print_out("\n{}", to_text(demo_document(report, false)));
  }
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  options->model.add_to(*command);
  options->tokenizer_choice.add_to(*command, "Prompt");
  command->add_option("--text", options->text, "Text file; a part of it and a question make the prompt")
      ->required()
      ->type_name("FILE");
  command->add_option("--out", options->out, "Folder for trace, settings, picture and report")
      ->type_name("FOLDER")
      ->capture_default_str();
  command->add_option("--tokens", options->tokens, "Length of the prompt")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--steps", options->steps, "Decode steps")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  command->add_option("--offset", options->offset, "Characters of the text to skip")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  command->add_option("--max-output-error", options->bounds.max_output_error,
                      "Bound on the 95th percentile of the relative output error, by replay (0.5 where no KL can be "
                      "predicted)");
  command->add_option("--max-lost-mass", options->bounds.max_lost_mass,
                      "Bound on the mean lost attention mass, by replay (0.1 where no KL can be predicted)");
  command
      ->add_option("--max-kl", options->bounds.max_kl,
                   "Bound on the mean KL to full attention: predicted where it can be, and measured")
      ->capture_default_str();
  command->add_flag("--force", options->force, "Replace what is in the folder");
  add_sampler_options(*command, options->sampler);
  command->footer(
      "Examples:\n  reattend demo --text book.txt\n  reattend demo --text book.txt --tokens 6000 --max-kl 0.05 --out "
      "careful");
}

}  // namespace

const Command kDemo =
    make_command<Options, add_options, run>("demo", "The whole job on one text: record, tune, measure, run, report");

}  // namespace reattend::cli
