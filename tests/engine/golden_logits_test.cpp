// Logits of full attention against the independent reference, for every weight type and device; and the invariances
// users rely on: threads and prompt chunks change no bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "engine/generate.h"
#include "engine/model/gguf.h"
#include "kernels/measures/row_measures.h"
#include "tests/support/arrays.h"
#include "tests/support/gguf_writer.h"

namespace reattend::testing {
namespace {

namespace fs = std::filesystem;
const fs::path kGolden = "tests/golden";

/// Logits at the positions named (all tokens in chunks of `chunk`): [where.size()][n_vocab].
std::vector<float> prompt_logits(Backend& backend, const Model& model, std::span<const int32_t> ids,
                                 const std::vector<int32_t>& where, int32_t chunk) {
  ModelOps& ops = *backend.model;
  const auto sequence = ops.new_sequence(static_cast<int32_t>(ids.size()), {});
  const auto n_vocab = static_cast<size_t>(model.shape().n_vocab);
  std::vector<float> out(where.size() * n_vocab);
  for (int32_t first = 0; first < static_cast<int32_t>(ids.size()); first += chunk) {
    const int32_t n = std::min(chunk, static_cast<int32_t>(ids.size()) - first);
    ops.embed(*sequence, ids.subspan(first, n), first);
    for (int32_t layer = 0; layer < model.shape().n_layer; ++layer) {
      ops.project(*sequence, layer);
      ops.attend_prompt(*sequence, layer);
      ops.finish_layer(*sequence, layer);
    }
    for (size_t i = 0; i < where.size(); ++i) {
      if (where[i] < first || where[i] >= first + n) continue;
      ops.predict(*sequence, where[i] - first);
      ops.read_logits(std::span(out).subspan(i * n_vocab, n_vocab));
    }
  }
  return out;
}

std::vector<int32_t> to_ids(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

std::vector<int32_t> every_position(size_t n) {
  std::vector<int32_t> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<int32_t>(i);
  return out;
}

BackendOptions exact(const std::string& device) {
  return {.device = device, .kv = KvType::f32, .activations = Activations::f32};
}

/// At every position, within 2e-5: seven times what float arithmetic was seen to cost tiny models.
void expect_logits(const Model& model, const std::string& golden_name, const char* device) {
  SCOPED_TRACE(device);
  const Arrays golden(kGolden / "logits" / (golden_name + ".h5"));
  ThreadPool pool(2);
  Backend backend = make_backend(exact(device), model, pool);
  const std::vector<int32_t> ids = to_ids(golden.read("ids"));
  const std::vector<float> got = prompt_logits(backend, model, ids, every_position(ids.size()), 16);
  const std::vector<double> want = golden.read("logits");
  ASSERT_EQ(got.size(), want.size());
  const size_t n_vocab = static_cast<size_t>(model.shape().n_vocab);
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], 2e-5) << "position " << i / n_vocab << " token " << i % n_vocab;
}

struct TinyCase {
  const char* model;
  const char* device;
};
class TinyLogits : public ::testing::TestWithParam<TinyCase> {};

TEST_P(TinyLogits, AgreeWithTheReferenceAtEveryPosition) {
  const std::string name = GetParam().model;
  expect_logits(Model::open(kGolden / "models" / (name + ".gguf")), name, GetParam().device);
}
INSTANTIATE_TEST_SUITE_P(
    All, TinyLogits,
    ::testing::Values(TinyCase{"tiny_llama", "reference"}, TinyCase{"tiny_llama", "cpu"},
                      TinyCase{"tiny_llama", "guarded"}, TinyCase{"tiny_quant.Q8_0", "reference"},
                      TinyCase{"tiny_quant.Q8_0", "cpu"}, TinyCase{"tiny_quant.Q4_0", "reference"},
                      TinyCase{"tiny_quant.Q4_0", "cpu"}, TinyCase{"tiny_quant.Q4_1", "reference"},
                      TinyCase{"tiny_quant.Q4_1", "cpu"}, TinyCase{"tiny_quant.Q5_0", "reference"},
                      TinyCase{"tiny_quant.Q5_0", "cpu"}, TinyCase{"tiny_quant.Q5_1", "reference"},
                      TinyCase{"tiny_quant.Q5_1", "cpu"}, TinyCase{"tiny_quant.IQ4_NL", "reference"},
                      TinyCase{"tiny_quant.IQ4_NL", "cpu"}, TinyCase{"tiny_quant.Q2_K", "reference"},
                      TinyCase{"tiny_quant.Q2_K", "cpu"}, TinyCase{"tiny_quant.Q3_K", "reference"},
                      TinyCase{"tiny_quant.Q3_K", "cpu"}, TinyCase{"tiny_quant.Q5_K", "reference"},
                      TinyCase{"tiny_quant.Q5_K", "cpu"}, TinyCase{"tiny_quant.IQ4_XS", "reference"},
                      TinyCase{"tiny_quant.IQ4_XS", "cpu"}, TinyCase{"tiny_mixed.Q4_K_M", "reference"},
                      TinyCase{"tiny_mixed.Q4_K_M", "cpu"}, TinyCase{"tiny_llama3rope", "reference"},
                      TinyCase{"tiny_llama3rope", "cpu"}, TinyCase{"tiny_qwen2_yarn", "reference"},
                      TinyCase{"tiny_qwen2_yarn", "cpu"}, TinyCase{"tiny_qwen3", "reference"},
                      TinyCase{"tiny_qwen3", "cpu"}, TinyCase{"tiny_phi3", "reference"}, TinyCase{"tiny_phi3", "cpu"},
                      TinyCase{"tiny_mistral", "reference"}, TinyCase{"tiny_mistral", "cpu"},
                      TinyCase{"tiny_gemma2", "reference"}, TinyCase{"tiny_gemma2", "cpu"},
                      TinyCase{"tiny_gemma3", "reference"}, TinyCase{"tiny_gemma3", "cpu"},
                      TinyCase{"tiny_gemma3", "guarded"}, TinyCase{"tiny_gemma3_bools", "reference"},
                      TinyCase{"tiny_gemma3_bools", "cpu"}),
    [](const auto& test) {
      std::string name = std::string(test.param.model) + "_" + test.param.device;
      std::replace(name.begin(), name.end(), '.', '_');
      return name;
    });

// Tensors in two files, metadata in the first alone.
TEST(ModelInParts, AgreesWithTheReference) {
  const Model model = Model::open(kGolden / "models/tiny_llama_split-00001-of-00002.gguf");
  for (const char* device : {"reference", "cpu"}) expect_logits(model, "tiny_llama_split", device);
}

// A file with a factor and no type of scaling: the reference divides positions by 4. Left out, logits are 2.5 away.
TEST(ScaledPositions, AgreeWithTheReference) {
  GgufWriter writer = copy_of(Gguf::open(kGolden / "models/tiny_llama.gguf"));
  writer.put_f32("llama.rope.scaling.factor", 4);
  const std::string bytes = writer.bytes();
  const Model model = Model::from(Gguf::parse("tiny_llama, positions / 4", std::as_bytes(std::span(bytes))));
  for (const char* device : {"reference", "cpu"}) expect_logits(model, "tiny_llama_positions_by_4", device);
}

/// The bits of a prompt's last logits and of three decode steps.
std::vector<float> run_bits(const Model& model, const BackendOptions& options, std::span<const int32_t> ids,
                            int n_thread, int32_t chunk, const Settings& settings) {
  ThreadPool pool(n_thread);
  Backend backend = make_backend(options, model, pool);
  Prefilled prompt = prefill(backend, model, ids, {.n_ctx = static_cast<int32_t>(ids.size()) + 3, .chunk = chunk});
  std::vector<float> bits = prompt.logits;
  const Generated run = generate(
      backend, model, *prompt.sequence, prompt,
      {.settings = settings, .n_step = 3, .next_token = [](int32_t, StepLogits& logits) { return arg_max(logits); }});
  bits.insert(bits.end(), run.logits.begin(), run.logits.end());
  return bits;
}

void expect_invariant(const Model& model, std::span<const int32_t> ids, const BackendOptions& options) {
  Settings recycled("recycled");
  recycled.set("K", int64_t{16});
  recycled.set("S", int64_t{2});
  for (const Settings& settings : {Settings("full"), recycled}) {
    const std::vector<float> want = run_bits(model, options, ids, 1, static_cast<int32_t>(ids.size()), settings);
    for (const int n_thread : {2, 3}) {
      EXPECT_EQ(want, run_bits(model, options, ids, n_thread, static_cast<int32_t>(ids.size()), settings))
          << n_thread << " threads";
    }
    for (const int32_t chunk : {1, 7, 64}) {
      EXPECT_EQ(want, run_bits(model, options, ids, 2, chunk, settings)) << "chunks of " << chunk;
    }
  }
}

TEST(Invariance, ThreadsAndChunksChangeNoBitOfTinyModels) {
  for (const char* name : {"tiny_llama", "tiny_gemma3", "tiny_quant.Q8_0", "tiny_quant.Q4_0", "tiny_quant.Q4_1"}) {
    const Model model = Model::open(kGolden / "models" / (std::string(name) + ".gguf"));
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 300; ++i) ids.push_back((i * 37 + i / 7) % 288);
    for (const BackendOptions& options :
         {BackendOptions{}, exact("cpu"), BackendOptions{.kv = KvType::q8}, BackendOptions{.kv = KvType::bf16}}) {
      SCOPED_TRACE(std::string(name) + ", cache " + std::string(name_of(options.kv)));
      expect_invariant(model, ids, options);
    }
  }
}

