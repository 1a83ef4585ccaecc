/* Reports of outcomes: any order, twice, late, impossible; what follows from them; and a failure at
 * every call to the database. */
#include "engine/outcome.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "engine/outcome_tally.h"
#include "engine/usage.h"
#include "storage/outcome_store.h"
#include "storage/plan_store.h"
#include "support/db_faulty.h"
#include "support/import_support.h"
#include "support/store_support.h"

#define DAY     19802 /* 2024-03-20 */
#define RUN     "2024-03-20-aaaaaaaa"
#define HELD    "2024-03-20-bbbbbbbb" /* a plan that is not released */
#define TODAY   (DAY + 200)
#define REPORTS 100

static struct cvm_arena *arena;

/* ---- a store with decisions ---- */

enum who { CALLED, MAILED, POINTS, GHOST, PEOPLE };
static const struct {
    const char *id;
    const char *treatment;
    const char *channel;
    bool is_ghost;
    double churn;
} people[PEOPLE] = {
    {"U1", "marketing_call_back", "call", false, .25},
    {"U2", "retention_email", "email", false, .125},
    {"U3", "loyalty_points", "none", false, .0625},
    {"U4", "marketing_call_back", "call", true, .5},
};

static const char permissions[] =
    "{\"customer_id\": \"%s\", \"last_updated\": \"2024-01-05\", \"permissions\": {"
    "\"call\": {\"marketing\": \"Y\", \"service_updates\": \"Y\"},"
    "\"email\": {\"marketing\": \"Y\", \"service_updates\": \"N\"},"
    "\"sms\": {\"marketing\": \"N\"}}, \"do_not_disturb\": \"22:00-08:00\","
    "\"preferred_contact_time\": \"morning\", \"preferred_language\": \"French\"}\n";

static uint64_t key_of(enum who who)
{
    return cvm_customer_key(people[who].id, strlen(people[who].id));
}

static const char *decision_of(const char *run_id, enum who who)
{
    static char ids[8][CVM_DECISION_ID_SIZE];
    static int next;
    next = (next + 1) % 8;
    return cvm_decision_id(run_id, key_of(who), ids[next]);
}

static void import_permissions(struct cvm_store *store)
{
    char text[4096] = "";
    size_t length = 0;
    for (int who = 0; who < PEOPLE; who++) {
        length +=
            (size_t)snprintf(text + length, sizeof(text) - length, permissions, people[who].id);
    }
    import_text("permissions.ndjson", text);
    struct cvm_import_report report = import_run(store, &(struct import_settings){0});
    assert_int_equal(report.rejected, 0);
    (void)remove(import_path("permissions.ndjson"));
}

static void add_run(struct cvm_store *store, const char *run_id, const char *plan_state)
{
    char sql[200];
    int64_t epoch = 0;
    struct cvm_run_record run = {.run_id = run_id,
                                 .request = run_id,
                                 .as_of_day = DAY,
                                 .catalogue_version = import_catalogue()->version,
                                 .options = "{}",
                                 .created_by = "test",
                                 .created_at_ms = 1};
    ASSERT_OK(cvm_run_start(store, &run, &epoch, ERR));
    (void)snprintf(sql, sizeof(sql), "UPDATE plan SET state = '%s' WHERE run_id = '%s'", plan_state,
                   run_id);
    support_exec(cvm_store_db(store), sql);
}

static int compare_keys(const void *a, const void *b)
{
    const struct cvm_decision *left = a;
    const struct cvm_decision *right = b;
    return (left->customer_key > right->customer_key) - (left->customer_key < right->customer_key);
}

static void add_decisions(struct cvm_store *store, const char *run_id)
{
    struct cvm_decision decisions[PEOPLE];
    for (int who = 0; who < PEOPLE; who++) {
        decisions[who] = (struct cvm_decision){
            .run_id = run_id,
            .customer_key = key_of((enum who)who),
            .customer_id = people[who].id,
            .treatment = people[who].treatment,
            .channel = people[who].channel,
            .withheld = people[who].is_ghost ? people[who].treatment : NULL,
            .arm = people[who].is_ghost ? "universal_control" : "treated",
            .selection_probability = 1,
            .ghost = people[who].is_ghost,
            .churn = people[who].churn,
            .cost_micro = 300000,
            .incentive_micro = 2000000,
        };
    }
    qsort(decisions, PEOPLE, sizeof(decisions[0]), compare_keys);
    support_begin(store);
    ASSERT_OK(cvm_decision_add(store, decisions, PEOPLE, ERR));
    support_commit(store);
}

/* What the decisions of the released run use is confirmed in the ledger. */
static void use_capacity(struct cvm_store *store)
{
    const struct cvm_catalogue *catalogue = import_catalogue();
    struct cvm_ledger_holder holder = {.holder = RUN, .epoch = 1, .expires_at_ms = INT64_MAX};
    struct cvm_ledger_amount amounts[CVM_CONSTRAINTS_MAX];
    size_t count = 0;
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        int64_t amount = 0;
        for (int who = 0; who < PEOPLE; who++) {
            int t = cvm_catalogue_treatment(catalogue, people[who].treatment);
            bool counts = (catalogue->constraints[c].treatments >> t & 1) != 0;
            bool is_budget = catalogue->constraints[c].kind == CVM_CONSTRAINT_BUDGET;
            amount += people[who].is_ghost || !counts
                          ? 0
                          : (is_budget ? 2300000 : cvm_usage_units(catalogue, c, (size_t)t));
        }
        if (amount > 0 && catalogue->constraints[c].limit >= amount) {
            amounts[count++] = (struct cvm_ledger_amount){(int)c, amount};
        }
    }
    support_begin(store);
    ASSERT_OK(cvm_ledger_hold(store, catalogue, DAY, &holder, amounts, count, ERR));
    ASSERT_OK(cvm_ledger_confirm(store, catalogue, DAY, &holder, amounts, count, ERR));
    support_commit(store);
}

