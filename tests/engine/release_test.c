/* Rules that hold a plan, by runs, imports and outcomes made by hand; and rows of channel files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/date.h"
#include "engine/auto_hold.h"
#include "engine/channel_rows.h"
#include "storage/plan_store.h"

#define AS_OF 19802 /* 2024-03-20 */

static int64_t now_ms = INT64_C(19803) * 86400000;

struct base {
    struct cvm_arena *arena;
    struct cvm_store *store;
    struct cvm_catalogue *catalogue;
    struct cvm_engine engine;
    int runs;
};

static void must(enum cvm_status status, const struct cvm_error *err)
{
    if (status != CVM_OK) {
        (void)fprintf(stderr, "%s (%s:%d)\n", err->message, err->file, err->line);
    }
    assert_int_equal(status, CVM_OK);
}

static void sql(const struct base *base, const char *text)
{
    struct cvm_error err;
    must(cvm_db_exec(cvm_store_db(base->store), text, NULL, 0, NULL, &err), &err);
}

/* Two treatments, one source whose events may be 10 days old, and limits that are easy to reckon
 * with. */
static int set_up(void **state)
{
    struct base *base = calloc(1, sizeof(*base));
    struct cvm_error err;
    assert_non_null(base);
    struct cvm_store_options options = {
        .access = CVM_DB_WRITE, .may_create = true, .clock = cvm_clock_fixed(&now_ms)};
    base->arena = cvm_arena_create((size_t)64 << 20);
    must(cvm_store_open("sqlite::memory:", &options, &base->store, &err), &err);
    base->catalogue = CVM_NEW(base->arena, struct cvm_catalogue);
    base->catalogue->treatments = CVM_NEW_ARRAY(base->arena, 2, struct cvm_treatment);
    base->catalogue->treatments[0].id = "call_back";
    base->catalogue->treatments[1].id = "points";
    base->catalogue->treatment_count = 2;
    base->catalogue->sources = CVM_NEW_ARRAY(base->arena, 1, struct cvm_source);
    base->catalogue->sources[0].name = "bills";
    base->catalogue->sources[0].freshness_days_max = 10;
    base->catalogue->source_count = 1;
    base->catalogue->release = (struct cvm_release_rules){
        .least_decisions = 100,
        .volume_change = 0.5,
        .spend_change = 0.2,
        .treatment_change = 0.3,
        .opt_out_rate = 0.02,
        .source_shrink = 0.5,
        .hold_stale = true,
    };
    base->engine = (struct cvm_engine){.catalogue = base->catalogue, .last_batch = 100};
    *state = base;
    return 0;
}

static int tear_down(void **state)
{
    struct base *base = *state;
    cvm_store_close(base->store);
    cvm_arena_destroy(base->arena);
    free(base);
    return 0;
}

struct made_run {
    int64_t calls, points, spend_micro;
    int32_t day; /* 0 = the day before */
    const char *state;
    const char *options;
    int64_t last_batch;
};

/* A finished run with so many decisions of each treatment. Returns its id. */
static const char *make_run(struct base *base, struct made_run made)
{
    char id[CVM_RUN_ID_SIZE];
    char summary[160];
    struct cvm_error err;
    int64_t epoch = 0;
    struct cvm_db *db = cvm_store_db(base->store);
    (void)snprintf(id, sizeof(id), "run-%d", ++base->runs);
    (void)snprintf(summary, sizeof(summary), "{\"by_treatment\":{\"call_back\":%d,\"points\":%d}}",
                   (int)made.calls, (int)made.points);
    struct cvm_run_record run = {
        .run_id = cvm_arena_string(base->arena, id),
        .request = cvm_arena_string(base->arena, id),
        .as_of_day = made.day == 0 ? AS_OF - 1 : made.day,
        .options = made.options == NULL ? "{\"replace\":false}" : made.options,
        .created_at_ms = now_ms - 1000 + base->runs,
        .last_batch = made.last_batch,
        .summary = cvm_arena_string(base->arena, summary),
        .plan_digest = "",
        .decisions = made.calls + made.points,
        .spend_micro = made.spend_micro,
    };
    must(cvm_run_start(base->store, &run, &epoch, &err), &err);
    if (made.state == NULL) {
        return run.run_id;
    }
    run.epoch = epoch;
    must(cvm_db_begin(db, &err), &err);
    must(cvm_run_finish(base->store, &run, &err), &err);
    static const char *const steps[] = {"approved", "released", "recalled"};
    for (size_t i = 0; strcmp(made.state, "draft") != 0 && i < 3; i++) {
        must(cvm_plan_set_state(base->store, run.run_id, steps[i], "test", "", &err), &err);
        if (strcmp(steps[i], made.state) == 0) {
            break;
        }
    }
    must(cvm_db_commit(db, &err), &err);
    return run.run_id;
}

