#include "agents/registry.h"

#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "base/json_reader.h"
#include "base/json_writer.h"
#include "storage/state.h"

#define GROUP           "agents"
#define ARENA_BYTES_MAX ((size_t)16 << 20)

/* ---- saying ---- */

static void write_process(const struct cvm_registry_process *process, bool with_queues,
                          struct cvm_text *value)
{
    struct cvm_json_writer json;
    cvm_text_clear(value);
    cvm_json_init(&json, value, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "version", process->version);
    cvm_json_key_int(&json, "incarnation", process->incarnation);
    cvm_json_key_int(&json, "beat_ms", process->beat_ms);
    cvm_json_key_string(&json, "state", process->is_draining ? "draining" : "ready");
    cvm_json_key_int(&json, "in_flight", process->in_flight);
    if (with_queues) {
        cvm_json_key(&json, "workers");
        cvm_json_object(&json);
        for (size_t i = 0; i < process->serves_count; i++) {
            cvm_json_key_int(&json, process->serves[i].queue, process->serves[i].workers);
        }
        cvm_json_object_end(&json);
    }
    cvm_json_object_end(&json);
}

/* One that serves more than there is room to say is still there: nobody then takes its queues for
 * unserved. */
enum cvm_status cvm_registry_say(struct cvm_state *state, const struct cvm_context *context,
                                 const struct cvm_registry_process *process, struct cvm_error *err)
{
    struct cvm_text value;
    cvm_text_init(&value, CVM_STATE_VALUE_MAX);
    write_process(process, true, &value);
    if (value.failed) {
        write_process(process, false, &value);
    }
    struct cvm_state_member member = {
        .group = GROUP,
        .member = process->name,
        .value = cvm_text_string(&value),
        .ttl_ms = CVM_HEARTBEAT_LIFE_MS,
    };
    enum cvm_status status = value.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a heartbeat")
                                          : cvm_state_announce(state, context, &member, err);
    cvm_text_finish(&value);
    return status;
}

enum cvm_status cvm_registry_leave(struct cvm_state *state, const struct cvm_context *context,
                                   const char *name, struct cvm_error *err)
{
    struct cvm_state_member member = {
        .group = GROUP, .member = name, .ttl_ms = CVM_HEARTBEAT_LIFE_MS};
    return cvm_state_leave(state, context, &member, err);
}

/* ---- who is there ---- */

struct reading {
    struct cvm_json_reader *json;
    struct cvm_arena *arena;
    struct cvm_column *processes; /* struct cvm_registry_process */
};

static const char *text_of(const struct reading *reading, const struct cvm_json_value *object,
                           const char *name)
{
    const struct cvm_json_value *value = cvm_json_member(object, name);
    return value != NULL && value->type == CVM_JSON_STRING
               ? cvm_arena_copy(reading->arena, value->string.data, value->string.length)
               : "";
}

static int64_t number_of(const struct cvm_json_value *object, const char *name)
{
    const struct cvm_json_value *value = cvm_json_member(object, name);
    return value != NULL && value->type == CVM_JSON_INT ? value->integer : 0;
}

/* False when out of memory. */
static bool read_queues(const struct reading *reading, const struct cvm_json_value *queues,
                        struct cvm_registry_process *process)
{
    process->is_unknown = queues == NULL || queues->type != CVM_JSON_OBJECT;
    const struct cvm_json_value *one = process->is_unknown ? NULL : queues->first_child;
    for (; one != NULL && process->serves_count < CVM_REGISTRY_QUEUES_MAX; one = one->next) {
        const char *queue = cvm_arena_copy(reading->arena, one->key.data, one->key.length);
        if (queue == NULL) {
            return false;
        }
        process->serves[process->serves_count].queue = queue;
        process->serves[process->serves_count++].workers =
            one->type == CVM_JSON_INT ? one->integer : 0;
    }
    return true;
}

/* Another version may say less, or more. */
static enum cvm_status read_process(void *state, const char *member, const char *value,
                                    struct cvm_error *err)
{
    const struct reading *reading = state;
    const struct cvm_json_value *said = NULL;
    void *room = NULL;
    (void)!cvm_json_read(reading->json, reading->arena, value, strlen(value), false, &said, NULL);
    const char *how = text_of(reading, said, "state");
    struct cvm_registry_process process = {
        .name = cvm_arena_string(reading->arena, member),
        .version = text_of(reading, said, "version"),
        .incarnation = number_of(said, "incarnation"),
        .beat_ms = number_of(said, "beat_ms"),
        .is_draining = how != NULL && strcmp(how, "draining") == 0,
        .in_flight = number_of(said, "in_flight"),
    };
    if (!read_queues(reading, cvm_json_member(said, "workers"), &process) || how == NULL ||
        process.name == NULL || process.version == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the list of agents");
    }
    enum cvm_status status = cvm_column_extend(reading->processes, 1, &room, err);
    if (status == CVM_OK) {
        *(struct cvm_registry_process *)room = process;
    }
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct cvm_registry_process *)a)->name,
                  ((const struct cvm_registry_process *)b)->name);
}

