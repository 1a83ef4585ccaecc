/* Agents that take no time and leave traces: every turn that was kept counts itself, every decision
 * is a row without a key that would refuse a second one, and costs something of a budget. */
#include "simulation.h"

#include <string.h>

#include "storage/db_sql.h"
#include "storage/run_parts.h"

#define CUSTOMERS_PER_PART 3
#define COST               7

static const char *const tables[] = {
    "CREATE TABLE sim_effect (workflow_id TEXT NOT NULL, step_no INTEGER NOT NULL, shard_no INTEGER"
    " NOT NULL)",
    "CREATE TABLE sim_decision (run_id TEXT NOT NULL, customer INTEGER NOT NULL, cost INTEGER NOT"
    " NULL)",
    "CREATE TABLE sim_budget (run_id TEXT PRIMARY KEY, used INTEGER NOT NULL, cap INTEGER NOT "
    "NULL)",
};

void sim_cheap_tables(struct sim *sim)
{
    struct cvm_db *db = cvm_store_db(sim->store);
    struct cvm_error err = {0};
    enum cvm_status status = cvm_db_begin(db, &err);
    for (size_t i = 0; status == CVM_OK && i < sizeof(tables) / sizeof(tables[0]); i++) {
        status = cvm_db_exec(db, tables[i], NULL, 0, NULL, &err);
    }
    status = status == CVM_OK ? cvm_db_commit(db, &err) : status;
    if (status != CVM_OK) {
        sim_break(sim, "no tables: %s", err.message);
    }
}

/* ---- what all of them do ---- */

struct writing {
    const struct cvm_turn *turn;
    const char *run_id;
    int64_t parts; /* of the run that is decided on; 0 = one customer */
    int64_t budget;
    bool is_part;
};

static struct sim_process *process_of(const struct cvm_turn *turn)
{
    const char *site = (const char *)turn->site;
    return (struct sim_process *)(uintptr_t)(site - offsetof(struct sim_process, site));
}

static enum cvm_status count_effect(const struct cvm_turn *turn, struct cvm_store *store,
                                    struct cvm_error *err)
{
    const struct cvm_json_value *step = cvm_json_member(turn->payload, "step_no");
    const struct cvm_envelope *message = turn->message;
    struct cvm_db_value params[] = {
        cvm_db_text_n(message->workflow_id.data, message->workflow_id.length),
        cvm_db_int(step->integer),
        cvm_db_int(message->shard == CVM_SHARD_NONE ? 0 : message->shard),
    };
    return cvm_db_exec(cvm_store_db(store), "INSERT INTO sim_effect VALUES (?1, ?2, ?3)", params,
                       CVM_DB_COUNT(params), NULL, err);
}

/* Some messages can be handled by nobody: whoever tries is gone, now and later. */
static bool kills(const struct sim *sim, const struct cvm_turn *turn)
{
    const struct cvm_envelope *message = turn->message;
    int64_t step_no = cvm_json_member(turn->payload, "step_no")->integer;
    for (size_t i = 0; i < sim->workflow_count; i++) {
        const struct sim_workflow *workflow = &sim->workflows[i];
        if (cvm_slice_equals(message->workflow_id, workflow->id) &&
            step_no == (int64_t)workflow->killer) {
            return true;
        }
    }
    return false;
}

/* Before it is done it may stand still until long after it was given up, or fail. */
static enum cvm_status suffer(const struct cvm_turn *turn, struct cvm_error *err)
{
    struct sim_process *process = process_of(turn);
    struct sim *sim = process->sim;
    if (sim->options.is_clean) {
        return CVM_OK;
    }
    if (kills(sim, turn)) {
        process->is_dead = true;
        return CVM_FAIL(err, CVM_E_INTERNAL, "it is gone");
    }
    if (sim->is_calm) {
        return CVM_OK;
    }
    if (sim_chance(sim, 25)) {
        int64_t left_ms = turn->message->deadline_ms - sim_store_ms(sim);
        bool is_zombie = sim_chance(sim, 12) && left_ms > 0 && left_ms < SIM_STORY_MS;
        sim_sleep(process,
                  is_zombie ? left_ms + sim_between(sim, 1, 20000) : sim_between(sim, 1, 4000));
    }
    if (sim_chance(sim, 4)) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "something is away for the moment");
    }
    return sim_chance(sim, 1) && sim_chance(sim, 30)
               ? CVM_FAIL(err, CVM_E_INVALID, "this will never go well")
               : CVM_OK;
}

