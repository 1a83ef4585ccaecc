#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/random.h"
#include "model/packed.h"

#define EVENTS_MAX 65536

struct bench {
    struct cvm_packer *packer;
    struct cvm_text body;
    struct cvm_packed_event *events;
    size_t event_count;
    struct cvm_packed_cell *cells; /* one per event */
};

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    assert_non_null(bench);
    bench->packer = cvm_packer_create();
    bench->events = calloc(EVENTS_MAX, sizeof(*bench->events));
    bench->cells = calloc(EVENTS_MAX, sizeof(*bench->cells));
    assert_non_null(bench->packer);
    assert_non_null(bench->events);
    assert_non_null(bench->cells);
    cvm_text_init(&bench->body, 0);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    cvm_packer_destroy(bench->packer);
    cvm_text_finish(&bench->body);
    free(bench->events);
    free(bench->cells);
    free(bench);
    return 0;
}

static int32_t day_of(int32_t year, int32_t month, int32_t day)
{
    return cvm_day_from_date((struct cvm_date){year, month, day});
}

static struct cvm_packed_event *add_event(struct bench *bench, int source, int32_t day,
                                          double value)
{
    size_t i = bench->event_count++;
    bench->cells[i] = (struct cvm_packed_cell){3, value};
    bench->events[i] = (struct cvm_packed_event){.day = day,
                                                 .source = (uint8_t)source,
                                                 .rank = (uint8_t)source,
                                                 .identity = i,
                                                 .cells = &bench->cells[i],
                                                 .cell_count = 1};
    return &bench->events[i];
}

static enum cvm_status pack(struct bench *bench, struct cvm_error *err)
{
    return cvm_packer_write(bench->packer, NULL, NULL, bench->events, bench->event_count,
                            &bench->body, err);
}

static void pack_ok(struct bench *bench)
{
    struct cvm_error err = {.message = ""};
    enum cvm_status status = pack(bench, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, CVM_OK);
}

/* The only section of the body. */
static void read_one(struct bench *bench, struct cvm_packed_section *out_section)
{
    struct cvm_packed_reader reader;
    struct cvm_packed_section end;
    struct cvm_error err;
    assert_int_equal(
        cvm_packed_open(bench->body.data, bench->body.length, false, &reader, NULL, &err), CVM_OK);
    assert_int_equal(cvm_packed_next(&reader, out_section, &err), CVM_OK);
    assert_int_equal(cvm_packed_next(&reader, &end, &err), CVM_E_NOT_FOUND);
}

static bool same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

/* Pack the values as one attribute, read them back, return the bytes of the body. */
static size_t round_trip(struct bench *bench, const double *values, size_t count)
{
    bench->event_count = 0;
    for (size_t i = 0; i < count; i++) {
        add_event(bench, 0, day_of(2024, 1, 1), values[i]);
    }
    pack_ok(bench);
    struct cvm_packed_section section;
    read_one(bench, &section);
    const struct cvm_packed_column *column = cvm_packed_column_of(&section, 3);
    if (column == NULL) {
        for (size_t i = 0; i < count; i++) {
            assert_true(isnan(values[i]));
        }
        return bench->body.length;
    }
    double back[64];
    assert_true(count <= 64);
    cvm_packed_values(column, section.event_count, 0, section.event_count, back);
    for (size_t i = 0; i < count; i++) {
        assert_true(isnan(values[i]) ? isnan(back[i]) : same_bits(values[i], back[i]));
    }
    if (count > 1) {
        cvm_packed_values(column, section.event_count, 1, (uint32_t)count, back);
        assert_true(isnan(values[1]) ? isnan(back[0]) : same_bits(values[1], back[0]));
    }
    return bench->body.length;
}

static size_t bytes_per_value(struct bench *bench, double a, double b)
{
    double two[] = {a, b};
    double four[] = {a, b, a, b};
    return (round_trip(bench, four, 4) - round_trip(bench, two, 2)) / 2 - 2; /* less the day */
}

