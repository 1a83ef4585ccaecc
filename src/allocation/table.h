/* table.h - the customers of a pass: everybody, a sample, or those who are not yet decided.
 *
 * For files of allocation/ only. Units of choice are customers with one treatment each; or, in the
 * general form, households and customers with several, which then stand in `units`.
 */
#ifndef CVM_ALLOCATION_TABLE_H
#define CVM_ALLOCATION_TABLE_H

#include "allocation/problem.h"
#include "base/arena.h"
#include "base/threads.h"

/* Sums of a pass are made per group of so many customers and added in group order, so they do not
 * depend on threads. */
#define CVM_GROUP_SIZE ((size_t)8192)

/* Units of the general form: unit u has the customers members[first[u]] to members[first[u + 1] -
 * 1]. */
struct cvm_units {
    size_t count;
    const uint32_t *first;    /* count + 1 */
    const uint32_t *members;  /* NULL: they stand in order */
    const unsigned char *max; /* per unit: customers with a treatment that counts */
    size_t size_max;          /* customers of the largest */
};

/* What a pass wants to know of one member of a unit besides the values. */
struct cvm_lined {
    double amount;
    float jitter;
    uint16_t customer_class;
};

struct cvm_table {
    size_t count; /* customers */
    size_t treatment_count;
    const float *values;     /* blocks of 16, the last one padded */
    const double *amounts;   /* NULL = 0 */
    const uint16_t *classes; /* NULL = 0 */
    const uint64_t *keys;
    const float *jitters;          /* of the keys, in whole blocks; NULL = not made */
    const uint32_t *origins;       /* per customer, where it stands in the problem; NULL = here */
    const struct cvm_units *units; /* NULL: every customer is one, with one treatment */
    /* The members of the units one after the other, treatment_count values each; NULL = not made.
     * Members stand anywhere in the columns: to look them up there costs most of a pass. */
    const float *lined_values;
    const struct cvm_lined *lined;
};

/* A customer's jitter, in [0, 1): keys are hashes, their low bits are as good as any. */
static inline float cvm_jitter(uint64_t key)
{
    return (float)(uint32_t)(key & 0xffffff) * 0x1p-24f;
}

/* The whole problem as a table, with its units in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_table_of_problem(const struct cvm_problem *problem,
                                                    struct cvm_arena *arena,
                                                    struct cvm_table *out_table,
                                                    struct cvm_error *err);

/* Lines up the members of the table's units. */
CVM_MUST_CHECK enum cvm_status cvm_table_line_up(struct cvm_table *table, struct cvm_pool *pool,
                                                 struct cvm_arena *arena, struct cvm_error *err);

/* A table for `count` customers like those of another, without units: its columns are for the
 * caller to fill, the last block is padded. */
CVM_MUST_CHECK enum cvm_status cvm_table_empty(const struct cvm_table *like, size_t count,
                                               struct cvm_arena *arena, struct cvm_table *out_table,
                                               struct cvm_error *err);

/* Copy one customer into such a table: value t is values[t * stride]. */
void cvm_table_copy(const struct cvm_table *from, size_t customer, const float *values,
                    size_t stride, struct cvm_table *to, size_t at);

/* Some customers of a table, ascending: copied into the arena. `units`, ascending too, instead
 * where the table has units; their members are copied one after the other. */
CVM_MUST_CHECK enum cvm_status cvm_table_pick(const struct cvm_table *from, const uint32_t *chosen,
                                              size_t count, struct cvm_arena *arena,
                                              struct cvm_table *out_table, struct cvm_error *err);

static inline size_t cvm_table_at(const struct cvm_table *table, size_t customer, size_t treatment)
{
    return customer / CVM_PROBLEM_BLOCK * CVM_PROBLEM_BLOCK * table->treatment_count +
           treatment * CVM_PROBLEM_BLOCK + customer % CVM_PROBLEM_BLOCK;
}
static inline size_t cvm_units_member(const struct cvm_units *units, size_t at)
{
    return units->members != NULL ? units->members[at] : at;
}
static inline size_t cvm_table_origin(const struct cvm_table *table, size_t customer)
{
    return table->origins != NULL ? table->origins[customer] : customer;
}

size_t cvm_group_count(size_t customer_count);

/* Run task(state, group, worker) for every group: on the pool, or here where that is faster. The
 * task can not fail. */
typedef void (*cvm_group_fn)(void *state, size_t group, size_t worker);
void cvm_groups_run(struct cvm_pool *pool, size_t group_count, cvm_group_fn task, void *state);
size_t cvm_worker_count(const struct cvm_pool *pool);

#endif
