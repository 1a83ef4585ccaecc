/* purge.h: what is older than its source keeps goes, nothing else does, and a purge that is cut off
 * anywhere is completed by the next. */
#include "storage/purge.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/date.h"
#include "base/random.h"
#include "storage/retention.h"
#include "support/db_faulty.h"
#include "support/import_support.h"

#define NUMBER(store, sql) support_number(cvm_store_db(store), sql)
#define AS_OF              19802 /* 2024-03-20 */
#define KEEP               30    /* so 2024-02-20 is the first day that stays */
#define FAULTS_MAX         200
#define CUSTOMERS          1200 /* three ranges of keys */

static const struct import_settings plain = {0};

static void keep(const char *source, int days)
{
    const struct cvm_catalogue *catalogue = import_catalogue();
    catalogue->sources[cvm_catalogue_source(catalogue, source)].keep_days = days;
}

static void start(void)
{
    import_start();
    keep("tickets", KEEP);
}

static struct cvm_purge_options options_of(const struct cvm_context *context)
{
    return (struct cvm_purge_options){
        .as_of_day = AS_OF, .who = "me", .why = "a test", .context = context};
}

static enum cvm_status try_purge(struct cvm_store *store, struct cvm_purge_report *out_report,
                                 struct cvm_error *err)
{
    struct cvm_context context = {.clock = cvm_clock_fixed(&support_now_ms)};
    struct cvm_purge_options options = options_of(&context);
    return cvm_purge(store, import_catalogue(), &options, out_report, err);
}

static struct cvm_purge_report purge(struct cvm_store *store)
{
    struct cvm_purge_report report;
    ASSERT_OK(try_purge(store, &report, ERR));
    assert_true(report.is_done);
    return report;
}

static struct cvm_import_report bring(struct cvm_store *store, const char *text)
{
    import_text("tickets.ndjson", text);
    return import_run(store, &plain);
}

static void check_current(struct cvm_store *store, bool wanted)
{
    bool is_current = !wanted;
    int64_t last = 0;
    ASSERT_OK(cvm_batch_last(store, &last, ERR));
    ASSERT_OK(cvm_packed_is_current(store, import_catalogue(), last, &is_current, ERR));
    assert_int_equal(is_current, wanted);
}

#define OLD1   "{\"customer_id\":\"T1\",\"date\":\"2024-02-19\",\"ticket\":1,\"size\":5}\n"
#define YOUNG1 "{\"customer_id\":\"T1\",\"date\":\"2024-02-20\",\"ticket\":2,\"size\":6}\n"
#define OLD2   "{\"customer_id\":\"T2\",\"date\":\"2023-05-01\",\"ticket\":3,\"size\":7}\n"
#define YOUNG2 "{\"customer_id\":\"T2\",\"date\":\"2024-03-20\",\"ticket\":4,\"size\":8}\n"

static void what_stays_is_as_if_the_rest_had_never_come(void **state)
{
    (void)state;
    start();
    struct cvm_store *store = support_fresh();
    (void)bring(store, YOUNG1 YOUNG2);
    char alone[CVM_DIGEST_TEXT_SIZE];
    (void)snprintf(alone, sizeof(alone), "%s", import_digest(store));
    cvm_store_close(store);
    store = support_fresh();
    (void)bring(store, OLD1 YOUNG1 OLD2 YOUNG2);
    struct cvm_purge_report report = purge(store);
    assert_int_equal(report.limits.count, 1);
    assert_int_equal(report.limits.limits[0].rows, 2);
    assert_int_equal(report.limits.limits[0].records, 2);
    assert_int_equal(report.customers, 2);
    check_current(store, true);
    assert_string_equal(import_digest(store), alone);
    import_rebuild(store);
    assert_string_equal(import_digest(store), alone);
    assert_int_equal(purge(store).customers, 0);
    assert_string_equal(import_digest(store), alone);
    cvm_store_close(store);
    import_stop();
}

