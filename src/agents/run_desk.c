#include "agents/run_desk.h"

#include <stdlib.h>
#include <string.h>

#include "agents/own_run.h"
#include "storage/catalogue_store.h"
#include "storage/customers.h"

#define ARENA_BYTES_MAX ((size_t)1 << 30)

struct cvm_run_desk {
    const struct cvm_agent_site *site;
    const struct cvm_context *context;
    size_t threads;
    struct cvm_arena *arena; /* of the run */
    struct cvm_engine *engine;
    struct cvm_run_job *job;
    struct cvm_run_request request;
    const char *run_id; /* as in the ticket */
};

static struct cvm_engine_options engine_options(const struct cvm_run_desk *desk)
{
    return (struct cvm_engine_options){
        .store_url = desk->site->store_url,
        .privacy = desk->site->privacy,
        .context = desk->context,
        .thread_count = desk->threads,
        .chunk_size = desk->site->chunk_size,
    };
}

/* Who is one of many that work at the process' own run values with an engine of its own: open
 * before there are parts. */
static enum cvm_status open_own_engine(struct cvm_run_desk *desk, struct cvm_error *err)
{
    struct cvm_engine_options options = engine_options(desk);
    if (desk->site->own_run == NULL || desk->threads != 1) {
        return CVM_OK;
    }
    options.catalogue = cvm_own_run_engine(desk->site->own_run)->catalogue;
    return cvm_engine_open(&options, &desk->engine, err);
}

enum cvm_status cvm_run_desk_create(const struct cvm_agent_site *site,
                                    const struct cvm_context *context, size_t threads,
                                    struct cvm_run_desk **out_desk, struct cvm_error *err)
{
    struct cvm_run_desk *desk = calloc(1, sizeof(*desk));
    if (desk == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an agent");
    }
    desk->site = site;
    desk->context = context;
    desk->threads = threads;
    enum cvm_status status = open_own_engine(desk, err);
    if (status != CVM_OK) {
        free(desk);
        return status;
    }
    *out_desk = desk;
    return CVM_OK;
}

static void close_run(struct cvm_run_desk *desk)
{
    cvm_run_close(desk->job);
    cvm_engine_close(desk->engine);
    cvm_arena_destroy(desk->arena);
    desk->job = NULL;
    desk->engine = NULL;
    desk->arena = NULL;
    desk->run_id = NULL;
}

void cvm_run_desk_clear(struct cvm_run_desk *desk)
{
    if (desk->site->own_run == NULL) { /* which is its command's */
        close_run(desk);
    }
}

void cvm_run_desk_destroy(struct cvm_run_desk *desk)
{
    if (desk != NULL) {
        close_run(desk);
        free(desk);
    }
}

static int64_t integer_of(const struct cvm_json_value *value)
{
    return value != NULL && value->type == CVM_JSON_INT ? value->integer : 0;
}

enum cvm_status cvm_run_desk_ticket(const struct cvm_turn *turn, struct cvm_run_ticket *out_ticket,
                                    struct cvm_error *err)
{
    *out_ticket = (struct cvm_run_ticket){
        .run_id = cvm_turn_text(turn, cvm_turn_need(turn, "begin", "run_id")),
        .parts = integer_of(cvm_turn_need(turn, "begin", "parts")),
        .catalogue_version = integer_of(cvm_turn_need(turn, "begin", "catalogue_version")),
        .last_batch = integer_of(cvm_turn_need(turn, "begin", "last_batch")),
        .request = cvm_turn_input(turn, "request"),
    };
    return out_ticket->request != NULL
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_INVALID, "the message has no 'request' of a run");
}

/* A reader of its own, closed again, since the engine wants the catalogue first. */
static enum cvm_status load_catalogue(struct cvm_run_desk *desk, int64_t version,
                                      const struct cvm_catalogue **out_catalogue,
                                      struct cvm_error *err)
{
    struct cvm_store_options options = {
        .access = CVM_DB_READ, .clock = desk->context->clock, .privacy = desk->site->privacy};
    struct cvm_store *reader = NULL;
    enum cvm_status status = cvm_store_open(desk->site->store_url, &options, &reader, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_store_load(reader, desk->arena, version, out_catalogue, err);
    }
    cvm_store_close(reader);
    return status;
}

static enum cvm_status open_engine(struct cvm_run_desk *desk, int64_t version,
                                   const struct cvm_catalogue **out_catalogue,
                                   struct cvm_error *err)
{
    struct cvm_engine_options options = engine_options(desk);
    desk->arena = cvm_arena_create(ARENA_BYTES_MAX);
    if (desk->arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a run");
    }
    enum cvm_status status = load_catalogue(desk, version, out_catalogue, err);
    options.catalogue = *out_catalogue;
    return status == CVM_OK ? cvm_engine_open(&options, &desk->engine, err) : status;
}

