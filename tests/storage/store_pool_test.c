#include "storage/store_pool.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"
#include "base/threads.h"
#include "support/store_support.h"

struct world {
    int64_t now_ms;
    struct cvm_context context;
    struct cvm_store_pool_options options;
};

static void make_world(struct world *world, size_t connections)
{
    *world = (struct world){.now_ms = SUPPORT_NOW_MS};
    world->context = (struct cvm_context){.clock = cvm_clock_fixed(&world->now_ms)};
    world->options = (struct cvm_store_pool_options){
        .url = support_url(),
        .store = {.access = CVM_DB_READ,
                  .retry = {.attempts = 5, .base_ms = 1},
                  .clock = world->context.clock},
        .connections_max = connections,
        .wait_ms = 1,
        .context = &world->context,
    };
    cvm_store_close(support_fresh());
}

static struct cvm_store *lend(struct cvm_store_pool *pool)
{
    struct cvm_store *store = NULL;
    ASSERT_OK(cvm_store_pool_lend(pool, &store, ERR));
    return store;
}

static int64_t sources_of(struct cvm_store *store)
{
    return support_number(cvm_store_db(store), "SELECT count(*) FROM source");
}

static void connections_are_opened_when_they_are_wanted_and_lent_again(void **state)
{
    (void)state;
    if (!support_is_shared()) {
        return;
    }
    struct world world;
    struct cvm_store_pool *pool = NULL;
    make_world(&world, 3);
    ASSERT_OK(cvm_store_pool_create(&world.options, &pool, ERR));
    assert_int_equal(cvm_store_pool_counts_of(pool).open, 0);
    struct cvm_store *first = lend(pool);
    struct cvm_store *second = lend(pool);
    assert_true(first != second);
    assert_int_equal(sources_of(first) + sources_of(second), 0);
    assert_int_equal(cvm_store_pool_counts_of(pool).open, 2);
    assert_int_equal(cvm_store_pool_counts_of(pool).lent, 2);
    cvm_store_pool_give_back(pool, second, CVM_OK);
    assert_ptr_equal(lend(pool), second);
    cvm_store_pool_give_back(pool, second, CVM_OK);
    cvm_store_pool_give_back(pool, first, CVM_OK);
    struct cvm_store_pool_counts counts = cvm_store_pool_counts_of(pool);
    assert_int_equal(counts.open, 2);
    assert_int_equal(counts.lent, 0);
    assert_int_equal(counts.waited, 0);
    assert_int_equal(counts.replaced, 0);
    cvm_store_pool_destroy(pool);
}

static void who_finds_all_lent_for_too_long_is_told_the_limit_and_its_key(void **state)
{
    (void)state;
    if (!support_is_shared()) {
        return;
    }
    struct world world;
    struct cvm_store_pool *pool = NULL;
    struct cvm_store *none = NULL;
    struct cvm_error err = {0};
    make_world(&world, 2);
    ASSERT_OK(cvm_store_pool_create(&world.options, &pool, ERR));
    struct cvm_store *first = lend(pool);
    struct cvm_store *second = lend(pool);
    assert_int_equal(cvm_store_pool_lend(pool, &none, &err), CVM_E_UNAVAILABLE);
    assert_null(none);
    assert_non_null(strstr(err.message, "all 2 connections"));
    assert_non_null(strstr(err.hint, "`connections`"));
    assert_int_equal(cvm_store_pool_counts_of(pool).waited, 1);
    atomic_bool cancelled;
    atomic_init(&cancelled, true);
    world.options.wait_ms = 60000; /* cancelling is seen long before */
    cvm_store_pool_give_back(pool, second, CVM_OK);
    cvm_store_pool_give_back(pool, first, CVM_OK);
    cvm_store_pool_destroy(pool);
    world.options.connections_max = 1;
    world.context.cancelled = &cancelled;
    ASSERT_OK(cvm_store_pool_create(&world.options, &pool, ERR));
    first = lend(pool);
    assert_int_equal(cvm_store_pool_lend(pool, &none, &err), CVM_E_TIMEOUT);
    cvm_store_pool_give_back(pool, first, CVM_OK);
    cvm_store_pool_destroy(pool);
}

static void what_was_left_open_is_rolled_back(void **state)
{
    (void)state;
    if (!support_is_shared()) {
        return;
    }
    struct world world;
    struct cvm_store_pool *pool = NULL;
    make_world(&world, 1);
    ASSERT_OK(cvm_store_pool_create(&world.options, &pool, ERR));
    struct cvm_store *store = lend(pool);
    support_begin(store);
    cvm_store_pool_give_back(pool, store, CVM_OK);
    store = lend(pool);
    assert_false(cvm_db_in_transaction(cvm_store_db(store)));
    cvm_store_pool_give_back(pool, store, CVM_OK);
    cvm_store_pool_destroy(pool);
}

