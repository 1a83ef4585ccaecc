/* The whole-base run over a generated base in a real store: same plan whatever the machinery,
 * capacity never exceeded, a request answered once. */
#include "run_base.h"

#include "engine/decide.h"
#include "engine/explain.h"
#include "engine/run_results.h"
#include "model/packed.h"
#include "storage/store_pool.h"

#define CUSTOMERS 600

static int set_up(void **state)
{
    *state = base_create(CUSTOMERS, NULL);
    return 0;
}

static int tear_down(void **state)
{
    base_destroy(*state);
    return 0;
}

static void the_plan_does_not_depend_on_threads_or_chunk_size(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    request.is_dry = true;
    struct cvm_run_result *first = run(base, &request, 1, 16);
    static const struct {
        size_t threads, chunk_size;
    } ways[] = {{1, 64}, {1, 4096}, {2, 64}, {2, 4096}, {4, 17}};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct cvm_run_result *other = run(base, &request, ways[i].threads, ways[i].chunk_size);
        assert_string_equal(other->plan_digest, first->plan_digest);
        assert_true(other->value == first->value);
        assert_true(other->dual_bound == first->dual_bound);
        cvm_run_result_destroy(other);
    }
    request.matrix_bytes_max = 1; /* the values live in a file */
    request.spill_folder = "/tmp";
    struct cvm_run_result *spilled = run(base, &request, 2, 64);
    assert_string_equal(spilled->plan_digest, first->plan_digest);
    assert_true(spilled->dual_bound == first->dual_bound);
    cvm_run_result_destroy(spilled);
    assert_true(first->decision_count > CUSTOMERS / 20);
    assert_true(first->value <= first->dual_bound);
    assert_true(first->gap >= 0 && first->gap < 0.02);
    cvm_run_result_destroy(first);
}

static void assert_within_limits(const struct base *base)
{
    struct cvm_error err;
    for (size_t c = 0; c < base->catalogue->constraint_count; c++) {
        struct cvm_ledger_row row;
        const struct cvm_constraint *constraint = &base->catalogue->constraints[c];
        must(cvm_ledger_row(base->store, constraint, AS_OF, NULL, &row, &err), &err);
        assert_int_equal(row.held, 0);
        assert_true(row.confirmed <= row.granted);
    }
}

static void a_run_confirms_what_it_uses_and_the_same_request_is_the_same_run(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *first = run(base, &request, 2, 1024);
    assert_false(first->was_done_before);
    assert_within_limits(base);
    struct cvm_run_result *again = run(base, &request, 1, 64);
    assert_true(again->was_done_before);
    assert_string_equal(again->run_id, first->run_id);
    assert_string_equal(again->plan_digest, first->plan_digest);
    assert_int_equal(again->decision_count, first->decision_count);
    assert_int_equal(again->spend_micro, first->spend_micro);
    for (size_t t = 0; t < base->catalogue->treatment_count; t++) {
        struct cvm_ledger_row row;
        struct cvm_error err;
        int c = CVM_INDEX_NONE;
        char id[96];
        (void)snprintf(id, sizeof(id), "capacity:%s", base->catalogue->treatments[t].id);
        c = cvm_catalogue_constraint(base->catalogue, id);
        assert_true(c != CVM_INDEX_NONE);
        must(cvm_ledger_row(base->store, &base->catalogue->constraints[c], AS_OF, NULL, &row, &err),
             &err);
        assert_int_equal(row.confirmed, first->by_treatment[t]);
    }
    cvm_run_result_destroy(first);
    cvm_run_result_destroy(again);
}

