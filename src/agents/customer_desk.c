#include "agents/customer_desk.h"

#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "storage/catalogue_store.h"

#define ARENA_BYTES_MAX ((size_t)256 << 20)

struct cvm_customer_desk {
    const struct cvm_agent_site *site;
    const struct cvm_context *context;
    struct cvm_store *reader;
    struct cvm_arena *arena; /* of the engine */
    struct cvm_engine *engine;
};

enum cvm_status cvm_customer_desk_create(const struct cvm_agent_site *site,
                                         const struct cvm_context *context,
                                         struct cvm_customer_desk **out_desk, struct cvm_error *err)
{
    struct cvm_customer_desk *desk = calloc(1, sizeof(*desk));
    if (desk == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an agent");
    }
    desk->site = site;
    desk->context = context;
    *out_desk = desk;
    return CVM_OK;
}

/* With the first question: many workers never get one. */
static enum cvm_status open_reader(struct cvm_customer_desk *desk, struct cvm_error *err)
{
    struct cvm_store_options options = {
        .access = CVM_DB_READ, .clock = desk->context->clock, .privacy = desk->site->privacy};
    return desk->reader != NULL
               ? CVM_OK
               : cvm_store_open(desk->site->store_url, &options, &desk->reader, err);
}

static void close_engine(struct cvm_customer_desk *desk)
{
    cvm_engine_close(desk->engine);
    cvm_arena_destroy(desk->arena);
    desk->engine = NULL;
    desk->arena = NULL;
}

void cvm_customer_desk_destroy(struct cvm_customer_desk *desk)
{
    if (desk != NULL) {
        close_engine(desk);
        cvm_store_close(desk->reader);
        free(desk);
    }
}

static enum cvm_status open_engine(struct cvm_customer_desk *desk, struct cvm_error *err)
{
    struct cvm_engine_options options = {
        .store_url = desk->site->store_url,
        .privacy = desk->site->privacy,
        .context = desk->context,
        .thread_count = 1,
    };
    desk->arena = cvm_arena_create(ARENA_BYTES_MAX);
    if (desk->arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a catalogue");
    }
    enum cvm_status status =
        cvm_catalogue_store_load(desk->reader, desk->arena, 0, &options.catalogue, err);
    return status == CVM_OK ? cvm_engine_open(&options, &desk->engine, err) : status;
}

enum cvm_status cvm_customer_desk_engine(struct cvm_customer_desk *desk,
                                         struct cvm_engine **out_engine, struct cvm_error *err)
{
    int64_t version = 0;
    int64_t batch = 0;
    bool is_current = false;
    enum cvm_status status = open_reader(desk, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_store_newest(desk->reader, &version, err);
    }
    if (status == CVM_OK) {
        status = cvm_batch_last(desk->reader, &batch, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (desk->engine != NULL &&
        (desk->engine->catalogue->version != version || desk->engine->last_batch != batch)) {
        close_engine(desk);
    }
    if (desk->engine == NULL) {
        status = open_engine(desk, err);
        if (status == CVM_OK) {
            status = cvm_packed_is_current(desk->reader, desk->engine->catalogue,
                                           desk->engine->last_batch, &is_current, err);
        }
        if (status == CVM_OK && !is_current) {
            status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "the journeys are not up to date");
        }
    }
    if (status != CVM_OK) {
        close_engine(desk);
        return status;
    }
    *out_engine = desk->engine;
    return CVM_OK;
}

enum cvm_status cvm_customer_question_read(const struct cvm_turn *turn,
                                           struct cvm_customer_question *out, struct cvm_error *err)
{
    const char *day = cvm_turn_text(turn, cvm_turn_input(turn, "as_of"));
    int32_t second = 0;
    int32_t offset = 0;
    enum cvm_status status = cvm_turn_must_text(turn, "customer_id", &out->customer_id, err);
    if (status != CVM_OK) {
        return status;
    }
    out->day = cvm_zone_day(turn->site->zone, cvm_context_now_ms(turn->context));
    if (day != NULL && !cvm_day_parse(day, strlen(day), &out->day, &second, &offset)) {
        return CVM_FAIL(err, CVM_E_INVALID, "the message has no day in 'as_of'");
    }
    return CVM_OK;
}
