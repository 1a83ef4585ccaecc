/* The proof of concept's files and the telco churn table: the golden tables of what they hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/file.h"
#include "base/json_reader.h"
#include "support/import_support.h"

static const struct import_settings plain = {0};

/* A store with the nine files, NULL when they are not there. */
static struct cvm_store *import_poc(struct cvm_import_report *out_report)
{
    const char *folder = import_shared("poc");
    if (folder == NULL) {
        skip();
    }
    struct cvm_store *store = support_fresh();
    struct import_settings settings = {.path = folder};
    struct cvm_import_report report = import_run(store, &settings);
    if (out_report != NULL) {
        *out_report = report;
    }
    return store;
}

static int64_t number_of(struct cvm_store *store, const char *format, const char *customer,
                         const char *source)
{
    char sql[600];
    (void)snprintf(sql, sizeof(sql), format, customer, source);
    return support_number(cvm_store_db(store), sql);
}

static const char *text_of(struct cvm_store *store, const char *format, const char *customer,
                           const char *attribute)
{
    char sql[600];
    (void)snprintf(sql, sizeof(sql), format, attribute, customer);
    return import_string(cvm_store_db(store), sql);
}

static const struct cvm_import_source_report *report_of(const struct cvm_import_report *report,
                                                        const char *source)
{
    int number = cvm_catalogue_source(import_catalogue(), source);
    for (size_t s = 0; s < report->source_count; s++) {
        if (report->sources[s].source == number) {
            return &report->sources[s];
        }
    }
    fail_msg("no report of '%s'", source);
    return NULL;
}

/* ---- cases 1 to 3, 7; table G1 ---- */

static void nine_files_are_180_records_of_11_customers(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        int64_t records;
    } sources[] = {{"billing_data", 20},
                   {"call_transcripts", 28},
                   {"churn_score", 11},
                   {"network_data", 11},
                   {"offer_recommendations", 18},
                   {"permissions", 11},
                   {"usage_data", 20},
                   {"web_clicks", 30},
                   {"web_transcripts", 31}};
    struct cvm_import_report report;
    import_start();
    struct cvm_store *store = import_poc(&report);
    assert_int_equal(report.read, 180);
    assert_int_equal(report.stored, 180);
    assert_int_equal(report.rejected, 0);
    assert_int_equal(report.customers, 11);
    assert_int_equal(report.failed_file_count, 0);
    assert_int_equal(report.skipped_file_count, 4);
    for (size_t s = 0; s < sizeof(sources) / sizeof(sources[0]); s++) {
        assert_int_equal(report_of(&report, sources[s].source)->stored, sources[s].records);
    }
    assert_int_equal(support_number(cvm_store_db(store), "SELECT count(*) FROM event"), 169);
    cvm_store_close(store);
    import_stop();
}

static void importing_the_nine_files_again_stores_nothing(void **state)
{
    (void)state;
    struct cvm_import_report report;
    import_start();
    struct cvm_store *store = import_poc(&report);
    const char *digest = import_digest(store);
    struct import_settings settings = {.path = import_shared("poc"), .threads = 2};
    report = import_run(store, &settings);
    assert_int_equal(report.stored, 0);
    assert_int_equal(report.duplicate, 180);
    assert_string_equal(import_digest(store), digest);
    import_rebuild(store);
    assert_string_equal(import_digest(store), digest);
    cvm_store_close(store);
    import_stop();
}

