// Renders a template in a child process, which a hostile one can only end itself.
#include "engine/text/chat_template.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "engine/text/contained.h"
#include "engine/text/jinja_renderer.h"

namespace reattend {
namespace {

constexpr const char* kRemedy = "choose another one with --chat-template FILE|NAME, or give --raw";

/// A template of 20 kB renders a conversation in milliseconds. A long text is copied a few times on its way.
ContainedLimits limits_for(std::span<const ChatMessage> messages, size_t n_template) {
  auto n = static_cast<int64_t>(n_template);
  for (const ChatMessage& message : messages) n += static_cast<int64_t>(message.role.size() + message.content.size());
  constexpr int64_t kMegabyte = int64_t{1} << 20;
  return {.cpu_seconds = 3 + n / (16 * kMegabyte),
          .memory_bytes = 512 * kMegabyte + 32 * n,
          .output_bytes = 8 * kMegabyte + 4 * n};
}

/// The text behind its marks: their number, begin and end of each, as they are in memory.
std::string packed(const JinjaOutput& output) {
  const size_t n = output.text.marks.size();
  std::string out(1, output.refused.empty() ? 'T' : 'R');
  if (!output.refused.empty()) return out + output.refused;
  out.append(reinterpret_cast<const char*>(&n), sizeof n);
  out.append(reinterpret_cast<const char*>(output.text.marks.data()), n * sizeof(MarkedText::Range));
  return out + output.text.text;
}

/// False where the bytes are not what packed() makes of a text.
bool unpack(std::string_view bytes, MarkedText& out) {
  size_t n = 0;
  if (bytes.size() < sizeof n) return false;
  std::memcpy(&n, bytes.data(), sizeof n);
  bytes.remove_prefix(sizeof n);
  if (n > bytes.size() / sizeof(MarkedText::Range)) return false;
  out.marks.resize(n);
  if (n > 0) std::memcpy(out.marks.data(), bytes.data(), n * sizeof(MarkedText::Range));
  out.text = bytes.substr(n * sizeof(MarkedText::Range));
  size_t end = 0;
  return std::all_of(out.marks.begin(), out.marks.end(), [&](const MarkedText::Range& mark) {
    const bool in_order = mark.begin >= end && mark.end > mark.begin && mark.end <= out.text.size();
    end = mark.end;
    return in_order;
  });
}

/// How a template ended that did not end well.
std::string how(const ContainedResult& result, const ContainedLimits& limits) {
  using Ended = ContainedResult::Ended;
  switch (result.ended) {
    case Ended::time:
      return "one that is not done after " + std::to_string(limits.cpu_seconds) + " s";
    case Ended::memory:
      return "one that needs more than " + std::to_string(limits.memory_bytes >> 20) + " MiB";
    case Ended::output:
      return "one that writes more than " + std::to_string(limits.output_bytes >> 20) + " MiB";
    case Ended::stack:
      return "one that nests too deeply: the renderer's stack ran over";
    default:
      return "one that ended the renderer (" + result.output + ")";
  }
}

}  // namespace

MarkedText ChatTemplate::render(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
  const ContainedLimits limits = limits_for(messages, jinja_.size());
  const ContainedResult result = run_contained(limits, [&] {
    return packed(render_jinja({jinja_, bos_, eos_, messages, names_, add_generation_prompt}));
  });
  constexpr const char* kExpected = "a template that renders these messages";
  if (result.ended != ContainedResult::Ended::well) fail({where_, kExpected, how(result, limits), kRemedy});
  const std::string_view output = result.output;
  MarkedText text;
  const bool refused = output.starts_with('R');
  if (!refused && !(output.starts_with('T') && unpack(output.substr(1), text))) {
    fail({where_, kExpected, "an answer that is cut", kRemedy});
  }
  if (refused || text.text.empty()) {
    fail({where_, kExpected, refused ? std::string(output.substr(1)) : "one that writes nothing for them", kRemedy});
  }
  return text;
}

}  // namespace reattend