static void idle_connections_are_closed_after_a_while(void **state)
{
    (void)state;
    if (!support_is_shared()) {
        return;
    }
    struct world world;
    struct cvm_store_pool *pool = NULL;
    make_world(&world, 3);
    ASSERT_OK(cvm_store_pool_create(&world.options, &pool, ERR));
    struct cvm_store *stores[3];
    for (int i = 0; i < 3; i++) {
        stores[i] = lend(pool);
    }
    for (int i = 0; i < 3; i++) {
        cvm_store_pool_give_back(pool, stores[i], CVM_OK);
    }
    world.now_ms += 200000;
    struct cvm_store *store = lend(pool); /* used in between, it stays */
    cvm_store_pool_give_back(pool, store, CVM_OK);
    world.now_ms += 200000;
    store = lend(pool);
    assert_int_equal(cvm_store_pool_counts_of(pool).open, 1);
    cvm_store_pool_give_back(pool, store, CVM_OK);
    cvm_store_pool_destroy(pool);

    world.options.keeps_open = true;
    ASSERT_OK(cvm_store_pool_create(&world.options, &pool, ERR));
    assert_int_equal(cvm_store_pool_counts_of(pool).open, 3);
    world.now_ms += 2000000;
    store = lend(pool);
    assert_int_equal(cvm_store_pool_counts_of(pool).open, 3);
    cvm_store_pool_give_back(pool, store, CVM_OK);
    cvm_store_pool_destroy(pool);
}

static void a_store_that_is_not_there_is_told_and_takes_no_place(void **state)
{
    (void)state;
    struct world world;
    struct cvm_store_pool *pool = NULL;
    struct cvm_store *none = NULL;
    struct cvm_error err = {0};
    make_world(&world, 1);
    world.options.url = support_file_url("absent.db");
    ASSERT_OK(cvm_store_pool_create(&world.options, &pool, ERR));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cvm_store_pool_lend(pool, &none, &err), CVM_E_NOT_FOUND);
        assert_null(none);
    }
    assert_int_equal(cvm_store_pool_counts_of(pool).lent, 0);
    cvm_store_pool_destroy(pool);
}

struct crowd {
    struct cvm_store_pool *pool;
    atomic_int inside;
    atomic_int most;
};

static enum cvm_status read_once(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    struct crowd *crowd = state;
    struct cvm_store *store = NULL;
    (void)item;
    (void)worker;
    enum cvm_status status = cvm_store_pool_lend(crowd->pool, &store, err);
    if (status != CVM_OK) {
        return status;
    }
    int inside = atomic_fetch_add(&crowd->inside, 1) + 1;
    int most = atomic_load(&crowd->most);
    while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside)) {
    }
    int64_t count = sources_of(store);
    (void)atomic_fetch_sub(&crowd->inside, 1);
    cvm_store_pool_give_back(crowd->pool, store, CVM_OK);
    return count == 0 ? CVM_OK : CVM_FAIL(err, CVM_E_INTERNAL, "%lld", (long long)count);
}

static void many_threads_share_few_connections_and_all_are_counted(void **state)
{
    (void)state;
    if (!support_is_shared()) {
        return;
    }
    struct world world;
    struct crowd crowd = {0};
    struct cvm_pool *threads = NULL;
    make_world(&world, 3);
    world.options.wait_ms = 60000;
    world.context.metrics = cvm_metrics_create();
    ASSERT_OK(cvm_store_pool_create(&world.options, &crowd.pool, ERR));
    ASSERT_OK(cvm_pool_create(12, &threads, ERR));
    ASSERT_OK(cvm_pool_run(threads, 400, read_once, &crowd, ERR));
    cvm_pool_destroy(threads);
    struct cvm_store_pool_counts counts = cvm_store_pool_counts_of(crowd.pool);
    assert_true(atomic_load(&crowd.most) <= 3);
    assert_true(counts.open >= 1 && counts.open <= 3);
    assert_int_equal(counts.lent, 0);
    char line[80];
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_metrics_write(world.context.metrics, &text);
    (void)snprintf(line, sizeof(line), "cvm_store_connections_open %zu\n", counts.open);
    assert_non_null(strstr(cvm_text_string(&text), line));
    (void)snprintf(line, sizeof(line), "cvm_store_connections_waited_total %lld\n",
                   (long long)counts.waited);
    assert_non_null(strstr(cvm_text_string(&text), line));
    cvm_text_finish(&text);
    cvm_store_pool_destroy(crowd.pool);
    cvm_metrics_destroy(world.context.metrics);
}

/* ---- on a server ---- */

/* All connections of this process but the one that asks. */
static void end_others(struct cvm_store *store)
{
    assert_int_equal(support_number(cvm_store_db(store),
                                    "SELECT count(pg_terminate_backend(pid, 5000)) "
                                    "FROM pg_stat_activity WHERE datname = current_database() "
                                    "AND pid <> pg_backend_pid()"),
                     2);
}

