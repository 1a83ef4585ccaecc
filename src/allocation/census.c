#include "allocation/census.h"

#include <string.h>

#include "allocation/table.h"
#include "allocation/tariff.h"
#include "base/hash.h"

/* So many customers and fewer are never rounded. */
#define EXACT_BELOW ((size_t)4096)
/* Rounded amounts differ by less than one part in 2^6. */
#define MANTISSA_BITS 52
#define ROUNDED_BITS  6

/* What makes two customers alike, without a byte of padding. */
struct mark {
    uint64_t mask;
    uint64_t amount_bits;
    uint64_t customer_class;
};

struct counting {
    const struct cvm_problem *problem;
    uint64_t *masks;  /* per customer */
    uint64_t serving; /* treatments that may serve a row */
    bool has_amounts;
    unsigned dropped_bits;
    size_t count;
    uint32_t *first;
    struct cvm_kind *members;
    struct mark *marks;
    int64_t *weights;
    unsigned char *max;
    size_t size_max;
    uint32_t *slots; /* unit + 1, by hash */
    size_t slot_mask;
};

/* Only a treatment that lowers the use of some row can help to keep the rows. */
static void look_at_rows(struct counting *counting)
{
    const struct cvm_problem *problem = counting->problem;
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        for (size_t t = 0; t < problem->treatment_count; t++) {
            bool is_share = row->kind == CVM_ROW_SHARE_MIN || row->kind == CVM_ROW_SHARE_MAX;
            bool serves =
                row->units[t] < 0 || row->outside[t] < 0 || (is_share && cvm_row_touches(row, t));
            counting->serving |= (uint64_t)serves << t;
            counting->has_amounts =
                counting->has_amounts || (cvm_row_is_money(row) && row->rate[t] != 0.0);
        }
    }
    counting->has_amounts = counting->has_amounts && problem->amounts != NULL;
}

static void mask_group(void *state, size_t group, size_t worker)
{
    const struct counting *counting = state;
    const struct cvm_problem *problem = counting->problem;
    size_t first = group * CVM_GROUP_SIZE;
    size_t end = first + CVM_GROUP_SIZE;
    end = end < problem->customer_count ? end : problem->customer_count;
    (void)worker;
    memset(counting->masks + first, 0, (end - first) * sizeof(uint64_t));
    for (size_t block = first; block < end; block += CVM_PROBLEM_BLOCK) {
        size_t size = end - block < CVM_PROBLEM_BLOCK ? end - block : CVM_PROBLEM_BLOCK;
        for (uint64_t left = counting->serving; left != 0; left &= left - 1) {
            size_t t = (size_t)__builtin_ctzll(left);
            const float *values = problem->values + cvm_problem_at(problem, block, t);
            for (size_t i = 0; i < size; i++) {
                bool is_eligible = values[i] > CVM_PROBLEM_VALUE_MIN;
                counting->masks[block + i] |= (uint64_t)is_eligible << t;
            }
        }
    }
}

static enum cvm_status counting_init(struct counting *counting, size_t unit_count,
                                     struct cvm_pool *pool, struct cvm_arena *arena,
                                     struct cvm_error *err)
{
    const struct cvm_problem *problem = counting->problem;
    size_t customers = problem->customer_count;
    size_t slots = 16;
    while (slots < 2 * unit_count) {
        slots *= 2;
    }
    look_at_rows(counting);
    counting->slot_mask = slots - 1;
    counting->slots = CVM_NEW_ARRAY(arena, slots, uint32_t);
    counting->masks = cvm_arena_alloc_raw(arena, customers + 1, sizeof(uint64_t));
    counting->members = cvm_arena_alloc_raw(arena, customers + 1, sizeof(struct cvm_kind));
    counting->marks = cvm_arena_alloc_raw(arena, customers + 1, sizeof(struct mark));
    counting->first = cvm_arena_alloc_raw(arena, unit_count + 1, sizeof(uint32_t));
    counting->weights = cvm_arena_alloc_raw(arena, unit_count + 1, sizeof(int64_t));
    counting->max = cvm_arena_alloc_raw(arena, unit_count + 1, 1);
    if (counting->slots == NULL || counting->masks == NULL || counting->members == NULL ||
        counting->marks == NULL || counting->first == NULL || counting->weights == NULL ||
        counting->max == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to count who of %zu customers are alike",
                        customers);
    }
    counting->first[0] = 0;
    cvm_groups_run(pool, cvm_group_count(customers), mask_group, counting);
    return CVM_OK;
}