static void every_encoding_reads_back_to_the_bit_in_its_size(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bytes_per_value(bench, 7, 7), 0);
    assert_int_equal(bytes_per_value(bench, -0.0, -0.0), 0);
    assert_int_equal(bytes_per_value(bench, 127, -127), 1);
    assert_int_equal(bytes_per_value(bench, 128, -127), 2);
    assert_int_equal(bytes_per_value(bench, -128, 0), 2);
    assert_int_equal(bytes_per_value(bench, 32767, -32767), 2);
    assert_int_equal(bytes_per_value(bench, 75.99, 20), 2);
    assert_int_equal(bytes_per_value(bench, -327.67, 327.67), 2);
    assert_int_equal(bytes_per_value(bench, 0.0873, 0.5), 2);
    assert_int_equal(bytes_per_value(bench, 1234567.89, 0.01), 4);
    assert_int_equal(bytes_per_value(bench, -32768, 0), 4);
    assert_int_equal(bytes_per_value(bench, 0x1p-20, 1e10), 4);
    assert_int_equal(bytes_per_value(bench, (double)INFINITY, -(double)INFINITY), 4);
    assert_int_equal(bytes_per_value(bench, 0.0, -0.0), 4);
    assert_int_equal(bytes_per_value(bench, 1.0 / 3, 1e300), 8);
    assert_int_equal(bytes_per_value(bench, 21474836.47, 5e-324), 8);
    assert_int_equal(bytes_per_value(bench, 1.7976931348623157e308, 3.5e38), 8);
}

static void every_encoding_keeps_missing_cells(void **state)
{
    struct bench *bench = *state;
    double columns[][4] = {
        {7, 7, NAN, 7},          {NAN, 127, -127, NAN},       {NAN, 32767, -300, 1},
        {75.99, NAN, -20.5, 1},  {0.0873, NAN, 0.1, NAN},     {1234567.89, NAN, NAN, 1},
        {0x1p-20, NAN, 1e10, 0}, {1.0 / 3, NAN, 1e300, -0.0}, {NAN, NAN, NAN, NAN}};
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        round_trip(bench, columns[i], 4);
    }
}

static void a_not_a_number_is_never_stored(void **state)
{
    struct bench *bench = *state;
    add_event(bench, 0, day_of(2024, 1, 1), (double)NAN);
    add_event(bench, 0, day_of(2024, 1, 1), -(double)NAN);
    pack_ok(bench);
    struct cvm_packed_section section;
    read_one(bench, &section);
    assert_int_equal(section.event_count, 2);
    assert_int_equal(section.column_count, 0);
    assert_null(cvm_packed_column_of(&section, 3));
}

static void random_columns_read_back_to_the_bit(void **state)
{
    struct bench *bench = *state;
    struct cvm_random random;
    cvm_random_init(&random, 1);
    for (int round = 0; round < 20000; round++) {
        double values[20];
        size_t count = 1 + cvm_random_below(&random, 20);
        uint64_t kind = cvm_random_below(&random, 7);
        for (size_t i = 0; i < count; i++) {
            double n =
                (double)(int64_t)(cvm_random_u64(&random) >> (40 + cvm_random_below(&random, 24)));
            double scale[] = {1, 100, 10000, 1000, 3, 0x1p20, 1e-30};
            uint64_t bits = cvm_random_u64(&random);
            values[i] = n / scale[kind] * (cvm_random_below(&random, 2) == 0 ? 1 : -1);
            if (cvm_random_below(&random, 30) == 0) {
                memcpy(&values[i], &bits, sizeof(bits)); /* anything, NaN included */
            }
            if (cvm_random_below(&random, 10) == 0) {
                values[i] = NAN;
            }
        }
        round_trip(bench, values, count);
    }
}

