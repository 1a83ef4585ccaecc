/* A server's store that several write at once. STORE_URL comes from
 * tests/support/postgres_server.sh. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "storage/audit_chain.h"
#include "storage/lease.h"
#include "storage/turn.h"
#include "support/ledger_support.h"
#include "support/store_support.h"

#define DAY     19802
#define THREADS 4

static struct support_catalogue support;

static enum cvm_status open_with(const char *url, enum cvm_db_access access, int64_t wait_ms,
                                 struct cvm_store **out_store, struct cvm_error *err)
{
    struct cvm_store_options options = {
        .access = access, .lock_wait_ms = wait_ms, .clock = cvm_clock_system};
    return cvm_store_open(url, &options, out_store, err);
}

static void run_together(cvm_task_fn task, void *state)
{
    struct cvm_pool *pool = NULL;
    ASSERT_OK(cvm_pool_create(THREADS, &pool, ERR));
    ASSERT_OK(cvm_pool_run(pool, THREADS, task, state, ERR));
    cvm_pool_destroy(pool);
}

static void a_writer_and_those_that_share_exclude_each_other(void **state)
{
    (void)state;
    char url[700];
    struct cvm_error err = {0};
    struct cvm_store *writer = support_fresh();
    struct cvm_store *agent = NULL;
    struct cvm_store *other = NULL;
    (void)snprintf(url, sizeof(url), "%s&options=-c%%20lock_timeout%%3D50ms", support_url());
    ASSERT_OK(open_with(url, CVM_DB_SHARED, 0, &agent, ERR)); /* opening is no writing */
    ASSERT_OK(open_with(url, CVM_DB_SHARED, 0, &other, ERR));
    assert_int_equal(cvm_db_begin(cvm_store_db(agent), &err), CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.message, "shared_test"));
    cvm_store_close(writer);

    support_begin(agent);
    support_begin(other);
    writer = NULL;
    assert_int_equal(open_with(support_url(), CVM_DB_WRITE, 50, &writer, &err), CVM_E_UNAVAILABLE);
    assert_null(writer);
    support_commit(agent);
    support_commit(other);
    ASSERT_OK(open_with(support_url(), CVM_DB_WRITE, 50, &writer, ERR));
    cvm_store_close(writer);
    cvm_store_close(agent);
    cvm_store_close(other);
}

static void who_shares_writes_in_transactions_only(void **state)
{
    (void)state;
    struct cvm_error err = {0};
    cvm_store_close(support_fresh());
    struct cvm_store *agent = support_open(CVM_DB_SHARED);
    struct cvm_db *db = cvm_store_db(agent);
    static const char sql[] = "DELETE FROM inbox";
    assert_int_equal(cvm_db_exec(db, sql, NULL, 0, NULL, &err), CVM_E_INTERNAL);
    support_begin(agent);
    support_exec(db, sql);
    support_commit(agent);
    assert_int_equal(support_number(db, "SELECT count(*) FROM inbox"), 0);
    cvm_store_close(agent);
}

static void who_shares_finds_its_server_again(void **state)
{
    (void)state;
    cvm_store_close(support_fresh());
    struct cvm_store *agent = support_open(CVM_DB_SHARED);
    struct cvm_lease_wish wish = {.resource = "r", .owner = "a", .incarnation = 1, .ttl_ms = 1000};
    int64_t epoch = 0;
    char command[200];
    ASSERT_OK(cvm_lease_acquire(agent, &wish, &epoch, ERR));
    (void)snprintf(command, sizeof(command),
                   "SELECT count(pg_terminate_backend(pid)) FROM "
                   "pg_stat_activity WHERE pid <> pg_backend_pid() AND "
                   "datname = current_database()");
    struct cvm_store *reader = support_open(CVM_DB_READ);
    assert_true(support_number(cvm_store_db(reader), command) > 0);
    cvm_store_close(reader);
    ASSERT_OK(cvm_lease_acquire(agent, &wish, &epoch, ERR));
    assert_int_equal(epoch, 2);
    cvm_store_close(agent);
}

/* ---- the ledger ---- */

struct takers {
    atomic_int held;
    atomic_int refused;
};