static void another_run_of_the_day_leaves_decided_customers_alone(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *first = run(base, &request, 2, 1024);
    request.seed = 99;
    struct cvm_run_result *second = run(base, &request, 2, 1024);
    assert_int_equal(second->customers - second->undecided_before, first->decision_count);
    for (size_t i = 0; i < second->decision_count; i++) {
        for (size_t j = 0; j < first->decision_count; j++) {
            assert_true(second->decisions[i].key != first->decisions[j].key);
        }
    }
    assert_within_limits(base);

    /* --replace takes everything back first, so the same plan comes out again */
    request.seed = 0;
    request.is_replacing = true;
    struct cvm_run_result *third = run(base, &request, 2, 1024);
    assert_int_equal(third->undecided_before, third->customers);
    assert_string_equal(third->plan_digest, first->plan_digest);
    assert_within_limits(base);
    cvm_run_result_destroy(first);
    cvm_run_result_destroy(second);
    cvm_run_result_destroy(third);
}

static void a_run_that_died_with_its_hold_is_taken_up_with_all_capacity(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    request.is_dry = true;
    struct cvm_run_result *expected = run(base, &request, 2, 1024);
    struct cvm_error err;
    struct cvm_db *db = cvm_store_db(base->store);
    struct cvm_run_record dead = {.run_id = expected->run_id,
                                  .request = "of the process that died",
                                  .as_of_day = AS_OF,
                                  .catalogue_version = 1,
                                  .last_batch = 1,
                                  .options = "{}",
                                  .created_at_ms = NOW_MS};
    struct cvm_ledger_amount amounts[CVM_CONSTRAINTS_MAX];
    int64_t epoch = 0;
    must(cvm_run_start(base->store, &dead, &epoch, &err), &err);
    must(cvm_db_begin(db, &err), &err);
    for (size_t c = 0; c < base->catalogue->constraint_count; c++) {
        amounts[c] = (struct cvm_ledger_amount){(int)c, base->catalogue->constraints[c].limit};
    }
    struct cvm_ledger_holder holder = {expected->run_id, epoch, NOW_MS + 1000000};
    must(cvm_ledger_hold(base->store, base->catalogue, AS_OF, &holder, amounts,
                         base->catalogue->constraint_count, &err),
         &err);
    must(cvm_db_commit(db, &err), &err);

    request.is_dry = false;
    struct cvm_run_result *result = run(base, &request, 2, 1024);
    assert_string_equal(result->run_id, expected->run_id);
    assert_string_equal(result->plan_digest, expected->plan_digest);
    assert_within_limits(base);
    cvm_run_result_destroy(result);
    cvm_run_result_destroy(expected);
}

static void a_forced_treatment_ends_with_its_capacity(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    request.forced_treatment = cvm_catalogue_treatment(base->catalogue, "early_upgrade");
    request.is_dry = true;
    struct cvm_run_result *result = run(base, &request, 2, 1024);
    int c = cvm_catalogue_constraint(base->catalogue, "capacity:early_upgrade");
    assert_int_equal(result->decision_count, base->catalogue->constraints[c].limit);
    for (size_t i = 0; i < result->decision_count; i++) {
        assert_int_equal(result->decisions[i].treatment, request.forced_treatment);
    }
    cvm_run_result_destroy(result);
}

static void unknown_customers_are_told_and_hurt_nobody(void **state)
{
    const struct base *base = *state;
    char known[CVM_WORLD_ID_SIZE];
    cvm_world_customer_id(3, known);
    const char *ids[] = {"nobody", known, known};
    struct cvm_run_request request = ordinary();
    request.customers = ids;
    request.customer_count = 3;
    request.is_dry = true;
    struct cvm_run_result *result = run(base, &request, 2, 1024);
    assert_int_equal(result->unknown_count, 1);
    assert_string_equal(result->unknown_ids[0], "nobody");
    assert_int_equal(result->customers, 1);
    cvm_run_result_destroy(result);
}

static void a_window_without_events_stops_and_names_the_newest_date(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = NULL;
    struct cvm_error err = {0};
    request.as_of_day = AS_OF + 2000;
    struct cvm_engine *engine = open_engine(base, 2, 1024);
    enum cvm_status status = cvm_run(engine, base->store, &request, base->arena, &result, &err);
    assert_int_equal(status, CVM_E_NOT_FOUND);
    cvm_engine_close(engine);
    if (strstr(err.message, "2024-03-20") == NULL) {
        fail_msg("%s", err.message);
    }
    assert_null(result);
    assert_within_limits(base);
}