static void events_come_back_in_journey_order_by_source_rank(void **state)
{
    struct bench *bench = *state;
    int32_t day = day_of(2024, 2, 29);
    add_event(bench, 5, day, 1)->rank = 1;
    add_event(bench, 2, day + 1, 12)->rank = 9;
    add_event(bench, 2, day, 11)->rank = 9;
    bench->events[2].second = 5;
    bench->events[2].topics = 6;
    add_event(bench, 2, day, 10)->rank = 9;
    pack_ok(bench);
    struct cvm_packed_reader reader;
    struct cvm_packed_section section;
    struct cvm_error err;
    assert_int_equal(
        cvm_packed_open(bench->body.data, bench->body.length, false, &reader, NULL, &err), CVM_OK);
    assert_int_equal(cvm_packed_next(&reader, &section, &err), CVM_OK);
    assert_int_equal(section.source, 5);
    assert_int_equal(cvm_packed_day(&section, 0), day);
    assert_null(section.seconds);
    assert_null(section.topics);
    assert_int_equal(cvm_packed_next(&reader, &section, &err), CVM_OK);
    assert_int_equal(section.source, 2);
    assert_int_equal(section.event_count, 3);
    double values[3];
    cvm_packed_values(cvm_packed_column_of(&section, 3), 3, 0, 3, values);
    assert_true(values[0] == 10 && values[1] == 11 && values[2] == 12);
    assert_int_equal(cvm_packed_day(&section, 1), day);
    assert_int_equal(cvm_packed_day(&section, 2), day + 1);
    assert_int_equal(section.seconds[4], 5);
    assert_int_equal(section.topics[4], 6);
    assert_int_equal(section.topics[8], 0);
}

static void the_body_does_not_depend_on_the_order_of_the_input(void **state)
{
    struct bench *bench = *state;
    char first[4096];
    size_t first_length = 0;
    struct cvm_random random;
    cvm_random_init(&random, 3);
    for (int round = 0; round < 20; round++) {
        bench->event_count = 0;
        for (int i = 0; i < 30; i++) {
            struct cvm_packed_event *event = add_event(bench, i % 3, day_of(2024, 1, 1 + i % 4), i);
            event->identity = (uint64_t)(i / 6); /* equal ones differ in content */
        }
        for (size_t i = 29; round > 0 && i > 0; i--) {
            size_t j = cvm_random_below(&random, i + 1);
            struct cvm_packed_event swap = bench->events[i];
            bench->events[i] = bench->events[j];
            bench->events[j] = swap;
        }
        pack_ok(bench);
        if (round == 0) {
            first_length = bench->body.length;
            assert_true(first_length < sizeof(first));
            memcpy(first, bench->body.data, first_length);
        }
        assert_int_equal(bench->body.length, first_length);
        assert_memory_equal(bench->body.data, first, first_length);
    }
}

static void a_half_year_of_25_events_takes_less_than_1_kib(void **state)
{
    struct bench *bench = *state;
    struct cvm_random random;
    cvm_random_init(&random, 4);
    struct cvm_packed_cell cells[25][8];
    for (int i = 0; i < 25; i++) {
        struct cvm_packed_event *event = add_event(bench, i % 4, day_of(2024, 1, 1 + i), 0);
        event->second = 3600 * i % 86400;
        event->topics = (uint32_t)i;
        for (uint16_t a = 0; a < 8; a++) {
            cells[i][a] = (struct cvm_packed_cell){a, (double)cvm_random_below(&random, 30000) /
                                                          (a % 2 == 0 ? 1 : 100)};
        }
        event->cells = cells[i];
        event->cell_count = 8;
    }
    pack_ok(bench);
    assert_true(bench->body.length < 1024);
}

