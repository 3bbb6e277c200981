// Which of the two forms a name asks for, and the files of it.
#include "report/document.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;

fs::path figure_path(const fs::path& report, const std::string& figure) {
  return report.parent_path() / fmt::format("{}-{}.svg", report.stem().string(), figure);
}

bool is_markdown(const fs::path& path) {
  return path.extension() == ".md";
}

}  // namespace

Text rich(const std::string& text) {
  Text out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('`', begin), text.size());
    const bool is_code = out.size() % 2 == 1;
    out.push_back({text.substr(begin, end - begin), is_code ? Style::code : Style::plain});
    begin = end + 1;
  }
  return out;
}

void check_document_path(const fs::path& path, const std::vector<std::string>& figures, bool force,
                         const std::string& option) {
  if (path.stem().empty() || (path.extension() != ".html" && !is_markdown(path))) {
    fail_usage({.where = option,
                .expected = "a file that ends in .html or .md",
                .got = path.string(),
                .remedy = "the suffix says what is written"});
  }
  check_folder_of(path, option);
  for (const fs::path& each : document_files(path, figures)) refuse_to_replace_by_text(each, force, option);
}

std::vector<fs::path> document_files(const fs::path& path, const std::vector<std::string>& figures) {
  std::vector<fs::path> files = {path};
  for (const std::string& figure : figures) {
    if (is_markdown(path)) files.push_back(figure_path(path, figure));
  }
  return files;
}

std::vector<fs::path> write_document(const Document& document, const fs::path& path, bool force) {
  std::vector<fs::path> written;
  for (const Block& block : document.blocks) {
    const auto* const figure = std::get_if<Figure>(&block);
    if (figure == nullptr || !is_markdown(path)) continue;
    written.push_back(figure_path(path, figure->name));
    write_text_file(written.back(), to_svg(figure->chart), force);
  }
  write_text_file(path, is_markdown(path) ? to_markdown(document, path.stem().string()) : to_html(document), force);
  written.push_back(path);
  return written;
}

}  // namespace reattend