struct Prompt {
  std::vector<int32_t> ids, greedy;
  std::vector<double> margin;
};
Prompt read_prompt(const std::string& name) {
  std::ifstream file(kGolden / "logits" / (name + ".json"));
  const nlohmann::json object = nlohmann::json::parse(file);
  return {object["ids"], object["greedy"], object["greedy_margin"]};
}

class RealModel : public ::testing::Test {
 protected:
  explicit RealModel(fs::path path) : path_(std::move(path)) {}
  void SetUp() override {
    if (!fs::exists(path_)) GTEST_SKIP() << "no " << path_ << " in the model store";
    model_ = std::make_unique<Model>(Model::open(path_));
  }
  void expect_golden(const std::string& name, const std::string& device) {
    const Prompt prompt = read_prompt(name);
    const Arrays golden(kGolden / "logits" / (name + ".h5"));
    Backend backend = make_backend(exact(device), *model_, pool_);
    const std::vector<int32_t> where = to_ids(golden.read("where"));
    const std::vector<float> got = prompt_logits(backend, *model_, prompt.ids, where, 256);
    const std::vector<double> ids = golden.read("top_ids"), logits = golden.read("top_logits"),
                              norm = golden.read("logits_norm");
    const auto n_vocab = static_cast<size_t>(model_->shape().n_vocab);
    for (size_t i = 0; i < where.size(); ++i) {
      double squares = 0;
      for (size_t v = 0; v < n_vocab; ++v) squares += static_cast<double>(got[i * n_vocab + v]) * got[i * n_vocab + v];
      EXPECT_NEAR(std::sqrt(squares) / norm[i], 1, 1e-5);
      for (size_t r = 0; r < 20; ++r)
        EXPECT_NEAR(got[i * n_vocab + static_cast<size_t>(ids[i * 20 + r])], logits[i * 20 + r], 1e-3)
            << "position " << where[i] << " rank " << r;
    }
  }
  void expect_greedy(const std::string& name) {
    const Prompt prompt = read_prompt(name);
    Backend backend = make_backend(exact("cpu"), *model_, pool_);
    Prefilled prefilled = prefill(backend, *model_, prompt.ids,
                                  {.n_ctx = static_cast<int32_t>(prompt.ids.size() + prompt.greedy.size())});
    const Generated run = generate(backend, *model_, *prefilled.sequence, prefilled,
                                   {.settings = Settings("full"),
                                    .n_step = static_cast<int32_t>(prompt.greedy.size()),
                                    .next_token = [](int32_t, StepLogits& logits) { return arg_max(logits); }});
    // Up to where two tokens nearly tie: from there on either text is right.
    const auto tie = std::ranges::find_if(prompt.margin, [](double margin) { return margin < 0.02; });
    const auto n_clear = static_cast<size_t>(tie - prompt.margin.begin());
    EXPECT_GE(n_clear, 8U);
    EXPECT_TRUE(std::equal(run.tokens.begin(), run.tokens.begin() + n_clear, prompt.greedy.begin()));
  }

