// Golden lists of texts with the ids that llama.cpp gives them, and the text that it makes of the ids.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/text/tokenizer.h"

namespace reattend::testing {

/// KEY as text, or KEY_hex (for "text": hex) as bytes that are no UTF-8.
inline std::string bytes_of(const nlohmann::json& item, const std::string& key, const std::string& hex_key) {
  if (item.contains(key)) return item[key];
  const std::string hex = item.at(hex_key);
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

/// Every text of the list has its ids and comes back from them. Bytes that are no UTF-8 are left out where llama.cpp
/// puts U+FFFD for them (`bytes_survive` false).
inline void expect_token_list(const Tokenizer& tokenizer, const std::string& path, bool bytes_survive) {
  const nlohmann::json list = nlohmann::json::parse(std::ifstream(path));
  ASSERT_GE(list.at("items").size(), 80U);
  for (const nlohmann::json& item : list["items"]) {
    if (item.contains("hex") && !bytes_survive) continue;
    SCOPED_TRACE(item.contains("text") ? item["text"].dump() : item["hex"].dump());
    const auto ids = item["ids"].get<std::vector<int32_t>>();
    std::vector<int32_t> made = tokenizer.encode(bytes_of(item, "text", "hex"), item["parse_special"].get<bool>());
    // Behind a BOS token that the text itself begins with, llama.cpp puts another one.
    if (item["add_special"].get<bool>() && !tokenizer.add_bos(made)) made.insert(made.begin(), made.front());
    EXPECT_EQ(made, ids);
    const std::string text = bytes_of(item, "detok", "detok_hex");
    EXPECT_EQ(tokenizer.decode(ids, true), text);
    EXPECT_EQ(tokenizer.decode(ids), item.contains("detok_plain") ? item["detok_plain"].get<std::string>() : text);
  }
}

}  // namespace reattend::testing
