/* What an import stores: identity, versions, order, memory, collisions, abandoned batches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/import_plan.h"
#include "support/db_faulty.h"
#include "support/import_support.h"

#define NUMBER(store, sql) support_number(cvm_store_db(store), sql)
#define TEXT(store, sql)   import_string(cvm_store_db(store), sql)

static const struct import_settings plain = {0};

/* ---- a base of a few hundred customers ---- */

enum { BASE_RECORDS = 3000, BASE_CUSTOMERS = 200 };

#define LINE_BYTES 200

static size_t base_line(char *at, int i, bool is_note)
{
    int customer = (i * 7919) % BASE_CUSTOMERS;
    int day = 1 + (i * 31) % 28;
    int month = 1 + (i * 17) % 12;
    int length =
        is_note ? snprintf(at, LINE_BYTES,
                           "{\"customer_id\":\"N%d\",\"date\":\"2024-%02d-%02d\",\"size\":%d.%d,"
                           "\"note\":\"roaming bill %d\",\"extra\":[%d, 2]}\n",
                           customer, month, day, i % 90, i % 10, i % 5, i % 3)
                : snprintf(at, LINE_BYTES,
                           "{\"customer_id\":\"N%d\",\"date\":\"2023-%02d-%02d\",\"ticket\":%d,"
                           "\"size\":%d}\n",
                           customer, month, day, i, i % 1000);
    assert_in_range(length, 1, LINE_BYTES - 1);
    return (size_t)length;
}

/* Records `first`, `first` + step, ... of the base. */
static void write_base(const char *notes, const char *tickets, int first, int step)
{
    char *text = calloc(BASE_RECORDS, LINE_BYTES);
    char *at = text;
    assert_non_null(text);
    for (int i = first; i >= 0 && i < BASE_RECORDS; i += step) {
        at += base_line(at, i, true);
    }
    import_write(notes, text, (size_t)(at - text));
    at = text;
    for (int i = first; i >= 0 && i < BASE_RECORDS; i += step) {
        at += base_line(at, i, false);
    }
    import_write(tickets, text, (size_t)(at - text));
    free(text);
}

static const char *digest_of_base(const struct import_settings *settings)
{
    struct cvm_store *store = support_fresh();
    struct cvm_import_report report = import_run(store, settings);
    assert_int_equal(report.stored, 2 * BASE_RECORDS);
    assert_int_equal(report.customers, BASE_CUSTOMERS);
    const char *digest = import_digest(store);
    cvm_store_close(store);
    return digest;
}

/* ---- identity and versions ---- */

static void importing_again_stores_nothing_twice(void **state)
{
    (void)state;
    import_start();
    write_base("notes.ndjson", "tickets.ndjson", 0, 1);
    struct cvm_store *store = support_fresh();
    (void)import_run(store, &plain);
    const char *digest = import_digest(store);
    struct cvm_import_report again = import_run(store, &plain);
    assert_int_equal(again.stored, 0);
    assert_int_equal(again.duplicate, 2 * BASE_RECORDS);
    int64_t last_batch = 0;
    ASSERT_OK(cvm_batch_last(store, &last_batch, ERR));
    assert_int_equal(last_batch, 1); /* a run made before is still the same run */
    assert_int_equal(again.new_customers, 0);
    assert_string_equal(import_digest(store), digest);
    cvm_store_close(store);
    import_stop();
}

static uint64_t version_of(struct cvm_store *store)
{
    uint64_t version = 0;
    ASSERT_OK(cvm_packed_version(store, &version, ERR));
    return version;
}

static void journeys_have_another_version_after_each_change_and_only_then(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    assert_int_equal(version_of(store), 0);
    import_text("notes.ndjson", "{\"customer_id\":\"A\",\"date\":\"2024-03-01\",\"size\":1}\n");
    (void)import_run(store, &plain);
    uint64_t first = version_of(store);
    assert_int_not_equal(first, 0);
    (void)import_run(store, &plain); /* brings nothing new */
    assert_int_equal(version_of(store), first);
    import_text("notes.ndjson", "{\"customer_id\":\"B\",\"date\":\"2024-03-01\",\"size\":1}\n");
    (void)import_run(store, &plain); /* within the same millisecond */
    uint64_t second = version_of(store);
    assert_true(second > first);
    support_now_ms += 1;
    import_rebuild(store);
    assert_true(version_of(store) > second);
    cvm_store_close(store);
    import_stop();
}

