/* Input that is broken: each record or file is named, the rest is imported, nothing is lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/import_support.h"

#define GOOD(id) "{\"customer_id\":\"" id "\",\"date\":\"2024-01-05\",\"size\":1}"

static const struct import_settings plain = {0};

/* Tests of many imports run in memory only: on a disk, making the stores takes all the time. */
#define IN_MEMORY_ONLY()                                                                           \
    do {                                                                                           \
        if (support_is_shared()) {                                                                 \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

/* Import what is in the folder into a new store. */
static struct cvm_import_report import_new(const struct import_settings *settings)
{
    struct cvm_store *store = support_fresh();
    struct cvm_import_report report = import_run(store, settings);
    assert_int_equal(support_number(cvm_store_db(store), "SELECT count(*) FROM event"),
                     report.stored);
    cvm_store_close(store);
    return report;
}

/* `bad` stands between two good records of an NDJSON file. */
static void check_record(const char *bad, size_t length, const char *reason)
{
    static const char before[] = GOOD("A") "\n";
    static const char after[] = "\n" GOOD("B") "\n";
    char *text = calloc(1, length + sizeof(before) + sizeof(after));
    assert_non_null(text);
    memcpy(text, before, sizeof(before) - 1);
    memcpy(text + sizeof(before) - 1, bad, length);
    memcpy(text + sizeof(before) - 1 + length, after, sizeof(after) - 1);
    import_write("notes.ndjson", text, sizeof(before) + sizeof(after) - 2 + length);
    free(text);
    struct cvm_import_report report = import_new(&plain);
    assert_int_equal(report.read, 3);
    assert_int_equal(report.stored, 2);
    assert_int_equal(report.rejected, 1);
    assert_non_null(report.rejects_path);
    const char *rejects = import_rejects();
    assert_non_null(strstr(rejects, "\"record\":2"));
    assert_non_null(strstr(rejects, "notes.ndjson"));
    if (strstr(rejects, reason) == NULL) {
        fail_msg("'%s' is not in %s", reason, rejects);
    }
    assert_true(cvm_utf8_is_valid(rejects, strlen(rejects)));
}

static void a_record_that_cannot_be_mapped_is_rejected_with_its_number_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
    } cases[] = {
        {"{\"customer_id\":\"C\",\"date\":\"2024-01-05\"", "before an object"},
        {"{\"customer_id\":\"C\" \"date\":\"2024-01-05\"}", "JSON at byte"},
        {"[1, 2]", "no JSON object"},
        {"\"text\"", "no JSON object"},
        {"not json", "JSON at byte"},
        {"{\"date\":\"2024-01-05\"}", "no customer id"},
        {"{\"customer_id\":\"\",\"date\":\"2024-01-05\"}", "customer id is empty"},
        {"{\"customer_id\":null,\"date\":\"2024-01-05\"}", "no customer id"},
        {"{\"customer_id\":1.5,\"date\":\"2024-01-05\"}", "customer id"},
        {"{\"customer_id\":\"a\\u0000b\",\"date\":\"2024-01-05\"}", "control character"},
        {"{\"customer_id\":\"C\"}", "no date"},
        {"{\"customer_id\":\"C\",\"date\":20240105}", "no date that exists"},
        {"{\"customer_id\":\"C\",\"date\":\"2023-02-29\"}", "'2023-02-29'"},
        {"{\"customer_id\":\"C\",\"date\":\"2024-13-01\"}", "'2024-13-01'"},
        {"{\"customer_id\":\"C\",\"date\":\"yesterday\"}", "'yesterday'"},
        {"{\"customer_id\":\"C\",\"date\":\"2024-01-05\",\"size\":1,\"size\":2}", "twice"},
        {"{\"customer_id\":\"C\",\"date\":\"2024-01-05\",\"size\":01}", "number"},
        {"{\"customer_id\":\"\xFF\xFE\",\"date\":\"2024-01-05\"}", "UTF-8"},
        {"{\"customer_id\":\"C\x01\",\"date\":\"2024-01-05\"}", "control character"},
    };
    IN_MEMORY_ONLY();
    import_start();
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        check_record(cases[c].text, strlen(cases[c].text), cases[c].reason);
    }
    static const char with_nul[] = "{\"customer_id\":\"C\",\0\"date\":\"2024-01-05\"}";
    check_record(with_nul, sizeof(with_nul) - 1, "JSON at byte");
    import_stop();
}