static struct cvm_store *fresh(void)
{
    struct cvm_store *store = support_fresh();
    import_permissions(store);
    add_run(store, RUN, "released");
    add_run(store, HELD, "held");
    add_decisions(store, RUN);
    add_decisions(store, HELD);
    use_capacity(store);
    return store;
}

/* ---- imports ---- */

static struct cvm_text lines;

static void report_on(const char *run_id, enum who who, const char *state, const char *date)
{
    cvm_text_add_format(&lines, "{\"decision_id\": \"%s\", \"state\": \"%s\", \"date\": \"%s\"}\n",
                        decision_of(run_id, who), state, date);
}

static void report(enum who who, const char *state, const char *date)
{
    report_on(RUN, who, state, date);
}

static enum cvm_status try_import(struct cvm_store *store, const char *path, int32_t today,
                                  struct cvm_outcome_report *out_report, struct cvm_error *err)
{
    struct cvm_context context = {.clock = cvm_clock_fixed(&support_now_ms)};
    char rejects[300];
    (void)snprintf(rejects, sizeof(rejects), "%s/rejects.ndjson", support_folder());
    (void)remove(rejects);
    struct cvm_import_options options = {.who = "tester",
                                         .rejects_path = rejects,
                                         .temporary_folder = support_folder(),
                                         .today = today};
    struct cvm_pool *pool = NULL;
    ASSERT_OK(cvm_pool_create(1, &pool, ERR));
    struct cvm_import_work work = {store, import_catalogue(), &options, pool, &context};
    enum cvm_status status = cvm_outcome_import(&work, &path, 1, arena, out_report, err);
    cvm_pool_destroy(pool);
    return status;
}

/* The reports gathered so far, which are forgotten. */
static struct cvm_outcome_report import_lines(struct cvm_store *store)
{
    struct cvm_outcome_report result = {0};
    import_text("outcomes.ndjson", cvm_text_string(&lines));
    cvm_text_clear(&lines);
    ASSERT_OK(try_import(store, import_path("outcomes.ndjson"), TODAY, &result, ERR));
    assert_int_equal(result.read, result.applied + result.duplicate + result.rejected);
    return result;
}

static const char *text(struct cvm_store *store, const char *sql)
{
    return import_string(cvm_store_db(store), sql);
}

static int64_t number(struct cvm_store *store, const char *sql)
{
    return support_number(cvm_store_db(store), sql);
}

static enum cvm_decision_state state_of(struct cvm_store *store, enum who who)
{
    struct cvm_decision decision;
    ASSERT_OK(cvm_decision_get(store, arena, RUN, key_of(who), &decision, ERR));
    return decision.state;
}

static struct cvm_learning learnt(struct cvm_store *store, const char *treatment)
{
    struct cvm_learning learning;
    ASSERT_OK(cvm_learning_get(store, treatment, &learning, ERR));
    return learning;
}

static enum cvm_status join(void *state, const struct cvm_db_value *columns, size_t column_count,
                            struct cvm_error *err)
{
    struct cvm_text *joined = state;
    (void)column_count;
    (void)err;
    cvm_text_add(joined, joined->length == 0 ? "" : " ");
    if (columns[0].type == CVM_DB_TEXT) {
        cvm_text_add_bytes(joined, columns[0].bytes.data, columns[0].bytes.length);
    }
    return CVM_OK;
}

/* The texts of all rows, in a static buffer. */
static const char *texts(struct cvm_store *store, const char *sql)
{
    static char out[4096];
    struct cvm_text joined;
    cvm_text_init(&joined, sizeof(out) - 1);
    ASSERT_OK(cvm_db_query(cvm_store_db(store), sql, NULL, 0, join, &joined, ERR));
    assert_false(joined.failed);
    (void)snprintf(out, sizeof(out), "%s", cvm_text_string(&joined));
    cvm_text_finish(&joined);
    return out;
}

/* Everything that reports change, without the numbers of imports and batches; and without the
 * history of versions, which tells in which order the reports came. */
static const char *digest_of(struct cvm_store *store)
{
    static const char *const parts[] = {
        "SELECT run_id || customer_key || ':' || state || ':' || day || ':' || is_late "
        "FROM outcome ORDER BY run_id, customer_key, state",
        "SELECT state || '/' || coalesce(CAST(horizon AS TEXT), '-') FROM decision "
        "ORDER BY run_id, customer_key",
        "SELECT treatment || contacts || ',' || reached || ',' || answers || ',' || accepted || "
        "',' "
        "|| treated || ',' || treated_expected || ',' || controls FROM learning ORDER BY treatment",
        "SELECT customer_id || date || attributes FROM journey ORDER BY customer_id, date",
        "SELECT customer_key || ':' || granted || ':' || recorded FROM consent c WHERE version = "
        "(SELECT max(version) FROM consent d WHERE d.customer_key = c.customer_key) "
        "ORDER BY customer_key",
    };
    static char digests[4][3000];
    static int next;
    char *out = digests[next = (next + 1) % 4];
    size_t length = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        length += (size_t)snprintf(out + length, sizeof(digests[0]) - length, "%s\n",
                                   texts(store, parts[i]));
        assert_true(length < sizeof(digests[0]));
    }
    return out;
}

