// Asks the providers as their panels do.
#include "viz/panels/shown_data.h"

#include "base/error.h"
#include "viz/session/axes.h"

namespace reattend::viz {

void not_yet(const char* what) {
  fail({what, "numbers of the setting", "none yet", "show the panel, and wait until the setting is replayed"});
}

const LayerReplay& shown_layer(const Session& session) {
  const LayerReplay* const layer = session.layer();
  if (layer == nullptr || !session.layer_is_current()) not_yet("layer");
  return *layer;
}

const Landscape& shown_map(const Session& session) {
  if (session.tuning() == nullptr) not_yet("landscape");
  const Axes axes = axes_of(session.settings(), session.trace()->info);
  return session.data<Landscapes>().ask(session, session.settings(), axes.across, axes.upwards);
}

const LedgerPage& shown_ledger(const Session& session) {
  const LedgerPage* const page = session.tuning() == nullptr ? nullptr : session.data<Ledger>().ask();
  if (page == nullptr || page->settings != session.settings()) not_yet("ledger");
  return *page;
}

const Story& shown_story(const Session& session) {
  const Story* const story = session.tuning() == nullptr ? nullptr : session.data<Stories>().ask();
  const Selection& at = session.selection();
  if (story == nullptr || !story->row || story->settings != session.settings() ||
      story->at != RowPlace{at.layer, at.kv_head, at.step}) {
    not_yet("Why lost");
  }
  return *story;
}

const LayerCurves& shown_curves(const Session& session) {
  const LayerCurves* const curves = session.tuning() == nullptr ? nullptr : session.data<Curves>().ask();
  if (curves == nullptr || curves->layer != session.selection().layer) not_yet("curves");
  return *curves;
}

std::shared_ptr<const HeadPage> shown_heads(const Session& session, LayerMeasure measure) {
  std::shared_ptr<const HeadPage> page = session.tuning() == nullptr ? nullptr : session.data<HeadGrid>().ask(measure);
  if (page == nullptr) not_yet("heads");
  return page;
}

}  // namespace reattend::viz
