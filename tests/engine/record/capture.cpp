// A tool in the place of Nsight Systems: writes every NVTX call of the process to the file NVTX_CAPTURE_FILE, a line
// each.
//
// NVTX loads it because NVTX_INJECTION64_PATH names it, and lets it put its own functions into the table of calls.
#include <nvtx3/nvToolsExt.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

std::FILE* lines = nullptr;  // a C interface without a context: the tool is one per process

struct Name {
  std::string text;
};

const char* text_of(nvtxDomainHandle_t domain) {
  return reinterpret_cast<const Name*>(domain)->text.c_str();
}

void write_event(const char* what, nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) {
  const bool registered = event->messageType == NVTX_MESSAGE_TYPE_REGISTERED;
  const bool number = event->payloadType == NVTX_PAYLOAD_TYPE_UNSIGNED_INT64;
  std::fprintf(lines, "%s %s %s category=%u color=%08x payload=%s%llu\n", what, text_of(domain),
               registered ? reinterpret_cast<const Name*>(event->message.registered)->text.c_str() : "unregistered",
               event->category, event->colorType == NVTX_COLOR_ARGB ? event->color : 0u,
               number ? "" : "not-uint64:", static_cast<unsigned long long>(event->payload.ullValue));
}

nvtxDomainHandle_t NVTX_API create_domain(const char* name) {
  std::fprintf(lines, "domain %s\n", name);
  return reinterpret_cast<nvtxDomainHandle_t>(new Name{name});
}
void NVTX_API destroy_domain(nvtxDomainHandle_t domain) {
  std::fprintf(lines, "end of domain %s\n", text_of(domain));
}
nvtxStringHandle_t NVTX_API register_string(nvtxDomainHandle_t, const char* text) {
  std::fprintf(lines, "string %s\n", text);
  return reinterpret_cast<nvtxStringHandle_t>(new Name{text});
}
void NVTX_API name_category(nvtxDomainHandle_t, uint32_t id, const char* name) {
  std::fprintf(lines, "category %u %s\n", id, name);
}
int NVTX_API push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) {
  write_event("push", domain, event);
  return 0;
}
int NVTX_API pop(nvtxDomainHandle_t domain) {
  std::fprintf(lines, "pop %s\n", text_of(domain));
  return 0;
}
void NVTX_API mark(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) {
  write_event("mark", domain, event);
}

template <class Function>
void replace(NvtxFunctionTable table, NvtxCallbackIdCore2 id, Function* by) {
  *table[id] = reinterpret_cast<NvtxFunctionPointer>(by);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table) {
  const char* const path = std::getenv("NVTX_CAPTURE_FILE");
  const auto* const callbacks = static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (path == nullptr || callbacks == nullptr) return 0;
  if (callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) == 0) return 0;
  lines = std::fopen(path, "w");
  if (lines == nullptr) return 0;
  replace(table, NVTX_CBID_CORE2_DomainCreateA, create_domain);
  replace(table, NVTX_CBID_CORE2_DomainDestroy, destroy_domain);
  replace(table, NVTX_CBID_CORE2_DomainRegisterStringA, register_string);
  replace(table, NVTX_CBID_CORE2_DomainNameCategoryA, name_category);
  replace(table, NVTX_CBID_CORE2_DomainRangePushEx, push);
  replace(table, NVTX_CBID_CORE2_DomainRangePop, pop);
  replace(table, NVTX_CBID_CORE2_DomainMarkEx, mark);
  return 1;
}
