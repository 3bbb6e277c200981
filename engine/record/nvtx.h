// NVTX ranges of the decode loop for Nsight Systems and other tools that listen.
#pragma once
#include <memory>

#include "engine/generate.h"

namespace reattend {

/// Observer of generate() and prefill(): in the domain "reattend" the ranges generate > step > layer, each with the
/// step's number as payload. Categories and colours: a layer is full or partial where its plan says so before its gate,
/// a mark at the end of a step says which the step was (full: any KV head of any layer was), marks of the prompt's
/// layers are of their own. Ranges that an exception left open are closed with the observer, or when it is used again.
/// Null if the program was built without the NVTX headers. Without a listening tool a call is a jump through a null
/// pointer.
std::unique_ptr<Observer> make_nvtx_observer();

}  // namespace reattend
