// The user's task on a made-up trace, which needs no model.
#include "task.h"
#include "written_trace.h"

namespace reattend::viz::testing {
namespace {

class MadeUpTask : public ::testing::Test {
 protected:
  MadeUpTask() {
    const SyntheticShape shape = {.n_layer = 5, .n_head = 4, .n_prompt = 256, .n_step = 24, .sha256 = kSmolLM2};
    write_synthetic(task.trace, shape, shape.n_step)->close();
    task.tune(0.05);
  }
  Task task;
};

TEST_F(MadeUpTask, IsDoneByAScriptOfADozenLines) {
  task.by_script();
}

TEST_F(MadeUpTask, IsDoneByADozenClicks) {
  task.by_hand();
}

}  // namespace
}  // namespace reattend::viz::testing
