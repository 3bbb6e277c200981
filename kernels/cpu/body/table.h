// The table of one target. Included once per target, after the kernels.
namespace reattend::cpu::REATTEND_TARGET {
namespace {

#define REATTEND_TEXT_OF(x) #x
#define REATTEND_TEXT(x) REATTEND_TEXT_OF(x)

constexpr KernelTable kTable = {
    .name = REATTEND_TEXT(REATTEND_TARGET),
    .tokens = kTokens,
    .quantize = quantize,
    .product_q8 = product_q8,
    .product_f32 = product_f32,
    .rms_norm = rms_norm,
    .swiglu = swiglu,
    .geglu = geglu,
    .add = add_to,
    .store_row = store_row,
    .load_row = load_row,
    .scores = scores,
    .cap_scores = cap_scores,
    .weigh = weigh,
    .mix = mix,
    .merge_states = merge_states,
    .prompt = kPrompt<FloatUnits>,
    .row_scratch = row_scratch,
    .row_states = row_states,
    .merge_row_states = merge_row_states,
    .add_rows = add_rows,
    .finish_row = finish_row,
    .reduce_weights = reduce_weights,
    .reduce_heads = reduce_heads,
    .max_of = max_of,
    .extend_bounds = extend_bounds,
    .count_at_least = count_at_least,
    .find_at_least = find_at_least,
    .rank_keys = rank_keys,
    .code_rows = code_rows,
    .extend_widths = extend_widths,
    .estimate_block = estimate_block,
};

}  // namespace
}  // namespace reattend::cpu::REATTEND_TARGET