/* ---- the life of a decision ---- */

static void reports_in_any_order_come_to_the_same(void **state)
{
    (void)state;
    static const char *const reports[][2] = {{"sent", "2024-03-21"},
                                             {"delivered", "2024-03-21"},
                                             {"reached", "2024-03-23"},
                                             {"accepted", "2024-03-25"}};
    char expected[3000] = "";
    for (int order = 0; order < 24; order++) {
        int left[4] = {0, 1, 2, 3};
        struct cvm_store *store = fresh();
        for (int n = 4, rest = order; n > 0; rest /= n, n--) {
            int at = rest % n;
            report(CALLED, reports[left[at]][0], reports[left[at]][1]);
            memmove(&left[at], &left[at + 1], (size_t)(n - at - 1) * sizeof(left[0]));
            struct cvm_outcome_report result = import_lines(store); /* one file each */
            assert_int_equal(result.applied, 1);
        }
        assert_int_equal(state_of(store, CALLED), CVM_DECISION_ACCEPTED);
        if (order == 0) {
            (void)snprintf(expected, sizeof(expected), "%s", digest_of(store));
        }
        assert_string_equal(digest_of(store), expected);
        cvm_store_close(store);
    }
}

static void a_report_counts_once_however_often_it_comes(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    for (int i = 0; i < 3; i++) {
        report(CALLED, "sent", "2024-03-21");
        report(CALLED, "reached", "2024-03-22");
    }
    struct cvm_outcome_report first = import_lines(store);
    assert_int_equal(first.applied, 2);
    assert_int_equal(first.duplicate, 4);
    assert_int_equal(first.contacts, 1);
    assert_int_equal(first.import, 1);
    char before[3000];
    (void)snprintf(before, sizeof(before), "%s", digest_of(store));
    report(CALLED, "sent", "2024-03-21");
    report(CALLED, "reached", "2024-03-28"); /* the first report of a state counts */
    struct cvm_outcome_report again = import_lines(store);
    assert_int_equal(again.duplicate, 2);
    assert_int_equal(again.import, 0);
    assert_string_equal(digest_of(store), before);
    int64_t last = 0;
    ASSERT_OK(cvm_outcome_last_import(store, &last, ERR));
    assert_int_equal(last, 1);
    cvm_store_close(store);
}

static void the_furthest_state_counts_and_implies_those_before(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    report(CALLED, "kept", "2024-05-02");
    struct cvm_outcome_report result = import_lines(store);
    assert_int_equal(result.contacts, 1); /* it must have been sent */
    assert_int_equal(state_of(store, CALLED), CVM_DECISION_KEPT);
    report(CALLED, "accepted", "2024-03-25");
    report(CALLED, "no_answer", "2024-04-19");
    result = import_lines(store);
    assert_int_equal(result.applied, 2);
    assert_int_equal(state_of(store, CALLED), CVM_DECISION_KEPT);
    /* "kept" came after the response window of 30 days, "accepted" in it. */
    struct cvm_learning learning = learnt(store, "marketing_call_back");
    assert_int_equal(learning.contacts, 1);
    assert_int_equal(learning.reached, 1);
    assert_int_equal(learning.accepted, 1);
    report(CALLED, "reversed", "2024-06-01");
    (void)import_lines(store);
    assert_int_equal(state_of(store, CALLED), CVM_DECISION_REVERSED);
    learning = learnt(store, "marketing_call_back");
    assert_int_equal(learning.answers, 1);
    assert_int_equal(learning.accepted, 0);
    cvm_store_close(store);
}

static void a_response_after_its_window_moves_the_state_and_teaches_nothing(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    report(MAILED, "sent", "2024-03-22");
    report(MAILED, "no_answer", "2024-04-05"); /* the last day of 14 */
    report(MAILED, "accepted", "2024-04-06");
    struct cvm_outcome_report result = import_lines(store);
    assert_int_equal(result.late, 1);
    assert_int_equal(state_of(store, MAILED), CVM_DECISION_ACCEPTED);
    struct cvm_learning learning = learnt(store, "retention_email");
    assert_int_equal(learning.contacts, 1);
    assert_int_equal(learning.reached, 0);
    assert_int_equal(learning.answers, 0);
    cvm_store_close(store);
}

static void lateness_is_judged_by_the_contact_even_if_that_is_reported_last(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    report(MAILED, "accepted", "2024-04-12");
    (void)import_lines(store);
    assert_int_equal(learnt(store, "retention_email").accepted, 1); /* all that is known */
    report(MAILED, "sent", "2024-03-22");
    (void)import_lines(store);
    assert_int_equal(learnt(store, "retention_email").accepted, 0);
    assert_int_equal(number(store, "SELECT is_late FROM outcome WHERE state = 5"), 1);
    report(CALLED, "reached", "2024-04-20");
    (void)import_lines(store);
    cvm_store_close(store);
}

