// The rules for files the program makes: nothing is replaced unless the user says so, devices never; no file is half
// there. And how a page of text that a user gives is read.
#pragma once
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace reattend {

/// All bytes of a text that a user gives: of a file, of a pipe (`--settings <(...)`) or of a device. Throws Error with
/// `wanted` (its `expected` names what the file should be) and the system's reason, or where it is a folder or longer
/// than `most` bytes.
std::string read_text(const std::filesystem::path& path, const Complaint& wanted, size_t most);

/// FILE.part-PID: where this process writes what shall be FILE. Of a name that leaves no room for that the beginning,
/// with a number that tells it from others.
std::filesystem::path part_of(const std::filesystem::path& path);
/// What the names of all parts of `path` begin with; the process follows.
std::string part_prefix(const std::filesystem::path& path);
/// True for a name such as part_of() gives.
bool is_part(const std::filesystem::path& path);

/// Throws Error (usage) when `path` exists and `force` is not set, is no plain file's name, or is longer than names can
/// be. Called before long work, so that minutes of it do not end at such a name. `option` is where the name came from.
void refuse_to_replace(const std::filesystem::path& path, bool force, const std::string& option = "--out");

/// The same for text, which takes the place of other text only, whatever `force` says: a name behind the wrong option
/// must not cost a trace or a model.
void refuse_to_replace_by_text(const std::filesystem::path& path, bool force, const std::string& option = "--out");

/// Throws Error where `path` would stand in a folder that is not there or can't be written to. Called before long work.
void check_folder_of(const std::filesystem::path& path, const std::string& option);

/// Before a word is written: who could not read or write the file at `path`, if there is one, can't do so with the new
/// file `fd` that shall replace it. Its writer can.
void take_mode(int fd, const std::filesystem::path& path);

/// Gives the file `from` the name `to`, at once, and the mode of the file it replaces; 0, or -1 with errno: EEXIST
/// where something has the name and `replace` is not set.
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
