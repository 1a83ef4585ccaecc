/* A run whose steps are carried out apart, by jobs with engines of their own, from bytes: the plan
 * of the run in one go. */
#include "run_base.h"

#include "engine/run_steps.h"
#include "storage/run_parts.h"

#define CUSTOMERS 2000
#define PARTS     5

/* Control groups, groups of customers and households all have a say. */
static void make_hard(struct cvm_arena *arena, struct config_files *config)
{
    (void)config_replace(arena, config, "control.yaml", "share: 0.02", "share: 0.2");
    (void)config_replace(arena, config, "contact_policy.yaml", "max: 6", "max: 1");
    (void)config_replace(
        arena, config, "constraints.yaml", "budgets:",
        "groups:\n"
        "  - {group: few_prepaid, kind: segment_max, segment: prepaid, limit: 20}\n"
        "budgets:");
}

static int set_up(void **state)
{
    *state = base_create(CUSTOMERS, make_hard);
    return 0;
}

static int tear_down(void **state)
{
    base_destroy(*state);
    return 0;
}

/* One agent: an engine and a job of its own. */
struct agent {
    struct cvm_engine *engine;
    struct cvm_run_job *job;
};

static enum cvm_status agent_open(const struct base *base, const struct cvm_run_request *request,
                                  const char *run_id, struct agent *agent, struct cvm_error *err)
{
    agent->engine = open_engine(base, 1, 64);
    const struct cvm_run_work work = {
        .engine = agent->engine,
        .writer = base->store,
        .request = request,
        .run_id = run_id,
        .part_count = PARTS,
        .arena = base->arena,
    };
    return cvm_run_open(&work, &agent->job, err);
}

static void agent_close(struct agent *agent)
{
    cvm_run_close(agent->job);
    cvm_engine_close(agent->engine);
    *agent = (struct agent){0};
}

/* The request as another process gets it. */
static struct cvm_run_request handed_over(const struct base *base,
                                          const struct cvm_run_request *request)
{
    struct cvm_json_reader *reader = cvm_json_reader_create(1 << 20);
    const struct cvm_json_value *json = NULL;
    struct cvm_run_request read;
    struct cvm_json_writer writer;
    struct cvm_text text;
    struct cvm_error err;
    cvm_text_init(&text, 0);
    cvm_json_init(&writer, &text, false);
    cvm_run_request_write(request, base->catalogue, &writer);
    must(
        cvm_json_read(reader, base->arena, cvm_text_string(&text), text.length, false, &json, &err),
        &err);
    must(cvm_run_request_read(json, base->catalogue, base->arena, &read, &err), &err);
    cvm_text_finish(&text);
    cvm_json_reader_destroy(reader);
    return read;
}

static void value_part(const struct base *base, const struct cvm_run_request *request,
                       const char *run_id, size_t number, struct cvm_text *bytes)
{
    struct agent agent = {0};
    struct cvm_run_part *part = NULL;
    struct cvm_error err;
    must(agent_open(base, request, run_id, &agent, &err), &err);
    must(cvm_run_join(agent.job, &err), &err);
    must(cvm_run_value(agent.job, agent.engine, number, &part, &err), &err);
    must(cvm_run_part_encode(part, bytes, &err), &err);
    cvm_run_part_destroy(part);
    agent_close(&agent);
}

static void store_part(const struct base *base, const char *run_id, int64_t number,
                       const struct cvm_text *bytes)
{
    struct cvm_db *db = cvm_store_db(base->store);
    struct cvm_stored_part part = {number, 1, bytes->data, bytes->length};
    struct cvm_error err;
    must(cvm_db_begin(db, &err), &err);
    must(cvm_run_part_put(base->store, run_id, &part, &err), &err);
    must(cvm_db_commit(db, &err), &err);
}

static enum cvm_status take_part(void *job, const struct cvm_stored_part *stored,
                                 struct cvm_error *err)
{
    struct cvm_run_part *part = NULL;
    enum cvm_status status = cvm_run_part_decode(stored->body, stored->length, &part, err);
    return status == CVM_OK ? cvm_run_take(job, part, err) : status;
}

static struct cvm_run_result *run_in_steps(const struct base *base,
                                           const struct cvm_run_request *asked)
{
    struct cvm_run_request request = handed_over(base, asked);
    struct agent first = {0};
    struct agent last = {0};
    struct cvm_run_result *result = NULL;
    struct cvm_text bytes;
    struct cvm_error err;
    must(agent_open(base, &request, NULL, &first, &err), &err);
    must(cvm_run_begin(first.job, &err), &err);
    const char *run_id = cvm_run_job_id(first.job);
    size_t parts = cvm_run_part_count(first.job);
    must(agent_open(base, &request, run_id, &last, &err), &err);
    must(cvm_run_join(last.job, &err), &err);
    assert_int_equal(cvm_run_job_epoch(last.job), cvm_run_job_epoch(first.job));
    must(cvm_run_take_up(last.job, &err), &err);
    cvm_text_init(&bytes, 0);
    for (size_t p = parts; p-- > 0;) { /* in any order, and twice where a message came twice */
        value_part(base, &request, run_id, p, &bytes);
        store_part(base, run_id, (int64_t)p, &bytes);
        value_part(base, &request, run_id, p, &bytes);
        store_part(base, run_id, (int64_t)p, &bytes);
    }
    cvm_text_finish(&bytes);
    must(cvm_run_part_scan(base->store, run_id, take_part, last.job, &err), &err);
    must(cvm_run_decide(last.job, NULL, &result, &err), &err);
    agent_close(&first);
    agent_close(&last);
    return result;
}

