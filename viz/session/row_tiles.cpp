// Decides which tiles are read next and whose weights go, and reads them.
#include "viz/session/row_tiles.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace reattend::viz {

RowTiles::RowTiles(BackgroundTasks& tasks, const Kinds& kinds, std::shared_ptr<Replayer> replayer, int64_t bytes)
    : tasks_(tasks),
      looked_at_{.kind = kinds.looked_at},
      others_{.kind = kinds.others},
      replayer_(std::move(replayer)),
      n_prompt_(replayer_->info().n_prompt),
      n_step_(replayer_->info().n_step),
      bytes_(bytes),
      found_(std::make_shared<Found>()) {}

RowTiles::~RowTiles() {
  tasks_.drop(looked_at_.kind), tasks_.drop(others_.kind);
}

Steps RowTiles::steps_of(size_t tile) const {
  const int32_t first = static_cast<int32_t>(tile) * kTileSteps + 1;
  return {first, std::min(first + kTileSteps - 1, n_step_)};
}

int64_t RowTiles::weight_bytes(size_t tile) const {
  const Steps steps = steps_of(tile);
  return exact_bytes(steps.size(), n_prompt_ + steps.last);
}

void RowTiles::look_at(int32_t layer, int32_t kv_head, int32_t step) {
  show_step(step);
  if (layer == layer_ && kv_head == kv_head_) return;
  layer_ = layer, kv_head_ = kv_head;
  tasks_.drop(looked_at_.kind), tasks_.drop(others_.kind);
  tasks_.locked([&] { found_->tiles.clear(); });
  tiles_.assign(static_cast<size_t>((n_step_ + kTileSteps - 1) / kTileSteps), nullptr);
  n_read_ = 0, looked_at_.asked.clear(), others_.asked.clear();
  ++version_;
  update();
}

void RowTiles::show_step(int32_t step) {
  step_ = std::clamp(step, 1, std::max(1, n_step_));
}

size_t RowTiles::tile_of(int32_t step) const {
  return static_cast<size_t>((std::clamp(step, 1, std::max(1, n_step_)) - 1) / kTileSteps);
}

Steps RowTiles::in_view() const {
  return {std::max(1, shown_.steps.first), std::min(n_step_, shown_.steps.last)};
}

const float* RowTiles::row_of_step(int32_t step) const {
  if (step < 1 || step > n_step_ || tiles_.empty()) return nullptr;
  const auto& tile = tiles_[tile_of(step)];
  return tile && tile->exact() ? tile->row_of_step(step) : nullptr;
}

/// Tiles whose weights are needed, the most urgent first, no more than fit.
std::vector<size_t> RowTiles::needed() const {
  std::vector<size_t> tiles = {tile_of(step_)};
  const auto add = [&](size_t tile) {
    if (std::ranges::find(tiles, tile) == tiles.end()) tiles.push_back(tile);
  };
  if (shown_.under_mouse >= 1 && shown_.under_mouse <= n_step_) add(tile_of(shown_.under_mouse));
  if (const Steps view = in_view(); shown_.weights && view.size() > 0) {
    const size_t first = tile_of(view.first), last = tile_of(view.last), middle = (first + last) / 2;
    for (size_t away = 0; away <= last - first; ++away) {  // from the middle outwards
      if (middle + away <= last) add(middle + away);
      if (middle >= first + away) add(middle - away);
    }
  }
  int64_t bytes = 0;
  size_t n = 0;
  while (n < tiles.size() && (n == 0 || bytes + weight_bytes(tiles[n]) <= bytes_)) bytes += weight_bytes(tiles[n++]);
  tiles.resize(n);
  return tiles;
}

void RowTiles::update() {
  if (tiles_.empty()) return;
  std::vector<std::shared_ptr<const RowTile>> found;
  tasks_.locked([&] { found = std::exchange(found_->tiles, {}); });
  for (auto& tile : found) {
    auto& place = tiles_[tile_of(tile->first_step)];
    if (!place) ++n_read_;
    for (Reading* const each : {&looked_at_, &others_}) std::erase(each->asked, tile_of(tile->first_step));
    place = std::move(tile);
    ++version_;
  }
  const std::vector<size_t> most_wanted = needed();
  if (!found.empty()) make_room(most_wanted);
  std::vector<size_t> missing, unread;
  std::vector<bool> listed(tiles_.size());
  int64_t room = bytes_;
  for (const size_t i : most_wanted) {
    if (!tiles_[i] || !tiles_[i]->exact()) missing.push_back(i);
    listed[i] = true, room -= weight_bytes(i);
  }
  ask(looked_at_, missing, bytes_);
  for (size_t i = 0; n_read_ < tiles_.size() && i < tiles_.size(); ++i) {
    if (!tiles_[i] && !listed[i]) unread.push_back(i);
  }
  const Steps view = in_view();
  const auto far = [&](size_t i) {
    const bool seen = view.size() > 0 && i >= tile_of(view.first) && i <= tile_of(view.last);
    return std::pair(!seen, std::abs(static_cast<int64_t>(i) - static_cast<int64_t>(most_wanted.front())));
  };
  std::ranges::sort(unread, {}, far);
  ask(others_, unread, room);
}

