#include "engine/values.h"

#include <string.h>

#include "allocation/problem.h"

#define BLOCK        16
#define HEADER_BYTES 16
#define VERSION      3

/* In the word of the number of treatments. */
#define HAS_GROUPS     (UINT32_C(1) << 16)
#define HAS_HOUSEHOLDS (UINT32_C(1) << 17)

void cvm_shard_values_init(struct cvm_shard_values *values, size_t treatment_count)
{
    *values = (struct cvm_shard_values){.treatment_count = treatment_count};
    cvm_text_init(&values->ids, 0);
}

void cvm_shard_values_finish(struct cvm_shard_values *values)
{
    cvm_buffer_finish(&values->keys);
    cvm_buffer_finish(&values->margins);
    cvm_buffer_finish(&values->churns);
    cvm_buffer_finish(&values->tirings);
    cvm_buffer_finish(&values->segments);
    cvm_buffer_finish(&values->groups);
    cvm_buffer_finish(&values->households);
    cvm_buffer_finish(&values->allowances);
    cvm_buffer_finish(&values->values);
    cvm_buffer_finish(&values->reasons);
    cvm_buffer_finish(&values->id_offsets);
    cvm_buffer_finish(&values->facts);
    cvm_buffer_finish(&values->strata);
    cvm_text_finish(&values->ids);
}