static void a_profile_holds_id_consent_and_undated_attributes(void **state)
{
    struct bench *bench = *state;
    struct cvm_consent consent;
    cvm_consent_init(&consent);
    consent.recorded = 0xff;
    consent.granted = 0x81;
    consent.updated_day = day_of(2199, 12, 31);
    consent.quiet_start_min = 22 * 60;
    consent.quiet_end_min = 8 * 60;
    consent.preferred_time = CVM_TIME_EVENING;
    consent.has_record = true;
    memcpy(consent.language, "de", 3);
    struct cvm_packed_event event = {.day = CVM_DAY_NONE, .source = 63, .cell_count = 1};
    struct cvm_packed_cell cell = {CVM_PACKED_ATTRIBUTE_MAX, 24};
    event.cells = &cell;
    struct cvm_error err;
    assert_int_equal(
        cvm_packer_write(bench->packer, "U124", &consent, &event, 1, &bench->body, &err), CVM_OK);
    struct cvm_packed_reader reader;
    struct cvm_packed_profile profile;
    struct cvm_packed_section section;
    assert_int_equal(
        cvm_packed_open(bench->body.data, bench->body.length, true, &reader, &profile, &err),
        CVM_OK);
    assert_true(cvm_slice_equals(profile.customer_id, "U124"));
    assert_memory_equal(&profile.consent, &consent, sizeof(consent));
    assert_int_equal(cvm_packed_next(&reader, &section, &err), CVM_OK);
    assert_int_equal(section.source, 63);
    assert_int_equal(section.base_day, CVM_DAY_NONE);
    assert_int_equal(cvm_packed_day(&section, 0), CVM_DAY_NONE);
    double value;
    cvm_packed_values(cvm_packed_column_of(&section, CVM_PACKED_ATTRIBUTE_MAX), 1, 0, 1, &value);
    assert_true(value == 24);
    assert_int_equal(
        cvm_packed_open(bench->body.data, bench->body.length, false, &reader, NULL, &err),
        CVM_E_CORRUPT);
}

static void periods_are_calendar_half_years(void **state)
{
    (void)state;
    assert_int_equal(cvm_packed_period(CVM_DAY_NONE), CVM_PERIOD_PROFILE);
    assert_int_equal(cvm_packed_period(day_of(1900, 1, 1)), 1900 * 2);
    assert_int_equal(cvm_packed_period(day_of(2024, 2, 29)), 2024 * 2);
    assert_int_equal(cvm_packed_period(day_of(2024, 6, 30)), 2024 * 2);
    assert_int_equal(cvm_packed_period(day_of(2024, 7, 1)), 2024 * 2 + 1);
    assert_int_equal(cvm_packed_period(day_of(2199, 12, 31)), 2199 * 2 + 1);
}

static void days_of_1900_2199_and_leap_days_read_back(void **state)
{
    struct bench *bench = *state;
    int32_t days[] = {day_of(1900, 1, 1), day_of(2024, 2, 29), day_of(2199, 12, 31)};
    for (size_t i = 0; i < 3; i++) {
        bench->event_count = 0;
        add_event(bench, 0, days[i], days[i]);
        pack_ok(bench);
        struct cvm_packed_section section;
        read_one(bench, &section);
        assert_int_equal(cvm_packed_day(&section, 0), days[i]);
    }
}

static void a_section_holds_65535_events_and_not_one_more(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < CVM_PACKED_EVENTS_MAX; i++) {
        add_event(bench, 0, day_of(2024, 1, 1), i);
    }
    pack_ok(bench);
    struct cvm_packed_section section;
    read_one(bench, &section);
    assert_int_equal(section.event_count, CVM_PACKED_EVENTS_MAX);
    double value;
    cvm_packed_values(&section.columns[0], section.event_count, 65534, 65535, &value);
    assert_true(value == 65534);
    add_event(bench, 0, day_of(2024, 1, 1), 0);
    assert_int_equal(pack(bench, NULL), CVM_E_LIMIT);
}