static void reached_ones_and_ghosts_teach_when_their_window_has_ended(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    report(CALLED, "reached", "2024-03-25");
    report(CALLED, "churned", "2024-06-01");
    report(MAILED, "no_answer", "2024-04-01");
    report(MAILED, "stayed", "2024-06-18");
    report(GHOST, "stayed", "2024-06-18");
    struct cvm_outcome_report result = import_lines(store);
    assert_int_equal(result.applied, 5);
    struct cvm_learning call = learnt(store, "marketing_call_back");
    assert_int_equal(call.treated, 1);
    assert_int_equal(call.treated_churned, 1);
    assert_true(call.treated_expected == .25);
    assert_int_equal(call.controls, 1);
    assert_int_equal(call.controls_churned, 0);
    assert_true(call.controls_expected == .5);
    assert_int_equal(learnt(store, "retention_email").treated, 0); /* was not reached */
    assert_int_equal(number(store, "SELECT count(*) FROM decision WHERE horizon = 1"), 1);
    assert_int_equal(number(store, "SELECT count(*) FROM decision WHERE horizon = 0"), 2);
    assert_int_equal(state_of(store, GHOST), CVM_DECISION_RELEASED);
    cvm_store_close(store);
}

static void who_is_decided_for_each_night_churns_once(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    add_run(store, "2024-03-20-a2", "released");
    add_decisions(store, "2024-03-20-a2");
    support_exec(cvm_store_db(store), "UPDATE run SET as_of_day = 19803 WHERE run_id = "
                                      "'2024-03-20-a2'");
    report_on("2024-03-20-a2", GHOST, "churned", "2024-06-10"); /* the later one comes first */
    report(GHOST, "churned", "2024-06-10");
    struct cvm_outcome_report result = import_lines(store);
    assert_int_equal(result.applied, 2);
    struct cvm_learning learning = learnt(store, "marketing_call_back");
    assert_int_equal(learning.controls, 1);
    assert_int_equal(learning.controls_churned, 1);
    assert_true(learning.controls_expected == .5);
    cvm_store_close(store);
}

/* ---- what can not be ---- */

static void what_can_not_be_is_rejected_with_its_reason(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    report(CALLED, "not_sent", "2024-03-21");
    report(MAILED, "bounced", "2024-03-21");
    report(POINTS, "stayed", "2024-06-18");
    assert_int_equal(import_lines(store).applied, 3);
    static const struct {
        const char *run_id;
        enum who who;
        const char *state, *date, *why;
    } wrong[] = {
        {RUN, CALLED, "accepted", "2024-03-25", "can not be accepted: it was reported as not sent"},
        {RUN, CALLED, "expired", "2024-03-25", "can not be expired: it was reported as not sent"},
        {RUN, MAILED, "reached", "2024-03-25", "it was reported as bounced"},
        {RUN, MAILED, "not_sent", "2024-03-25", "it was reported as sent"},
        {RUN, POINTS, "churned", "2024-04-01", "it was reported as stayed"},
        {RUN, POINTS, "opted_out", "2024-04-01", "made no contact"},
        {RUN, GHOST, "sent", "2024-03-21", "control group"},
        {RUN, GHOST, "not_sent", "2024-03-21", "control group"},
        {RUN, GHOST, "stayed", "2024-06-17", "its outcome window has not ended"},
        {HELD, CALLED, "sent", "2024-03-21", "its plan is not released"},
        {"2024-03-19-cccccccc", CALLED, "sent", "2024-03-21", "no such decision"},
        {RUN, POINTS, "sent", "2024-03-19", "before its decision"},
        {RUN, POINTS, "sent", "2024-13-01", "the date is none"},
        {RUN, POINTS, "sent", "2030-01-01", "in the future"},
        {RUN, POINTS, "decided", "2024-03-21", "state is unknown"},
        {RUN, POINTS, "withdrawn", "2024-03-21", "state is unknown"},
    };
    char before[3000];
    (void)snprintf(before, sizeof(before), "%s", digest_of(store));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        report_on(wrong[i].run_id, wrong[i].who, wrong[i].state, wrong[i].date);
        struct cvm_outcome_report result = import_lines(store);
        assert_int_equal(result.rejected, 1);
        assert_non_null(result.rejects_path);
        if (strstr(import_rejects(), wrong[i].why) == NULL) {
            fail_msg("expected '%s' in %s", wrong[i].why, import_rejects());
        }
    }
    assert_string_equal(digest_of(store), before);
    cvm_store_close(store);
}

static void a_malformed_report_is_rejected_and_its_neighbours_are_not(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    cvm_text_add(&lines, "{\"state\": \"sent\"}\n[1]\n\n{\"decision_id\": 7\n"
                         "{\"decision_id\": \"x.y\", \"state\": \"sent\"}\n");
    cvm_text_add_format(&lines,
                        "{\"decision_id\": \"%s\", \"state\": \"sent\", \"date\": \"2024-03-21\", "
                        "\"customer_id\": \"U9\"}\n",
                        decision_of(RUN, CALLED));
    cvm_text_add_format(&lines,
                        "{\"decision_id\": \"%s\", \"state\": \"sent\", \"date\": \"2024-03-21\", "
                        "\"minutes\": -3}\n",
                        decision_of(RUN, CALLED));
    report(CALLED, "sent", "2024-03-21");
    struct cvm_outcome_report result = import_lines(store);
    assert_int_equal(result.read, 7);
    assert_int_equal(result.rejected, 6);
    assert_int_equal(result.applied, 1);
    assert_non_null(strstr(import_rejects(), "it has no decision_id"));
    assert_non_null(strstr(import_rejects(), "the record is no object"));
    assert_non_null(strstr(import_rejects(), "it has no date"));
    assert_non_null(strstr(import_rejects(), "the decision is of customer 'U1'"));
    assert_non_null(strstr(import_rejects(), "minutes is no number"));
    cvm_store_close(store);
}

