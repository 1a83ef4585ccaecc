/* Whom a trigger finds, why and on which records: over small journeys written down here, whatever
 * the threads and chunks, and with every call to the database failing once. */
#include "engine/trigger.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/rule_scope.h"
#include "support/db_faulty.h"
#include "support/import_support.h"
#include "support/store_support.h"

#define AS_OF    19802 /* 2024-03-20 */
#define CROWD    300
#define URL_SIZE 300

static struct cvm_arena *arena;
static char url[URL_SIZE];

static const char calls[] =
    "{\"customer_id\": \"T1\", \"date\": \"2024-03-01\", \"sentiment\": \"negative\", \"summary\": "
    "\"Asked about Abroad calls.\", \"duration_minutes\": 5}\n"
    "{\"customer_id\": \"T1\", \"date\": \"2024-03-05\", \"sentiment\": \"negative\", \"summary\": "
    "\"The price is too high, they said, and so is the price of roaming\", "
    "\"duration_minutes\": 12}\n"
    "{\"customer_id\": \"T1\", \"date\": \"2024-03-21\", \"sentiment\": \"negative\", \"summary\": "
    "\"roaming, tomorrow\", \"duration_minutes\": 1}\n"
    "{\"customer_id\": \"T2\", \"date\": \"2024-02-01\", \"sentiment\": \"positive\", \"summary\": "
    "\"Thanked us\", \"duration_minutes\": 30}\n";
static const char scores[] =
    "{\"customer_id\": \"T1\", \"date\": \"2024-03-02\", \"churn_probability\": 0.5}\n"
    "{\"customer_id\": \"T2\", \"date\": \"2024-03-02\", \"churn_probability\": 0.125}\n";
static const char bills[] =
    "{\"customer_id\": \"T1\", \"date\": \"2024-03-01\", \"monthly_charge\": 100, "
    "\"plan_name\": \"Gold\", \"payment_status\": \"paid\"}\n"
    "{\"customer_id\": \"T2\", \"date\": \"2024-03-01\", \"monthly_charge\": 100, "
    "\"plan_name\": \"Basic\", \"payment_status\": \"overdue\"}\n";
static const char register_of_customers[] =
    "{\"customer_id\": \"T3\", \"plan_type\": \"prepaid\", \"tenure_months\": 50}\n";

/* Customers C000 to C299, each with i % 5 clicks on one day. */
static void write_crowd(void)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    for (int i = 0; i < CROWD; i++) {
        for (int click = 0; click < i % 5; click++) {
            cvm_text_add_format(&text,
                                "{\"customer_id\": \"C%03d\", \"date\": \"2024-03-10\", "
                                "\"page\": \"/page%d\", \"duration_seconds\": %d}\n",
                                i, click, i);
        }
    }
    import_write("web_clicks.ndjson", text.data, text.length);
    cvm_text_finish(&text);
}

static int set_up(void **state)
{
    (void)state;
    import_start();
    arena = cvm_arena_create((size_t)256 << 20);
    (void)snprintf(url, sizeof(url), "%s", support_file_url("trigger.db"));
    struct cvm_store *store = support_open_url(url, CVM_DB_WRITE, true);
    import_text("call_transcripts.ndjson", calls);
    import_text("churn_score.ndjson", scores);
    import_text("billing_data.ndjson", bills);
    import_text("customers.ndjson", register_of_customers);
    write_crowd();
    struct cvm_import_report report = import_run(store, &(struct import_settings){0});
    assert_int_equal(report.rejected, 0);
    cvm_store_close(store);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cvm_arena_destroy(arena);
    import_stop();
    return 0;
}

/* ---- an engine with one trigger ---- */

struct setting {
    const char *when;
    size_t threads;
    size_t chunk_size;
};

static struct cvm_engine *open_engine(struct setting setting)
{
    static struct cvm_context context;
    struct cvm_trigger *trigger = CVM_NEW(arena, struct cvm_trigger);
    struct cvm_catalogue *catalogue = CVM_NEW(arena, struct cvm_catalogue);
    const struct cvm_catalogue *with_rule = NULL;
    struct cvm_engine *engine = NULL;
    context.clock = cvm_clock_fixed(&support_now_ms);
    *trigger = (struct cvm_trigger){.name = "test", .description = "d", .enabled = true};
    ASSERT_OK(cvm_names_compile(arena, import_catalogue(), setting.when, CVM_RULE_BOOL, &with_rule,
                                &trigger->when, ERR));
    assert_int_equal(with_rule->topic_count, import_catalogue()->topic_count);
    *catalogue = *with_rule;
    catalogue->triggers = trigger;
    catalogue->trigger_count = 1;
    struct cvm_engine_options options = {.store_url = url,
                                         .catalogue = catalogue,
                                         .context = &context,
                                         .thread_count = setting.threads,
                                         .chunk_size = setting.chunk_size};
    ASSERT_OK(cvm_engine_open(&options, &engine, ERR));
    return engine;
}

