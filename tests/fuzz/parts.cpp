// Any bytes as the two files of a model in parts: refused in one line, or read within what lies in them.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include "engine/model/gguf.h"
#include "tests/fuzz/targets.h"
#include "tests/support/scratch_folder.h"

namespace reattend::fuzz {

/// The first two bytes are the size of the first file.
void parts(std::span<const uint8_t> data) {
  static const test::ScratchFolder folder;
  uint16_t size = 0;
  if (data.size() < sizeof size) return;
  std::memcpy(&size, data.data(), sizeof size);
  const std::string bytes(data.begin() + sizeof size, data.end());
  const size_t cut = std::min<size_t>(size, bytes.size());
  const auto first = folder / "m-00001-of-00002.gguf", second = folder / "m-00002-of-00002.gguf";
  std::ofstream(first, std::ios::binary) << bytes.substr(0, cut);
  std::ofstream(second, std::ios::binary) << bytes.substr(cut);
  try_to([&] {
    const Gguf file = Gguf::open(first);
    size_t n_byte = 0;
    for (const GgufTensor& tensor : file.tensors()) {
      promise(file.find_tensor(tensor.view.name) == &tensor, "tensors have names of their own");
      n_byte += tensor.view.bytes.size();
      unsigned sum = 0;  // every byte can be read
      for (const std::byte b : tensor.view.bytes) sum += static_cast<unsigned>(b);
      promise(sum <= 255 * tensor.view.bytes.size(), "tensors lie in the files");
    }
    promise(n_byte <= bytes.size(), "tensors share no bytes");
    promise(file.n_part() == 1 || file.n_part() == 2, "there are two files");
    promise(file.sha256().size() == 64, "the files have a checksum");
  });
}

}  // namespace reattend::fuzz