static void every_format_of_an_import_is_read(void **state)
{
    (void)state;
    char csv[600];
    char array[600];
    char object[600];
    (void)snprintf(csv, sizeof(csv),
                   "decision_id;state;date;time;minutes;reason\n"
                   "%s;reached;2024-03-22;10:15:00+01:00;4.5;\"said; yes\"\n",
                   decision_of(RUN, CALLED));
    (void)snprintf(
        array, sizeof(array),
        "[\n {\"decision_id\": \"%s\", \"state\": \"sent\", \"time\": \"2024-03-21T09:00:00Z\"}]",
        decision_of(RUN, MAILED));
    (void)snprintf(object, sizeof(object),
                   "{\"data\": [{\"decision_id\": \"%s\", \"state\": \"sent\", \"date\": "
                   "\"2024-03-21\"}], \"more\": 1}",
                   decision_of(RUN, POINTS));
    import_text("a.csv", csv);
    import_text("b.json", array);
    import_text("c.json", object);
    struct cvm_store *store = fresh();
    struct cvm_outcome_report result = {0};
    char folder[300];
    (void)snprintf(folder, sizeof(folder), "%s", import_path(""));
    ASSERT_OK(try_import(store, folder, TODAY, &result, ERR));
    assert_int_equal(result.applied, 3);
    assert_int_equal(result.rejected, 0);
    /* 09:15 UTC */
    assert_int_equal(number(store, "SELECT at FROM outcome WHERE state = 4"),
                     (DAY + 2) * INT64_C(86400000) + INT64_C(33300000));
    assert_int_equal(number(store, "SELECT minutes = 4.5 FROM outcome WHERE state = 4"), 1);
    assert_string_equal(text(store, "SELECT reason FROM outcome WHERE state = 4"), "said; yes");
    cvm_store_close(store);
    (void)remove(import_path("a.csv"));
    (void)remove(import_path("b.json"));
    (void)remove(import_path("c.json"));
}

/* ---- what follows ---- */

static void what_was_not_sent_gives_its_capacity_back_once(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    int64_t before = number(store, "SELECT sum(confirmed) FROM ledger WHERE constraint_id LIKE "
                                   "'capacity:%'");
    int64_t money = number(store, "SELECT coalesce(sum(confirmed), 0) FROM ledger WHERE "
                                  "constraint_id LIKE '%budget%'");
    report(CALLED, "not_sent", "2024-03-21");
    report(CALLED, "not_sent", "2024-03-22");
    struct cvm_outcome_report result = import_lines(store);
    int capacity = cvm_catalogue_constraint(import_catalogue(), "capacity:marketing_call_back");
    assert_int_equal(result.returned[capacity], 1);
    report(CALLED, "not_sent", "2024-03-21");
    (void)import_lines(store);
    assert_int_equal(number(store, "SELECT sum(confirmed) FROM ledger WHERE constraint_id LIKE "
                                   "'capacity:%'"),
                     before - 1);
    assert_int_equal(number(store, "SELECT count(*) FROM ledger WHERE constraint_id = "
                                   "'capacity:marketing_call_back' AND confirmed = 0"),
                     1);
    assert_true(number(store, "SELECT coalesce(sum(confirmed), 0) FROM ledger WHERE constraint_id "
                              "LIKE '%budget%'") <= money);
    assert_int_equal(state_of(store, CALLED), CVM_DECISION_NOT_SENT);
    assert_int_equal(result.contacts, 0);
    cvm_store_close(store);
}

static void a_withdrawn_decision_gives_nothing_back_twice(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    support_exec(cvm_store_db(store), "UPDATE decision SET state = 15");
    int64_t before = number(store, "SELECT sum(confirmed) FROM ledger");
    report(CALLED, "not_sent", "2024-03-21");
    report(MAILED, "sent", "2024-03-21"); /* never handed over */
    struct cvm_outcome_report result = import_lines(store);
    assert_int_equal(result.applied, 1);
    assert_int_equal(result.rejected, 1);
    assert_int_equal(number(store, "SELECT sum(confirmed) FROM ledger"), before);
    assert_int_equal(state_of(store, CALLED), CVM_DECISION_WITHDRAWN);
    support_exec(cvm_store_db(store), "UPDATE decision SET export = 1");
    report(MAILED, "sent", "2024-03-21"); /* recalled too late */
    result = import_lines(store);
    assert_int_equal(result.contacts, 1);
    assert_int_equal(state_of(store, MAILED), CVM_DECISION_SENT);
    cvm_store_close(store);
}