static void other_sources_undated_records_and_permissions_stay(void **state)
{
    (void)state;
    start();
    struct cvm_store *store = support_fresh();
    import_text("notes.ndjson", "{\"id\":\"T1\",\"date\":\"2020-01-01\",\"note\":\"a\"}\n");
    import_text("plans.ndjson", "{\"customer_id\":\"T1\",\"plan\":\"x\"}\n");
    import_text("permissions.ndjson", "{\"customer_id\":\"T1\",\"last_updated\":\"2020-01-01\","
                                      "\"permissions\":{\"sms\":{\"marketing\":\"Y\"}}}\n");
    (void)bring(store, OLD1 YOUNG1);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM consent"), 1);
    int64_t before = NUMBER(store, "SELECT count(*) FROM event");
    (void)purge(store);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM event"), before - 1);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM event WHERE day < 19000"), before - 2);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM consent"), 1);
    cvm_store_close(store);
    import_stop();
}

/* The record's own versions: all go or all stay, whatever their days. */
static void the_version_in_force_decides(void **state)
{
    (void)state;
    start();
    struct cvm_store *store = support_fresh();
    (void)bring(store, OLD1 YOUNG2);
    /* ticket 1 moves up, ticket 4 down */
    (void)bring(store,
                "{\"customer_id\":\"T1\",\"date\":\"2024-03-01\",\"ticket\":1,\"size\":5}\n"
                "{\"customer_id\":\"T2\",\"date\":\"2024-01-01\",\"ticket\":4,\"size\":8}\n"
                "{\"customer_id\":\"T3\",\"date\":\"2024-01-01\",\"ticket\":9,\"size\":8}\n");
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM event"), 5);
    struct cvm_purge_report report = purge(store);
    assert_int_equal(report.limits.limits[0].records, 2);
    assert_int_equal(report.limits.limits[0].rows, 3);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM event WHERE version = 1"), 1);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM event WHERE version = 2"), 1);
    assert_int_equal(NUMBER(store, "SELECT max(day) FROM event"), 19783);
    char after[CVM_DIGEST_TEXT_SIZE];
    (void)snprintf(after, sizeof(after), "%s", import_digest(store));
    import_rebuild(store);
    assert_string_equal(import_digest(store), after);
    cvm_store_close(store);
    import_stop();
}

static void counting_changes_nothing(void **state)
{
    (void)state;
    start();
    struct cvm_store *store = support_fresh();
    (void)bring(store, OLD1 YOUNG1 OLD2);
    struct cvm_context context = {.clock = cvm_clock_fixed(&support_now_ms)};
    struct cvm_purge_options options = options_of(&context);
    struct cvm_purge_report report;
    options.is_dry = true;
    ASSERT_OK(cvm_purge(store, import_catalogue(), &options, &report, ERR));
    assert_int_equal(report.purge, 0);
    assert_int_equal(report.limits.limits[0].rows, 2);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM event"), 3);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM purge"), 0);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM audit WHERE action = 'purge'"), 0);
    cvm_store_close(store);
    import_stop();
}

static void what_is_gone_is_refused_when_it_is_delivered_again(void **state)
{
    (void)state;
    start();
    struct cvm_store *store = support_fresh();
    assert_int_equal(bring(store, OLD1 YOUNG1).stored, 2); /* the first purge takes it */
    (void)purge(store);
    struct cvm_import_report report = bring(store, OLD1 YOUNG1 OLD2 YOUNG2);
    assert_int_equal(report.too_old, 2);
    assert_int_equal(report.rejected, 2);
    assert_int_equal(report.duplicate, 1);
    assert_int_equal(report.stored, 1);
    assert_string_equal(import_rejects(), "");
    keep("tickets", 400);
    assert_int_equal(bring(store, OLD1 OLD2).stored, 2); /* it is kept longer from now on */
    cvm_store_close(store);
    import_stop();
}

