// The made-up trace as a file, for programs: written whole, or as far as a recorder is.
#pragma once
#include <filesystem>
#include <memory>

#include "replay/synthetic_run.h"
#include "synthetic_source.h"

namespace reattend::viz::testing {

/// Steps 1 .. n_step of the source that `shape` describes, whose texts it keeps. The file is that of a recording until
/// the writer is closed or goes away.
inline std::unique_ptr<TraceWriter> write_synthetic(const std::filesystem::path& path, const SyntheticShape& shape,
                                                    int32_t n_step) {
  const auto source = make_synthetic_source(shape);
  TraceHeader header;
  header.vocab = source->token_texts();
  auto writer = std::make_unique<TraceWriter>(path, true);
  write_source(*source, std::move(header), n_step, *writer, {}, {});
  return writer;
}

}  // namespace reattend::viz::testing
