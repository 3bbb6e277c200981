// What users of --prompt-cache rely on: no bit of a run depends on it, a file that can't serve says why, and no file of
// theirs is lost to a mistake.
#include "engine/prompt_cache.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "base/error.h"
#include "engine/cache/prompt_file.h"
#include "policies/policy.h"
#include "tests/support/scratch_folder.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;

constexpr int32_t kPrompt = 270, kSteps = 24;  // the last block is partial, and one is complete

std::string read_all(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write_all(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Every policy, small enough that its sets are not complete.
std::vector<Settings> every_policy() {
  std::vector<Settings> all;
  for (const PolicyInfo& each : policy_registry()) {
    Settings& settings = all.emplace_back(each.name);
    if (each.takes("K")) settings.set("K", int64_t{48});
    if (each.takes("S")) settings.set("S", int64_t{5});
  }
  return all;
}

class PromptCache : public ::testing::TestWithParam<const char*> {
 protected:
  PromptCache() : model_(Model::open("tests/golden/models/tiny_llama.gguf")), path_(folder_ / "prompt.cache") {
    use({.device = std::string(GetParam())});
    for (int32_t i = 0; i < kPrompt; ++i) prompt_.push_back((i * 31 + i / 5) % model_.shape().n_vocab);
  }
  void use(const BackendOptions& options) { backend_ = make_backend(options, model_, pool_); }
  std::span<const int32_t> first(int32_t n) const { return std::span(prompt_).first(static_cast<size_t>(n)); }
  PrefillOptions options(const std::vector<Settings>& policies, std::span<const int32_t> prompt) const {
    const auto n = static_cast<int32_t>(prompt.size());
    return {.n_ctx = n + kSteps, .chunk = 100, .needs = needs_of(policies, model_.shape(), backend_.kv, n, n + kSteps)};
  }
  CachedPrefill cached(std::span<const int32_t> prompt, const std::vector<Settings>& policies = {Settings("full")}) {
    notice_.clear();
    return prefill_cached(backend_, model_, prompt, options(policies, prompt), file());
  }
  PromptCacheFile file() {
    return {.path = path_, .replace = replace_, .tell = [this](const std::string& notice) { notice_ = notice; }};
  }
  std::string error_of(std::span<const int32_t> prompt) {
    try {
      cached(prompt);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::failed) << error.what();
      return error.what();
    }
    return "";
  }
  uint64_t hash(const Prefilled& prefilled, const Settings& settings) {
    const auto sequence = backend_.model->fork(*prefilled.sequence);
    return generate(backend_, model_, *sequence, prefilled,
                    {.settings = settings,
                     .n_step = kSteps,
                     .next_token = [&](int32_t t, StepLogits&) { return (t * 17) % model_.shape().n_vocab; },
                     .hash = true})
        .logits_hash;
  }
  void expect_never_stopped(const CachedPrefill& restored, std::span<const int32_t> prompt,
                            const std::vector<Settings>& policies) {
    const Prefilled fresh = prefill(backend_, model_, prompt, options(policies, prompt));
    EXPECT_EQ(restored.prompt, fresh.prompt);
    EXPECT_EQ(restored.logits, fresh.logits);
    EXPECT_EQ(restored.sequence->size(), fresh.sequence->size());
    EXPECT_EQ(restored.sequence->holds().window, fresh.sequence->holds().window);
    for (const Settings& each : policies) {
      EXPECT_EQ(hash(restored, each), hash(fresh, each)) << each.summary();
    }
  }

  test::ScratchFolder folder_;
  ThreadPool pool_{2};
  Model model_;
  fs::path path_;
  bool replace_ = false;
  std::string notice_;  ///< of the last cached()
  Backend backend_;
  std::vector<int32_t> prompt_;
};

TEST_P(PromptCache, RestoredIsNeverStoppedUnderEveryPolicy) {
  const std::vector<Settings> policies = every_policy();
  const CachedPrefill made = cached(prompt_, policies);
  EXPECT_EQ(made.n_loaded, 0);
  EXPECT_EQ(notice_, "");
  const std::string bytes = read_all(path_);
  ASSERT_FALSE(bytes.empty());
  const CachedPrefill restored = cached(prompt_, policies);
  EXPECT_EQ(restored.n_loaded, kPrompt);
  EXPECT_EQ(notice_, "");
  EXPECT_EQ(read_all(path_), bytes) << "nothing to add";
  expect_never_stopped(restored, prompt_, policies);
  EXPECT_EQ(std::distance(fs::directory_iterator(path_.parent_path()), {}), 1) << "nothing is left beside it";
}

TEST_P(PromptCache, LongerPromptComputesOnlyTheRest) {
  const std::vector<Settings> policies = every_policy();
  for (const int32_t n : {1, 20, 150, 256, kPrompt - 1}) {
    fs::remove(path_);
    cached(first(n), policies);
    const CachedPrefill longer = cached(prompt_, policies);
    EXPECT_EQ(longer.n_loaded, n);
    EXPECT_EQ(notice_, "");
    expect_never_stopped(longer, prompt_, policies);
    EXPECT_EQ(cached(prompt_, policies).n_loaded, kPrompt) << "the longer one took the file";
  }
}

TEST_P(PromptCache, CommonBeginningOfAnotherPromptIsUsed) {
  cached(prompt_);
  const std::string bytes = read_all(path_);
  std::vector<int32_t> other(prompt_.begin(), prompt_.end() - 10);
  for (size_t i = 200; i < other.size(); ++i) other[i] = static_cast<int32_t>(i % 50);
  std::vector<Settings> policies = every_policy();
  std::erase_if(policies, [&](const Settings& each) { return options({each}, other).needs.prompt.row_sums; });
  ASSERT_GE(policies.size(), 5U);
  const CachedPrefill made = cached(other, policies);
  EXPECT_EQ(made.n_loaded, 260 - 64) << "the last queries are not in the file";
  EXPECT_NE(notice_.find("200 of its 270 tokens"), std::string::npos) << notice_;
  expect_never_stopped(made, other, policies);
  EXPECT_EQ(read_all(path_), bytes) << "another prompt does not take the file";
  replace_ = true;
  cached(other, policies);
  EXPECT_EQ(cached(other, policies).n_loaded, 260) << "unless it is told to";
  replace_ = false;
  const std::vector<int32_t> foreign(90, 3);
  const CachedPrefill anew = cached(foreign);
  EXPECT_EQ(anew.n_loaded, 0);
  EXPECT_NE(notice_.find("another prompt"), std::string::npos) << notice_;
}

TEST_P(PromptCache, LongerFileIsKept) {
  cached(prompt_);
  const std::string bytes = read_all(path_);
  const CachedPrefill shorter = cached(first(180));
  EXPECT_EQ(shorter.n_loaded, 180 - 64);
  EXPECT_EQ(notice_, "");
  expect_never_stopped(shorter, first(180), {Settings("full")});
  EXPECT_EQ(cached(first(30)).n_loaded, 0);
  EXPECT_EQ(read_all(path_), bytes);
}

TEST_P(PromptCache, WhatThePolicyNeedsIsMadeWhereTheFileLacksIt) {
  Settings h2o("h2o");
  h2o.set("K", int64_t{48});
  cached(prompt_);
  const CachedPrefill anew = cached(prompt_, {h2o});
  EXPECT_EQ(anew.n_loaded, 0);
  EXPECT_NE(notice_.find("lacks the sums"), std::string::npos) << notice_;
  const CachedPrefill restored = cached(prompt_, {h2o});
  EXPECT_EQ(restored.n_loaded, kPrompt);
  expect_never_stopped(restored, prompt_, {h2o});
  EXPECT_EQ(cached(prompt_).n_loaded, kPrompt) << "more than is needed serves as well";
  Settings wide("snapkv");
  wide.set("K", int64_t{200}), wide.set("window", int64_t{100});
  const CachedPrefill more = cached(prompt_, {wide});
  EXPECT_EQ(more.n_loaded, kPrompt - 100) << "more queries than the file has are made again";
  expect_never_stopped(more, prompt_, {wide});
}

TEST_P(PromptCache, StoppedWriterLeavesTheOldFile) {
  cached(first(100));
  const std::string bytes = read_all(path_);
  PrefillOptions stopping = options({Settings("full")}, prompt_);
  // Raised when the prompt is through: what then stops is the writing.
  stopping.progress = [&](const std::string&, double done, double total, const std::string&) {
    if (done == total) stopping.cancel.raise();
  };
  EXPECT_THROW(prefill_cached(backend_, model_, prompt_, stopping, file()), Cancelled);
  EXPECT_EQ(read_all(path_), bytes);
  EXPECT_EQ(std::distance(fs::directory_iterator(path_.parent_path()), {}), 1) << "nothing is left beside it";
}

INSTANTIATE_TEST_SUITE_P(Devices, PromptCache, ::testing::Values("cpu", "reference"),
                         [](const auto& each) { return std::string(each.param); });

/// What does not depend on the device's arithmetic.
using PromptCacheFile = PromptCache;
INSTANTIATE_TEST_SUITE_P(Cpu, PromptCacheFile, ::testing::Values("cpu"));

TEST_P(PromptCacheFile, BackendsMemoryStaysClosed) {
  use({.device = "guarded"});
  cached(first(100));
  expect_never_stopped(cached(first(110)), first(110), {Settings("full")});
}

TEST_P(PromptCacheFile, OtherConditionsAreMadeAnew) {
  cached(prompt_);
  use({.kv = KvType::f32});
  const std::string bytes = read_all(path_);
  expect_never_stopped(cached(prompt_), prompt_, {Settings("full")});
  EXPECT_NE(notice_.find("cache f16"), std::string::npos) << notice_;
  EXPECT_NE(notice_.find("cache f32"), std::string::npos) << notice_;
  EXPECT_NE(notice_.find("the file stays (--replace-prompt-cache"), std::string::npos) << notice_;
  EXPECT_EQ(read_all(path_), bytes) << "a slip in the type costs no file";
  replace_ = true;
  EXPECT_EQ(cached(prompt_).n_loaded, 0);
  EXPECT_NE(notice_.find("replaces it"), std::string::npos) << notice_;
  EXPECT_EQ(cached(prompt_).n_loaded, kPrompt);
  use({.kv = KvType::f32, .activations = Activations::f32});
  EXPECT_EQ(cached(prompt_).n_loaded, 0);
}

TEST_P(PromptCacheFile, EveryCacheTypeIsRestored) {
  for (const KvType type : kKvTypes) {
    use({.kv = type});
    fs::remove(path_);
    cached(first(150));
    const CachedPrefill longer = cached(prompt_);
    EXPECT_EQ(longer.n_loaded, 150) << name_of(type);
    expect_never_stopped(longer, prompt_, {Settings("full")});
    const CachedPrefill whole = cached(prompt_);
    EXPECT_EQ(whole.n_loaded, kPrompt) << name_of(type);
    expect_never_stopped(whole, prompt_, {Settings("full")});
  }
}

TEST_P(PromptCacheFile, BitsThatThisEngineDoesNotComputeAreNotUsed) {
  cached(first(100));
  {
    PromptFileReader old(path_);
    PromptFileWriter forged(path_, old.header(), old.ids(), old.n_held());
    for (int32_t layer = 0; layer < old.header().n_layer; ++layer) {
      const auto from = old.next_layer();
      const auto to = forged.begin_section(static_cast<int64_t>(from.size()));
      std::copy(from.begin(), from.end(), to.begin());
      if (layer == 1) to[static_cast<size_t>(old.header().half_bytes(100)) - 1] ^= std::byte{1};  // the last key's
      forged.end_section();
    }
    forged.publish();
  }
  const CachedPrefill made = cached(prompt_);
  EXPECT_EQ(made.n_loaded, 0);
  EXPECT_NE(notice_.find("other bits"), std::string::npos) << notice_;
  EXPECT_EQ(cached(prompt_).n_loaded, 0) << "the file stays";
  replace_ = true;
  cached(prompt_);
  EXPECT_EQ(cached(prompt_).n_loaded, kPrompt);
  expect_never_stopped(made, prompt_, {Settings("full")});
}

// A layer with a window keeps its last positions alone, in memory and in the file: it serves a prompt that goes on, and
// none that leaves it earlier.
TEST_P(PromptCacheFile, LayersWithAWindowAreRestored) {
  model_ = Model::open("tests/golden/models/tiny_gemma3.gguf");
  use({.device = std::string(GetParam())});
  const std::vector<Settings> policies = every_policy();
  cached(first(265), policies);
  EXPECT_EQ(PromptFileReader(path_).n_held()[0], 8);
  EXPECT_EQ(PromptFileReader(path_).n_held()[3], 265);
  const CachedPrefill longer = cached(prompt_, policies);
  EXPECT_EQ(longer.n_loaded, 265);
  expect_never_stopped(longer, prompt_, policies);
  const CachedPrefill whole = cached(prompt_, policies);
  EXPECT_EQ(whole.n_loaded, kPrompt);
  expect_never_stopped(whole, prompt_, policies);
  const CachedPrefill shorter = cached(first(268));
  EXPECT_EQ(shorter.n_loaded, 0);
  expect_never_stopped(shorter, first(268), {Settings("full")});
}

TEST_P(PromptCacheFile, ForeignFilesAreRefusedAndStay) {
  const auto refused = [&](const char* words) {
    const std::string before = read_all(path_), line = error_of(first(20));
    EXPECT_NE(line.find(words), std::string::npos) << line;
    EXPECT_NE(line.find("--prompt-cache"), std::string::npos) << line;
    EXPECT_EQ(read_all(path_), before);
  };
  write_all(path_, "my only copy of the novel, chapter one");
  refused("another kind");
  write_all(path_, "");
  refused("an empty file");
  fs::remove(path_);
  cached(first(20));
  const std::string good = read_all(path_);
  std::string newer = good;
  newer[16] = 7;
  write_all(path_, newer);
  refused("format 7");
  write_all(path_, good);
  model_ = Model::open("tests/golden/models/tiny_quant.Q8_0.gguf");
  use({});
  refused("tiny_llama.gguf");
  fs::remove(path_);
  fs::create_symlink("elsewhere", path_);
  EXPECT_THROW(cached(first(20)), Error);
  fs::remove(path_);
  fs::create_directory(path_);
  EXPECT_THROW(cached(first(20)), Error);
}

TEST_P(PromptCacheFile, DamageAnywhereIsRefused) {
  Settings h2o("h2o");
  h2o.set("K", int64_t{48});
  cached(first(3), {h2o});
  std::string bytes = read_all(path_);
  const auto refused = [&](size_t size) {
    try {
      PromptFileReader file("FILE", fmemopen(bytes.data(), size, "rb"));
      for (int32_t layer = 0; layer < file.header().n_layer; ++layer) file.next_layer();
    } catch (const Error& error) {
      const std::string line = error.what();
      return line.find("FILE: expected a ") == 0 && line.find('\n') == std::string::npos;
    }
    return false;
  };
  EXPECT_FALSE(refused(bytes.size())) << "it is whole";
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
    EXPECT_TRUE(refused(bytes.size())) << "a bit of byte " << i;
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
  }
  for (size_t size = 1; size < bytes.size(); ++size) EXPECT_TRUE(refused(size)) << "cut at " << size;
  bytes += '\0';
  EXPECT_TRUE(refused(bytes.size())) << "a byte too many";
}

}  // namespace
}  // namespace reattend
