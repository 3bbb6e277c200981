// The user's task on a recording of the default model, as ./run makes one, of a shorter text.
#include "task.h"
#include "tests/support/default_model.h"

namespace reattend::viz::testing {
namespace {

class RecordedTask : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path model = reattend::testing::default_model();
    if (!std::filesystem::exists(model)) GTEST_SKIP() << "no " << model << ": run `reattend get-model`";
    const test::ProgramResult recorded =
        test::run_program({REATTEND_PROGRAM, "record", "--model", model.string(), "--raw", "--prompt-file",
                           "assets/prose.txt", "--steps", "48", "--ignore-end", "--out", task.trace.string()});
    ASSERT_EQ(recorded.code, 0) << recorded.err;
    task.tune(0.1);
  }
  Task task;
};

TEST_F(RecordedTask, IsDoneByAScriptOfADozenLines) {
  task.by_script();
}

TEST_F(RecordedTask, IsDoneByADozenClicks) {
  task.by_hand();
}

}  // namespace
}  // namespace reattend::viz::testing
