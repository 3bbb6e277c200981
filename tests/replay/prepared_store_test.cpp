// Layers that are kept prepared on disk: the same bits as without, nothing prepared twice, and nothing believed.
#include <filesystem>
#include <fstream>

#include "replay/prepared_store.h"
#include "tests/replay/same_bits.h"
#include "tests/support/scratch_folder.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kPlenty = 1'000'000'000;

class Store : public ::testing::Test {
 protected:
  Store() : run_(std::make_shared<HandMade>(HandMadeShape{.n_layer = 4, .n_step = 300}, 5)), pool_(2) {
    change_trace("a trace");
    Replayer plenty(run_, pool_);
    plenty.run(request(settings_of("recycled", {{"K", int64_t{20}}})), {}, Cancel());
    memory_ = plenty.bytes() * 3 / 4;
  }

  void change_trace(const std::string& text) {
    const fs::path path = folder_ / "trace.h5";
    std::ofstream(path) << text;
    run_->info().path = path;
  }
  std::shared_ptr<PreparedStore> store(int64_t most = kPlenty) const {
    return std::make_shared<PreparedStore>(folder_ / "cache", run_->info(), most);
  }
  static ReplayRequest request(const Settings& settings) { return {.settings = settings, .keep_sets = true}; }

  /// Replays them one after the other with the store and holds them against a replay with plenty of memory.
  void expect_right(const std::shared_ptr<PreparedStore>& store, const std::vector<Settings>& all) {
    Replayer plenty(run_, pool_), kept(run_, pool_, memory_);
    kept.keep_prepared(store);
    for (const Settings& settings : all) {
      const ReplayResult expected = plenty.run(request(settings), {}, Cancel());
      const ReplayResult found = kept.run(request(settings), {}, Cancel());
      for (size_t l = 0; l < 4; ++l) expect_same(found.layers[l], expected.layers[l], settings.summary());
      EXPECT_LE(kept.bytes(), memory_);
    }
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& each : fs::recursive_directory_iterator(folder_ / "cache")) {
      if (each.is_regular_file()) found.push_back(each.path());
    }
    std::ranges::sort(found);
    return found;
  }

  test::ScratchFolder folder_;
  std::shared_ptr<HandMade> run_;
  ThreadPool pool_;
  int64_t memory_ = 0;  ///< of which the layers together take more
};

std::vector<Settings> some_settings() {
  const auto recycled = [](std::vector<std::pair<std::string, Value>> values) {
    return settings_of("recycled", values);
  };
  return {recycled({{"K", int64_t{20}}}),
          recycled({{"K", int64_t{7}}, {"S", int64_t{3}}}),
          recycled({{"K", int64_t{250}}}),
          recycled({{"K", int64_t{20}}, {"pool", int64_t{1}}, {"reduce", std::string("mean")}}),
          settings_of("streaming", {{"K", int64_t{30}}}),
          settings_of("snapkv", {{"K", int64_t{30}}, {"window", int64_t{8}}}),
          settings_of("h2o", {{"K", int64_t{25}}}),
          recycled({{"K", int64_t{21}}})};
}

TEST_F(Store, AnswersAreTheSameBitsAsWithout) {
  expect_right(store(), some_settings());
  EXPECT_FALSE(files().empty());
  expect_right(store(), some_settings());  // the next opening
}

// Each change of a setting prepared all layers anew where they exceed the memory: minutes of it for long traces.
TEST_F(Store, NothingIsPreparedTwice) {
  const auto first = store();
  Replayer kept(run_, pool_, memory_);
  kept.keep_prepared(first);
  const auto run = [&](Replayer& replayer, int64_t k, int64_t s) {
    int n_prepared = 0;
    const auto progress = [&](const std::string& what, double, double, const std::string&) {
      n_prepared += what == "prepare" ? 1 : 0;
    };
    replayer.run(request(settings_of("recycled", {{"K", k}, {"S", s}})), progress, Cancel());
    return n_prepared;
  };
  EXPECT_EQ(run(kept, 20, 10), 4);
  run_->n_read = 0;
  EXPECT_EQ(run(kept, 30, 10), 0);
  EXPECT_EQ(run(kept, 30, 4), 0);
  EXPECT_EQ(run_->n_read, 0);
  EXPECT_EQ(first->note(), "");

  const std::vector<fs::path> written = files();
  std::vector<fs::file_time_type> times;
  for (const fs::path& path : written) times.push_back(fs::last_write_time(path));
  Replayer next(run_, pool_, memory_);
  next.keep_prepared(store());
  run(next, 30, 4);
  EXPECT_EQ(files(), written);
  for (size_t i = 0; i < written.size(); ++i) EXPECT_EQ(fs::last_write_time(written[i]), times[i]) << written[i];
}

// A layer may hold rankings that the setting at hand does not need, when its outputs are what exceeds the memory: read
// back as others, they would answer later settings wrongly.
TEST_F(Store, RankingsAreFoundByWhatTheyAreRankedBy) {
  const PreparedLayer::Need mean = {.rank = {.present = true, .reduce = Reduce::mean, .pool = 7}, .rank_depth = 20};
  const PreparedLayer::Need plain = {.rank = {.present = true}, .rank_depth = 20};
  PreparedLayer made(run_->info(), run_->layer(1)), read(run_->info(), run_->layer(1));
  made.prepare(mean, pool_, Cancel());
  store()->save(1, made);
  EXPECT_EQ(made.ranked_by(), mean.rank) << "they are still the layer's";
  store()->load(1, plain, read);
  EXPECT_TRUE(read.lacks(PreparedLayer::Part::ranks, plain));
  store()->load(1, mean, read);
  EXPECT_FALSE(read.lacks(PreparedLayer::Part::ranks, mean));
}