/* Each wants 10 of the day's 10 e-mails, one at a time, and gives every third back. */
static enum cvm_status take_mail(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    struct takers *takers = state;
    struct cvm_store *store = NULL;
    struct cvm_ledger_amount amount = {EMAIL, 1};
    (void)worker;
    enum cvm_status status = open_with(support_url(), CVM_DB_SHARED, 0, &store, err);
    for (int i = 0; status == CVM_OK && i < 10; i++) {
        char name[32];
        struct cvm_ledger_holder holder = {.holder = name, .epoch = 1, .expires_at_ms = INT64_MAX};
        (void)snprintf(name, sizeof(name), "run1.%zu%d", item, i);
        status = cvm_db_begin(cvm_store_db(store), err);
        enum cvm_status held = status != CVM_OK ? status
                                                : cvm_ledger_hold(store, &support.catalogue, DAY,
                                                                  &holder, &amount, 1, err);
        status = held == CVM_OK || held == CVM_E_LIMIT ? CVM_OK : held;
        (void)atomic_fetch_add(held == CVM_OK ? &takers->held : &takers->refused, 1);
        if (status == CVM_OK) {
            status = cvm_db_commit(cvm_store_db(store), err);
        }
    }
    cvm_store_close(store);
    return status;
}

static void nothing_is_held_twice_however_many_take_at_once(void **state)
{
    (void)state;
    struct takers takers = {0};
    cvm_store_close(support_fresh());
    run_together(take_mail, &takers);
    struct cvm_store *store = support_open(CVM_DB_READ);
    assert_int_equal(atomic_load(&takers.held), 10);
    assert_int_equal(atomic_load(&takers.refused), THREADS * 10 - 10);
    assert_int_equal(support_number(cvm_store_db(store), "SELECT held FROM ledger"), 10);
    assert_int_equal(
        support_number(cvm_store_db(store), "SELECT CAST(sum(amount) AS BIGINT) FROM ledger_hold"),
        10);
    cvm_store_close(store);
}

/* All stand for the same holder; expiry and release go on at the same time. */
static enum cvm_status hold_and_release(void *state, size_t item, size_t worker,
                                        struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_ledger_amount amount = {EMAIL, 2};
    struct cvm_ledger_holder holder = {.holder = "run1", .epoch = 1, .expires_at_ms = 1000};
    (void)state;
    (void)worker;
    enum cvm_status status = open_with(support_url(), CVM_DB_SHARED, 0, &store, err);
    for (int i = 0; status == CVM_OK && i < 20; i++) {
        status = cvm_db_begin(cvm_store_db(store), err);
        if (status == CVM_OK && item % 2 == 0) {
            status = cvm_ledger_hold(store, &support.catalogue, DAY, &holder, &amount, 1, err);
        } else if (status == CVM_OK && i % 2 == 0) {
            status = cvm_ledger_release(store, "run1", err);
        } else if (status == CVM_OK) {
            status = cvm_ledger_expire(store, 1000, err);
        }
        /* Two that wait for each other are told apart by the server; the one that lost goes on. */
        bool is_in_the_way = status == CVM_E_UNAVAILABLE;
        status = status == CVM_OK ? cvm_db_commit(cvm_store_db(store), err) : status;
        cvm_db_rollback(cvm_store_db(store));
        status = is_in_the_way ? CVM_OK : status;
    }
    cvm_store_close(store);
    return status;
}

static void a_hold_is_given_back_once_whoever_releases_it(void **state)
{
    (void)state;
    cvm_store_close(support_fresh());
    run_together(hold_and_release, NULL);
    struct cvm_store *store = support_open(CVM_DB_READ);
    int64_t holds = support_number(
        cvm_store_db(store), "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM ledger_hold");
    assert_int_equal(support_number(cvm_store_db(store), "SELECT held FROM ledger"), holds);
    assert_true(holds == 0 || holds == 2);
    cvm_store_close(store);
}

/* ---- the audit log ---- */

static enum cvm_status add_rows(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_audit_seal seal;
    struct cvm_audit_row row = {
        .who = "agent", .action = "plan", .object = "plan", .why = "", .after = "{}"};
    (void)state;
    (void)worker;
    enum cvm_status status = open_with(support_url(), CVM_DB_SHARED, 0, &store, err);
    for (int i = 0; status == CVM_OK && i < 25; i++) {
        row.at_ms = (int64_t)item * 1000 + i + 1;
        status = cvm_db_begin(cvm_store_db(store), err);
        status = status == CVM_OK ? cvm_audit_add(store, &row, err) : status;
        status = status == CVM_OK ? cvm_audit_add(store, &row, err) : status;
        status = status == CVM_OK ? cvm_db_commit(cvm_store_db(store), err) : status;
        if (status == CVM_OK && i % 5 == (int)item) {
            status = cvm_audit_seal(store, NULL, &seal, err);
        }
    }
    cvm_store_close(store);
    return status;
}

