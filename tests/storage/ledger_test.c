/* The ledger: never granted twice, never exceeded. */
#include "storage/ledger.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "base/random.h"
#include "base/threads.h"
#include "support/ledger_support.h"
#include "support/store_support.h"

#define DAY 19802 /* 2024-03-20, a Wednesday */

static struct support_catalogue support;

static struct cvm_ledger_holder holder(const char *name, int64_t epoch)
{
    return (struct cvm_ledger_holder){
        .holder = name, .epoch = epoch, .expires_at_ms = SUPPORT_NOW_MS + 1000};
}

static struct cvm_ledger_row row_of(struct cvm_store *store, int constraint)
{
    struct cvm_ledger_row row = {.granted = -1};
    ASSERT_OK(cvm_ledger_row(store, &support.constraints[constraint], DAY, "run1", &row, ERR));
    return row;
}

static void check(struct cvm_store *store, int constraint, int64_t granted, int64_t held,
                  int64_t confirmed)
{
    struct cvm_ledger_row row = row_of(store, constraint);
    assert_int_equal(row.granted, granted);
    assert_int_equal(row.held, held);
    assert_int_equal(row.confirmed, confirmed);
}

static enum cvm_status hold(struct cvm_store *store, const char *name, int64_t epoch,
                            int constraint, int64_t amount, struct cvm_error *err)
{
    struct cvm_ledger_holder who = holder(name, epoch);
    struct cvm_ledger_amount what = {constraint, amount};
    return cvm_ledger_hold(store, &support.catalogue, DAY, &who, &what, 1, err);
}

static struct cvm_store *start(void)
{
    (void)support_constraints(&support);
    struct cvm_store *store = support_fresh();
    support_begin(store);
    return store;
}

static void finish(struct cvm_store *store)
{
    support_commit(store);
    cvm_store_close(store);
}

static void periods_are_named_by_day_iso_week_month_and_run(void **state)
{
    (void)state;
    char name[CVM_PERIOD_NAME_SIZE];
    cvm_ledger_period(CVM_PERIOD_DAY, DAY, NULL, name);
    assert_string_equal(name, "2024-03-20");
    cvm_ledger_period(CVM_PERIOD_WEEK, DAY, NULL, name);
    assert_string_equal(name, "2024-W12");
    cvm_ledger_period(CVM_PERIOD_MONTH, DAY, NULL, name);
    assert_string_equal(name, "2024-03");
    cvm_ledger_period(CVM_PERIOD_RUN, DAY, "2024-03-20-ab", name);
    assert_string_equal(name, "run:2024-03-20-ab");
    cvm_ledger_period(CVM_PERIOD_RUN, DAY, "2024-03-20-ab.00000000000000ff", name);
    assert_string_equal(name, "run:2024-03-20-ab");
}