static void a_changed_record_becomes_version_2_of_its_event(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    import_text("tickets.ndjson",
                "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"ticket\":1,\"size\":3}\n"
                "{\"customer_id\":\"A\",\"date\":\"2024-01-06\",\"ticket\":2,\"size\":4}\n");
    (void)import_run(store, &plain);
    import_text("tickets.ndjson",
                "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"ticket\":1,\"size\":5}\n");
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.stored, 1);
    assert_int_equal(report.changed, 1);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM event"), 3);
    assert_string_equal(TEXT(store, "SELECT attributes FROM event WHERE version = 2"),
                        "{\"test.size\":5}");
    const char *digest = import_digest(store);
    import_rebuild(store);
    assert_string_equal(import_digest(store), digest);
    cvm_store_close(store);
    import_stop();
}

static void a_new_version_with_another_date_leaves_its_old_half_year(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    import_text("tickets.ndjson",
                "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"ticket\":1,\"size\":3}\n");
    (void)import_run(store, &plain);
    import_text("tickets.ndjson",
                "{\"customer_id\":\"A\",\"date\":\"2024-07-05\",\"ticket\":1,\"size\":3}\n");
    (void)import_run(store, &plain);
    assert_int_equal(support_number(cvm_store_journeys(store), "SELECT count(*) FROM packed"), 2);
    assert_int_equal(NUMBER(store, "SELECT max(version) FROM event WHERE day > 19900"), 2);
    const char *digest = import_digest(store);
    import_rebuild(store);
    assert_string_equal(import_digest(store), digest);
    cvm_store_close(store);
    import_stop();
}

static void the_last_of_several_records_with_one_key_counts(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    import_text("tickets.ndjson",
                "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"ticket\":1,\"size\":3}\n"
                "{\"customer_id\":\"A\",\"date\":\"2024-02-05\",\"ticket\":\"1\",\"size\":4}\n"
                "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"ticket\":1,\"size\":5}\n");
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.stored, 1);
    assert_int_equal(report.duplicate, 2);
    assert_string_equal(TEXT(store, "SELECT attributes FROM event"), "{\"test.size\":5}");
    cvm_store_close(store);
    import_stop();
}

static void
equal_records_of_one_file_are_as_many_events_and_of_two_files_the_same_ones(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    static const char line[] = "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"size\":3}\n"
                               "{\"date\":\"2024-01-05\", \"size\":3, \"customer_id\":\"A\"}\n";
    import_text("notes_1.ndjson", line);
    import_text("notes_2.ndjson", line);
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.stored, 2);
    assert_int_equal(report.duplicate, 2);
    import_text("notes_3.ndjson", "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"size\":3}\n"
                                  "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"size\":3}\n"
                                  "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"size\":3}\n");
    report = import_run(store, &plain);
    assert_int_equal(report.stored, 1);
    assert_int_equal(report.changed, 0);
    cvm_store_close(store);
    import_stop();
}

static void undated_attributes_are_one_line_per_customer_and_the_last_wins(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    import_text("plans.csv", "customer_id,plan\nA,old\nB,x\nA,new\n");
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.stored, 2);
    assert_int_equal(report.duplicate, 1);
    assert_string_equal(TEXT(store, "SELECT attributes FROM event JOIN customer USING "
                                    "(customer_key) WHERE customer_id = 'A'"),
                        "{\"test.plan\":\"new\"}");
    import_text("plans.csv", "customer_id,plan\nA,newer\n");
    report = import_run(store, &plain);
    assert_int_equal(report.changed, 1);
    const char *digest = import_digest(store);
    import_rebuild(store);
    assert_string_equal(import_digest(store), digest);
    cvm_store_close(store);
    import_stop();
}