/// Weights that nobody needs go, those far from what is looked at first.
void RowTiles::make_room(const std::vector<size_t>& needed) {
  int64_t held = 0;
  std::vector<size_t> others;
  for (size_t i = 0; i < tiles_.size(); ++i) {
    if (!tiles_[i] || !tiles_[i]->exact()) continue;
    held += weight_bytes(i);
    if (std::ranges::find(needed, i) == needed.end()) others.push_back(i);
  }
  const auto distance = [&](size_t i) {
    return std::abs(static_cast<int64_t>(i) - static_cast<int64_t>(needed.front()));
  };
  std::ranges::sort(others, {}, distance);
  for (; held > bytes_ && !others.empty(); others.pop_back()) {
    held -= weight_bytes(others.back());
    tiles_[others.back()] = std::make_shared<const RowTile>(tiles_[others.back()]->coarse());
    ++version_;
  }
}

/// Of the missing tiles, the most urgent first, those keep their weights for which there is room.
void RowTiles::ask(Reading& reading, const std::vector<size_t>& missing, int64_t room) {
  // The same list as last is being read, or could not be.
  if (missing.empty() || missing == reading.asked) return;
  if (tasks_.waiting_for(reading.kind)) {
    std::vector<bool> asked(tiles_.size());
    for (const size_t i : reading.asked) asked[i] = true;
    const auto soon = std::span(reading.asked).first(std::min<size_t>(2, reading.asked.size()));
    // Who scrolls must not stop at every frame what is being read.
    const bool good = std::ranges::find(soon, missing.front()) != soon.end();
    if (good && std::ranges::all_of(missing, [&](size_t i) { return asked[i]; })) return;
  }
  reading.asked = missing;
  std::vector<RowTile> shapes;
  size_t n_exact = reading.kind == looked_at_.kind ? missing.size() : 0;  // the first ones keep their weights
  int64_t bytes = 0;
  for (const size_t i : missing) {
    const Steps steps = steps_of(i);
    bytes += weight_bytes(i);
    if (bytes <= room) n_exact = std::max(n_exact, shapes.size() + 1);
    shapes.push_back({.layer = layer_,
                      .kv_head = kv_head_,
                      .first_step = steps.first,
                      .n_row = steps.size(),
                      .n_prompt = n_prompt_,
                      .weights = {},
                      .levels = {}});
  }
  tasks_.post(reading.kind, [shapes = std::move(shapes), n_exact, next = std::make_shared<size_t>(0),
                             replayer = replayer_, found = found_](const BackgroundTasks::Context& context) {
    while (*next < shapes.size()) {
      auto tile = std::make_shared<RowTile>(shapes[*next]);
      const int64_t n_position = tile->n_position();
      tile->weights.assign(static_cast<size_t>(tile->n_row * n_position), kNoCell);
      const auto row_of = [&](int32_t t) { return tile->weights.data() + (t - tile->first_step) * n_position; };
      replayer->rows(tile->layer, tile->kv_head, tile->steps(), row_of, context.cancel);
      tile->make_levels();
      if (*next >= n_exact) *tile = tile->coarse();
      context.deliver([&] { found->tiles.push_back(std::move(tile)); });
      context.progress("attention rows", static_cast<double>(++*next), static_cast<double>(shapes.size()), "tiles");
    }
  });
}

bool RowTiles::has_news() const {
  bool news = false;
  tasks_.locked([&] { news = !found_->tiles.empty(); });
  return news;
}

int64_t RowTiles::bytes() const {
  int64_t bytes = 0;
  for (const auto& tile : tiles_) bytes += tile ? tile->bytes() : 0;
  return bytes;
}

}  // namespace reattend::viz
