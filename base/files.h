// The rules for files the program makes: nothing is replaced unless the user says so, devices never; no file is half
// there.
#pragma once
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace reattend {

/// Throws Error (usage) when `path` exists and `force` is not set, or is no plain file's name. Called before long work,
/// so that minutes of it do not end at a name that was taken. `option` is where the name came from.
void refuse_to_replace(const std::filesystem::path& path, bool force, const std::string& option = "--out");

/// The same for text, which takes the place of other text only, whatever `force` says: a name behind the wrong option
/// must not cost a trace or a model.
void refuse_to_replace_by_text(const std::filesystem::path& path, bool force, const std::string& option = "--out");

/// Throws Error where `path` would stand in a folder that is not there or can't be written to. Called before long work.
void check_folder_of(const std::filesystem::path& path, const std::string& option);

/// Gives the file `from` the name `to`, at once; 0, or -1 with errno: EEXIST where something has the name and `replace`
/// is not set.
int give_name(const std::string& from, const std::string& to, bool replace);

/// A file that is written beside its name and takes it when it is whole. Throws Error with the system's reason; that
/// the name is taken is one where `replace` is not set.
class WholeFile {
 public:
  explicit WholeFile(const std::filesystem::path& path, bool replace = true);
  /// Removes what was written unless it was published.
  ~WholeFile();
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Gives the file its name.
  void publish();

 private:
  [[noreturn]] void refuse() const;
  std::string path_, beside_;
  bool replace_;
  std::FILE* file_;
};

/// A WholeFile of one text; refuses as refuse_to_replace_by_text() does.
void write_text_file(const std::filesystem::path& path, std::string_view text, bool replace);

}  // namespace reattend