static int64_t integer_of(const struct cvm_json_value *value, int64_t otherwise)
{
    return value != NULL && value->type == CVM_JSON_INT ? value->integer : otherwise;
}

static const struct cvm_json_value *request_of(const struct cvm_turn *turn, const char *name)
{
    const struct cvm_json_value *request = cvm_turn_input(turn, "request");
    return request == NULL ? NULL : cvm_json_member(request, name);
}

static enum cvm_status write_effect(void *state, struct cvm_store *store, struct cvm_error *err)
{
    const struct writing *writing = state;
    enum cvm_status status = count_effect(writing->turn, store, err);
    if (status == CVM_OK && writing->is_part) {
        unsigned char body[32];
        struct cvm_stored_part part = {.part = writing->turn->message->shard,
                                       .customers = CUSTOMERS_PER_PART,
                                       .body = body,
                                       .length = sizeof(body)};
        cvm_digest_of(&part.part, sizeof(part.part), body);
        status = cvm_run_part_put(store, writing->run_id, &part, err);
    }
    return status;
}

static enum cvm_status start_writing(const struct cvm_turn *turn, struct cvm_effects *effects,
                                     cvm_effect_fn write, struct writing **out_writing,
                                     struct cvm_error *err)
{
    struct writing *writing = CVM_NEW(turn->arena, struct writing);
    if (writing == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory");
    }
    writing->turn = turn;
    writing->run_id = cvm_turn_text(turn, cvm_turn_need(turn, "begin", "run_id"));
    effects->write = write;
    effects->write_state = writing;
    *out_writing = writing;
    return suffer(turn, err);
}

/* ---- data ---- */

static enum cvm_status begin_run(void *state, struct cvm_store *store, struct cvm_error *err)
{
    const struct writing *writing = state;
    struct cvm_db_value params[] = {cvm_db_text(writing->run_id), cvm_db_int(writing->budget)};
    enum cvm_status status = count_effect(writing->turn, store, err);
    return status == CVM_OK
               ? cvm_db_exec(cvm_store_db(store), "INSERT INTO sim_budget VALUES (?1, 0, ?2)",
                             params, CVM_DB_COUNT(params), NULL, err)
               : status;
}

static enum cvm_status data_handle(void *worker, const struct cvm_turn *turn,
                                   struct cvm_effects *effects, struct cvm_error *err)
{
    struct writing *writing = NULL;
    char run_id[96];
    (void)worker;
    (void)snprintf(run_id, sizeof(run_id), "run-%.*s", (int)turn->message->workflow_id.length,
                   turn->message->workflow_id.data);
    enum cvm_status status = start_writing(turn, effects, begin_run, &writing, err);
    if (status != CVM_OK) {
        return status;
    }
    writing->run_id = cvm_arena_string(turn->arena, run_id);
    writing->budget = integer_of(request_of(turn, "budget"), COST);
    cvm_text_add_format(&effects->output, "{\"run_id\":\"%s\",\"parts\":%lld}", run_id,
                        (long long)integer_of(request_of(turn, "parts"), 1));
    return CVM_OK;
}

/* ---- trigger, journey, treatment ---- */

static enum cvm_status middle_handle(void *worker, const struct cvm_turn *turn,
                                     struct cvm_effects *effects, struct cvm_error *err)
{
    struct writing *writing = NULL;
    (void)worker;
    enum cvm_status status = start_writing(turn, effects, write_effect, &writing, err);
    if (status == CVM_OK) {
        writing->is_part = turn->message->shard != CVM_SHARD_NONE;
        effects->customers = CUSTOMERS_PER_PART;
        cvm_text_add(&effects->output, "{\"done\":true}");
    }
    return status;
}

/* ---- allocation ---- */

struct parts_seen {
    int64_t count;
    uint64_t hash;
};

static enum cvm_status see_part(void *state, const struct cvm_stored_part *part,
                                struct cvm_error *err)
{
    struct parts_seen *seen = state;
    (void)err;
    seen->count++;
    seen->hash = cvm_hash_seeded(part->body, part->length, seen->hash);
    return CVM_OK;
}