static void a_record_nested_too_deeply_is_rejected(void **state)
{
    (void)state;
    char text[400] = "{\"customer_id\":\"C\",\"date\":\"2024-01-05\",\"x\":";
    import_start();
    for (int i = 0; i < 100; i++) {
        (void)strncat(text, "[", 2);
    }
    for (int i = 0; i < 100; i++) {
        (void)strncat(text, "]", 2);
    }
    (void)strncat(text, "}", 2);
    check_record(text, strlen(text), "deep");
    import_stop();
}

static void a_customer_id_that_is_too_long_is_rejected(void **state)
{
    (void)state;
    char text[400];
    import_start();
    int length =
        snprintf(text, sizeof(text), "{\"customer_id\":\"%0256d\",\"date\":\"2024-01-05\"}", 7);
    check_record(text, (size_t)length, "256 bytes");
    import_stop();
}

/* ---- long records ---- */

static void write_long(const char *name, size_t bytes, bool is_array)
{
    const char *comma = is_array ? ",\n" : "\n";
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add_format(&text, "%s" GOOD("A") "%s", is_array ? "[" : "", comma);
    cvm_text_add(&text, "{\"customer_id\":\"C\",\"date\":\"2024-01-05\",\"note\":\"");
    for (size_t b = 0; b < bytes; b++) {
        cvm_text_add_char(&text, 'x');
    }
    cvm_text_add_format(&text, "\"}%s" GOOD("B") "%s", comma, is_array ? "]" : "");
    assert_false(text.failed);
    import_write(name, text.data, text.length);
    cvm_text_finish(&text);
}

static void a_record_beyond_the_limit_is_rejected_whatever_the_block_size(void **state)
{
    (void)state;
    static const size_t blocks[] = {64, 1000, 5000, (size_t)1 << 20};
    IN_MEMORY_ONLY();
    import_start();
    for (size_t b = 0; b < 4; b++) {
        for (int is_array = 0; is_array < 2; is_array++) {
            const struct import_settings settings = {.record_bytes_max = 2000,
                                                     .block_bytes = blocks[b]};
            write_long("notes.json", 3000, is_array);
            struct cvm_import_report report = import_new(&settings);
            assert_int_equal(report.stored, 2);
            assert_int_equal(report.rejected, 1);
            assert_int_equal(report.failed_file_count, 0);
            assert_non_null(strstr(import_rejects(), "longer than 2000 bytes"));
            assert_non_null(strstr(import_rejects(), "\"record\":2"));
            assert_true(strlen(import_rejects()) < 1000);
        }
    }
    import_stop();
}

static void a_line_of_many_blocks_is_rejected_without_being_held(void **state)
{
    (void)state;
    import_start();
    write_long("notes.ndjson", (size_t)24 << 20, false);
    struct cvm_import_report report = import_new(&plain);
    assert_int_equal(report.stored, 2);
    assert_int_equal(report.rejected, 1);
    write_long("notes.ndjson", (size_t)24 << 20, true);
    import_stop();
}

/* ---- broken files ---- */

static void check_failed(const char *name, const char *text, int64_t stored, const char *message)
{
    import_text(name, text);
    import_text("plans.csv", "customer_id,plan\nZ,p\n");
    struct cvm_import_report report = import_new(&plain);
    assert_int_equal(report.stored, stored + 1);
    assert_int_equal(report.failed_file_count, 1);
    assert_non_null(strstr(report.failed_files[0], name));
    if (strstr(report.failed_files[0], message) == NULL) {
        fail_msg("'%s' is not in %s", message, report.failed_files[0]);
    }
}

static void a_truncated_file_gives_its_whole_records_and_is_named_with_the_place(void **state)
{
    (void)state;
    import_start();
    check_failed("notes.json", "[" GOOD("A") "," GOOD("B") ",{\"customer_id\":\"C\"", 2,
                 "inside record 3, at byte 117");
    check_failed("notes.json", "[" GOOD("A") "," GOOD("B"), 2, "before its array does");
    check_failed("notes.json", "{\"data\": [" GOOD("A") "]", 1, "before the object around");
    check_failed("notes.json", "{\"data\": [" GOOD("A") ",{\"customer_id\":\"C", 1,
                 "inside record 2");
    check_failed("notes.json", "[", 0, "before its array does");
    check_failed("notes.json", "[" GOOD("A") "] " GOOD("B"), 1, "behind the records");
    check_failed("notes.json", "[" GOOD("A") " " GOOD("B") "]", 1, "behind record");
    check_failed("notes.json", "[" GOOD("A") ",{\"a\":[1}]", 1, "record 2");
    check_failed("notes.json", "", 0, "empty");
    check_failed("notes.json", " \n ", 0, "empty");
    check_failed("notes.json", "<html>", 0, "neither");
    import_stop();
}