static void undated_facts_with_key_fields_are_one_line_each(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    import_text("suppressions.ndjson",
                "{\"customer_id\":\"A\",\"kind\":\"vulnerable\",\"since\":\"2019-05-01\"}\n"
                "{\"customer_id\":\"A\",\"kind\":\"complaint\",\"since\":\"2024-02-01\"}\n"
                "{\"customer_id\":\"A\",\"kind\":\"complaint\",\"active\":false}\n"
                "{\"customer_id\":\"B\",\"kind\":\"vulnerable\"}\n");
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.stored, 3);
    assert_int_equal(report.duplicate, 1); /* of the complaint the last counts */
    assert_string_equal(
        TEXT(store,
             support_words(
                 "SELECT group_concat(attributes -> '$.\"suppression.active\"', ' ') FROM "
                 "(SELECT attributes FROM event JOIN customer USING (customer_key) WHERE "
                 "customer_id = 'A' ORDER BY attributes -> '$.\"suppression.kind\"')",
                 "SELECT string_agg(CAST(attributes AS JSON) ->> 'suppression.active', ' ' ORDER "
                 "BY CAST(attributes AS JSON) ->> 'suppression.kind') FROM event JOIN customer "
                 "USING (customer_key) WHERE customer_id = 'A'")),
        "false true");
    import_text("suppressions.ndjson",
                "{\"customer_id\":\"A\",\"kind\":\"vulnerable\",\"active\":false}\n");
    report = import_run(store, &plain);
    assert_int_equal(report.changed, 1);
    assert_int_equal(report.stored, 1);
    const char *digest = import_digest(store);
    import_rebuild(store);
    assert_string_equal(import_digest(store), digest);
    cvm_store_close(store);
    import_stop();
}

#define CONSENT(day, answer)                                                                       \
    "{\"customer_id\":\"A\",\"last_updated\":\"" day "\",\"permissions\":{\"email\":{"             \
    "\"marketing\":\"" answer "\"}}}\n"

static void the_newest_consent_counts_whatever_the_order_of_records_and_imports(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    import_text("permissions.ndjson", CONSENT("2024-03-01", "N") CONSENT("2024-02-01", "Y"));
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.stored, 1);
    assert_int_equal(report.duplicate, 1);
    assert_int_equal(NUMBER(store, "SELECT granted FROM consent"), 0);
    import_text("permissions.ndjson", CONSENT("2024-01-15", "Y"));
    assert_int_equal(import_run(store, &plain).duplicate, 1);
    import_text("permissions.ndjson", CONSENT("2024-03-02", "Y"));
    assert_int_equal(import_run(store, &plain).changed, 1);
    assert_true(NUMBER(store, "SELECT granted FROM consent WHERE version = 2") != 0);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM audit WHERE action = 'consent'"), 1);
    assert_string_equal(TEXT(store, "SELECT object FROM audit WHERE action = 'consent'"), "A");
    const char *digest = import_digest(store);
    import_rebuild(store);
    assert_string_equal(import_digest(store), digest);
    cvm_store_close(store);
    import_stop();
}

static void unknown_consent_is_kept_and_a_refusal_wins_over_a_second_word_for_it(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    import_text("permissions.json",
                "[{\"customer_id\":\"A\",\"permissions\":{\"push\":{\"marketing\":true},"
                "\"app\":{\"marketing\":\"no\"},\"fax\":{\"marketing\":\"Y\"},"
                "\"sms\":{\"billing\":\"maybe\"}},\"preferred_language\":\"Klingon\"}]");
    (void)import_run(store, &plain);
    assert_int_equal(NUMBER(store, "SELECT granted FROM consent"), 0);
    assert_true(NUMBER(store, "SELECT recorded FROM consent") != 0);
    const char *private = TEXT(store, "SELECT private FROM consent");
    assert_non_null(strstr(private, "fax"));
    assert_non_null(strstr(private, "maybe"));
    assert_non_null(strstr(private, "Klingon"));
    cvm_store_close(store);
    import_stop();
}

static void quiet_hours_that_are_not_understood_are_counted_and_kept(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
#define QUIET(id, hours)                                                                           \
    "{\"customer_id\":\"" id "\",\"permissions\":{\"sms\":{\"marketing\":\"Y\"}},"                 \
    "\"do_not_disturb\":" hours "}\n"
    import_text("permissions.ndjson",
                QUIET("A", "\"22:00-08:00\"") QUIET("B", "\"25:00-08:00\"") QUIET("C", "[22, 8]")
                    QUIET("D", "null") QUIET("E", "\"10pm-8am\""));
#undef QUIET
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.stored, 5);
    assert_int_equal(report.sources[0].unclear_quiet_hours, 3);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM consent WHERE quiet_start_min = 1320"), 1);
    assert_int_equal(
        NUMBER(store, support_words("SELECT count(*) FROM consent WHERE CAST(private AS TEXT) LIKE "
                                    "'%10pm-8am%'",
                                    "SELECT count(*) FROM consent WHERE convert_from(private, "
                                    "'UTF8') LIKE '%10pm-8am%'")),
        1);
    cvm_store_close(store);
    import_stop();
}