static void weeks_at_the_turn_of_a_year_belong_to_the_year_of_their_thursday(void **state)
{
    (void)state;
    static const struct {
        struct cvm_date date;
        const char *week;
    } cases[] = {
        {{2021, 1, 3}, "2020-W53"},   {{2021, 1, 4}, "2021-W01"},   {{2019, 12, 30}, "2020-W01"},
        {{2019, 12, 29}, "2019-W52"}, {{2016, 1, 1}, "2015-W53"},   {{2018, 12, 31}, "2019-W01"},
        {{2000, 1, 2}, "1999-W52"},   {{2024, 12, 30}, "2025-W01"}, {{2026, 12, 31}, "2026-W53"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[CVM_PERIOD_NAME_SIZE];
        cvm_ledger_period(CVM_PERIOD_WEEK, cvm_day_from_date(cases[i].date), NULL, name);
        assert_string_equal(name, cases[i].week);
    }
}

static void a_hold_takes_from_what_is_left(void **state) /* poc 22 */
{
    (void)state;
    struct cvm_store *store = start();
    check(store, EMAIL, 10, 0, 0);
    ASSERT_OK(hold(store, "run1.0000000000000001", 0, EMAIL, 1, ERR));
    check(store, EMAIL, 10, 1, 0);
    struct cvm_ledger_row row = row_of(store, EMAIL);
    assert_int_equal(row.granted - row.held - row.confirmed, 9);
    assert_string_equal(row.period, "2024-03-20");
    finish(store);
}

static void a_hold_without_room_names_the_constraint_and_changes_nothing(void **state) /* poc 25 */
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_error err = {0};
    struct cvm_ledger_holder who = holder("run1.1", 0);
    struct cvm_ledger_amount what[] = {{BUDGET, 5}, {MINUTES, 60000}, {EMAIL, 11}};
    assert_int_equal(cvm_ledger_hold(store, &support.catalogue, DAY, &who, what, 3, &err),
                     CVM_E_LIMIT);
    assert_non_null(strstr(err.message, "capacity:email"));
    assert_non_null(strstr(err.message, "11 asked, 10 left"));
    check(store, BUDGET, 100000000, 0, 0);
    check(store, MINUTES, 60000, 0, 0);
    /* The transaction goes on: something else fits. */
    what[2].amount = 10;
    ASSERT_OK(cvm_ledger_hold(store, &support.catalogue, DAY, &who, what, 3, ERR));
    assert_int_equal(hold(store, "run1.2", 0, EMAIL, 1, &err), CVM_E_LIMIT);
    check(store, EMAIL, 10, 10, 0);
    finish(store);
}

static void a_constraint_of_nothing_gives_nothing(void **state) /* poc 31 */
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_error err = {0};
    support.constraints[EMAIL].limit = 0;
    assert_int_equal(hold(store, "run1.1", 0, EMAIL, 1, &err), CVM_E_LIMIT);
    check(store, EMAIL, 0, 0, 0);
    ASSERT_OK(hold(store, "run1.1", 0, EMAIL, 0, ERR));
    finish(store);
}

static void no_limit_is_no_row(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    ASSERT_OK(hold(store, "run1.1", 0, UNLIMITED, INT64_MAX, ERR));
    struct cvm_ledger_row row = row_of(store, UNLIMITED);
    assert_true(row.granted == INT64_MAX);
    assert_int_equal(support_number(cvm_store_db(store), "SELECT count(*) FROM ledger"), 0);
    struct cvm_ledger_holder who = holder("run1.1", 0);
    struct cvm_ledger_amount what = {UNLIMITED, 7};
    ASSERT_OK(cvm_ledger_confirm(store, &support.catalogue, DAY, &who, &what, 1, ERR));
    ASSERT_OK(cvm_ledger_return(store, &support.catalogue, DAY, "run1", &what, 1, ERR));
    finish(store);
}

static void a_negative_amount_is_refused(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_error err = {0};
    assert_int_equal(hold(store, "run1.1", 0, EMAIL, -1, &err), CVM_E_INVALID);
    assert_int_equal(hold(store, "run1.1", 0, EMAIL, INT64_MIN, &err), CVM_E_INVALID);
    /* nor does a huge one wrap around */
    assert_int_equal(hold(store, "run1.1", 0, EMAIL, INT64_MAX, &err), CVM_E_LIMIT);
    check(store, EMAIL, 10, 0, 0);
    finish(store);
}

static void the_same_holder_replaces_what_it_held(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    ASSERT_OK(hold(store, "run1", 1, EMAIL, 8, ERR));
    ASSERT_OK(hold(store, "run1", 1, EMAIL, 9, ERR));
    check(store, EMAIL, 10, 9, 0);
    ASSERT_OK(hold(store, "run1", 2, MINUTES, 4, ERR));
    check(store, EMAIL, 10, 0, 0);
    check(store, MINUTES, 60000, 4, 0);
    struct cvm_error err = {0};
    ASSERT_OK(hold(store, "run1", 2, EMAIL, 9, ERR));
    assert_int_equal(hold(store, "run1", 2, EMAIL, 11, &err), CVM_E_LIMIT);
    check(store, EMAIL, 10, 9, 0); /* what it held before stands */
    finish(store);
}

