// What a cache's type, quantised activations and bf16 products cost: the perplexity of real prose beside the exact
// path's, printed.
#include "evals/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "engine/text/tokenizer.h"
#include "kernels/cpu/ops.h"
#include "kernels/measures/row_measures.h"
#include "tests/support/default_model.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;

constexpr BackendOptions kExact = {.kv = KvType::f32, .activations = Activations::f32};

// The figure is the mean of what decoding step by step would give, and does not depend on where chunks end.
TEST(Perplexity, IsThatOfFeedingTokenByToken) {
  const Model model = Model::open("tests/golden/models/tiny_llama.gguf");
  ThreadPool pool(2);
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 530; ++i) ids.push_back((i * 37 + i / 7) % model.shape().n_vocab);
  Backend backend = make_backend(kExact, model, pool);
  const auto sequence = backend.model->new_sequence(static_cast<int32_t>(ids.size()), {});
  std::vector<float> logits(static_cast<size_t>(model.shape().n_vocab));
  double nll = 0;
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    prefill_more(backend, model, *sequence, std::span(ids).subspan(i, 1), static_cast<int32_t>(i), {});
    backend.model->predict(*sequence, -1);
    backend.model->read_logits(logits);
    nll -= log_softmax(logits)[static_cast<size_t>(ids[i + 1])] / static_cast<double>(ids.size() - 1);
  }
  const Perplexity got = perplexity(backend, model, ids);
  EXPECT_EQ(got.n_predicted, 529);
  EXPECT_NEAR(got.nll, nll, 1e-9);
  EXPECT_NEAR(got.perplexity, std::exp(nll), 1e-6);
  EXPECT_THROW(perplexity(backend, model, std::span(ids).first(1)), Error);
}

// A piece begins anew, and the predictions of its second half count: what is behind the last whole piece does not.
TEST(Perplexity, WindowsAreTextsOfTheirOwn) {
  const Model model = Model::open("tests/golden/models/tiny_llama.gguf");
  ThreadPool pool(2);
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 130; ++i) ids.push_back((i * 37 + i / 7) % model.shape().n_vocab);
  Backend backend = make_backend(kExact, model, pool);
  double nll = 0;
  for (const size_t first : {0, 60}) {
    std::vector<int32_t> piece(ids.begin() + static_cast<long>(first), ids.begin() + static_cast<long>(first) + 60);
    piece[0] = 1;
    const double all = perplexity(backend, model, piece).nll * 59;
    const double half =
        perplexity(backend, model, std::span(piece).first(31)).nll * 30;  // predictions of places 0 to 29
    nll += (all - half) / (2 * 29);
  }
  const Perplexity got = windowed_perplexity(backend, model, ids, 60, 1, {}, Cancel());
  EXPECT_EQ(got.n_predicted, 2 * 29);
  EXPECT_NEAR(got.nll, nll, 1e-6);
  EXPECT_GT(got.nll_error, 0);
  EXPECT_THROW(windowed_perplexity(backend, model, ids, 131, {}, {}, Cancel()), Error);
  EXPECT_THROW(windowed_perplexity(backend, model, ids, 3, {}, {}, Cancel()), Error);
}

/// 4,096 tokens of prose that every Debian system has: nobody's test data, and long sentences.
std::vector<int32_t> licence(const Model& model) {
  std::ifstream file("/usr/share/common-licenses/GPL-3");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<int32_t> ids = text.empty() ? std::vector<int32_t>() : Tokenizer(model.file()).encode(text, true);
  ids.resize(std::min<size_t>(ids.size(), 4096));
  return ids;
}

// Users choose a cache's type for its size, and bf16 products for their speed; none may cost half a per cent of
// perplexity, quantised activations included.
TEST(PerplexityModel, NoChoiceCostsHalfAPerCent) {
  const fs::path path = testing::default_model();
  if (!fs::exists(path)) GTEST_SKIP() << "no " << path << ": run `reattend get-model`";
  const Model model = Model::open(path);
  const std::vector<int32_t> ids = licence(model);
  if (ids.size() < 4096) GTEST_SKIP() << "no long text at /usr/share/common-licenses/GPL-3";
  ThreadPool pool(0);
  const auto measure = [&](const BackendOptions& options) {
    Backend backend = make_backend(options, model, pool);
    return perplexity(backend, model, ids);
  };
  const Perplexity exact = measure(kExact);
  std::printf("%d tokens predicted; exact path (f32 activations, f32 cache): perplexity %.5f\n", exact.n_predicted,
              exact.perplexity);
  std::vector<BackendOptions> choices = {{.kv = KvType::q8, .activations = Activations::f32}};
  for (const KvType type : kKvTypes) choices.push_back({.kv = type});  // the others cost less than with q8 activations
  if (Cpu::has_bf16_prompt()) {
    choices.push_back({.kv = KvType::f32, .activations = Activations::f32, .prefill = PromptProducts::bf16});
    choices.push_back({.prefill = PromptProducts::bf16});
  }
  for (const BackendOptions& each : choices) {
    const Perplexity got = measure(each);
    const double change = got.perplexity / exact.perplexity - 1;
    std::printf("activations %-3s, cache %-4s, prefill %-4s: perplexity %.5f (%+.3f %%)\n",
                std::string(name_of(each.activations)).c_str(), std::string(name_of(each.kv)).c_str(),
                std::string(name_of(each.prefill)).c_str(), got.perplexity, 100 * change);
    EXPECT_LE(std::abs(change), 0.005) << name_of(each.kv) << " " << name_of(each.prefill);
  }
}

}  // namespace
}  // namespace reattend