/* ---- mapping ---- */

static void values_are_mapped_by_path_type_unit_and_word(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    import_text("notes.json",
                "[{\"id\":17,\"date\":\"2024-01-05T10:20:30Z\",\"size\":\"wrong\",\"kilo\":\"1.5\","
                "\"note\":\"Anna is going ABROAD\",\"secret\":\"s3\",\"skip\":1,"
                "\"parts\":[{\"size\":1.25},{\"size\":2,\"left\":null},{\"size\":\"x\"}],"
                "\"a\":{\"b\":{\"c\":7}},\"color\":\"ROUGE\",\"due\":\"2024-02-29\",\"open\":\"Y\","
                "\"name\":\"caf\\u00e9 \\\"1\\\"\",\"nothing\":null}]");
    (void)import_run(store, &plain);
    assert_string_equal(TEXT(store, "SELECT attributes FROM event"),
                        "{\"test.size\":1500,\"test.parts\":3.25,\"test.deep\":7,"
                        "\"test.color\":\"red\",\"test.due\":\"2024-02-29\",\"test.open\":true,"
                        "\"test.name\":\"caf\xC3\xA9 \\\"1\\\"\"}");
    assert_string_equal(TEXT(store, "SELECT private FROM event"),
                        "{\"text\":{\"test.note\":\"Anna is going ABROAD\"},"
                        "\"personal\":{\"test.secret\":\"s3\"},"
                        "\"unknown\":{\"parts\":[{\"size\":1.25},{\"size\":2,\"left\":null},"
                        "{\"size\":\"x\"}],\"size\":\"wrong\"}}");
    assert_int_equal(NUMBER(store, "SELECT second FROM event"), 10 * 3600 + 20 * 60 + 30);
    assert_string_equal(TEXT(store, "SELECT customer_id FROM customer"), "17");
    cvm_store_close(store);
    import_stop();
}

static void csv_becomes_what_the_same_json_becomes(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    import_text("notes.csv", "\xEF\xBB\xBF"
                             "customer_id;date;size;a.b.c;name;color;other\r\n"
                             "A;2024-01-05; 12.50 ;7;\"a;\"\"b\"\"\nc\";rouge; \r\n"
                             "\r\n"
                             "B;2024-01-06;;;;green;kept\r\n");
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.read, 2);
    assert_int_equal(report.stored, 2);
    assert_string_equal(TEXT(store, "SELECT attributes FROM event WHERE day = 19727"),
                        "{\"test.size\":12.5,\"test.deep\":7,\"test.color\":\"red\","
                        "\"test.name\":\"a;\\\"b\\\"\\nc\"}");
    assert_string_equal(TEXT(store, "SELECT attributes FROM event WHERE day = 19728"), "{}");
    assert_string_equal(TEXT(store, "SELECT private FROM event WHERE day = 19728"),
                        "{\"unknown\":{\"color\":\"green\",\"other\":\"kept\"}}");
    cvm_store_close(store);
    import_stop();
}

static void an_unknown_word_rejects_only_where_the_attribute_is_required(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    import_text("texts.ndjson",
                "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"mood\":\"odd\"}\n"
                "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"mood\":\"BAD\"}\n");
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.rejected, 1);
    assert_int_equal(report.stored, 1);
    assert_non_null(strstr(import_rejects(), "attribute 'test.mood': good or bad"));
    cvm_store_close(store);
    import_stop();
}

static void the_report_counts_by_source_and_by_missing_attribute(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    import_text("notes.ndjson", "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"size\":1}\n"
                                "{\"customer_id\":\"B\",\"date\":\"2024-03-01\",\"odd\":1}\n"
                                "{\"date\":\"2024-03-01\"}\n");
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.source_count, 1);
    assert_int_equal(report.sources[0].read, 3);
    assert_int_equal(report.sources[0].rejected, 1);
    assert_int_equal(report.sources[0].first_day, 19727);
    assert_int_equal(report.sources[0].last_day, 19783);
    assert_int_equal(report.sources[0].attribute_missing[0], 1);
    assert_int_equal(report.sources[0].attribute_missing[1], 2);
    assert_int_equal(report.unmapped_fields, 1);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM audit WHERE action = 'import'"), 1);
    assert_int_equal(NUMBER(store, "SELECT last_day FROM batch WHERE state = 'closed'"), 19783);
    cvm_store_close(store);
    import_stop();
}