static void a_connection_that_the_server_ended_is_replaced(void **state)
{
    (void)state;
    if (!support_is_server()) {
        return;
    }
    struct world world;
    struct cvm_store_pool *pool = NULL;
    make_world(&world, 2);
    ASSERT_OK(cvm_store_pool_create(&world.options, &pool, ERR));
    struct cvm_store *first = lend(pool);
    struct cvm_store *second = lend(pool);
    cvm_store_pool_give_back(pool, second, CVM_OK);
    cvm_store_pool_give_back(pool, first, CVM_OK);
    struct cvm_store *other = support_open(CVM_DB_READ);
    end_others(other);
    cvm_store_close(other);

    world.now_ms += 31000; /* idle long enough to be asked */
    first = lend(pool);
    assert_int_equal(sources_of(first), 0);
    assert_int_equal(cvm_store_pool_counts_of(pool).replaced, 1);
    second = lend(pool);
    assert_int_equal(sources_of(second), 0);
    struct cvm_store_pool_counts counts = cvm_store_pool_counts_of(pool);
    assert_int_equal(counts.replaced, 2);
    assert_int_equal(counts.open, 2);
    cvm_store_pool_give_back(pool, second, CVM_OK);
    cvm_store_pool_give_back(pool, first, CVM_OK);
    cvm_store_pool_destroy(pool);
}

static void a_connection_whose_borrower_failed_is_asked_at_once(void **state)
{
    (void)state;
    if (!support_is_server()) {
        return;
    }
    struct world world;
    struct cvm_store_pool *pool = NULL;
    make_world(&world, 2);
    ASSERT_OK(cvm_store_pool_create(&world.options, &pool, ERR));
    struct cvm_store *first = lend(pool);
    struct cvm_store *second = lend(pool);
    struct cvm_store *other = support_open(CVM_DB_READ);
    support_begin(first); /* so that it does not look for its server by itself */
    end_others(other);
    cvm_store_close(other);
    struct cvm_error err = {0};
    enum cvm_status status = cvm_db_exec(cvm_store_db(first), "SELECT 1", NULL, 0, NULL, &err);
    assert_int_equal(status, CVM_E_UNAVAILABLE);
    cvm_store_pool_give_back(pool, second, CVM_E_UNAVAILABLE);
    cvm_store_pool_give_back(pool, first, status);
    first = lend(pool);
    assert_int_equal(sources_of(first), 0);
    cvm_store_pool_give_back(pool, first, CVM_OK);
    second = lend(pool);
    assert_ptr_equal(second, first);
    cvm_store_pool_give_back(pool, second, CVM_OK);
    cvm_store_pool_destroy(pool);
}

static void a_server_without_room_for_more_is_read_with_what_it_gave(void **state)
{
    (void)state;
    if (!support_is_server()) {
        return;
    }
    enum { MOST = 100 }; /* the server takes 70 */
    struct world world;
    struct crowd crowd = {0};
    struct cvm_pool *threads = NULL;
    struct cvm_store *stores[MOST] = {NULL};
    struct cvm_error err = {0};
    size_t lent = 0;
    make_world(&world, MOST);
    ASSERT_OK(cvm_store_pool_create(&world.options, &crowd.pool, ERR));
    while (lent < MOST && cvm_store_pool_lend(crowd.pool, &stores[lent], &err) == CVM_OK) {
        lent++;
    }
    assert_true(lent > 10 && lent < MOST);
    assert_non_null(strstr(err.message, "stayed in use"));
    assert_int_equal(cvm_store_pool_counts_of(crowd.pool).open, lent);
    for (size_t i = 0; i < lent; i++) {
        cvm_store_pool_give_back(crowd.pool, stores[i], CVM_OK);
    }
    cvm_store_pool_destroy(crowd.pool);
    world.options.wait_ms = 60000;
    ASSERT_OK(cvm_store_pool_create(&world.options, &crowd.pool, ERR));
    ASSERT_OK(cvm_pool_create(80, &threads, ERR));
    ASSERT_OK(cvm_pool_run(threads, 300, read_once, &crowd, ERR));
    cvm_pool_destroy(threads);
    cvm_store_pool_destroy(crowd.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_opened_when_they_are_wanted_and_lent_again),
        cmocka_unit_test(who_finds_all_lent_for_too_long_is_told_the_limit_and_its_key),
        cmocka_unit_test(what_was_left_open_is_rolled_back),
        cmocka_unit_test(idle_connections_are_closed_after_a_while),
        cmocka_unit_test(a_store_that_is_not_there_is_told_and_takes_no_place),
        cmocka_unit_test(many_threads_share_few_connections_and_all_are_counted),
        cmocka_unit_test(a_connection_that_the_server_ended_is_replaced),
        cmocka_unit_test(a_connection_whose_borrower_failed_is_asked_at_once),
        cmocka_unit_test(a_server_without_room_for_more_is_read_with_what_it_gave),
    };
    return SUPPORT_RUN("store_pool", tests);
}