static void since_hides_what_lies_before_it(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    request.is_dry = true;
    struct cvm_run_result *whole = run(base, &request, 2, 1024);
    request.since_day = AS_OF;
    struct cvm_run_result *last_day = run(base, &request, 2, 1024);
    assert_int_equal(last_day->since_day, AS_OF);
    assert_string_not_equal(last_day->plan_digest, whole->plan_digest);
    assert_string_not_equal(last_day->run_id, whole->run_id);
    cvm_run_result_destroy(whole);
    cvm_run_result_destroy(last_day);
}

static enum cvm_status pass_over(void *state, size_t shard, size_t worker,
                                 const struct cvm_chunk *chunk, struct cvm_error *err)
{
    (void)state;
    (void)shard;
    (void)worker;
    (void)chunk;
    (void)err;
    return CVM_OK;
}

static enum cvm_status take_count(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    *(int64_t *)state = columns[0].integer;
    return CVM_OK;
}

/* Rows that one scan of everybody gets from the store. */
static int64_t rows_of_a_scan(struct cvm_engine *engine, int32_t since_day)
{
    struct cvm_db *journeys = cvm_store_journeys(engine->readers[0]);
    struct cvm_shard all = {0, INT64_MAX};
    struct cvm_scan_request request = {.window = {AS_OF, since_day, NULL},
                                       .shards = &all,
                                       .shard_count = 1,
                                       .on_chunk = pass_over};
    struct cvm_error err;
    int64_t before = cvm_db_counts_of(journeys).rows_read;
    must(cvm_engine_scan(engine, &request, &err), &err);
    return cvm_db_counts_of(journeys).rows_read - before;
}

static void the_store_is_asked_for_the_periods_of_the_window_only(void **state)
{
    const struct base *base = *state;
    struct cvm_engine *engine = open_engine(base, 1, 0);
    struct cvm_db *journeys = cvm_store_journeys(engine->readers[0]);
    char sql[120];
    int64_t expected = 0;
    struct cvm_error err;
    int32_t since_day = 19723; /* 2024-01-01: the half-year of the run */
    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM packed WHERE period = 0 OR period = %d",
                   (int)cvm_packed_period(AS_OF));
    must(cvm_db_query(journeys, sql, NULL, 0, take_count, &expected, &err), &err);
    assert_int_equal(rows_of_a_scan(engine, since_day), expected);
    assert_true(rows_of_a_scan(engine, CVM_DAY_NONE) > expected);
    cvm_engine_close(engine);
}

static void more_threads_than_connections_make_the_same_plan(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_engine *engine = NULL;
    struct cvm_run_result *shared = NULL;
    struct cvm_error err;
    struct cvm_engine_options options = {.store_url = base->url,
                                         .catalogue = base->catalogue,
                                         .context = &base->context,
                                         .thread_count = 8,
                                         .chunk_size = 16,
                                         .connections_max = 4};
    request.is_dry = true;
    struct cvm_run_result *single = run(base, &request, 1, 1024);
    must(cvm_engine_open(&options, &engine, &err), &err);
    must(cvm_run(engine, NULL, &request, base->arena, &shared, &err), &err);
    struct cvm_store_pool_counts counts = cvm_store_pool_counts_of(engine->stores);
    assert_int_equal(counts.most, 2); /* a writer has the other two */
    assert_true(counts.open <= 2);
    assert_int_equal(counts.lent, 1); /* the engine's own */
    assert_string_equal(shared->plan_digest, single->plan_digest);
    cvm_engine_close(engine);
    cvm_run_result_destroy(shared);
    cvm_run_result_destroy(single);
}

