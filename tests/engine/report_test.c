/* The figures of a report against a run made by hand: six customers, two treatments, every number
 * worked out beside it. */
#include "engine/report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "engine/values.h"
#include "storage/catalogue_store.h"

#define AS_OF  19802 /* 2024-03-20 */
#define NOW_MS (INT64_C(19802) * 86400000)

enum { CALL, MAIL, TREATMENTS };
enum { CUSTOMERS = 6 };

static int64_t now_ms = NOW_MS;

struct base {
    char folder[64];
    char url[96];
    struct cvm_arena *arena;
    struct cvm_context context;
    struct cvm_store *store;
    const struct cvm_catalogue *catalogue;
};

static void must(enum cvm_status status, const struct cvm_error *err)
{
    if (status != CVM_OK) {
        (void)fprintf(stderr, "%s (%s; %s:%d)\n", err->message, err->where, err->file, err->line);
    }
    assert_int_equal(status, CVM_OK);
}

static void near(double found, double wanted)
{
    if (!(fabs(found - wanted) < 1e-6)) {
        fail_msg("%.9f is not %.9f", found, wanted);
    }
}

/* One segment over 24 months without discount or churn: an annuity of 24, of which 12 are the first
 * year's. */
static const struct cvm_catalogue_file catalogue_files[] = {
    {.name = "consent.yaml", .text = "yes: [Y]\nno: [N]\n"},
    {.name = "constraints.yaml", .text = "resources: []\nbudgets: []\n"},
    {.name = "features.yaml",
     .text = "features:\n  - {feature: events, aggregate: count, description: Events}\n"},
    {.name = "insights.yaml", .text = "insights: []\n"},
    {.name = "journey.yaml",
     .text = "history_days: 100\nsummary:\n  - {group: 1, sentence: Nothing.}\nmetrics: {}\n"},
    {.name = "mappings/m.yaml",
     .text = "mapping: m\nsources:\n  - source: bills\n    files: [\"bills*\"]\n    kind: events\n"
             "    display_name: Bills\n    rank: 1\n    customer: [id]\n    date: [date]\n"
             "    freshness_days: 10\n    sentence: A bill.\n"
             "    attributes:\n      bill.total: {type: number, fields: [total]}\n"},
    {.name = "topics.yaml", .text = "topics: []\n"},
    {.name = "treatments/call.yaml",
     .text = "treatment: call\ndisplay_name: Call\nenabled: true\nchannel: call\n"
             "purpose: marketing\nclass: retention\nmax_per_day: 5\npriority: 1\ncost: 1\n"
             "loaded_cost: 3\nresponse:\n  reach: {mean: 0.5, sd: 0.1}\n"
             "  churn_cut: {mean: 0.1, sd: 0.1}\n  source: prior\n"},
    {.name = "treatments/mail.yaml",
     .text = "treatment: mail\ndisplay_name: Mail\nenabled: true\nchannel: none\n"
             "purpose: service\nclass: service\npriority: 2\ncost: 0\n"
             "response:\n  reach: {mean: 1, sd: 0}\n  churn_cut: {mean: 0.05, sd: 0.01}\n"
             "  source: prior\n"},
    {.name = "values.yaml",
     .text = "value:\n  horizon_days: 90\n  margin_share: 1\n  discount_month: 1\n"
             "  churn_growth: 0\n  fatigue: 0\nsegments:\n  - segment: all\n"
             "    margin_month: {median: 10, min: 1, max: 100}\n"
             "    churn_month: {mean: 0.01, sd: 0.002}\n    horizon_months: 24\n"},
};
#define FILE_COUNT (sizeof(catalogue_files) / sizeof(catalogue_files[0]))

static void store_catalogue(struct base *base)
{
    struct cvm_catalogue_file files[FILE_COUNT];
    struct cvm_error err = {0};
    for (size_t i = 0; i < FILE_COUNT; i++) {
        files[i] = catalogue_files[i];
        files[i].length = strlen(files[i].text);
    }
    struct cvm_catalogue_files all = {files, FILE_COUNT};
    const struct cvm_catalogue *read = NULL;
    int64_t version = 0;
    struct cvm_catalogue_change_note note = {"test", "first", "[]"};
    must(cvm_catalogue_read(base->arena, &all, "", &read, &err), &err);
    must(cvm_catalogue_store_add(base->store, &all, read->digest, &note, &version, &err), &err);
    must(cvm_catalogue_store_load(base->store, base->arena, 0, &base->catalogue, &err), &err);
    assert_string_equal(base->catalogue->treatments[CALL].id, "call");
    assert_string_equal(base->catalogue->treatments[MAIL].id, "mail");
}