  std::unique_ptr<Model> model_;
  ThreadPool pool_{0};
  const fs::path path_;
};

class SmolLM2 : public RealModel {
 protected:
  SmolLM2() : RealModel(default_model()) {}
};

TEST_F(SmolLM2, ShortPromptOnReference) {
  expect_golden("smollm2_short", "reference");
}
TEST_F(SmolLM2, ShortPromptOnCpu) {
  expect_golden("smollm2_short", "cpu");
}
TEST_F(SmolLM2, LongPromptOnReference) {
  expect_golden("smollm2_long", "reference");
}
TEST_F(SmolLM2, LongPromptOnCpu) {
  expect_golden("smollm2_long", "cpu");
}
TEST_F(SmolLM2, GreedyTextOfTheShortPrompt) {
  expect_greedy("smollm2_short");
}
TEST_F(SmolLM2, GreedyTextOfTheLongPrompt) {
  expect_greedy("smollm2_long");
}

/// Q4_K, Q5_0, Q6_K and Q8_0 in one file, biases, seven query heads to a KV head.
class Qwen : public RealModel {
 protected:
  Qwen() : RealModel(qwen_model()) {}
};
TEST_F(Qwen, ShortPromptOnReference) {
  expect_golden("qwen_short", "reference");
}
TEST_F(Qwen, ShortPromptOnCpu) {
  expect_golden("qwen_short", "cpu");
}
TEST_F(Qwen, LongPromptOnCpu) {
  expect_golden("qwen_long", "cpu");
}
TEST_F(Qwen, GreedyTextOfTheShortPrompt) {
  expect_greedy("qwen_short");
}

