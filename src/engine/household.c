#include "engine/household_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "model/reason.h"
#include "storage/household_store.h"

void cvm_household_init(struct cvm_column *members)
{
    cvm_column_init(members, sizeof(struct cvm_household_member));
}

bool cvm_household_is_on(const struct cvm_catalogue *catalogue)
{
    return catalogue->policy.household_count > 0 &&
           catalogue->policy.household_feature != CVM_INDEX_NONE;
}

/* ---- collecting ---- */

static double feature_of(const struct cvm_chunk *chunk, int feature, size_t customer)
{
    return chunk->features[(size_t)feature * chunk->capacity + customer];
}

enum cvm_status cvm_household_add(struct cvm_column *members, const struct cvm_catalogue *catalogue,
                                  const struct cvm_chunk *chunk, size_t shard, size_t first,
                                  struct cvm_error *err)
{
    const struct cvm_contact_policy *policy = &catalogue->policy;
    for (size_t i = 0; i < chunk->count; i++) {
        double household = feature_of(chunk, policy->household_feature, i);
        void *slot = NULL;
        if (isnan(household)) {
            continue;
        }
        enum cvm_status status = cvm_column_extend(members, 1, &slot, err);
        if (status != CVM_OK) {
            return status;
        }
        struct cvm_household_member *member = slot;
        *member = (struct cvm_household_member){
            .household = household,
            .key = chunk->keys[i],
            .shard = (uint32_t)shard,
            .customer = (uint32_t)(first + i),
        };
        for (size_t l = 0; l < policy->household_count; l++) {
            double contacts = feature_of(chunk, policy->household[l].count_feature, i);
            member->contacts[l] = contacts > 0 ? (uint16_t)fmin(contacts, UINT16_MAX) : 0;
        }
    }
    return CVM_OK;
}

enum cvm_status cvm_household_join(struct cvm_column *members, const struct cvm_column *more,
                                   struct cvm_error *err)
{
    void *slot = NULL;
    if (more->count == 0) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(members, more->count, &slot, err);
    if (status == CVM_OK) {
        memcpy(slot, more->buffer.data, more->count * sizeof(struct cvm_household_member));
    }
    return status;
}

/* ---- the rest of a household ---- */

static int compare_members(const void *a, const void *b)
{
    const struct cvm_household_member *left = a;
    const struct cvm_household_member *right = b;
    if (left->household != right->household) {
        return left->household > right->household ? 1 : -1;
    }
    return (left->key > right->key) - (left->key < right->key);
}

void cvm_household_sort(struct cvm_column *members)
{
    if (members->count > 0) {
        qsort(members->buffer.data, members->count, sizeof(struct cvm_household_member),
              compare_members);
    }
}

struct others {
    const struct cvm_catalogue *catalogue;
    const struct cvm_column *known; /* sorted */
    struct cvm_column *found;       /* per worker */
    struct cvm_pending *pending;    /* of the known only, to which the others' are added; or NULL */
    int32_t as_of_day;
};

/* Is anybody of this household looked at, and is it not this customer? */
static bool is_other(const struct cvm_column *known, const struct cvm_household_member *member)
{
    const struct cvm_household_member *all =
        CVM_COLUMN_DATA(known, const struct cvm_household_member);
    size_t low = 0;
    size_t high = known->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (all[middle].household < member->household) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_household = low < known->count && all[low].household == member->household;
    for (; low < known->count && all[low].household == member->household; low++) {
        if (all[low].key == member->key) {
            return false;
        }
    }
    return is_household;
}

