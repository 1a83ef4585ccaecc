/* Records of generated worlds: the same everywhere, valid, and with the shares of a telecom base.
 */
#include "world/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/date.h"
#include "base/hash.h"
#include "base/json_reader.h"

/* 2024-06-10: no season within 90 days, no price rise within 60. */
#define UNTIL 19884
/* Of the records of customers 0..99 of seed 1; changes with every change of a world, which breaks
 * whoever compares plans of generated bases: change it knowingly. */
#define GOLDEN_HASH 0x3210b0e749c993f1U

static const struct cvm_world_options standard = {
    .customers = 100, .events_per_customer = 25, .seed = 1, .until_day = UNTIL};

struct sheets {
    struct cvm_text of[CVM_WORLD_SOURCE_COUNT];
};

static void sheets_init(struct sheets *sheets)
{
    for (int i = 0; i < CVM_WORLD_SOURCE_COUNT; i++) {
        cvm_text_init(&sheets->of[i], 0);
    }
}

static void sheets_clear(struct sheets *sheets)
{
    for (int i = 0; i < CVM_WORLD_SOURCE_COUNT; i++) {
        assert_false(sheets->of[i].failed);
        cvm_text_clear(&sheets->of[i]);
    }
}

static void sheets_finish(struct sheets *sheets)
{
    for (int i = 0; i < CVM_WORLD_SOURCE_COUNT; i++) {
        cvm_text_finish(&sheets->of[i]);
    }
}

static uint64_t hash_of(const struct cvm_world_options *options, int64_t first, int64_t count)
{
    struct sheets sheets;
    sheets_init(&sheets);
    uint64_t hash = 0;
    for (int64_t i = first; i < first + count; i++) {
        cvm_world_customer(options, i, sheets.of);
        for (int s = 0; s < CVM_WORLD_SOURCE_COUNT; s++) {
            hash = cvm_hash_seeded(cvm_text_string(&sheets.of[s]), sheets.of[s].length, hash);
        }
        sheets_clear(&sheets);
    }
    sheets_finish(&sheets);
    return hash;
}

static void a_world_is_the_same_on_every_machine(void **state)
{
    (void)state;
    assert_int_equal(hash_of(&standard, 0, 100), GOLDEN_HASH);
}

static void a_customer_is_the_same_whatever_the_size_of_the_base_and_the_order(void **state)
{
    (void)state;
    struct cvm_world_options large = standard;
    large.customers = 100000000;
    uint64_t alone = hash_of(&standard, 77, 1);
    assert_int_equal(hash_of(&large, 77, 1), alone);
    (void)hash_of(&standard, 0, 50);
    assert_int_equal(hash_of(&standard, 77, 1), alone);
}

static void another_seed_is_another_world(void **state)
{
    (void)state;
    struct cvm_world_options other = standard;
    other.seed = 2;
    assert_int_not_equal(hash_of(&other, 0, 10), hash_of(&standard, 0, 10));
}

static void an_id_has_ten_digits_or_as_many_as_it_needs(void **state)
{
    (void)state;
    char id[CVM_WORLD_ID_SIZE];
    cvm_world_customer_id(1234, id);
    assert_string_equal(id, "C0000001234");
    cvm_world_customer_id(0, id);
    assert_string_equal(id, "C0000000000");
    cvm_world_customer_id(INT64_MAX, id);
    assert_string_equal(id, "C9223372036854775807");
}

/* What one pass over a base counts. */
struct figures {
    int64_t customers, events;
    int64_t segment[4], with_term, ends_soon, family, year_old;
    int64_t open_fault, near_allowance, shopping, resting, risky, overdue;
    int64_t marketing[4], service; /* call, email, sms, push; service of all four */
    int64_t negative_calls, negative_calls_of_risky;
    int64_t score_count;
    double score_sum, churn_sum;
    int32_t first_day, last_day;
    double churn[20000];
};

struct pass {
    const struct cvm_world_options *options;
    struct cvm_json_reader *reader;
    struct cvm_arena *arena;
    struct figures *figures;
    /* of the customer being read */
    char id[CVM_WORLD_ID_SIZE];
    int32_t newest_score, newest_usage;
    double score, share;
    int64_t contacts_3d, contacts_30d, negative_calls;
    bool has_fault, is_shopping, is_overdue;
    uint64_t dates[CVM_WORLD_SOURCE_COUNT][3]; /* days already taken, of sources with one a day */
};

static const struct cvm_json_value *member(const struct cvm_json_value *object, const char *key)
{
    const struct cvm_json_value *value = cvm_json_member(object, key);
    assert_non_null(value);
    return value;
}

static bool has_text(const struct cvm_json_value *object, const char *key, const char *text)
{
    return cvm_slice_equals(member(object, key)->string, text);
}