enum cvm_status cvm_registry_read(struct cvm_state *state, const struct cvm_context *context,
                                  struct cvm_arena *arena, struct cvm_registry *out_registry,
                                  struct cvm_error *err)
{
    struct cvm_column processes;
    cvm_column_init(&processes, sizeof(struct cvm_registry_process));
    struct reading reading = {cvm_json_reader_create(CVM_STATE_VALUE_MAX + 1), arena, &processes};
    enum cvm_status status =
        reading.json == NULL
            ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the list of agents")
            : cvm_state_members(state, context, GROUP, read_process, &reading, err);
    struct cvm_registry_process *items = NULL;
    if (status == CVM_OK) {
        items = CVM_NEW_ARRAY(arena, processes.count + 1, struct cvm_registry_process);
        status =
            items != NULL ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for the list of agents");
    }
    if (status == CVM_OK) {
        if (processes.count > 0) {
            memcpy(items, processes.buffer.data, processes.count * sizeof(*items));
            qsort(items, processes.count, sizeof(*items), compare_names);
        }
        *out_registry = (struct cvm_registry){items, processes.count};
    }
    cvm_column_finish(&processes);
    cvm_json_reader_destroy(reading.json);
    return status;
}

/* ---- who serves ---- */

static void count_process(const struct cvm_registry_process *process, const char *queue,
                          struct cvm_registry_found *found)
{
    found->unknown += process->is_unknown;
    for (size_t i = 0; i < process->serves_count; i++) {
        if (strcmp(process->serves[i].queue, queue) == 0) {
            found->processes += !process->is_draining;
            found->draining += process->is_draining;
            found->workers += process->serves[i].workers;
        }
    }
}

enum cvm_status cvm_registry_find(struct cvm_state *state, const struct cvm_context *context,
                                  const char *queue, struct cvm_registry_found *out_found,
                                  struct cvm_error *err)
{
    struct cvm_registry registry;
    struct cvm_registry_found found = {0};
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES_MAX);
    enum cvm_status status =
        arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a look at who is there")
                      : cvm_registry_read(state, context, arena, &registry, err);
    for (size_t i = 0; status == CVM_OK && i < registry.count; i++) {
        count_process(&registry.items[i], queue, &found);
    }
    cvm_arena_destroy(arena);
    if (status == CVM_OK) {
        *out_found = found;
    }
    return status;
}

static bool is_whole(struct cvm_state *state, const struct cvm_context *context)
{
    int64_t age_ms = 0;
    return cvm_state_group_age(state, context, GROUP, &age_ms, NULL) == CVM_OK &&
           age_ms >= CVM_REGISTRY_WHOLE_MS;
}

/* Who ends its last turns may be at the very one. */
bool cvm_registry_is_unserved(struct cvm_state *state, const struct cvm_context *context,
                              const char *queue, struct cvm_absence *absence)
{
    struct cvm_registry_found found;
    double now_s = cvm_context_seconds(context);
    if (state == NULL || cvm_registry_find(state, context, queue, &found, NULL) != CVM_OK ||
        found.processes + found.draining + found.unknown > 0) {
        absence->is_absent = false;
        return false;
    }
    absence->since_s = absence->is_absent ? absence->since_s : now_s;
    absence->is_absent = true;
    double absent_ms = (now_s - absence->since_s) * 1000;
    return absent_ms >= CVM_REGISTRY_WHOLE_MS ||
           (absent_ms >= CVM_ABSENCE_MS && is_whole(state, context));
}

bool cvm_registry_is_better_served(struct cvm_state *state, const struct cvm_context *context,
                                   const char *instead, const char *queue)
{
    struct cvm_registry_found named;
    struct cvm_registry_found other;
    return state != NULL && cvm_registry_find(state, context, queue, &named, NULL) == CVM_OK &&
           named.processes + named.unknown == 0 &&
           cvm_registry_find(state, context, instead, &other, NULL) == CVM_OK &&
           other.processes > 0 && is_whole(state, context);
}
