// Which pre-tokenizer cuts words by which patterns, in PCRE2's notation.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "engine/text/pretokenizer.h"

namespace reattend {
namespace {

// White space as Unicode's property has it; PCRE2's \s also matches U+180E, which the tokenizers' own engines don't.
#define SPACE R"(\t-\r \x85\xA0\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})"
#define CONTRACTION R"('(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD]))"
// What follows letters and digits in the patterns since GPT-2: other characters with `more` behind them, line ends,
// spaces but the last one before a word, spaces.
#define REST(more)                                                                                       \
  R"(| ?[^)" SPACE R"(\p{L}\p{N}]+[\r\n)" more R"(]*|[)" SPACE R"(]*[\r\n]+|[)" SPACE R"(]+(?![^)" SPACE \
  R"(])|[)" SPACE R"(]+)"
/// Radford et al., "Language Models are Unsupervised Multitask Learners" (GPT-2), the pattern of their encoder.
#define GPT2                                                                                             \
  R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^)" SPACE R"(\p{L}\p{N}]+|[)" SPACE R"(]+(?![^)" SPACE \
  R"(])|[)" SPACE R"(]+)"
/// The pattern of the cl100k family, which differs among models in how many digits stay together.
#define CL100K(digits) CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)" digits REST("")
/// Words that begin with capitals and go on without, or are capitals alone; letters without case are both. The classes
/// are llama.cpp's, which know the case of ASCII only.
#define CASED(behind) \
  R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]*[^\P{L}A-Z]+)" behind R"(|[^\r\n\p{L}\p{N}]?[^\P{L}a-z]+[^\P{L}A-Z]*)" behind
/// Letters with case, of the Unicode version that the DeepSeek tokenizers were made with.
#define CASED_LETTERS                                                                                         \
  R"(A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF})"      \
  R"(\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1})"        \
  R"(\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5})"         \
  R"(\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})" \
  R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})"  \
  R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC})"  \
  R"(\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"  \
  R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134})"   \
  R"(\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"   \
  R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787})"  \
  R"(\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A})" \
  R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2})"        \
  R"(\x{118A0}-\x{118DF}\x{1E900}-\x{1E943})"
// CJK and all between U+0800 and it, but not white space, which llama.cpp's patterns don't match there.
#define CJK                                                                                                   \
  R"([\x{800}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027}\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF})" \
  R"(\x{3001}-\x{9FA5}\x{AC00}-\x{D7FF}]+)"

using Text = std::string_view;

// Names by pattern, those that llama.cpp maps to it; the first is the one that messages show.
constexpr Text kDefault[] = {"default"};
constexpr Text kSmolLm[] = {"smollm",    "starcoder", "refact",     "command-r",
                            "codeshell", "exaone",    "minerva-7b", "mellum2"};
constexpr Text kGpt2[] = {"gpt-2",       "gpt2",        "phi-2",        "jina-es",    "jina-de",
                          "gigachat",    "jina-v2-es",  "a.x-4.0",      "jina-v2-de", "mellum",
                          "modern-bert", "roberta-bpe", "mpt",          "olmo",       "jais",
                          "jina-v1-en",  "trillion",    "jina-v2-code", "exaone4",    "granite-docling"};
constexpr Text kLlama3[] = {"llama-bpe", "llama3",   "llama-v3", "falcon3",     "falcon-h1",
                            "pixtral",   "midm-2.0", "lfm2",     "jina-v5-nano"};
constexpr Text kLlama3Merged[] = {"dbrx", "smaug-bpe", "chatglm-bpe"};
constexpr Text kLlama3NoBos[] = {"glm4", "glm5"};
constexpr Text kQwen2[] = {"qwen2",     "deepseek-r1-qwen", "kormo",      "f2llmv2", "megrez",
                           "stablelm2", "hunyuan",          "solar-open", "grok-2"};
constexpr Text kTekken[] = {"tekken"};
constexpr Text kGpt4o[] = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"};
constexpr Text kDeepSeekLlm[] = {"deepseek-llm"}, kDeepSeekCoder[] = {"deepseek-coder"};
constexpr Text kDeepSeek3[] = {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"};

constexpr Text kDefaultPatterns[] = {R"([\p{P}$+<=>^~|]+)", GPT2, R"(\p{N}+)", "[0-9][0-9][0-9]"};
constexpr Text kSmolLmPatterns[] = {R"(\p{N})", GPT2}, kGpt2Patterns[] = {GPT2};
constexpr Text kLlama3Patterns[] = {CL100K(R"(\p{N}{1,3})")}, kQwen2Patterns[] = {CL100K(R"(\p{N})")};
constexpr Text kTekkenPatterns[] = {CASED("") R"(|\p{N})" REST("/")};
constexpr Text kGpt4oPatterns[] = {CASED("(?:" CONTRACTION ")?") R"(|\p{N}{1,3})" REST("/")};
constexpr Text kDeepSeekLlmPatterns[] = {
    R"([\r\n])",
    "[" SPACE "]?[" CASED_LETTERS "]+",
    "[" SPACE R"(]?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3001}\x{3002}]+)",
    "[" SPACE R"(]+\z)",
    CJK,
    R"(\p{N}+)"};
constexpr Text kDeepSeekCoderPatterns[] = {R"([\r\n])", "[" SPACE R"(]?\p{L}+)", "[" SPACE R"(]?\p{P}+)", CJK,
                                           R"(\p{N})"};
constexpr Text kDeepSeek3Patterns[] = {
    R"(\p{N}{1,3})", R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
    R"([!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|[)" SPACE
    R"(]*[\r\n]+|[)" SPACE R"(]+(?![^)" SPACE R"(])|[)" SPACE R"(]+)"};
#undef CJK
#undef CASED_LETTERS
#undef CASED
#undef CL100K
#undef GPT2
#undef REST
#undef CONTRACTION
#undef SPACE

constexpr PreTokenizerKind kKinds[] = {
    {kSmolLm, kSmolLmPatterns, false, false},
    {kGpt2, kGpt2Patterns, false, false},
    {kDefault, kDefaultPatterns, false, false},
    {kLlama3, kLlama3Patterns, true, true},
    {kLlama3Merged, kLlama3Patterns, false, false},
    {kLlama3NoBos, kLlama3Patterns, true, false},
    {kQwen2, kQwen2Patterns, false, false},
    {kTekken, kTekkenPatterns, true, true},
    {kGpt4o, kGpt4oPatterns, false, false},
    {kDeepSeekLlm, kDeepSeekLlmPatterns, false, false},
    {kDeepSeekCoder, kDeepSeekCoderPatterns, false, false},
    {kDeepSeek3, kDeepSeek3Patterns, false, false},
};

}  // namespace

const PreTokenizerKind* find_pre_tokenizer(std::string_view name) {
  for (const PreTokenizerKind& kind : kKinds) {
    if (std::find(kind.names.begin(), kind.names.end(), name) != kind.names.end()) return &kind;
  }
  return nullptr;
}

std::string known_pre_tokenizers() {
  std::string names;
  for (const PreTokenizerKind& kind : kKinds) names += (names.empty() ? "" : ", ") + std::string(kind.names.front());
  return names;
}

}  // namespace reattend