static void a_file_is_read_in_every_form_that_sources_have(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "[" GOOD("A") "," GOOD("B") "]",
        "\xEF\xBB\xBF  [\n" GOOD("A") "\n,\n" GOOD("B") "\r\n]\n \n",
        "{\"data\":[" GOOD("A") "," GOOD("B") "]}",
        "{\"version\": {\"data\": 1}, \"data\" : [ " GOOD("A") ", " GOOD("B") " ], \"more\": [{}]}",
        GOOD("A") "\n" GOOD("B"),
        "\xEF\xBB\xBF" GOOD("A") "\r\n\r\n" GOOD("B") "\r\n",
        "{\"customer_id\":\"A\",\n  "
        "\"date\":\"2024-01-05\",\n\"size\":1}\n\n{\"customer_id\":\"B\","
        "\"date\":\"2024-01-05\"\n,\"size\":1}",
        "{\"customer_id\":\"A\",\"date\":\"2024-01-05\",\"size\":1,\"data\":[1]}\n" GOOD("B") "\n",
        "[\n\t{ \"customer_id\" : \"A\",\r\n\"date\":\"2024-01-05\", \"size\":1, "
        "\"name\":\"]},{[\\\"\" } ,"
        "{\"customer_id\":\"B\",\"date\":\"2024-01-05\",\"size\":1,\"x\":[[],{},\"\\\\\"]}]",
    };
    static const size_t blocks[] = {1, 7, 64, 1000};
    IN_MEMORY_ONLY();
    import_start();
    for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
        for (size_t b = 0; b < 4; b++) {
            const struct import_settings settings = {.block_bytes = blocks[b], .threads = 2};
            import_text("notes.json", forms[f]);
            struct cvm_import_report report = import_new(&settings);
            if (report.stored != 2 || report.rejected != 0 || report.failed_file_count != 0) {
                fail_msg("form %zu in blocks of %zu: %lld stored, %s", f, blocks[b],
                         (long long)report.stored, import_rejects());
            }
        }
    }
    import_text("notes.json", "[]");
    assert_int_equal(import_new(&plain).read, 0);
    import_text("notes.json", "{\"data\":[]}");
    assert_int_equal(import_new(&plain).read, 0);
    import_stop();
}

static void every_cut_of_a_file_imports_a_part_of_its_records_or_names_the_file(void **state)
{
    (void)state;
    static const char text[] = "{\"data\":[" GOOD("A") ",\n" GOOD("B") "],\"z\":{\"y\":\"]\"}}";
    IN_MEMORY_ONLY();
    import_start();
    for (size_t length = 1; length < sizeof(text); length++) {
        import_write("notes.json", text, length);
        struct cvm_import_report report = import_new(&plain);
        bool is_whole = length == sizeof(text) - 1;
        if (is_whole) {
            assert_int_equal(report.stored, 2);
        }
        assert_true(is_whole || report.failed_file_count + (size_t)report.rejected == 1);
    }
    import_stop();
}

/* ---- CSV ---- */

static void bad_csv_records_are_rejected_one_by_one(void **state)
{
    (void)state;
    import_start();
    import_text("plans.csv", "customer_id,plan\n"
                             "A,p\n"
                             "B\n"
                             "C,p,q\n"
                             "F,a\"b\n"
                             "G,\xFF\n"
                             "D,\"never closed\n"
                             "E,p\n");
    static const size_t blocks[] = {1, 16, 1000};
    for (size_t b = 0; b < 3; b++) {
        const struct import_settings settings = {.block_bytes = blocks[b]};
        struct cvm_import_report report = import_new(&settings);
        assert_int_equal(report.stored, 2);
        assert_int_equal(report.rejected, 5);
        assert_non_null(strstr(import_rejects(), "never closed"));
        assert_non_null(strstr(import_rejects(), "1 fields where the header has 2"));
        assert_non_null(strstr(import_rejects(), "3 fields where the header has 2"));
        assert_non_null(strstr(import_rejects(), "UTF-8"));
        assert_non_null(strstr(import_rejects(), "\"record\":2"));
    }
    import_stop();
}

