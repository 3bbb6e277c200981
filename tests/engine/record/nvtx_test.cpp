// What a user of Nsight Systems sees of a run: names, nesting, step numbers and colours of the ranges, always balanced.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/record/nvtx.h"

namespace reattend {
namespace {

using Lines = std::vector<std::string>;

/// NVTX looks for a tool once per process, so each capture has a process of its own. Fails the test if it does not
/// end well. Lines of set-up (domain, categories, strings) come first.
Lines capture(const std::function<void()>& run, bool with_tool = true) {
  const std::string path = testing::TempDir() + "nvtx_" + std::to_string(getpid()) + ".txt";
  const pid_t child = fork();
  if (child == 0) {
    if (with_tool) {
      setenv("NVTX_INJECTION64_PATH", NVTX_CAPTURE_LIBRARY, 1);
      setenv("NVTX_CAPTURE_FILE", path.c_str(), 1);
    } else {
      unsetenv("NVTX_INJECTION64_PATH");
    }
    run();
    std::fflush(nullptr);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  Lines lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  std::remove(path.c_str());
  return lines;
}

/// A model of four layers, no more than what the observer's calls refer to.
struct Tiny {
  ThreadPool pool{1};
  Model model = Model::open("tests/golden/models/tiny_llama.gguf");
  Backend backend = make_backend({}, model, pool);
};

const Lines kSetUp = {"domain reattend", "string generate",    "string step",      "string layer",
                      "category 1 full", "category 2 partial", "category 3 prompt"};

constexpr Plan kFull{.branch = {.full = true}};
constexpr Plan kPartial{};
constexpr Plan kGated{.gated = true, .branch = {.full = false}, .else_branch = {.full = true}};

TEST(Nvtx, RunIsNestedAndEveryRangeCarriesItsStep) {
  const Lines lines = capture([] {
    Tiny tiny;
    const auto sequence = tiny.backend.model->new_sequence(4, {});
    const auto observer = make_nvtx_observer();
    SequenceView view(tiny.backend, tiny.model.shape(), *sequence, 3);
    observer->prompt_layer(view.layer(0, 3));
    observer->begin(view, {.t = 0, .p = 2});
    const Plan* const plans[][2] = {{&kFull, &kPartial}, {&kGated, &kPartial}};
    const HeadLog heads[][2] = {{{.full = true}, {}}, {{}, {}}};
    for (int32_t t = 1; t <= 2; ++t) {
      observer->step_begin(t, t + 2);
      for (int32_t layer = 0; layer < 2; ++layer) {
        observer->layer_begin(t, layer, *plans[t - 1][layer]);
        observer->attended(view.layer(layer));
        observer->layer_end(t, layer);
      }
      observer->step_end({.t = t, .p = t + 2, .heads = heads[t - 1]});
    }
    observer->end();
  });
  Lines expected = kSetUp;
  expected.insert(expected.end(), {"mark reattend layer category=3 color=ff009e73 payload=0",
                                   "push reattend generate category=0 color=00000000 payload=0",
                                   "push reattend step category=0 color=00000000 payload=1",
                                   "push reattend layer category=1 color=ffe69f00 payload=1", "pop reattend",
                                   "push reattend layer category=2 color=ff56b4e9 payload=1", "pop reattend",
                                   "mark reattend step category=1 color=ffe69f00 payload=1", "pop reattend",
                                   "push reattend step category=0 color=00000000 payload=2",
                                   "push reattend layer category=0 color=00000000 payload=2", "pop reattend",
                                   "push reattend layer category=2 color=ff56b4e9 payload=2", "pop reattend",
                                   "mark reattend step category=2 color=ff56b4e9 payload=2", "pop reattend",
                                   "pop reattend", "end of domain reattend"});
  EXPECT_EQ(lines, expected);
}

/// Depth after the last line; fails if a pop has no push.
int final_depth(const Lines& lines) {
  int depth = 0;
  for (const std::string& line : lines) {
    depth += line.starts_with("push") ? 1 : line.starts_with("pop") ? -1 : 0;
    EXPECT_GE(depth, 0) << line;
  }
  return depth;
}

/// Continues a prompt of 20 tokens under recycled attention that refreshes every third step.
void generate_steps(Observer& observer, int32_t n_step, int32_t broken_step = -1) {
  Tiny tiny;
  std::vector<int32_t> prompt(20);
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int32_t>(i * 7);
  Observer* const observers[] = {&observer};
  Prefilled prefilled = prefill(tiny.backend, tiny.model, prompt, {.n_ctx = 40, .observers = observers});
  Settings settings("recycled");
  settings.set("K", int64_t{8});
  settings.set("S", int64_t{3});
  const auto next_token = [&](int32_t t, StepLogits&) {
    if (t == broken_step) throw Error("the disk is full");
    return t;
  };
  generate(tiny.backend, tiny.model, *prefilled.sequence, prefilled,
           {.settings = settings, .n_step = n_step, .next_token = next_token, .observers = observers});
}

TEST(Nvtx, RealRunShowsItsRefreshes) {
  const Lines lines = capture([] { generate_steps(*make_nvtx_observer(), 6); });
  EXPECT_EQ(final_depth(lines), 0);
  const int n_layer = Model::open("tests/golden/models/tiny_llama.gguf").shape().n_layer;
  const auto count = [&](const std::string& line) { return std::count(lines.begin(), lines.end(), line); };
  EXPECT_EQ(count("mark reattend layer category=3 color=ff009e73 payload=0"), n_layer);
  EXPECT_EQ(count("push reattend generate category=0 color=00000000 payload=0"), 1);
  for (int t = 1; t <= 6; ++t) {
    const std::string kind = t % 3 == 0 ? "category=1 color=ffe69f00" : "category=2 color=ff56b4e9";
    const std::string payload = " payload=" + std::to_string(t);
    EXPECT_EQ(count("push reattend step category=0 color=00000000" + payload), 1) << t;
    EXPECT_EQ(count("push reattend layer " + kind + payload), n_layer) << t;
    EXPECT_EQ(count("mark reattend step " + kind + payload), 1) << t;
  }
}

// An unbalanced stack would put everything that a program does later inside the run that broke.
TEST(Nvtx, RunThatEndsInAnErrorIsBalanced) {
  const Lines lines = capture([] {
    const auto observer = make_nvtx_observer();
    EXPECT_THROW(generate_steps(*observer, 6, 4), Error);
  });
  EXPECT_EQ(final_depth(lines), 0);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), "push reattend step category=0 color=00000000 payload=3"), 1);
}

