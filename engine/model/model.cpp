// Builds a Model from a GGUF file: every hyper-parameter in range, every tensor of the shape they imply, none left
// over.
#include "engine/model/model.h"

#include <algorithm>
#include <utility>

#include "engine/model/architecture.h"
#include "engine/model/decoder.h"
#include "engine/model/gguf.h"
#include "engine/model/model_keys.h"

namespace reattend {

void ModelShape::set_layers(Rope rope, const LayerShape& layer) {
  ropes = {std::move(rope)};
  layers.assign(static_cast<size_t>(n_layer), layer);
}

std::vector<int32_t> ModelShape::windows() const {
  std::vector<int32_t> all;
  for (const LayerShape& layer : layers) all.push_back(layer.window);
  const bool any = std::ranges::any_of(all, [](int32_t window) { return window > 0; });
  return any ? all : std::vector<int32_t>();
}

int32_t ModelShape::n_acting() const {
  return static_cast<int32_t>(std::ranges::count_if(layers, [](const LayerShape& layer) { return layer.window == 0; }));
}

Model::Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model Model::open(const std::filesystem::path& path) {
  Model model = from(Gguf::open(path));
  model.path_ = path;
  return model;
}

Model Model::from(Gguf file) {
  Model model;
  model.file_ = std::make_unique<Gguf>(std::move(file));
  const Gguf& from = *model.file_;
  model.path_ = from.name();
  refuse_parts_of_models(from);
  const Architecture& architecture = architecture_of(from);
  ModelShape& shape = model.shape_;
  shape = architecture.read_shape(from, architecture);

  TensorTaker take(from);
  model.token_embd_ = take.matrix("token_embd.weight", shape.n_vocab, shape.d_model);
  model.output_norm_ = take.vector("output_norm.weight", shape.d_model);
  const bool tied = !take.has("output.weight");
  model.output_ = tied ? model.token_embd_ : take.matrix("output.weight", shape.n_vocab, shape.d_model);
  read_rope_factors(from, take, shape);
  for (int32_t i = 0; i < shape.n_layer; ++i) model.layers_.push_back(architecture.take_layer(take, shape, i));
  take.refuse_rest(architecture.name);
  return model;
}

const std::string& Model::sha256() const {
  if (sha256_.empty()) {
    sha256_ = file_->sha256();
    file_->forget_pages();
  }
  return sha256_;
}

}  // namespace reattend
