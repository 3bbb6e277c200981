// NVTX ranges of the decode loop for Nsight Systems and other tools that listen.
#include "engine/record/nvtx.h"

#ifdef REATTEND_HAVE_NVTX
#include <nvtx3/nvToolsExt.h>

#include <algorithm>

namespace reattend {
namespace {

/// Also the identifiers under which the tool knows the categories; `none` is NVTX's own default.
enum class Category : uint32_t { none, full, partial, prompt };
constexpr uint32_t kColours[] = {0, 0xffe69f00, 0xff56b4e9, 0xff009e73};

/// What the layer's plan says before its gate; a gate that has a choice between the two says nothing yet.
Category category_of(const Plan& plan) {
  if (plan.gated && plan.branch.full != plan.else_branch.full) return Category::none;
  return plan.branch.full ? Category::full : Category::partial;
}

class NvtxObserver final : public Observer {
 public:
  NvtxObserver() {
    nvtxDomainNameCategoryA(domain_, static_cast<uint32_t>(Category::full), "full");
    nvtxDomainNameCategoryA(domain_, static_cast<uint32_t>(Category::partial), "partial");
    nvtxDomainNameCategoryA(domain_, static_cast<uint32_t>(Category::prompt), "prompt");
  }
  ~NvtxObserver() override {
    close_down_to(0);
    nvtxDomainDestroy(domain_);
  }
  NvtxObserver(const NvtxObserver&) = delete;
  NvtxObserver& operator=(const NvtxObserver&) = delete;

  void prompt_layer(const LayerView&) override {
    const nvtxEventAttributes_t mark = event(layer_, Category::prompt, 0);
    nvtxDomainMarkEx(domain_, &mark);
  }
  void begin(SequenceView&, const StepView& step) override { open(0, generate_, Category::none, step.t); }
  void step_begin(int32_t t, int32_t) override { open(1, step_, Category::none, t); }
  void layer_begin(int32_t t, int32_t, const Plan& plan) override { open(2, layer_, category_of(plan), t); }
  void layer_end(int32_t, int32_t) override { close_down_to(2); }
  void step_end(const StepView& step) override {
    const nvtxEventAttributes_t mark = event(step_, step.any_full() ? Category::full : Category::partial, step.t);
    nvtxDomainMarkEx(domain_, &mark);
    close_down_to(1);
  }
  void end() override { close_down_to(0); }

 private:
  static nvtxEventAttributes_t event(nvtxStringHandle_t name, Category category, int32_t t) {
    nvtxEventAttributes_t attributes{};
    attributes.version = NVTX_VERSION;
    attributes.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
    attributes.category = static_cast<uint32_t>(category);
    attributes.colorType = category == Category::none ? NVTX_COLOR_UNKNOWN : NVTX_COLOR_ARGB;
    attributes.color = kColours[static_cast<uint32_t>(category)];
    attributes.payloadType = NVTX_PAYLOAD_TYPE_UNSIGNED_INT64;
    attributes.payload.ullValue = static_cast<uint64_t>(t);
    attributes.messageType = NVTX_MESSAGE_TYPE_REGISTERED;
    attributes.message.registered = name;
    return attributes;
  }
  /// Opens a range inside `depth` others; deeper ones that an exception left open are closed first.
  void open(int depth, nvtxStringHandle_t name, Category category, int32_t t) {
    close_down_to(depth);
    const nvtxEventAttributes_t attributes = event(name, category, t);
    nvtxDomainRangePushEx(domain_, &attributes);
    ++depth_;
  }
  void close_down_to(int depth) {
    for (; depth_ > depth; --depth_) nvtxDomainRangePop(domain_);
  }

  nvtxDomainHandle_t domain_ = nvtxDomainCreateA("reattend");
  nvtxStringHandle_t generate_ = nvtxDomainRegisterStringA(domain_, "generate");
  nvtxStringHandle_t step_ = nvtxDomainRegisterStringA(domain_, "step");
  nvtxStringHandle_t layer_ = nvtxDomainRegisterStringA(domain_, "layer");
  int depth_ = 0;
};

}  // namespace

std::unique_ptr<Observer> make_nvtx_observer() {
  return std::make_unique<NvtxObserver>();
}

}  // namespace reattend
#else

std::unique_ptr<reattend::Observer> reattend::make_nvtx_observer() {
  return nullptr;
}

#endif