static int32_t day_of(const struct cvm_json_value *object, const char *key)
{
    const struct cvm_json_value *value = member(object, key);
    int32_t day = 0;
    assert_true(cvm_day_parse(value->string.data, value->string.length, &day, NULL, NULL));
    return day;
}

static void check_date(struct pass *pass, int source, int32_t day)
{
    struct figures *figures = pass->figures;
    int32_t ago = pass->options->until_day - day;
    assert_in_range(ago, 0, CVM_WORLD_HISTORY_DAYS);
    figures->events++;
    figures->first_day = day < figures->first_day ? day : figures->first_day;
    figures->last_day = day > figures->last_day ? day : figures->last_day;
    bool is_one_a_day = source == CVM_WORLD_BILLING_DATA || source == CVM_WORLD_USAGE_DATA ||
                        source == CVM_WORLD_NETWORK_DATA || source == CVM_WORLD_CHURN_SCORE ||
                        source == CVM_WORLD_OFFER_RECOMMENDATIONS;
    if (is_one_a_day) {
        assert_false((pass->dates[source][ago / 64] >> (ago % 64)) & 1);
        pass->dates[source][ago / 64] |= UINT64_C(1) << (ago % 64);
    }
}

static void read_customer(struct pass *pass, const struct cvm_json_value *record)
{
    static const char *const words[] = {"prepaid", "sim_only", "contract", "converged"};
    struct figures *figures = pass->figures;
    int segment = 0;
    while (!has_text(record, "plan_type", words[segment])) {
        segment++;
        assert_true(segment < 4);
    }
    figures->segment[segment]++;
    if (segment >= 2) {
        int32_t left = day_of(record, "contract_end") - pass->options->until_day;
        figures->with_term++;
        figures->ends_soon += left >= 0 && left <= 90;
    }
    figures->family += member(record, "household_size")->integer >= 3;
    figures->year_old += member(record, "tenure_months")->integer >= 12;
}

static void read_permissions(struct pass *pass, const struct cvm_json_value *record)
{
    static const char *const channels[] = {"call", "email", "sms", "push_notifications"};
    const struct cvm_json_value *permissions = member(record, "permissions");
    for (int i = 0; i < 4; i++) {
        const struct cvm_json_value *channel = member(permissions, channels[i]);
        pass->figures->marketing[i] += has_text(channel, "marketing", "Y");
        pass->figures->service += has_text(channel, "service_updates", "Y");
    }
}

static void read_score(struct pass *pass, const struct cvm_json_value *record, int32_t day)
{
    double score = member(record, "churn_probability")->number;
    assert_true(score > 0.0 && score < 1.0);
    assert_true(member(record, "risk_factors")->child_count >= 1);
    assert_in_range(member(record, "recent_satisfaction_score")->integer, 1, 5);
    if (day > pass->newest_score) {
        pass->newest_score = day;
        pass->score = score;
    }
}

static void read_usage(struct pass *pass, const struct cvm_json_value *record, int32_t day)
{
    const struct cvm_json_value *share = cvm_json_member(record, "allowance_share");
    if (day > pass->newest_usage) {
        pass->newest_usage = day;
        pass->share = share == NULL ? 0.0 : share->number;
    }
}

static bool is_shopping_page(struct cvm_slice page)
{
    static const char *const words[] = {"plans", "plan", "offers", "products", "upgrade-options"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (cvm_text_find_phrase(page.data, page.length, words[i], NULL) >= 0) {
            return true;
        }
    }
    return false;
}

static void read_event(struct pass *pass, int source, const struct cvm_json_value *record)
{
    int32_t day = day_of(record, "date");
    int32_t ago = pass->options->until_day - day;
    check_date(pass, source, day);
    switch (source) {
    case CVM_WORLD_CHURN_SCORE:
        read_score(pass, record, day);
        break;
    case CVM_WORLD_USAGE_DATA:
        read_usage(pass, record, day);
        break;
    case CVM_WORLD_BILLING_DATA:
        assert_true(member(record, "monthly_charge")->number > 0.0);
        pass->is_overdue |= ago < 90 && has_text(record, "payment_status", "overdue");
        break;
    case CVM_WORLD_FAULT_TICKETS:
        pass->has_fault |= ago < 14 && has_text(record, "status", "open");
        break;
    case CVM_WORLD_NETWORK_DATA:
        pass->has_fault |= ago < 14 && has_text(record, "connection_quality", "poor");
        break;
    case CVM_WORLD_CALL_TRANSCRIPTS:
        pass->negative_calls += ago < 90 && has_text(record, "sentiment", "negative");
        break;
    case CVM_WORLD_WEB_CLICKS:
        pass->is_shopping |= ago < 30 && is_shopping_page(member(record, "page")->string);
        break;
    case CVM_WORLD_CONTACT_HISTORY:
        pass->contacts_3d += ago < 3 && has_text(record, "purpose", "marketing");
        pass->contacts_30d += ago < 30 && has_text(record, "purpose", "marketing");
        break;
    default:
        break;
    }
}