/* The journeys are of the last batch: those of another one are gone. */
static enum cvm_status check_batch(const struct cvm_run_desk *desk, int64_t last_batch,
                                   struct cvm_error *err)
{
    if (last_batch == 0 || desk->engine->last_batch == last_batch) {
        return CVM_OK;
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_CONFLICT, "data came in since the run began (batch %lld, now %lld)",
                 (long long)last_batch, (long long)desk->engine->last_batch);
    return cvm_error_hint(err, status, "It has to begin again.");
}

/* A schedule says no more than the day. */
static void fill_in(const struct cvm_agent_site *site, const struct cvm_json_value *json,
                    struct cvm_run_request *request)
{
    if (cvm_json_member(json, "release") == NULL) {
        request->must_release = site->must_release;
    }
    if (cvm_json_member(json, "realtime_share") == NULL) {
        request->realtime_share = site->realtime_share;
    }
    if (cvm_json_member(json, "keep_runs") == NULL) {
        request->keep_runs = site->keep_runs;
    }
    if (cvm_json_member(json, "seed") == NULL) {
        request->seed = 1; /* as the command line's */
    }
    if (request->who == NULL) {
        request->who = "agent:data";
    }
}

static enum cvm_status open_job(struct cvm_run_desk *desk, const struct cvm_run_ticket *ticket,
                                const struct cvm_catalogue *catalogue, struct cvm_store *writer,
                                struct cvm_error *err)
{
    enum cvm_status status =
        cvm_run_request_read(ticket->request, catalogue, desk->arena, &desk->request, err);
    if (status != CVM_OK) {
        return status;
    }
    fill_in(desk->site, ticket->request, &desk->request);
    desk->request.zone = desk->site->zone;
    desk->request.matrix_bytes_max = desk->site->matrix_bytes_max;
    desk->request.spill_folder = desk->site->spill_folder;
    const struct cvm_run_work work = {
        .engine = desk->engine,
        .writer = writer,
        .request = &desk->request,
        .run_id = ticket->run_id,
        .part_count = (size_t)ticket->parts,
        .arena = desk->arena,
    };
    status = cvm_run_open(&work, &desk->job, err);
    if (status == CVM_OK && ticket->run_id != NULL) {
        desk->run_id = cvm_arena_string(desk->arena, ticket->run_id);
    }
    return status;
}

static enum cvm_status open_own(const struct cvm_run_desk *desk,
                                const struct cvm_run_ticket *ticket, struct cvm_run_job **out_job,
                                struct cvm_error *err)
{
    struct cvm_own_run *own = desk->site->own_run;
    if (ticket->run_id == NULL) {
        *out_job = cvm_own_run_job(own);
        return CVM_OK;
    }
    return cvm_own_run_join(own, ticket->run_id, (size_t)ticket->parts, out_job, err);
}

enum cvm_status cvm_run_desk_open(struct cvm_run_desk *desk, const struct cvm_run_ticket *ticket,
                                  struct cvm_store *writer, struct cvm_run_job **out_job,
                                  bool *out_is_new, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = NULL;
    bool is_same = desk->job != NULL && desk->run_id != NULL && ticket->run_id != NULL &&
                   strcmp(desk->run_id, ticket->run_id) == 0;
    *out_is_new = !is_same && desk->site->own_run == NULL;
    if (desk->site->own_run != NULL) {
        return open_own(desk, ticket, out_job, err);
    }
    if (is_same) {
        *out_job = desk->job;
        return CVM_OK;
    }
    cvm_run_desk_clear(desk);
    enum cvm_status status = open_engine(desk, ticket->catalogue_version, &catalogue, err);
    if (status == CVM_OK) {
        status = check_batch(desk, ticket->last_batch, err);
    }
    if (status == CVM_OK) {
        status = open_job(desk, ticket, catalogue, writer, err);
    }
    if (status != CVM_OK) {
        cvm_run_desk_clear(desk);
        return status;
    }
    *out_job = desk->job;
    return CVM_OK;
}

int64_t cvm_run_desk_catalogue_version(const struct cvm_run_desk *desk)
{
    return cvm_run_desk_engine(desk)->catalogue->version;
}

int64_t cvm_run_desk_last_batch(const struct cvm_run_desk *desk)
{
    return cvm_run_desk_engine(desk)->last_batch;
}

struct cvm_engine *cvm_run_desk_engine(const struct cvm_run_desk *desk)
{
    bool is_own = desk->site->own_run != NULL && desk->engine == NULL;
    return is_own ? cvm_own_run_engine(desk->site->own_run) : desk->engine;
}
