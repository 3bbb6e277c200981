// The makers of the backends; the registry is the only one to call them.
#pragma once
#include "engine/backend/backend.h"

namespace reattend {

Backend make_cpu_backend(const BackendOptions& options, const Model& model, ThreadPool& pool);
/// The CPU backend with memory that can be read only while one of its operations runs (tests).
Backend make_guarded_backend(const BackendOptions& options, const Model& model, ThreadPool& pool);
/// Double precision, plain loops, f32 weights and cache whatever the options say.
Backend make_reference_backend(const BackendOptions& options, const Model& model, ThreadPool& pool);

}  // namespace reattend
