// The fuzz targets as plain functions: libFuzzer calls them with what it invents, the tests with the kept corpus.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string_view>

#include "base/error.h"

namespace reattend::fuzz {

/// Each takes any bytes. Error is the proper answer to bad input and stays inside; a broken promise leaves as
/// std::logic_error, everything else as a crash or a sanitizer's report. data [size]
void gguf(std::span<const uint8_t> data);
void text(std::span<const uint8_t> data);
void tables(std::span<const uint8_t> data);
void templates(std::span<const uint8_t> data);
void parts(std::span<const uint8_t> data);
void settings(std::span<const uint8_t> data);
void prompt_cache(std::span<const uint8_t> data);

inline void promise(bool kept, const char* what) {
  if (!kept) throw std::logic_error(what);
}

/// Runs `call`; an Error must be fit to be shown as it is.
template <class Call>
void try_to(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    const std::string_view line = error.what();
    promise(!line.empty() && line.find('\n') == std::string_view::npos, "an error is one line");
  }
}

}  // namespace reattend::fuzz
