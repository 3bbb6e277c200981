// Numbers of the made-up recording.
#include "tests/traces/synthetic.h"

#include <stdlib.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "base/half.h"

namespace reattend::synthetic {
namespace {

/// In [-1, 1), different for every argument list, exact in binary16.
float number(int32_t kind, int32_t a, int32_t b, int32_t c, int32_t d) {
  uint32_t x = static_cast<uint32_t>(kind);
  for (const int32_t part : {a, b, c, d}) x = (x ^ static_cast<uint32_t>(part)) * 2654435761u + 0x9e3779b9u;
  return to_float(to_half(static_cast<float>(x >> 22) / 512.0F - 1.0F));
}

void put(std::vector<std::byte>& out, float x) {
  const auto bits = static_cast<uint16_t>(to_half(x));
  out.push_back(static_cast<std::byte>(bits & 0xff));
  out.push_back(static_cast<std::byte>(bits >> 8));
}

}  // namespace

float key(int32_t layer, int32_t kv_head, int32_t position, int32_t channel) {
  return number(1, layer, kv_head, position, channel);
}
float value(int32_t layer, int32_t kv_head, int32_t position, int32_t channel) {
  return number(2, layer, kv_head, position, channel);
}
float query(int32_t layer, int32_t head, int32_t position, int32_t channel) {
  return number(3, layer, head, position, channel);
}

TraceHeader header() {
  TraceHeader h;
  h.engine_version = "9.9";
  h.command_line = "reattend record --model \"ä\"";
  h.model = "synthetic";
  h.model_sha256 = std::string(64, 'a');
  h.architecture = "llama";
  h.device = "cpu";
  h.cpu_target = "scalar";
  h.activations = "q8";
  h.threads = 2;
  h.n_layer = kLayers, h.n_head = kHeads, h.n_kv_head = kKvHeads, h.d_head = kHead, h.d_model = kHeads * kHead;
  h.rope = {.layout = RopeLayout::halves, .base = 12345.5, .d_head = kHead, .factors = {1, 1.5F, 2, 3}};
  h.settings = Settings("recycled");
  h.settings.set("K", int64_t{16});
  h.settings.set("S", std::monostate{});
  h.settings.set("threshold", std::vector<double>{0.5, 0.75});
  h.settings.set("schedule", std::string("query"));
  h.shadow = true;
  h.has_prompt_row_sums = true;
  h.n_map = kMap;
  for (int32_t i = 0; i < kPrompt; ++i) h.prompt.push_back(i % kVocab);
  // Token 3 is not valid UTF-8, token 4 is empty, token 5 holds a zero byte.
  for (int32_t i = 0; i < kVocab; ++i) h.vocab.push_back("tok" + std::to_string(i));
  h.vocab[3] = "\xf0\x9f";
  h.vocab[4] = "";
  h.vocab[5] = std::string("a\0b", 3);
  h.end_tokens = {1, 2};
  h.calibration = {.weights_ms = 2.5,
                   .attend_ms = 0.25,
                   .stream_gbps = 40,
                   .attend_stream_gbps = 30,
                   .attend_gather_gbps = 20,
                   .attend_place_gbps = 15,
                   .rescore_gbps = 35,
                   .score_gbps = 10,
                   .rank_ns = 1.5,
                   .keep_ns = 4,
                   .sum_ns = 5,
                   .pack_ns = 0,
                   .page_ns = 20,
                   .estimate_ns = 2.5,
                   .channel_ns = 0.125};
  return h;
}

StepData top(int32_t t) {
  StepData out;
  for (int32_t i = 0; i < 20; ++i) {
    out.top_ids.push_back((t + i) % kVocab);
    out.top_logprobs.push_back(-0.5F - static_cast<float>(i) - static_cast<float>(t) / 1024);
  }
  out.top_rest = {static_cast<float>(t) / 4096};
  return out;
}

StepData step(int32_t t) {
  StepData s = top(t);
  const int32_t p = kPrompt - 1 + t;
  s.token = {(t * 3) % kVocab};
  for (int32_t l = 0; l < kLayers; ++l) {
    for (int32_t h = 0; h < kKvHeads; ++h) {
      for (int32_t c = 0; c < kHead; ++c) put(s.keys, key(l, h, p, c)), put(s.values, value(l, h, p, c));
      for (int32_t i = 0; i < kMap; ++i) {
        s.map_positions.push_back((t + i + 10 * l + h) % (p + 1));
        s.map_weights.push_back(number(4, l, h, t, i) / 8 + 0.125F);
      }
      s.map_rest.push_back(number(5, l, h, t, 0));
      for (int32_t k = 0; k < 3; ++k) s.overlap.push_back(number(6, l, h, t, k));
      s.full.push_back(static_cast<uint8_t>((t + l) % 2));
      s.reason.push_back(static_cast<uint8_t>((t + l) % 5));
      s.cos_last_full.push_back(h == 0 ? number(7, l, h, t, 0) : std::numeric_limits<float>::quiet_NaN());
      s.recovered.push_back(number(8, l, h, t, 0));
      s.oracle.push_back(number(9, l, h, t, 0));
      s.entropy.push_back(number(14, l, h, t, 0) + 1);
      s.positions.push_back(1 + (t + l + h) % p);
    }
    for (int32_t h = 0; h < kHeads; ++h) {
      for (int32_t c = 0; c < kHead; ++c) s.queries.push_back(query(l, h, p, c));
    }
    s.cos_prev_pre.push_back(number(10, l, t, 0, 0));
    s.cos_prev_post.push_back(number(11, l, t, 0, 0));
  }
  s.logprob = {-static_cast<float>(t) / 64};
  s.ms = {1.5 * t};
  s.bytes_weights = {1000 + t}, s.bytes_attend = {2000 + t}, s.bytes_select = {3000 + t};
  return s;
}

StepData step(int32_t t, const TraceHeader& h) {
  StepData s = step(t);
  const int32_t n_column = h.columns_for(h.expected_steps);
  for (int32_t i = 0; i < kLayers * kKvHeads * n_column; ++i) {
    s.map_dense.push_back(to_half(number(12, t, i, 0, 0)));
    s.map_binned.push_back(number(13, t, i, 0, 0));
  }
  return s;
}

void write_prompt(TraceWriter& writer, int32_t expected_steps) {
  TraceHeader all = header();
  all.expected_steps = expected_steps;
  write_prompt(writer, all);
}

void write_prompt(TraceWriter& writer, const TraceHeader& header) {
  writer.begin(header);
  for (int32_t l = 0; l < kLayers; ++l) {
    for (int32_t h = 0; h < kKvHeads; ++h) {
      std::vector<std::byte> keys, values;
      for (int32_t p = 0; p < kPrompt; ++p) {
        for (int32_t c = 0; c < kHead; ++c) put(keys, key(l, h, p, c)), put(values, value(l, h, p, c));
      }
      writer.prompt_kv(l, h, keys, values);
    }
    std::vector<float> queries, sums;
    for (int32_t p = kPrompt - 64; p < kPrompt; ++p) {
      for (int32_t h = 0; h < kHeads; ++h) {
        for (int32_t c = 0; c < kHead; ++c) queries.push_back(query(l, h, p, c));
      }
    }
    writer.prompt_queries(l, queries);
    for (int32_t i = 0; i < kHeads * kPrompt; ++i) sums.push_back(static_cast<float>(l * 1000 + i));
    writer.prompt_row_sums(l, sums);
  }
  writer.start(top(0));
}

void write_trace(const std::filesystem::path& path, int32_t n_step, int32_t expected_steps) {
  TraceHeader all = header();
  all.expected_steps = expected_steps;
  write_trace(path, all, n_step);
}

void write_trace(const std::filesystem::path& path, const TraceHeader& header, int32_t n_step) {
  TraceWriter writer(path, true);
  write_prompt(writer, header);
  for (int32_t t = 1; t <= n_step; ++t) {
    writer.append(step(t, header));
    writer.commit();
  }
  writer.close();
}

Folder::Folder() {
  std::string name = (std::filesystem::temp_directory_path() / "reattend-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = name;
}
Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace reattend::synthetic
