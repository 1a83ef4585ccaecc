/* Customers, their rows, consent, sources and packed journeys. */
#include "storage/customers.h"

#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "support/store_support.h"

/* Sources of a catalogue: "late" ranks before "early" in a moment. */
enum { EARLY, LATE, SOURCES };

struct small_catalogue {
    struct cvm_source sources[SOURCES];
    struct cvm_catalogue catalogue;
};

static struct small_catalogue small;

static const struct cvm_catalogue *catalogue(void)
{
    small = (struct small_catalogue){
        .sources = {{.name = "early", .rank = 5}, {.name = "late", .rank = 1}},
        .catalogue = {.data_digest = "digest-1", .source_count = SOURCES},
    };
    small.catalogue.sources = small.sources;
    return &small.catalogue;
}

static void add_customer(struct cvm_store *store, uint64_t key, const char *id)
{
    char sql[200];
    (void)snprintf(sql, sizeof(sql),
                   "INSERT INTO customer (customer_key, customer_id, batch) VALUES (%llu, '%s', 1)",
                   (unsigned long long)key, id);
    support_exec(cvm_store_db(store), sql);
}

static void add_batch(struct cvm_store *store, int batch, const char *state, const char *days)
{
    char sql[200];
    (void)snprintf(sql, sizeof(sql),
                   "INSERT INTO batch (batch, state, catalogue_version, started_at, first_day, "
                   "last_day) VALUES (%d, '%s', 1, 0, %s)",
                   batch, state, days);
    support_exec(cvm_store_db(store), sql);
}

struct row {
    int32_t day;
    int second;
    int source;
    int identity;
    int version;
    int batch;
};

static void add_event(struct cvm_store *store, uint64_t key, struct row row)
{
    char sql[300];
    (void)snprintf(sql, sizeof(sql),
                   "INSERT INTO event (customer_key, day, second, source, identity, version, "
                   "batch, content, attributes, private, key_id) VALUES (%llu, %d, %d, %d, %d, "
                   "%d, %d, 0, '{\"v\":%d}', %s, 0)",
                   (unsigned long long)key, row.day, row.second, row.source, row.identity,
                   row.version, row.batch, row.version,
                   row.identity != 1     ? "NULL"
                   : support_is_server() ? "CAST('{\"text\":\"x\"}' AS BYTEA)"
                                         : "CAST('{\"text\":\"x\"}' AS BLOB)");
    support_exec(cvm_store_db(store), sql);
}

static void a_key_is_63_bits_and_never_0(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char id[16];
        int length = snprintf(id, sizeof(id), "U%d", i);
        uint64_t key = cvm_customer_key(id, (size_t)length);
        assert_true(key > 0 && key <= INT64_MAX);
    }
    assert_true(cvm_customer_key("U1", 2) != cvm_customer_key("U10", 3));
    assert_true(cvm_customer_key("U10", 2) == cvm_customer_key("U1", 2));
    assert_int_equal(cvm_customer_next_key(INT64_MAX), 1);
}

static void ids_that_share_a_key_are_told_apart(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    uint64_t key = cvm_customer_key("U1", 2);
    uint64_t found = 0;
    struct cvm_error err = {0};
    add_customer(store, key, "collides");
    add_customer(store, key + 1, "U1");
    add_customer(store, key + 3, "U2"); /* behind a gap: not of this chain */
    ASSERT_OK(cvm_customer_find(store, "U1", &found, ERR));
    assert_true(found == key + 1);
    found = 7;
    assert_int_equal(cvm_customer_find_from(store, key, "U2", 2, &found, &err), CVM_E_NOT_FOUND);
    assert_int_equal(found, 7);
    assert_int_equal(cvm_customer_find(store, "U404", &found, &err), CVM_E_NOT_FOUND);
    assert_string_equal(err.message, "there is no customer 'U404'");
    cvm_store_close(store);
}

