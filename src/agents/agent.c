#include "agents/agent.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const struct cvm_agent_kind *const cvm_agent_kinds[] = {
    &cvm_agent_data,
    &cvm_agent_trigger,
    &cvm_agent_journey,
    &cvm_agent_treatment,
    &cvm_agent_allocation,
    &cvm_agent_evaluation,
    NULL,
};

const struct cvm_agent_kind *cvm_agent_kind_find_in(const struct cvm_agent_kind *const *kinds,
                                                    const char *queue)
{
    size_t length = strcspn(queue, ".");
    for (size_t i = 0; kinds[i] != NULL; i++) {
        const char *name = kinds[i]->name;
        if (strlen(name) == length && strncmp(name, queue, length) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

const struct cvm_agent_kind *cvm_agent_kind_find(const char *queue)
{
    return cvm_agent_kind_find_in(cvm_agent_kinds, queue);
}

bool cvm_agent_kind_serves(const struct cvm_agent_kind *kind, enum cvm_message_type type)
{
    bool serves = false;
    for (const enum cvm_message_type *one = kind->serves; *one != CVM_MESSAGE_NONE; one++) {
        serves |= *one == type;
    }
    return serves;
}

/* ---- the writer ---- */

struct cvm_agent_writer {
    pthread_mutex_t lock;
    struct cvm_store *store;
};

struct cvm_agent_writer *cvm_agent_writer_create(struct cvm_store *store)
{
    struct cvm_agent_writer *writer = calloc(1, sizeof(*writer));
    if (writer != NULL) {
        (void)pthread_mutex_init(&writer->lock, NULL); /* on Linux this only fills it */
        writer->store = store;
    }
    return writer;
}

void cvm_agent_writer_destroy(struct cvm_agent_writer *writer)
{
    if (writer != NULL) {
        (void)pthread_mutex_destroy(&writer->lock);
        free(writer);
    }
}

struct cvm_store *cvm_agent_writer_lock(struct cvm_agent_writer *writer)
{
    (void)pthread_mutex_lock(&writer->lock);
    return writer->store;
}

void cvm_agent_writer_unlock(struct cvm_agent_writer *writer)
{
    (void)pthread_mutex_unlock(&writer->lock);
}

enum cvm_status cvm_turn_go_long(const struct cvm_turn *turn, struct cvm_error *err)
{
    return turn->go_long == NULL ? CVM_OK : turn->go_long(turn->go_long_state, err);
}

/* ---- payloads ---- */

const struct cvm_json_value *cvm_turn_input(const struct cvm_turn *turn, const char *name)
{
    const struct cvm_json_value *input = cvm_json_member(turn->payload, "input");
    return cvm_json_member(input != NULL ? input : turn->payload, name);
}

const struct cvm_json_value *cvm_turn_need(const struct cvm_turn *turn, const char *step,
                                           const char *name)
{
    const struct cvm_json_value *needs = cvm_json_member(turn->payload, "needs");
    const struct cvm_json_value *output = needs == NULL ? NULL : cvm_json_member(needs, step);
    return output == NULL ? NULL : cvm_json_member(output, name);
}

const char *cvm_turn_text(const struct cvm_turn *turn, const struct cvm_json_value *value)
{
    return value == NULL || value->type != CVM_JSON_STRING
               ? NULL
               : cvm_arena_copy(turn->arena, value->string.data, value->string.length);
}

enum cvm_status cvm_turn_must_text(const struct cvm_turn *turn, const char *name,
                                   const char **out_text, struct cvm_error *err)
{
    *out_text = cvm_turn_text(turn, cvm_turn_input(turn, name));
    return *out_text != NULL ? CVM_OK
                             : CVM_FAIL(err, CVM_E_INVALID, "the message has no text '%s'", name);
}
