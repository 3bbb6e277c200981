// A small made-up recording whose every number follows from its place, so that a test can tell what it should read.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "traces/write/writer.h"

namespace reattend::synthetic {

inline constexpr int32_t kLayers = 2, kHeads = 4, kKvHeads = 2, kHead = 8, kVocab = 40, kPrompt = 70, kMap = 6;

TraceHeader header();
/// Step t >= 1.
StepData step(int32_t t);
/// The same with such maps as the header asks for; all layers are stored.
StepData step(int32_t t, const TraceHeader& header);
/// The predictions after step t >= 0.
StepData top(int32_t t);

float key(int32_t layer, int32_t kv_head, int32_t position, int32_t channel);
float value(int32_t layer, int32_t kv_head, int32_t position, int32_t channel);
float query(int32_t layer, int32_t head, int32_t position, int32_t channel);

/// Prompt of a trace: everything between begin() and the first step, start() included.
void write_prompt(TraceWriter& writer, int32_t expected_steps = 64);
void write_prompt(TraceWriter& writer, const TraceHeader& header);
/// A closed trace of n_step steps.
void write_trace(const std::filesystem::path& path, int32_t n_step, int32_t expected_steps = 64);
void write_trace(const std::filesystem::path& path, const TraceHeader& header, int32_t n_step);

/// A fresh folder that goes away with the object.
class Folder {
 public:
  Folder();
  ~Folder();
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace reattend::synthetic