static void a_header_that_cannot_be_used_rejects_the_records_under_it(void **state)
{
    (void)state;
    import_start();
    import_text("plans.csv", "customer_id,plan,plan\nA,p,q\nB,p,q\n");
    struct cvm_import_report report = import_new(&plain);
    assert_int_equal(report.rejected, 2);
    assert_non_null(strstr(import_rejects(), "column 'plan' appears twice"));
    import_text("plans.csv", "customer_id,plan\n");
    assert_int_equal(import_new(&plain).read, 0);
    import_text("plans.csv", "customer_id,plan");
    assert_int_equal(import_new(&plain).read, 0);
    import_stop();
}

/* ---- paths ---- */

static void a_path_that_is_not_there_or_matches_nothing_is_an_error(void **state)
{
    (void)state;
    struct cvm_import_report report;
    struct cvm_error err = {0};
    import_start();
    struct cvm_store *store = support_fresh();
    struct import_settings settings = {.path = "/nowhere/notes.json"};
    assert_int_equal(import_try(store, &settings, &report, &err), CVM_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nowhere/notes.json"));
    import_text("nothing.json", "[]");
    settings.path = import_path("nothing.json");
    assert_int_equal(import_try(store, &settings, &report, &err), CVM_E_INVALID);
    assert_non_null(strstr(err.message, "nothing.json"));
    assert_non_null(strstr(err.hint, "name"));
    assert_int_equal(support_number(cvm_store_db(store), "SELECT count(*) FROM batch"), 0);
    cvm_store_close(store);
    import_stop();
}

static void files_without_a_source_are_listed_and_a_mapping_restricts(void **state)
{
    (void)state;
    import_start();
    import_text("notes.json", "[" GOOD("A") "]");
    import_text("other.json", "[" GOOD("A") "]");
    import_text("usage_data.json", "[" GOOD("A") "]");
    struct cvm_import_report report = import_new(&plain);
    assert_int_equal(report.stored, 2);
    assert_int_equal(report.skipped_file_count, 1);
    assert_non_null(strstr(report.skipped_files[0], "other.json"));
    const struct import_settings settings = {.mapping = "tests"};
    report = import_new(&settings);
    assert_int_equal(report.stored, 1);
    assert_int_equal(report.skipped_file_count, 2);
    import_stop();
}

static void a_rejects_file_that_cannot_be_written_fails_the_import(void **state)
{
    (void)state;
    struct cvm_import_report report;
    struct cvm_error err = {0};
    struct cvm_pool *pool = NULL;
    struct cvm_arena *arena = cvm_arena_create((size_t)1 << 24);
    struct cvm_context context = {.clock = cvm_clock_system};
    struct cvm_import_options options = {.rejects_path = "/nowhere/rejects.ndjson"};
    import_start();
    import_text("notes.json", "[" GOOD("A") ",{}]");
    const char *path = import_path("notes.json");
    struct cvm_store *store = support_fresh();
    ASSERT_OK(cvm_pool_create(1, &pool, ERR));
    struct cvm_import_work work = {store, import_catalogue(), &options, pool, &context};
    assert_int_equal(
        cvm_import_files(&work, &(struct cvm_import_paths){&path, 1, NULL}, arena, &report, &err),
        CVM_E_DENIED);
    assert_non_null(strstr(err.message, "rejects"));
    cvm_pool_destroy(pool);
    cvm_arena_destroy(arena);
    cvm_store_close(store);
    import_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_that_cannot_be_mapped_is_rejected_with_its_number_and_reason),
        cmocka_unit_test(a_record_nested_too_deeply_is_rejected),
        cmocka_unit_test(a_customer_id_that_is_too_long_is_rejected),
        cmocka_unit_test(a_record_beyond_the_limit_is_rejected_whatever_the_block_size),
        cmocka_unit_test(a_line_of_many_blocks_is_rejected_without_being_held),
        cmocka_unit_test(a_truncated_file_gives_its_whole_records_and_is_named_with_the_place),
        cmocka_unit_test(a_file_is_read_in_every_form_that_sources_have),
        cmocka_unit_test(every_cut_of_a_file_imports_a_part_of_its_records_or_names_the_file),
        cmocka_unit_test(bad_csv_records_are_rejected_one_by_one),
        cmocka_unit_test(a_header_that_cannot_be_used_rejects_the_records_under_it),
        cmocka_unit_test(a_path_that_is_not_there_or_matches_nothing_is_an_error),
        cmocka_unit_test(files_without_a_source_are_listed_and_a_mapping_restricts),
        cmocka_unit_test(a_rejects_file_that_cannot_be_written_fails_the_import),
    };
    return SUPPORT_RUN("import of bad input", tests);
}