static void a_process_with_an_older_epoch_is_fenced(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_error err = {0};
    ASSERT_OK(hold(store, "run1", 5, EMAIL, 8, ERR));
    assert_int_equal(hold(store, "run1", 4, EMAIL, 1, &err), CVM_E_CONFLICT);
    struct cvm_ledger_holder old = holder("run1", 4);
    struct cvm_ledger_amount what = {EMAIL, 1};
    assert_int_equal(cvm_ledger_confirm(store, &support.catalogue, DAY, &old, &what, 1, &err),
                     CVM_E_CONFLICT);
    check(store, EMAIL, 10, 8, 0);
    support_commit(store);
    /* Also when its hold is gone: the run remembers who took it up. */
    struct cvm_run_record run = support_run_record("run7", DAY);
    int64_t epoch = 0;
    ASSERT_OK(cvm_run_start(store, &run, &epoch, ERR));
    ASSERT_OK(cvm_run_start(store, &run, &epoch, ERR));
    assert_int_equal(epoch, 2);
    support_begin(store);
    assert_int_equal(hold(store, "run7", 1, EMAIL, 1, &err), CVM_E_CONFLICT);
    ASSERT_OK(hold(store, "run7", 2, EMAIL, 1, ERR));
    finish(store);
}

static void confirming_uses_a_part_and_releases_the_rest(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_ledger_holder who = holder("run1", 1);
    struct cvm_ledger_amount held[] = {{EMAIL, 8}, {MINUTES, 600}, {PER_RUN, 5}};
    struct cvm_ledger_amount used[] = {{EMAIL, 6}, {PER_RUN, 5}};
    ASSERT_OK(cvm_ledger_hold(store, &support.catalogue, DAY, &who, held, 3, ERR));
    ASSERT_OK(cvm_ledger_confirm(store, &support.catalogue, DAY, &who, used, 2, ERR));
    check(store, EMAIL, 10, 0, 6);
    check(store, MINUTES, 60000, 0, 0);
    check(store, PER_RUN, 5, 0, 5);
    struct cvm_error err = {0};
    /* The hold is gone: confirming twice uses nothing twice. */
    assert_int_equal(cvm_ledger_confirm(store, &support.catalogue, DAY, &who, used, 2, &err),
                     CVM_E_CONFLICT);
    check(store, EMAIL, 10, 0, 6);
    finish(store);
}

static void confirming_more_than_is_held_changes_nothing(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_error err = {0};
    struct cvm_ledger_holder who = holder("run1", 1);
    struct cvm_ledger_amount held[] = {{EMAIL, 8}, {MINUTES, 600}};
    struct cvm_ledger_amount used[] = {{EMAIL, 8}, {MINUTES, 601}};
    ASSERT_OK(cvm_ledger_hold(store, &support.catalogue, DAY, &who, held, 2, ERR));
    assert_int_equal(cvm_ledger_confirm(store, &support.catalogue, DAY, &who, used, 2, &err),
                     CVM_E_CONFLICT);
    assert_non_null(strstr(err.message, "minutes"));
    check(store, EMAIL, 10, 8, 0);
    check(store, MINUTES, 60000, 600, 0);
    finish(store);
}

static void what_is_returned_was_used(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_error err = {0};
    struct cvm_ledger_holder who = holder("run1", 1);
    struct cvm_ledger_amount what = {EMAIL, 8};
    ASSERT_OK(cvm_ledger_hold(store, &support.catalogue, DAY, &who, &what, 1, ERR));
    ASSERT_OK(cvm_ledger_confirm(store, &support.catalogue, DAY, &who, &what, 1, ERR));
    what.amount = 3;
    ASSERT_OK(cvm_ledger_return(store, &support.catalogue, DAY, "run1", &what, 1, ERR));
    check(store, EMAIL, 10, 0, 5);
    what.amount = 6;
    assert_int_equal(cvm_ledger_return(store, &support.catalogue, DAY, "run1", &what, 1, &err),
                     CVM_E_CONFLICT);
    check(store, EMAIL, 10, 0, 5);
    finish(store);
}