static int set_up(void **state)
{
    struct base *base = calloc(1, sizeof(*base));
    struct cvm_error err = {0};
    assert_non_null(base);
    (void)snprintf(base->folder, sizeof(base->folder), "/tmp/cvm-report-test-XXXXXX");
    assert_non_null(mkdtemp(base->folder));
    (void)snprintf(base->url, sizeof(base->url), "sqlite:%s/cvm.db", base->folder);
    base->arena = cvm_arena_create((size_t)64 << 20);
    base->context.clock = cvm_clock_fixed(&now_ms);
    struct cvm_store_options options = {
        .access = CVM_DB_WRITE, .may_create = true, .clock = base->context.clock};
    must(cvm_store_open(base->url, &options, &base->store, &err), &err);
    store_catalogue(base);
    *state = base;
    return 0;
}

static int tear_down(void **state)
{
    struct base *base = *state;
    struct cvm_file_list list;
    cvm_store_close(base->store);
    if (cvm_folder_list(base->arena, base->folder, 0, &list, NULL) == CVM_OK) {
        for (size_t i = 0; i < list.count; i++) {
            char path[256];
            (void)snprintf(path, sizeof(path), "%s/%s", base->folder, list.paths[i]);
            (void)unlink(path);
        }
    }
    cvm_arena_destroy(base->arena);
    (void)rmdir(base->folder);
    free(base);
    return 0;
}

/* ---- the run ---- */

#define REFUSED(reason) (-(double)(reason))

/* Value of call and mail; negative integers below -1 are reasons of refusal. */
static const double values[CUSTOMERS][TREATMENTS] = {
    {10, 4.5},                           /* call */
    {8, 5},                              /* mail */
    {REFUSED(CVM_REASON_NO_CONSENT), 3}, /* mail */
    {6, -1},                             /* call */
    {9, 2},                              /* would have been called: a ghost */
    {REFUSED(CVM_REASON_ALREADY_DECIDED), REFUSED(CVM_REASON_ALREADY_DECIDED)},
};
static const float churns_of[CUSTOMERS] = {0.1F, 0.2F, 0.3F, 0.4F, 0.15F, 0.25F};

static uint64_t key_of(size_t customer)
{
    return 10 * customer + 11;
}

static void fill_verdicts(const struct cvm_verdicts *verdicts, struct cvm_chunk *chunk)
{
    for (size_t i = 0; i < CUSTOMERS; i++) {
        char id[8];
        int length = snprintf(id, sizeof(id), "C%zu", i + 1);
        chunk->keys[i] = key_of(i);
        chunk->id_offsets[i] = (uint32_t)chunk->ids.length;
        cvm_text_add_bytes(&chunk->ids, id, (size_t)length + 1);
        verdicts->margins[i] = 10;
        verdicts->churns[i] = churns_of[i];
        verdicts->tirings[i] = 1;
        verdicts->segments[i] = 0;
        for (size_t t = 0; t < TREATMENTS; t++) {
            bool is_refused = values[i][t] < -1;
            size_t at = t * verdicts->stride + i;
            verdicts->values[at] = is_refused ? CVM_VALUE_INELIGIBLE : (float)values[i][t];
            verdicts->reasons[at] = is_refused ? (unsigned char)-values[i][t] : 0;
        }
    }
    chunk->count = CUSTOMERS;
}