static void a_chain_of_keys_goes_around_the_end(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    uint64_t found = 0;
    add_customer(store, INT64_MAX, "a");
    add_customer(store, 1, "b");
    ASSERT_OK(cvm_customer_find_from(store, INT64_MAX, "b", 1, &found, ERR));
    assert_int_equal(found, 1);
    cvm_store_close(store);
}

static enum cvm_status join_ids(void *state, uint64_t key, const char *id, struct cvm_error *err)
{
    char *text = state;
    (void)key;
    (void)err;
    strncat(text, id, 10);
    return CVM_OK;
}

static void customers_are_listed_in_key_order_page_by_page(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_arena *arena = cvm_arena_create(1 << 16);
    char text[64] = "";
    int64_t count = 0;
    const char *id = NULL;
    struct cvm_error err = {0};
    add_customer(store, 30, "c");
    add_customer(store, 10, "a");
    add_customer(store, 20, "b");
    ASSERT_OK(cvm_customer_count(store, &count, ERR));
    assert_int_equal(count, 3);
    ASSERT_OK(cvm_customer_list(store, 0, 2, join_ids, text, ERR));
    ASSERT_OK(cvm_customer_list(store, 20, 2, join_ids, text, ERR));
    assert_string_equal(text, "abc");
    ASSERT_OK(cvm_customer_id(store, arena, 20, &id, ERR));
    assert_string_equal(id, "b");
    assert_int_equal(cvm_customer_id(store, arena, 21, &id, &err), CVM_E_NOT_FOUND);
    cvm_arena_destroy(arena);
    cvm_store_close(store);
}

static void sources_keep_their_numbers_through_catalogue_versions(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    int64_t numbers[CVM_SOURCES_MAX] = {0};
    ASSERT_OK(cvm_source_numbers(store, catalogue(), false, numbers, ERR));
    assert_int_equal(numbers[EARLY], 0);
    support_begin(store);
    ASSERT_OK(cvm_source_numbers(store, catalogue(), true, numbers, ERR));
    support_commit(store);
    assert_int_equal(numbers[EARLY], 1);
    assert_int_equal(numbers[LATE], 2);
    struct cvm_source changed[] = {{.name = "new"}, {.name = "late"}, {.name = "newer"}};
    struct cvm_catalogue next = {.sources = changed, .source_count = 3};
    support_begin(store);
    ASSERT_OK(cvm_source_numbers(store, &next, true, numbers, ERR));
    support_commit(store);
    assert_int_equal(numbers[0], 3);
    assert_int_equal(numbers[1], 2);
    assert_int_equal(numbers[2], 4);
    cvm_store_close(store);
}

static void only_closed_batches_count(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    int64_t batch = -1;
    int32_t first = 0;
    int32_t last = 0;
    ASSERT_OK(cvm_batch_last(store, &batch, ERR));
    assert_int_equal(batch, 0);
    ASSERT_OK(cvm_event_days(store, &first, &last, ERR));
    assert_int_equal(first, CVM_DAY_NONE);
    assert_int_equal(last, CVM_DAY_NONE);
    add_batch(store, 1, "closed", "100, 200");
    add_batch(store, 2, "closed", "NULL, NULL"); /* attributes only */
    add_batch(store, 3, "closed", "50, 60");
    add_batch(store, 4, "retracted", "1, 999");
    add_batch(store, 5, "open", "NULL, NULL");
    ASSERT_OK(cvm_batch_last(store, &batch, ERR));
    assert_int_equal(batch, 3);
    ASSERT_OK(cvm_event_days(store, &first, &last, ERR));
    assert_int_equal(first, 50);
    assert_int_equal(last, 200);
    cvm_store_close(store);
}