/* The reasons against the plan of a run at work. */
static size_t hold(struct base *base, struct made_run made, const char *const **out_reasons)
{
    struct cvm_error err;
    size_t count = 99;
    made.state = NULL;
    made.day = AS_OF;
    struct cvm_run_result result = {
        .run_id = make_run(base, made),
        .catalogue = base->catalogue,
        .as_of_day = AS_OF,
        .customers = 1000,
        .undecided_before = 1000,
        .decision_count = (size_t)(made.calls + made.points),
        .spend_micro = made.spend_micro,
    };
    result.by_treatment[0] = made.calls;
    result.by_treatment[1] = made.points;
    must(cvm_auto_hold(&base->engine, base->store, &result, base->arena, out_reasons, &count, &err),
         &err);
    return count;
}

static void the_first_plan_is_not_held(void **state)
{
    const char *const *reasons = NULL;
    assert_int_equal(hold(*state, (struct made_run){.calls = 5000}, &reasons), 0);
}

static void volume_up_to_the_limit_goes_through(void **state)
{
    const char *const *reasons = NULL;
    (void)make_run(*state, (struct made_run){.calls = 1000, .state = "released"});
    assert_int_equal(hold(*state, (struct made_run){.calls = 1500}, &reasons), 0);
    assert_int_equal(hold(*state, (struct made_run){.calls = 500}, &reasons), 0);
}

static void volume_beyond_it_is_told_with_both_numbers(void **state)
{
    const char *const *reasons = NULL;
    (void)make_run(*state, (struct made_run){.calls = 11240, .state = "released"});
    assert_int_equal(hold(*state, (struct made_run){.calls = 18204}, &reasons), 1);
    assert_string_equal(reasons[0], "18,204 decisions, 62 % more than the 11,240 of run run-1; at "
                                    "most 50 % is allowed");
    assert_int_equal(hold(*state, (struct made_run){.calls = 1124}, &reasons), 1);
    assert_string_equal(reasons[0], "1,124 decisions, 90 % fewer than the 11,240 of run run-1; at "
                                    "most 50 % is allowed");
}

static void spend_is_compared_in_money(void **state)
{
    const char *const *reasons = NULL;
    (void)make_run(*state,
                   (struct made_run){.calls = 1000, .spend_micro = 100000000, .state = "released"});
    struct made_run now = {.calls = 1000, .spend_micro = 130500000};
    assert_int_equal(hold(*state, now, &reasons), 1);
    assert_string_equal(
        reasons[0], "spend of 130.50, 30.5 % more than the 100.00 of run run-1; at most 20 % is "
                    "allowed");
    now.spend_micro = 120000000;
    assert_int_equal(hold(*state, now, &reasons), 0);
}

static void one_treatments_share_is_compared_in_points(void **state)
{
    const char *const *reasons = NULL;
    (void)make_run(*state, (struct made_run){.calls = 900, .points = 100, .state = "approved"});
    assert_int_equal(hold(*state, (struct made_run){.calls = 600, .points = 400}, &reasons), 0);
    assert_int_equal(hold(*state, (struct made_run){.calls = 500, .points = 500}, &reasons), 2);
    assert_string_equal(reasons[0], "call_back is 50 % of the decisions and was 90 % in run run-1; "
                                    "at most 30 points up or down are allowed");
    assert_string_equal(reasons[1], "points is 50 % of the decisions and was 10 % in run run-1; at "
                                    "most 30 points up or down are allowed");
}