static void read_record(struct pass *pass, int source, const char *text, size_t length)
{
    const struct cvm_json_value *record = NULL;
    struct cvm_error err = {0};
    enum cvm_status status =
        cvm_json_read(pass->reader, pass->arena, text, length, false, &record, &err);
    if (status != CVM_OK) {
        print_message("%s: %s: %.*s\n", cvm_world_source_names[source], err.message, (int)length,
                      text);
    }
    assert_int_equal(status, CVM_OK);
    assert_true(has_text(record, "customer_id", pass->id));
    if (source == CVM_WORLD_CUSTOMERS) {
        read_customer(pass, record);
    } else if (source == CVM_WORLD_PERMISSIONS) {
        read_permissions(pass, record);
    } else {
        read_event(pass, source, record);
    }
    cvm_arena_reset(pass->arena);
}

static void read_sheet(struct pass *pass, int source, const struct cvm_text *sheet)
{
    const char *at = cvm_text_string(sheet);
    const char *end = at + sheet->length;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(newline);
        read_record(pass, source, at, (size_t)(newline - at));
        at = newline + 1;
    }
}

static void count_customer(struct pass *pass, int64_t customer)
{
    struct figures *figures = pass->figures;
    struct cvm_world_truth nothing;
    cvm_world_truth(pass->options, customer, 0, &nothing);
    figures->churn[figures->customers++] = nothing.churn;
    figures->churn_sum += nothing.churn;
    figures->score_sum += pass->score;
    figures->risky += pass->score >= .10;
    figures->open_fault += pass->has_fault;
    figures->near_allowance += pass->share >= .9;
    figures->shopping += pass->is_shopping;
    figures->resting += pass->contacts_3d > 0 || pass->contacts_30d >= 4;
    figures->overdue += pass->is_overdue;
    figures->negative_calls += pass->negative_calls;
    figures->negative_calls_of_risky += pass->score >= .10 ? pass->negative_calls : 0;
}

static struct figures *figures_of(const struct cvm_world_options *options, int64_t count)
{
    struct sheets sheets;
    sheets_init(&sheets);
    struct figures *figures = calloc(1, sizeof(*figures));
    struct pass pass = {.options = options,
                        .reader = cvm_json_reader_create(65536),
                        .arena = cvm_arena_create(1 << 20),
                        .figures = figures};
    assert_non_null(figures);
    assert_non_null(pass.reader);
    assert_non_null(pass.arena);
    figures->first_day = INT32_MAX;
    for (int64_t i = 0; i < count; i++) {
        struct pass fresh = {
            .options = options, .reader = pass.reader, .arena = pass.arena, .figures = figures};
        pass = fresh;
        cvm_world_customer_id(i, pass.id);
        cvm_world_customer(options, i, sheets.of);
        for (int s = 0; s < CVM_WORLD_SOURCE_COUNT; s++) {
            read_sheet(&pass, s, &sheets.of[s]);
        }
        count_customer(&pass, i);
        sheets_clear(&sheets);
    }
    sheets_finish(&sheets);
    cvm_arena_destroy(pass.arena);
    cvm_json_reader_destroy(pass.reader);
    return figures;
}

