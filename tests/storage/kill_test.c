/* kill -9 at a random moment of a loop of transactions: the store opens at the last commit.
 *
 * CVM_KILLS sets how often (default 10).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"
#include "storage/audit.h"
#include "support/ledger_support.h"
#include "support/store_support.h"

#define DAY 19802

static struct support_catalogue support;

/* One statement: all of it or nothing. A transaction whose commit was not said may have put it. */
static enum cvm_status pack_once(struct cvm_store *store, int64_t n, struct cvm_error *err)
{
    struct cvm_db_value key = cvm_db_int(n);
    const char *sql =
        support_is_server()
            ? "INSERT INTO packed SELECT $1, i, CAST(repeat('x', 1000) AS BYTEA) "
              "FROM generate_series(1, 20) i "
              "ON CONFLICT (customer_key, period) DO UPDATE SET body = excluded.body"
            : "INSERT OR REPLACE INTO packed SELECT $1, value, randomblob(1000) "
              "FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]')";
    return cvm_db_exec(cvm_store_journeys(store), sql, &key, 1, NULL, err);
}

/* Transaction n: three audit rows, one unit more confirmed, 20 kB of journeys. */
static enum cvm_status write_once(struct cvm_store *store, int64_t n, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_ledger_holder who = {.holder = "run1", .epoch = n, .expires_at_ms = INT64_MAX};
    struct cvm_ledger_amount one = {EMAIL, 1};
    struct cvm_audit_row row = {.who = "me", .action = "plan", .object = "x", .why = ""};
    enum cvm_status status = cvm_db_begin(db, err);
    for (int i = 0; status == CVM_OK && i < 3; i++) {
        status = cvm_audit_add(store, &row, err);
    }
    if (status == CVM_OK) {
        status = cvm_ledger_hold(store, &support.catalogue, DAY, &who, &one, 1, err);
    }
    if (status == CVM_OK) {
        status = cvm_ledger_confirm(store, &support.catalogue, DAY, &who, &one, 1, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status == CVM_OK) {
        status = pack_once(store, n, err);
    }
    if (status == CVM_OK && n % 7 == 0) {
        status = cvm_store_checkpoint(store, err);
    }
    return status;
}

/* The child: goes on until it is killed, and says each commit. */
static void write_on(int pipe_end)
{
    struct cvm_store *store = NULL;
    struct cvm_store_options options = {.access = CVM_DB_WRITE, .clock = cvm_clock_system};
    struct cvm_error err = {0};
    if (cvm_store_open(support_url(), &options, &store, &err) != CVM_OK) {
        _exit(1);
    }
    int64_t n = support_number(cvm_store_db(store), "SELECT count(*) / 3 FROM audit");
    while (write_once(store, ++n, &err) == CVM_OK) {
        if (write(pipe_end, &n, sizeof(n)) != (ssize_t)sizeof(n)) {
            break;
        }
    }
    _exit(2);
}

/* Waits for a number of commits, then kills somewhere in the next. */
static int64_t kill_once(struct cvm_random *random)
{
    int ends[2];
    int64_t last = -1;
    assert_int_equal(pipe(ends), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(ends[0]);
        write_on(ends[1]);
    }
    (void)close(ends[1]);
    uint64_t commits = 1 + cvm_random_below(random, 20);
    for (uint64_t i = 0; i < commits; i++) {
        assert_int_equal(read(ends[0], &last, sizeof(last)), sizeof(last));
    }
    for (volatile uint64_t spin = cvm_random_below(random, 1000000); spin > 0; spin--) {
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFSIGNALED(result));
    for (int64_t more; read(ends[0], &more, sizeof(more)) == (ssize_t)sizeof(more);) {
        last = more; /* committed after the last that was waited for */
    }
    (void)close(ends[0]);
    return last;
}

static void check_integrity(struct cvm_db *db)
{
    assert_int_equal(support_number(db, "SELECT count(*) FROM pragma_integrity_check "
                                        "WHERE integrity_check <> 'ok'"),
                     0);
}

static void check_store(int64_t last)
{
    struct cvm_store *store = support_open(CVM_DB_WRITE);
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db *journeys = cvm_store_journeys(store);
    int64_t rows = support_number(db, "SELECT count(*) FROM audit");
    assert_int_equal(rows % 3, 0);
    assert_true(rows / 3 == last || rows / 3 == last + 1); /* it may have died before saying so */
    assert_int_equal(support_number(db, "SELECT sum(confirmed) FROM ledger"), rows / 3);
    assert_int_equal(support_number(db, "SELECT sum(held) FROM ledger"), 0);
    assert_int_equal(support_number(db, "SELECT count(*) FROM ledger_hold"), 0);
    /* Each said commit is there, whole; of one that was not said, all or nothing. */
    char sql[100];
    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM packed WHERE customer_key = %lld",
                   (long long)last);
    assert_int_equal(support_number(journeys, sql), 20);
    assert_int_equal(support_number(journeys, "SELECT count(*) FROM packed") % 20, 0);
    if (!support_is_server()) {
        check_integrity(db);
        check_integrity(journeys);
    }
    cvm_store_close(store);
}

static void a_store_is_at_its_last_commit_whenever_its_writer_is_killed(void **state)
{
    (void)state;
    if (!support_is_shared()) {
        skip();
    }
    (void)support_constraints(&support);
    support.constraints[EMAIL].limit = 1000000;
    struct cvm_random random;
    const char *given = getenv("CVM_KILLS");
    long kills = given == NULL ? 10 : strtol(given, NULL, 10);
    cvm_random_init(&random, 20240320);
    cvm_store_close(support_fresh());
    for (long i = 0; i < kills; i++) {
        check_store(kill_once(&random));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_is_at_its_last_commit_whenever_its_writer_is_killed),
    };
    return SUPPORT_RUN("kill", tests);
}