static void assert_same(const struct cvm_run_result *a, const struct cvm_run_result *b)
{
    assert_string_equal(a->plan_digest, b->plan_digest);
    assert_int_equal(a->decision_count, b->decision_count);
    assert_int_equal(a->ghost_count, b->ghost_count);
    assert_int_equal(a->control_members, b->control_members);
    assert_int_equal(a->spend_micro, b->spend_micro);
    assert_true(a->value == b->value);
    assert_true(a->dual_bound == b->dual_bound);
    assert_memory_equal(a->refusals, b->refusals, sizeof(a->refusals));
    for (size_t i = 0; i < a->decision_count; i++) {
        assert_string_equal(a->decisions[i].customer_id, b->decisions[i].customer_id);
        assert_int_equal(a->decisions[i].earliest_ms, b->decisions[i].earliest_ms);
        assert_int_equal(a->decisions[i].channel, b->decisions[i].channel);
    }
}

static void steps_apart_make_the_plan_of_the_run_in_one_go(void **state)
{
    const struct base *base = *state;
    struct base *twin = base_create(CUSTOMERS, make_hard);
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *whole = run(twin, &request, 2, 1024);
    struct cvm_run_result *steps = run_in_steps(base, &request);
    assert_true(whole->decision_count > 50);
    assert_true(whole->ghost_count > 0);
    assert_same(whole, steps);
    cvm_run_result_destroy(steps);

    /* It is the run of the request: asked again, it is returned. */
    steps = run(base, &request, 2, 1024);
    assert_true(steps->was_done_before);
    assert_string_equal(steps->run_id, whole->run_id);
    cvm_run_result_destroy(steps);
    cvm_run_result_destroy(whole);
    base_destroy(twin);
}

static void named_customers_are_one_part(void **state)
{
    const struct base *base = *state;
    struct base *twin = base_create(CUSTOMERS, make_hard);
    char ids[3][CVM_WORLD_ID_SIZE];
    const char *asked[] = {ids[0], "nobody", ids[1], ids[2], ids[0]};
    struct cvm_run_request request = ordinary();
    for (int i = 0; i < 3; i++) {
        cvm_world_customer_id(i * 7, ids[i]);
    }
    request.customers = asked;
    request.customer_count = 5;
    request.is_replacing = true;
    struct cvm_run_result *whole = run(twin, &request, 2, 1024);
    struct cvm_run_result *steps = run_in_steps(base, &request);
    assert_int_equal(steps->unknown_count, 1);
    assert_same(whole, steps);
    cvm_run_result_destroy(steps);
    cvm_run_result_destroy(whole);
    base_destroy(twin);
}

static void who_sees_other_data_can_not_join(void **state)
{
    struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct agent first = {0};
    struct agent late = {0};
    struct cvm_run_part *part = NULL;
    struct cvm_error err;
    must(agent_open(base, &request, NULL, &first, &err), &err);
    must(cvm_run_begin(first.job, &err), &err);
    must(agent_open(base, &request, cvm_run_job_id(first.job), &late, &err), &err);
    must(cvm_run_join(late.job, &err), &err);
    base_import(base, CUSTOMERS, 10);
    assert_int_equal(cvm_run_value(late.job, late.engine, 0, &part, &err), CVM_E_CONFLICT);
    assert_null(part);
    agent_close(&late);
    assert_int_equal(agent_open(base, &request, cvm_run_job_id(first.job), &late, &err),
                     CVM_E_CONFLICT);
    cvm_run_give_up(first.job);
    agent_close(&first);
    cvm_engine_close(late.engine);
}

static void nobody_joins_a_run_that_has_ended(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 1024);
    struct agent late = {0};
    struct cvm_error err;
    must(agent_open(base, &request, result->run_id, &late, &err), &err);
    assert_int_equal(cvm_run_join(late.job, &err), CVM_E_CONFLICT);
    agent_close(&late);
    cvm_run_result_destroy(result);
}

static enum cvm_status count_part(void *count, const struct cvm_stored_part *part,
                                  struct cvm_error *err)
{
    (void)part;
    (void)err;
    ++*(size_t *)count;
    return CVM_OK;
}

