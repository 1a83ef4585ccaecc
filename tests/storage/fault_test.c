/* The k-th call to the database fails, for k = 1, 2, ... until all goes well: each time all or
 * nothing of the work is there. */
#include <stdio.h>
#include <string.h>

#include "storage/catalogue_store.h"
#include "support/db_faulty.h"
#include "support/ledger_support.h"
#include "support/store_support.h"

#define DAY        19802
#define FAULTS_MAX 200

static struct support_catalogue support;

/* One piece of work, and what the store must say without it and with it: the hash of everything
 * that it changes, as one number. */
struct work {
    void (*prepare)(struct cvm_store *store);
    enum cvm_status (*run)(struct cvm_store *store, struct cvm_error *err);
    const char *sql;
};

static int64_t look(const struct work *work)
{
    struct cvm_store *store = support_open(CVM_DB_READ);
    int64_t number = support_number(cvm_store_db(store), work->sql);
    cvm_store_close(store);
    return number;
}

static void sweep(const struct work *work, bool loses_transaction)
{
    (void)support_constraints(&support);
    enum cvm_status status = CVM_E_UNAVAILABLE;
    int64_t fail_at = 0;
    while (status != CVM_OK) {
        assert_true(++fail_at < FAULTS_MAX);
        struct cvm_store *store = support_fresh();
        work->prepare(store);
        cvm_store_close(store);
        int64_t before = look(work);
        struct db_faults faults = {.fail_at = fail_at, .loses_transaction = loses_transaction};
        struct cvm_error err = {0};
        store = support_open(CVM_DB_WRITE);
        db_faulty_wrap(store, false, &faults);
        status = work->run(store, &err);
        assert_true(status == CVM_OK || (status == CVM_E_UNAVAILABLE && err.message[0] != '\0'));
        assert_true(status == CVM_OK || faults.calls >= fail_at);
        cvm_store_close(store);
        int64_t after = look(work);
        if (status == CVM_OK) {
            assert_true(after != before);
        } else {
            assert_int_equal(after, before);
        }
    }
    assert_true(fail_at > 3);
}

static void sweep_both(const struct work *work)
{
    if (!support_is_shared()) {
        skip();
    }
    sweep(work, false);
    sweep(work, true);
}