static void the_chain_of_the_audit_log_holds_all_rows_of_all_writers(void **state)
{
    (void)state;
    struct cvm_audit_seal seal;
    struct cvm_audit_verdict verdict;
    struct cvm_context context = {.clock = cvm_clock_system};
    struct cvm_audit_check check = {.context = &context};
    cvm_store_close(support_fresh());
    run_together(add_rows, NULL);
    struct cvm_store *store = support_open(CVM_DB_WRITE);
    ASSERT_OK(cvm_audit_seal(store, NULL, &seal, ERR));
    assert_int_equal(seal.rows, THREADS * 50);
    ASSERT_OK(cvm_audit_verify(store, &check, &verdict, ERR));
    assert_string_equal(verdict.what, "");
    assert_int_equal(verdict.fault, CVM_AUDIT_INTACT);
    assert_int_equal(verdict.rows, THREADS * 50);
    cvm_store_close(store);
}

/* ---- runs ---- */

static enum cvm_status take_up(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    int64_t *epochs = state;
    struct cvm_store *store = NULL;
    struct cvm_run_record run = support_run_record("run1", DAY);
    (void)worker;
    enum cvm_status status = open_with(support_url(), CVM_DB_SHARED, 0, &store, err);
    for (int i = 0; status == CVM_OK && i < 5; i++) {
        int64_t epoch = 0;
        enum cvm_status started = cvm_run_start(store, &run, &epoch, err);
        status = started == CVM_E_CONFLICT ? CVM_OK : started;
        epochs[item * 5 + (size_t)i] = epoch;
    }
    cvm_store_close(store);
    return status;
}

static void no_two_take_a_run_up_under_one_epoch(void **state)
{
    (void)state;
    int64_t epochs[THREADS * 5] = {0};
    int64_t seen[THREADS * 5 + 2] = {0};
    cvm_store_close(support_fresh());
    run_together(take_up, epochs);
    for (size_t i = 0; i < THREADS * 5; i++) {
        assert_true(epochs[i] >= 0 && epochs[i] <= THREADS * 5);
        seen[epochs[i]] += epochs[i] > 0;
        assert_true(seen[epochs[i]] <= 1);
    }
    assert_int_equal(seen[1], 1);
}

/* ---- turns ---- */

struct race {
    int64_t epoch;
    atomic_int applied;
    atomic_int absorbed;
};

/* All get the same ten messages. */
static enum cvm_status apply(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    struct race *race = state;
    struct cvm_store *store = NULL;
    (void)item;
    (void)worker;
    enum cvm_status status = open_with(support_url(), CVM_DB_SHARED, 0, &store, err);
    for (unsigned char i = 0; status == CVM_OK && i < 10; i++) {
        struct cvm_turn_key key = {
            .resource = "r", .epoch = race->epoch, .consumer = "c", .message_id = {i}};
        struct cvm_turn_transaction turn;
        status = cvm_turn_begin(store, &key, &turn, err);
        if (status == CVM_OK && turn.is_new) {
            struct cvm_outbox_message message = {
                .destination = "x", .envelope = "y", .length = 1, .message_id = {i}};
            (void)atomic_fetch_add(&race->applied, 1);
            status = cvm_outbox_add(store, &message, err);
            status = status == CVM_OK ? cvm_turn_commit(&turn, err) : status;
        } else if (status == CVM_OK) {
            (void)atomic_fetch_add(&race->absorbed, 1);
        }
    }
    cvm_store_close(store);
    return status;
}

static void a_message_is_applied_once_however_many_have_it(void **state)
{
    (void)state;
    struct race race = {0};
    cvm_store_close(support_fresh());
    struct cvm_store *store = support_open(CVM_DB_SHARED);
    struct cvm_lease_wish wish = {.resource = "r", .owner = "a", .incarnation = 1, .ttl_ms = 60000};
    ASSERT_OK(cvm_lease_acquire(store, &wish, &race.epoch, ERR));
    run_together(apply, &race);
    assert_int_equal(atomic_load(&race.applied), 10);
    assert_int_equal(atomic_load(&race.absorbed), THREADS * 10 - 10);
    assert_int_equal(support_number(cvm_store_db(store), "SELECT count(*) FROM outbox"), 10);
    cvm_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_writer_and_those_that_share_exclude_each_other),
        cmocka_unit_test(who_shares_writes_in_transactions_only),
        cmocka_unit_test(who_shares_finds_its_server_again),
        cmocka_unit_test(nothing_is_held_twice_however_many_take_at_once),
        cmocka_unit_test(a_hold_is_given_back_once_whoever_releases_it),
        cmocka_unit_test(the_chain_of_the_audit_log_holds_all_rows_of_all_writers),
        cmocka_unit_test(no_two_take_a_run_up_under_one_epoch),
        cmocka_unit_test(a_message_is_applied_once_however_many_have_it),
    };
    (void)support_constraints(&support);
    return SUPPORT_RUN("shared", tests);
}
