#include "allocation/table.h"

#include <assert.h>
#include <string.h>

#define BLOCK CVM_PROBLEM_BLOCK
/* Waking threads costs more than a pass over fewer groups than this. */
#define GROUPS_PARALLEL_MIN 16

/* ---- groups ---- */

size_t cvm_group_count(size_t customer_count)
{
    return (customer_count + CVM_GROUP_SIZE - 1) / CVM_GROUP_SIZE;
}

size_t cvm_worker_count(const struct cvm_pool *pool)
{
    return pool != NULL ? cvm_pool_thread_count(pool) : 1;
}

struct group_run {
    cvm_group_fn task;
    void *state;
};

static enum cvm_status run_group(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    const struct group_run *run = state;
    (void)err;
    run->task(run->state, item, worker);
    return CVM_OK;
}

void cvm_groups_run(struct cvm_pool *pool, size_t group_count, cvm_group_fn task, void *state)
{
    if (pool == NULL || group_count < GROUPS_PARALLEL_MIN || cvm_pool_thread_count(pool) == 1) {
        for (size_t group = 0; group < group_count; group++) {
            task(state, group, 0);
        }
        return;
    }
    struct group_run run = {task, state};
    enum cvm_status status = cvm_pool_run(pool, group_count, run_group, &run, NULL);
    assert(status == CVM_OK);
    (void)status;
}

/* ---- units ---- */

static bool has_units(const struct cvm_problem *problem)
{
    return problem->groups != NULL || cvm_problem_per_customer(problem) > 1;
}

static size_t group_of(const struct cvm_problem *problem, size_t customer)
{
    return problem->groups != NULL ? problem->groups[customer] : CVM_NO_GROUP;
}

/* Units in order of their first customer: a household stands where its lowest key does. */
static enum cvm_status make_units(const struct cvm_problem *problem, struct cvm_arena *arena,
                                  const struct cvm_units **out_units, struct cvm_error *err)
{
    size_t count = problem->customer_count;
    uint32_t *unit_of_group =
        cvm_arena_alloc_raw(arena, problem->group_count + 1, sizeof(uint32_t));
    uint32_t *unit_of = cvm_arena_alloc_raw(arena, count + 1, sizeof(uint32_t));
    uint32_t *first = cvm_arena_alloc(arena, count + 2, sizeof(uint32_t));
    uint32_t *members = cvm_arena_alloc_raw(arena, count + 1, sizeof(uint32_t));
    unsigned char *max = cvm_arena_alloc_raw(arena, count + 1, 1);
    struct cvm_units *units = CVM_NEW(arena, struct cvm_units);
    if (unit_of_group == NULL || unit_of == NULL || first == NULL || members == NULL ||
        max == NULL || units == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the households of %zu customers", count);
    }
    memset(unit_of_group, 0xff, (problem->group_count + 1) * sizeof(uint32_t));
    for (size_t i = 0; i < count; i++) {
        size_t group = group_of(problem, i);
        bool is_new = group == CVM_NO_GROUP || unit_of_group[group] == UINT32_MAX;
        size_t unit = is_new ? units->count++ : unit_of_group[group];
        if (is_new) {
            bool is_limited = group != CVM_NO_GROUP && problem->group_max != NULL;
            max[unit] = is_limited ? problem->group_max[group] : 1;
        }
        if (is_new && group != CVM_NO_GROUP) {
            unit_of_group[group] = (uint32_t)unit;
        }
        unit_of[i] = (uint32_t)unit;
        first[unit + 1]++;
    }
    for (size_t u = 0; u < units->count; u++) {
        units->size_max = first[u + 1] > units->size_max ? first[u + 1] : units->size_max;
        first[u + 1] += first[u];
    }
    for (size_t i = 0; i < count; i++) { /* first[] walks and is walked back */
        members[first[unit_of[i]]++] = (uint32_t)i;
    }
    for (size_t u = units->count; u > 0; u--) {
        first[u] = first[u - 1];
    }
    first[0] = 0;
    units->first = first;
    units->members = members;
    units->max = max;
    *out_units = units;
    return CVM_OK;
}