static void store_values(struct base *base, const char *run_id)
{
    float numbers[TREATMENTS * 16];
    unsigned char reasons[TREATMENTS * 16];
    float margins[16];
    float churns[16];
    float tirings[16];
    unsigned char segments[16];
    struct cvm_contact_facts facts[16] = {{0}};
    struct cvm_verdicts verdicts = {.values = numbers,
                                    .reasons = reasons,
                                    .margins = margins,
                                    .churns = churns,
                                    .tirings = tirings,
                                    .segments = segments,
                                    .facts = facts,
                                    .stride = 16};
    struct cvm_shard_values shard;
    struct cvm_chunk *chunk = NULL;
    struct cvm_text body;
    struct cvm_error err = {0};
    must(cvm_chunk_create(16, 1, &chunk, &err), &err);
    fill_verdicts(&verdicts, chunk);
    cvm_shard_values_init(&shard, TREATMENTS);
    cvm_text_init(&body, 0);
    must(cvm_shard_values_add(&shard, chunk, &verdicts, &err), &err);
    must(cvm_shard_values_encode(&shard, &body, &err), &err);
    struct cvm_value_block block = {.first_key = 1,
                                    .last_key = 1000,
                                    .customers = CUSTOMERS,
                                    .body = body.data,
                                    .length = body.length};
    must(cvm_value_block_add(base->store, run_id, &block, &err), &err);
    cvm_text_finish(&body);
    cvm_shard_values_finish(&shard);
    cvm_chunk_destroy(chunk);
}

static struct cvm_decision decision_of(const char *run_id, size_t customer, size_t treatment,
                                       double sd)
{
    static const char *const ids[] = {"call", "mail"};
    return (struct cvm_decision){
        .run_id = run_id,
        .customer_key = key_of(customer),
        .customer_id = "C",
        .treatment = ids[treatment],
        .channel = treatment == CALL ? "call" : "none",
        .value = values[customer][treatment],
        .sd = sd,
        .cost_micro = treatment == CALL ? 1000000 : 0,
        .incentive_micro = treatment == CALL ? 500000 : 0,
        .churn = (double)churns_of[customer],
        .arm = "treated",
        .selection_probability = 0.9,
    };
}

static const char responses[] =
    "{\"call\": {\"reach\": 0.5, \"churn_cut\": 0.1, "
    "\"churn_cut_sd\": 0.06, \"source\": \"learned\", \"outcomes\": 50}}";
static const char summary[] =
    "{\"successful\": 6, \"already_decided\": 1, \"total_value\": 24, \"dual_bound\": 25, \"gap\": "
    "0.04, \"spend\": 3, \"constraints_final_state\": {\"call\": {\"max_per_day\": 5, "
    "\"remaining_availability\": 0, \"shadow_price\": 7}, \"mail\": {\"max_per_day\": null}}}";

struct run_made {
    const char *run_id;
    int32_t day;
    const char *responses;
    bool has_values;
};

static void make_run(struct base *base, const struct run_made *made)
{
    struct cvm_db *db = cvm_store_db(base->store);
    struct cvm_error err = {0};
    int64_t epoch = 0;
    struct cvm_run_record run = {
        .run_id = made->run_id,
        .request = made->run_id,
        .as_of_day = made->day,
        .catalogue_version = 1,
        .options = "{}",
        .created_by = "test",
        .responses = made->responses,
        .created_at_ms = NOW_MS + made->day,
    };
    must(cvm_run_start(base->store, &run, &epoch, &err), &err);
    must(cvm_db_begin(db, &err), &err);
    if (made->has_values) {
        store_values(base, made->run_id);
    }
    struct cvm_decision decisions[] = {
        decision_of(made->run_id, 0, CALL, 2), decision_of(made->run_id, 1, MAIL, 4),
        decision_of(made->run_id, 2, MAIL, 0), decision_of(made->run_id, 3, CALL, 3),
        decision_of(made->run_id, 4, CALL, 9),
    };
    decisions[4].ghost = true;
    decisions[4].arm = "universal_control";
    decisions[4].withheld = "call";
    must(cvm_decision_add(base->store, decisions, 5, &err), &err);
    run.epoch = epoch;
    run.finished_at_ms = NOW_MS + made->day;
    run.summary = summary;
    run.plan_digest = "digest";
    run.decisions = 4;
    run.value = 24;
    must(cvm_run_finish(base->store, &run, &err), &err);
    must(cvm_db_commit(db, &err), &err);
}