static void releasing_gives_everything_back_and_twice_is_fine(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    ASSERT_OK(hold(store, "run1", 1, EMAIL, 8, ERR));
    ASSERT_OK(hold(store, "run2", 1, EMAIL, 2, ERR));
    ASSERT_OK(cvm_ledger_release(store, "run1", ERR));
    ASSERT_OK(cvm_ledger_release(store, "run1", ERR));
    ASSERT_OK(cvm_ledger_release(store, "nobody", ERR));
    check(store, EMAIL, 10, 2, 0);
    finish(store);
}

static void holds_end_at_their_expiry(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_ledger_amount what[] = {{EMAIL, 2}, {MINUTES, 5}};
    for (int i = 0; i < 4; i++) {
        char name[] = {'r', (char)('0' + i), '\0'};
        struct cvm_ledger_holder who = {.holder = name, .expires_at_ms = 1000 + i};
        ASSERT_OK(cvm_ledger_hold(store, &support.catalogue, DAY, &who, what, 2, ERR));
    }
    ASSERT_OK(cvm_ledger_expire(store, 999, ERR));
    check(store, EMAIL, 10, 8, 0);
    ASSERT_OK(cvm_ledger_expire(store, 1002, ERR));
    check(store, EMAIL, 10, 2, 0);
    check(store, MINUTES, 60000, 5, 0);
    finish(store);
}

static void a_new_day_is_a_new_row(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_ledger_row row;
    ASSERT_OK(hold(store, "run1", 1, EMAIL, 10, ERR));
    ASSERT_OK(cvm_ledger_row(store, &support.constraints[EMAIL], DAY + 1, NULL, &row, ERR));
    assert_int_equal(row.held, 0);
    assert_string_equal(row.period, "2024-03-21");
    ASSERT_OK(cvm_ledger_row(store, &support.constraints[MINUTES], DAY + 4, NULL, &row, ERR));
    assert_string_equal(row.period, "2024-W12"); /* Sunday of the same week */
    finish(store);
}

static void granted_follows_the_catalogue_but_not_below_what_is_taken(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    ASSERT_OK(hold(store, "run1", 1, EMAIL, 8, ERR));
    support.constraints[EMAIL].limit = 5;
    check(store, EMAIL, 8, 8, 0);
    support.constraints[EMAIL].limit = 20;
    check(store, EMAIL, 20, 8, 0);
    ASSERT_OK(cvm_ledger_release(store, "run1", ERR));
    support.constraints[EMAIL].limit = 5;
    check(store, EMAIL, 5, 0, 0);
    finish(store);
}

static void a_reset_makes_all_that_is_not_used_available(void **state) /* poc 30 */
{
    (void)state;
    struct cvm_store *store = start();
    support.constraints[MINUTES].limit = 0; /* one that started at 0 */
    check(store, MINUTES, 0, 0, 0);
    support.constraints[MINUTES].limit = 5;
    struct cvm_ledger_holder used = holder("run1", 1);
    struct cvm_ledger_amount what = {EMAIL, 3};
    ASSERT_OK(cvm_ledger_hold(store, &support.catalogue, DAY, &used, &what, 1, ERR));
    ASSERT_OK(cvm_ledger_confirm(store, &support.catalogue, DAY, &used, &what, 1, ERR));
    struct cvm_ledger_holder dead = {.holder = "dead", .expires_at_ms = SUPPORT_NOW_MS - 1};
    ASSERT_OK(cvm_ledger_hold(store, &support.catalogue, DAY, &dead, &what, 1, ERR));
    ASSERT_OK(hold(store, "alive", 1, EMAIL, 1, ERR));
    ASSERT_OK(cvm_ledger_reset(store, &support.catalogue, DAY, ERR));
    check(store, EMAIL, 10, 1, 3); /* what is confirmed stays, and who is alive */
    check(store, MINUTES, 5, 0, 0);
    finish(store);
}

