#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/run_internal.h"
#include "storage/control_store.h"

/* ---- before the scan ---- */

enum cvm_status cvm_run_open_control(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    struct cvm_run_enrolment *enrolment = &memory->enrolment;
    const struct cvm_control *control = &job->catalogue->control;
    struct cvm_control_options options = {.is_forced =
                                              job->request->forced_treatment != CVM_INDEX_NONE};
    int64_t enrolled_batch = 0;
    enum cvm_status status = cvm_control_customers(
        job->engine->readers[0], job->catalogue->control.least_customers, &options.customers, err);
    if (status == CVM_OK) {
        status = cvm_control_enrolled_batch(job->store, &enrolled_batch, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    /* Only who sees everybody may say who belongs to it. */
    bool is_whole_base = job->request->customers == NULL && job->trigger == CVM_INDEX_NONE;
    enrolment->is_everybody = enrolled_batch == 0;
    enrolment->is_on = !job->request->is_dry && is_whole_base && control->universal_share > 0 &&
                       options.customers >= control->least_customers &&
                       enrolled_batch < job->engine->last_batch;
    options.is_enrolled = enrolled_batch > 0 || enrolment->is_on;
    status = cvm_control_groups_init(&memory->control, job->catalogue, &options, job->arena, err);
    if (status == CVM_OK && memory->control.universal_share > 0) {
        status = cvm_control_members(job->store, &memory->control.members, err);
    }
    if (status == CVM_OK && enrolment->is_on && !enrolment->is_everybody) {
        status = cvm_control_newcomers(job->store, enrolled_batch, job->engine->last_batch,
                                       &enrolment->newcomers, err);
    }
    return status;
}

/* ---- keys in ascending order beside an ascending column ---- */

struct key_walk {
    const uint64_t *keys;
    size_t count;
    size_t at;
};

static struct key_walk walk_from(const struct cvm_column *column, uint64_t first_key)
{
    struct key_walk walk = {CVM_COLUMN_DATA(column, const uint64_t), column->count, 0};
    size_t high = walk.count;
    while (walk.at < high) {
        size_t middle = walk.at + (high - walk.at) / 2;
        if (walk.keys[middle] < first_key) {
            walk.at = middle + 1;
        } else {
            high = middle;
        }
    }
    return walk;
}

static bool walk_has(struct key_walk *walk, uint64_t key)
{
    while (walk->at < walk->count && walk->keys[walk->at] < key) {
        walk->at++;
    }
    return walk->at < walk->count && walk->keys[walk->at] == key;
}

/* ---- enrolment ---- */

typedef enum cvm_status (*newcomer_fn)(void *state, uint64_t key, uint16_t stratum,
                                       struct cvm_error *err);

static enum cvm_status each_newcomer(const struct cvm_run_job *job, newcomer_fn on_newcomer,
                                     void *state, struct cvm_error *err)
{
    const struct cvm_run_memory *memory = job->memory;
    const struct cvm_run_enrolment *enrolment = &memory->enrolment;
    struct key_walk newcomers = walk_from(&enrolment->newcomers, 0);
    enum cvm_status status = CVM_OK;
    for (size_t s = 0; s < memory->shard_count; s++) {
        const struct cvm_shard_values *shard = &memory->values[s];
        const uint64_t *keys = shard->keys.data;
        const uint16_t *strata = shard->strata.data;
        for (size_t i = 0; status == CVM_OK && i < shard->count; i++) {
            if (enrolment->is_everybody || walk_has(&newcomers, keys[i])) {
                status = on_newcomer(state, keys[i], strata[i], err);
            }
        }
    }
    return status;
}

static enum cvm_status count_newcomer(void *state, uint64_t key, uint16_t stratum,
                                      struct cvm_error *err)
{
    struct cvm_run_stratum *strata = state;
    (void)key;
    (void)err;
    strata[stratum].newcomers++;
    return CVM_OK;
}

struct strata {
    struct cvm_run_stratum *all;
    size_t count;
};

static enum cvm_status take_counts(void *state, const struct cvm_control_stratum *stored,
                                   struct cvm_error *err)
{
    struct strata *strata = state;
    (void)err;
    for (size_t s = 0; s < strata->count; s++) {
        if (strata->all[s].name != NULL && strcmp(strata->all[s].name, stored->name) == 0) {
            strata->all[s].enrolled = stored->enrolled;
            strata->all[s].members = stored->members;
        }
    }
    return CVM_OK;
}

/* How many of each stratum join: so many that the share of all that were ever enrolled are members.
 */
static enum cvm_status plan_strata(struct cvm_run_job *job, struct strata *strata,
                                   struct cvm_error *err)
{
    double share = job->memory->control.universal_share;
    struct cvm_text name;
    cvm_text_init(&name, 0);
    for (size_t s = 0; s < strata->count; s++) {
        struct cvm_run_stratum *stratum = &strata->all[s];
        if (stratum->newcomers == 0) {
            continue;
        }
        cvm_text_clear(&name);
        cvm_control_stratum_name(job->catalogue, s, &name);
        stratum->name = cvm_arena_copy(job->arena, cvm_text_string(&name), name.length);
        if (name.failed || stratum->name == NULL) {
            cvm_text_finish(&name);
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for strata");
        }
    }
    cvm_text_finish(&name);
    enum cvm_status status = cvm_control_strata(job->store, take_counts, strata, err);
    for (size_t s = 0; s < strata->count; s++) {
        struct cvm_run_stratum *stratum = &strata->all[s];
        int64_t all = stratum->enrolled + stratum->newcomers;
        int64_t wanted = llround(share * (double)all) - stratum->members;
        stratum->joining = wanted < 0                    ? 0
                           : wanted > stratum->newcomers ? stratum->newcomers
                                                         : wanted;
    }
    return status;
}

struct candidate {
    uint64_t rank;
    uint64_t key;
    uint16_t stratum;
};

struct candidates {
    struct cvm_column all; /* struct candidate */
    uint64_t rank_max;
};

static enum cvm_status take_candidate(void *state, uint64_t key, uint16_t stratum,
                                      struct cvm_error *err)
{
    struct candidates *candidates = state;
    uint64_t rank = cvm_control_rank(key);
    void *slot = NULL;
    if (rank > candidates->rank_max) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(&candidates->all, 1, &slot, err);
    if (status == CVM_OK) {
        *(struct candidate *)slot = (struct candidate){rank, key, stratum};
    }
    return status;
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;
    if (left->stratum != right->stratum) {
        return left->stratum > right->stratum ? 1 : -1;
    }
    if (left->rank != right->rank) {
        return left->rank > right->rank ? 1 : -1;
    }
    return (left->key > right->key) - (left->key < right->key);
}

static int compare_joining(const void *a, const void *b)
{
    const struct cvm_run_joining *left = a;
    const struct cvm_run_joining *right = b;
    return (left->key > right->key) - (left->key < right->key);
}

/* The first of each stratum in the order of ranks; false when the candidates are too few. */
static enum cvm_status choose(struct cvm_run_enrolment *enrolment, struct candidates *candidates,
                              const struct strata *strata, bool *out_is_enough,
                              struct cvm_error *err)
{
    const struct candidate *all = CVM_COLUMN_DATA(&candidates->all, const struct candidate);
    int64_t missing = 0;
    size_t i = 0;
    enrolment->joining.count = 0;
    if (candidates->all.count > 0) {
        qsort(candidates->all.buffer.data, candidates->all.count, sizeof(struct candidate),
              compare_candidates);
    }
    for (size_t s = 0; s < strata->count; s++) {
        int64_t left = strata->all[s].joining;
        for (; i < candidates->all.count && all[i].stratum == s; i++) {
            void *slot = NULL;
            if (left == 0) {
                continue;
            }
            enum cvm_status status = cvm_column_extend(&enrolment->joining, 1, &slot, err);
            if (status != CVM_OK) {
                return status;
            }
            *(struct cvm_run_joining *)slot = (struct cvm_run_joining){all[i].key, (uint16_t)s};
            left--;
        }
        missing += left;
    }
    *out_is_enough = missing == 0;
    return CVM_OK;
}

/* Ranks are uniform, so the first of each stratum lie near the beginning: a part of the customers
 * is enough nearly always. */
static enum cvm_status choose_joining(struct cvm_run_job *job, const struct strata *strata,
                                      struct cvm_error *err)
{
    struct candidates candidates;
    bool is_enough = false;
    enum cvm_status status = CVM_OK;
    cvm_column_init(&candidates.all, sizeof(struct candidate));
    for (double part = 2 * job->memory->control.universal_share; status == CVM_OK && !is_enough;
         part *= 4) {
        candidates.all.count = 0;
        candidates.rank_max = part >= 1 ? UINT64_MAX : (uint64_t)(part * 0x1p64);
        status = each_newcomer(job, take_candidate, &candidates, err);
        if (status == CVM_OK) {
            status = choose(&job->memory->enrolment, &candidates, strata, &is_enough, err);
        }
        is_enough |= part >= 1;
    }
    cvm_column_finish(&candidates.all);
    return status;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

enum cvm_status cvm_run_enrol(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_enrolment *enrolment = &job->memory->enrolment;
    struct cvm_column *members = &job->memory->control.members;
    struct strata strata = {.count = cvm_control_stratum_count(job->catalogue)};
    void *slot = NULL;
    if (!enrolment->is_on) {
        return CVM_OK;
    }
    strata.all = CVM_NEW_ARRAY(job->arena, strata.count, struct cvm_run_stratum);
    if (strata.all == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for strata");
    }
    enrolment->strata = strata.all;
    enum cvm_status status = each_newcomer(job, count_newcomer, strata.all, err);
    if (status == CVM_OK) {
        status = plan_strata(job, &strata, err);
    }
    if (status == CVM_OK) {
        status = choose_joining(job, &strata, err);
    }
    if (status == CVM_OK && enrolment->joining.count > 0) {
        status = cvm_column_extend(members, enrolment->joining.count, &slot, err);
    }
    if (status != CVM_OK || enrolment->joining.count == 0) {
        return status;
    }
    struct cvm_run_joining *joining = CVM_COLUMN_DATA(&enrolment->joining, struct cvm_run_joining);
    qsort(joining, enrolment->joining.count, sizeof(*joining), compare_joining);
    for (size_t i = 0; i < enrolment->joining.count; i++) {
        ((uint64_t *)slot)[i] = joining[i].key;
    }
    qsort(members->buffer.data, members->count, sizeof(uint64_t), compare_keys);
    return CVM_OK;
}

/* ---- storing it ---- */

static enum cvm_status store_strata(struct cvm_run_job *job, int64_t *out_enrolled,
                                    struct cvm_error *err)
{
    const struct cvm_run_stratum *strata = job->memory->enrolment.strata;
    size_t count = cvm_control_stratum_count(job->catalogue);
    enum cvm_status status = CVM_OK;
    *out_enrolled = 0;
    for (size_t s = 0; status == CVM_OK && s < count; s++) {
        if (strata[s].newcomers == 0) {
            continue;
        }
        struct cvm_control_stratum stratum = {
            .name = strata[s].name,
            .enrolled = strata[s].enrolled + strata[s].newcomers,
            .members = strata[s].members + strata[s].joining,
        };
        *out_enrolled += strata[s].newcomers;
        status = cvm_control_stratum_put(job->writer, &stratum, err);
    }
    return status;
}

#define MEMBERS_PER_CALL 1024

static enum cvm_status store_members(struct cvm_run_job *job, struct cvm_error *err)
{
    const struct cvm_run_enrolment *enrolment = &job->memory->enrolment;
    const struct cvm_run_joining *joining =
        CVM_COLUMN_DATA(&enrolment->joining, const struct cvm_run_joining);
    enum cvm_status status = CVM_OK;
    for (size_t first = 0; status == CVM_OK && first < enrolment->joining.count;
         first += MEMBERS_PER_CALL) {
        struct cvm_control_member members[MEMBERS_PER_CALL];
        size_t left = enrolment->joining.count - first;
        size_t count = left < MEMBERS_PER_CALL ? left : MEMBERS_PER_CALL;
        for (size_t i = 0; i < count; i++) {
            members[i] = (struct cvm_control_member){
                .key = joining[first + i].key,
                .stratum = enrolment->strata[joining[first + i].stratum].name,
                .run_id = job->result->run_id,
            };
        }
        status = cvm_control_member_add(job->writer, members, count, err);
    }
    return status;
}

enum cvm_status cvm_run_store_enrolment(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_control_enrolment row = {
        .batch = job->engine->last_batch,
        .run_id = job->result->run_id,
        .share = job->memory->control.universal_share,
        .members = (int64_t)job->memory->enrolment.joining.count,
    };
    if (!job->memory->enrolment.is_on) {
        return CVM_OK;
    }
    enum cvm_status status = store_strata(job, &row.enrolled, err);
    if (status == CVM_OK) {
        status = store_members(job, err);
    }
    return status == CVM_OK ? cvm_control_enrolment_add(job->writer, &row, err) : status;
}

/* ---- for the solver ---- */

bool cvm_run_is_member(const struct cvm_control_groups *groups, uint64_t key)
{
    struct key_walk walk = walk_from(&groups->members, key);
    return walk_has(&walk, key);
}

static enum cvm_status withhold_shard(void *state, size_t s, size_t worker, struct cvm_error *err)
{
    const struct cvm_run_memory *memory = state;
    const struct cvm_shard_values *shard = &memory->values[s];
    const uint64_t *keys = shard->keys.data;
    uint64_t *withheld = (uint64_t *)memory->withheld.data + memory->first[s];
    (void)worker;
    (void)err;
    if (shard->count == 0) {
        return CVM_OK;
    }
    struct key_walk members = walk_from(&memory->control.members, keys[0]);
    for (size_t i = 0; i < shard->count; i++) {
        withheld[i] = cvm_control_withheld(&memory->control, walk_has(&members, keys[i]), keys[i]);
    }
    return CVM_OK;
}

enum cvm_status cvm_run_withhold(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    if (!cvm_control_is_on(&memory->control)) {
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_buffer_reserve(&memory->withheld, (memory->customer_count + 1) * sizeof(uint64_t), err);
    return status == CVM_OK
               ? cvm_pool_run(job->engine->pool, memory->shard_count, withhold_shard, memory, err)
               : status;
}