/* It stood still while deciding; somebody else decided meanwhile; it wakes and goes on. */
static void a_decider_that_was_replaced_changes_nothing(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_part *part = NULL;
    struct cvm_run_result *result = NULL;
    struct agent zombie = {0};
    struct agent second = {0};
    struct cvm_text bytes;
    struct cvm_error err;
    size_t left = 0;
    cvm_text_init(&bytes, 0);
    must(agent_open(base, &request, NULL, &zombie, &err), &err);
    must(cvm_run_begin(zombie.job, &err), &err);
    const char *run_id = cvm_run_job_id(zombie.job);
    must(cvm_run_take_up(zombie.job, &err), &err);
    for (size_t p = 0; p < PARTS; p++) {
        must(cvm_run_value(zombie.job, zombie.engine, p, &part, &err), &err);
        must(cvm_run_part_encode(part, &bytes, &err), &err);
        store_part(base, run_id, (int64_t)p, &bytes);
        must(cvm_run_take(zombie.job, part, &err), &err);
    }
    must(agent_open(base, &request, run_id, &second, &err), &err);
    must(cvm_run_join(second.job, &err), &err);
    must(cvm_run_take_up(second.job, &err), &err);
    must(cvm_run_part_scan(base->store, run_id, take_part, second.job, &err), &err);
    assert_int_equal(cvm_run_decide(zombie.job, NULL, &result, &err), CVM_E_CONFLICT);
    must(cvm_run_decide(second.job, NULL, &result, &err), &err);
    assert_true(result->decision_count > 50);
    cvm_run_result_destroy(result);
    must(cvm_run_part_scan(base->store, run_id, count_part, &left, &err), &err);
    assert_int_equal(left, 0);
    cvm_text_finish(&bytes);
    agent_close(&zombie);
    agent_close(&second);
}

static enum cvm_status die(void *state, struct cvm_store *writer, struct cvm_error *err)
{
    (void)state;
    (void)writer;
    return CVM_FAIL(err, CVM_E_UNAVAILABLE, "it dies");
}

/* It held all that the run may use, and wrote decisions; none of that is in the other one's way. */
static void who_takes_up_from_a_dead_decider_makes_the_same_plan(void **state)
{
    const struct base *base = *state;
    struct base *twin = base_create(CUSTOMERS, make_hard);
    struct cvm_run_request request = ordinary();
    const struct cvm_run_publishing publishing = {die, NULL};
    struct cvm_run_result *whole = run(twin, &request, 2, 1024);
    struct cvm_run_result *result = NULL;
    struct agent dead = {0};
    struct agent second = {0};
    struct cvm_text bytes;
    struct cvm_error err;
    cvm_text_init(&bytes, 0);
    must(agent_open(base, &request, NULL, &dead, &err), &err);
    must(cvm_run_begin(dead.job, &err), &err);
    const char *run_id = cvm_run_job_id(dead.job);
    for (size_t p = 0; p < PARTS; p++) {
        value_part(base, &request, run_id, p, &bytes);
        store_part(base, run_id, (int64_t)p, &bytes);
    }
    must(cvm_run_take_up(dead.job, &err), &err);
    must(cvm_run_part_scan(base->store, run_id, take_part, dead.job, &err), &err);
    assert_int_equal(cvm_run_decide(dead.job, &publishing, &result, &err), CVM_E_UNAVAILABLE);
    must(agent_open(base, &request, run_id, &second, &err), &err);
    must(cvm_run_join(second.job, &err), &err);
    must(cvm_run_take_up(second.job, &err), &err);
    must(cvm_run_part_scan(base->store, run_id, take_part, second.job, &err), &err);
    must(cvm_run_decide(second.job, NULL, &result, &err), &err);
    assert_same(whole, result);
    cvm_text_finish(&bytes);
    cvm_run_result_destroy(result);
    cvm_run_result_destroy(whole);
    agent_close(&dead);
    agent_close(&second);
    base_destroy(twin);
}

static void damaged_bytes_are_refused(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct agent first = {0};
    struct cvm_run_part *part = NULL;
    struct cvm_text bytes;
    struct cvm_error err;
    cvm_text_init(&bytes, 0);
    must(agent_open(base, &request, NULL, &first, &err), &err);
    must(cvm_run_begin(first.job, &err), &err);
    must(cvm_run_value(first.job, first.engine, 0, &part, &err), &err);
    must(cvm_run_part_encode(part, &bytes, &err), &err);
    cvm_run_part_destroy(part);
    for (size_t length = 0; length < bytes.length; length += 1 + bytes.length / 97) {
        /* a buffer of exactly this size: the sanitizer sees what reads behind it */
        char *copy = malloc(length + 1);
        assert_non_null(copy);
        memcpy(copy, bytes.data, length);
        assert_int_equal(cvm_run_part_decode(copy, length, &part, &err), CVM_E_CORRUPT);
        free(copy);
    }
    for (size_t at = 0; at < 64; at++) { /* wherever the sizes stand */
        bytes.data[at] ^= (char)0xFF;
        part = NULL;
        if (cvm_run_part_decode(bytes.data, bytes.length, &part, &err) == CVM_OK) {
            cvm_run_part_destroy(part);
        }
        bytes.data[at] ^= (char)0xFF;
    }
    cvm_text_finish(&bytes);
    cvm_run_give_up(first.job);
    agent_close(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_apart_make_the_plan_of_the_run_in_one_go, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(named_customers_are_one_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_sees_other_data_can_not_join, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_joins_a_run_that_has_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_decider_that_was_replaced_changes_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_takes_up_from_a_dead_decider_makes_the_same_plan,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_bytes_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
