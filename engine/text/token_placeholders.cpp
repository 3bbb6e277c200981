// Finds in a template's literals which special tokens it writes, by the tokens of its source.
#include "engine/text/token_placeholders.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <optional>
#include <stdexcept>

namespace reattend {
namespace {

using Token = jinja::token;
using Tokens = std::vector<Token>;

/// A placeholder: a number in three bytes of six bits, none of which is a letter, white space or ASCII, between two
/// marks, so that what is left of one that was cut is seen.
constexpr size_t kSize = 5, kMost = size_t{1} << 18;

std::vector<std::string_view> views(std::span<const std::string> names) {
  return {names.begin(), names.end()};
}

bool is_one_of(const Token& token, std::initializer_list<Token::type> types) {
  return std::find(types.begin(), types.end(), token.t) != types.end();
}

bool is_word(const Token& token, std::initializer_list<std::string_view> words) {
  return token.t == Token::identifier && std::find(words.begin(), words.end(), token.value) != words.end();
}

bool is_literal(const Token& token) {
  return is_one_of(token, {Token::string_literal, Token::text});
}

/// The token at a distance; the end of the source where there is none.
const Token& neighbour(const Tokens& tokens, size_t at, int distance) {
  static const Token end = {Token::eof, "", 0};
  const auto there = static_cast<std::ptrdiff_t>(at) + distance;
  return there >= 0 && there < static_cast<std::ptrdiff_t>(tokens.size()) ? tokens[static_cast<size_t>(there)] : end;
}

/// A literal that does not reach the text: `'x' in content`, content.split('x'), message['x'], {'x': ...}.
bool is_only_compared(const Tokens& tokens, size_t at) {
  const Token &before = neighbour(tokens, at, -1), &behind = neighbour(tokens, at, 1);
  const auto compares = [](const Token& token) {
    return token.t == Token::comparison_binary_operator || is_word(token, {"in", "not"});
  };
  if (compares(before) || compares(behind) || behind.t == Token::colon) return true;
  const Token& second = neighbour(tokens, at, -2);
  if (before.t == Token::open_paren) {
    return is_word(second,
                   {"startswith", "endswith", "split", "rsplit", "replace", "strip", "lstrip", "rstrip", "trim"});
  }
  return before.t == Token::open_square_bracket && behind.t == Token::close_square_bracket &&
         is_one_of(second, {Token::identifier, Token::string_literal, Token::close_paren, Token::close_square_bracket,
                            Token::close_curly_bracket});
}

/// Where a literal follows the one at `at` with nothing but a role between them, as in '<|' + message['role'] + '|>'
/// and <|{{ message.role }}|>.
std::optional<size_t> behind_a_role(const Tokens& tokens, size_t at) {
  const auto skip = [&tokens](size_t from, std::initializer_list<Token::type> types) {
    while (from < tokens.size() && is_one_of(tokens[from], types)) ++from;
    return from;
  };
  const auto joints = {Token::additive_binary_operator, Token::open_expression, Token::close_expression};
  const size_t role = skip(at + 1, joints);
  const size_t behind = skip(role, {Token::identifier, Token::dot, Token::open_square_bracket, Token::string_literal,
                                    Token::numeric_literal, Token::close_square_bracket});
  size_t last = behind;
  while (last > role && !is_one_of(tokens[last - 1], {Token::identifier, Token::string_literal})) --last;
  const bool is_role = last > role && tokens[last - 1].value.find("role") != std::string::npos;
  const size_t next = skip(behind, joints);
  if (role == at + 1 || !is_role || next == behind || next == tokens.size() || !is_literal(tokens[next])) {
    return std::nullopt;
  }
  return next;
}

}  // namespace

char unused_byte(std::span<const std::string_view> texts) {
  std::bitset<256> used;
  for (const std::string_view text : texts) {
    for (const char c : text) used.set(static_cast<unsigned char>(c));
  }
  for (size_t byte = 256; byte-- > 128;) {  // UTF-8 has none of the highest
    if (!used.test(byte)) return static_cast<char>(byte);
  }
  throw std::runtime_error("messages with every byte from 0x80 to 0xFF, which no text has");
}

TokenPlaceholders::TokenPlaceholders(std::span<const std::string> names, char mark)
    : names_(names), finder_(views(names)), mark_(mark) {}

std::string TokenPlaceholders::placeholder(Part part, std::string_view text) {
  const auto [found, is_new] = index_.try_emplace({part, std::string(text)}, entries_.size());
  if (is_new) {
    if (entries_.size() == kMost) throw std::runtime_error("too many special tokens in one template");
    entries_.emplace_back(part, text);
  }
  std::string out(1, mark_);
  for (const size_t shift : {12, 6, 0}) out += static_cast<char>(0x80 | (found->second >> shift & 0x3F));
  return out + mark_;
}

std::string TokenPlaceholders::put_into(std::string_view text) {
  std::string out;
  size_t done = 0;
  for (const auto& [begin, end, index] : finder_.find(
           text, [](int32_t, size_t) { return true; }, [](int32_t) { return false; })) {
    out.append(text.substr(done, begin - done)).append(placeholder(Part::whole, names_[static_cast<size_t>(index)]));
    done = end;
  }
  return out.append(text.substr(done));
}

/// The longest beginning and end of one name that the two texts meet with; none: both 0.
TokenPlaceholders::Around TokenPlaceholders::around(std::string_view before, std::string_view behind) const {
  Around best = {0, 0};
  for (const std::string_view name : names_) {
    for (size_t head = std::min(name.size() - 1, before.size()); head > 0 && head >= best.head; --head) {
      if (!before.ends_with(name.substr(0, head))) continue;
      for (size_t tail = std::min(name.size() - head, behind.size() + 1); tail-- > 1;) {
        if (!behind.starts_with(name.substr(name.size() - tail))) continue;
        if (head > best.head || tail > best.tail) best = {head, tail};
        break;
      }
    }
  }
  return best;
}

void TokenPlaceholders::put_into(std::vector<jinja::token>& tokens) {
  std::vector<Around> cut(tokens.size(), {0, 0});  // at the end and at the beginning of each literal
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto next = is_literal(tokens[i]) ? behind_a_role(tokens, i) : std::nullopt;
    if (!next) continue;
    const Around found = around(std::string_view(tokens[i].value).substr(cut[i].tail), tokens[*next].value);
    cut[i].head = found.head;
    cut[*next].tail = found.tail;
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!is_literal(tokens[i]) || (tokens[i].t == Token::string_literal && is_only_compared(tokens, i))) continue;
    const std::string_view text = tokens[i].value;
    const auto [head, tail] = cut[i];
    std::string out = tail > 0 ? placeholder(Part::tail, text.substr(0, tail)) : std::string();
    out += put_into(text.substr(tail, text.size() - tail - head));
    if (head > 0) out += placeholder(Part::head, text.substr(text.size() - head));
    tokens[i].value = out;
  }
}

