// Sees every text that is drawn, through the two functions of ImDrawList that draw text: the linker sends their callers
// here first (--wrap, in CMakeLists.txt). Not the field in which one types, which scrolls and draws by itself.
#pragma once
#include <string>
#include <vector>

#include <imgui.h>

namespace reattend::viz::testing {

/// A text of which not all can be read.
struct CutText {
  std::string window, text, how;
  bool operator==(const CutText&) const = default;
};

/// Watches while it lives; one at a time.
class TextWatch {
 public:
  TextWatch();
  ~TextWatch();
  TextWatch(const TextWatch&) = delete;
  TextWatch& operator=(const TextWatch&) = delete;

  /// Forgets what was seen; once a frame, before it.
  void clear() { cut_.clear(), n_text_ = 0; }
  /// Cut texts of the frame, and windows and columns of tables that something lies beyond the edge of.
  std::vector<CutText> cut() const;
  size_t n_text() const { return n_text_; }

  void see(const ImDrawList& list, const ImFont* font, float size, ImVec2 at, const char* begin, const char* end,
           float wrap, const ImVec4* clip);

 private:
  std::vector<CutText> cut_;
  size_t n_text_ = 0;
};

}  // namespace reattend::viz::testing
