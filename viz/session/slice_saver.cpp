// The trace library cuts; what it throws becomes the result's text.
#include "viz/session/slice_saver.h"

#include <utility>

#include <fmt/format.h>

#include "base/error.h"

namespace reattend::viz {

void SliceSaver::update(const Session& /*session*/) {
  Ended ended;
  tasks_.locked([&] { ended = std::exchange(*ended_, {}); });
  if (!ended.text.empty()) result_ = ended.text, failed_ = ended.failed;
}

bool SliceSaver::idle() const {
  bool news = false;
  tasks_.locked([&] { news = !ended_->text.empty(); });
  return !news;
}

void SliceSaver::save(const std::filesystem::path& source, const std::filesystem::path& target, const TraceSlice& slice,
                      bool force, ThreadPool& pool) {
  result_.clear(), failed_ = false;
  std::error_code none;  // a target that does not exist is another file
  if (std::filesystem::equivalent(source, target, none)) {
    failed_ = true;
    result_ = to_line({target.string(), "a file of its own", "the open trace", "give another name"});
    return;
  }
  tasks_.post(kind_, [=, &pool, out = ended_](const BackgroundTasks::Context& context) {
    Ended ended;
    try {
      const int32_t n = slice_trace(source, target, slice, force, pool, context.progress, context.cancel);
      ended.text = fmt::format("saved {}, {} steps", target.string(), n);
    } catch (const Error& error) {
      ended = {true, error.what()};
    }
    context.deliver([&] { *out = std::move(ended); });
  });
}

void SliceSaver::cancel() {
  tasks_.drop(kind_);
  result_.clear(), failed_ = false;
}

std::filesystem::path slice_path(const std::filesystem::path& source, Steps steps) {
  const std::string name = fmt::format("{}-{}-{}.h5", source.stem().string(), steps.first, steps.last);
  return source.parent_path() / name;
}

}  // namespace reattend::viz