static enum cvm_status try_report(struct base *base, const struct cvm_report_request *request,
                                  const struct cvm_report **out_report, struct cvm_error *err)
{
    struct cvm_engine *engine = NULL;
    struct cvm_engine_options options = {.store_url = base->url,
                                         .catalogue = base->catalogue,
                                         .context = &base->context,
                                         .thread_count = 1};
    must(cvm_engine_open(&options, &engine, err), err);
    enum cvm_status status =
        cvm_report_make(engine, base->store, request, base->arena, out_report, err);
    cvm_engine_close(engine);
    return status;
}

static const struct cvm_report *report_of(struct base *base, const char *run_id)
{
    const struct cvm_report *report = NULL;
    struct cvm_error err = {0};
    must(try_report(base, &(struct cvm_report_request){.run_id = run_id}, &report, &err), &err);
    return report;
}

static const struct cvm_report *ordinary(struct base *base)
{
    make_run(base, &(struct run_made){"run-b", AS_OF, responses, true});
    return report_of(base, "run-b");
}

/* ---- rules ---- */

/* 10 + 5 + 3 + 6. The call's cost of 1 comes off after the halving: (10 + 1) / 2 - 1 = 4.5 and
 * (6 + 1) / 2 - 1 = 2.5; the mails halve to 2.5 and 1.5. */
static void sums_are_of_the_treated_and_the_year_is_half_of_two(void **state)
{
    const struct cvm_report_sum *total = &ordinary(*state)->total;
    assert_int_equal(total->treated, 4);
    assert_int_equal(total->contacts, 2);
    assert_int_equal(total->ghosts, 1);
    near(total->value, 24);
    near(total->contact_value, 16);
    near(total->year, 4.5 + 2.5 + 2.5 + 1.5);
    near(total->withheld, 9);
    assert_int_equal(total->cost_micro, 2000000);
    assert_int_equal(total->incentive_micro, 1000000);
    assert_int_equal(total->loaded_micro, 6000000);
}

/* Calls share their error: 2 + 3 = 5. Mails: 4 + 0. Together sqrt(25 + 16); in the year half. */
static void errors_add_within_a_treatment_and_square_between(void **state)
{
    const struct cvm_report *report = ordinary(*state);
    near(report->total.value_sd, sqrt(41));
    near(report->total.year_sd, sqrt(41) / 2);
    near(report->segments[0].sum.value_sd, sqrt(41));
    assert_string_equal(report->treatments[0].id, "call"); /* the greater value first */
    near(report->treatments[0].sum.value_sd, 5);
    near(report->treatments[1].sum.value_sd, 4);
}

static void the_value_rests_on_what_the_run_knew(void **state)
{
    const struct cvm_report *report = ordinary(*state);
    /* mail: prior; call: (.06 / .1)^2 of the prior's variance is left */
    near(report->by_source[0], (8.0 + 0.36 * 16.0) / 24);
    near(report->by_source[1], 0.64 * 16.0 / 24);
    near(report->by_source[2], 0);
    assert_string_equal(report->treatments[0].source, "learned");
    assert_int_equal(report->treatments[0].outcomes, 50);
}

/* At a price of 7 a call is worth it to C1, C2 and C5; mail to C1, C2, C3, C5. */
static void the_funnel_counts_customers_and_refusals_pairs(void **state)
{
    const struct cvm_report *report = ordinary(*state);
    const struct cvm_report_funnel *funnel = &report->funnel;
    assert_int_equal(funnel->customers, 6);
    assert_int_equal(funnel->undecided, 5);
    assert_int_equal(funnel->permitted, 5);
    assert_int_equal(funnel->valuable, 5);
    assert_int_equal(funnel->above_price, 4);
    assert_int_equal(funnel->chosen, 5);
    assert_int_equal(funnel->treated, 4);
    assert_int_equal(report->refusal_count, 2);
    assert_int_equal(report->refusals[0].reason, CVM_REASON_ALREADY_DECIDED);
    assert_int_equal(report->refusals[0].pairs, 2);
    assert_int_equal(report->refusals[1].reason, CVM_REASON_NO_CONSENT);
    assert_int_equal(report->refusals[1].pairs, 1);
    assert_int_equal(report->treatments[0].permitted, 4);
    assert_int_equal(report->treatments[0].valuable, 4);
    assert_int_equal(report->treatments[1].permitted, 5);
    assert_int_equal(report->treatments[1].valuable, 4);
    assert_int_equal(report->segments[0].customers, 6);
    assert_int_equal(report->segments[0].permitted, 5);
}