/* The recall gives its capacity back; the channel had called already. */
static void what_is_sent_after_its_recall_takes_its_capacity_again(void **state)
{
    (void)state;
    static const char used[] = "SELECT confirmed FROM ledger WHERE constraint_id = "
                               "'capacity:marketing_call_back'";
    struct cvm_store *store = fresh();
    struct cvm_db *db = cvm_store_db(store);
    int64_t before = number(store, used);
    assert_true(before > 0);
    support_exec(db, "UPDATE decision SET state = 15, export = 1");
    support_exec(db, "UPDATE ledger SET confirmed = 0");
    report(CALLED, "reached", "2024-03-22");
    (void)import_lines(store);
    assert_int_equal(number(store, used), before);
    report(CALLED, "sent", "2024-03-21"); /* once, however many reports */
    (void)import_lines(store);
    assert_int_equal(number(store, used), before);
    assert_int_equal(number(store, "SELECT count(*) FROM ledger WHERE held + confirmed > granted"),
                     0);
    cvm_store_close(store);
}

/* Somebody else has got it meanwhile: no ledger row goes beyond what was granted. */
static void what_was_given_away_since_is_not_taken_again(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    support_exec(cvm_store_db(store), "UPDATE decision SET state = 15, export = 1");
    support_exec(cvm_store_db(store), "UPDATE ledger SET confirmed = granted - held");
    report(CALLED, "sent", "2024-03-21");
    struct cvm_outcome_report result = import_lines(store);
    assert_int_equal(result.applied, 1);
    assert_int_equal(number(store, "SELECT count(*) FROM ledger WHERE held + confirmed > granted"),
                     0);
    cvm_store_close(store);
}

static void what_was_sent_is_a_contact_in_the_journey(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    report(CALLED, "reached", "2024-03-25");
    report(POINTS, "sent", "2024-03-20");
    report(GHOST, "churned", "2024-05-25");
    struct cvm_outcome_report result = import_lines(store);
    assert_int_equal(result.contacts, 2);
    assert_string_equal(
        texts(store, "SELECT customer_id || ' ' || date || ' ' || attributes FROM journey "
                     "WHERE source = 'contact_history' ORDER BY customer_id"),
        "U1 2024-03-25 {\"outreach.channel\":\"call\",\"outreach.purpose\":\"marketing\","
        "\"outreach.treatment\":\"marketing_call_back\",\"outreach.action\":\"retention_offer\"} "
        "U3 2024-03-20 {\"outreach.channel\":\"none\",\"outreach.purpose\":\"marketing\","
        "\"outreach.treatment\":\"loyalty_points\",\"outreach.action\":\"loyalty_points\"}");
    /* The day of the contact itself, once it is known: the same contact. */
    report(CALLED, "sent", "2024-03-22");
    result = import_lines(store);
    assert_int_equal(result.contacts, 0);
    assert_string_equal(texts(store, "SELECT CAST(date AS TEXT) FROM journey WHERE source = "
                                     "'contact_history' AND customer_id = 'U1'"),
                        "2024-03-22");
    char before[200];
    (void)snprintf(before, sizeof(before), "%s", import_digest(store));
    import_rebuild(store);
    assert_string_equal(import_digest(store), before);
    cvm_store_close(store);
}

static void an_opt_out_revokes_its_permission_and_keeps_the_others(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    struct cvm_consent before;
    struct cvm_consent after;
    int64_t batch = 0;
    ASSERT_OK(cvm_batch_last(store, &batch, ERR));
    ASSERT_OK(cvm_consent_of(store, key_of(CALLED), batch, &before, ERR));
    assert_true(cvm_consent_allows(&before, CVM_CHANNEL_CALL, CVM_DIRECTION_OUTBOUND,
                                   CVM_PURPOSE_MARKETING));
    report(CALLED, "opted_out", "2024-03-22");
    struct cvm_outcome_report result = import_lines(store);
    assert_int_equal(result.opt_outs, 1);
    assert_int_equal(result.contacts, 1);
    ASSERT_OK(cvm_batch_last(store, &batch, ERR));
    ASSERT_OK(cvm_consent_of(store, key_of(CALLED), batch, &after, ERR));
    uint32_t bit = cvm_consent_bit(CVM_CHANNEL_CALL, CVM_DIRECTION_OUTBOUND, CVM_PURPOSE_MARKETING);
    assert_int_equal(after.granted, before.granted & ~bit);
    assert_int_equal(after.recorded, before.recorded);
    assert_int_equal(after.quiet_start_min, before.quiet_start_min);
    assert_int_equal(after.quiet_end_min, before.quiet_end_min);
    assert_int_equal(after.preferred_time, before.preferred_time);
    assert_string_equal(after.language, before.language);
    assert_int_equal(number(store, "SELECT count(*) FROM audit WHERE action = 'consent' AND object "
                                   "= 'U1'"),
                     1);
    char digest[200];
    (void)snprintf(digest, sizeof(digest), "%s", import_digest(store));
    import_rebuild(store);
    assert_string_equal(import_digest(store), digest);
    /* The old file of permissions comes again, as it does each night. */
    import_permissions(store);
    ASSERT_OK(cvm_batch_last(store, &batch, ERR));
    ASSERT_OK(cvm_consent_of(store, key_of(CALLED), batch, &after, ERR));
    assert_int_equal(after.granted, before.granted & ~bit);
    cvm_store_close(store);
}

