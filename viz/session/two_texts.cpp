// Compares token ids, never texts: two tokens may look alike.
#include "viz/session/two_texts.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace reattend::viz {

Written read_written(std::string_view text) {
  const Complaint wanted = {
      .where = "reattend run", .expected = "its text with tokens and their ends", .got = {}, .remedy = {}};
  const auto refuse = [&wanted](const std::string& got) {
    Complaint complaint = wanted;
    complaint.got = got;
    fail(complaint);
  };
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) refuse("something that is not a JSON object");
  Written out;
  try {
    out.text = json.at("text"), out.tokens = json.at("tokens").get<std::vector<int32_t>>();
    out.ends = json.at("token_ends").get<std::vector<size_t>>();
  } catch (const nlohmann::json::exception& error) {
    refuse(error.what());
  }
  // A run that was stopped may have shown a token that it did not feed.
  out.ends.resize(std::min(out.ends.size(), out.tokens.size())), out.tokens.resize(out.ends.size());
  if (!std::ranges::is_sorted(out.ends) || (!out.ends.empty() && out.ends.back() > out.text.size()))
    refuse("ends of tokens that are no places in its text");
  return out;
}

TwoTexts hold_together(const Settings& settings, Written full, Written policy) {
  TwoTexts out = {.settings = settings, .full = std::move(full), .policy = std::move(policy)};
  const auto parting = std::ranges::mismatch(out.full.tokens, out.policy.tokens);
  out.n_common = static_cast<size_t>(parting.in1 - out.full.tokens.begin());
  return out;
}

size_t n_recorded(const Written& text, std::span<const int32_t> recorded, int32_t n_prompt) {
  const auto begin = std::min(recorded.size(), static_cast<size_t>(n_prompt));
  const auto parting = std::ranges::mismatch(text.tokens, recorded.subspan(begin));
  return static_cast<size_t>(parting.in1 - text.tokens.begin());
}

}  // namespace reattend::viz