TEST(Nvtx, RunThatBreaksInsideALayerIsClosedBeforeTheNextBegins) {
  const Lines lines = capture([] {
    Tiny tiny;
    const auto sequence = tiny.backend.model->new_sequence(4, {});
    const auto observer = make_nvtx_observer();
    SequenceView view(tiny.backend, tiny.model.shape(), *sequence, 3);
    for (int run = 0; run < 2; ++run) {
      observer->begin(view, {.t = 0, .p = 2});
      observer->step_begin(1, 3);
      observer->layer_begin(1, 0, kPartial);
    }
  });
  const Lines broken = {"push reattend generate category=0 color=00000000 payload=0",
                        "push reattend step category=0 color=00000000 payload=1",
                        "push reattend layer category=2 color=ff56b4e9 payload=1",
                        "pop reattend",
                        "pop reattend",
                        "pop reattend"};
  Lines expected = kSetUp;
  for (int run = 0; run < 2; ++run) expected.insert(expected.end(), broken.begin(), broken.end());
  expected.push_back("end of domain reattend");
  EXPECT_EQ(lines, expected);
}

TEST(Nvtx, RunWithoutAToolIsUndisturbed) {
  EXPECT_TRUE(capture([] { generate_steps(*make_nvtx_observer(), 2); }, false).empty());
}

}  // namespace
}  // namespace reattend