static enum cvm_status reserve(struct cvm_shard_values *values, size_t count, struct cvm_error *err)
{
    if (count <= values->capacity) {
        return CVM_OK;
    }
    size_t capacity = values->capacity * 2 > count ? values->capacity * 2 : count;
    capacity = (capacity + BLOCK - 1) / BLOCK * BLOCK;
    struct {
        struct cvm_buffer *buffer;
        size_t bytes;
    } columns[] = {
        {&values->keys, sizeof(uint64_t)},
        {&values->margins, sizeof(float)},
        {&values->churns, sizeof(float)},
        {&values->tirings, sizeof(float)},
        {&values->segments, 1},
        {&values->groups, values->has_groups ? sizeof(uint64_t) : 0},
        {&values->households, values->has_households ? sizeof(uint32_t) : 0},
        {&values->allowances, values->has_households ? 1 : 0},
        {&values->values, sizeof(float) * values->treatment_count},
        {&values->reasons, values->treatment_count},
        {&values->id_offsets, sizeof(uint32_t)},
        {&values->facts, sizeof(struct cvm_contact_facts)},
        {&values->strata, sizeof(uint16_t)},
    };
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        enum cvm_status status =
            cvm_buffer_reserve(columns[i].buffer, columns[i].bytes * capacity + 64, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    values->capacity = capacity;
    return CVM_OK;
}

/* The padding of the last block is ineligible, so that nobody has to ask where the customers end.
 */
static void pad_last_block(struct cvm_shard_values *values)
{
    float *numbers = values->values.data;
    unsigned char *reasons = values->reasons.data;
    unsigned char *segments = values->segments.data;
    size_t end = (values->count + BLOCK - 1) / BLOCK * BLOCK;
    for (size_t i = values->count; i < end; i++) {
        segments[i] = 0;
        for (size_t t = 0; t < values->treatment_count; t++) {
            size_t at = cvm_values_at(values->treatment_count, i, t);
            numbers[at] = CVM_VALUE_INELIGIBLE;
            reasons[at] = 0;
        }
    }
}

/* Until somebody says more: in no group, and in no household. */
static void add_to_none(struct cvm_shard_values *values, size_t first, size_t count)
{
    if (values->has_groups) {
        memset((uint64_t *)values->groups.data + first, 0, count * sizeof(uint64_t));
    }
    if (values->has_households) {
        memset((uint32_t *)values->households.data + first, 0xFF, count * sizeof(uint32_t));
        memset((unsigned char *)values->allowances.data + first, 0, count);
    }
}

enum cvm_status cvm_shard_values_add(struct cvm_shard_values *values, const struct cvm_chunk *chunk,
                                     const struct cvm_verdicts *verdicts, struct cvm_error *err)
{
    size_t first = values->count;
    enum cvm_status status = reserve(values, first + chunk->count, err);
    if (status != CVM_OK) {
        return status;
    }
    uint32_t *id_offsets = (uint32_t *)values->id_offsets.data + first;
    for (size_t i = 0; i < chunk->count; i++) {
        id_offsets[i] = (uint32_t)values->ids.length + chunk->id_offsets[i];
        values->dated_events += chunk->event_counts[i];
    }
    cvm_text_add_bytes(&values->ids, chunk->ids.data, chunk->ids.length);
    if (values->ids.failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for customer ids");
    }
    memcpy((uint64_t *)values->keys.data + first, chunk->keys, chunk->count * sizeof(uint64_t));
    memcpy((float *)values->margins.data + first, verdicts->margins, chunk->count * sizeof(float));
    memcpy((float *)values->churns.data + first, verdicts->churns, chunk->count * sizeof(float));
    memcpy((float *)values->tirings.data + first, verdicts->tirings, chunk->count * sizeof(float));
    memcpy((unsigned char *)values->segments.data + first, verdicts->segments, chunk->count);
    memcpy((struct cvm_contact_facts *)values->facts.data + first, verdicts->facts,
           chunk->count * sizeof(struct cvm_contact_facts));
    add_to_none(values, first, chunk->count);
    float *numbers = values->values.data;
    unsigned char *reasons = values->reasons.data;
    for (size_t t = 0; t < values->treatment_count; t++) {
        const float *from = verdicts->values + t * verdicts->stride;
        const unsigned char *from_reasons = verdicts->reasons + t * verdicts->stride;
        for (size_t i = 0; i < chunk->count; i++) {
            size_t at = cvm_values_at(values->treatment_count, first + i, t);
            numbers[at] = from[i];
            reasons[at] = from_reasons[i];
        }
    }
    values->count = first + chunk->count;
    pad_last_block(values);
    return CVM_OK;
}

const char *cvm_shard_values_id(const struct cvm_shard_values *values, size_t customer)
{
    return values->ids.data + ((const uint32_t *)values->id_offsets.data)[customer];
}

static size_t padded(size_t count)
{
    return (count + BLOCK - 1) / BLOCK * BLOCK;
}

/* Bytes per customer besides values, reasons and segments. */
static size_t customer_bytes(uint32_t version, uint32_t flags)
{
    return sizeof(uint64_t) + (version == 1 ? 2 : 3) * sizeof(float) +
           ((flags & HAS_GROUPS) != 0 ? sizeof(uint64_t) : 0) +
           ((flags & HAS_HOUSEHOLDS) != 0 ? sizeof(uint32_t) + 1 : 0);
}

enum cvm_status cvm_shard_values_encode(const struct cvm_shard_values *values, struct cvm_text *out,
                                        struct cvm_error *err)
{
    uint32_t flags =
        (values->has_groups ? HAS_GROUPS : 0) | (values->has_households ? HAS_HOUSEHOLDS : 0);
    uint32_t header[3] = {VERSION, (uint32_t)values->treatment_count | flags,
                          (uint32_t)values->count};
    size_t count = values->count;
    cvm_text_clear(out);
    cvm_text_add_bytes(out, "CVMV", 4);
    cvm_text_add_bytes(out, header, sizeof(header));
    cvm_text_add_bytes(out, values->keys.data, count * sizeof(uint64_t));
    cvm_text_add_bytes(out, values->margins.data, count * sizeof(float));
    cvm_text_add_bytes(out, values->churns.data, count * sizeof(float));
    cvm_text_add_bytes(out, values->tirings.data, count * sizeof(float));
    cvm_text_add_bytes(out, values->groups.data, values->has_groups ? count * sizeof(uint64_t) : 0);
    cvm_text_add_bytes(out, values->households.data,
                       values->has_households ? count * sizeof(uint32_t) : 0);
    cvm_text_add_bytes(out, values->allowances.data, values->has_households ? count : 0);
    cvm_text_add_bytes(out, values->segments.data, padded(count));
    cvm_text_add_bytes(out, values->values.data,
                       padded(count) * values->treatment_count * sizeof(float));
    cvm_text_add_bytes(out, values->reasons.data, padded(count) * values->treatment_count);
    if (out->failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a block of values");
    }
    return CVM_OK;
}

/* The next column of a block, if it is there. */
static const unsigned char *take_column(const unsigned char **at, bool is_there, size_t bytes)
{
    const unsigned char *column = is_there ? *at : NULL;
    *at += is_there ? bytes : 0;
    return column;
}

static void find_columns(struct cvm_values_view *view, const unsigned char *at, uint32_t version,
                         uint32_t flags)
{
    size_t count = view->count;
    bool has_households = (flags & HAS_HOUSEHOLDS) != 0;
    view->keys = take_column(&at, true, count * sizeof(uint64_t));
    view->margins = take_column(&at, true, count * sizeof(float));
    view->churns = take_column(&at, true, count * sizeof(float));
    view->tirings = take_column(&at, version > 1, count * sizeof(float));
    view->groups = take_column(&at, (flags & HAS_GROUPS) != 0, count * sizeof(uint64_t));
    view->households = take_column(&at, has_households, count * sizeof(uint32_t));
    view->allowances = take_column(&at, has_households, count);
    view->segments = take_column(&at, true, padded(count));
    view->values = take_column(&at, true, padded(count) * view->treatment_count * sizeof(float));
    view->reasons = at;
}

enum cvm_status cvm_values_open(const void *body, size_t length, struct cvm_values_view *out_view,
                                struct cvm_error *err)
{
    const unsigned char *at = body;
    uint32_t header[3] = {0};
    if (length >= HEADER_BYTES) {
        memcpy(header, at + 4, sizeof(header));
    }
    uint32_t version = header[0];
    uint32_t flags = version < 3 ? 0 : header[1] & (HAS_GROUPS | HAS_HOUSEHOLDS);
    struct cvm_values_view view = {.treatment_count = header[1] & ~flags, .count = header[2]};
    size_t expected = HEADER_BYTES + view.count * customer_bytes(version, flags) +
                      padded(view.count) * (1 + view.treatment_count * (sizeof(float) + 1));
    if (length < HEADER_BYTES || memcmp(at, "CVMV", 4) != 0 || version == 0 || version > VERSION ||
        view.treatment_count > 255 || length != expected) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a stored block of values is damaged");
    }
    find_columns(&view, at + HEADER_BYTES, version, flags);
    *out_view = view;
    return CVM_OK;
}