/* Batches 1 and 2 closed, 3 retracted, 4 closed, 5 open. */
static struct cvm_store *with_batches(void)
{
    struct cvm_store *store = support_fresh();
    int64_t numbers[CVM_SOURCES_MAX];
    add_batch(store, 1, "closed", "1, 9");
    add_batch(store, 2, "closed", "1, 9");
    add_batch(store, 3, "retracted", "1, 9");
    add_batch(store, 4, "closed", "1, 9");
    add_batch(store, 5, "open", "NULL, NULL");
    support_begin(store);
    ASSERT_OK(cvm_source_numbers(store, catalogue(), true, numbers, ERR));
    support_commit(store);
    support_exec(cvm_store_db(store), "INSERT INTO source (source, name) VALUES (9, 'forgotten')");
    return store;
}

static void check_rows(struct cvm_store *store, int64_t last_batch, const char *expected)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_event_row *rows = NULL;
    size_t count = 99;
    char text[400] = "";
    ASSERT_OK(cvm_event_rows(store, arena, catalogue(), 7, last_batch, &rows, &count, ERR));
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "%s%d.%d ", rows[i].source_name,
                       (int)rows[i].identity, (int)rows[i].version);
        char attributes[32];
        (void)snprintf(attributes, sizeof(attributes), "{\"v\":%d}", (int)rows[i].version);
        assert_string_equal(rows[i].attributes, attributes);
        if (rows[i].identity == 1) {
            assert_string_equal(rows[i].private, "{\"text\":\"x\"}");
        } else {
            assert_null(rows[i].private);
        }
    }
    assert_string_equal(text, expected);
    cvm_arena_destroy(arena);
}

static void rows_come_in_journey_order(void **state)
{
    (void)state;
    struct cvm_store *store = with_batches();
    add_event(store, 7,
              (struct row){.day = 20, .source = 1, .identity = 2, .version = 1, .batch = 1});
    add_event(store, 7,
              (struct row){.day = 20, .source = 1, .identity = 1, .version = 1, .batch = 1});
    add_event(store, 7,
              (struct row){.day = 20, .source = 2, .identity = 9, .version = 1, .batch = 1});
    add_event(store, 7,
              (struct row){.day = 20, .source = 9, .identity = 3, .version = 1, .batch = 1});
    add_event(store, 7,
              (struct row){
                  .day = 20, .second = 60, .source = 2, .identity = 4, .version = 1, .batch = 1});
    add_event(store, 7,
              (struct row){.day = 10, .source = 1, .identity = 8, .version = 1, .batch = 1});
    add_event(
        store, 7,
        (struct row){.day = CVM_DAY_NONE, .source = 1, .identity = 5, .version = 1, .batch = 1});
    add_event(store, 8,
              (struct row){.day = 10, .source = 1, .identity = 6, .version = 1, .batch = 1});
    check_rows(store, 4, "early5.1 early8.1 late9.1 early1.1 early2.1 forgotten3.1 late4.1 ");
    cvm_store_close(store);
}

static void the_highest_version_that_counts_is_in_force_also_on_another_day(void **state)
{
    (void)state;
    struct cvm_store *store = with_batches();
    add_event(store, 7,
              (struct row){.day = 20, .source = 1, .identity = 1, .version = 1, .batch = 1});
    add_event(store, 7,
              (struct row){.day = 5, .source = 1, .identity = 1, .version = 2, .batch = 2});
    add_event(store, 7,
              (struct row){.day = 20, .source = 1, .identity = 1, .version = 3, .batch = 3});
    add_event(store, 7,
              (struct row){.day = 9, .source = 1, .identity = 2, .version = 1, .batch = 4});
    add_event(store, 7,
              (struct row){.day = 20, .source = 1, .identity = 1, .version = 4, .batch = 5});
    add_event(store, 7,
              (struct row){.day = 8, .source = 2, .identity = 1, .version = 1, .batch = 1});
    check_rows(store, 0, "");
    check_rows(store, 1, "late1.1 early1.1 ");
    check_rows(store, 2, "early1.2 late1.1 ");
    check_rows(store, 4, "early1.2 late1.1 early2.1 ");
    cvm_store_close(store);
}

