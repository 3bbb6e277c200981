// `reattend bench`: prefill and decode at several depths against the machine's read bandwidth and against a peer's
// llama-bench.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/statistics.h"
#include "base/subprocess.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "evals/teacher_forced.h"
#include "kernels/cpu/stream.h"

namespace reattend::cli {
namespace {

struct Options {
  ModelOptions model;
  std::vector<int64_t> depths = {0, 2048, 7680};
  int64_t prompt = 512, steps = 64, repeats = 3;
  int64_t budget = 1024, stride = 16;
  std::string peer, json;
  bool force = false;
};

/// One line of the table: a kind of work under a policy at a depth.
struct Row {
  std::string work, policy;
  int64_t depth = 0;
  std::vector<double> tok_per_s;       ///< one a repeat
  std::vector<double> peer_tok_per_s;  ///< the peer's full attention, one a run and flash-attention setting
  double bytes_per_token = 0;
};

/// Ids that spread over the vocabulary; what they say does not matter for time.
std::vector<int32_t> some_tokens(int64_t n, int32_t n_vocab) {
  std::vector<int32_t> ids;
  uint32_t state = 12345;
  for (int64_t i = 0; i < n; ++i) {
    state = state * 1664525U + 1013904223U;
    ids.push_back(static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(n_vocab)));
  }
  return ids;
}

/// One depth of our own: a prompt that long, continued from forks.
class Ours {
 public:
  Ours(Backend& backend, const Model& model, const Options& options, int64_t depth, const ProgressFn& progress,
       const Cancel& cancel)
      : backend_(backend),
        model_(model),
        options_(options),
        depth_(depth),
        cancel_(cancel),
        ids_(some_tokens(depth + options.prompt + options.steps + 1, model.shape().n_vocab)) {
    const auto n_ctx = static_cast<int32_t>(ids_.size());
    base_ = prefill(backend, model, std::span(ids_).first(std::max<int64_t>(depth, 1)),
                    {.n_ctx = n_ctx, .progress = progress, .cancel = cancel});
  }

  double prefill_rate() {
    const auto sequence = depth_ > 0 ? backend_.model->fork(*base_.sequence)
                                     : backend_.model->new_sequence(static_cast<int32_t>(options_.prompt), {});
    const double seconds = extend(backend_, model_, *sequence, std::span(ids_).subspan(depth_, options_.prompt),
                                  static_cast<int32_t>(depth_), {.cancel = cancel_});
    return static_cast<double>(options_.prompt) / seconds;
  }

  /// Tokens a second, by plain wall time of all steps as the peer reports it, and bytes a token.
  std::pair<double, double> decode_rate(const Settings& settings) {
    const auto sequence = backend_.model->fork(*base_.sequence);
    const Generated run = generate(backend_, model_, *sequence, base_,
                                   {.settings = settings,
                                    .n_step = static_cast<int32_t>(options_.steps),
                                    .next_token = [&](int32_t t, std::span<const float>) { return ids_[depth_ + t]; },
                                    .cancel = cancel_});
    cancel_.check();
    const auto n = static_cast<double>(options_.steps);
    return {n / run.seconds, static_cast<double>(run.bytes.weights + run.bytes.attend + run.bytes.select) / n};
  }