static enum cvm_status find_others(void *state, size_t shard, size_t worker,
                                   const struct cvm_chunk *chunk, struct cvm_error *err)
{
    const struct others *others = state;
    struct cvm_column *found = &others->found[worker];
    size_t before = found->count;
    enum cvm_status status = cvm_household_add(found, others->catalogue, chunk, shard, 0, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_household_member *all = CVM_COLUMN_DATA(found, struct cvm_household_member);
    size_t kept = before;
    for (size_t i = before; i < found->count; i++) {
        if (is_other(others->known, &all[i])) {
            all[kept] = all[i];
            all[kept++].shard = CVM_HOUSEHOLD_ABSENT;
        }
    }
    found->count = kept;
    return CVM_OK;
}

/* ---- where the others are ---- */

/* What a part holds, ascending household; parts come from this machine's own store. */
struct resident {
    double household;
    uint64_t key;
};

static size_t part_of(double household)
{
    uint64_t bits;
    memcpy(&bits, &household, sizeof(bits));
    return (size_t)(cvm_hash_mix(bits, 0) % CVM_HOUSEHOLD_PARTS);
}

static struct resident resident_at(const unsigned char *body, size_t index)
{
    struct resident resident;
    memcpy(&resident, body + index * sizeof(resident), sizeof(resident));
    return resident;
}

/* A shard of one for everybody in the part who lives in this household. */
static enum cvm_status find_residents(double household, const unsigned char *body, size_t count,
                                      struct cvm_column *shards, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (resident_at(body, middle).household < household) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; status == CVM_OK && low < count; low++) {
        struct resident resident = resident_at(body, low);
        void *slot = NULL;
        if (resident.household != household) {
            break;
        }
        status = cvm_column_extend(shards, 1, &slot, err);
        if (status == CVM_OK) {
            *(struct cvm_shard *)slot = (struct cvm_shard){resident.key, resident.key};
        }
    }
    return status;
}

/* Everybody who lived in one of the known households when a run last saw the whole base.
 * CVM_E_NOT_FOUND when none has. */
static enum cvm_status look_up_residents(const struct cvm_column *known, struct cvm_store *store,
                                         struct cvm_arena *arena, struct cvm_column *shards,
                                         struct cvm_error *err)
{
    const struct cvm_household_member *all =
        CVM_COLUMN_DATA(known, const struct cvm_household_member);
    enum cvm_status status = CVM_OK;
    for (size_t part = 0; status == CVM_OK && part < CVM_HOUSEHOLD_PARTS; part++) {
        const void *body = NULL;
        size_t length = 0;
        for (size_t i = 0; status == CVM_OK && i < known->count; i++) {
            bool is_again = i > 0 && all[i].household == all[i - 1].household;
            if (is_again || part_of(all[i].household) != part) {
                continue;
            }
            if (body == NULL) {
                status = cvm_household_part_get(store, arena, part, &body, &length, err);
            }
            if (status == CVM_OK) {
                status = find_residents(all[i].household, body, length / sizeof(struct resident),
                                        shards, err);
            }
        }
        cvm_arena_reset(arena);
    }
    return status;
}

static enum cvm_status add_pending(struct others *others, struct cvm_engine *engine,
                                   const struct cvm_shard *residents, size_t count,
                                   struct cvm_error *err)
{
    const struct cvm_household_member *known =
        CVM_COLUMN_DATA(others->known, const struct cvm_household_member);
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        bool is_known = false;
        for (size_t k = 0; k < others->known->count; k++) {
            is_known = is_known || known[k].key == residents[i].first_key;
        }
        if (!is_known) {
            status =
                cvm_pending_add_customer(others->pending, engine->readers[0], engine->catalogue,
                                         others->as_of_day, residents[i].first_key, err);
        }
    }
    return status;
}

/* Looked up where a run has stored who lives where; else the whole base is gone through. */
static enum cvm_status scan_others(struct others *others, struct cvm_engine *engine,
                                   const struct cvm_feature_program *program, struct cvm_error *err)
{
    struct cvm_arena *arena = cvm_arena_create((size_t)256 << 20);
    struct cvm_scan_request scan = {.program = program, .on_chunk = find_others, .state = others};
    struct cvm_column residents;
    struct cvm_shard *shards = NULL;
    if (arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for households");
    }
    cvm_column_init(&residents, sizeof(struct cvm_shard));
    enum cvm_status status =
        look_up_residents(others->known, engine->readers[0], arena, &residents, err);
    if (status == CVM_OK) {
        shards = CVM_COLUMN_DATA(&residents, struct cvm_shard);
        scan.shard_count = residents.count;
        if (others->pending != NULL) {
            status = add_pending(others, engine, shards, residents.count, err);
        }
    } else if (status == CVM_E_NOT_FOUND) {
        status = cvm_engine_shards(engine, arena, &shards, &scan.shard_count, err);
        if (status == CVM_OK && others->pending != NULL) {
            cvm_pending_finish(others->pending);
            cvm_pending_init(others->pending);
            status = cvm_pending_load(others->pending, engine->readers[0], engine->catalogue,
                                      others->as_of_day, NULL, err);
        }
    }
    scan.shards = shards;
    if (status == CVM_OK && scan.shard_count > 0) {
        status = cvm_engine_scan(engine, &scan, err);
    }
    cvm_column_finish(&residents);
    cvm_arena_destroy(arena);
    return status;
}