static void reading_rows_survives_an_arena_of_any_size(void **state)
{
    (void)state;
    struct cvm_store *store = with_batches();
    for (int i = 1; i <= 20; i++) {
        add_event(store, 7,
                  (struct row){.day = i, .source = 1, .identity = i, .version = 1, .batch = 1});
    }
    enum cvm_status status = CVM_E_LIMIT;
    for (size_t budget = 0; status == CVM_E_LIMIT; budget += 512) {
        struct cvm_arena *arena = cvm_arena_create(budget);
        struct cvm_event_row *rows = NULL;
        size_t count = 99;
        status = cvm_event_rows(store, arena, catalogue(), 7, 1, &rows, &count, NULL);
        assert_true(status == CVM_OK || (rows == NULL && count == 99));
        cvm_arena_destroy(arena);
        assert_true(budget < 1 << 20);
    }
    assert_int_equal(status, CVM_OK);
    cvm_store_close(store);
}

static void a_sealed_record_can_not_be_read_without_a_master_key(void **state)
{
    (void)state;
    struct cvm_store *store = with_batches();
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_event_row *rows = NULL;
    size_t count = 0;
    struct cvm_error err = {0};
    add_event(store, 7,
              (struct row){.day = 1, .source = 1, .identity = 1, .version = 1, .batch = 1});
    support_exec(cvm_store_db(store), "UPDATE event SET key_id = 1");
    assert_int_equal(cvm_event_rows(store, arena, catalogue(), 7, 1, &rows, &count, &err),
                     CVM_E_DENIED);
    support_exec(cvm_store_db(store), "UPDATE event SET key_id = 3");
    assert_int_equal(cvm_event_rows(store, arena, catalogue(), 7, 1, &rows, &count, &err),
                     CVM_E_CONFLICT);
    cvm_arena_destroy(arena);
    cvm_store_close(store);
}

static void no_permission_record_is_no_permission(void **state)
{
    (void)state;
    struct cvm_store *store = with_batches();
    struct cvm_consent consent = {.has_record = true};
    ASSERT_OK(cvm_consent_of(store, 7, 4, &consent, ERR));
    assert_false(consent.has_record);
    assert_int_equal(consent.granted, 0);
    cvm_store_close(store);
}

static void the_newest_permission_that_counts_is_in_force(void **state)
{
    (void)state;
    struct cvm_store *store = with_batches();
    for (int version = 1; version <= 3; version++) {
        static const int batches[] = {1, 4, 5};
        char sql[300];
        (void)snprintf(sql, sizeof(sql),
                       "INSERT INTO consent (customer_key, version, source, batch, content, "
                       "recorded, granted, updated_day, quiet_start_min, quiet_end_min, "
                       "preferred_time, language, private, key_id) VALUES (7, %d, 1, %d, 0, 4095, "
                       "%d, 19000, 1320, 480, 2, 'en', NULL, 0)",
                       version, batches[version - 1], version);
        support_exec(cvm_store_db(store), sql);
    }
    struct cvm_consent consent;
    ASSERT_OK(cvm_consent_of(store, 7, 3, &consent, ERR));
    assert_int_equal(consent.granted, 1);
    ASSERT_OK(cvm_consent_of(store, 7, 9, &consent, ERR));
    assert_true(consent.has_record);
    assert_int_equal(consent.granted, 2);
    assert_int_equal(consent.recorded, 4095);
    assert_int_equal(consent.updated_day, 19000);
    assert_int_equal(consent.quiet_start_min, 1320);
    assert_int_equal(consent.quiet_end_min, 480);
    assert_int_equal(consent.preferred_time, CVM_TIME_AFTERNOON);
    assert_string_equal(consent.language, "en");
    cvm_store_close(store);
}

static void add_packed(struct cvm_store *store, uint64_t key, int period)
{
    char sql[200];
    (void)snprintf(sql, sizeof(sql),
                   "INSERT INTO packed (customer_key, period, body) VALUES (%llu, %d, %s%02x00')",
                   (unsigned long long)key, period, support_is_server() ? "'\\x" : "x'",
                   (unsigned)period & 0xff);
    support_exec(cvm_store_journeys(store), sql);
}