 private:
  Backend& backend_;
  const Model& model_;
  const Options& options_;
  int64_t depth_;
  Cancel cancel_;
  std::vector<int32_t> ids_;
  Prefilled base_;
};

/// What one run of llama-bench says of a depth: tokens a second of prefill and decode.
struct PeerResult {
  std::vector<double> prefill, decode;
};

PeerResult run_peer(const Options& options, const std::string& model, int64_t depth, int threads, const char* flash,
                    const Cancel& cancel) {
  const std::filesystem::path out =
      std::filesystem::temp_directory_path() / fmt::format("reattend-peer-{}.json", ::getpid());
  const std::filesystem::path log = out.string() + ".log";
  const std::filesystem::path folder = std::filesystem::path(options.peer).parent_path();
  const int status = run_program({.arguments = {options.peer,
                                                "-m",
                                                model,
                                                "-p",
                                                std::to_string(options.prompt),
                                                "-n",
                                                std::to_string(options.steps),
                                                "-d",
                                                std::to_string(depth),
                                                "-t",
                                                std::to_string(threads),
                                                "-fa",
                                                flash,
                                                "-r",
                                                "1",
                                                "-ctk",
                                                "f16",
                                                "-ctv",
                                                "f16",
                                                "-o",
                                                "json"},
                                  .environment = {{"LD_LIBRARY_PATH", folder.string()}},
                                  .out = out,
                                  .errors = log,
                                  .remedy = "give the path of llama-bench with --peer"},
                                 cancel);
  cancel.check();
  PeerResult result;
  try {
    std::ifstream file(out);
    for (const auto& row : nlohmann::json::parse(file)) {
      (row.at("n_gen").get<int64_t>() > 0 ? result.decode : result.prefill).push_back(row.at("avg_ts").get<double>());
    }
  } catch (const nlohmann::json::exception& error) {
    std::ifstream file(log);
    std::string line, last;
    while (std::getline(file, line)) last = line.empty() ? last : line;
    fail({.where = options.peer,
          .expected = "JSON with avg_ts",
          .got = fmt::format("exit status {}, {}", status, last.empty() ? error.what() : last),
          .remedy = "does it run by hand? its libraries must lie beside it under their short names"});
  }
  std::filesystem::remove(out);
  std::filesystem::remove(log);
  return result;
}

nlohmann::json to_json(const Row& row, double stream) {
  const double rate = median(row.tok_per_s);
  const double peer =
      row.peer_tok_per_s.empty() ? 0 : *std::max_element(row.peer_tok_per_s.begin(), row.peer_tok_per_s.end());
  return {{"work", row.work},
          {"policy", row.policy},
          {"depth", row.depth},
          {"tok_per_s", rate},
          {"samples", row.tok_per_s},
          {"peer_tok_per_s", peer > 0 ? nlohmann::json(peer) : nlohmann::json()},
          {"peer_samples", row.peer_tok_per_s},
          {"ratio", peer > 0 ? nlohmann::json(rate / peer) : nlohmann::json()},
          {"stream_percent", row.bytes_per_token > 0 && stream > 0
                                 ? nlohmann::json(100 * rate * row.bytes_per_token / 1e9 / stream)
                                 : nlohmann::json()}};
}

void print_table(const nlohmann::json& result) {
  fmt::print("{} threads, {} kernels, stream {:.1f} GB/s; medians of {} repeats{}\n", result["threads"].get<int>(),
             result["cpu"].get<std::string>(), result["stream_gbps"].get<double>(), result["repeats"].get<int64_t>(),
             result["peer"].is_null() ? "" : ", the peer at its best of flash attention on and off");
  fmt::print("{:<8} {:<24} {:>6} {:>10} {:>10} {:>7} {:>10}\n", "work", "policy", "depth", "tok/s", "peer", "ratio",
             "% stream");
  for (const auto& row : result["rows"]) {
    const auto number = [&](const char* key, const char* format) {
      return row[key].is_null() ? std::string("-") : fmt::format(fmt::runtime(format), row[key].get<double>());
    };
    fmt::print("{:<8} {:<24} {:>6} {:>10} {:>10} {:>7} {:>10}\n", row["work"].get<std::string>(),
               row["policy"].get<std::string>(), row["depth"].get<int64_t>(), number("tok_per_s", "{:.1f}"),
               number("peer_tok_per_s", "{:.1f}"), number("ratio", "{:.2f}"), number("stream_percent", "{:.0f}"));
  }
}

void check(const Options& options, const ModelShape& shape) {
  for (const int64_t depth : options.depths) {
    const int64_t longest = depth + std::max(options.prompt, options.steps + 1);
    if (depth < 0 || longest > std::max<int64_t>(shape.n_ctx_train, options.model.ctx)) {
      fail_usage({.where = "--depths",
                  .expected = fmt::format("0 to {}", shape.n_ctx_train - std::max(options.prompt, options.steps + 1)),
                  .got = std::to_string(depth)});
    }
  }
  if (options.prompt < 1 || options.steps < 1 || options.repeats < 1) {
    fail_usage({.where = "--prompt-tokens, --steps, --repeats",
                .expected = "at least 1",
                .got = fmt::format("{}, {}, {}", options.prompt, options.steps, options.repeats)});
  }
  if (!options.json.empty()) refuse_to_replace(options.json, options.force);
}

void run(const Options& options, const Globals& globals) {
  const Model model = Model::open(find_model(options.model.model));
  check(options, model.shape());
  ThreadPool pool(globals.threads);
  Backend backend = make_backend(options.model.backend(), model, pool);
  const ProgressFn progress = make_progress(globals.progress);
  Settings recycled("recycled");
  recycled.set("K", options.budget);
  recycled.set("S", options.stride);

  std::vector<double> stream;
  nlohmann::json rows = nlohmann::json::array();
  std::vector<Row> table;
  for (const int64_t depth : options.depths) {
    Ours ours(backend, model, options, depth, progress, globals.cancel);
    std::vector<Row> here = {{.work = "prefill", .policy = "full", .depth = depth},
                             {.work = "decode", .policy = "full", .depth = depth}};
    if (depth > options.budget) here.push_back({.work = "decode", .policy = recycled.summary(), .depth = depth});
    // Ours and the peer's take turns, so that a slow minute of a shared machine falls on both.
    for (int64_t repeat = 0; repeat < options.repeats; ++repeat) {
      progress(fmt::format("depth {}", depth), static_cast<double>(repeat), static_cast<double>(options.repeats),
               "repeats");
      stream.push_back(cpu::stream_gbps(pool, 0.3));
      here[0].tok_per_s.push_back(ours.prefill_rate());
      for (size_t i = 1; i < here.size(); ++i) {
        const auto [rate, bytes] = ours.decode_rate(i == 1 ? Settings("full") : recycled);
        here[i].tok_per_s.push_back(rate);
        here[i].bytes_per_token = bytes;
      }
      if (options.peer.empty()) continue;
      const PeerResult peer = run_peer(options, model.path().string(), depth, pool.n_thread(),
                                       repeat % 2 == 0 ? "on" : "off", globals.cancel);
      for (Row& row : here) {
        const std::vector<double>& theirs = row.work == "prefill" ? peer.prefill : peer.decode;
        row.peer_tok_per_s.insert(row.peer_tok_per_s.end(), theirs.begin(), theirs.end());
      }
    }
    progress(fmt::format("depth {}", depth), static_cast<double>(options.repeats), static_cast<double>(options.repeats),
             "repeats");
    table.insert(table.end(), here.begin(), here.end());
  }
  const double bandwidth = median(stream);
  for (const Row& row : table) rows.push_back(to_json(row, bandwidth));
  const nlohmann::json result = {{"model", model.path().filename().string()},
                                 {"threads", pool.n_thread()},
                                 {"cpu", std::string(cpu::target_name())},
                                 {"stream_gbps", bandwidth},
                                 {"repeats", options.repeats},
                                 {"peer", options.peer.empty() ? nlohmann::json() : nlohmann::json(options.peer)},
                                 {"rows", rows}};
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << result.dump(2) << "\n";
    if (!file.flush())
      fail({.where = options.json,
            .expected = "a file that can be written",
            .got = "an error",
            .remedy = "check the folder and the disk"});
  }
  if (globals.json) {
    fmt::print("{}\n", result.dump(2));
  } else {
    print_table(result);
  }
}

}  // namespace