static void events_that_break_a_rule_are_refused(void **state)
{
    struct bench *bench = *state;
    struct cvm_error err;
    add_event(bench, 0, day_of(2024, 6, 30), 1);
    add_event(bench, 0, day_of(2024, 7, 1), 1);
    assert_int_equal(pack(bench, &err), CVM_E_INVALID);
    assert_string_equal(err.message, "events of more than one period in one body");
    bench->events[1].day = CVM_DAY_NONE;
    assert_int_equal(pack(bench, &err), CVM_E_INVALID);
    bench->event_count = 1;
    bench->events[0].day = CVM_DAY_NONE;
    assert_int_equal(pack(bench, &err), CVM_E_INVALID);
    bench->events[0].day = day_of(2024, 3, 31);
    bench->events[0].source = 64;
    assert_int_equal(pack(bench, &err), CVM_E_INVALID);
    bench->events[0].source = 0;
    bench->events[0].second = -1;
    assert_int_equal(pack(bench, &err), CVM_E_INVALID);
    bench->events[0].second = 0;
    bench->cells[0].attribute = CVM_PACKED_ATTRIBUTE_MAX + 1;
    assert_int_equal(pack(bench, &err), CVM_E_LIMIT);
    struct cvm_packed_cell twice[] = {{4, 1}, {4, 2}};
    bench->events[0].cells = twice;
    bench->events[0].cell_count = 2;
    assert_int_equal(pack(bench, &err), CVM_E_INVALID);
    struct cvm_packed_cell many[CVM_PACKED_COLUMNS_MAX + 1];
    for (uint16_t i = 0; i <= CVM_PACKED_COLUMNS_MAX; i++) {
        many[i] = (struct cvm_packed_cell){i, 1};
    }
    bench->events[0].cells = many;
    bench->events[0].cell_count = CVM_PACKED_COLUMNS_MAX;
    assert_int_equal(pack(bench, &err), CVM_OK);
    bench->events[0].cell_count = CVM_PACKED_COLUMNS_MAX + 1;
    assert_int_equal(pack(bench, &err), CVM_E_LIMIT);
    add_event(bench, 1, day_of(2024, 3, 30), 1)->rank = 0;
    add_event(bench, 0, day_of(2024, 3, 30), 1)->rank = 7;
    bench->events[0].cell_count = 1;
    assert_int_equal(pack(bench, &err), CVM_E_INVALID);
    assert_string_equal(err.message, "source 0 has two ranks");
}

/* Read all there is; what matters is that nothing outside the copy is touched (sanitizers). */
static enum cvm_status read_all(const unsigned char *body, size_t length, bool is_profile)
{
    struct cvm_packed_reader reader;
    struct cvm_packed_profile profile;
    struct cvm_packed_section section;
    enum cvm_status status = cvm_packed_open(body, length, is_profile, &reader, &profile, NULL);
    while (status == CVM_OK) {
        status = cvm_packed_next(&reader, &section, NULL);
        for (uint32_t c = 0; status == CVM_OK && c < section.column_count; c++) {
            double last;
            cvm_packed_values(&section.columns[c], section.event_count, section.event_count - 1,
                              section.event_count, &last);
            (void)cvm_packed_day(&section, section.event_count - 1);
        }
    }
    return status;
}

static void damage(const struct bench *bench, bool is_profile)
{
    size_t length = bench->body.length;
    unsigned sections_cut = 0;
    for (size_t cut = 0; cut < length; cut++) {
        unsigned char *copy = malloc(cut == 0 ? 1 : cut);
        assert_non_null(copy);
        memcpy(copy, bench->body.data, cut);
        enum cvm_status status = read_all(copy, cut, is_profile);
        /* Between two sections a cut is not seen: the store keeps the length. */
        assert_true(status == CVM_E_CORRUPT || status == CVM_E_NOT_FOUND);
        sections_cut += status == CVM_E_NOT_FOUND;
        free(copy);
    }
    assert_true(sections_cut <= 3);
    struct cvm_random random;
    cvm_random_init(&random, 9);
    unsigned char *copy = malloc(length);
    assert_non_null(copy);
    for (int round = 0; round < 20000; round++) {
        memcpy(copy, bench->body.data, length);
        for (uint64_t flips = 1 + cvm_random_below(&random, 4); flips > 0; flips--) {
            copy[cvm_random_below(&random, length)] = (unsigned char)cvm_random_u64(&random);
        }
        enum cvm_status status = read_all(copy, length, is_profile);
        assert_true(status == CVM_E_CORRUPT || status == CVM_E_NOT_FOUND);
    }
    free(copy);
}

