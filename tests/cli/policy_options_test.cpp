// Options of the command line become settings: every parameter has one, and they win over the settings file.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "cli/options/policy_options.h"

namespace reattend::cli {
namespace {

/// What `reattend replay ARGUMENTS` would run with.
Settings settings_of(std::vector<std::string> arguments, const std::string& initial = "full") {
  CLI::App app;
  PolicyOptions options;
  options.initial = initial;
  options.add_to(app);
  std::reverse(arguments.begin(), arguments.end());
  app.parse(arguments);
  return options.settings();
}

std::string line_of(const std::vector<std::string>& arguments) {
  try {
    settings_of(arguments);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return {};
}

class SettingsFile {
 public:
  explicit SettingsFile(const std::string& text)
      : path_(std::filesystem::temp_directory_path() / ("reattend_options_" + std::to_string(::getpid()) + ".toml")) {
    std::ofstream(path_) << text;
  }
  ~SettingsFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(PolicyOptions, LongAndCanonicalSpellingsMeanTheSame) {
  const Settings settings = settings_of({"--policy", "recycled", "--stride", "16", "--budget", "L/8"});
  EXPECT_EQ(settings, settings_of({"--policy", "recycled", "--S", "16", "--K=L/8"}));
  EXPECT_EQ(settings.summary(), "recycled S=16 K=L/8");
  EXPECT_EQ(settings_of({"--policy", "recycled", "--similarity_query", "post_rope"}).choice("similarity_query"),
            "post_rope");
}

TEST(PolicyOptions, ListsNegativeNumbersAndNeverAreAccepted) {
  const Settings settings = settings_of(
      {"--policy", "recycled", "--S", "never", "--K", "[4, 5]", "--threshold", "-0.5", "--dense-layers", "0,1"});
  EXPECT_EQ(settings.count_or_never("S", 0), std::nullopt);
  EXPECT_EQ(settings.count("K", 1, 10), 5);
  EXPECT_EQ(settings.real("threshold", 0), -0.5);
  EXPECT_EQ(settings.layers("dense_layers"), (std::vector<int64_t>{0, 1}));
}

TEST(PolicyOptions, NothingGivenIsTheCommandsOwnPolicy) {
  EXPECT_EQ(settings_of({}), Settings("full"));
  EXPECT_EQ(settings_of({}, "recycled"), Settings("recycled"));
}

TEST(PolicyOptions, OptionsWinOverTheFile) {
  const SettingsFile file("[policy]\nname = 'recycled'\nK = 512\nS = 16\n");
  EXPECT_EQ(settings_of({"--settings", file.path()}).summary(), "recycled S=16 K=512");
  EXPECT_EQ(settings_of({"--S", "4", "--settings", file.path()}).summary(), "recycled S=4 K=512");
  EXPECT_EQ(settings_of({"--S", "10", "--settings", file.path()}).summary(),
            "recycled S=10 K=512");  // back to the default
  EXPECT_EQ(settings_of({"--policy", "streaming", "--settings", file.path()}).summary(), "streaming K=512");
  EXPECT_EQ(settings_of({"--policy", "full", "--settings", file.path()}), Settings("full"));
}

TEST(PolicyOptions, MistakesSayWhatWouldBeRight) {
  EXPECT_NE(line_of({"--policy", "recycle"}).find("full, recycled, oracle, streaming"), std::string::npos);
  EXPECT_NE(line_of({"--stride", "4"}).find("add --policy recycled"), std::string::npos);
  EXPECT_NE(line_of({"--policy", "streaming", "--threshold", "0.5"}).find("--threshold"), std::string::npos);
  EXPECT_NE(line_of({"--policy", "recycled", "--K", "0"}).find("--budget: expected an integer from 1"),
            std::string::npos);
  EXPECT_NE(line_of({"--policy", "recycled", "--pool", "4"}).find("odd"), std::string::npos);
}

TEST(PolicyOptions, PoliciesHaveTheirOwnDefaults) {
  EXPECT_EQ(settings_of({"--policy", "quest"}).layers("dense_layers"), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(settings_of({"--policy", "recycled"}).layers("dense_layers"), std::vector<int64_t>{});
  EXPECT_EQ(settings_of({"--policy", "tokenselect"}).real("threshold", 0), 0.9);
  EXPECT_EQ(settings_of({"--policy", "pyramidkv"}).count("window", 0, 0), 8);
  EXPECT_TRUE(settings_of({"--policy", "tokenselect"}).is_auto("K"));
  EXPECT_EQ(settings_of({"--policy", "tokenselect", "--K", "128"}).summary(), "tokenselect K=128");
  EXPECT_EQ(settings_of({"--policy", "tokenselect", "--K", "auto"}), Settings("tokenselect"));
  // A file made under one policy does not carry its defaults into another.
  const SettingsFile file(settings_of({"--policy", "quest", "--K", "32"}).to_toml());
  EXPECT_EQ(settings_of({"--settings", file.path()}), settings_of({"--policy", "quest", "--K", "32"}));
}

TEST(PolicyOptions, EveryParameterHasAnOption) {
  for (const Parameter* const parameter : parameters()) {
    const std::string policy(takers_of(*parameter).front()), text(parameter->initial);
    if (text == "auto") continue;  // the default of those that take it first
    EXPECT_NO_THROW(settings_of({"--policy", policy, "--" + std::string(parameter->key), text})) << parameter->key;
    EXPECT_NO_THROW(settings_of({"--policy", policy, "--" + std::string(parameter->flag), text})) << parameter->flag;
  }
}

TEST(PolicyOptions, NoPolicyAcceptsAndIgnoresAnothersParameter) {
  for (const PolicyInfo& info : policy_registry()) {
    for (const Parameter* const parameter : parameters()) {
      if (info.takes(parameter->key)) continue;
      const std::string line = line_of(
          {"--policy", std::string(info.name), "--" + std::string(parameter->flag), std::string(parameter->initial)});
      for (const std::string_view taker : takers_of(*parameter)) {
        EXPECT_NE(line.find(taker), std::string::npos) << info.name << ": " << line;
      }
    }
  }
}

/// Help of a command that sweeps, after these arguments.
std::string sweeping_help(std::vector<std::string> arguments) {
  CLI::App app;
  PolicyOptions options;
  options.initial = kDefaultPolicy, options.sweeps = true;
  options.add_to(app);
  std::reverse(arguments.begin(), arguments.end());
  app.parse(arguments);
  return app.help();
}

TEST(PolicyOptions, HelpOfASweepShowsOnePolicysOptionsWithoutThoseThatHaveLists) {
  const std::string recycled = sweeping_help({}), quest = sweeping_help({"--policy", "quest"});
  for (const char* shown : {"--pool", "--schedule", "--granularity"}) {
    EXPECT_NE(recycled.find(shown), std::string::npos) << shown;
  }
  for (const char* hidden : {"--stride", "--budget", "--threshold", "--page", "--beta", "--n-init"}) {
    EXPECT_EQ(recycled.find(hidden), std::string::npos) << hidden;
  }
  EXPECT_NE(quest.find("--page"), std::string::npos);
  EXPECT_EQ(quest.find("--pool"), std::string::npos);
}

}  // namespace
}  // namespace reattend::cli