static void small_plans_are_not_compared(void **state)
{
    const char *const *reasons = NULL;
    (void)make_run(*state, (struct made_run){.calls = 99, .state = "released"});
    assert_int_equal(hold(*state, (struct made_run){.calls = 5000}, &reasons), 0);
    (void)make_run(*state, (struct made_run){.calls = 5000, .state = "released"});
    assert_int_equal(hold(*state, (struct made_run){.calls = 99}, &reasons), 0);
}

static void only_plans_of_the_same_kind_that_were_let_go_are_compared_with(void **state)
{
    const char *const *reasons = NULL;
    struct made_run now = {.calls = 5000};
    (void)make_run(*state, (struct made_run){.calls = 5100, .state = "released"});
    (void)make_run(*state, (struct made_run){.calls = 200, .state = "recalled"});
    (void)make_run(*state, (struct made_run){.calls = 200, .state = "draft"});
    (void)make_run(
        *state,
        (struct made_run){.calls = 200, .state = "released", .options = "{\"trigger\":\"x\"}"});
    (void)make_run(
        *state,
        (struct made_run){.calls = 200, .state = "released", .options = "{\"customers\":[\"A\"]}"});
    (void)make_run(*state, (struct made_run){.calls = 200, .state = "released", .day = AS_OF + 1});
    assert_int_equal(hold(*state, now, &reasons), 0);
    now.options = "{\"replace\":true,\"trigger\":\"x\"}";
    assert_int_equal(hold(*state, now, &reasons), 1);
    now.options = "{\"customers\":[\"A\"]}"; /* a run for some is never held */
    assert_int_equal(hold(*state, now, &reasons), 0);
}

static void opt_outs_of_the_last_week_are_counted_once_per_contact(void **state)
{
    struct base *base = *state;
    const char *const *reasons = NULL;
    (void)make_run(base, (struct made_run){.calls = 1000, .state = "released"});
    sql(base, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
              "INSERT INTO outcome (run_id, customer_key, state, day, is_late, outcome_import) "
              "SELECT 'run-1', i, 2, 19796, 0, 1 FROM n");
    sql(base, "INSERT INTO outcome (run_id, customer_key, state, day, is_late, outcome_import) "
              "SELECT 'run-1', customer_key, 13, 19802, 0, 1 FROM outcome WHERE customer_key <= 4");
    /* before the week, and so not counted */
    sql(base, "INSERT INTO outcome (run_id, customer_key, state, day, is_late, outcome_import) "
              "VALUES ('run-1', 999, 13, 19795, 0, 1)");
    assert_int_equal(hold(base, (struct made_run){.calls = 1000}, &reasons), 0); /* 2 % */
    sql(base, "INSERT INTO outcome (run_id, customer_key, state, day, is_late, outcome_import) "
              "VALUES ('run-1', 5, 13, 19802, 0, 1)");
    assert_int_equal(hold(base, (struct made_run){.calls = 1000}, &reasons), 1);
    assert_string_equal(reasons[0],
                        "5 opt-outs among the 200 contacts of the last 7 days, 2.5 %; at "
                        "most 2 % is allowed");
}

static void import_bills(struct base *base, int batch, int rows, const char *first,
                         const char *last)
{
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "INSERT INTO batch (batch, state, catalogue_version, started_at, report) VALUES "
                   "(%d, 'closed', 1, 0, '{\"by_source\":{\"bills\":{\"read\":%d,\"stored\":1,"
                   "\"first_date\":\"%s\",\"last_date\":\"%s\"}}}')",
                   batch, rows, first, last);
    sql(base, text);
}