static void a_damaged_or_truncated_body_is_corrupt_and_never_read_beyond(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 12; i++) {
        struct cvm_packed_event *event = add_event(bench, i % 3, day_of(2024, 1, 1 + i), i * 1.37);
        event->second = i;
        event->topics = i % 3 == 1;
    }
    pack_ok(bench);
    damage(bench, false);
    for (int i = 0; i < 12; i++) {
        bench->events[i].day = CVM_DAY_NONE;
    }
    struct cvm_consent consent;
    cvm_consent_init(&consent);
    assert_int_equal(
        cvm_packer_write(bench->packer, "U124", &consent, bench->events, 12, &bench->body, NULL),
        CVM_OK);
    damage(bench, true);
}

static void a_body_without_room_fails_and_the_packer_goes_on(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 12; i++) {
        add_event(bench, i % 3, day_of(2024, 1, 1 + i), i * 1.37);
    }
    pack_ok(bench);
    size_t length = bench->body.length;
    for (size_t limit = 1; limit < length; limit++) {
        struct cvm_text small;
        cvm_text_init(&small, limit);
        assert_int_equal(
            cvm_packer_write(bench->packer, NULL, NULL, bench->events, 12, &small, NULL),
            CVM_E_LIMIT);
        cvm_text_finish(&small);
    }
    pack_ok(bench);
    assert_int_equal(bench->body.length, length);
}

static void columns_of_unwanted_sources_are_skipped(void **state)
{
    struct bench *bench = *state;
    add_event(bench, 1, day_of(2024, 1, 1), 5);
    add_event(bench, 2, day_of(2024, 1, 1), 5);
    pack_ok(bench);
    struct cvm_packed_reader reader;
    struct cvm_packed_section section;
    assert_int_equal(
        cvm_packed_open(bench->body.data, bench->body.length, false, &reader, NULL, NULL), CVM_OK);
    reader.columns = UINT64_C(1) << 2;
    assert_int_equal(cvm_packed_next(&reader, &section, NULL), CVM_OK);
    assert_int_equal(section.event_count, 1);
    assert_int_equal(section.column_count, 0);
    assert_int_equal(cvm_packed_next(&reader, &section, NULL), CVM_OK);
    assert_int_equal(section.column_count, 1);
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(every_encoding_reads_back_to_the_bit_in_its_size),
        RULE(every_encoding_keeps_missing_cells),
        RULE(a_not_a_number_is_never_stored),
        RULE(random_columns_read_back_to_the_bit),
        RULE(events_come_back_in_journey_order_by_source_rank),
        RULE(the_body_does_not_depend_on_the_order_of_the_input),
        RULE(a_half_year_of_25_events_takes_less_than_1_kib),
        RULE(a_profile_holds_id_consent_and_undated_attributes),
        RULE(periods_are_calendar_half_years),
        RULE(days_of_1900_2199_and_leap_days_read_back),
        RULE(a_section_holds_65535_events_and_not_one_more),
        RULE(events_that_break_a_rule_are_refused),
        RULE(a_damaged_or_truncated_body_is_corrupt_and_never_read_beyond),
        RULE(a_body_without_room_fails_and_the_packer_goes_on),
        RULE(columns_of_unwanted_sources_are_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
