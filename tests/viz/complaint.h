// What an act throws, as text to look into.
#pragma once
#include <functional>
#include <string>

#include "base/error.h"

namespace reattend::viz::testing {

/// The error's line, or "no error".
inline std::string complaint(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace reattend::viz::testing