const std::pair<TokenPlaceholders::Part, std::string>& TokenPlaceholders::entry_at(std::string_view rendered,
                                                                                   size_t at) const {
  size_t index = 0;
  bool whole = at + kSize <= rendered.size() && rendered[at + kSize - 1] == mark_;
  for (size_t i = at + 1; whole && i + 1 < at + kSize; ++i) {
    const auto byte = static_cast<unsigned char>(rendered[i]);
    whole = (byte & 0xC0) == 0x80;
    index = index << 6 | (byte & 0x3F);
  }
  if (!whole || index >= entries_.size()) {
    throw std::runtime_error("a special token's name that the template takes apart");
  }
  return entries_[index];
}

MarkedText TokenPlaceholders::taken_from(std::string_view rendered) const {
  MarkedText out;
  while (!rendered.empty()) {
    const size_t at = std::min(rendered.find(mark_), rendered.size());
    out.add_plain(rendered.substr(0, at));
    rendered.remove_prefix(at);
    if (rendered.empty()) break;
    const auto& [part, text] = entry_at(rendered, 0);
    rendered.remove_prefix(kSize);
    if (part != Part::head) {
      part == Part::whole ? out.add_marks(text) : out.add_plain(text);
      continue;
    }
    // With the role and the other end it is a name, or all of it is text.
    const size_t next = rendered.find(mark_);
    const bool has_tail = next != std::string_view::npos && entry_at(rendered, next).first == Part::tail;
    std::string name = text;
    if (has_tail) name.append(rendered.substr(0, next)).append(entry_at(rendered, next).second);
    if (has_tail && std::find(names_.begin(), names_.end(), name) != names_.end()) {
      out.add_marks(name);
      rendered.remove_prefix(next + kSize);
    } else {
      out.add_plain(text);
    }
  }
  return out;
}

}  // namespace reattend