static void its_beginning_and_its_end_are_audit_rows(void **state)
{
    (void)state;
    start();
    struct cvm_store *store = support_fresh();
    (void)bring(store, OLD1 YOUNG1 OLD2);
    (void)purge(store);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM audit WHERE action = 'purge' AND object = "
                                   "'purge 1' AND who = 'me' AND why = 'a test'"),
                     2);
    assert_string_equal(
        import_string(cvm_store_db(store),
                      "SELECT after FROM audit WHERE action = 'purge' ORDER BY audit_id DESC"),
        "{\"state\":\"done\",\"as_of\":\"2024-03-20\",\"sources\":{\"tickets\":{\"kept_from\":"
        "\"2024-02-20\",\"records\":2,\"rows\":2}}}");
    struct cvm_retention retention;
    ASSERT_OK(cvm_retention_read(store, import_catalogue(), &retention, ERR));
    int source = cvm_catalogue_source(import_catalogue(), "tickets");
    assert_int_equal(retention.gone_before[source], AS_OF - KEEP + 1);
    assert_int_equal(retention.as_of_day, AS_OF);
    assert_false(retention.is_unfinished);
    cvm_store_close(store);
    import_stop();
}

/* Or a run as of the day before would be told that its data are gone. */
static void a_purge_that_finds_nothing_leaves_no_gap(void **state)
{
    (void)state;
    start();
    struct cvm_store *store = support_fresh();
    (void)bring(store, YOUNG1);
    (void)purge(store);
    struct cvm_retention retention;
    ASSERT_OK(cvm_retention_read(store, import_catalogue(), &retention, ERR));
    int source = cvm_catalogue_source(import_catalogue(), "tickets");
    assert_int_equal(retention.gone_before[source], CVM_DAY_NONE);
    assert_int_equal(retention.as_of_day, AS_OF);
    cvm_store_close(store);
    import_stop();
}

/* ---- cut off ---- */

/* Per customer an old ticket, a young one, and for some a correction that crosses the limit. */
static void make_many(void)
{
    struct cvm_store *store = support_fresh();
    char *text = malloc((size_t)CUSTOMERS * 400);
    size_t length = 0;
    assert_non_null(text);
    for (int c = 0; c < CUSTOMERS; c++) {
        length += (size_t)snprintf(
            text + length, 400,
            "{\"customer_id\":\"C%d\",\"date\":\"2024-01-%02d\",\"ticket\":1,\"size\":5}\n"
            "{\"customer_id\":\"C%d\",\"date\":\"2024-02-%02d\",\"ticket\":2,\"size\":%d}\n",
            c, 1 + c % 31, c, 10 + c % 19, c);
    }
    (void)bring(store, text);
    length = 0;
    for (int c = 0; c < CUSTOMERS; c += 100) {
        length += (size_t)snprintf(
            text + length, 400,
            "{\"customer_id\":\"C%d\",\"date\":\"2024-03-01\",\"ticket\":1,\"size\":5}\n", c);
    }
    (void)bring(store, text);
    free(text);
    cvm_store_close(store);
}

static bool stop_at_once(void *state)
{
    (void)state;
    return false;
}

/* What a purge in one go leaves; the same store in parts must leave it too. */
static void a_purge_in_parts_ends_as_one_in_one_go(void **state)
{
    (void)state;
    char whole[CVM_DIGEST_TEXT_SIZE];
    if (!support_is_shared()) {
        skip();
    }
    start();
    make_many();
    struct cvm_store *store = support_open(CVM_DB_WRITE);
    struct cvm_purge_report report = purge(store);
    int64_t rows = report.limits.limits[0].rows;
    assert_true(rows > CUSTOMERS);
    (void)snprintf(whole, sizeof(whole), "%s", import_digest(store));
    import_rebuild(store);
    assert_string_equal(import_digest(store), whole);
    cvm_store_close(store);

    make_many();
    struct cvm_context context = {.clock = cvm_clock_fixed(&support_now_ms)};
    struct cvm_purge_options options = options_of(&context);
    int parts = 0;
    options.may_go_on = stop_at_once;
    do {
        store = support_open(CVM_DB_WRITE);
        ASSERT_OK(cvm_purge(store, import_catalogue(), &options, &report, ERR));
        check_current(store, true);
        cvm_store_close(store);
        parts++;
    } while (!report.is_done);
    assert_int_equal(parts, 3);
    assert_int_equal(report.purge, 1);
    assert_int_equal(report.limits.limits[0].rows, rows);
    assert_string_equal(report.limits.limits[0].name, "tickets");
    store = support_open(CVM_DB_READ);
    assert_string_equal(import_digest(store), whole);
    cvm_store_close(store);
    import_stop();
}

