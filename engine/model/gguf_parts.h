// A model in several GGUF files (NAME-00001-of-00003.gguf, ...): where the other ones lie, and whether they belong to
// it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

namespace reattend {

class Gguf;

/// How many files the model is in, by the first one's split.count; 1 for a model in one.
int64_t part_count(const Gguf& first);

/// The paths of parts 2 to n, by the name of the first. Throws Error where `first` is another part, or where its name
/// does not say which it is.
std::vector<std::filesystem::path> other_parts(const Gguf& first, const std::filesystem::path& path);

/// Throws Error, naming the file, unless `part` says that it is part `number` (from 2 on) of n.
void check_part(const Gguf& part, int64_t number, int64_t n_part);

/// Throws Error unless the whole has the number of tensors that the first part promises.
void check_tensor_count(const Gguf& whole);

}  // namespace reattend
