// The chat formats that files without a template of their own may want, as their makers describe them.
#include "engine/text/chat_template.h"

namespace reattend {
namespace {

/// Each message between its own marks; the system message is one like the others.
constexpr std::string_view kChatMl =
    R"({% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }})"
    R"({% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})";
constexpr std::string_view kLlama3 =
    R"({{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n')"
    R"( + message['content'] | trim + '<|eot_id|>' }}{% endfor %})"
    R"({% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %})";
constexpr std::string_view kPhi3 =
    R"({% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %})"
    R"({% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %})";

// These have no place for a system message: it goes in front of the first user's.
#define SYSTEM_APART                                                                        \
  R"({% set system = messages[0]['content'] if messages[0]['role'] == 'system' else '' %})" \
  R"({% set turns = messages[1:] if messages[0]['role'] == 'system' else messages %})"
constexpr std::string_view kGemma = SYSTEM_APART
    R"({{ bos_token }}{% for message in turns %})"
    R"({{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }})"
    R"({% if loop.first and system %}{{ system + '\n\n' }}{% endif %}{{ message['content'] | trim + '<end_of_turn>\n' }})"
    R"({% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %})";
constexpr std::string_view kMistral = SYSTEM_APART
    R"({{ bos_token }}{% for message in turns %}{% if message['role'] == 'user' %}{{ '[INST] ' }})"
    R"({% if loop.first and system %}{{ system + '\n\n' }}{% endif %}{{ message['content'] + ' [/INST]' }})"
    R"({% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %})";
constexpr std::string_view kLlama2 = SYSTEM_APART
    R"({% for message in turns %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' }})"
    R"({% if loop.first and system %}{{ '<<SYS>>\n' + system + '\n<</SYS>>\n\n' }}{% endif %})"
    R"({{ message['content'] | trim + ' [/INST]' }}{% else %}{{ ' ' + message['content'] | trim + ' ' + eos_token }})"
    R"({% endif %}{% endfor %})";
#undef SYSTEM_APART

// [INST] and <<SYS>> are text in most vocabularies.
constexpr std::string_view kChatMlMarkers[] = {"<|im_start|>", "<|im_end|>"},
                           kGemmaMarkers[] = {"<start_of_turn>", "<end_of_turn>"},
                           kLlama3Markers[] = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
                           kPhi3Markers[] = {"<|user|>", "<|assistant|>", "<|end|>"};

constexpr NamedTemplate kTemplates[] = {
    {"chatml", kChatMl, kChatMlMarkers}, {"gemma", kGemma, kGemmaMarkers}, {"llama2", kLlama2, {}},
    {"llama3", kLlama3, kLlama3Markers}, {"mistral", kMistral, {}},        {"phi3", kPhi3, kPhi3Markers}};

}  // namespace

std::span<const NamedTemplate> named_templates() {
  return kTemplates;
}

}  // namespace reattend
