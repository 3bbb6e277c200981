// The table of GPUs: numbers are the makers' own; where a card came with several memories, its name says which.
#include "replay/cost/known_gpus.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "replay/cost/cost.h"

namespace reattend {
namespace {

constexpr KnownGpu kGpus[] = {
    {"L4", 300, 24},        {"RTX 3060 12GB", 360, 12},   {"RTX 4070", 504, 12},   {"A10", 600, 24},
    {"L40S", 864, 48},      {"RTX 3090", 936, 24},        {"RTX 4090", 1008, 24},  {"A100 40GB", 1555, 40},
    {"RTX 5090", 1792, 32}, {"A100 80GB PCIe", 1935, 80}, {"H100 PCIe", 2000, 80}, {"A100 80GB SXM", 2039, 80},
    {"H100 SXM", 3350, 80}, {"H200", 4800, 141},          {"MI300X", 5300, 192},   {"B200", 8000, 180}};

/// Lower case letters and digits, without what people leave out.
std::string plain(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  for (const char* word : {"nvidia", "geforce", "rtx", "tesla", "amd", "instinct"}) {
    if (const size_t at = out.find(word); at != std::string::npos) out.erase(at, std::string_view(word).size());
  }
  return out;
}

/// Length of the longest piece that both have.
size_t likeness(const std::string& a, const std::string& b) {
  size_t most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t n = most + 1; i + n <= a.size() && b.find(a.substr(i, n)) != std::string::npos; ++n) most = n;
  }
  return most;
}

}  // namespace

std::span<const KnownGpu> known_gpus() {
  return kGpus;
}

const KnownGpu& known_gpu(std::string_view name, const std::string& option) {
  const std::string wanted = plain(name);
  std::vector<const KnownGpu*> begins, all;
  for (const KnownGpu& gpu : kGpus) {
    const std::string mine = plain(gpu.name);
    if (mine == wanted) return gpu;
    if (!wanted.empty() && mine.starts_with(wanted)) begins.push_back(&gpu);
    all.push_back(&gpu);
  }
  if (begins.size() == 1) return *begins.front();
  const bool is_several = !begins.empty();
  if (!is_several) {
    std::stable_sort(all.begin(), all.end(), [&](const KnownGpu* a, const KnownGpu* b) {
      return likeness(wanted, plain(a->name)) > likeness(wanted, plain(b->name));
    });
    begins.assign(all.begin(), all.begin() + 3);
  }
  std::vector<std::string_view> names;
  for (const KnownGpu* each : begins) names.push_back(each->name);
  fail_usage(
      {.where = option,
       .expected = fmt::format("one of {}{}", is_several ? "" : "the known GPUs, such as ", fmt::join(names, ", ")),
       .got = "'" + std::string(name) + "'",
       .remedy = "`reattend calibrate --list` prints them all"});
}

Calibration from_datasheet(const KnownGpu& gpu, const TraceInfo& info, double weight_bytes) {
  const double gbps = gpu.gbps * kDatasheetShare;
  const auto row = static_cast<double>(row_bytes(info.kv_type, info.d_head));
  const double bounds = 2.0 * info.d_head * static_cast<double>(sizeof(float));
  return {.weights_ms = (weight_bytes + window_bytes(info)) / gbps * 1e-6,
          .stream_gbps = gbps,
          .attend_stream_gbps = gbps,
          .attend_gather_gbps = gbps,
          .attend_place_gbps = gbps,
          .rescore_gbps = gbps,
          .rank_ns = 0,
          .keep_ns = 0,
          .sum_ns = 0,
          .pack_ns = 4 * row / gbps,  // key and value, read and written
          .page_ns = bounds / gbps,
          .estimate_ns = 2 * row / kPiece / gbps,  // ranges of a block of the usual size
          .channel_ns = 0.25 / gbps};              // 2 bits
}

}  // namespace reattend