static void another_purge_ends_the_one_that_was_cut_off(void **state)
{
    (void)state;
    start();
    struct cvm_store *store = support_fresh();
    (void)bring(store, OLD1 YOUNG1 OLD2 YOUNG2);
    struct cvm_context context = {.clock = cvm_clock_fixed(&support_now_ms)};
    struct cvm_purge_options options = options_of(&context);
    struct cvm_purge_report report;
    support_exec(cvm_store_db(store),
                 "INSERT INTO purge (purge, as_of_day, started_at, who, why, last_key, changes) "
                 "VALUES (1, 19801, 5, 'you', 'before', 77, 0)");
    ASSERT_OK(cvm_purge(store, import_catalogue(), &options, &report, ERR));
    assert_int_equal(report.purge, 2);
    assert_int_equal(report.limits.limits[0].rows, 2);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM purge WHERE finished_at IS NULL"), 0);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM audit WHERE object = 'purge 1' AND after "
                                   "LIKE '{\"state\":\"cut off\"%'"),
                     1);
    cvm_store_close(store);
    import_stop();
}

static void sweep(bool journeys, bool loses_transaction)
{
    enum cvm_status status = CVM_E_UNAVAILABLE;
    int64_t fail_at = 0;
    while (status != CVM_OK) {
        struct cvm_error err = {0};
        struct cvm_purge_report report;
        struct db_faults faults = {.fail_at = ++fail_at, .loses_transaction = loses_transaction};
        assert_true(fail_at < FAULTS_MAX);
        struct cvm_store *store = support_fresh();
        (void)bring(store, OLD1 YOUNG1 OLD2 YOUNG2);
        cvm_store_close(store);
        store = support_open(CVM_DB_WRITE);
        db_faulty_wrap(store, journeys, &faults);
        status = try_purge(store, &report, &err);
        assert_true(status == CVM_OK || status == CVM_E_UNAVAILABLE);
        cvm_store_close(store);
        store = support_open(CVM_DB_WRITE);
        bool is_current = false;
        ASSERT_OK(cvm_packed_is_current(store, import_catalogue(), 1, &is_current, ERR));
        if (status != CVM_OK) {
            (void)purge(store);
        }
        if (!is_current) { /* as the next command does */
            import_rebuild(store);
        }
        check_current(store, true);
        assert_int_equal(NUMBER(store, "SELECT count(*) FROM event"), 2);
        assert_int_equal(NUMBER(store, "SELECT sum(rows) FROM purge_source"), 2);
        char after[CVM_DIGEST_TEXT_SIZE];
        (void)snprintf(after, sizeof(after), "%s", import_digest(store));
        import_rebuild(store);
        assert_string_equal(import_digest(store), after);
        cvm_store_close(store);
    }
    assert_true(fail_at > 5);
}

static void a_purge_whose_store_fails_is_completed_by_the_next(void **state)
{
    (void)state;
    if (!support_is_shared()) {
        skip();
    }
    start();
    sweep(false, true);
    import_stop();
}

static void a_purge_whose_journeys_fail_is_completed_by_the_next(void **state)
{
    (void)state;
    if (!support_is_shared()) {
        skip();
    }
    start();
    sweep(true, false);
    import_stop();
}