static enum cvm_status decide_one(struct cvm_db *db, const char *run_id, int64_t customer,
                                  struct cvm_error *err)
{
    int64_t changed = 0;
    struct cvm_db_value spend[] = {cvm_db_text(run_id), cvm_db_int(COST)};
    struct cvm_db_value row[] = {cvm_db_text(run_id), cvm_db_int(customer), cvm_db_int(0)};
    enum cvm_status status = cvm_db_exec(
        db, "UPDATE sim_budget SET used = used + ?2 WHERE run_id = ?1 AND used + ?2 <= cap", spend,
        CVM_DB_COUNT(spend), &changed, err);
    row[2] = cvm_db_int(changed > 0 ? COST : 0); /* what costs nothing is for everybody */
    return status == CVM_OK ? cvm_db_exec(db, "INSERT INTO sim_decision VALUES (?1, ?2, ?3)", row,
                                          CVM_DB_COUNT(row), NULL, err)
                            : status;
}

static enum cvm_status decide(void *state, struct cvm_store *store, struct cvm_error *err)
{
    const struct writing *writing = state;
    struct cvm_db *db = cvm_store_db(store);
    int64_t customers = writing->parts > 0 ? writing->parts * CUSTOMERS_PER_PART : 1;
    struct parts_seen seen = {0};
    enum cvm_status status = count_effect(writing->turn, store, err);
    if (status == CVM_OK && writing->parts > 0) {
        status = cvm_run_part_scan(store, writing->run_id, see_part, &seen, err);
        if (status == CVM_OK && seen.count != writing->parts) {
            status = CVM_FAIL(err, CVM_E_CORRUPT, "%lld parts of %lld are there",
                              (long long)seen.count, (long long)writing->parts);
        }
    }
    for (int64_t c = 0; status == CVM_OK && c < customers; c++) {
        status = decide_one(db, writing->run_id, c, err);
    }
    return status;
}

/* Every other one keeps its effects in a transaction of its own, as a run does. */
static enum cvm_status decide_alone(const struct cvm_turn *turn, struct cvm_effects *effects,
                                    struct cvm_error *err)
{
    struct cvm_store *store = cvm_agent_writer_lock(turn->site->writer);
    struct cvm_db *db = cvm_store_db(store);
    enum cvm_status status = cvm_db_begin(db, err);
    cvm_effect_fn write = effects->write;
    effects->write = NULL;
    if (status == CVM_OK) {
        status = write(effects->write_state, store, err);
    }
    if (status == CVM_OK) {
        status = turn->keep(turn->keep_state, store, err);
    }
    status = status == CVM_OK ? cvm_db_commit(db, err) : status;
    cvm_db_rollback(db);
    cvm_agent_writer_unlock(turn->site->writer);
    return status;
}

static enum cvm_status allocation_handle(void *worker, const struct cvm_turn *turn,
                                         struct cvm_effects *effects, struct cvm_error *err)
{
    struct writing *writing = NULL;
    (void)worker;
    enum cvm_status status = start_writing(turn, effects, decide, &writing, err);
    if (status != CVM_OK) {
        return status;
    }
    writing->parts = integer_of(request_of(turn, "parts"), 0);
    cvm_text_add_format(&effects->output, "{\"run_id\":\"%s\"}", writing->run_id);
    return writing->parts % 2 == 1 ? decide_alone(turn, effects, err) : CVM_OK;
}

/* ---- the kinds ---- */

#define SERVES(type)                                                                               \
    (const enum cvm_message_type[])                                                                \
    {                                                                                              \
        type, CVM_MESSAGE_NONE                                                                     \
    }

static const struct cvm_agent_kind data = {
    .name = "data",
    .serves = SERVES(CVM_MESSAGE_CUSTOMER_DATA_REQUEST),
    .handle = data_handle,
};
static const struct cvm_agent_kind journey = {
    .name = "journey",
    .serves = SERVES(CVM_MESSAGE_JOURNEY_REQUEST),
    .handle = middle_handle,
};
static const struct cvm_agent_kind treatment = {
    .name = "treatment",
    .serves = SERVES(CVM_MESSAGE_TREATMENT_REQUEST),
    .handle = middle_handle,
};
static const struct cvm_agent_kind allocation = {
    .name = "allocation",
    .serves = SERVES(CVM_MESSAGE_ALLOCATION_REQUEST),
    .handle = allocation_handle,
};
const struct cvm_agent_kind *const sim_cheap_kinds[] = {&data, &journey, &treatment, &allocation,
                                                        NULL};