static void a_reset_drops_the_holds_of_a_failed_run(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    support_commit(store);
    struct cvm_run_record run = support_run_record("run1", DAY);
    int64_t epoch = 0;
    ASSERT_OK(cvm_run_start(store, &run, &epoch, ERR));
    support_begin(store);
    ASSERT_OK(hold(store, "run1", epoch, EMAIL, 4, ERR));
    ASSERT_OK(cvm_ledger_reset(store, &support.catalogue, DAY, ERR));
    check(store, EMAIL, 10, 4, 0);
    support_commit(store);
    ASSERT_OK(cvm_run_fail(store, "run1", epoch, ERR));
    support_begin(store);
    ASSERT_OK(cvm_ledger_reset(store, &support.catalogue, DAY, ERR));
    check(store, EMAIL, 10, 0, 0);
    finish(store);
}

static void a_reader_looks_without_writing(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    finish(store);
    if (!support_is_shared()) {
        skip();
    }
    struct cvm_store *reader = support_open(CVM_DB_READ);
    check(reader, EMAIL, 10, 0, 0);
    assert_int_equal(support_number(cvm_store_db(reader), "SELECT count(*) FROM ledger"), 0);
    cvm_store_close(reader);
}

/* ---- many at once ---- */

struct crowd {
    atomic_int next;
    atomic_int granted;
    atomic_int refused;
};

static enum cvm_status take_one(void *state, struct cvm_error *err)
{
    struct crowd *crowd = state;
    char name[32];
    (void)snprintf(name, sizeof(name), "decide.%d", atomic_fetch_add(&crowd->next, 1));
    struct cvm_store *store = NULL;
    struct cvm_store_options options = {
        .access = CVM_DB_WRITE, .lock_wait_ms = 120000, .clock = cvm_clock_system};
    enum cvm_status status = cvm_store_open(support_url(), &options, &store, err);
    if (status == CVM_OK) {
        status = cvm_db_begin(cvm_store_db(store), err);
    }
    if (status == CVM_OK) {
        status = hold(store, name, 0, EMAIL, 1, err);
        atomic_fetch_add(status == CVM_OK ? &crowd->granted : &crowd->refused, 1);
    }
    if (status == CVM_OK || status == CVM_E_LIMIT) {
        status = cvm_db_commit(cvm_store_db(store), err);
    }
    cvm_store_close(store);
    return status;
}

static void take_together(int threads, int limit)
{
    (void)support_constraints(&support);
    support.constraints[EMAIL].limit = limit;
    cvm_store_close(support_fresh());
    struct crowd crowd = {0};
    struct cvm_thread *crew[64] = {NULL};
    for (int i = 0; i < threads; i++) {
        ASSERT_OK(cvm_thread_start(take_one, &crowd, &crew[i], ERR));
    }
    for (int i = 0; i < threads; i++) {
        ASSERT_OK(cvm_thread_join(crew[i], ERR));
    }
    int expected = threads < limit ? threads : limit;
    assert_int_equal(atomic_load(&crowd.granted), expected);
    assert_int_equal(atomic_load(&crowd.refused), threads - expected);
    struct cvm_store *store = support_open(CVM_DB_WRITE);
    check(store, EMAIL, limit, expected, 0);
    assert_int_equal(support_number(cvm_store_db(store), "SELECT count(*) FROM ledger_hold"),
                     expected);
    cvm_store_close(store);
}

static void ten_threads_take_ten_of_a_hundred(void **state) /* poc 27 */
{
    (void)state;
    if (!support_is_shared()) {
        skip();
    }
    take_together(10, 100);
}

static void of_fifty_threads_on_two_slots_exactly_two_win(void **state) /* poc 27 */
{
    (void)state;
    if (!support_is_shared()) {
        skip();
    }
    take_together(50, 2);
}

