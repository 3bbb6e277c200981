// Any bytes as a model file: reader, model and tokenizer refuse them in one line or give only what lies inside them.
#include "engine/model/gguf.h"

#include <string>
#include <utility>

#include "base/error.h"
#include "engine/model/model.h"
#include "engine/text/tokenizer.h"
#include "tests/fuzz/targets.h"

namespace reattend::fuzz {

void gguf(std::span<const uint8_t> data) {
  const auto bytes = std::as_bytes(data);
  try_to([&] {
    Gguf file = Gguf::parse("FILE", bytes);
    const auto inside = [&](const void* begin, size_t size) {
      const auto* at = static_cast<const std::byte*>(begin);
      return size == 0 || (at >= bytes.data() && at + size <= bytes.data() + bytes.size());
    };
    for (const auto& [key, value] : file.metadata()) {
      promise(inside(key.data(), key.size()) && inside(value.bytes.data(), value.bytes.size()),
              "metadata lie in the file");
      try_to([&, &name = key] { file.integer(name, INT64_MIN, INT64_MAX); });
      try_to([&, &name = key] { file.real(name); });
      try_to([&, &name = key] { file.boolean_or(name, false); });
      try_to([&, &name = key] { file.string(name); });
      try_to([&, &name = key] { file.integers(name); });
      try_to([&, &name = key] {
        for (const std::string_view text : file.strings(name))
          promise(inside(text.data(), text.size()), "strings lie in the file");
      });
    }
    for (const GgufTensor& tensor : file.tensors()) {
      const TensorView& view = tensor.view;
      promise(inside(view.bytes.data(), view.bytes.size()), "tensors lie in the file");
      promise(static_cast<int64_t>(view.bytes.size()) == matrix_bytes(view.type, view.n_row, view.n_col),
              "tensors are complete");
      promise(file.find_tensor(view.name) == &tensor, "tensors have names of their own");
    }
    try_to([&] { Tokenizer(file).encode("A few words, 12 of <|im_end|>.", true); });
    try_to([&] {
      const Model model = Model::from(std::move(file));
      promise(static_cast<int32_t>(model.layers().size()) == model.shape().n_layer, "every layer is there");
      promise(model.shape().n_head % model.shape().n_kv_head == 0, "groups are even");
    });
  });
}

}  // namespace reattend::fuzz