enum cvm_status cvm_household_store(const struct cvm_column *members, struct cvm_store *store,
                                    struct cvm_error *err)
{
    const struct cvm_household_member *all =
        CVM_COLUMN_DATA(members, const struct cvm_household_member);
    struct cvm_text parts[CVM_HOUSEHOLD_PARTS];
    enum cvm_status status = CVM_OK;
    for (size_t part = 0; part < CVM_HOUSEHOLD_PARTS; part++) {
        cvm_text_init(&parts[part], 0);
    }
    for (size_t i = 0; i < members->count; i++) {
        struct resident resident = {all[i].household, all[i].key};
        cvm_text_add_bytes(&parts[part_of(resident.household)], &resident, sizeof(resident));
    }
    for (size_t part = 0; part < CVM_HOUSEHOLD_PARTS; part++) {
        if (status == CVM_OK && parts[part].failed) {
            status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for households");
        }
        if (status == CVM_OK) {
            status = cvm_household_part_put(store, part, parts[part].data, parts[part].length, err);
        }
        cvm_text_finish(&parts[part]);
    }
    return status;
}

enum cvm_status cvm_household_add_others(struct cvm_column *members, struct cvm_engine *engine,
                                         struct cvm_feature_window window,
                                         struct cvm_pending *pending, struct cvm_error *err)
{
    const struct cvm_contact_policy *policy = &engine->catalogue->policy;
    struct cvm_feature_set needed = {0};
    struct cvm_feature_program *program = NULL;
    struct others others = {.catalogue = engine->catalogue,
                            .known = members,
                            .pending = pending,
                            .as_of_day = window.as_of_day};
    if (members->count == 0) {
        return CVM_OK;
    }
    cvm_feature_set_add(&needed, engine->catalogue, (size_t)policy->household_feature);
    for (size_t l = 0; l < policy->household_count; l++) {
        cvm_feature_set_add(&needed, engine->catalogue, (size_t)policy->household[l].count_feature);
    }
    window.needed = &needed;
    cvm_household_sort(members);
    others.found = calloc(engine->worker_count, sizeof(*others.found));
    if (others.found == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for households");
    }
    for (size_t i = 0; i < engine->worker_count; i++) {
        cvm_household_init(&others.found[i]);
    }
    enum cvm_status status = cvm_feature_program_create(engine->catalogue, window, &program, err);
    if (status == CVM_OK) {
        status = scan_others(&others, engine, program, err);
    }
    for (size_t i = 0; i < engine->worker_count; i++) {
        if (status == CVM_OK) {
            status = cvm_household_join(members, &others.found[i], err);
        }
        cvm_column_finish(&others.found[i]);
    }
    free(others.found);
    cvm_feature_program_destroy(program);
    return status;
}

/* ---- applying ---- */

uint64_t cvm_household_governed(const struct cvm_catalogue *catalogue,
                                const struct cvm_household_limit *limit)
{
    uint64_t governed = 0;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        bool is_contact = treatment->channel <= CVM_CHANNEL_ANY;
        bool has_purpose =
            limit->purpose == CVM_PURPOSE_UNSET || limit->purpose == treatment->purpose;
        governed |= is_contact && has_purpose ? UINT64_C(1) << t : 0;
    }
    return governed;
}

/* What the best governed contact is worth; not above 0 (unless it was asked for) = no candidate. */
static float best_value(const struct cvm_household_rule *limit,
                        const struct cvm_household_member *member)
{
    const struct cvm_shard_values *shard = &limit->shards[member->shard];
    const float *values = shard->values.data;
    const unsigned char *reasons = shard->reasons.data;
    float best = CVM_VALUE_INELIGIBLE;
    for (uint64_t left = limit->governed; left != 0; left &= left - 1) {
        size_t t = (size_t)__builtin_ctzll(left);
        size_t at = cvm_values_at(shard->treatment_count, member->customer, t);
        bool is_wanted = reasons[at] == CVM_REASON_PERMITTED &&
                         (values[at] > 0 || limit->forced_treatment == (int)t);
        best = is_wanted && values[at] > best ? values[at] : best;
    }
    return best;
}

