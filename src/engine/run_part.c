/* A part of a run on its way from who values it to who decides: the object itself within one
 * process, bytes between two. */
#include <stdlib.h>
#include <string.h>

#include "engine/run_scan.h"

#define PART_VERSION 1

struct cvm_run_part {
    size_t first_shard;
    size_t shard_count;
    struct cvm_shard_values *values; /* per shard */
    struct cvm_column households;    /* struct cvm_household_member */
    struct cvm_run_seconds seconds;  /* that it took; 0 after a way as bytes */
};

/* Named customers are a shard each, and all of them one part. */
size_t cvm_run_part_count(const struct cvm_run_job *job)
{
    return job->request->customers != NULL ? 1 : job->memory->shard_count;
}

size_t cvm_run_part_customers(const struct cvm_run_part *part)
{
    size_t customers = 0;
    for (size_t s = 0; s < part->shard_count; s++) {
        customers += part->values[s].count;
    }
    return customers;
}

static enum cvm_status create(size_t first_shard, size_t shard_count,
                              struct cvm_run_part **out_part, struct cvm_error *err)
{
    struct cvm_run_part *part = calloc(1, sizeof(*part));
    if (part != NULL) {
        part->first_shard = first_shard;
        part->values = calloc(shard_count + 1, sizeof(*part->values));
        cvm_household_init(&part->households);
    }
    if (part == NULL || part->values == NULL) {
        free(part);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a part of a run");
    }
    *out_part = part;
    return CVM_OK;
}

void cvm_run_part_destroy(struct cvm_run_part *part)
{
    if (part != NULL) {
        for (size_t s = 0; s < part->shard_count; s++) {
            cvm_shard_values_finish(&part->values[s]);
        }
        cvm_column_finish(&part->households);
        free(part->values);
        free(part);
    }
}

/* ---- making one ---- */

/* The data that the run began with, before and after the scan: an import in between would be seen
 * by some parts and not by others. */
static enum cvm_status check_journeys(const struct cvm_run_job *job, struct cvm_store *reader,
                                      uint64_t *version, struct cvm_error *err)
{
    int64_t batch = 0;
    uint64_t now = 0;
    enum cvm_status status = cvm_packed_version(reader, &now, err);
    if (status == CVM_OK) {
        status = cvm_batch_last(reader, &batch, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (batch != job->engine->last_batch || (*version != 0 && *version != now)) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "the journeys changed while run %s read them",
                          job->result->run_id);
        return cvm_error_hint(err, status, "It has to begin again.");
    }
    *version = now;
    return CVM_OK;
}

static enum cvm_status scan_part(struct cvm_run_job *job, struct cvm_engine *engine,
                                 struct cvm_run_part *part, struct cvm_error *err)
{
    struct cvm_store *reader = engine->readers[0];
    uint64_t version = 0;
    struct cvm_run_scan scan = {
        .engine = engine,
        .first_shard = part->first_shard,
        .shard_count = part->shard_count,
        .values = part->values,
    };
    enum cvm_status status = check_journeys(job, reader, &version, err);
    if (status == CVM_OK && cvm_household_is_on(job->catalogue)) {
        scan.households = calloc(engine->worker_count, sizeof(*scan.households));
        if (scan.households == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for households");
        }
        for (size_t i = 0; i < engine->worker_count; i++) {
            cvm_household_init(&scan.households[i]);
        }
    }
    if (status == CVM_OK) {
        status = cvm_run_scan_shards(job, &scan, &part->seconds, err);
    }
    if (scan.households != NULL) {
        part->households = scan.households[0];
        for (size_t i = 1; i < engine->worker_count; i++) {
            cvm_column_finish(&scan.households[i]);
        }
        free(scan.households);
    }
    return status == CVM_OK ? check_journeys(job, reader, &version, err) : status;
}

enum cvm_status cvm_run_value(struct cvm_run_job *job, struct cvm_engine *engine,
                              size_t part_number, struct cvm_run_part **out_part,
                              struct cvm_error *err)
{
    bool is_named = job->request->customers != NULL;
    size_t count = is_named ? job->memory->shard_count : 1;
    struct cvm_run_part *part = NULL;
    enum cvm_status status = create(is_named ? 0 : part_number, count, &part, err);
    if (status != CVM_OK) {
        return status;
    }
    for (; part->shard_count < count; part->shard_count++) {
        cvm_run_init_values(job, &part->values[part->shard_count]);
    }
    status = scan_part(job, engine, part, err);
    if (status != CVM_OK) {
        cvm_run_part_destroy(part);
        return status;
    }
    *out_part = part;
    return CVM_OK;
}