static void a_limit_says_what_others_used(void **state)
{
    const struct cvm_report *report = ordinary(*state);
    assert_int_equal(report->limit_count, 1); /* mail has none */
    const struct cvm_report_limit *limit = &report->limits[0];
    assert_int_equal(limit->treatment, CALL);
    near(limit->granted, 5);
    near(limit->used, 2);
    near(limit->elsewhere, 3);
    near(limit->left, 0);
    near(limit->price, 7);
}

/* Two calls are free. By value: C1 10, C2 8, then C3 3 = 21, and so by key. Likeliest to leave
 * first: C4 call 6, C3 mail 3, C2 call 8, C1 mail 4.5 = 21.5. The ghost gets nothing. */
static void simpler_rules_play_with_the_same_limits_and_leave_ghosts_alone(void **state)
{
    const struct cvm_report *report = ordinary(*state);
    assert_int_equal(report->baseline_count, 4);
    static const struct {
        const char *name;
        double value;
        int64_t treated;
    } wanted[] = {{"plan", 24, 4},
                  {"best_value_first", 21, 3},
                  {"churn_first", 21.5, 4},
                  {"first_come", 21, 3}};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(report->baselines[i].name, wanted[i].name);
        near(report->baselines[i].value, wanted[i].value);
        assert_int_equal(report->baselines[i].treated, wanted[i].treated);
    }
}

static void without_value_blocks_the_money_is_still_there(void **state)
{
    struct base *base = *state;
    make_run(base, &(struct run_made){"run-b", AS_OF, responses, false});
    const struct cvm_report *report = report_of(base, "run-b");
    assert_false(report->has_values);
    near(report->total.value, 24);
    near(report->total.value_sd, sqrt(41));
    assert_true(isnan(report->total.year) && isnan(report->total.year_sd));
    assert_int_equal(report->segment_count, 0);
    assert_int_equal(report->baseline_count, 0);
    assert_int_equal(report->group_count, 0);
}

static void the_run_before_is_the_last_of_an_earlier_date(void **state)
{
    struct base *base = *state;
    make_run(base, &(struct run_made){"run-a1", AS_OF - 7, NULL, true});
    make_run(base, &(struct run_made){"run-a2", AS_OF - 1, NULL, true});
    make_run(base, &(struct run_made){"run-z", AS_OF + 1, NULL, true});
    const struct cvm_report *report = ordinary(base);
    assert_string_equal(report->before.run_id, "run-a2");
    near(report->before_total.value, 24);
    struct cvm_error err = {0};
    struct cvm_report_request request = {.run_id = "run-b", .against = "run-a1"};
    must(try_report(base, &request, &report, &err), &err);
    assert_string_equal(report->before.run_id, "run-a1");
    assert_int_equal(report->treatment_change_count, 2);
    assert_int_equal(report->treatment_changes[0].treated_before, 2);
    near(report->treatment_changes[0].value_before, 16);
}

/* The other run knew priors only: .4 for the cut where this one had learned .1. */
static void what_was_learned_is_named_as_a_cause(void **state)
{
    struct base *base = *state;
    make_run(base,
             &(struct run_made){"run-a", AS_OF - 1,
                                "{\"call\": {\"churn_cut\": 0.4, \"source\": \"prior\"}}", true});
    const struct cvm_report *report = ordinary(base);
    const struct cvm_report_change *change = &report->treatment_changes[0];
    assert_string_equal(change->name, "Call");
    assert_int_equal(change->cause_count, 1);
    assert_string_equal(change->causes[0], "learned: cut of churn from 40.0 % to 10.0 %");
    assert_int_equal(report->treatment_changes[1].cause_count, 0);
}

static void a_source_that_never_came_is_stale(void **state)
{
    const struct cvm_report *report = ordinary(*state);
    assert_int_equal(report->source_count, 1);
    assert_int_equal(report->sources[0].age_days, -1);
    assert_true(report->sources[0].is_stale);
}