/// Windows in five of six layers, one KV head of width 256, norms before and behind, scaled embeddings.
class Gemma : public RealModel {
 protected:
  Gemma() : RealModel(gemma_model()) {}
};
TEST_F(Gemma, ShortPromptOnReference) {
  expect_golden("gemma_short", "reference");
}
TEST_F(Gemma, ShortPromptOnCpu) {
  expect_golden("gemma_short", "cpu");
}
TEST_F(Gemma, LongPromptOnCpu) {
  expect_golden("gemma_long", "cpu");
}
TEST_F(Gemma, GreedyTextOfTheShortPrompt) {
  expect_greedy("gemma_short");
}

TEST_F(SmolLM2, ThreadsAndChunksChangeNoBit) {
  const Prompt prompt = read_prompt("smollm2_long");
  expect_invariant(*model_, std::span(prompt.ids).first(300), {});
}

/// What 8-bit activations and the f16 cache cost on the path that users run.
TEST_F(SmolLM2, FastPathStaysCloseToTheExactOne) {
  const Prompt prompt = read_prompt("smollm2_long");
  const std::vector<int32_t> where = every_position(prompt.ids.size());
  Backend slow = make_backend(exact("cpu"), *model_, pool_), fast = make_backend({}, *model_, pool_);
  const std::vector<float> want = prompt_logits(slow, *model_, prompt.ids, where, 350),
                           got = prompt_logits(fast, *model_, prompt.ids, where, 350);
  const auto n_vocab = static_cast<size_t>(model_->shape().n_vocab);
  double kl = 0;
  size_t n_clear = 0;
  for (size_t i = 0; i < where.size(); ++i) {
    const std::span<const float> a = std::span(want).subspan(i * n_vocab, n_vocab),
                                 b = std::span(got).subspan(i * n_vocab, n_vocab);
    kl += kl_divergence(log_softmax(a), log_softmax(b)) / static_cast<double>(where.size());
    std::vector<float> top(a.begin(), a.end());
    std::partial_sort(top.begin(), top.begin() + 2, top.end(), std::greater<>());
    if (top[0] - top[1] <= 1) continue;
    ++n_clear;
    EXPECT_EQ(arg_max(a), arg_max(b)) << "position " << i << ", margin " << top[0] - top[1];
  }
  std::printf("mean KL to the exact path %.2e over %zu positions; top-1 equal at all %zu with a margin above 1\n", kl,
              where.size(), n_clear);
  EXPECT_LE(kl, 5e-3);
}

}  // namespace
}  // namespace reattend::testing