void add_bench(CLI::App& app, const Globals& globals) {
  CLI::App* const command =
      app.add_subcommand("bench", "Time prefill and decode at several depths, beside llama-bench if given");
  const auto options = std::make_shared<Options>();
  options->model.add_to(*command);
  command->add_option("--depths", options->depths, "Positions in the cache before what is timed")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--prompt-tokens", options->prompt, "Tokens of the timed prefill")->capture_default_str();
  command->add_option("--steps", options->steps, "Tokens of the timed decode")->capture_default_str();
  command->add_option("--repeats", options->repeats, "How often; medians are printed")->capture_default_str();
  command->add_option("--budget", options->budget, "K of the recycled rows")->capture_default_str();
  command->add_option("--stride", options->stride, "S of the recycled rows")->capture_default_str();
  command->add_option("--peer", options->peer,
                      "llama-bench to run in turns with ours: full attention, f16 cache, same threads");
  command->add_option("--json-out", options->json, "Also write the result as JSON to this file");
  command->add_flag("--force", options->force, "Replace an existing file");
  command->footer(
      "Examples:\n  reattend bench\n  reattend bench --depths 0,7680 --peer /opt/llama/llama-bench --json-out "
      "bench.json");
  command->callback([options, &globals] { run(*options, globals); });
}

}  // namespace reattend::cli