static struct cvm_trigger_result match(struct setting setting, const char *const *customers,
                                       size_t customer_count, size_t evidence_max)
{
    struct cvm_trigger_result result = {0};
    struct cvm_engine *engine = open_engine(setting);
    const struct cvm_trigger_request request = {.trigger = 0,
                                                .as_of_day = AS_OF,
                                                .customers = customers,
                                                .customer_count = customer_count,
                                                .evidence_max = evidence_max};
    ASSERT_OK(cvm_trigger_match(engine, &request, arena, &result, ERR));
    cvm_engine_close(engine);
    return result;
}

static struct cvm_trigger_result match_rule(const char *when)
{
    return match((struct setting){when, 1, 0}, NULL, 0, 1000);
}

static const struct cvm_trigger_match *only(const struct cvm_trigger_result *result, const char *id)
{
    assert_int_equal(result->total_matches, 1);
    assert_int_equal(result->count, 1);
    assert_string_equal(result->matches[0].customer_id, id);
    return &result->matches[0];
}

static int feature_number(const char *name)
{
    int found = cvm_catalogue_feature(import_catalogue(), name);
    assert_true(found >= 0);
    return found;
}

/* ---- rules ---- */

/* Case 47. */
static void a_snippet_is_cut_only_where_there_is_more(void **state)
{
    static const struct {
        const char *text;
        const char *word;
        const char *snippet;
    } cases[] = {
        {"keyword at the beginning of it", "keyword", "keyword at the be..."},
        {"it stands at the end: keyword", "keyword", "... the end: keyword"},
        {"The keyword.", "keyword", "The keyword."},
        {"It is the Keyword in the middle of it", "keyword", "It is the Keyword in the mi..."},
        {"keyword", "keyword", "keyword"},
        {"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9 keyword",
         "keyword",
         "...\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9 keyword"},
        {"it is not there", "keyword", ""},
        {"it is in keywords only", "keyword", ""},
        {"", "keyword", ""},
        {"nothing is looked for", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cvm_text out;
        cvm_text_init(&out, 0);
        cvm_snippet(cases[i].text, cases[i].word, 10, &out);
        assert_string_equal(cvm_text_string(&out), cases[i].snippet);
        cvm_text_finish(&out);
    }
}

static void every_alternative_that_holds_is_told_and_no_other(void **state)
{
    (void)state;
    struct cvm_trigger_result result =
        match_rule("churn_score > 0.5 || negative_calls >= 2 || plan_charge_max > 80 && "
                   "overdue_bills > 0");
    assert_int_equal(result.total_matches, 2);
    for (size_t i = 0; i < 2; i++) {
        bool is_first = strcmp(result.matches[i].customer_id, "T1") == 0;
        assert_string_equal(result.matches[i].reason,
                            is_first ? "Calls with negative sentiment: 2 (negative_calls >= 2)"
                                     : "Highest monthly charge of the plan: 100, Overdue bills: 1 "
                                       "(plan_charge_max > 80 && overdue_bills > 0)");
    }
    assert_true(result.matches[0].key < result.matches[1].key);
}

static void all_clauses_are_told_when_all_must_hold(void **state)
{
    (void)state;
    struct cvm_trigger_result result =
        match_rule("churn_score >= 0.5 && count(call_transcripts, contact.minutes > 10) == 1");
    assert_string_equal(only(&result, "T1")->reason,
                        "Newest churn score: 0.5 (churn_score >= 0.5); "
                        "count(call_transcripts, contact.minutes > 10) == 1 (it is 1)");
}

static void a_count_names_its_records_the_newest_first(void **state)
{
    (void)state;
    struct cvm_trigger_result result = match_rule("negative_calls >= 2");
    const struct cvm_trigger_match *found = only(&result, "T1");
    assert_int_equal(found->evidence_count, 2); /* not the call of the day after */
    assert_int_equal(found->evidence[0].day, AS_OF - 15);
    assert_int_equal(found->evidence[1].day, AS_OF - 19);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(found->evidence[i].feature, feature_number("negative_calls"));
        assert_true(found->evidence[i].value == 2);
        assert_int_equal(found->evidence[i].source,
                         cvm_catalogue_source(import_catalogue(), "call_transcripts"));
        assert_null(found->evidence[i].words);
    }
}

