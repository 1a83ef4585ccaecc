#include "agents/registry.h"

#include <string.h>

#include "base/arena.h"
#include "base/json_reader.h"
#include "base/json_writer.h"
#include "storage/state.h"

#define GROUP           "agents"
#define ARENA_BYTES_MAX ((size_t)1 << 16)

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

/* ---- finding ---- */

struct search {
    const char *queue;
    struct cvm_json_reader *reader;
    struct cvm_arena *arena;
    struct cvm_registry_found found;
};

static bool is_text(const struct cvm_json_value *value, const char *text)
{
    return value != NULL && value->type == CVM_JSON_STRING &&
           value->string.length == strlen(text) &&
           memcmp(value->string.data, text, value->string.length) == 0;
}

/* Another version may say it otherwise: then it is unknown what it serves. */
static enum cvm_status look_at_member(void *state, const char *member, const char *value,
                                      struct cvm_error *err)
{
    struct search *search = state;
    const struct cvm_json_value *process = NULL;
    struct cvm_error own;
    (void)member;
    (void)err;
    cvm_arena_reset(search->arena);
    enum cvm_status status =
        cvm_json_read(search->reader, search->arena, value, strlen(value), false, &process, &own);
    const struct cvm_json_value *queues =
        status == CVM_OK ? cvm_json_member(process, "workers") : NULL;
    if (queues == NULL || queues->type != CVM_JSON_OBJECT) {
        search->found.unknown++;
        return CVM_OK;
    }
    const struct cvm_json_value *workers = cvm_json_member(queues, search->queue);
    if (workers != NULL) {
        bool is_draining = is_text(cvm_json_member(process, "state"), "draining");
        search->found.processes += is_draining ? 0 : 1;
        search->found.draining += is_draining ? 1 : 0;
        search->found.workers += workers->type == CVM_JSON_INT ? workers->integer : 0;
    }
    return CVM_OK;
}

enum cvm_status cvm_registry_find(struct cvm_state *state, const struct cvm_context *context,
                                  const char *queue, struct cvm_registry_found *out_found,
                                  struct cvm_error *err)
{
    struct search search = {
        .queue = queue,
        .reader = cvm_json_reader_create(CVM_STATE_VALUE_MAX),
        .arena = cvm_arena_create(ARENA_BYTES_MAX),
    };
    enum cvm_status status =
        search.reader == NULL || search.arena == NULL
            ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a look at who is there")
            : cvm_state_members(state, context, GROUP, look_at_member, &search, err);
    cvm_arena_destroy(search.arena);
    cvm_json_reader_destroy(search.reader);
    if (status == CVM_OK) {
        *out_found = search.found;
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