static void every_customer_has_the_events_of_table_g1(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        int counts[8];
        const char *first;
        const char *last;
    } rows[] = {
        {"U123", {3, 3, 2, 1, 3, 1, 2, 2}, "2024-02-01", "2024-03-06"},
        {"U124", {4, 6, 2, 1, 5, 1, 2, 2}, "2024-02-01", "2024-03-04"},
        {"U125", {2, 3, 2, 1, 2, 1, 2, 2}, "2024-02-01", "2024-03-03"},
        {"U126", {2, 2, 2, 1, 1, 1, 2, 2}, "2024-02-01", "2024-03-03"},
        {"U127", {2, 2, 2, 1, 1, 1, 2, 2}, "2024-02-01", "2024-03-03"},
        {"U128", {2, 2, 2, 1, 1, 1, 2, 2}, "2024-02-01", "2024-03-03"},
        {"U129", {2, 2, 2, 1, 1, 1, 2, 2}, "2024-02-01", "2024-03-03"},
        {"U130", {2, 2, 3, 1, 1, 1, 2, 2}, "2024-02-01", "2024-03-05"},
        {"U131", {3, 3, 4, 1, 1, 1, 1, 1}, "2024-02-27", "2024-03-05"},
        {"U132", {3, 3, 4, 1, 1, 1, 1, 1}, "2024-02-27", "2024-03-05"},
        {"U999", {3, 3, 5, 1, 1, 1, 2, 2}, "2024-02-01", "2024-03-18"},
    };
    static const char *const sources[] = {
        "call_transcripts",      "web_transcripts", "web_clicks", "network_data",
        "offer_recommendations", "churn_score",     "usage_data", "billing_data"};
    import_start();
    struct cvm_store *store = import_poc(NULL);
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        for (size_t s = 0; s < 8; s++) {
            assert_int_equal(
                number_of(store,
                          "SELECT count(*) FROM journey WHERE customer_id = '%s' AND source = '%s'",
                          rows[r].id, sources[s]),
                rows[r].counts[s]);
        }
        static const char days[] =
            "SELECT CAST(%s(date) AS TEXT) FROM journey WHERE customer_id = '%s'";
        assert_string_equal(text_of(store, days, rows[r].id, "min"), rows[r].first);
        assert_string_equal(text_of(store, days, rows[r].id, "max"), rows[r].last);
    }
    cvm_store_close(store);
    import_stop();
}

/* One of the files in another form, in the test's own folder. */
static void write_form(struct cvm_arena *arena, const char *name, int form)
{
    char path[1200];
    char *text = NULL;
    size_t length = 0;
    const struct cvm_json_value *root = NULL;
    struct cvm_json_reader *reader = cvm_json_reader_create((size_t)1 << 20);
    struct cvm_text out;
    (void)snprintf(path, sizeof(path), "%s/%s.json", import_shared("poc"), name);
    ASSERT_OK(cvm_file_read(arena, path, (size_t)1 << 20, &text, &length, ERR));
    ASSERT_OK(cvm_json_read(reader, arena, text, length, false, &root, ERR));
    cvm_text_init(&out, 0);
    if (form == 0) {
        cvm_text_add(&out, "{\"data\": ");
        cvm_text_add_bytes(&out, text, length);
        cvm_text_add(&out, "}");
    }
    for (size_t i = root->child_count; form > 0 && i-- > 0;) { /* backwards */
        const struct cvm_json_value *record = root->first_child;
        for (size_t skip_count = 0; skip_count < i; skip_count++) {
            record = record->next;
        }
        for (size_t c = 0; c < record->raw.length; c++) {
            char byte = record->raw.data[c];
            cvm_text_add_char(&out, byte == '\n' && form == 1 ? ' ' : byte);
        }
        cvm_text_add(&out, "\n");
    }
    (void)snprintf(path, sizeof(path), "%s.%s", name, form == 1 ? "ndjson" : "json");
    import_write(path, out.data, out.length);
    cvm_text_finish(&out);
    cvm_json_reader_destroy(reader);
}

static void an_array_and_data_and_lines_in_any_order_give_the_same_store(void **state)
{
    (void)state;
    static const char *const names[] = {
        "billing_data",          "call_transcripts", "churn_score", "network_data",
        "offer_recommendations", "permissions",      "usage_data",  "web_clicks",
        "web_transcripts"};
    import_start();
    struct cvm_store *store = import_poc(NULL);
    const char *expected = import_digest(store);
    cvm_store_close(store);
    for (int form = 0; form < 3; form++) {
        struct cvm_arena *arena = cvm_arena_create((size_t)64 << 20);
        import_stop();
        import_start();
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
            write_form(arena, names[n], form);
        }
        struct import_settings settings = {.threads = 2, .block_bytes = (size_t)500 * (form + 1)};
        store = support_fresh();
        assert_int_equal(import_run(store, &settings).stored, 180);
        assert_string_equal(import_digest(store), expected);
        cvm_store_close(store);
        cvm_arena_destroy(arena);
    }
    import_stop();
}

static void a_broken_file_is_named_and_the_others_load(void **state)
{
    (void)state;
    struct cvm_arena *arena = cvm_arena_create((size_t)64 << 20);
    import_start();
    if (import_shared("poc") == NULL) {
        skip();
    }
    write_form(arena, "billing_data", 0);
    write_form(arena, "usage_data", 1);
    import_text("churn_score.json", "[{\"customer_id\": \"U123\", ");
    struct cvm_store *store = support_fresh();
    struct cvm_import_report report = import_run(store, &plain);
    assert_int_equal(report.stored, 40);
    assert_int_equal(report.failed_file_count, 1);
    assert_non_null(strstr(report.failed_files[0], "churn_score.json"));
    cvm_store_close(store);
    cvm_arena_destroy(arena);
    import_stop();
}

