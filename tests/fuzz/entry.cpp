// libFuzzer's entry point for the target that the build names.
#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  reattend::fuzz::REATTEND_FUZZ_TARGET({data, size});
  return 0;
}