/* ---- killed ---- */

static bool tell(void *state)
{
    const int *pipe_end = state;
    return write(*pipe_end, "x", 1) == 1;
}

static void purge_until_killed(int pipe_end)
{
    struct cvm_store *store = NULL;
    struct cvm_error err = {0};
    struct cvm_purge_report report;
    struct cvm_store_options how = {.access = CVM_DB_WRITE, .clock = cvm_clock_system};
    struct cvm_context context = {.clock = cvm_clock_system};
    struct cvm_purge_options options = options_of(&context);
    options.may_go_on = tell;
    options.may_go_on_state = &pipe_end;
    if (cvm_store_open(support_url(), &how, &store, &err) != CVM_OK) {
        _exit(1);
    }
    _exit(cvm_purge(store, import_catalogue(), &options, &report, &err) == CVM_OK ? 0 : 2);
}

/* After so many ranges, somewhere in the next. */
static void kill_purge(struct cvm_random *random, int ranges)
{
    int ends[2];
    char said = 0;
    int result = 0;
    assert_int_equal(pipe(ends), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(ends[0]);
        purge_until_killed(ends[1]);
    }
    (void)close(ends[1]);
    for (int i = 0; i < ranges; i++) {
        (void)!read(ends[0], &said, 1);
    }
    for (volatile uint64_t spin = cvm_random_below(random, 20000000); spin > 0; spin--) {
    }
    (void)kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFSIGNALED(result) || WEXITSTATUS(result) == 0);
    (void)close(ends[0]);
}

static void a_purge_that_is_killed_is_completed_by_the_next(void **state)
{
    (void)state;
    struct cvm_random random;
    if (!support_is_shared()) {
        skip();
    }
    cvm_random_init(&random, 20240320);
    start();
    make_many();
    struct cvm_store *store = support_open(CVM_DB_WRITE);
    int64_t rows = purge(store).limits.limits[0].rows;
    char whole[CVM_DIGEST_TEXT_SIZE];
    (void)snprintf(whole, sizeof(whole), "%s", import_digest(store));
    cvm_store_close(store);
    for (int ranges = 0; ranges < 3; ranges++) {
        make_many();
        kill_purge(&random, ranges);
        store = support_open(CVM_DB_WRITE);
        bool is_current = false;
        ASSERT_OK(cvm_packed_is_current(store, import_catalogue(), 2, &is_current, ERR));
        (void)purge(store);
        if (!is_current) {
            import_rebuild(store);
        }
        check_current(store, true);
        assert_string_equal(import_digest(store), whole);
        assert_int_equal(NUMBER(store, "SELECT sum(rows) FROM purge_source"), rows);
        assert_int_equal(NUMBER(store, "SELECT count(*) FROM purge WHERE finished_at IS NULL"), 0);
        cvm_store_close(store);
    }
    import_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stays_is_as_if_the_rest_had_never_come),
        cmocka_unit_test(other_sources_undated_records_and_permissions_stay),
        cmocka_unit_test(the_version_in_force_decides),
        cmocka_unit_test(counting_changes_nothing),
        cmocka_unit_test(what_is_gone_is_refused_when_it_is_delivered_again),
        cmocka_unit_test(its_beginning_and_its_end_are_audit_rows),
        cmocka_unit_test(a_purge_that_finds_nothing_leaves_no_gap),
        cmocka_unit_test(a_purge_in_parts_ends_as_one_in_one_go),
        cmocka_unit_test(another_purge_ends_the_one_that_was_cut_off),
        cmocka_unit_test(a_purge_whose_store_fails_is_completed_by_the_next),
        cmocka_unit_test(a_purge_whose_journeys_fail_is_completed_by_the_next),
        cmocka_unit_test(a_purge_that_is_killed_is_completed_by_the_next),
    };
    return SUPPORT_RUN("purge", tests);
}
