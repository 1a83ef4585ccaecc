#include "agents/registry.h"

#include <stdlib.h>
#include <string.h>

#include "agents/host.h"
#include "base/columns.h"
#include "base/json_reader.h"
#include "base/json_writer.h"

#define GROUP "agents"

static struct cvm_state_member member_of(const char *name, const char *value)
{
    return (struct cvm_state_member){
        .group = GROUP, .member = name, .value = value, .ttl_ms = CVM_HEARTBEAT_LIFE_MS};
}

static void write_process(const struct cvm_registry_process *process, struct cvm_text *value)
{
    struct cvm_json_writer json;
    cvm_json_init(&json, value, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "version", process->version);
    cvm_json_key_int(&json, "incarnation", process->incarnation);
    cvm_json_key_int(&json, "beat_ms", process->beat_ms);
    cvm_json_key_string(&json, "state", process->is_draining ? "draining" : "ready");
    cvm_json_key_bool(&json, "orchestrates", process->orchestrates);
    cvm_json_key_int(&json, "in_flight", process->in_flight);
    cvm_json_key(&json, "workers");
    cvm_json_object(&json);
    for (size_t p = 0; p < process->pool_count; p++) {
        cvm_json_key_int(&json, process->pools[p].queue, process->pools[p].workers);
    }
    cvm_json_object_end(&json);
    cvm_json_object_end(&json);
}

enum cvm_status cvm_registry_say(struct cvm_state *state, const struct cvm_context *context,
                                 const struct cvm_registry_process *process, struct cvm_error *err)
{
    struct cvm_text value;
    cvm_text_init(&value, CVM_STATE_VALUE_MAX);
    write_process(process, &value);
    if (value.failed) { /* unseen, its queues would pass for unserved */
        const struct cvm_registry_pool more = {CVM_REGISTRY_MORE_QUEUES, 0};
        struct cvm_registry_process shorter = *process;
        shorter.pools = &more;
        shorter.pool_count = 1;
        cvm_text_clear(&value);
        write_process(&shorter, &value);
    }
    const struct cvm_state_member member = member_of(process->name, cvm_text_string(&value));
    enum cvm_status status =
        value.failed
            ? CVM_FAIL(err, CVM_E_LIMIT, "'%s' has too much to say of itself", process->name)
            : cvm_state_announce(state, context, &member, err);
    cvm_text_finish(&value);
    return status;
}

enum cvm_status cvm_registry_leave(struct cvm_state *state, const struct cvm_context *context,
                                   const char *name, struct cvm_error *err)
{
    const struct cvm_state_member member = member_of(name, "");
    return cvm_state_leave(state, context, &member, err);
}

/* ---- reading ---- */

struct reading {
    struct cvm_arena *arena;
    struct cvm_json_reader *json;
    struct cvm_column processes; /* struct cvm_registry_process */
};

static int64_t number_of(const struct cvm_json_value *object, const char *name)
{
    const struct cvm_json_value *value = cvm_json_member(object, name);
    return value != NULL && value->type == CVM_JSON_INT ? value->integer : 0;
}

static const char *text_of(struct reading *reading, const struct cvm_json_value *object,
                           const char *name)
{
    const struct cvm_json_value *value = cvm_json_member(object, name);
    return value != NULL && value->type == CVM_JSON_STRING
               ? cvm_arena_copy(reading->arena, value->string.data, value->string.length)
               : "";
}

static bool read_pools(struct reading *reading, const struct cvm_json_value *workers,
                       struct cvm_registry_process *process)
{
    size_t count = workers == NULL ? 0 : workers->child_count;
    struct cvm_registry_pool *pools =
        CVM_NEW_ARRAY(reading->arena, count + 1, struct cvm_registry_pool);
    const struct cvm_json_value *one = count == 0 ? NULL : workers->first_child;
    for (; pools != NULL && one != NULL; one = one->next) {
        struct cvm_registry_pool *pool = &pools[process->pool_count++];
        pool->queue = cvm_arena_copy(reading->arena, one->key.data, one->key.length);
        pool->workers = one->integer;
        if (pool->queue == NULL) {
            return false;
        }
    }
    process->pools = pools;
    return pools != NULL;
}

/* Another version may say less, or more: what is not known is left empty. */
static enum cvm_status take_member(void *state, const char *member, const char *value,
                                   struct cvm_error *err)
{
    struct reading *reading = state;
    const struct cvm_json_value *said = NULL;
    void *room = NULL;
    (void)!cvm_json_read(reading->json, reading->arena, value, strlen(value), false, &said, NULL);
    const struct cvm_json_value *orchestrates = cvm_json_member(said, "orchestrates");
    struct cvm_registry_process process = {
        .name = cvm_arena_string(reading->arena, member),
        .version = text_of(reading, said, "version"),
        .incarnation = number_of(said, "incarnation"),
        .beat_ms = number_of(said, "beat_ms"),
        .in_flight = number_of(said, "in_flight"),
        .orchestrates = orchestrates != NULL && orchestrates->boolean,
    };
    const char *how = text_of(reading, said, "state");
    bool has_room = read_pools(reading, cvm_json_member(said, "workers"), &process);
    if (!has_room || how == NULL || process.name == NULL || process.version == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the list of agents");
    }
    process.is_draining = strcmp(how, "draining") == 0;
    enum cvm_status status = cvm_column_extend(&reading->processes, 1, &room, err);
    if (status == CVM_OK) {
        *(struct cvm_registry_process *)room = process;
    }
    return status;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct cvm_registry_process *)a)->name,
                  ((const struct cvm_registry_process *)b)->name);
}

static enum cvm_status give(const struct reading *reading, struct cvm_registry *out_registry,
                            struct cvm_error *err)
{
    size_t count = reading->processes.count;
    struct cvm_registry_process *items =
        CVM_NEW_ARRAY(reading->arena, count + 1, struct cvm_registry_process);
    if (items == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the list of agents");
    }
    if (count > 0) {
        memcpy(items, reading->processes.buffer.data, count * sizeof(*items));
        qsort(items, count, sizeof(*items), compare);
    }
    *out_registry = (struct cvm_registry){items, count};
    return CVM_OK;
}

enum cvm_status cvm_registry_read(struct cvm_state *state, const struct cvm_context *context,
                                  struct cvm_arena *arena, struct cvm_registry *out_registry,
                                  struct cvm_error *err)
{
    struct reading reading = {.arena = arena,
                              .json = cvm_json_reader_create(CVM_STATE_VALUE_MAX + 1)};
    cvm_column_init(&reading.processes, sizeof(struct cvm_registry_process));
    enum cvm_status status =
        reading.json == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the list of agents")
                             : cvm_state_members(state, context, GROUP, take_member, &reading, err);
    if (status == CVM_OK) {
        status = give(&reading, out_registry, err);
    }
    cvm_column_finish(&reading.processes);
    cvm_json_reader_destroy(reading.json);
    return status;
}

enum cvm_status cvm_registry_age(struct cvm_state *state, const struct cvm_context *context,
                                 int64_t *out_age_ms, struct cvm_error *err)
{
    return cvm_state_group_age(state, context, GROUP, out_age_ms, err);
}