static void words_are_told_as_they_stand_in_the_text(void **state)
{
    (void)state;
    struct cvm_trigger_result result =
        match_rule("count(call_transcripts, topic == 'roaming' || contact.minutes > 100) >= 2");
    const struct cvm_trigger_match *found = only(&result, "T1");
    assert_int_equal(found->evidence_count, 2);
    assert_string_equal(found->evidence[0].words, "roaming");
    assert_string_equal(found->evidence[0].snippet,
                        "...high, they said, and so is the price of roaming");
    assert_string_equal(found->evidence[1].words, "Abroad");
    assert_string_equal(found->evidence[1].snippet, "Asked about Abroad calls.");
}

static void words_that_made_no_difference_are_not_told(void **state)
{
    (void)state;
    struct cvm_trigger_result result =
        match_rule("count(call_transcripts, topic != 'cancellation' && contact.minutes == 12) > 0");
    const struct cvm_trigger_match *found = only(&result, "T1");
    assert_int_equal(found->evidence_count, 1);
    assert_null(found->evidence[0].words);
    assert_null(found->evidence[0].snippet);
}

static void a_feature_by_a_rule_stands_for_itself_and_what_it_reads(void **state)
{
    (void)state;
    struct cvm_trigger_result result = match_rule("high_value");
    const struct cvm_trigger_match *found = only(&result, "T2"); /* 100 * 6.6 * 0.875 */
    assert_string_equal(found->reason,
                        "Worth at least 400 in the next 12 months: yes (high_value)");
    assert_int_equal(found->evidence_count, 3);
    assert_int_equal(found->evidence[0].feature, feature_number("high_value"));
    assert_int_equal(found->evidence[0].source, CVM_INDEX_NONE);
    assert_int_equal(found->evidence[1].feature, feature_number("plan_charge"));
    assert_int_equal(found->evidence[1].day, AS_OF - 19);
    assert_int_equal(found->evidence[2].feature, feature_number("churn_90d"));
    assert_true(found->evidence[2].value == 0.125);
}

static void what_is_not_there_has_no_record(void **state)
{
    (void)state;
    struct cvm_trigger_result result =
        match_rule("!has(churn_score) && plan_type == 'prepaid' && tenure_months_max > 36");
    const struct cvm_trigger_match *found = only(&result, "T3");
    assert_int_equal(found->evidence_count, 3);
    assert_int_equal(found->evidence[0].source, CVM_INDEX_NONE);
    assert_true(isnan(found->evidence[0].value));
    /* Undated: the record has no day. */
    assert_int_equal(found->evidence[1].source,
                     cvm_catalogue_source(import_catalogue(), "customers"));
    assert_int_equal(found->evidence[1].day, CVM_DAY_NONE);
    assert_non_null(strstr(found->reason, "Newest churn score: unknown"));
    assert_non_null(strstr(found->reason, "Kind of plan: prepaid"));
}

static void codes_match_by_their_text(void **state)
{
    (void)state;
    struct cvm_trigger_result result = match_rule("plan_name == 'Gold'");
    (void)only(&result, "T1");
    result = match_rule("plan_name == 'gold'");
    assert_int_equal(result.total_matches, 0);
}

static void matches_are_the_same_whatever_the_threads_and_chunks(void **state)
{
    static const struct setting settings[] = {
        {"visits_30d >= 3", 1, 0}, {"visits_30d >= 3", 1, 1}, {"visits_30d >= 3", 3, 7}};
    (void)state;
    struct cvm_trigger_result first = match(settings[0], NULL, 0, 1000);
    assert_int_equal(first.total_matches, 2 * CROWD / 5);
    assert_int_equal(first.customers, 4 * CROWD / 5 + 3); /* every fifth of the crowd never came */
    for (size_t s = 1; s < 3; s++) {
        struct cvm_trigger_result other = match(settings[s], NULL, 0, 1000);
        assert_int_equal(other.count, first.count);
        for (size_t i = 0; i < first.count; i++) {
            assert_string_equal(other.matches[i].customer_id, first.matches[i].customer_id);
            assert_int_equal(other.matches[i].evidence_count, first.matches[i].evidence_count);
        }
        other = match(settings[s], NULL, 0, 10);
        assert_int_equal(other.count, 10);
        assert_int_equal(other.total_matches, first.total_matches);
        assert_string_equal(other.matches[9].customer_id, first.matches[9].customer_id);
    }
}

