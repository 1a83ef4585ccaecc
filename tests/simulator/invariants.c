/* What must hold after every event, whatever went wrong in it. */
#include "simulation.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "storage/db_sql.h"
#include "storage/plan_store.h"

#define CUSTOMERS_PER_PART 3

int64_t sim_number(struct sim *sim, const char *sql, const char *param)
{
    struct cvm_db_value value = cvm_db_text(param);
    struct cvm_error err = {0};
    int64_t number = 0;
    const struct cvm_db_value *params = param == NULL ? NULL : &value;
    struct cvm_db *db = cvm_store_db(sim->store);
    struct cvm_db_cursor *cursor = NULL;
    const struct cvm_db_value *columns = NULL;
    enum cvm_status status = cvm_db_scan(db, sql, params, param == NULL ? 0 : 1, &cursor, &err);
    if (status == CVM_OK) {
        status = cvm_db_cursor_next(cursor, &columns, &err);
    }
    if (status == CVM_OK && columns != NULL && columns[0].type == CVM_DB_INT) {
        number = columns[0].integer;
    }
    cvm_db_cursor_close(cursor);
    if (status != CVM_OK) {
        sim_break(sim, "%s: %s", sql, err.message);
    }
    return number;
}

static void look_through(struct sim *sim, const char *sql, cvm_db_row_fn on_row)
{
    struct cvm_error err = {0};
    if (cvm_db_query(cvm_store_db(sim->store), sql, NULL, 0, on_row, sim, &err) != CVM_OK) {
        sim_break(sim, "%s: %s", sql, err.message);
    }
}

