/* Imports that are taken back: rows, versions, customers, journeys. */
#include "storage/batches.h"

#include <stdio.h>
#include <string.h>

#include "support/import_support.h"

#define NUMBER(store, sql) support_number(cvm_store_db(store), sql)

static const struct import_settings plain = {0};

static struct cvm_import_report bring(struct cvm_store *store, const char *text)
{
    import_text("tickets.ndjson", text);
    return import_run(store, &plain);
}

static struct cvm_retraction take_back(struct cvm_store *store, int64_t batch)
{
    struct cvm_retraction retraction;
    ASSERT_OK(cvm_batch_retract(store, batch, "cli:me", "a test", &retraction, ERR));
    return retraction;
}

#define T1                                                                                         \
    "{\"customer_id\":\"T1\",\"date\":\"2024-01-02\",\"ticket\":1,\"size\":5}\n"                   \
    "{\"customer_id\":\"T2\",\"date\":\"2024-01-02\",\"ticket\":2,\"size\":6}\n"
#define T2                                                                                         \
    "{\"customer_id\":\"T1\",\"date\":\"2024-01-02\",\"ticket\":1,\"size\":7}\n"                   \
    "{\"customer_id\":\"T3\",\"date\":\"2024-01-03\",\"ticket\":3,\"size\":8}\n"

static void what_was_replaced_counts_again_and_journeys_are_as_before(void **state)
{
    (void)state;
    int64_t count = 0;
    int64_t last = 0;
    import_start();
    struct cvm_store *store = support_fresh();
    (void)bring(store, T1);
    const char *packed = "SELECT count(*) || '.' || coalesce(sum(length(body)), 0) FROM packed";
    char before[64];
    (void)snprintf(before, sizeof(before), "%s", import_string(cvm_store_journeys(store), packed));
    struct cvm_import_report second = bring(store, T2);
    assert_int_equal(second.changed, 1);
    assert_int_equal(second.customers, 3);
    struct cvm_retraction retraction = take_back(store, 2);
    assert_int_equal(retraction.batch, 3);
    assert_int_equal(retraction.customers_gone, 1);
    assert_int_equal(retraction.later_imports, 0);
    ASSERT_OK(cvm_batch_last(store, &last, ERR));
    assert_int_equal(last, 3);
    ASSERT_OK(cvm_customer_count(store, &count, ERR));
    assert_int_equal(count, 2);
    bool is_current = true;
    ASSERT_OK(cvm_packed_is_current(store, import_catalogue(), last, &is_current, ERR));
    assert_false(is_current);
    import_rebuild(store);
    assert_string_equal(import_string(cvm_store_journeys(store), packed), before);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM event"), 4); /* nothing is deleted */
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM audit WHERE action = 'retract'"), 1);
    cvm_store_close(store);
    import_stop();
}

static void the_files_bring_it_back_as_new_versions(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    (void)bring(store, T1);
    (void)bring(store, T2);
    (void)take_back(store, 2);
    struct cvm_import_report again = bring(store, T2);
    assert_int_equal(again.stored, 2);
    assert_int_equal(again.new_customers, 1);
    assert_int_equal(again.customers, 3);
    assert_int_equal(NUMBER(store, "SELECT max(version) FROM event"), 3);
    assert_int_equal(bring(store, T2).stored, 0);
    cvm_store_close(store);
    import_stop();
}

static void a_customer_known_from_a_later_import_stays(void **state)
{
    (void)state;
    uint64_t key = 0;
    struct cvm_error err = {0};
    import_start();
    struct cvm_store *store = support_fresh();
    (void)bring(store, T1);
    (void)bring(store, T2);
    struct cvm_retraction retraction = take_back(store, 1);
    assert_int_equal(retraction.customers_gone, 1);
    assert_int_equal(retraction.later_imports, 1);
    ASSERT_OK(cvm_customer_find(store, "T1", &key, ERR));
    assert_int_equal(cvm_customer_find(store, "T2", &key, &err), CVM_E_NOT_FOUND);
    ASSERT_OK(cvm_customer_find_ever(store, "T2", &key, ERR));
    cvm_store_close(store);
    import_stop();
}

static void only_what_counts_is_taken_back_or_pinned(void **state)
{
    (void)state;
    struct cvm_retraction retraction = {.batch = 77};
    struct cvm_error err = {0};
    int64_t last = 0;
    import_start();
    struct cvm_store *store = support_fresh();
    (void)bring(store, T1);
    (void)bring(store, T1); /* brings nothing */
    assert_int_equal(cvm_batch_retract(store, 2, "me", "", &retraction, &err), CVM_E_CONFLICT);
    assert_int_equal(cvm_batch_retract(store, 9, "me", "", &retraction, &err), CVM_E_NOT_FOUND);
    assert_int_equal(retraction.batch, 77);
    ASSERT_OK(cvm_batch_pin(store, 2, &last, ERR));
    assert_int_equal(last, 1);
    (void)take_back(store, 1);
    assert_int_equal(cvm_batch_retract(store, 1, "me", "", &retraction, &err), CVM_E_CONFLICT);
    assert_int_equal(cvm_batch_retract(store, 3, "me", "", &retraction, &err), CVM_E_CONFLICT);
    assert_non_null(strstr(err.hint, "batch 1 again"));
    assert_int_equal(cvm_batch_pin(store, 1, &last, &err), CVM_E_CONFLICT);
    ASSERT_OK(cvm_batch_retraction(store, 1, &last, ERR));
    assert_int_equal(last, 3);
    cvm_store_close(store);
    import_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_replaced_counts_again_and_journeys_are_as_before),
        cmocka_unit_test(the_files_bring_it_back_as_new_versions),
        cmocka_unit_test(a_customer_known_from_a_later_import_stays),
        cmocka_unit_test(only_what_counts_is_taken_back_or_pinned),
    };
    return SUPPORT_RUN("batches", tests);
}