static void customers_asked_for_are_looked_at_once_and_unknown_ones_never(void **state)
{
    static const char *const customers[] = {"C004", "nobody", "C003", "C004", "C001"};
    (void)state;
    struct cvm_trigger_result result =
        match((struct setting){"visits_30d >= 3", 2, 0}, customers, 5, 1000);
    assert_int_equal(result.total_matches, 2);
    assert_int_equal(result.customers, 3);
    result = match((struct setting){"visits_30d >= 3", 2, 0}, customers + 1, 1, 1000);
    assert_int_equal(result.total_matches, 0);
    assert_int_equal(result.customers, 0);
}

static void a_failure_of_the_database_is_an_error_and_no_result(void **state)
{
    (void)state;
    const char *const customers[] = {"T1", "T2"};
    const struct cvm_trigger_request request = {
        .as_of_day = AS_OF, .customers = customers, .customer_count = 2, .evidence_max = 10};
    for (int in_journeys = 0; in_journeys < 2; in_journeys++) {
        enum cvm_status status = CVM_E_INTERNAL;
        for (int64_t k = 1; status != CVM_OK; k++) {
            struct db_faults faults = {0};
            struct cvm_trigger_result result = {.total_matches = -1};
            struct cvm_error err = {0};
            struct cvm_engine *engine =
                open_engine((struct setting){"roaming_mentions > 0 || churn_score > 0.1", 1, 0});
            db_faulty_wrap(engine->readers[0], in_journeys == 1, &faults);
            faults.fail_at = k;
            status = cvm_trigger_match(engine, &request, arena, &result, &err);
            assert_true(status == CVM_OK || result.total_matches == -1);
            assert_true(status == CVM_OK || err.message[0] != '\0');
            assert_int_equal(status == CVM_OK ? result.total_matches : -1, result.total_matches);
            cvm_engine_close(engine);
            assert_true(k < 1000);
        }
    }
}

static void a_small_memory_is_an_error_and_no_result(void **state)
{
    (void)state;
    enum cvm_status status = CVM_E_LIMIT;
    const struct cvm_trigger_request request = {.as_of_day = AS_OF, .evidence_max = 10};
    struct cvm_engine *engine = open_engine((struct setting){"roaming_mentions > 0", 1, 0});
    for (size_t budget = 0; status == CVM_E_LIMIT; budget += 64) {
        struct cvm_arena *small = cvm_arena_create(budget);
        struct cvm_trigger_result result = {.total_matches = -1};
        status = cvm_trigger_match(engine, &request, small, &result, NULL);
        assert_true(status == CVM_OK || (status == CVM_E_LIMIT && result.total_matches == -1));
        cvm_arena_destroy(small);
        assert_true(budget < 1 << 20);
    }
    assert_int_equal(status, CVM_OK);
    cvm_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snippet_is_cut_only_where_there_is_more),
        cmocka_unit_test(every_alternative_that_holds_is_told_and_no_other),
        cmocka_unit_test(all_clauses_are_told_when_all_must_hold),
        cmocka_unit_test(a_count_names_its_records_the_newest_first),
        cmocka_unit_test(words_are_told_as_they_stand_in_the_text),
        cmocka_unit_test(words_that_made_no_difference_are_not_told),
        cmocka_unit_test(a_feature_by_a_rule_stands_for_itself_and_what_it_reads),
        cmocka_unit_test(what_is_not_there_has_no_record),
        cmocka_unit_test(codes_match_by_their_text),
        cmocka_unit_test(matches_are_the_same_whatever_the_threads_and_chunks),
        cmocka_unit_test(customers_asked_for_are_looked_at_once_and_unknown_ones_never),
        cmocka_unit_test(a_failure_of_the_database_is_an_error_and_no_result),
        cmocka_unit_test(a_small_memory_is_an_error_and_no_result),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