/* Inside a transaction that ends as every caller ends one. */
static enum cvm_status in_transaction(struct cvm_store *store,
                                      enum cvm_status (*body)(struct cvm_store *store,
                                                              struct cvm_error *err),
                                      struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = body(store, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status;
}

static const struct cvm_ledger_amount amounts[] = {{EMAIL, 4}, {MINUTES, 100}, {BUDGET, 7}};

static struct cvm_ledger_holder holder(const char *name)
{
    return (struct cvm_ledger_holder){.holder = name, .epoch = 1, .expires_at_ms = INT64_MAX};
}

static enum cvm_status hold_body(struct cvm_store *store, struct cvm_error *err)
{
    struct cvm_ledger_holder who = holder("run1");
    return cvm_ledger_hold(store, &support.catalogue, DAY, &who, amounts, 3, err);
}

static enum cvm_status hold(struct cvm_store *store, struct cvm_error *err)
{
    return in_transaction(store, hold_body, err);
}

static void hold_before(struct cvm_store *store)
{
    ASSERT_OK(hold(store, ERR));
}

static enum cvm_status confirm_body(struct cvm_store *store, struct cvm_error *err)
{
    static const struct cvm_ledger_amount used[] = {{EMAIL, 2}, {MINUTES, 100}};
    struct cvm_ledger_holder who = holder("run1");
    return cvm_ledger_confirm(store, &support.catalogue, DAY, &who, used, 2, err);
}

static enum cvm_status confirm(struct cvm_store *store, struct cvm_error *err)
{
    return in_transaction(store, confirm_body, err);
}

#define LEDGER_SUM                                                                                 \
    "SELECT (SELECT coalesce(sum(held * 3 + confirmed * 7 + granted), 0) FROM ledger) * 1000 + "   \
    "(SELECT coalesce(sum(amount), 0) FROM ledger_hold)"

static void nothing(struct cvm_store *store)
{
    (void)store;
}

static void a_hold_is_whole_or_absent(void **state)
{
    (void)state;
    sweep_both(&(struct work){.prepare = nothing, .run = hold, .sql = LEDGER_SUM});
}

static void a_confirmation_is_whole_or_absent(void **state)
{
    (void)state;
    sweep_both(&(struct work){.prepare = hold_before, .run = confirm, .sql = LEDGER_SUM});
}

/* A caller that goes on after a refusal: the second hold is refused, the third stands alone. */
static enum cvm_status refused_body(struct cvm_store *store, struct cvm_error *err)
{
    struct cvm_ledger_holder first = holder("decide.1");
    static const struct cvm_ledger_amount too_much[] = {{MINUTES, 5}, {EMAIL, 11}};
    enum cvm_status status =
        cvm_ledger_hold(store, &support.catalogue, DAY, &first, too_much, 2, err);
    if (status == CVM_E_LIMIT) {
        status = cvm_ledger_hold(store, &support.catalogue, DAY, &first, amounts, 1, err);
    }
    return status;
}

static enum cvm_status refused(struct cvm_store *store, struct cvm_error *err)
{
    return in_transaction(store, refused_body, err);
}

static void a_refusal_that_can_not_be_undone_costs_the_transaction(void **state)
{
    (void)state;
    sweep_both(&(struct work){
        .prepare = nothing,
        .run = refused,
        .sql = "SELECT (SELECT count(*) FROM ledger_hold) * 1000000 + (SELECT "
               "coalesce(sum(held), 0) FROM ledger WHERE constraint_id = 'minutes') * 1000 + "
               "(SELECT coalesce(sum(held), 0) FROM ledger WHERE constraint_id <> 'minutes')"});
}

static enum cvm_status publish_body(struct cvm_store *store, struct cvm_error *err)
{
    struct cvm_run_record run = support_run_record("run1", DAY);
    struct cvm_decision decisions[] = {support_decision("run1", 1), support_decision("run1", 2)};
    run.epoch = 1;
    run.decisions = 2;
    enum cvm_status status = cvm_decision_add(store, decisions, 2, err);
    if (status == CVM_OK) {
        status = cvm_run_finish(store, &run, err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_set_state(store, "run1", "approved", "me", "auto", err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_set_state(store, "run1", "released", "me", "auto", err);
    }
    return status == CVM_OK ? confirm_body(store, err) : status;
}

static enum cvm_status publish(struct cvm_store *store, struct cvm_error *err)
{
    return in_transaction(store, publish_body, err);
}

static void start_and_hold(struct cvm_store *store)
{
    struct cvm_run_record run = support_run_record("run1", DAY);
    int64_t epoch = 0;
    ASSERT_OK(cvm_run_start(store, &run, &epoch, ERR));
    ASSERT_OK(hold(store, ERR));
}

static void a_run_is_published_whole_or_not_at_all(void **state)
{
    (void)state;
    sweep_both(&(struct work){
        .prepare = start_and_hold,
        .run = publish,
        .sql = "SELECT (SELECT count(*) FROM decision) + 10 * (SELECT count(*) FROM audit) + 100 * "
               "(SELECT count(*) FROM run WHERE state = 'done') + 1000 * (SELECT count(*) FROM "
               "plan WHERE state = 'released') + 10000 * (SELECT sum(confirmed) FROM ledger)"});
}

static enum cvm_status start_again(struct cvm_store *store, struct cvm_error *err)
{
    struct cvm_run_record run = support_run_record("run1", DAY);
    int64_t epoch = 0;
    return cvm_run_start(store, &run, &epoch, err);
}

static void leave_half_a_run(struct cvm_store *store)
{
    struct cvm_decision decision = support_decision("run1", 1);
    struct cvm_value_block block = {.first_key = 1, .last_key = 2, .body = "x", .length = 1};
    start_and_hold(store);
    support_begin(store);
    ASSERT_OK(cvm_decision_add(store, &decision, 1, ERR));
    ASSERT_OK(cvm_value_block_add(store, "run1", &block, ERR));
    support_commit(store);
}

static void taking_a_run_up_clears_all_or_nothing(void **state)
{
    (void)state;
    sweep_both(&(struct work){
        .prepare = leave_half_a_run,
        .run = start_again,
        .sql = "SELECT (SELECT count(*) FROM decision) + 10 * (SELECT count(*) FROM value_block) + "
               "100 * (SELECT epoch FROM run)"});
}

static enum cvm_status add_catalogue(struct cvm_store *store, struct cvm_error *err)
{
    static const struct cvm_catalogue_file file[] = {{"a.yaml", "a: 1\n", 5},
                                                     {"b.yaml", "b: 2\n", 5}};
    static const struct cvm_catalogue_files files = {file, 2};
    static const struct cvm_catalogue_change_note note = {"me", "why", "[]"};
    int64_t version = -1;
    enum cvm_status status = cvm_catalogue_store_add(store, &files, "digest", &note, &version, err);
    assert_true((status == CVM_OK) == (version == 1));
    return status;
}

static void a_catalogue_version_is_whole_or_absent(void **state)
{
    (void)state;
    sweep_both(&(struct work){
        .prepare = nothing,
        .run = add_catalogue,
        .sql = "SELECT (SELECT count(*) FROM catalogue) + 10 * (SELECT count(*) FROM "
               "catalogue_file) + 100 * (SELECT count(*) FROM audit)"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_is_whole_or_absent),
        cmocka_unit_test(a_confirmation_is_whole_or_absent),
        cmocka_unit_test(a_refusal_that_can_not_be_undone_costs_the_transaction),
        cmocka_unit_test(a_run_is_published_whole_or_not_at_all),
        cmocka_unit_test(taking_a_run_up_clears_all_or_nothing),
        cmocka_unit_test(a_catalogue_version_is_whole_or_absent),
    };
    return SUPPORT_RUN("faults", tests);
}