/* ---- table G3 ---- */

static uint32_t bits_of(const char *answers, enum cvm_channel channel, uint32_t *recorded)
{
    uint32_t granted = 0;
    for (int p = 0; p < CVM_PURPOSE_COUNT; p++) {
        uint32_t bit = cvm_consent_bit(channel, CVM_DIRECTION_OUTBOUND, (enum cvm_purpose)p);
        *recorded |= bit;
        granted |= answers[p] == 'Y' ? bit : 0;
    }
    return granted;
}

static void every_permission_record_reads_as_in_table_g3(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        const char *email;
        const char *sms;
        const char *call;
        const char *push;
        const char *quiet;
        enum cvm_preferred_time time;
        const char *updated;
    } rows[] = {
        {"U123", "YYY", "YYY", "YYY", "YYY", "23:00-07:00", CVM_TIME_AFTERNOON, "2024-02-10"},
        {"U124", "YYY", "NYY", "YYY", "NYY", "22:00-08:00", CVM_TIME_AFTERNOON, "2024-02-15"},
        {"U125", "YYY", "YYY", "NYY", "YYY", "21:00-07:00", CVM_TIME_MORNING, "2024-02-20"},
        {"U126", "NYY", "NYY", "NYY", "NYY", "20:00-09:00", CVM_TIME_EVENING, "2024-03-01"},
        {"U127", "NYY", "YYY", "YYY", "NNN", "19:00-08:00", CVM_TIME_MORNING, "2024-02-25"},
        {"U128", "YYY", "YYY", "YYY", "YYY", "23:00-07:00", CVM_TIME_ANY, "2024-02-28"},
        {"U129", "YYY", "NYY", "NYY", "YYY", "18:00-09:00", CVM_TIME_BUSINESS_HOURS, "2024-03-01"},
        {"U130", "YYY", "YYY", "YYY", "YYY", "22:30-07:00", CVM_TIME_EVENING, "2024-03-04"},
        {"U131", "YYY", "YYY", "YYY", "YYY", "18:00-08:00", CVM_TIME_BUSINESS_HOURS, "2024-03-01"},
        {"U132", "YYY", "YYY", "YYY", "NYY", "21:00-08:00", CVM_TIME_AFTERNOON, "2024-03-01"},
        {"U999", "YYY", "YYY", "YYY", "YYY", "22:00-08:00", CVM_TIME_EVENING, "2024-03-05"},
    };
    import_start();
    struct cvm_store *store = import_poc(NULL);
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        uint64_t key = 0;
        struct cvm_consent consent;
        uint32_t recorded = 0;
        uint32_t granted = bits_of(rows[r].email, CVM_CHANNEL_EMAIL, &recorded) |
                           bits_of(rows[r].sms, CVM_CHANNEL_SMS, &recorded) |
                           bits_of(rows[r].call, CVM_CHANNEL_CALL, &recorded) |
                           bits_of(rows[r].push, CVM_CHANNEL_PUSH, &recorded);
        int16_t start = 0;
        int16_t end = 0;
        char day[CVM_DAY_TEXT_SIZE];
        assert_true(cvm_quiet_hours_parse(rows[r].quiet, &start, &end));
        ASSERT_OK(cvm_customer_find(store, rows[r].id, &key, ERR));
        ASSERT_OK(cvm_consent_of(store, key, 1, &consent, ERR));
        assert_true(consent.has_record);
        assert_int_equal(consent.recorded, recorded);
        assert_int_equal(consent.granted, granted);
        assert_int_equal(consent.quiet_start_min, start);
        assert_int_equal(consent.quiet_end_min, end);
        assert_int_equal(consent.preferred_time, rows[r].time);
        assert_string_equal(consent.language, "en");
        assert_string_equal(cvm_day_format(consent.updated_day, day), rows[r].updated);
    }
    cvm_store_close(store);
    import_stop();
}

/* ---- table G4, cases 4 to 6 ---- */

/* Values of an attribute in date order, joined by '/'. */
static const char *values_of(struct cvm_store *store, const char *customer, const char *attribute)
{
    return text_of(
        store,
        support_words("SELECT group_concat(v, '/') FROM (SELECT '' || json_extract(attributes, "
                      "'$.\"%s\"') AS v FROM journey WHERE customer_id = '%s' AND v IS NOT NULL "
                      "ORDER BY date)",
                      "SELECT string_agg(CAST(attributes AS JSON) ->> '%s', '/' ORDER BY date) "
                      "FROM journey WHERE customer_id = '%s'"),
        customer, attribute);
}