static void check_near(const char *what, double found, double expected, double tolerance)
{
    if (!(found >= expected - tolerance && found <= expected + tolerance)) {
        fail_msg("%s is %g, not %g +- %g", what, found, expected, tolerance);
    }
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void every_record_is_valid_and_the_shares_are_those_of_a_telecom_base(void **state)
{
    (void)state;
    const double n = 20000.0;
    struct figures *figures = figures_of(&standard, 20000);
    check_near("events per customer", (double)figures->events / n, 25.0, .3);
    check_near("prepaid", (double)figures->segment[0] / n, .45, .015);
    check_near("SIM only", (double)figures->segment[1] / n, .12, .01);
    check_near("contract", (double)figures->segment[2] / n, .33, .015);
    check_near("converged", (double)figures->segment[3] / n, .10, .01);
    check_near("end window", (double)figures->ends_soon / (double)figures->with_term, .12, .01);
    check_near("family", (double)figures->family / n, .10, .01);
    check_near("a year old", (double)figures->year_old / n, .60, .015);
    check_near("open fault", (double)figures->open_fault / n, .04, .01);
    check_near("near the allowance", (double)figures->near_allowance / n, .10, .01);
    check_near("shopping", (double)figures->shopping / n, .40, .02);
    check_near("resting", (double)figures->resting / n, .30, .015);
    check_near("permits calls", (double)figures->marketing[0] / n, .62, .015);
    check_near("permits mail", (double)figures->marketing[1] / n, .70, .015);
    check_near("permits sms", (double)figures->marketing[2] / n, .60, .015);
    check_near("permits push", (double)figures->marketing[3] / n, .45, .015);
    check_near("permits service", (double)figures->service / n / 4.0, .97, .005);
    check_near("overdue", (double)figures->overdue / n, .05, .02);
    assert_int_equal(figures->last_day, UNTIL);
    check_near("history", UNTIL - figures->first_day, 111.0, 12.0);
    free(figures);
}

static void the_score_is_calibrated_and_complaints_go_with_it(void **state)
{
    (void)state;
    const double n = 20000.0;
    struct figures *figures = figures_of(&standard, 20000);
    qsort(figures->churn, 20000, sizeof(figures->churn[0]), descending);
    double top = 0.0;
    for (int i = 0; i < 2000; i++) {
        top += figures->churn[i];
    }
    check_near("90-day churn", figures->churn_sum / n, .056, .004);
    check_near("90-day churn of the top decile", top / 2000.0, .27, .025);
    check_near("mean score", figures->score_sum / n, figures->churn_sum / n, .001);
    check_near("at risk", (double)figures->risky / n, .16, .02);
    double risky = (double)figures->negative_calls_of_risky / (double)figures->risky;
    double others = (double)(figures->negative_calls - figures->negative_calls_of_risky) /
                    (n - (double)figures->risky);
    assert_true(risky > 3.0 * others);
    free(figures);
}

static void the_mean_number_of_events_is_kept_from_five_to_a_hundred(void **state)
{
    (void)state;
    static const int wanted[] = {5, 10, 15, 20, 40, 100};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct cvm_world_options options = standard;
        options.events_per_customer = wanted[i];
        struct figures *figures = figures_of(&options, 2000);
        check_near("events per customer", (double)figures->events / 2000.0, wanted[i],
                   .04 * wanted[i]);
        check_near("shopping", (double)figures->shopping / 2000.0, .40, .04);
        check_near("resting", (double)figures->resting / 2000.0, .30, .04);
        assert_int_equal(figures->last_day, UNTIL);
        free(figures);
    }
}

static void the_truth_of_a_customer_does_not_depend_on_the_number_of_events(void **state)
{
    (void)state;
    struct cvm_world_options many = standard;
    many.events_per_customer = 100;
    for (int64_t i = 0; i < 50; i++) {
        struct cvm_world_truth a;
        struct cvm_world_truth b;
        cvm_world_truth(&standard, i, 1, &a);
        cvm_world_truth(&many, i, 1, &b);
        assert_memory_equal(&a, &b, sizeof(a));
    }
}

static void dates_are_right_at_the_turn_of_a_year_and_in_a_price_rise(void **state)
{
    (void)state;
    static const int32_t days[] = {19723 /* 2024-01-01 */, 19782 /* 2024-02-29 */,
                                   19814 /* 2024-04-01 */, 20088 /* 2024-12-31 */};
    for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        struct cvm_world_options options = standard;
        options.until_day = days[i];
        struct figures *figures = figures_of(&options, 500);
        assert_int_equal(figures->last_day, days[i]);
        free(figures);
    }
}

static void winter_and_price_rises_raise_churn(void **state)
{
    (void)state;
    static const int32_t days[] = {UNTIL, 20033 /* 2024-11-06 */, 19815 /* 2024-04-02 */};
    double mean[3] = {0};
    for (int d = 0; d < 3; d++) {
        struct cvm_world_options options = standard;
        options.until_day = days[d];
        for (int64_t i = 0; i < 3000; i++) {
            struct cvm_world_truth truth;
            cvm_world_truth(&options, i, 0, &truth);
            mean[d] += truth.churn / 3000.0;
        }
    }
    assert_true(mean[1] > 1.05 * mean[0]);
    assert_true(mean[2] > 1.03 * mean[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_world_is_the_same_on_every_machine),
        cmocka_unit_test(a_customer_is_the_same_whatever_the_size_of_the_base_and_the_order),
        cmocka_unit_test(another_seed_is_another_world),
        cmocka_unit_test(an_id_has_ten_digits_or_as_many_as_it_needs),
        cmocka_unit_test(every_record_is_valid_and_the_shares_are_those_of_a_telecom_base),
        cmocka_unit_test(the_score_is_calibrated_and_complaints_go_with_it),
        cmocka_unit_test(the_mean_number_of_events_is_kept_from_five_to_a_hundred),
        cmocka_unit_test(the_truth_of_a_customer_does_not_depend_on_the_number_of_events),
        cmocka_unit_test(dates_are_right_at_the_turn_of_a_year_and_in_a_price_rise),
        cmocka_unit_test(winter_and_price_rises_raise_churn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
