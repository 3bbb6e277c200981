// Takes tensors by name, and says what a file lacks, has otherwise, or has too much.
#include "engine/model/tensor_taker.h"

#include <array>

#include "base/error.h"
#include "engine/model/gguf.h"

namespace reattend {
namespace {

std::string shape_text(int64_t n_row, int64_t n_col) {
  return "[" + std::to_string(n_row) + "][" + std::to_string(n_col) + "]";
}

}  // namespace

bool TensorTaker::has(const std::string& name) const {
  return file_.find_tensor(name) != nullptr;
}

TensorView TensorTaker::matrix(const std::string& name, int64_t n_row, int64_t n_col) {
  const GgufTensor* tensor = file_.find_tensor(name);
  const std::string where = file_.name() + ": tensor " + name;
  if (tensor == nullptr) fail({where, shape_text(n_row, n_col), "no such tensor", "the model is incomplete"});
  if (tensor->dims != std::array<int64_t, 4>{n_col, n_row, 1, 1}) {
    fail({where, shape_text(n_row, n_col), shape_text(tensor->view.n_row, tensor->view.n_col), ""});
  }
  taken_.insert(tensor->view.name);
  return tensor->view;
}

TensorView TensorTaker::vector(const std::string& name, int64_t n) {
  const TensorView view = matrix(name, 1, n);
  if (view.type != TensorType::f32) {
    fail({file_.name() + ": tensor " + name, "F32", std::string(format_of(view.type).name), ""});
  }
  return view;
}

void TensorTaker::refuse_rest(const std::string_view architecture) const {
  for (const GgufTensor& tensor : file_.tensors()) {
    if (!taken_.contains(tensor.view.name)) {
      fail({file_.name() + ": tensor " + std::string(tensor.view.name),
            "only tensors of the " + std::string(architecture) + " architecture", "one more",
            "this program can't run the model exactly"});
    }
  }
}

}  // namespace reattend