static void an_opt_out_that_comes_late_counts_against_newer_papers(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    struct cvm_consent consent;
    int64_t batch = 0;
    report(CALLED, "opted_out", "2024-03-22");
    support_exec(cvm_store_db(store), "UPDATE consent SET updated_day = 19900"); /* 2024-06-26 */
    (void)import_lines(store);
    ASSERT_OK(cvm_batch_last(store, &batch, ERR));
    ASSERT_OK(cvm_consent_of(store, key_of(CALLED), batch, &consent, ERR));
    assert_false(cvm_consent_allows(&consent, CVM_CHANNEL_CALL, CVM_DIRECTION_OUTBOUND,
                                    CVM_PURPOSE_MARKETING));
    cvm_store_close(store);
}

/* ---- failures ---- */

static void gather_all(void)
{
    report(CALLED, "sent", "2024-03-21");
    report(CALLED, "reached", "2024-03-22");
    report(CALLED, "opted_out", "2024-03-22");
    report(MAILED, "not_sent", "2024-03-21");
    report(POINTS, "accepted", "2024-03-23");
    report(GHOST, "churned", "2024-05-25");
    import_text("outcomes.ndjson", cvm_text_string(&lines));
    cvm_text_clear(&lines);
}

static void fail_everywhere(bool in_journeys)
{
    char expected[3000];
    struct cvm_outcome_report result;
    struct cvm_store *store = fresh();
    gather_all();
    ASSERT_OK(try_import(store, import_path("outcomes.ndjson"), TODAY, &result, ERR));
    (void)snprintf(expected, sizeof(expected), "%s", digest_of(store));
    int64_t confirmed = number(store, "SELECT sum(confirmed) FROM ledger");
    cvm_store_close(store);
    enum cvm_status status = CVM_E_UNAVAILABLE;
    for (int64_t at = 1; status != CVM_OK; at++) {
        struct db_faults faults = {.fail_at = at};
        struct cvm_error err = {0};
        cvm_store_close(fresh());
        (void)remove(import_path("permissions.ndjson"));
        gather_all();
        store = support_open(CVM_DB_WRITE);
        db_faulty_wrap(store, in_journeys, &faults);
        status = try_import(store, import_path("outcomes.ndjson"), TODAY, &result, &err);
        cvm_store_close(store);
        /* Whatever was left: the same file again makes it whole. */
        store = support_open(CVM_DB_WRITE);
        ASSERT_OK(try_import(store, import_path("outcomes.ndjson"), TODAY, &result, ERR));
        assert_string_equal(digest_of(store), expected);
        assert_int_equal(number(store, "SELECT sum(confirmed) FROM ledger"), confirmed);
        assert_int_equal(number(store, "SELECT count(*) FROM outcome_import WHERE report IS NULL"),
                         0);
        cvm_store_close(store);
        assert_true(at < 2000);
    }
}

static void a_failure_at_any_call_loses_nothing(void **state)
{
    (void)state;
    if (!support_is_shared()) {
        skip();
    }
    fail_everywhere(false);
    fail_everywhere(true);
}

/* ---- tallies ---- */

static struct cvm_tallies tally(struct cvm_store *store, int32_t as_of_day, int64_t days,
                                const char *run_id)
{
    struct cvm_context context = {.clock = cvm_clock_fixed(&support_now_ms)};
    struct cvm_tally_request request = {import_catalogue(), as_of_day, days, run_id};
    struct cvm_tallies tallies;
    ASSERT_OK(cvm_outcome_tally(store, &context, &request, arena, &tallies, ERR));
    return tallies;
}

static const struct cvm_tally *tally_of(const struct cvm_tallies *tallies, const char *treatment)
{
    for (size_t t = 0; t < tallies->count; t++) {
        if (strcmp(tallies->treatments[t].treatment, treatment) == 0) {
            return &tallies->treatments[t];
        }
    }
    fail_msg("no tally of '%s'", treatment);
    return NULL;
}

static void what_went_out_waits_until_its_windows_end(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    struct cvm_tallies before = tally(store, DAY, 1, NULL);
    assert_int_equal(before.runs, 1); /* the plan that is held went nowhere */
    assert_int_equal(before.all.decisions, 3);
    assert_int_equal(before.all.controls, 1);
    assert_int_equal(before.all.by_state[CVM_DECISION_RELEASED], 3);
    assert_int_equal(before.all.wait_for_contact, 3);
    assert_int_equal(before.all.wait_for_end, 4);
    assert_int_equal(before.all.end_until, DAY + 90);
    assert_int_equal(before.all.contacts, 0);

    report(CALLED, "sent", "2024-03-22");
    report(MAILED, "not_sent", "2024-03-21");
    (void)import_lines(store);
    struct cvm_tallies after = tally(store, DAY + 5, 30, NULL);
    const struct cvm_tally *called = tally_of(&after, "marketing_call_back");
    assert_int_equal(called->contacts, 1);
    assert_int_equal(called->controls, 1);
    assert_int_equal(called->wait_for_answer, 1);
    assert_int_equal(called->answer_until, DAY + 2 + 30);
    assert_int_equal(called->spent_micro, 300000);
    assert_int_equal(called->outcomes[CVM_DECISION_SENT].count, 1);
    assert_int_equal(tally_of(&after, "retention_email")->by_state[CVM_DECISION_NOT_SENT], 1);
    assert_int_equal(after.all.wait_for_contact, 1);

    struct cvm_tallies later = tally(store, DAY + 100, 365, NULL);
    assert_int_equal(later.all.wait_for_answer, 0);
    assert_int_equal(later.all.wait_for_end, 0);
    assert_int_equal(later.all.end_until, CVM_DAY_NONE);
    assert_int_equal(later.all.overdue, 4);
    assert_int_equal(tally(store, DAY + 100, 100, NULL).runs, 0); /* its day is out of them */
    assert_int_equal(tally(store, DAY + 100, 1, RUN).runs, 1);
    assert_int_equal(tally(store, DAY, 1, HELD).runs, 0);
    cvm_store_close(store);
}