/* ---- as bytes ---- */

/* In front of the part, and of each shard in it; of this machine's byte order, like the columns. */
struct part_head {
    char magic[4]; /* "CVMP" */
    uint32_t version;
    uint32_t first_shard;
    uint32_t shard_count;
    uint64_t households;
};
struct shard_head {
    uint64_t block_bytes;
    uint64_t dated_events;
};

static enum cvm_status encode_shard(const struct cvm_shard_values *values, struct cvm_text *block,
                                    struct cvm_text *out, struct cvm_error *err)
{
    enum cvm_status status = cvm_shard_values_encode(values, block, err);
    const struct shard_head head = {block->length, values->dated_events};
    if (status == CVM_OK) {
        cvm_text_add_bytes(out, (const char *)&head, sizeof(head));
        cvm_text_add_bytes(out, block->data, block->length);
        cvm_text_add_bytes(out, values->facts.data,
                           values->count * sizeof(struct cvm_contact_facts));
        cvm_text_add_bytes(out, values->strata.data, values->count * sizeof(uint16_t));
    }
    return status;
}

enum cvm_status cvm_run_part_encode(const struct cvm_run_part *part, struct cvm_text *out,
                                    struct cvm_error *err)
{
    struct part_head head = {
        .magic = {'C', 'V', 'M', 'P'},
        .version = PART_VERSION,
        .first_shard = (uint32_t)part->first_shard,
        .shard_count = (uint32_t)part->shard_count,
        .households = part->households.count,
    };
    struct cvm_text block;
    enum cvm_status status = CVM_OK;
    cvm_text_init(&block, 0);
    cvm_text_clear(out);
    cvm_text_add_bytes(out, (const char *)&head, sizeof(head));
    for (size_t s = 0; status == CVM_OK && s < part->shard_count; s++) {
        status = encode_shard(&part->values[s], &block, out, err);
    }
    cvm_text_finish(&block);
    cvm_text_add_bytes(out, part->households.buffer.data,
                       part->households.count * sizeof(struct cvm_household_member));
    if (status == CVM_OK && out->failed) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a part of a run");
    }
    return status;
}

struct bytes {
    const unsigned char *at;
    size_t left;
};

static const void *take_bytes(struct bytes *bytes, size_t length)
{
    const void *taken = bytes->at;
    if (length > bytes->left) {
        bytes->left = 0;
        return NULL;
    }
    bytes->at += length;
    bytes->left -= length;
    return taken;
}

static enum cvm_status corrupt(struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_CORRUPT, "a stored part of a run is damaged");
}

static enum cvm_status decode_shard(struct bytes *bytes, struct cvm_shard_values *values,
                                    struct cvm_error *err)
{
    struct shard_head head = {0};
    struct cvm_values_view view;
    const void *at = take_bytes(bytes, sizeof(head));
    if (at != NULL) {
        memcpy(&head, at, sizeof(head));
        at = take_bytes(bytes, head.block_bytes);
    }
    if (at == NULL) {
        return corrupt(err);
    }
    enum cvm_status status = cvm_values_open(at, head.block_bytes, &view, err);
    if (status != CVM_OK) {
        return status;
    }
    const void *facts = take_bytes(bytes, view.count * sizeof(struct cvm_contact_facts));
    const void *strata = take_bytes(bytes, view.count * sizeof(uint16_t));
    if (facts == NULL || strata == NULL) {
        return corrupt(err);
    }
    status = cvm_shard_values_copy(values, &view, err);
    if (status == CVM_OK && view.count > 0) {
        memcpy(values->facts.data, facts, view.count * sizeof(struct cvm_contact_facts));
        memcpy(values->strata.data, strata, view.count * sizeof(uint16_t));
        values->dated_events = head.dated_events;
    }
    return status;
}

/* Which customer of which shard: what others index with. */
static bool is_inside(const struct cvm_run_part *part, const struct cvm_household_member *member)
{
    size_t shard = member->shard - part->first_shard;
    return shard < part->shard_count && member->customer < part->values[shard].count;
}

static enum cvm_status decode_households(struct bytes *bytes, size_t count,
                                         struct cvm_run_part *part, struct cvm_error *err)
{
    size_t length = count * sizeof(struct cvm_household_member);
    void *slot = NULL;
    if (bytes->left != length || count > SIZE_MAX / sizeof(struct cvm_household_member)) {
        return corrupt(err);
    }
    if (count == 0) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(&part->households, count, &slot, err);
    if (status != CVM_OK) {
        return status;
    }
    memcpy(slot, bytes->at, length);
    for (size_t i = 0; i < count; i++) {
        if (!is_inside(part, (const struct cvm_household_member *)slot + i)) {
            return corrupt(err);
        }
    }
    return CVM_OK;
}