static void check_scan(struct cvm_store *store, struct cvm_packed_range range, const char *expected)
{
    struct cvm_packed_scan *scan = NULL;
    char text[200] = "";
    ASSERT_OK(cvm_packed_scan_open(store, &range, &scan, ERR));
    for (;;) {
        struct cvm_packed_row row;
        bool has_row = false;
        ASSERT_OK(cvm_packed_scan_next(scan, &has_row, &row, ERR));
        if (!has_row) {
            break;
        }
        assert_int_equal(row.length, 2);
        assert_int_equal(*(const unsigned char *)row.body, row.period & 0xff);
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "%d/%d ", (int)(row.key & 0xff),
                       row.period);
    }
    assert_string_equal(text, expected);
    cvm_packed_scan_close(scan);
}

static void a_scan_gives_profiles_and_the_periods_asked_for_in_key_order(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    static const int periods[] = {8096, 0, 8095, 8097};
    for (uint64_t key = 3; key > 0; key--) {
        for (size_t i = 0; i < 4; i++) {
            add_packed(store, key, periods[i]);
        }
    }
    add_packed(store, INT64_MAX, 0);
    check_scan(store, (struct cvm_packed_range){1, 2, 8096, 8097},
               "1/0 1/8096 1/8097 2/0 2/8096 2/8097 ");
    check_scan(store, (struct cvm_packed_range){3, UINT64_MAX, 8095, 8095}, "3/0 3/8095 255/0 ");
    check_scan(store, (struct cvm_packed_range){4, 9, 0, 9999}, "");
    check_scan(store, (struct cvm_packed_range){UINT64_MAX, UINT64_MAX, 0, 9999}, "");
    cvm_packed_scan_close(NULL);
    cvm_store_close(store);
}

static void check_current(struct cvm_store *store, int64_t batch, bool expected)
{
    bool is_current = !expected;
    ASSERT_OK(cvm_packed_is_current(store, catalogue(), batch, &is_current, ERR));
    assert_int_equal(is_current, expected);
}

static void journeys_are_current_only_for_their_batch_and_their_mapping(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *journeys = cvm_store_journeys(store);
    check_current(store, 0, true); /* nothing of nothing */
    check_current(store, 1, false);
    support_exec(journeys, "INSERT INTO meta VALUES ('batch', '3'), ('data_digest', 'digest-1')");
    check_current(store, 3, true);
    check_current(store, 2, false);
    check_current(store, 4, false);
    support_exec(journeys, "INSERT INTO meta VALUES ('building', '4')");
    check_current(store, 3, false);
    support_exec(journeys, "DELETE FROM meta WHERE name = 'building'");
    support_exec(journeys, "UPDATE meta SET value = 'digest-2' WHERE name = 'data_digest'");
    check_current(store, 3, false);
    cvm_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_63_bits_and_never_0),
        cmocka_unit_test(ids_that_share_a_key_are_told_apart),
        cmocka_unit_test(a_chain_of_keys_goes_around_the_end),
        cmocka_unit_test(customers_are_listed_in_key_order_page_by_page),
        cmocka_unit_test(sources_keep_their_numbers_through_catalogue_versions),
        cmocka_unit_test(only_closed_batches_count),
        cmocka_unit_test(rows_come_in_journey_order),
        cmocka_unit_test(the_highest_version_that_counts_is_in_force_also_on_another_day),
        cmocka_unit_test(reading_rows_survives_an_arena_of_any_size),
        cmocka_unit_test(a_sealed_record_can_not_be_read_without_a_master_key),
        cmocka_unit_test(no_permission_record_is_no_permission),
        cmocka_unit_test(the_newest_permission_that_counts_is_in_force),
        cmocka_unit_test(a_scan_gives_profiles_and_the_periods_asked_for_in_key_order),
        cmocka_unit_test(journeys_are_current_only_for_their_batch_and_their_mapping),
    };
    return SUPPORT_RUN("customers", tests);
}