static void ended_windows_stand_beside_what_was_expected(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    support_exec(cvm_store_db(store), "UPDATE decision SET value = 8.0 WHERE ghost = 0");
    report(CALLED, "reached", "2024-03-22");
    report(CALLED, "stayed", "2024-07-01");
    report(GHOST, "churned", "2024-04-01");
    report(MAILED, "bounced", "2024-03-22");
    report(MAILED, "churned", "2024-09-01");
    (void)import_lines(store);
    struct cvm_tallies tallies = tally(store, DAY + 200, 365, NULL);
    const struct cvm_tally *called = tally_of(&tallies, "marketing_call_back");
    assert_int_equal(called->treated.count, 1);
    assert_int_equal(called->treated.churned, 0);
    assert_true(called->treated.expected == .25);
    assert_int_equal(called->control.count, 1);
    assert_int_equal(called->control.churned, 1);
    assert_true(called->control.expected == .5);
    assert_int_equal(called->contacts, 1); /* who was reached was contacted */
    assert_true(tallies.all.value == 24);
    assert_true(tallies.all.value_contacted == 16);
    assert_true(tallies.all.value_lost == 8); /* what bounced */
    assert_int_equal(tally_of(&tallies, "retention_email")->outcomes[CVM_OUTCOME_CHURNED].late, 1);
    assert_int_equal(tallies.all.overdue, 1); /* nobody said what became of the points */
    cvm_store_close(store);
}

static void a_recalled_plan_counts_as_withdrawn_unless_it_went_out(void **state)
{
    (void)state;
    struct cvm_store *store = fresh();
    support_exec(cvm_store_db(store), "UPDATE decision SET export = 1 WHERE run_id = '" RUN "'");
    support_exec(cvm_store_db(store),
                 "UPDATE plan SET state = 'recalled' WHERE run_id = '" RUN "'");
    report(CALLED, "sent", "2024-03-22");
    (void)import_lines(store);
    struct cvm_tallies tallies = tally(store, DAY + 5, 30, NULL);
    assert_int_equal(tallies.all.by_state[CVM_DECISION_WITHDRAWN], 2);
    assert_int_equal(tallies.all.by_state[CVM_DECISION_SENT], 1);
    assert_int_equal(tallies.all.contacts, 1);
    assert_int_equal(tallies.all.wait_for_contact, 0);
    assert_int_equal(tallies.all.wait_for_end, 1);
    cvm_store_close(store);
}

/* ---- the program ---- */

static int start(void **state)
{
    (void)state;
    import_start();
    arena = cvm_arena_create((size_t)64 << 20);
    cvm_text_init(&lines, 0);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    import_stop();
    cvm_arena_destroy(arena);
    cvm_text_finish(&lines);
    return 0;
}

#define OUTCOME_TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OUTCOME_TEST(reports_in_any_order_come_to_the_same),
        OUTCOME_TEST(a_report_counts_once_however_often_it_comes),
        OUTCOME_TEST(the_furthest_state_counts_and_implies_those_before),
        OUTCOME_TEST(a_response_after_its_window_moves_the_state_and_teaches_nothing),
        OUTCOME_TEST(lateness_is_judged_by_the_contact_even_if_that_is_reported_last),
        OUTCOME_TEST(reached_ones_and_ghosts_teach_when_their_window_has_ended),
        OUTCOME_TEST(who_is_decided_for_each_night_churns_once),
        OUTCOME_TEST(what_can_not_be_is_rejected_with_its_reason),
        OUTCOME_TEST(a_malformed_report_is_rejected_and_its_neighbours_are_not),
        OUTCOME_TEST(every_format_of_an_import_is_read),
        OUTCOME_TEST(what_was_not_sent_gives_its_capacity_back_once),
        OUTCOME_TEST(a_withdrawn_decision_gives_nothing_back_twice),
        OUTCOME_TEST(what_is_sent_after_its_recall_takes_its_capacity_again),
        OUTCOME_TEST(what_was_given_away_since_is_not_taken_again),
        OUTCOME_TEST(what_was_sent_is_a_contact_in_the_journey),
        OUTCOME_TEST(an_opt_out_revokes_its_permission_and_keeps_the_others),
        OUTCOME_TEST(an_opt_out_that_comes_late_counts_against_newer_papers),
        OUTCOME_TEST(what_went_out_waits_until_its_windows_end),
        OUTCOME_TEST(ended_windows_stand_beside_what_was_expected),
        OUTCOME_TEST(a_recalled_plan_counts_as_withdrawn_unless_it_went_out),
        OUTCOME_TEST(a_failure_at_any_call_loses_nothing),
    };
    return SUPPORT_RUN("outcome", tests);
}