enum cvm_status cvm_table_of_problem(const struct cvm_problem *problem, struct cvm_arena *arena,
                                     struct cvm_table *out_table, struct cvm_error *err)
{
    const struct cvm_units *units = NULL;
    if (has_units(problem)) {
        enum cvm_status status = make_units(problem, arena, &units, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    *out_table = (struct cvm_table){
        .count = problem->customer_count,
        .treatment_count = problem->treatment_count,
        .values = problem->values,
        .amounts = problem->amounts,
        .classes = problem->classes,
        .keys = problem->keys,
        .units = units,
    };
    return CVM_OK;
}

/* ---- lining up ---- */

struct line_up {
    const struct cvm_table *table;
    const uint32_t *places; /* per customer, among the members of units */
    float *values;
    struct cvm_lined *lined;
};

/* In order of customers: what is written lies together, what is read would not. */
static void line_up_group(void *state, size_t group, size_t worker)
{
    const struct line_up *line_up = state;
    const struct cvm_table *table = line_up->table;
    size_t count = table->treatment_count;
    size_t end = (group + 1) * CVM_GROUP_SIZE;
    end = end < table->count ? end : table->count;
    (void)worker;
    for (size_t i = group * CVM_GROUP_SIZE; i < end; i++) {
        size_t place = line_up->places[i];
        const float *column = table->values + cvm_table_at(table, i, 0);
        for (size_t t = 0; t < count; t++) {
            line_up->values[place * count + t] = column[t * BLOCK];
        }
        line_up->lined[place] = (struct cvm_lined){
            .amount = table->amounts != NULL ? table->amounts[i] : 0.0,
            .jitter = cvm_jitter(table->keys[i]),
            .customer_class = table->classes != NULL ? table->classes[i] : 0,
        };
    }
}

enum cvm_status cvm_table_line_up(struct cvm_table *table, struct cvm_pool *pool,
                                  struct cvm_arena *arena, struct cvm_error *err)
{
    size_t pairs = table->count * table->treatment_count;
    uint32_t *places = cvm_arena_alloc_raw(arena, table->count + 1, sizeof(uint32_t));
    struct line_up line_up = {
        .table = table,
        .places = places,
        .values = cvm_arena_alloc_raw(arena, pairs + 1, sizeof(float)),
        .lined = cvm_arena_alloc_raw(arena, table->count + 1, sizeof(struct cvm_lined)),
    };
    if (places == NULL || line_up.values == NULL || line_up.lined == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the households of %zu customers",
                        table->count);
    }
    for (size_t at = 0; at < table->count; at++) {
        places[cvm_units_member(table->units, at)] = (uint32_t)at;
    }
    cvm_groups_run(pool, cvm_group_count(table->count), line_up_group, &line_up);
    table->lined_values = line_up.values;
    table->lined = line_up.lined;
    return CVM_OK;
}

/* ---- picking ---- */

enum cvm_status cvm_table_empty(const struct cvm_table *like, size_t count, struct cvm_arena *arena,
                                struct cvm_table *out_table, struct cvm_error *err)
{
    size_t padded = (count + BLOCK - 1) / BLOCK * BLOCK;
    size_t treatment_count = like->treatment_count;
    float *values = cvm_arena_alloc_raw(arena, padded * treatment_count + 1, sizeof(float));
    float *jitters = cvm_arena_alloc_raw(arena, padded + 1, sizeof(float));
    struct cvm_table table = {
        .count = count,
        .treatment_count = treatment_count,
        .values = values,
        .jitters = jitters,
        .keys = cvm_arena_alloc_raw(arena, count + 1, sizeof(uint64_t)),
        .origins = cvm_arena_alloc_raw(arena, count + 1, sizeof(uint32_t)),
    };
    if (like->amounts != NULL) {
        table.amounts = cvm_arena_alloc_raw(arena, count + 1, sizeof(double));
    }
    if (like->classes != NULL) {
        table.classes = cvm_arena_alloc_raw(arena, count + 1, sizeof(uint16_t));
    }
    if (values == NULL || jitters == NULL || table.keys == NULL || table.origins == NULL ||
        (like->amounts != NULL && table.amounts == NULL) ||
        (like->classes != NULL && table.classes == NULL)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", count);
    }
    for (size_t i = count; i < padded; i++) {
        jitters[i] = 0.0f;
        for (size_t t = 0; t < treatment_count; t++) {
            values[cvm_table_at(&table, i, t)] = CVM_PROBLEM_INELIGIBLE;
        }
    }
    *out_table = table;
    return CVM_OK;
}

/* The columns of a table that was made by cvm_table_empty() are its own. */
void cvm_table_copy(const struct cvm_table *from, size_t customer, const float *values,
                    size_t stride, struct cvm_table *to, size_t at)
{
    float *to_values = (float *)to->values;
    for (size_t t = 0; t < from->treatment_count; t++) {
        to_values[cvm_table_at(to, at, t)] = values[t * stride];
    }
    ((uint64_t *)to->keys)[at] = from->keys[customer];
    ((float *)to->jitters)[at] = cvm_jitter(from->keys[customer]);
    ((uint32_t *)to->origins)[at] = (uint32_t)cvm_table_origin(from, customer);
    if (from->amounts != NULL) {
        ((double *)to->amounts)[at] = from->amounts[customer];
    }
    if (from->classes != NULL) {
        ((uint16_t *)to->classes)[at] = from->classes[customer];
    }
}

static const struct cvm_units *pick_units(const struct cvm_units *from, const uint32_t *chosen,
                                          size_t count, struct cvm_arena *arena)
{
    struct cvm_units *units = CVM_NEW(arena, struct cvm_units);
    uint32_t *first = cvm_arena_alloc_raw(arena, count + 1, sizeof(uint32_t));
    unsigned char *max = cvm_arena_alloc_raw(arena, count + 1, 1);
    if (units == NULL || first == NULL || max == NULL) {
        return NULL;
    }
    *units = (struct cvm_units){.count = count, .first = first, .max = max};
    first[0] = 0;
    for (size_t k = 0; k < count; k++) {
        size_t size = from->first[chosen[k] + 1] - from->first[chosen[k]];
        first[k + 1] = first[k] + (uint32_t)size;
        max[k] = from->max[chosen[k]];
        units->size_max = size > units->size_max ? size : units->size_max;
    }
    return units;
}

enum cvm_status cvm_table_pick(const struct cvm_table *from, const uint32_t *chosen, size_t count,
                               struct cvm_arena *arena, struct cvm_table *out_table,
                               struct cvm_error *err)
{
    const struct cvm_units *units = NULL;
    struct cvm_table table;
    if (from->units != NULL) {
        units = pick_units(from->units, chosen, count, arena);
        if (units == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu households", count);
        }
    }
    enum cvm_status status =
        cvm_table_empty(from, units != NULL ? units->first[count] : count, arena, &table, err);
    if (status != CVM_OK) {
        return status;
    }
    size_t at = 0;
    for (size_t k = 0; k < count; k++) {
        size_t first = units != NULL ? from->units->first[chosen[k]] : 0;
        size_t size = units != NULL ? units->first[k + 1] - units->first[k] : 1;
        for (size_t j = 0; j < size; j++) {
            size_t customer = units != NULL ? cvm_units_member(from->units, first + j) : chosen[k];
            cvm_table_copy(from, customer, from->values + cvm_table_at(from, customer, 0), BLOCK,
                           &table, at++);
        }
    }
    table.units = units;
    *out_table = table;
    return CVM_OK;
}