static bool stands_before(const struct mark *a, const struct mark *b)
{
    if (a->mask != b->mask) {
        return a->mask < b->mask;
    }
    return a->customer_class != b->customer_class ? a->customer_class < b->customer_class
                                                  : a->amount_bits < b->amount_bits;
}

/* Writes a customer behind the last unit, in order of marks; returns the new size. */
static size_t write_member(struct counting *counting, size_t customer, size_t size)
{
    size_t base = counting->first[counting->count];
    struct mark *marks = counting->marks + base;
    struct cvm_kind *members = counting->members + base;
    uint64_t mask = counting->masks[customer];
    if (mask == 0) {
        return size;
    }
    double amount = counting->has_amounts ? cvm_problem_amount(counting->problem, customer) : 0.0;
    struct mark mark = {.mask = mask,
                        .customer_class = cvm_problem_class(counting->problem, customer)};
    memcpy(&mark.amount_bits, &amount, sizeof(amount));
    mark.amount_bits >>= counting->dropped_bits;
    size_t at = size;
    for (; at > 0 && stands_before(&mark, &marks[at - 1]); at--) {
        marks[at] = marks[at - 1];
        members[at] = members[at - 1];
    }
    marks[at] = mark;
    members[at] = (struct cvm_kind){mask, amount, amount, (uint32_t)mark.customer_class};
    return size + 1;
}

/* The unit that was just written: a new kind, or one more of a known one. */
static void count_unit(struct counting *counting, size_t size, unsigned char max)
{
    size_t base = counting->first[counting->count];
    size_t bytes = size * sizeof(struct mark);
    size_t slot = cvm_hash_seeded(counting->marks + base, bytes, max) & counting->slot_mask;
    for (; counting->slots[slot] != 0; slot = (slot + 1) & counting->slot_mask) {
        size_t unit = counting->slots[slot] - 1;
        size_t other = counting->first[unit];
        if (counting->first[unit + 1] - other != size || counting->max[unit] != max ||
            memcmp(counting->marks + other, counting->marks + base, bytes) != 0) {
            continue;
        }
        counting->weights[unit]++;
        for (size_t k = 0; k < size; k++) {
            struct cvm_kind *known = &counting->members[other + k];
            double amount = counting->members[base + k].amount;
            known->amount += amount; /* a sum until all are counted */
            known->amount_min = amount < known->amount_min ? amount : known->amount_min;
        }
        return;
    }
    counting->slots[slot] = (uint32_t)++counting->count;
    counting->weights[counting->count - 1] = 1;
    counting->max[counting->count - 1] = max;
    counting->first[counting->count] = (uint32_t)(base + size);
    counting->size_max = size > counting->size_max ? size : counting->size_max;
}

static void make_means(struct counting *counting)
{
    for (size_t u = 0; u < counting->count; u++) {
        for (size_t k = counting->first[u]; k < counting->first[u + 1]; k++) {
            counting->members[k].amount /= (double)counting->weights[u];
        }
    }
}

enum cvm_status cvm_census_take(const struct cvm_problem *problem, bool is_exact,
                                struct cvm_pool *pool, struct cvm_arena *arena,
                                struct cvm_census *out_census, struct cvm_error *err)
{
    struct cvm_table table;
    struct counting counting = {.problem = problem};
    enum cvm_status status = cvm_table_of_problem(problem, arena, &table, err);
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_units *units = table.units;
    size_t unit_count = units != NULL ? units->count : problem->customer_count;
    bool is_rounded = !is_exact && problem->customer_count > EXACT_BELOW;
    counting.dropped_bits = is_rounded ? MANTISSA_BITS - ROUNDED_BITS : 0;
    status = counting_init(&counting, unit_count, pool, arena, err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t u = 0; u < unit_count; u++) {
        size_t size = 0;
        size_t first = units != NULL ? units->first[u] : u;
        size_t end = units != NULL ? units->first[u + 1] : u + 1;
        for (size_t k = first; k < end; k++) {
            size = write_member(&counting, units != NULL ? cvm_units_member(units, k) : k, size);
        }
        if (size > 0) {
            count_unit(&counting, size, units != NULL ? units->max[u] : 1);
        }
    }
    make_means(&counting);
    *out_census = (struct cvm_census){
        .count = counting.count,
        .first = counting.first,
        .members = counting.members,
        .weights = counting.weights,
        .max = counting.max,
        .size_max = counting.size_max,
        .is_rounded = is_rounded && counting.has_amounts,
    };
    return CVM_OK;
}