static void copy_column(struct cvm_buffer *buffer, const unsigned char *from, size_t bytes)
{
    if (from != NULL && bytes > 0) {
        memcpy(buffer->data, from, bytes);
    }
}

enum cvm_status cvm_shard_values_copy(struct cvm_shard_values *values,
                                      const struct cvm_values_view *view, struct cvm_error *err)
{
    size_t count = view->count;
    size_t pairs = padded(count) * view->treatment_count;
    values->treatment_count = view->treatment_count;
    values->has_groups = view->groups != NULL;
    values->has_households = view->households != NULL;
    enum cvm_status status = reserve(values, count, err);
    if (status != CVM_OK || count == 0) {
        return status;
    }
    values->count = count;
    copy_column(&values->keys, view->keys, count * sizeof(uint64_t));
    copy_column(&values->margins, view->margins, count * sizeof(float));
    copy_column(&values->churns, view->churns, count * sizeof(float));
    copy_column(&values->tirings, view->tirings, count * sizeof(float));
    copy_column(&values->groups, view->groups, count * sizeof(uint64_t));
    copy_column(&values->households, view->households, count * sizeof(uint32_t));
    copy_column(&values->allowances, view->allowances, count);
    copy_column(&values->segments, view->segments, padded(count));
    copy_column(&values->values, view->values, pairs * sizeof(float));
    copy_column(&values->reasons, view->reasons, pairs);
    return CVM_OK;
}

uint64_t cvm_values_key(const struct cvm_values_view *view, size_t customer)
{
    uint64_t key;
    memcpy(&key, view->keys + customer * sizeof(key), sizeof(key));
    return key;
}

size_t cvm_values_find(const struct cvm_values_view *view, uint64_t key)
{
    size_t low = 0;
    size_t high = view->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cvm_values_key(view, middle) < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < view->count && cvm_values_key(view, low) == key ? low : SIZE_MAX;
}

static float float_at(const unsigned char *column, size_t at)
{
    float value;
    memcpy(&value, column + at * sizeof(value), sizeof(value));
    return value;
}

float cvm_values_value(const struct cvm_values_view *view, size_t customer, size_t treatment)
{
    return float_at(view->values, cvm_values_at(view->treatment_count, customer, treatment));
}

unsigned char cvm_values_reason(const struct cvm_values_view *view, size_t customer,
                                size_t treatment)
{
    return view->reasons[cvm_values_at(view->treatment_count, customer, treatment)];
}

float cvm_values_margin(const struct cvm_values_view *view, size_t customer)
{
    return float_at(view->margins, customer);
}

float cvm_values_churn(const struct cvm_values_view *view, size_t customer)
{
    return float_at(view->churns, customer);
}

float cvm_values_tiring(const struct cvm_values_view *view, size_t customer)
{
    return view->tirings == NULL ? 1.0F : float_at(view->tirings, customer);
}

uint64_t cvm_values_groups(const struct cvm_values_view *view, size_t customer)
{
    uint64_t groups = 0;
    if (view->groups != NULL) {
        memcpy(&groups, view->groups + customer * sizeof(groups), sizeof(groups));
    }
    return groups;
}

uint32_t cvm_values_household(const struct cvm_values_view *view, size_t customer)
{
    uint32_t household = CVM_NO_GROUP;
    if (view->households != NULL) {
        memcpy(&household, view->households + customer * sizeof(household), sizeof(household));
    }
    return household;
}

unsigned char cvm_values_allowance(const struct cvm_values_view *view, size_t customer)
{
    return view->allowances == NULL ? 0 : view->allowances[customer];
}

unsigned char cvm_values_segment(const struct cvm_values_view *view, size_t customer)
{
    return view->segments[customer];
}

struct cvm_values_view cvm_values_view_of(const struct cvm_shard_values *values)
{
    return (struct cvm_values_view){
        .treatment_count = values->treatment_count,
        .count = values->count,
        .keys = values->keys.data,
        .margins = values->margins.data,
        .churns = values->churns.data,
        .tirings = values->tirings.data,
        .groups = values->has_groups ? values->groups.data : NULL,
        .households = values->has_households ? values->households.data : NULL,
        .allowances = values->has_households ? values->allowances.data : NULL,
        .segments = values->segments.data,
        .values = values->values.data,
        .reasons = values->reasons.data,
    };
}
