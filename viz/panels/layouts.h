// Named arrangements of the panels: which stand where, how much room each column has, what is seen first.
#pragma once
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <imgui.h>

#include "viz/panels/panel.h"

namespace reattend::viz {

struct Layout {
  struct Place {
    const char* panel;
    Dock dock;
  };
  const char *name, *help;
  float left, right;                      ///< widths of the outer columns, in heights of text
  float left_top, middle_top, right_top;  ///< shares of their columns' heights
  std::span<const Place> places;          ///< of panels that do not stand where Panel::dock() says
  std::span<const char* const> front;     ///< what is seen first of those that share a place
};

std::span<const Layout> layouts();
/// The first one where there is none of that name.
const Layout& find_layout(const std::string& name);

/// How many columns and rows fit: text and sliders need their widths whatever the window's size.
struct Fit {
  bool three_columns = true, two_rows = true;
  bool operator==(const Fit&) const = default;
};
/// `room` in pixels, text of the current size.
Fit fit_for(ImVec2 room);

/// Where the panels are: in a layout, until the user moves them.
class Docks {
 public:
  /// Of the last run: the layout's name, and the pixels per unit of size that its places have.
  void start(const std::string& layout, float scale);
  /// Docks all panels anew and opens them.
  void choose(const std::string& layout);
  /// The name of the layout that was chosen last.
  const std::string& layout() const { return layout_; }
  /// The space in which panels are docked, before the panels. What nobody has moved is laid out anew where the window
  /// has become too narrow for its columns, or wide enough for more.
  void draw(const std::vector<std::unique_ptr<Panel>>& panels);
  /// Every panel is where it was put, and what is to be seen first is.
  bool settled() const { return frames_to_settle_ == 0; }
  /// A panel that the places of the last run do not know goes where another of its place is; before it is drawn.
  void place_new(const Panel& panel, const std::vector<std::unique_ptr<Panel>>& panels) const;

 private:
  void build(const std::vector<std::unique_ptr<Panel>>& panels);
  void bring_to_front() const;
  bool untouched(const std::vector<std::unique_ptr<Panel>>& panels) const;

  std::string layout_;
  bool chosen_ = false;  ///< and not built yet
  Fit fit_;              ///< of what was built
  int frames_to_settle_ = 0;
  float scale_ = 0;  ///< of the sizes of places; 0: not known
  ImGuiID space_ = 0;
  std::map<std::string, ImGuiID> built_;  ///< panel by panel, the node that it was given
};

}  // namespace reattend::viz