static void bills_usage_and_network_read_as_in_table_g4(void **state)
{
    (void)state;
    static const char *const attributes[] = {
        "bill.plan_name",     "bill.plan_charge",    "bill.extra",       "bill.total",
        "bill.status_word",   "usage.data_gb",       "usage.roaming_gb", "network.quality",
        "network.latency_ms", "network.loss_percent"};
    static const struct {
        const char *id;
        const char *values[10];
    } rows[] = {
        {"U123",
         {"Individual Plus 15GB/Individual Plus 15GB", "75.99/75.99", "10/20", "85.99/95.99",
          "on_time/on_time", "18.5/22.8", "0/0", "fair", "48", "1.8"}},
        {"U124",
         {"Premium Data/Premium Data", "65.99/65.99", "12.5/25.75", "78.49/91.74", "paid/pending",
          "15.2/18.7", "0.5/0.5", "good", "28", "0.5"}},
        {"U125",
         {"Business Pro/Business Pro", "89.99/89.99", "0/0", "89.99/89.99", "paid/paid",
          "45.8/52.3", "0/0", "poor", "85", "2.8"}},
        {"U126",
         {"Family Share Plus/Family Share Plus", "129.99/129.99", "45.5/52.75", "175.49/182.74",
          "overdue/pending", "85.3/92.7", "0/0", "fair", "45", "1.2"}},
        {"U128",
         {"International Plus/International Plus", "75.99/75.99", "35.5/42.75", "111.49/118.74",
          "paid/pending", "8.5/9.2", "0/0", "good", "32", "0.4"}},
        {"U131",
         {"Enterprise Fiber Pro", "999.99", "0", "999.99", "paid", "285.3", "0", "excellent", "2",
          "0.01"}},
        {"U132",
         {"Family Share Plus", "159.99", "35.5", "195.49", "pending", "185.3", "0", "fair", "45",
          "1.2"}},
        {"U999",
         {"Family Plus/Family Plus", "79.99/79.99", "0/12.5", "79.99/92.49", "paid/paid",
          "22.8/25.3", "0/0", "excellent", "22", "0.2"}},
    };
    import_start();
    struct cvm_store *store = import_poc(NULL);
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        for (size_t a = 0; a < 10; a++) {
            const char *found = values_of(store, rows[r].id, attributes[a]);
            if (strcmp(found, rows[r].values[a]) != 0) {
                /* Sums of doubles may differ in the last digits from what people write. */
                double left = strtod(found, NULL);
                double right = strtod(rows[r].values[a], NULL);
                if (left == 0 || left - right > 1e-9 || right - left > 1e-9) {
                    fail_msg("%s %s: %s, not %s", rows[r].id, attributes[a], found,
                             rows[r].values[a]);
                }
            }
        }
    }
    assert_string_equal(values_of(store, "U123", "click.seconds"), "720/1080");
    assert_string_equal(values_of(store, "U123", "click.device"), "desktop/mobile");
    assert_string_equal(values_of(store, "U123", "bill.status"), "settled/settled");
    assert_string_equal(values_of(store, "U123", "chat.channel"), "web_chat/web_chat/web_chat");
    assert_string_equal(values_of(store, "U123", "offer.count"), "1/1/1");
    cvm_store_close(store);
    import_stop();
}

static void unknown_fields_are_kept(void **state)
{
    (void)state;
    import_start();
    struct cvm_store *store = import_poc(NULL);
    const char *kept = support_words(
        "SELECT count(*) FROM event WHERE json_extract(CAST(private AS TEXT), '$.unknown.%s') IS "
        "NOT NULL%s",
        "SELECT count(*) FROM event WHERE CAST(convert_from(private, 'UTF8') AS JSON) -> 'unknown' "
        "-> '%s' IS NOT NULL%s");
    assert_int_equal(number_of(store, kept, "click_path", ""), 2);
    assert_int_equal(number_of(store, kept, "data_by_app", ""), 4);
    assert_int_equal(number_of(store, kept, "discounts", ""), 2);
    /* A list of one element is told by its attributes. */
    assert_int_equal(number_of(store, kept, "risk_factors", ""), 10);
    cvm_store_close(store);
    import_stop();
}

/* ---- table G8 ---- */