/* Any sequence of calls keeps the books: held is the sum of the holds, nothing exceeds. */
static void the_books_balance_after_any_sequence(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_random random;
    cvm_random_init(&random, 7);
    int64_t used[CONSTRAINTS] = {0};
    for (int i = 0; i < 3000; i++) {
        char name[] = {'r', (char)('0' + cvm_random_below(&random, 5)), '\0'};
        struct cvm_ledger_amount what[2];
        for (int j = 0; j < 2; j++) {
            what[j].constraint = (int)cvm_random_below(&random, 3);
            what[j].amount = (int64_t)cvm_random_below(&random, 7);
        }
        struct cvm_ledger_holder who = {.holder = name, .expires_at_ms = i + 50};
        enum cvm_status status = CVM_OK;
        switch (cvm_random_below(&random, 6)) {
        case 0:
            status = cvm_ledger_confirm(store, &support.catalogue, DAY, &who, what, 2, NULL);
            for (int j = 0; j < 2 && status == CVM_OK; j++) {
                used[what[j].constraint] += what[j].amount;
            }
            break;
        case 1:
            status = cvm_ledger_release(store, name, NULL);
            break;
        case 2:
            status = cvm_ledger_expire(store, i, NULL);
            break;
        case 3:
            status = cvm_ledger_return(store, &support.catalogue, DAY, "r", what, 2, NULL);
            for (int j = 0; j < 2 && status == CVM_OK; j++) {
                used[what[j].constraint] -= what[j].amount;
            }
            break;
        default:
            status = cvm_ledger_hold(store, &support.catalogue, DAY, &who, what, 2, NULL);
        }
        assert_true(status == CVM_OK || status == CVM_E_LIMIT || status == CVM_E_CONFLICT);
        assert_int_equal(
            support_number(cvm_store_db(store),
                           "SELECT count(*) FROM ledger l WHERE held + confirmed > granted OR held "
                           "<> (SELECT coalesce(sum(amount), 0) FROM ledger_hold h WHERE "
                           "h.constraint_id = l.constraint_id AND h.period = l.period)"),
            0);
        for (int c = 0; c < 3; c++) {
            assert_int_equal(row_of(store, c).confirmed, used[c]);
        }
    }
    finish(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(periods_are_named_by_day_iso_week_month_and_run),
        cmocka_unit_test(weeks_at_the_turn_of_a_year_belong_to_the_year_of_their_thursday),
        cmocka_unit_test(a_hold_takes_from_what_is_left),
        cmocka_unit_test(a_hold_without_room_names_the_constraint_and_changes_nothing),
        cmocka_unit_test(a_constraint_of_nothing_gives_nothing),
        cmocka_unit_test(no_limit_is_no_row),
        cmocka_unit_test(a_negative_amount_is_refused),
        cmocka_unit_test(the_same_holder_replaces_what_it_held),
        cmocka_unit_test(a_process_with_an_older_epoch_is_fenced),
        cmocka_unit_test(confirming_uses_a_part_and_releases_the_rest),
        cmocka_unit_test(confirming_more_than_is_held_changes_nothing),
        cmocka_unit_test(what_is_returned_was_used),
        cmocka_unit_test(releasing_gives_everything_back_and_twice_is_fine),
        cmocka_unit_test(holds_end_at_their_expiry),
        cmocka_unit_test(a_new_day_is_a_new_row),
        cmocka_unit_test(granted_follows_the_catalogue_but_not_below_what_is_taken),
        cmocka_unit_test(a_reset_makes_all_that_is_not_used_available),
        cmocka_unit_test(a_reset_drops_the_holds_of_a_failed_run),
        cmocka_unit_test(a_reader_looks_without_writing),
        cmocka_unit_test(ten_threads_take_ten_of_a_hundred),
        cmocka_unit_test(of_fifty_threads_on_two_slots_exactly_two_win),
        cmocka_unit_test(the_books_balance_after_any_sequence),
    };
    return SUPPORT_RUN("ledger", tests);
}
