// Decode steps that become part of the prompt: what follows them begins as if they had been given.
#pragma once
#include "engine/generate.h"

namespace reattend {

/// Generates options.n_step tokens after `prefilled` and makes them the end of its prompt, their keys and values as the
/// steps made them. Throws Cancelled when options.cancel is raised, Error (usage) if the run ends before.
void decode_into_prompt(Backend& backend, const Model& model, Prefilled& prefilled, const GenerateOptions& options);

}  // namespace reattend
