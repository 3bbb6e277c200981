// Runs the patterns of pre-tokenizers by PCRE2 with Unicode properties.
#include "engine/text/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace reattend {

struct PreTokenizer::Pattern {
  struct Free {
    void operator()(pcre2_code* p) const { pcre2_code_free(p); }
    void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
    void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  };
  std::unique_ptr<pcre2_code, Free> code;
  std::unique_ptr<pcre2_match_context, Free> context;

  explicit Pattern(std::string_view text) {
    int error = 0;
    size_t offset = 0;
    code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), PCRE2_UTF | PCRE2_UCP, &error,
                             &offset, nullptr));
    context.reset(pcre2_match_context_create(nullptr));
    if (code == nullptr || context == nullptr) {
      fail({"pre-tokenizer pattern", "a pattern that PCRE2 compiles", "error " + std::to_string(error),
            "check the installation of libpcre2"});
    }
    // Back-tracking in these patterns is at most one pass over a run of white space, so there is nothing to limit:
    // the default of ten million would refuse a longer run.
    pcre2_set_match_limit(context.get(), UINT32_MAX);
  }

  /// Appends the matches in `piece` (valid UTF-8) and what lies between them.
  void split(std::string_view piece, std::vector<std::string_view>& out) const {
    const std::unique_ptr<pcre2_match_data, Free> data(pcre2_match_data_create(1, nullptr));
    size_t done = 0;
    while (done < piece.size()) {
      // The whole piece was checked once: checking it again at every match would make this quadratic.
      const int n = data == nullptr ? PCRE2_ERROR_NOMEMORY
                                    : pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(piece.data()), piece.size(),
                                                  done, PCRE2_NO_UTF_CHECK, data.get(), context.get());
      if (n == PCRE2_ERROR_NOMATCH) break;
      if (n < 0) fail({"pre-tokenizer", "a match", "PCRE2 error " + std::to_string(n), ""});
      const size_t* const range = pcre2_get_ovector_pointer(data.get());
      if (range[0] > done) out.push_back(piece.substr(done, range[0] - done));
      out.push_back(piece.substr(range[0], range[1] - range[0]));
      done = range[1];
    }
    if (done < piece.size()) out.push_back(piece.substr(done));
  }
};

PreTokenizer::PreTokenizer(const PreTokenizerKind& kind) {
  for (const std::string_view pattern : kind.patterns) patterns_.emplace_back(pattern);
}
PreTokenizer::~PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;

std::vector<std::string_view> PreTokenizer::split(std::string_view text) const {
  std::vector<std::string_view> words, pieces, next;
  size_t start = 0;
  while (start < text.size()) {
    // A run of bytes that are all valid, or all not.
    const bool valid = first_utf8_char(text.substr(start)).status == Utf8Status::ok;
    size_t end = start;
    while (end < text.size()) {
      const Utf8Char c = first_utf8_char(text.substr(end));
      if ((c.status == Utf8Status::ok) != valid) break;
      end += c.length;
    }
    pieces.assign(1, text.substr(start, end - start));
    if (valid) {
      for (const Pattern& pattern : patterns_) {
        next.clear();
        for (const std::string_view piece : pieces) pattern.split(piece, next);
        pieces.swap(next);
      }
    }
    words.insert(words.end(), pieces.begin(), pieces.end());
    start = end;
  }
  return words;
}

}  // namespace reattend