static void topics_are_found_in_one_pass_as_phrase_by_phrase(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "plan", "Plans", "no signal", "NO SIGNAL", "roaming", "\xC3\xA9",     "a",    "1",
        " ",    "-",     ".",         "price",     "pri",     "\xE2\x80\x94", "data", " limit"};
    uint64_t random = 1;
    struct cvm_arena *arena = cvm_arena_create((size_t)16 << 20);
    const struct cvm_import_plan *plan = NULL;
    import_start();
    ASSERT_OK(cvm_import_plan_make(arena, import_catalogue(), &plan, ERR));
    for (int round = 0; round < 20000; round++) {
        struct cvm_text text;
        uint32_t expected = 0;
        cvm_text_init(&text, 0);
        for (int part = 0; part < 6; part++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            cvm_text_add(&text, parts[random >> 60]);
        }
        for (size_t t = 0; t < import_catalogue()->topic_count; t++) {
            const char *const *phrases = import_catalogue()->topics[t].phrases;
            for (; *phrases != NULL; phrases++) {
                bool is_found = cvm_text_find_phrase(text.data, text.length, *phrases, NULL) >= 0;
                expected |= is_found ? UINT32_C(1) << t : 0;
            }
        }
        assert_int_equal(cvm_import_topics(plan, text.data, text.length), expected);
        cvm_text_finish(&text);
    }
    cvm_arena_destroy(arena);
    import_stop();
}

/* ---- the same from every road ---- */

static void order_files_blocks_threads_and_memory_do_not_change_what_is_stored(void **state)
{
    (void)state;
    import_start();
    write_base("notes.ndjson", "tickets.ndjson", 0, 1);
    const char *expected = digest_of_base(&plain);
    const struct import_settings small = {.threads = 2, .block_bytes = 100};
    assert_string_equal(digest_of_base(&small), expected);
    const struct import_settings spilled = {.threads = 2, .memory_bytes = 1000};
    assert_string_equal(digest_of_base(&spilled), expected);
    write_base("notes.ndjson", "tickets.ndjson", BASE_RECORDS - 1, -1);
    assert_string_equal(digest_of_base(&plain), expected);
    write_base("notes_even.ndjson", "tickets_even.ndjson", 0, 2);
    write_base("notes_odd.ndjson", "tickets_odd.ndjson", 1, 2);
    import_text("notes.ndjson", "\n");
    import_text("tickets.ndjson", " ");
    assert_string_equal(digest_of_base(&small), expected);
    import_stop();
}

static void memory_below_the_records_spills_to_temporary_files(void **state)
{
    (void)state;
    import_start();
    write_base("notes.ndjson", "tickets.ndjson", 0, 1);
    const struct import_settings spilled = {.memory_bytes = 1000};
    struct cvm_store *store = support_fresh();
    assert_true(import_run(store, &spilled).spilled_bytes > 0);
    cvm_store_close(store);
    store = support_fresh();
    assert_int_equal(import_run(store, &plain).spilled_bytes, 0);
    cvm_store_close(store);
    import_stop();
}

static void a_base_imported_in_two_halves_is_the_base_imported_at_once(void **state)
{
    (void)state;
    import_start();
    write_base("notes.ndjson", "tickets.ndjson", 0, 1);
    const char *expected = digest_of_base(&plain);
    struct cvm_store *store = support_fresh();
    write_base("notes.ndjson", "tickets.ndjson", 0, 2);
    (void)import_run(store, &plain);
    write_base("notes.ndjson", "tickets.ndjson", 1, 2);
    (void)import_run(store, &plain);
    assert_string_equal(import_digest(store), expected);
    import_rebuild(store);
    assert_string_equal(import_digest(store), expected);
    cvm_store_close(store);
    import_stop();
}