static void explain_says_the_same_value_as_the_decision(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 1024);
    struct cvm_engine *engine = open_engine(base, 1, 1024);
    for (size_t i = 0; i < result->decision_count; i += 7) {
        struct cvm_explanation *explanation = NULL;
        struct cvm_error err;
        must(cvm_explain(engine, base->store, "latest", result->decisions[i].customer_id,
                         base->arena, &explanation, &err),
             &err);
        assert_non_null(explanation->decision);
        bool is_there = false;
        for (size_t t = 0; t < explanation->treatment_count; t++) {
            const struct cvm_explained_treatment *one = &explanation->treatments[t];
            if (one->treatment == result->decisions[i].treatment) {
                is_there = true;
                assert_true(one->is_eligible);
                assert_true(one->value == result->decisions[i].value);
                assert_true((float)one->parts.value == (float)one->value);
                assert_true(one->margin > -1e-6);
            }
        }
        assert_true(is_there);
    }
    cvm_engine_close(engine);
    cvm_run_result_destroy(result);
}

static void one_customer_gets_one_decision_a_day(void **state)
{
    const struct base *base = *state;
    struct cvm_engine *engine = open_engine(base, 1, 1024);
    struct cvm_text first;
    struct cvm_text second;
    struct cvm_error err;
    char id[CVM_WORLD_ID_SIZE];
    cvm_text_init(&first, 0);
    cvm_text_init(&second, 0);
    for (int64_t customer = 0; customer < 40; customer++) {
        cvm_world_customer_id(customer, id);
        struct cvm_decide_request request = {.customer_id = id,
                                             .as_of_day = AS_OF,
                                             .channel = CVM_CHANNEL_UNSET,
                                             .direction = CVM_DIRECTION_OUTBOUND,
                                             .forced_treatment = CVM_INDEX_NONE,
                                             .allowed = UINT64_MAX,
                                             .who = "test"};
        cvm_text_clear(&first);
        cvm_text_clear(&second);
        must(cvm_decide(engine, base->store, &request, base->arena, &first, &err), &err);
        must(cvm_decide(engine, base->store, &request, base->arena, &second, &err), &err);
        assert_string_equal(cvm_text_string(&first), cvm_text_string(&second));
    }
    cvm_text_finish(&first);
    cvm_text_finish(&second);
    cvm_engine_close(engine);
    assert_within_limits(base);
}

static void a_result_file_holds_an_entry_per_decision(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 1024);
    struct cvm_engine *engine = open_engine(base, 2, 64);
    struct cvm_error err;
    char path[128];
    char *text = NULL;
    size_t length = 0;
    size_t lines = 0;
    (void)snprintf(path, sizeof(path), "%s/results.ndjson", base->folder);
    struct cvm_run_file_options options = {.path = path, .store = base->store};
    must(cvm_run_write_file(engine, result, &options, &err), &err);
    must(cvm_file_read(base->arena, path, (size_t)64 << 20, &text, &length, &err), &err);
    for (size_t i = 0; i < length; i++) {
        lines += text[i] == '\n';
    }
    assert_int_equal(lines, result->decision_count + 1);
    assert_non_null(strstr(text, "\"plan_digest\""));
    cvm_engine_close(engine);
    cvm_run_result_destroy(result);
}

#define WITH_BASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BASE(the_plan_does_not_depend_on_threads_or_chunk_size),
        WITH_BASE(a_run_confirms_what_it_uses_and_the_same_request_is_the_same_run),
        WITH_BASE(another_run_of_the_day_leaves_decided_customers_alone),
        WITH_BASE(a_run_that_died_with_its_hold_is_taken_up_with_all_capacity),
        WITH_BASE(a_forced_treatment_ends_with_its_capacity),
        WITH_BASE(unknown_customers_are_told_and_hurt_nobody),
        WITH_BASE(a_window_without_events_stops_and_names_the_newest_date),
        WITH_BASE(since_hides_what_lies_before_it),
        WITH_BASE(the_store_is_asked_for_the_periods_of_the_window_only),
        WITH_BASE(more_threads_than_connections_make_the_same_plan),
        WITH_BASE(explain_says_the_same_value_as_the_decision),
        WITH_BASE(one_customer_gets_one_decision_a_day),
        WITH_BASE(a_result_file_holds_an_entry_per_decision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
