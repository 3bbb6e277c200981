// A panel: one window of the front end. A new one is one file with a make function, and one row in panels.cpp.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "report/chart.h"
#include "report/table.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// Where the default layout puts it.
enum class Dock : uint8_t { left_top, left_bottom, centre_top, centre_bottom, right_top, right_bottom };

/// What a panel shows as numbers; made when somebody asks, for it may be long.
struct PanelTable {
  std::string name;
  std::function<reattend::Table()> make;  ///< throws Error where there is nothing yet, or too much
};

class Panel {
 public:
  virtual ~Panel() = default;
  virtual const char* name() const = 0;
  virtual Dock dock() const = 0;
  /// In a sentence what it is for; said while there is no trace to show.
  virtual const char* shows() const { return ""; }
  /// Called within the panel's window.
  virtual void draw(Session& session, SharedView& view) = 0;
  /// The exact values behind what is drawn, for CSV and clipboard: one table at least, the first of which is taken
  /// where nobody names one. Both arguments outlive what makes the tables.
  virtual std::vector<PanelTable> tables(const Session& session, const SharedView& view) const = 0;
  /// Its curves, for SVG; empty where it has none. What they are made by throws Error where there is nothing yet.
  using MakeChart = std::function<reattend::Chart(const Session&)>;
  virtual MakeChart chart() const { return nullptr; }
  bool open = true;
};

std::unique_ptr<Panel> make_timeline();
std::unique_ptr<Panel> make_heat_map();
std::unique_ptr<Panel> make_tune();
std::unique_ptr<Panel> make_trace_info();
std::unique_ptr<Panel> make_tokens();
std::unique_ptr<Panel> make_landscape();
std::unique_ptr<Panel> make_ledger();
std::unique_ptr<Panel> make_heads();
std::unique_ptr<Panel> make_curves();
std::unique_ptr<Panel> make_tried();
std::unique_ptr<Panel> make_history();
std::unique_ptr<Panel> make_notes();
std::unique_ptr<Panel> make_why_lost();
std::unique_ptr<Panel> make_engine();
std::unique_ptr<Panel> make_measured();
std::unique_ptr<Panel> make_texts();
std::unique_ptr<Panel> make_profile();

/// All panels in the order of the menu.
std::vector<std::unique_ptr<Panel>> make_panels();

}  // namespace reattend::viz