static void refuse(const struct cvm_household_rule *limit,
                   const struct cvm_household_member *member)
{
    struct cvm_shard_values *shard = &limit->shards[member->shard];
    float *values = shard->values.data;
    unsigned char *reasons = shard->reasons.data;
    for (uint64_t left = limit->governed; left != 0; left &= left - 1) {
        size_t at =
            cvm_values_at(shard->treatment_count, member->customer, (size_t)__builtin_ctzll(left));
        if (reasons[at] == CVM_REASON_PERMITTED) {
            values[at] = CVM_VALUE_INELIGIBLE;
            reasons[at] = CVM_REASON_HOUSEHOLD;
        }
    }
}

/* The members of one household: the best stay, ties by key (which is their order), the others are
 * refused. Households are small, so each round looks for the best of the rest. */
void cvm_household_limit(const struct cvm_household_rule *limit,
                         struct cvm_household_member *members, size_t count)
{
    int64_t allowance = limit->max;
    for (size_t i = 0; i < count; i++) {
        allowance -= members[i].contacts[limit->index];
    }
    size_t kept = 0;
    for (; (int64_t)kept < allowance && kept < count; kept++) {
        size_t best = count;
        float best_seen = CVM_VALUE_INELIGIBLE;
        for (size_t i = kept; i < count; i++) {
            float value = members[i].shard == CVM_HOUSEHOLD_ABSENT ? CVM_VALUE_INELIGIBLE
                                                                   : best_value(limit, &members[i]);
            bool is_better = value > best_seen ||
                             (best < count && value == best_seen && value > CVM_VALUE_INELIGIBLE &&
                              members[i].key < members[best].key);
            best = is_better ? i : best;
            best_seen = is_better ? value : best_seen;
        }
        if (best == count) {
            return; /* nobody else would be contacted: the limit takes nothing from anyone */
        }
        struct cvm_household_member chosen = members[best];
        members[best] = members[kept];
        members[kept] = chosen;
    }
    for (size_t i = kept; i < count; i++) {
        if (members[i].shard != CVM_HOUSEHOLD_ABSENT) {
            refuse(limit, &members[i]);
        }
    }
}

size_t cvm_household_end(const struct cvm_column *members, size_t first)
{
    const struct cvm_household_member *all =
        CVM_COLUMN_DATA(members, const struct cvm_household_member);
    size_t end = first;
    while (end < members->count && all[end].household == all[first].household) {
        end++;
    }
    return end;
}

struct cvm_household_rule cvm_household_rule_of(const struct cvm_catalogue *catalogue, size_t index,
                                                int forced_treatment,
                                                struct cvm_shard_values *shards)
{
    const struct cvm_household_limit *from = &catalogue->policy.household[index];
    return (struct cvm_household_rule){
        .index = index,
        .max = from->max,
        .governed = cvm_household_governed(catalogue, from),
        .forced_treatment = forced_treatment,
        .shards = shards,
    };
}

void cvm_household_limit_all(const struct cvm_household_rule *rule, struct cvm_column *members)
{
    struct cvm_household_member *all = CVM_COLUMN_DATA(members, struct cvm_household_member);
    size_t end = 0;
    for (size_t first = 0; first < members->count; first = end) {
        end = cvm_household_end(members, first);
        cvm_household_limit(rule, all + first, end - first);
    }
}

void cvm_household_apply(struct cvm_column *members, const struct cvm_catalogue *catalogue,
                         int forced_treatment, struct cvm_shard_values *shards)
{
    cvm_household_sort(members);
    for (size_t l = 0; l < catalogue->policy.household_count; l++) {
        struct cvm_household_rule rule =
            cvm_household_rule_of(catalogue, l, forced_treatment, shards);
        cvm_household_limit_all(&rule, members);
    }
}

bool cvm_household_has_candidates(const struct cvm_column *members,
                                  const struct cvm_catalogue *catalogue, int forced_treatment,
                                  struct cvm_shard_values *shards)
{
    const struct cvm_household_member *all =
        CVM_COLUMN_DATA(members, const struct cvm_household_member);
    for (size_t l = 0; l < catalogue->policy.household_count; l++) {
        struct cvm_household_rule limit =
            cvm_household_rule_of(catalogue, l, forced_treatment, shards);
        for (size_t i = 0; i < members->count; i++) {
            if (best_value(&limit, &all[i]) > CVM_VALUE_INELIGIBLE) {
                return true;
            }
        }
    }
    return false;
}