static void few_customers_of_a_big_base_are_looked_up_one_by_one(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    write_base("notes.ndjson", "tickets.ndjson", 0, 1);
    (void)import_run(store, &plain);
    import_text("notes.ndjson", "{\"customer_id\":\"N3\",\"date\":\"2024-01-05\",\"size\":1234}\n"
                                "{\"customer_id\":\"NEW\",\"date\":\"2024-01-05\",\"size\":1}\n");
    import_text("tickets.ndjson", "");
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.stored, 2);
    assert_int_equal(report.new_customers, 1);
    assert_int_equal(report.failed_file_count, 1); /* the empty one */
    const char *digest = import_digest(store);
    import_rebuild(store);
    assert_string_equal(import_digest(store), digest);
    cvm_store_close(store);
    import_stop();
}

static void colliding_keys_go_to_the_next_free_key(void **state)
{
    (void)state;
    import_start();
    const struct import_settings colliding = {.threads = 2, .key_bits = 4, .block_bytes = 1000};
    struct cvm_store *store = support_fresh();
    write_base("notes.ndjson", "tickets.ndjson", 0, 2);
    (void)import_run(store, &colliding);
    const char *digest = import_digest(store);
    struct cvm_import_report report = import_run(store, &colliding);
    assert_int_equal(report.stored, 0);
    assert_string_equal(import_digest(store), digest);
    write_base("notes.ndjson", "tickets.ndjson", 0, 1);
    report = import_run(store, &colliding);
    assert_int_equal(report.customers, BASE_CUSTOMERS);
    assert_int_equal(NUMBER(store, "SELECT count(DISTINCT customer_id) FROM customer"),
                     BASE_CUSTOMERS);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM event"), 2 * BASE_RECORDS);
    digest = import_digest(store);
    import_rebuild(store);
    assert_string_equal(import_digest(store), digest);
    cvm_store_close(store);
    import_stop();
}

/* ---- interrupted imports ---- */

static void rows_of_a_dead_import_do_not_count_and_are_replaced(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    write_base("notes.ndjson", "tickets.ndjson", 0, 2);
    (void)import_run(store, &plain);
    write_base("notes.ndjson", "tickets.ndjson", 0, 1);
    (void)import_run(store, &plain);
    const char *expected = import_digest(store);
    /* As if the second import had died just before its end. */
    support_exec(cvm_store_db(store), "UPDATE batch SET state = 'open' WHERE batch = 2");
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.batch, 3);
    assert_int_equal(report.stored, BASE_RECORDS);
    assert_int_equal(report.duplicate, BASE_RECORDS);
    assert_string_equal(import_digest(store), expected);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM batch WHERE state = 'abandoned'"), 1);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM event WHERE batch = 2"), 0);
    cvm_store_close(store);
    import_stop();
}

static void journeys_that_are_not_current_are_rebuilt_before_an_import(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    write_base("notes.ndjson", "tickets.ndjson", 0, 1);
    const char *expected = digest_of_base(&plain);
    cvm_store_close(store);
    store = support_fresh();
    write_base("notes.ndjson", "tickets.ndjson", 0, 2);
    (void)import_run(store, &plain);
    support_exec(cvm_store_journeys(store), "DELETE FROM packed WHERE customer_key % 2 = 0");
    support_exec(cvm_store_journeys(store), "UPDATE meta SET value = '0' WHERE name = 'batch'");
    write_base("notes.ndjson", "tickets.ndjson", 1, 2);
    (void)import_run(store, &plain);
    assert_string_equal(import_digest(store), expected);
    cvm_store_close(store);
    import_stop();
}

/* The k-th call to a database fails, for every k: the next import makes everything right. */
static void sweep(bool journeys, bool loses_transaction)
{
    if (support_is_shared()) {
        skip(); /* a store per call: in memory this takes a second, on a disk a minute */
    }
    import_start();
    write_base("notes.ndjson", "tickets.ndjson", 0, 60);
    struct cvm_store *clean = support_fresh();
    (void)import_run(clean, &plain);
    char expected[CVM_DIGEST_TEXT_SIZE];
    (void)snprintf(expected, sizeof(expected), "%s", import_digest(clean));
    cvm_store_close(clean);
    enum cvm_status status = CVM_E_UNAVAILABLE;
    int64_t tried = 0;
    while (status != CVM_OK) {
        struct cvm_store *store = support_fresh();
        struct db_faults faults = {.fail_at = ++tried, .loses_transaction = loses_transaction};
        struct cvm_import_report report = {0};
        struct cvm_error err = {0};
        db_faulty_wrap(store, journeys, &faults);
        status = import_try(store, &plain, &report, &err);
        if (status != CVM_OK) {
            assert_string_not_equal(err.message, "");
            assert_int_equal(report.read, 0); /* untouched */
        }
        faults.fail_at = 0;
        (void)import_run(store, &plain);
        assert_string_equal(import_digest(store), expected);
        cvm_store_close(store);
        assert_true(tried < 1000);
    }
    assert_true(tried > 5);
    import_stop();
}