enum cvm_status cvm_run_part_decode(const void *data, size_t length, struct cvm_run_part **out_part,
                                    struct cvm_error *err)
{
    struct bytes bytes = {data, length};
    struct part_head head = {.version = 0};
    struct cvm_run_part *part = NULL;
    const void *at = take_bytes(&bytes, sizeof(head));
    if (at != NULL) {
        memcpy(&head, at, sizeof(head));
    }
    if (at == NULL || memcmp(head.magic, "CVMP", 4) != 0 || head.version != PART_VERSION ||
        head.shard_count > length / sizeof(struct shard_head)) {
        return corrupt(err);
    }
    enum cvm_status status = create(head.first_shard, head.shard_count, &part, err);
    while (status == CVM_OK && part->shard_count < head.shard_count) {
        cvm_shard_values_init(&part->values[part->shard_count], 0);
        status = decode_shard(&bytes, &part->values[part->shard_count++], err);
    }
    if (status == CVM_OK) {
        status = decode_households(&bytes, head.households, part, err);
    }
    if (status != CVM_OK) {
        cvm_run_part_destroy(part);
        return status;
    }
    *out_part = part;
    return CVM_OK;
}

/* ---- taking it ---- */

/* Ids are no part of the bytes: the store has them by key. */
struct naming {
    struct cvm_shard_values *values;
    size_t named;
    uint64_t last_key;
};

static enum cvm_status take_id(void *state, uint64_t key, const char *customer_id,
                               struct cvm_error *err)
{
    struct naming *naming = state;
    struct cvm_shard_values *values = naming->values;
    naming->last_key = key;
    (void)err;
    if (naming->named < values->count &&
        ((const uint64_t *)values->keys.data)[naming->named] == key) {
        ((uint32_t *)values->id_offsets.data)[naming->named++] = (uint32_t)values->ids.length;
        cvm_text_add_bytes(&values->ids, customer_id, strlen(customer_id) + 1);
    }
    return CVM_OK;
}

static enum cvm_status name_customers(struct cvm_run_job *job, struct cvm_shard_values *values,
                                      struct cvm_error *err)
{
    struct naming naming = {.values = values};
    const uint64_t *keys = values->keys.data;
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && naming.named < values->count) {
        uint64_t from = keys[naming.named] - 1;
        size_t before = naming.named;
        naming.last_key = from;
        status = cvm_customer_list(job->store, from, (int64_t)(values->count - naming.named),
                                   take_id, &naming, err);
        if (status == CVM_OK && naming.named == before) {
            return CVM_FAIL(err, CVM_E_CONFLICT, "a customer of run %s is no longer there",
                            job->result->run_id);
        }
    }
    if (status == CVM_OK && values->ids.failed) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for customer ids");
    }
    return status;
}

enum cvm_status cvm_run_take(struct cvm_run_job *job, struct cvm_run_part *part,
                             struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    double threads = (double)job->engine->worker_count;
    enum cvm_status status = CVM_OK;
    if (part->first_shard + part->shard_count > memory->shard_count) {
        status = CVM_FAIL(err, CVM_E_CORRUPT, "run %s has no part %zu", job->result->run_id,
                          part->first_shard);
    }
    for (size_t s = 0; status == CVM_OK && s < part->shard_count; s++) {
        struct cvm_shard_values *values = &part->values[s];
        if (values->count > 0 && values->treatment_count != job->catalogue->treatment_count) {
            status = corrupt(err);
        }
        if (status == CVM_OK && values->count > 0 && values->ids.length == 0) {
            status = name_customers(job, values, err);
        }
    }
    if (status == CVM_OK && memory->households != NULL) {
        status = cvm_household_join(&memory->taken_households, &part->households, err);
    }
    for (size_t s = 0; status == CVM_OK && s < part->shard_count; s++) {
        struct cvm_shard_values *mine = &memory->values[part->first_shard + s];
        struct cvm_shard_values emptied = *mine;
        *mine = part->values[s];
        part->values[s] = emptied;
    }
    job->has_unwritten_blocks = true;
    if (status == CVM_OK) { /* parts were made side by side */
        job->result->seconds.features += part->seconds.features / threads;
        job->result->seconds.values += part->seconds.values / threads;
        cvm_run_part_destroy(part);
    }
    return status;
}
