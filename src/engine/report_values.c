/* Value blocks of a run to columns, and whom the gates let pass. */
#include <math.h>
#include <string.h>

#include "engine/report_internal.h"
#include "engine/usage.h"
#include "engine/values.h"

struct value_loading {
    struct cvm_report_side *side;
    struct cvm_report_base *base;
};

void cvm_report_base_finish(struct cvm_report_base *base)
{
    cvm_buffer_finish(&base->matrix);
    cvm_buffer_finish(&base->keys);
    cvm_buffer_finish(&base->margins);
    cvm_buffer_finish(&base->churns);
    cvm_buffer_finish(&base->segments);
    cvm_buffer_finish(&base->groups);
    cvm_buffer_finish(&base->households);
    cvm_buffer_finish(&base->allowances);
    cvm_buffer_finish(&base->flags);
    cvm_buffer_finish(&base->given);
}

/* Room for so many more customers, in whole blocks; doubles, so that it is rarely copied. */
static enum cvm_status reserve(struct cvm_report_base *base, size_t treatment_count, size_t more,
                               struct cvm_error *err)
{
    size_t needed = (base->count + more + 15) / 16 * 16;
    if (needed <= base->capacity) {
        return CVM_OK;
    }
    size_t padded = needed < 2 * base->capacity ? 2 * base->capacity : needed;
    struct {
        struct cvm_buffer *buffer;
        size_t bytes;
    } columns[] = {
        {&base->matrix, base->has_matrix ? padded * treatment_count * sizeof(float) : 1},
        {&base->keys, padded * sizeof(uint64_t)},
        {&base->margins, padded * sizeof(double)},
        {&base->churns, padded * sizeof(float)},
        {&base->groups, padded * sizeof(uint64_t)},
        {&base->households, padded * sizeof(uint32_t)},
        {&base->allowances, padded},
        {&base->flags, padded},
        {&base->given, padded},
        {&base->segments, padded},
    };
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        enum cvm_status status = cvm_buffer_reserve(columns[i].buffer, columns[i].bytes, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    base->capacity = padded;
    return CVM_OK;
}

/* What one customer may have, is worth and would be worth its price. */
static unsigned char count_customer(struct cvm_report_side *side,
                                    const struct cvm_values_view *view, size_t i)
{
    const struct cvm_usage_customer user = {
        .margin = (double)cvm_values_margin(view, i),
        .groups = cvm_values_groups(view, i),
    };
    bool is_permitted = false;
    bool is_valuable = false;
    bool is_above = false;
    bool was_decided = false;
    for (size_t t = 0; t < view->treatment_count; t++) {
        unsigned char reason = cvm_values_reason(view, i, t);
        double value = (double)cvm_values_value(view, i, t);
        side->refusals[reason < CVM_REASON_COUNT ? reason : 0]++;
        was_decided |= reason == CVM_REASON_ALREADY_DECIDED;
        if (reason != CVM_REASON_PERMITTED) {
            continue;
        }
        is_permitted = true;
        side->treatments[t].permitted++;
        if (value > 0) {
            is_valuable = true;
            side->treatments[t].valuable++;
            is_above = is_above ||
                       value > cvm_usage_price(side->catalogue, side->summary.prices, t, &user);
        }
    }
    side->funnel.customers++;
    side->funnel.undecided += was_decided ? 0 : 1;
    side->funnel.permitted += is_permitted ? 1 : 0;
    side->funnel.valuable += is_valuable ? 1 : 0;
    side->funnel.above_price += is_above ? 1 : 0;
    return (unsigned char)((is_permitted ? CVM_REPORT_PERMITTED : 0) |
                           (was_decided ? 0 : CVM_REPORT_UNDECIDED));
}

static enum cvm_status take_customer(struct value_loading *loading,
                                     const struct cvm_values_view *view, size_t i,
                                     struct cvm_error *err)
{
    struct cvm_report_base *base = loading->base;
    struct cvm_report_side *side = loading->side;
    size_t at = base->count++;
    float *matrix = base->matrix.data;
    size_t segment = cvm_values_segment(view, i);
    unsigned char flags = count_customer(side, view, i);
    if (segment >= side->catalogue->segment_count) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a stored block of values names the segment %zu",
                        segment);
    }
    memcpy((uint64_t *)base->keys.data + at, view->keys + i * sizeof(uint64_t), sizeof(uint64_t));
    ((double *)base->margins.data)[at] = (double)cvm_values_margin(view, i);
    ((float *)base->churns.data)[at] = cvm_values_churn(view, i);
    ((unsigned char *)base->segments.data)[at] = (unsigned char)segment;
    ((uint64_t *)base->groups.data)[at] = cvm_values_groups(view, i);
    ((uint32_t *)base->households.data)[at] = cvm_values_household(view, i);
    ((unsigned char *)base->allowances.data)[at] = cvm_values_allowance(view, i);
    ((unsigned char *)base->flags.data)[at] = flags;
    ((unsigned char *)base->given.data)[at] = CVM_NOTHING;
    for (size_t t = 0; base->has_matrix && t < view->treatment_count; t++) {
        bool is_kept =
            base->keeps_households || cvm_values_reason(view, i, t) != CVM_REASON_HOUSEHOLD;
        matrix[cvm_values_at(view->treatment_count, at, t)] =
            is_kept ? cvm_values_value(view, i, t) : CVM_VALUE_INELIGIBLE;
    }
    side->segments[segment].customers++;
    side->segments[segment].permitted += (flags & CVM_REPORT_PERMITTED) != 0 ? 1 : 0;
    return CVM_OK;
}

static enum cvm_status take_block(void *state, const struct cvm_value_block *block,
                                  struct cvm_error *err)
{
    struct value_loading *loading = state;
    size_t treatment_count = loading->side->catalogue->treatment_count;
    struct cvm_values_view view;
    enum cvm_status status = cvm_values_open(block->body, block->length, &view, err);
    if (status == CVM_OK && view.treatment_count != treatment_count) {
        status = CVM_FAIL(err, CVM_E_CORRUPT,
                          "a stored block has values of %zu treatments instead of %zu",
                          view.treatment_count, treatment_count);
    }
    if (status == CVM_OK) {
        status = reserve(loading->base, treatment_count, view.count, err);
    }
    for (size_t i = 0; status == CVM_OK && i < view.count; i++) {
        status = take_customer(loading, &view, i, err);
    }
    return status;
}

/* The padding of the last block is ineligible, so that nobody has to ask where the customers end.
 */
static void pad(struct cvm_report_base *base, size_t treatment_count)
{
    float *matrix = base->matrix.data;
    size_t end = base->has_matrix ? (base->count + 15) / 16 * 16 : 0;
    for (size_t i = base->count; i < end; i++) {
        for (size_t t = 0; t < treatment_count; t++) {
            matrix[cvm_values_at(treatment_count, i, t)] = CVM_VALUE_INELIGIBLE;
        }
    }
}

enum cvm_status cvm_report_values_load(struct cvm_store *store, struct cvm_report_side *side,
                                       struct cvm_report_base *base, struct cvm_error *err)
{
    struct value_loading loading = {side, base};
    enum cvm_status status =
        cvm_value_block_scan(store, side->run.run_id, take_block, &loading, err);
    if (status != CVM_OK) {
        return status;
    }
    pad(base, side->catalogue->treatment_count);
    side->has_values = base->count > 0;
    return CVM_OK;
}
