// Any bytes as a prompt cache: refused in one line, or read within what the header tells; with digests made to fit,
// too.
#include "engine/prompt_cache.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/sha256.h"
#include "engine/cache/prompt_file.h"
#include "tests/fuzz/targets.h"
#include "tests/support/scratch_folder.h"

namespace reattend::fuzz {
namespace {

void read(std::string bytes) {
  if (bytes.empty()) return;  // fmemopen() takes none
  try_to([&] {
    PromptFileReader file("FILE", fmemopen(bytes.data(), bytes.size(), "rb"));
    const PromptHeader& header = file.header();
    promise(static_cast<int32_t>(file.ids().size()) == header.n_prompt, "all ids are there");
    int64_t total = 0;
    for (const int32_t n : file.n_held()) total += header.layer_bytes(n);
    promise(total < static_cast<int64_t>(bytes.size()), "layers lie in the file");
    for (const int32_t n : file.n_held()) {
      promise(static_cast<int64_t>(file.next_layer().size()) == header.layer_bytes(n), "a layer is complete");
    }
  });
}

/// The smallest of engines, and a file that it wrote.
struct Tiny {
  ThreadPool pool{1};
  Model model = Model::open("tests/golden/models/tiny_llama.gguf");
  Backend backend = make_backend({}, model, pool);
  test::ScratchFolder folder;
  std::vector<int32_t> prompt{5, 6, 7};
  PromptHeader header;

  Tiny() {
    prefill();
    header = PromptFileReader(path()).header();
  }
  std::filesystem::path path() const { return folder / "prompt.cache"; }
  CachedPrefill prefill() {
    return prefill_cached(backend, model, prompt, {.n_ctx = static_cast<int32_t>(prompt.size())}, {.path = path()});
  }
};

/// A section and the digest that covers it and the digest before it.
void close(std::string& file, std::string& digest, const std::string& section) {
  const std::string covered = digest + section;
  digest = sha256(std::as_bytes(std::span(covered)));
  file += section + digest;
}

}  // namespace

/// Bytes as they are; then as header, ids and layers with the digests, the magic and the model that they lack, read by
/// an engine whose prompt begins with the file's first ids.
void prompt_cache(std::span<const uint8_t> data) {
  const std::string bytes(data.begin(), data.end());
  read(bytes);
  static Tiny tiny;
  PromptHeader header;
  if (bytes.size() < sizeof header) return;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.magic = tiny.header.magic, header.format = tiny.header.format;
  header.model_sha256 = tiny.header.model_sha256, header.made_by = tiny.header.made_by;
  std::string rest = bytes.substr(sizeof header), file, digest(64, '\0');
  const auto take = [&rest](int64_t n) {
    const auto size = static_cast<size_t>(std::clamp<int64_t>(n, 0, static_cast<int64_t>(rest.size())));
    const std::string part = rest.substr(0, size);
    rest.erase(0, size);
    return part;
  };
  close(file, digest, std::string(reinterpret_cast<const char*>(&header), sizeof header));
  std::string ids = take(header.n_prompt * int64_t{4});
  // What layers hold: as the input spells it out, or all of the prompt.
  const std::string spelled = take(std::min(header.n_layer, 16) * int64_t{4});
  std::vector<int32_t> n_held(spelled.size() / sizeof(int32_t));
  std::memcpy(n_held.data(), spelled.data(), n_held.size() * sizeof(int32_t));
  n_held.resize(static_cast<size_t>(std::clamp(header.n_layer, 0, 16)), header.n_prompt);
  close(file, digest, ids + std::string(reinterpret_cast<const char*>(n_held.data()), n_held.size() * sizeof(int32_t)));
  // Layers that the input does not spell out are zeros: the engine must then find that the bits are not its own.
  const int32_t numbers[] = {header.n_layer,   header.n_head,   header.n_kv_head, header.d_head,
                             header.row_bytes, header.n_prompt, header.n_query,   header.row_sums};
  const bool small = std::all_of(std::begin(numbers), std::end(numbers), [](int32_t n) { return n >= 0 && n <= 16; });
  for (int32_t layer = 0; small && layer < header.n_layer; ++layer) {
    const int64_t size = header.layer_bytes(std::clamp(n_held[static_cast<size_t>(layer)], 0, 16));
    std::string section = take(size);
    section.resize(static_cast<size_t>(size));
    close(file, digest, section);
  }
  read(file);
  std::ofstream(tiny.path(), std::ios::binary) << file;
  ids.resize(std::min<size_t>(ids.size() / 4 * 4, 32));
  tiny.prompt.assign(ids.size() / 4, 0);
  std::memcpy(tiny.prompt.data(), ids.data(), ids.size());
  tiny.prompt.insert(tiny.prompt.end(), {5, 6, 7});
  try_to([&] {
    const CachedPrefill made = tiny.prefill();
    promise(made.sequence->size() == static_cast<int32_t>(tiny.prompt.size()), "all of the prompt is in the sequence");
    promise(made.n_loaded <= header.n_prompt, "no more is loaded than there is");
  });
}

}  // namespace reattend::fuzz