static void the_journey_of_u124_is_in_the_order_of_table_g8(void **state)
{
    (void)state;
    static const char expected[] =
        "02-01 billing_data | 02-15 web_transcripts | 02-15 offer_recommendations | 02-20 "
        "web_transcripts | 02-20 offer_recommendations | 02-25 web_transcripts | 02-28 "
        "call_transcripts | 02-28 offer_recommendations | 02-28 usage_data | 03-01 "
        "call_transcripts | 03-01 offer_recommendations | 03-01 billing_data | 03-02 "
        "web_transcripts | 03-02 web_clicks | 03-02 web_clicks | 03-02 network_data | 03-02 "
        "usage_data | 03-03 call_transcripts | 03-03 web_transcripts | 03-03 "
        "offer_recommendations | 03-03 churn_score | 03-04 call_transcripts | 03-04 "
        "web_transcripts";
    struct cvm_arena *arena = cvm_arena_create((size_t)16 << 20);
    struct cvm_event_row *rows = NULL;
    size_t count = 0;
    uint64_t key = 0;
    struct cvm_text text;
    import_start();
    struct cvm_store *store = import_poc(NULL);
    ASSERT_OK(cvm_customer_find(store, "U124", &key, ERR));
    ASSERT_OK(cvm_event_rows(store, arena, import_catalogue(), key, 1, &rows, &count, ERR));
    assert_int_equal(count, 23);
    cvm_text_init(&text, 0);
    for (size_t r = 0; r < count; r++) {
        char day[CVM_DAY_TEXT_SIZE];
        cvm_text_add(&text, r == 0 ? "" : " | ");
        cvm_text_add(&text, cvm_day_format(rows[r].day, day) + 5);
        cvm_text_add_char(&text, ' ');
        cvm_text_add(&text, rows[r].source_name);
    }
    assert_string_equal(cvm_text_string(&text), expected);
    cvm_text_finish(&text);
    cvm_store_close(store);
    cvm_arena_destroy(arena);
    import_stop();
}

/* ---- telco churn ---- */

static void the_telco_table_is_7043_customers_with_attributes(void **state)
{
    (void)state;
    struct cvm_import_report report;
    import_start();
    const char *path = import_shared("telco_churn/Telco-Customer-Churn.csv");
    if (path == NULL) {
        skip();
    }
    struct cvm_store *store = support_fresh();
    struct import_settings settings = {.path = path, .mapping = "telco_churn", .threads = 2};
    report = import_run(store, &settings);
    assert_int_equal(report.read, 7043);
    assert_int_equal(report.stored, 7043);
    assert_int_equal(report.customers, 7043);
    assert_int_equal(report.rejected, 0);
    assert_int_equal(
        support_number(cvm_store_db(store),
                       support_words("SELECT count(*) FROM event WHERE json_extract(attributes, "
                                     "'$.\"telco.churned\"')",
                                     "SELECT count(*) FROM event WHERE CAST(attributes AS JSON) "
                                     "->> 'telco.churned' = 'true'")),
        1869);
    assert_int_equal(
        support_number(cvm_store_db(store),
                       support_words("SELECT count(*) FROM event WHERE json_extract(attributes, "
                                     "'$.\"telco.total_charges\"') IS NULL",
                                     "SELECT count(*) FROM event WHERE CAST(attributes AS JSON) "
                                     "->> 'telco.total_charges' IS NULL")),
        11);
    const char *digest = import_digest(store);
    assert_int_equal(import_run(store, &settings).duplicate, 7043);
    import_rebuild(store);
    assert_string_equal(import_digest(store), digest);
    cvm_store_close(store);
    import_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nine_files_are_180_records_of_11_customers),
        cmocka_unit_test(importing_the_nine_files_again_stores_nothing),
        cmocka_unit_test(every_customer_has_the_events_of_table_g1),
        cmocka_unit_test(an_array_and_data_and_lines_in_any_order_give_the_same_store),
        cmocka_unit_test(a_broken_file_is_named_and_the_others_load),
        cmocka_unit_test(every_permission_record_reads_as_in_table_g3),
        cmocka_unit_test(bills_usage_and_network_read_as_in_table_g4),
        cmocka_unit_test(unknown_fields_are_kept),
        cmocka_unit_test(the_journey_of_u124_is_in_the_order_of_table_g8),
        cmocka_unit_test(the_telco_table_is_7043_customers_with_attributes),
    };
    return SUPPORT_RUN("import of the proof of concept's data", tests);
}