static void a_source_older_than_its_freshness_holds(void **state)
{
    struct base *base = *state;
    const char *const *reasons = NULL;
    import_bills(base, 1, 1000, "2024-01-01", "2024-03-10"); /* 10 days */
    assert_int_equal(hold(base, (struct made_run){.calls = 1000}, &reasons), 0);
    base->catalogue->sources[0].freshness_days_max = 9;
    assert_int_equal(hold(base, (struct made_run){.calls = 1000}, &reasons), 1);
    assert_string_equal(reasons[0],
                        "source bills: the newest event is of 2024-03-10, 10 days before "
                        "2024-03-20; at most 9 days are allowed");
    base->catalogue->release.hold_stale = false;
    assert_int_equal(hold(base, (struct made_run){.calls = 1000}, &reasons), 0);
}

static void a_shrunken_source_holds_once(void **state)
{
    struct base *base = *state;
    const char *const *reasons = NULL;
    import_bills(base, 1, 6000, "2024-03-19", "2024-03-19");
    import_bills(base, 2, 1200, "2024-03-20", "2024-03-20");
    assert_int_equal(hold(base, (struct made_run){.calls = 1000}, &reasons), 1);
    assert_string_equal(reasons[0], "source bills: 1,200 records in batch 2, 80 % fewer than the "
                                    "6,000 of batch 1; at most 50 % is allowed");
    (void)make_run(base, (struct made_run){.calls = 1000, .state = "released", .last_batch = 2});
    assert_int_equal(hold(base, (struct made_run){.calls = 1000}, &reasons), 0);
}

static void a_nightly_import_after_the_first_one_is_not_shrunken(void **state)
{
    struct base *base = *state;
    const char *const *reasons = NULL;
    import_bills(base, 1, 100000, "2023-12-11", "2024-03-19"); /* 100 days, 1,000 a day */
    import_bills(base, 2, 900, "2024-03-20", "2024-03-20");
    assert_int_equal(hold(base, (struct made_run){.calls = 1000}, &reasons), 0);
}

/* Sent and opted out of a decision become records too, as many as are reported at a time. */
static void what_outcomes_write_is_no_delivery_of_a_source(void **state)
{
    struct base *base = *state;
    const char *const *reasons = NULL;
    import_bills(base, 1, 6000, "2024-03-19", "2024-03-19");
    import_bills(base, 2, 1, "2024-03-20", "2024-03-20");
    sql(base, "UPDATE batch SET report = json_set(report, '$.follows_outcomes', json('true')) "
              "WHERE batch = 2");
    assert_int_equal(hold(base, (struct made_run){.calls = 1000}, &reasons), 0);
    sql(base, "UPDATE batch SET report = json_set(report, '$.follows_outcomes', json('false')) "
              "WHERE batch = 2");
    assert_int_equal(hold(base, (struct made_run){.calls = 1000}, &reasons), 1);
}

static void without_rules_nothing_is_held(void **state)
{
    struct base *base = *state;
    const char *const *reasons = NULL;
    base->catalogue->release = (struct cvm_release_rules){0};
    import_bills(base, 1, 6000, "2022-03-19", "2022-03-19");
    (void)make_run(base, (struct made_run){.calls = 1000, .state = "released"});
    assert_int_equal(hold(base, (struct made_run){.calls = 90000}, &reasons), 0);
}

/* ---- rows of channel files ---- */

static const struct cvm_decision decision = {
    .run_id = "2024-03-20-12345678",
    .customer_key = 0x2a,
    .customer_id = "=HYPERLINK(1)",
    .treatment = "call_back",
    .value = -1.5,
    .earliest_at_ms = INT64_C(19803) * 86400000,
};