/* Newest bill 2024-03-08, 12 days before the run, 10 allowed. Batches that do not count are not
 * looked at. */
static void the_age_of_a_source_is_its_newest_event_on_the_date_of_the_run(void **state)
{
    struct base *base = *state;
    struct cvm_error err = {0};
    static const char *const inserts[] = {
        "INSERT INTO batch (batch, state, catalogue_version, started_at, finished_at, first_day, "
        "last_day, report) VALUES (1, 'closed', 1, 5, 6, NULL, NULL, "
        "'{\"by_source\":{\"bills\":{\"stored\":7,\"last_date\":\"2024-03-01\"}}}')",
        "INSERT INTO batch (batch, state, catalogue_version, started_at, finished_at, first_day, "
        "last_day, report) VALUES (2, 'closed', 1, 7, 8, NULL, NULL, "
        "'{\"by_source\":{\"bills\":{\"stored\":5,\"last_date\":\"2024-03-08\"}}}')",
        "INSERT INTO batch (batch, state, catalogue_version, started_at, finished_at, first_day, "
        "last_day, report) VALUES (3, 'retracted', 1, 9, 9, NULL, NULL, "
        "'{\"by_source\":{\"bills\":{\"stored\":5,\"last_date\":\"2024-03-19\"}}}')",
    };
    for (size_t i = 0; i < sizeof(inserts) / sizeof(inserts[0]); i++) {
        must(cvm_db_exec(cvm_store_db(base->store), inserts[i], NULL, 0, NULL, &err), &err);
    }
    make_run(base, &(struct run_made){"run-b", AS_OF, responses, true});
    must(cvm_db_exec(cvm_store_db(base->store), "UPDATE run SET last_batch = 3", NULL, 0, NULL,
                     &err),
         &err);
    const struct cvm_report_source *source = &report_of(base, "run-b")->sources[0];
    assert_int_equal(source->age_days, 12);
    assert_int_equal(source->records, 12);
    assert_int_equal(source->imported_at_ms, 8);
    assert_true(source->is_stale);
}

/* ---- outcomes ---- */

/* `count` decisions of calls, the first `churned` of which left. */
static void add_measured(struct base *base, uint64_t first_key, int count, int churned,
                         const struct cvm_decision *like)
{
    struct cvm_error err = {0};
    char sql[200];
    struct cvm_db *db = cvm_store_db(base->store);
    must(cvm_db_begin(db, &err), &err);
    for (int i = 0; i < count; i++) {
        struct cvm_decision decision = *like;
        decision.customer_key = first_key + (uint64_t)i;
        must(cvm_decision_add(base->store, &decision, 1, &err), &err);
    }
    (void)snprintf(sql, sizeof(sql),
                   "UPDATE decision SET horizon = customer_key < %llu WHERE customer_key BETWEEN "
                   "%llu AND %llu",
                   (unsigned long long)first_key + (unsigned long long)churned,
                   (unsigned long long)first_key,
                   (unsigned long long)first_key + (unsigned long long)count - 1);
    must(cvm_db_exec(db, sql, NULL, 0, NULL, &err), &err);
    must(cvm_db_commit(db, &err), &err);
}

/* 20 of 200 treated left, 40 of 200 of the control group: 10 points fewer; Newcombe's interval of
 * 0.1 - 0.2 with these sizes is -0.1699 to -0.0300. */