static void a_failing_store_ends_in_an_error_and_the_next_import_makes_it_right(void **state)
{
    (void)state;
    sweep(false, false);
    sweep(false, true);
}

static void a_failing_journey_file_ends_in_an_error_and_the_next_import_makes_it_right(void **state)
{
    (void)state;
    sweep(true, false);
    sweep(true, true);
}

static void a_cancelled_import_leaves_an_abandoned_batch(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = support_fresh();
    write_base("notes.ndjson", "tickets.ndjson", 0, 1);
    atomic_bool cancelled = true;
    struct cvm_context context = {.clock = cvm_clock_fixed(&support_now_ms),
                                  .cancelled = &cancelled};
    struct cvm_import_options options = {.who = "test"};
    struct cvm_import_report report;
    struct cvm_pool *pool = NULL;
    struct cvm_arena *arena = cvm_arena_create((size_t)1 << 24);
    const char *path = import_path("notes.ndjson");
    ASSERT_OK(cvm_pool_create(2, &pool, ERR));
    struct cvm_import_work work = {store, import_catalogue(), &options, pool, &context};
    assert_int_equal(
        cvm_import_files(&work, &(struct cvm_import_paths){&path, 1, NULL}, arena, &report, NULL),
        CVM_E_TIMEOUT);
    assert_int_equal(NUMBER(store, "SELECT count(*) FROM batch WHERE state = 'abandoned'"), 1);
    cvm_arena_destroy(arena);
    cvm_pool_destroy(pool);
    cvm_store_close(store);
    import_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(importing_again_stores_nothing_twice),
        cmocka_unit_test(journeys_have_another_version_after_each_change_and_only_then),
        cmocka_unit_test(a_changed_record_becomes_version_2_of_its_event),
        cmocka_unit_test(a_new_version_with_another_date_leaves_its_old_half_year),
        cmocka_unit_test(the_last_of_several_records_with_one_key_counts),
        cmocka_unit_test(
            equal_records_of_one_file_are_as_many_events_and_of_two_files_the_same_ones),
        cmocka_unit_test(undated_attributes_are_one_line_per_customer_and_the_last_wins),
        cmocka_unit_test(undated_facts_with_key_fields_are_one_line_each),
        cmocka_unit_test(the_newest_consent_counts_whatever_the_order_of_records_and_imports),
        cmocka_unit_test(unknown_consent_is_kept_and_a_refusal_wins_over_a_second_word_for_it),
        cmocka_unit_test(quiet_hours_that_are_not_understood_are_counted_and_kept),
        cmocka_unit_test(values_are_mapped_by_path_type_unit_and_word),
        cmocka_unit_test(csv_becomes_what_the_same_json_becomes),
        cmocka_unit_test(an_unknown_word_rejects_only_where_the_attribute_is_required),
        cmocka_unit_test(the_report_counts_by_source_and_by_missing_attribute),
        cmocka_unit_test(topics_are_found_in_one_pass_as_phrase_by_phrase),
        cmocka_unit_test(order_files_blocks_threads_and_memory_do_not_change_what_is_stored),
        cmocka_unit_test(memory_below_the_records_spills_to_temporary_files),
        cmocka_unit_test(a_base_imported_in_two_halves_is_the_base_imported_at_once),
        cmocka_unit_test(few_customers_of_a_big_base_are_looked_up_one_by_one),
        cmocka_unit_test(colliding_keys_go_to_the_next_free_key),
        cmocka_unit_test(rows_of_a_dead_import_do_not_count_and_are_replaced),
        cmocka_unit_test(journeys_that_are_not_current_are_rebuilt_before_an_import),
        cmocka_unit_test(a_failing_store_ends_in_an_error_and_the_next_import_makes_it_right),
        cmocka_unit_test(
            a_failing_journey_file_ends_in_an_error_and_the_next_import_makes_it_right),
        cmocka_unit_test(a_cancelled_import_leaves_an_abandoned_batch),
    };
    return SUPPORT_RUN("import", tests);
}