static const char *row_text(const struct base *base, enum cvm_file_format format, char delimiter,
                            const char *const *constants, struct cvm_text *out)
{
    struct cvm_file_column columns[8] = {
        {.name = "id", .field = "customer_id", .feature = CVM_INDEX_NONE},
        {.name = "worth", .field = "value", .feature = CVM_INDEX_NONE},
        {.name = "from", .field = "earliest_at", .feature = CVM_INDEX_NONE},
        {.name = "to", .field = "latest_at", .feature = CVM_INDEX_NONE},
        {.name = "test", .field = "is_test", .feature = CVM_INDEX_NONE},
    };
    struct cvm_channel_file file = {
        .format = format, .delimiter = delimiter, .columns = columns, .column_count = 5};
    for (size_t i = 0; constants[i] != NULL; i++) {
        columns[file.column_count++] = (struct cvm_file_column){
            .name = i == 0 ? "c" : "d", .constant = constants[i], .feature = CVM_INDEX_NONE};
    }
    struct cvm_channel_row row = {
        .catalogue = base->catalogue,
        .decision = &decision,
        .decision_id = "x.1",
        .customer_id = decision.customer_id,
        .as_of_day = AS_OF,
    };
    cvm_text_init(out, 0);
    cvm_channel_head_write(&file, out);
    cvm_channel_row_write(&file, &row, out);
    return cvm_text_string(out);
}

static void csv_cells_are_quoted_and_text_is_no_formula(void **state)
{
    struct cvm_text text;
    assert_string_equal(
        row_text(*state, CVM_FILE_CSV, ',', (const char *const[]){"a,\"b\"\nc", "@x", NULL}, &text),
        "id,worth,from,to,test,c,d\n"
        "'=HYPERLINK(1),-1.5,2024-03-21T00:00:00Z,,false,\"a,\"\"b\"\"\nc\",'@x\n");
    cvm_text_finish(&text);
    assert_string_equal(
        row_text(*state, CVM_FILE_CSV, ';', (const char *const[]){"a,b", "-;", NULL}, &text),
        "id;worth;from;to;test;c;d\n"
        "'=HYPERLINK(1);-1.5;2024-03-21T00:00:00Z;;false;a,b;\"'-;\"\n");
    cvm_text_finish(&text);
    assert_string_equal(row_text(*state, CVM_FILE_CSV, ',',
                                 (const char *const[]){"+447700900123", "+1+2", NULL}, &text),
                        "id,worth,from,to,test,c,d\n"
                        "'=HYPERLINK(1),-1.5,2024-03-21T00:00:00Z,,false,+447700900123,'+1+2\n");
    cvm_text_finish(&text);
}

static void json_rows_have_types_and_their_texts_as_they_are(void **state)
{
    struct cvm_text text;
    assert_string_equal(
        row_text(*state, CVM_FILE_NDJSON, ',', (const char *const[]){"a\"b", NULL}, &text),
        "{\"id\":\"=HYPERLINK(1)\",\"worth\":-1.5,\"from\":\"2024-03-21T00:00:00Z\",\"to\":null,"
        "\"test\":false,\"c\":\"a\\\"b\"}\n");
    cvm_text_finish(&text);
}

#define WITH_BASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BASE(the_first_plan_is_not_held),
        WITH_BASE(volume_up_to_the_limit_goes_through),
        WITH_BASE(volume_beyond_it_is_told_with_both_numbers),
        WITH_BASE(spend_is_compared_in_money),
        WITH_BASE(one_treatments_share_is_compared_in_points),
        WITH_BASE(small_plans_are_not_compared),
        WITH_BASE(only_plans_of_the_same_kind_that_were_let_go_are_compared_with),
        WITH_BASE(opt_outs_of_the_last_week_are_counted_once_per_contact),
        WITH_BASE(a_source_older_than_its_freshness_holds),
        WITH_BASE(a_shrunken_source_holds_once),
        WITH_BASE(a_nightly_import_after_the_first_one_is_not_shrunken),
        WITH_BASE(what_outcomes_write_is_no_delivery_of_a_source),
        WITH_BASE(without_rules_nothing_is_held),
        WITH_BASE(csv_cells_are_quoted_and_text_is_no_formula),
        WITH_BASE(json_rows_have_types_and_their_texts_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