TEST_F(Store, LayersThatFitTheMemoryAreNotWritten) {
  Replayer plenty(run_, pool_);
  plenty.keep_prepared(store());
  plenty.run(request(settings_of("recycled", {{"K", int64_t{20}}})), {}, Cancel());
  EXPECT_FALSE(fs::exists(folder_ / "cache"));
}

TEST_F(Store, WhatIsDamagedIsMadeAnewAndSaid) {
  const std::vector<Settings> one = {settings_of("recycled", {{"K", int64_t{20}}})};
  expect_right(store(), one);
  const std::vector<fs::path> written = files();
  ASSERT_GE(written.size(), 8U);
  const auto change = [](const fs::path& path, int64_t at, char to) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.put(to);
  };
  const std::vector<std::function<void(const fs::path&)>> damages = {
      [&](const fs::path& path) { change(path, 0, 'x'); },                                // magic
      [&](const fs::path& path) { change(path, 16, 9); },                                 // version
      [&](const fs::path& path) { change(path, 24, 77); },                                // shape
      [&](const fs::path& path) { change(path, 130, 77); },                               // a size
      [&](const fs::path& path) { change(path, 4096 + 50, 77), change(path, 4150, 3); },  // contents
      [&](const fs::path& path) { fs::resize_file(path, fs::file_size(path) - 4096); },
      [&](const fs::path& path) { fs::resize_file(path, fs::file_size(path) + 4096); },
      [&](const fs::path& path) { fs::resize_file(path, 100); },
      [&](const fs::path& path) { fs::resize_file(path, 0); },
      [&](const fs::path& path) { fs::copy_file(written.back(), path, fs::copy_options::overwrite_existing); },
  };
  for (size_t i = 0; i < damages.size(); ++i) {
    const fs::path& path = written[i % (written.size() - 1)];
    damages[i](path);
    const auto damaged = store();
    expect_right(damaged, one);
    EXPECT_NE(damaged->note().find(path.string()), std::string::npos) << "damage " << i << ": " << damaged->note();
    const auto mended = store();
    expect_right(mended, one);
    EXPECT_EQ(mended->note(), "") << "damage " << i << " is mended by what was made anew";
  }
}

TEST_F(Store, AChangedTraceDoesNotUseWhatWasKeptOfTheOld) {
  const std::vector<Settings> one = {settings_of("recycled", {{"K", int64_t{20}}})};
  const auto before = store();
  expect_right(before, one);
  change_trace("another trace");
  run_ = std::make_shared<HandMade>(HandMadeShape{.n_layer = 4, .n_step = 300}, 6);
  change_trace("another trace");
  const auto after = store();
  EXPECT_NE(before->folder(), after->folder());
  expect_right(after, one);
  EXPECT_EQ(after->note(), "");
  run_->info().live = true;
  EXPECT_EQ(trace_id(run_->info()), "") << "a trace that grows has no name for what it is";
}

TEST_F(Store, ADiskThatTakesNoMoreIsSaidOnceAndTheReplayGoesOn) {
  const std::vector<Settings> one = {settings_of("recycled", {{"K", int64_t{20}}})};
  const auto small = store(100'000);
  expect_right(small, one);
  EXPECT_NE(small->note().find("give a larger --cache"), std::string::npos) << small->note();
  std::ofstream(folder_ / "file") << "no folder";
  const auto nowhere = std::make_shared<PreparedStore>(folder_ / "file", run_->info(), kPlenty);
  expect_right(nowhere, one);
  EXPECT_NE(nowhere->note(), "");
}

// What the oldest traces left makes room for the newest.
TEST_F(Store, FoldersOfOtherTracesGoWhereThereIsNoRoom) {
  const std::vector<Settings> one = {settings_of("recycled", {{"K", int64_t{20}}})};
  const auto first = store();
  expect_right(first, one);
  int64_t bytes = 0;
  for (const fs::path& path : files()) bytes += static_cast<int64_t>(fs::file_size(path));
  change_trace("a second trace");
  const auto second = store(bytes * 3 / 2);
  expect_right(second, one);
  EXPECT_EQ(second->note(), "");
  EXPECT_FALSE(fs::exists(first->folder()));
  EXPECT_TRUE(fs::exists(second->folder()));
}

// A trace that is opened every day writes nothing any more, and would have been the first to go.
TEST_F(Store, AnOpenedTraceCountsAsUsed) {
  const auto opened = store();
  fs::create_directories(opened->folder());
  const fs::file_time_type long_ago = fs::file_time_type::clock::now() - std::chrono::hours(1000);
  fs::last_write_time(opened->folder(), long_ago);
  store();
  EXPECT_GT(fs::last_write_time(opened->folder()), long_ago + std::chrono::hours(1));
}

}  // namespace
}  // namespace reattend