static int workflow_of(const struct sim *sim, const char *key)
{
    for (size_t i = 0; i < sim->workflow_count; i++) {
        if (strcmp(sim->workflows[i].key, key) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* ---- leases and workflows ---- */

static enum cvm_status see_lease(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct sim *sim = state;
    (void)column_count;
    (void)err;
    const char *resource = cvm_db_string(&columns[0]);
    const char *slash = strchr(resource, '/');
    int64_t partition = slash == NULL ? -1 : strtoll(slash + 1, NULL, 10);
    if (partition < 0 || partition >= CVM_FLOW_PARTITIONS) {
        sim_break(sim, "'%s' is no lease of a partition", resource);
        return CVM_OK;
    }
    if (columns[1].integer < sim->seen.lease_epochs[partition]) {
        sim_break(sim, "the epoch of '%s' went back", resource);
    }
    sim->seen.lease_epochs[partition] = columns[1].integer;
    return CVM_OK;
}

static int64_t lease_of(const struct sim *sim, size_t workflow)
{
    return sim->seen.lease_epochs[cvm_flow_partition(sim->workflows[workflow].id)];
}

static void see_state(struct sim *sim, size_t number, enum cvm_workflow_state now,
                      const char *error)
{
    struct sim_workflow *workflow = &sim->workflows[number];
    enum cvm_workflow_state before = sim->seen.states[number];
    if (cvm_workflow_has_ended(before) && now != before) {
        bool may_reopen = before == CVM_WORKFLOW_FAILED || before == CVM_WORKFLOW_DEAD;
        if (!may_reopen || !workflow->was_reopened) {
            sim_break(sim, "'%s' had ended as %s and is %s", workflow->key,
                      cvm_workflow_state_name(before), cvm_workflow_state_name(now));
        }
    }
    if ((now == CVM_WORKFLOW_FAILED || now == CVM_WORKFLOW_DEAD) && error[0] == '\0') {
        sim_break(sim, "'%s' failed and does not say why", workflow->key);
    }
    sim->seen.states[number] = now;
    workflow->state = now;
}

static enum cvm_status see_workflow(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct sim *sim = state;
    int number = workflow_of(sim, cvm_db_string(&columns[0]));
    (void)column_count;
    (void)err;
    if (number < 0) {
        sim_break(sim, "there is a workflow that nobody asked for");
        return CVM_OK;
    }
    struct sim_workflow *workflow = &sim->workflows[number];
    int64_t epoch = columns[3].integer;
    int64_t *seen = &sim->seen.workflow_epochs[number];
    if (workflow->id[0] == '\0') { /* kept, though nobody was told */
        (void)snprintf(workflow->id, sizeof(workflow->id), "%s", cvm_db_string(&columns[1]));
    }
    if (epoch < *seen) {
        sim_break(sim, "the epoch of '%s' went back from %" PRId64 " to %" PRId64, workflow->key,
                  *seen, epoch);
    }
    if (epoch != *seen && epoch != lease_of(sim, (size_t)number)) {
        sim_break(sim, "'%s' was moved under epoch %" PRId64 ", its lease has %" PRId64,
                  workflow->key, epoch, lease_of(sim, (size_t)number));
    }
    *seen = epoch;
    int now = cvm_workflow_state_parse(cvm_db_string(&columns[2]));
    see_state(sim, (size_t)number, (enum cvm_workflow_state)now, cvm_db_string(&columns[4]));
    return CVM_OK;
}

/* ---- steps ---- */

static struct sim_step_seen *step_seen(struct sim *sim, const struct sim_step_seen *now)
{
    for (size_t i = 0; i < sim->seen.step_count; i++) {
        struct sim_step_seen *one = &sim->seen.steps[i];
        if (one->workflow == now->workflow && one->step_no == now->step_no &&
            one->shard_no == now->shard_no) {
            return one;
        }
    }
    if (sim->seen.step_count == SIM_ROWS_MAX) {
        sim_break(sim, "more steps than there can be");
        return NULL;
    }
    struct sim_step_seen *one = &sim->seen.steps[sim->seen.step_count++];
    *one = (struct sim_step_seen){
        now->workflow, now->step_no, now->shard_no, 0, 0, CVM_STEP_PENDING, 0};
    return one;
}

static enum cvm_step_state parse_state(const char *name)
{
    enum cvm_step_state state = CVM_STEP_PENDING;
    while (state < CVM_STEP_STATES && strcmp(cvm_step_state_name(state), name) != 0) {
        state++;
    }
    return state;
}

static enum cvm_status see_step(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct sim *sim = state;
    int number = workflow_of(sim, cvm_db_string(&columns[0]));
    const char *made = cvm_db_string(&columns[6]);
    struct sim_step_seen now = {(size_t)number,
                                columns[1].integer,
                                columns[2].integer,
                                columns[3].integer,
                                columns[4].integer,
                                parse_state(cvm_db_string(&columns[5])),
                                cvm_hash(made, strlen(made))};
    (void)column_count;
    (void)err;
    struct sim_step_seen *before = step_seen(sim, &now);
    if (before == NULL) {
        return CVM_OK;
    }
    const char *key = sim->workflows[number].key;
    if (before->state == CVM_STEP_DONE &&
        (now.state != CVM_STEP_DONE || now.result != before->result)) {
        sim_break(sim, "step %" PRId64 "/%" PRId64 " of '%s' was done, and changed", now.step_no,
                  now.shard_no, key);
    }
    if (now.attempt < before->attempt || now.epoch < before->epoch) {
        sim_break(sim,
                  "step %" PRId64 "/%" PRId64 " of '%s' went back to attempt %" PRId64
                  " of epoch %" PRId64,
                  now.step_no, now.shard_no, key, now.attempt, now.epoch);
    }
    if (now.epoch != before->epoch && now.epoch != lease_of(sim, now.workflow)) {
        sim_break(sim, "step %" PRId64 "/%" PRId64 " of '%s' was sent under an old epoch",
                  now.step_no, now.shard_no, key);
    }
    *before = now;
    return CVM_OK;
}

/* ---- what agents did ---- */

static enum cvm_status see_effect(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    sim_break(state,
              "step %" PRId64 "/%" PRId64 " of '%s' is %s, and was applied %" PRId64 " times",
              columns[1].integer, columns[2].integer, cvm_db_string(&columns[0]),
              cvm_db_string(&columns[3]), columns[4].integer);
    return CVM_OK;
}

static enum cvm_status see_budget(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    sim_break(state, "the budget of '%s' does not fit: %" PRId64 " used, %" PRId64 " spent",
              cvm_db_string(&columns[0]), columns[1].integer, columns[2].integer);
    return CVM_OK;
}

static enum cvm_status see_decision(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    sim_break(state, "customer %" PRId64 " of '%s' was decided on %" PRId64 " times",
              columns[1].integer, cvm_db_string(&columns[0]), columns[2].integer);
    return CVM_OK;
}

static void check_effects(struct sim *sim)
{
    look_through(sim,
                 "SELECT s.workflow_id, s.step_no, s.shard_no, s.state, (SELECT count(*) FROM "
                 "sim_effect e WHERE e.workflow_id = s.workflow_id AND e.step_no = s.step_no AND "
                 "e.shard_no = s.shard_no) AS times FROM step s WHERE times <> (s.state = 'done')",
                 see_effect);
    look_through(sim,
                 "SELECT b.run_id, b.used, (SELECT coalesce(sum(d.cost), 0) FROM sim_decision d "
                 "WHERE d.run_id = b.run_id) AS spent FROM sim_budget b WHERE b.used > b.cap OR "
                 "b.used <> spent",
                 see_budget);
    look_through(sim,
                 "SELECT run_id, customer, count(*) FROM sim_decision GROUP BY run_id, customer "
                 "HAVING count(*) > 1",
                 see_decision);
}

void sim_check(struct sim *sim)
{
    look_through(sim, "SELECT resource, epoch FROM lease", see_lease);
    look_through(sim,
                 "SELECT idempotency_key, workflow_id, state, epoch, coalesce(error, '') FROM "
                 "workflow",
                 see_workflow);
    look_through(sim,
                 "SELECT w.idempotency_key, s.step_no, s.shard_no, s.attempt, s.epoch, s.state, "
                 "coalesce(s.worker, '') || coalesce(s.output, '') || coalesce(s.finished_at, 0) "
                 "FROM step s JOIN workflow w ON w.workflow_id = s.workflow_id",
                 see_step);
    if (!sim->options.is_planned_by_agents) {
        check_effects(sim);
    }
}

/* What was acknowledged was applied, or nobody wants it any more. */
void sim_check_acknowledged(struct sim *sim, const struct cvm_envelope *message,
                            const char *consumer)
{
    struct cvm_turn_key key = {.consumer = consumer};
    struct cvm_error err = {0};
    struct cvm_step step;
    char workflow_id[CVM_WORKFLOW_ID_MAX + 1];
    bool was_kept = false;
    memcpy(key.message_id, message->id.bytes, sizeof(key.message_id));
    (void)snprintf(workflow_id, sizeof(workflow_id), "%.*s", (int)message->workflow_id.length,
                   message->workflow_id.data);
    if (cvm_turn_was_kept(sim->store, &key, &was_kept, &err) != CVM_OK) {
        sim_break(sim, "no mark can be read: %s", err.message);
    }
    if (was_kept) {
        return;
    }
    struct sim_step_seen *seen = NULL;
    for (size_t i = 0; i < sim->seen.step_count; i++) {
        struct sim_step_seen *one = &sim->seen.steps[i];
        const struct cvm_envelope *m = message;
        int64_t shard = m->shard == CVM_SHARD_NONE ? CVM_STEP_SHARD_ONLY : m->shard;
        bool is_it =
            strcmp(sim->workflows[one->workflow].id, workflow_id) == 0 && one->shard_no == shard &&
            cvm_slice_equals(m->step,
                             sim->workflows[one->workflow].definition->steps[one->step_no].id);
        seen = is_it ? one : seen;
    }
    if (seen == NULL) {
        return;
    }
    struct cvm_step_key row = {workflow_id, seen->step_no, seen->shard_no, message->attempt};
    cvm_arena_reset(sim->arena);
    if (cvm_step_get(sim->store, sim->arena, &row, &step, &err) == CVM_OK &&
        step.state == CVM_STEP_RUNNING && step.attempt == message->attempt) {
        sim_break(sim, "a message for step '%s' of '%s' was acknowledged, and is lost", step.name,
                  workflow_id);
    }
}

/* ---- the end ---- */

static void digest_decisions(struct sim *sim, struct sim_workflow *workflow)
{
    char run_id[96];
    (void)snprintf(run_id, sizeof(run_id), "run-%s", workflow->id);
    int64_t count = sim_number(sim, "SELECT count(*) FROM sim_decision WHERE run_id = ?1", run_id);
    bool is_complete = workflow->state == CVM_WORKFLOW_COMPLETED;
    int64_t customers = workflow->parts > 0 ? workflow->parts * CUSTOMERS_PER_PART : 1;
    bool is_planned =
        sim_number(sim,
                   "SELECT count(*) FROM step WHERE workflow_id = ?1 AND name = 'plan' AND state = "
                   "'done'",
                   workflow->id) > 0;
    if (count != (is_planned ? customers : 0) || (is_complete && !is_planned)) {
        sim_break(sim, "'%s' is %s with %" PRId64 " of %" PRId64 " decisions", workflow->key,
                  cvm_workflow_state_name(workflow->state), count, customers);
    }
    uint64_t sum = (uint64_t)sim_number(
        sim, "SELECT sum(cost * (customer + 1)) FROM sim_decision WHERE run_id = ?1", run_id);
    uint64_t used =
        (uint64_t)sim_number(sim, "SELECT used FROM sim_budget WHERE run_id = ?1", run_id);
    workflow->digest = is_complete ? cvm_hash_mix(cvm_hash_mix(sum, used), (uint64_t)count) : 0;
}

static void digest_plan(struct sim *sim, struct sim_workflow *workflow)
{
    struct cvm_run_record run;
    struct cvm_error err = {0};
    cvm_arena_reset(sim->arena);
    if (workflow->state != CVM_WORKFLOW_COMPLETED || workflow->definition != sim->options.batch) {
        return;
    }
    if (cvm_run_get(sim->store, sim->arena, "latest", &run, &err) != CVM_OK) {
        sim_break(sim, "'%s' is completed, but: %s", workflow->key, err.message);
        return;
    }
    if (strcmp(run.state, "done") != 0 || strcmp(run.plan_state, "released") != 0) {
        sim_break(sim, "the run is %s, its plan %s", run.state, run.plan_state);
    }
    workflow->digest = cvm_hash(run.plan_digest, strlen(run.plan_digest));
}

void sim_check_end(struct sim *sim)
{
    for (size_t i = 0; i < sim->workflow_count; i++) {
        struct sim_workflow *workflow = &sim->workflows[i];
        sim->counts.states[workflow->state]++;
        if (sim->options.is_planned_by_agents) {
            digest_plan(sim, workflow);
        } else {
            digest_decisions(sim, workflow);
        }
        sim_note(sim, "'%s' is %s, digest %016" PRIx64, workflow->key,
                 cvm_workflow_state_name(workflow->state), workflow->digest);
    }
    if (sim->options.is_clean) {
        for (size_t i = 0; i < sim->workflow_count; i++) {
            if (sim->workflows[i].state != CVM_WORKFLOW_COMPLETED) {
                sim_break(sim, "nothing went wrong, and '%s' is not completed",
                          sim->workflows[i].key);
            }
        }
    }
}
