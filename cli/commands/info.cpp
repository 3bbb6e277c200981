// `reattend info`: what a model file, a trace or this machine is.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "cli/command.h"
#include "cli/options/model_options.h"
#include "engine/backend/backend.h"
#include "engine/model/gguf.h"
#include "engine/model/model.h"
#include "engine/sequence_needs.h"
#include "engine/text/tokenizer.h"
#include "kernels/cpu/ops.h"
#include "replay/cost/calibration_file.h"
#include "report/table.h"
#include "traces/read/reader.h"

namespace reattend::cli {
namespace {

constexpr double kStreamSeconds = 0.5;

/// An ordered list of facts: the same for people and for programs.
using Facts = nlohmann::ordered_json;

/// A fact on a line; those of an object follow its name, set in.
Table facts_table(const Facts& facts) {
  Table out = {.columns = {{.key = {}, .left = true},
                           {.key = {}, .digits = 6, .left = true, .notation = Notation::significant}}};
  const auto add = [&](const std::string& name, const Facts& fact) {
    const Cell value = fact.is_number_float() ? Cell(fact.get<double>())
                       : fact.is_string()     ? Cell(to_line({.where = fact.get<std::string>()}))
                       : fact.is_object()     ? Cell(std::string())
                                              : Cell(json_text(fact));
    out.rows.push_back({to_line({.where = name}), value});
  };
  for (const auto& [key, value] : facts.items()) {
    add(key, value);
    if (!value.is_object()) continue;
    for (const auto& [inner, fact] : value.items()) add("  " + inner, fact);
  }
  return out;
}

void print(const Facts& facts, const bool as_json) {
  print_out("{}", as_json ? json_text(facts) + "\n" : to_text(facts_table(facts)));
}

Facts about_machine(const Globals& globals) {
  ThreadPool pool(globals.threads);
  return {{"cpu target", Cpu::target_name()},
          {"threads", pool.n_thread()},
          {"stream GB/s", device_of(BackendOptions().device).read_rate(pool, kStreamSeconds).best},
          {"model store", model_store().string()}};
}

/// What text becomes tokens by; why it can't, where it can't.
Facts about_tokenizer(const Gguf& file) {
  Facts facts = {{"model", file.string_or("tokenizer.ggml.model", "none")}};
  try {
    const Tokenizer tokenizer(file);
    const bool by_patterns = file.string_or("tokenizer.ggml.model", "") == "gpt2";
    facts["pre-tokenizer"] = by_patterns ? file.string_or("tokenizer.ggml.pre", "default (assumed)") : "none";
    std::vector<int32_t> bos;
    tokenizer.add_bos(bos);
    facts["put before prompts"] = bos.empty() ? "nothing" : tokenizer.piece(bos.front(), true);
    facts["chat template"] = tokenizer.has_chat() ? "the file's own" : "none: use --raw or --chat-template FILE|NAME";
    for (size_t i = 0; i < tokenizer.guesses().size(); ++i) {
      facts[fmt::format("warning {}", i + 1)] = tokenizer.guesses()[i];
    }
  } catch (const Error& error) {
    facts["refused"] = error.what();
  }
  return facts;
}

/// The smallest and the largest of what angles are divided by, where they are divided.
std::string factors_text(const std::vector<float>& factors) {
  if (factors.empty()) return "none";
  const auto [low, high] = std::minmax_element(factors.begin(), factors.end());
  return *low == *high ? fmt::format("{}", *low) : fmt::format("{} to {}", *low, *high);
}

/// "0-4, 6, 8-9"
std::string ranges_text(const std::vector<int32_t>& ascending) {
  std::vector<std::string> parts;
  for (size_t i = 0, end = 0; i < ascending.size(); i = end) {
    for (end = i + 1; end < ascending.size() && ascending[end] == ascending[end - 1] + 1;) ++end;
    parts.push_back(end == i + 1 ? fmt::format("{}", ascending[i])
                                 : fmt::format("{}-{}", ascending[i], ascending[end - 1]));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// Which layers a policy acts on, and what the others attend to.
void add_windows(const ModelShape& shape, Facts& facts) {
  std::vector<int32_t> acting;
  std::map<int32_t, std::vector<int32_t>> windowed;
  for (int32_t l = 0; l < shape.n_layer; ++l) {
    (shape.acts(l) ? acting : windowed[shape.layers[static_cast<size_t>(l)].window]).push_back(l);
  }
  facts["policies act on"] = windowed.empty() ? "all layers"
                             : acting.empty() ? "no layer"
                                              : "layers " + ranges_text(acting);
  if (windowed.empty()) return;
  facts["windows"] = Facts::object();
  for (const auto& [window, layers] : windowed) {
    facts["windows"][fmt::format("{}", window)] = "positions in layers " + ranges_text(layers);
  }
}

/// What a cache of the type takes for each position, and for windows once they are full.
std::string cache_text(const ModelShape& shape, KvType type) {
  const int64_t position = position_bytes(shape, type);
  int64_t windows = 0;
  for (const LayerShape& layer : shape.layers) windows += std::min(layer.window, shape.n_ctx_train) * position;
  const std::string text = fmt::format("{} bytes", position * shape.n_acting());
  return windows == 0 ? text : fmt::format("{}, and {:.1f} MB of windows", text, static_cast<double>(windows) * 1e-6);
}

Facts about_model(const std::filesystem::path& path) {
  const Model model = Model::open(path);
  const ModelShape& shape = model.shape();
  struct Sum {
    int64_t tensors = 0, weights = 0, bytes = 0;
  };
  std::map<std::string, Sum> by_type;
  for (const GgufTensor& tensor : model.file().tensors()) {
    Sum& sum = by_type[std::string(format_of(tensor.view.type).name)];
    ++sum.tensors;
    sum.weights += tensor.view.n_row * tensor.view.n_col;
    sum.bytes += static_cast<int64_t>(tensor.view.bytes.size());
  }
  Facts types = Facts::object();
  for (const auto& [type, sum] : by_type) {
    types[type] = fmt::format("{} tensors, {} weights, {} bytes", sum.tensors, sum.weights, sum.bytes);
  }
  Facts cache = Facts::object();
  for (const KvType type : kKvTypes) {
    cache[std::string(name_of(type))] = cache_text(shape, type);
  }
  Facts facts = {{"model", path.string()},
                 {"parts", model.file().n_part()},
                 {"sha256", model.sha256()},
                 {"name", shape.name},
                 {"architecture", shape.architecture},
                 {"layers", shape.n_layer},
                 {"query heads", shape.n_head},
                 {"KV heads", shape.n_kv_head},
                 {"heads of a group", shape.group()},
                 {"head width", shape.d_head},
                 {"model width", shape.d_model},
                 {"feed-forward width", shape.d_ffn},
                 {"vocabulary", shape.n_vocab},
                 {"context", shape.n_ctx_train},
                 {"RoPE base", shape.ropes.front().base},
                 {"RoPE layout", shape.ropes.front().layout == RopeLayout::pairs ? "pairs" : "halves"},
                 {"RoPE factors", factors_text(shape.ropes.front().factors)}};
  for (size_t i = 1; i < shape.ropes.size(); ++i) facts["RoPE base of windows"] = shape.ropes[i].base;
  if (shape.attention_scale > 0) facts["scale of scores"] = shape.attention_scale;
  if (shape.attention_cap > 0) facts["cap of scores"] = shape.attention_cap;
  if (shape.logit_cap > 0) facts["cap of logits"] = shape.logit_cap;
  add_windows(shape, facts);
  facts["tokenizer"] = about_tokenizer(model.file());
  facts["cache per position"] = cache;
  facts["tensors"] = types;
  return facts;
}

Facts about_trace(const std::filesystem::path& path) {
  const std::shared_ptr<TraceReader> trace = TraceReader::open(path);
  const TraceInfo& info = trace->info();
  Facts attributes = Facts::object();
  for (const auto& [key, value] : info.attributes) attributes[key] = value;
  Facts facts = {{"trace", path.string()},
                 {"policy", info.policy_text()},
                 {"output", info.shadow ? "full attention (the policy observed only)" : "the policy's"},
                 {"prompt tokens", info.n_prompt},
                 {"decode steps", info.n_step},
                 {"layers", info.n_layer},
                 {"query heads", info.n_head},
                 {"KV heads", info.n_kv_head},
                 {"head width", info.d_head},
                 {"vocabulary", info.n_vocab},
                 {"cache type", name_of(info.kv_type)},
                 {"values", info.has_values},
                 {"calibration", to_json(info.calibration)},
                 {"attributes", attributes}};
  if (!info.warning.empty()) facts["warning"] = info.warning;
  return facts;
}

/// By the first bytes, not by the name.
enum class FileKind { model, trace, unknown };
FileKind kind_of(const std::filesystem::path& path) {
  std::array<char, 8> magic{};
  std::ifstream in(path, std::ios::binary);
  if (!in) fail({path.string(), "a readable file", std::strerror(errno), ""});
  in.read(magic.data(), magic.size());
  const std::string_view bytes(magic.data(), static_cast<size_t>(in.gcount()));
  if (bytes.starts_with("GGUF")) return FileKind::model;
  return bytes == "\x89HDF\r\n\x1a\n" ? FileKind::trace : FileKind::unknown;
}

void info(const std::string& file, const Globals& globals) {
  if (file.empty()) return print(about_machine(globals), globals.json);
  const std::filesystem::path path = find_model(file);
  switch (kind_of(path)) {
    case FileKind::model:
      return print(about_model(path), globals.json);
    case FileKind::trace:
      return print(about_trace(path), globals.json);
    case FileKind::unknown:
      fail({path.string(), "a GGUF model or an HDF5 trace", "a file that is neither", ""});
  }
}

void add_options(CLI::App* command, const std::shared_ptr<std::string>& file) {
  command->add_option("file", *file, "A GGUF model or a trace; nothing: this machine")->type_name("FILE");
  command->footer(
      "Examples:\n  reattend info\n  reattend info SmolLM2-135M-Instruct.Q4_1.gguf\n  reattend info trace.h5 --json");
}

}  // namespace

const Command kInfo = make_command<std::string, add_options, info>("info", "What a model, a trace or this machine is");

}  // namespace reattend::cli