static void treated_are_measured_against_the_universal_control_group(void **state)
{
    struct base *base = *state;
    make_run(base, &(struct run_made){"run-a", AS_OF - 100, NULL, false});
    struct cvm_decision treated = decision_of("run-a", 0, CALL, 1);
    struct cvm_decision ghost = treated;
    ghost.ghost = true;
    ghost.arm = "universal_control";
    ghost.selection_probability = 0.1;
    add_measured(base, 1000, 200, 20, &treated);
    add_measured(base, 2000, 200, 40, &ghost);
    const struct cvm_report *report = ordinary(base);
    assert_int_equal(report->outcome_count, 2);
    const struct cvm_report_outcome *outcome = &report->outcomes[0];
    assert_null(outcome->treatment);
    assert_int_equal(outcome->treated, 200);
    assert_int_equal(outcome->controls, 200);
    near(outcome->treated_churned, 20);
    near(outcome->difference.estimate, -0.1);
    assert_true(fabs(outcome->difference.low + 0.1699) < 0.0005);
    assert_true(fabs(outcome->difference.high + 0.0300) < 0.0005);
    assert_true(outcome->smallest_fall > 0.09 && outcome->smallest_fall < 0.12);
    assert_false(outcome->is_too_few);
    assert_string_equal(report->outcomes[1].treatment, "call"); /* it has no holdout */
    assert_int_equal(report->outcomes[1].controls, 0);
    assert_true(report->outcomes[1].is_too_few);
}

static void a_holdout_is_set_against_its_own_treatment_and_few_are_too_few(void **state)
{
    struct base *base = *state;
    make_run(base, &(struct run_made){"run-a", AS_OF - 100, NULL, false});
    struct cvm_decision treated = decision_of("run-a", 1, MAIL, 1);
    struct cvm_decision ghost = treated;
    ghost.ghost = true;
    ghost.arm = "holdout:mail";
    add_measured(base, 1000, 150, 15, &treated);
    add_measured(base, 2000, 50, 10, &ghost);
    const struct cvm_report *report = ordinary(base);
    assert_int_equal(report->outcome_count, 1); /* mail is no marketing */
    assert_string_equal(report->outcomes[0].treatment, "mail");
    assert_int_equal(report->outcomes[0].treated, 150);
    assert_int_equal(report->outcomes[0].controls, 50);
    assert_true(report->outcomes[0].is_too_few);
}

/* ---- what has no report ---- */

static void a_run_that_is_not_there_or_not_done_is_refused(void **state)
{
    struct base *base = *state;
    struct cvm_error err = {0};
    int64_t epoch = 0;
    const struct cvm_report *report = NULL;
    struct cvm_report_request request = {.run_id = "nothing"};
    assert_int_equal(try_report(base, &request, &report, &err), CVM_E_NOT_FOUND);
    struct cvm_run_record run = {.run_id = "begun", .request = "begun", .catalogue_version = 1};
    must(cvm_run_start(base->store, &run, &epoch, &err), &err);
    request.run_id = "begun";
    assert_int_equal(try_report(base, &request, &report, &err), CVM_E_CONFLICT);
    assert_string_equal(err.message, "run 'begun' is not finished");
    assert_null(report);
}

static void a_damaged_block_is_an_error_and_no_crash(void **state)
{
    struct base *base = *state;
    struct cvm_error err = {0};
    const struct cvm_report *report = NULL;
    make_run(base, &(struct run_made){"run-b", AS_OF, responses, true});
    must(cvm_db_exec(cvm_store_db(base->store),
                     "UPDATE value_block SET body = substr(body, 1, length(body) - 1)", NULL, 0,
                     NULL, &err),
         &err);
    struct cvm_report_request request = {.run_id = "run-b"};
    assert_int_equal(try_report(base, &request, &report, &err), CVM_E_CORRUPT);
    assert_null(report);
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(sums_are_of_the_treated_and_the_year_is_half_of_two),
        RULE(errors_add_within_a_treatment_and_square_between),
        RULE(the_value_rests_on_what_the_run_knew),
        RULE(the_funnel_counts_customers_and_refusals_pairs),
        RULE(a_limit_says_what_others_used),
        RULE(simpler_rules_play_with_the_same_limits_and_leave_ghosts_alone),
        RULE(without_value_blocks_the_money_is_still_there),
        RULE(the_run_before_is_the_last_of_an_earlier_date),
        RULE(what_was_learned_is_named_as_a_cause),
        RULE(a_source_that_never_came_is_stale),
        RULE(the_age_of_a_source_is_its_newest_event_on_the_date_of_the_run),
        RULE(treated_are_measured_against_the_universal_control_group),
        RULE(a_holdout_is_set_against_its_own_treatment_and_few_are_too_few),
        RULE(a_run_that_is_not_there_or_not_done_is_refused),
        RULE(a_damaged_block_is_an_error_and_no_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
