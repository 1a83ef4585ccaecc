/* packed_write.c - events to the smallest exact columns. */
#include "model/packed.h"

#include "base/columns.h"
#include "base/date.h"
#include "model/packed_layout.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct cvm_packer {
    struct cvm_buffer values;  /* double per event: the column at hand */
    struct cvm_buffer cursors; /* uint16_t per event: the next cell */
    struct cvm_buffer bytes;   /* the section at hand */
    uint16_t attributes[CVM_PACKED_COLUMNS_MAX];
    uint32_t attribute_count;
};

struct cvm_packer *cvm_packer_create(void)
{
    return calloc(1, sizeof(struct cvm_packer));
}

void cvm_packer_destroy(struct cvm_packer *packer)
{
    if (packer == NULL) {
        return;
    }
    cvm_buffer_finish(&packer->values);
    cvm_buffer_finish(&packer->cursors);
    cvm_buffer_finish(&packer->bytes);
    free(packer);
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* Journey order within a source; sources by rank. Content decides between equal identities, so that
 * the body never depends on the order of the input. */
static int compare_events(const void *left, const void *right)
{
    const struct cvm_packed_event *a = left;
    const struct cvm_packed_event *b = right;
    if (a->rank != b->rank || a->source != b->source) {
        return a->rank != b->rank ? a->rank - b->rank : a->source - b->source;
    }
    if (a->day != b->day) {
        return a->day < b->day ? -1 : 1;
    }
    if (a->second != b->second) {
        return a->second < b->second ? -1 : 1;
    }
    int order = compare_u64(a->identity, b->identity);
    if (order == 0) {
        order = compare_u64(a->topics, b->topics);
    }
    for (size_t i = 0; order == 0 && i < a->cell_count && i < b->cell_count; i++) {
        order = a->cells[i].attribute - b->cells[i].attribute;
        if (order == 0) {
            uint64_t bits[2];
            memcpy(&bits[0], &a->cells[i].value, sizeof(bits[0]));
            memcpy(&bits[1], &b->cells[i].value, sizeof(bits[1]));
            order = compare_u64(bits[0], bits[1]);
        }
    }
    return order != 0 ? order : a->cell_count - b->cell_count;
}

static bool double_equals(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

/* The number n with n / type's scale == value to the bit, if there is one. */
static bool to_whole(enum value_type type, double value, int64_t *out_n)
{
    double product = value * type_scale[type];
    if (!(fabs(product) <= (double)type_limit[type])) {
        return false;
    }
    int64_t n = (int64_t)(product + (product < 0 ? -0.5 : 0.5));
    *out_n = n;
    return n >= -type_limit[type] && n <= type_limit[type] &&
           double_equals((double)n / type_scale[type], value);
}

/* A bit per type that holds the value. The narrower type of two with one scale implies the wider.
 */
static uint32_t types_that_hold(double value)
{
    const uint32_t all = (1U << TYPE_COUNT) - 1;
    int64_t n;
    if (isnan(value)) {
        return all;
    }
    uint32_t types = 1U << TYPE_DOUBLE;
    /* A double beyond float's range must not be converted. */
    if (isinf(value) || (fabs(value) <= FLT_MAX && double_equals((double)(float)value, value))) {
        types |= 1U << TYPE_FLOAT;
    }
    if (to_whole(TYPE_CENT32, value, &n)) {
        types |= 1U << TYPE_CENT32;
        types |= n >= -INT16_MAX && n <= INT16_MAX ? 1U << TYPE_CENT16 : 0;
    }
    if (to_whole(TYPE_INT16, value, &n)) {
        types |= 1U << TYPE_INT16;
        types |= n >= -INT8_MAX && n <= INT8_MAX ? 1U << TYPE_INT8 : 0;
    }
    types |= to_whole(TYPE_MYRIAD16, value, &n) ? 1U << TYPE_MYRIAD16 : 0;
    return types;
}

static unsigned char *write_value(enum value_type type, double value, unsigned char *p)
{
    if (type == TYPE_DOUBLE) {
        value = isnan(value) ? (double)NAN : value;
        uint64_t bits;
        memcpy(&bits, &value, sizeof(bits));
        write_u64(p, bits);
    } else if (type == TYPE_FLOAT) {
        float narrow = isnan(value) ? NAN : (float)value;
        uint32_t bits;
        memcpy(&bits, &narrow, sizeof(bits));
        write_u32(p, bits);
    } else {
        int64_t n = 0;
        if (isnan(value)) {
            n = -type_limit[type] - 1;
        } else {
            (void)to_whole(type, value, &n);
        }
        for (size_t i = 0; i < type_bytes[type]; i++) {
            p[i] = (unsigned char)((uint64_t)n >> 8 * i);
        }
    }
    return p + type_bytes[type];
}

/* Write the column's values; *out_encoding gets how. */
static unsigned char *write_values(const double *values, size_t count, unsigned char *p,
                                   uint32_t *out_encoding)
{
    bool is_constant = !isnan(values[0]);
    uint32_t types = types_that_hold(values[0]);
    for (size_t i = 1; i < count; i++) {
        if (!double_equals(values[i], values[0])) {
            is_constant = false;
            types &= types_that_hold(values[i]);
        }
    }
    enum value_type type = (enum value_type)__builtin_ctz(types);
    for (size_t i = 0; i < (is_constant ? 1 : count); i++) {
        p = write_value(type, values[i], p);
    }
    *out_encoding = (uint32_t)type | (is_constant ? ENCODING_CONSTANT : 0);
    return p;
}

/* Which attributes the section has: packer->attributes, ascending. */
static enum cvm_status find_attributes(struct cvm_packer *packer,
                                       const struct cvm_packed_event *events, size_t count,
                                       struct cvm_error *err)
{
    uint64_t present[(CVM_PACKED_ATTRIBUTE_MAX + 1) / 64];
    size_t words = 0; /* of `present` in use */
    for (size_t e = 0; e < count; e++) {
        for (size_t c = 0; c < events[e].cell_count; c++) {
            uint32_t attribute = events[e].cells[c].attribute;
            if (attribute > CVM_PACKED_ATTRIBUTE_MAX) {
                return CVM_FAIL(err, CVM_E_LIMIT, "attribute number %u is above %d", attribute,
                                CVM_PACKED_ATTRIBUTE_MAX);
            }
            if (c > 0 && attribute <= events[e].cells[c - 1].attribute) {
                return CVM_FAIL(err, CVM_E_INVALID, "cells of an event are not in order");
            }
            for (; words <= attribute / 64; words++) {
                present[words] = 0;
            }
            if (!isnan(events[e].cells[c].value)) {
                present[attribute / 64] |= UINT64_C(1) << (attribute % 64);
            }
        }
    }
    packer->attribute_count = 0;
    for (size_t w = 0; w < words; w++) {
        for (uint64_t bits = present[w]; bits != 0; bits &= bits - 1) {
            if (packer->attribute_count == CVM_PACKED_COLUMNS_MAX) {
                return CVM_FAIL(err, CVM_E_LIMIT, "source %u has more than %d attributes",
                                events[0].source, CVM_PACKED_COLUMNS_MAX);
            }
            packer->attributes[packer->attribute_count++] =
                (uint16_t)(w * 64 + (size_t)__builtin_ctzll(bits));
        }
    }
    return CVM_OK;
}

static unsigned char *write_column(struct cvm_packer *packer, uint16_t attribute,
                                   const struct cvm_packed_event *events, size_t count,
                                   unsigned char *p, uint32_t *out_encoding)
{
    double *values = packer->values.data;
    uint16_t *cursors = packer->cursors.data;
    for (size_t e = 0; e < count; e++) {
        const struct cvm_packed_event *event = &events[e];
        while (cursors[e] < event->cell_count && event->cells[cursors[e]].attribute < attribute) {
            cursors[e]++; /* earlier columns, and NaN cells of attributes that have none */
        }
        bool has =
            cursors[e] < event->cell_count && event->cells[cursors[e]].attribute == attribute;
        values[e] = has ? event->cells[cursors[e]].value : (double)NAN;
    }
    return write_values(values, count, p, out_encoding);
}

static unsigned char *write_moments(const struct cvm_packed_event *events, size_t count,
                                    int32_t base_day, uint32_t flags, unsigned char *p)
{
    if (flags & SECTION_DATED) {
        for (size_t e = 0; e < count; e++, p += 2) {
            write_u16(p, (uint32_t)(events[e].day - base_day));
        }
    }
    if (flags & SECTION_SECONDS) {
        for (size_t e = 0; e < count; e++, p += 4) {
            write_u32(p, (uint32_t)events[e].second);
        }
    }
    if (flags & SECTION_TOPICS) {
        for (size_t e = 0; e < count; e++, p += 4) {
            write_u32(p, events[e].topics);
        }
    }
    return p;
}

static enum cvm_status reserve(struct cvm_packer *packer, size_t count, struct cvm_error *err)
{
    size_t bytes_max = SECTION_HEADER_BYTES + 2 * (size_t)packer->attribute_count +
                       count * (10 + sizeof(double) * packer->attribute_count);
    enum cvm_status status = cvm_buffer_reserve(&packer->values, count * sizeof(double), err);
    if (status == CVM_OK) {
        status = cvm_buffer_reserve(&packer->cursors, count * sizeof(uint16_t), err);
    }
    if (status == CVM_OK) {
        status = cvm_buffer_reserve(&packer->bytes, bytes_max, err);
    }
    return status;
}

static enum cvm_status write_section(struct cvm_packer *packer,
                                     const struct cvm_packed_event *events, size_t count,
                                     int32_t base_day, struct cvm_text *out, struct cvm_error *err)
{
    if (count > CVM_PACKED_EVENTS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "more than %d events of one source in one half-year",
                        CVM_PACKED_EVENTS_MAX);
    }
    enum cvm_status status = find_attributes(packer, events, count, err);
    if (status == CVM_OK) {
        status = reserve(packer, count, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    uint32_t flags = base_day == CVM_DAY_NONE ? 0 : SECTION_DATED;
    for (size_t e = 0; e < count; e++) {
        flags |= events[e].second != 0 ? SECTION_SECONDS : 0;
        flags |= events[e].topics != 0 ? SECTION_TOPICS : 0;
    }
    unsigned char *head = packer->bytes.data;
    unsigned char *descriptors = head + SECTION_HEADER_BYTES;
    unsigned char *p = descriptors + 2 * (size_t)packer->attribute_count;
    p = write_moments(events, count, base_day, flags, p);
    memset(packer->cursors.data, 0, count * sizeof(uint16_t));
    for (uint32_t c = 0; c < packer->attribute_count; c++) {
        uint32_t encoding = 0;
        p = write_column(packer, packer->attributes[c], events, count, p, &encoding);
        write_u16(descriptors + 2 * (size_t)c, packer->attributes[c] | encoding << ENCODING_SHIFT);
    }
    head[0] = events[0].source;
    head[1] = (unsigned char)flags;
    head[2] = (unsigned char)packer->attribute_count;
    write_u16(head + 3, (uint32_t)count);
    write_u32(head + 5, (uint32_t)(p - descriptors));
    cvm_text_add_bytes(out, head, (size_t)(p - head));
    return CVM_OK;
}

static enum cvm_status write_profile(const char *customer_id, const struct cvm_consent *consent,
                                     struct cvm_text *out, struct cvm_error *err)
{
    size_t id_length = strlen(customer_id);
    if (id_length == 0 || id_length > UINT16_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "the customer id is empty or too long");
    }
    unsigned char head[3] = {FORMAT_PROFILE};
    write_u16(head + 1, (uint32_t)id_length);
    cvm_text_add_bytes(out, head, sizeof(head));
    cvm_text_add_bytes(out, customer_id, id_length);
    unsigned char bytes[CONSENT_BYTES];
    write_u32(bytes, consent->recorded);
    write_u32(bytes + 4, consent->granted);
    write_u32(bytes + 8, (uint32_t)consent->updated_day);
    write_u16(bytes + 12, (uint16_t)consent->quiet_start_min);
    write_u16(bytes + 14, (uint16_t)consent->quiet_end_min);
    bytes[16] = consent->preferred_time;
    bytes[17] = consent->has_record;
    memcpy(bytes + 18, consent->language, CVM_LANGUAGE_SIZE);
    struct cvm_consent ignored;
    if (!cvm_packed_read_consent(bytes, &ignored)) {
        return CVM_FAIL(err, CVM_E_INVALID, "the consent of '%s' has impossible values",
                        customer_id);
    }
    cvm_text_add_bytes(out, bytes, sizeof(bytes));
    return CVM_OK;
}

static enum cvm_status check_events(const struct cvm_packed_event *events, size_t count,
                                    int32_t first_day, int32_t next_day, struct cvm_error *err)
{
    for (size_t e = 0; e < count; e++) {
        const struct cvm_packed_event *event = &events[e];
        bool is_inside = first_day == CVM_DAY_NONE
                             ? event->day == CVM_DAY_NONE
                             : event->day >= first_day && event->day < next_day;
        if (!is_inside) {
            return CVM_FAIL(err, CVM_E_INVALID, "events of more than one period in one body");
        }
        if (event->source >= SOURCES_MAX || event->second < 0 || event->second > SECONDS_OF_DAY) {
            return CVM_FAIL(err, CVM_E_INVALID, "source %u, second %d of an event is impossible",
                            event->source, event->second);
        }
    }
    return CVM_OK;
}

static enum cvm_status write_sections(struct cvm_packer *packer, struct cvm_packed_event *events,
                                      size_t count, int32_t base_day, struct cvm_text *out,
                                      struct cvm_error *err)
{
    bool is_sorted = true;
    for (size_t e = 1; e < count && is_sorted; e++) {
        is_sorted = compare_events(&events[e - 1], &events[e]) <= 0;
    }
    if (!is_sorted) {
        qsort(events, count, sizeof(*events), compare_events);
    }
    uint64_t seen = 0;
    size_t next = 0;
    for (size_t first = 0; first < count; first = next) {
        uint8_t source = events[first].source;
        while (next < count && events[next].source == source) {
            next++;
        }
        if (seen >> source & 1) {
            return CVM_FAIL(err, CVM_E_INVALID, "source %u has two ranks", source);
        }
        seen |= UINT64_C(1) << source;
        enum cvm_status status =
            write_section(packer, events + first, next - first, base_day, out, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    return CVM_OK;
}

enum cvm_status cvm_packer_write(struct cvm_packer *packer, const char *customer_id,
                                 const struct cvm_consent *consent, struct cvm_packed_event *events,
                                 size_t event_count, struct cvm_text *out, struct cvm_error *err)
{
    assert((customer_id == NULL) == (consent == NULL));
    cvm_text_clear(out);
    int32_t first_day = CVM_DAY_NONE;
    int32_t next_day = CVM_DAY_NONE;
    enum cvm_status status = CVM_OK;
    if (customer_id != NULL) {
        status = write_profile(customer_id, consent, out, err);
    } else {
        int32_t period = event_count == 0 ? cvm_packed_period(0) : cvm_packed_period(events[0].day);
        if (period <= CVM_PERIOD_PROFILE) {
            return CVM_FAIL(err, CVM_E_INVALID, "an event outside the profile has no valid date");
        }
        first_day = cvm_packed_first_day(period);
        next_day = cvm_packed_first_day(period + 1);
        if (first_day < -FIRST_DAY_LIMIT || first_day > FIRST_DAY_LIMIT) {
            return CVM_FAIL(err, CVM_E_INVALID, "day %d of an event is impossible", events[0].day);
        }
        unsigned char head[5] = {FORMAT_DATED};
        write_u32(head + 1, (uint32_t)first_day);
        cvm_text_add_bytes(out, head, sizeof(head));
    }
    if (status == CVM_OK) {
        status = check_events(events, event_count, first_day, next_day, err);
    }
    if (status == CVM_OK) {
        status = write_sections(packer, events, event_count, first_day, out, err);
    }
    if (status == CVM_OK && out->failed) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a packed journey");
    }
    return status;
}
