/* Treatments of the proof of concept to those of the catalogue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/date.h"
#include "base/file.h"
#include "cli/treatment_file.h"

static struct cvm_treatment known[] = {
    {
        .id = "retention_email",
        .display_name = "Retention Email",
        .description = "as shipped",
        .enabled = true,
        .channel = CVM_CHANNEL_EMAIL,
        .purpose = CVM_PURPOSE_MARKETING,
        .class = CVM_CLASS_RETENTION,
        .valid_from_day = CVM_DAY_NONE,
        .valid_to_day = CVM_DAY_NONE,
        .max_per_day = 20000,
        .priority = 3,
        .cost_micro = 3000,
        .loaded_cost_micro = 20000,
    },
};
static const struct cvm_alias channels[] = {{"push_notifications", CVM_CHANNEL_PUSH}};
static const struct cvm_alias purposes[] = {{"service_update", CVM_PURPOSE_SERVICE}};
static const struct cvm_catalogue catalogue = {
    .treatments = known,
    .treatment_count = 1,
    .ignore = {.id = "ignore", .display_name = "No Action", .description = "", .enabled = true},
    .consent_words = {.channels = channels,
                      .channel_count = 1,
                      .purposes = purposes,
                      .purpose_count = 1},
};

struct taken {
    struct cvm_arena *arena;
    struct cvm_treatment_file file;
    struct cvm_error err;
    enum cvm_status status;
};

static struct taken take(const char *text)
{
    struct taken taken = {.arena = cvm_arena_create(64 << 20)};
    char path[] = "/tmp/cvm-treatment-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
    taken.status = cvm_treatment_file_read(taken.arena, &catalogue, path, &taken.file, &taken.err);
    (void)unlink(path);
    return taken;
}

static void finish(struct taken *taken)
{
    if (taken->status == CVM_OK) {
        cvm_treatment_file_finish(&taken->file);
    }
    cvm_arena_destroy(taken->arena);
}

static void a_known_treatment_keeps_channel_and_takes_limits(void **state)
{
    (void)state;
    struct taken taken = take("treatments:\n"
                              "  retention_email:\n"
                              "    description: another\n"
                              "    enabled: false\n"
                              "    permission_type: billing\n"
                              "constraints:\n"
                              "  retention_email:\n"
                              "    max_per_day: 1000\n"
                              "    remaining_availability: 1000\n"
                              "    cost_per_contact_pounds: 0.25\n"
                              "    priority: 1\n");
    assert_int_equal(taken.status, CVM_OK);
    assert_int_equal(taken.file.count, 1);
    const struct cvm_treatment *treatment = &taken.file.treatments[0];
    assert_false(taken.file.is_new[0]);
    assert_string_equal(treatment->description, "another");
    assert_string_equal(treatment->display_name, "Retention Email");
    assert_false(treatment->enabled);
    assert_int_equal(treatment->channel, CVM_CHANNEL_EMAIL);
    assert_int_equal(treatment->purpose, CVM_PURPOSE_MARKETING);
    assert_int_equal(treatment->max_per_day, 1000);
    assert_int_equal(treatment->cost_micro, 250000);
    assert_int_equal(treatment->loaded_cost_micro, 20000);
    assert_int_equal(treatment->priority, 1);
    assert_string_equal(cvm_text_string(&taken.file.warnings), "");
    finish(&taken);
}

static void an_unknown_treatment_is_custom_and_remaining_above_the_limit_is_told(void **state)
{
    (void)state;
    struct taken taken =
        take("{\"id\": \"gift\", \"display_name\": \"Gift\", \"is_custom\": true,\n"
             "\"permission_type\": \"service_update\",\n"
             "\"channel\": \"push_notifications\", \"criteria\": {\"a\": 1},\n"
             "\"constraints\": {\"max_per_day\": 10,\n"
             "\"remaining_availability\": 100,\n"
             "\"cost_per_contact_pounds\": 35.0, \"priority\": 2}}");
    assert_int_equal(taken.status, CVM_OK);
    const struct cvm_treatment *treatment = &taken.file.treatments[0];
    assert_true(taken.file.is_new[0]);
    assert_true(treatment->custom);
    assert_int_equal(treatment->channel, CVM_CHANNEL_PUSH);
    assert_int_equal(treatment->purpose, CVM_PURPOSE_SERVICE);
    assert_int_equal(treatment->class, CVM_CLASS_SERVICE);
    assert_int_equal(treatment->max_per_day, 10);
    assert_non_null(strstr(cvm_text_string(&taken.file.warnings), "taken as 10"));
    assert_non_null(strstr(cvm_text_string(&taken.file.not_used), "criteria"));
    finish(&taken);
}

static void a_treatment_without_channel_and_type_is_not_usable_and_says_so(void **state)
{
    (void)state;
    struct taken taken = take("{\"treatments\": {\"gift\": {\"description\": \"d\"}},"
                              " \"constraints\": {\"gift\": {\"max_per_day\": 5}}}");
    assert_int_equal(taken.status, CVM_OK);
    assert_int_equal(taken.file.treatments[0].channel, CVM_CHANNEL_UNSET);
    assert_int_equal(taken.file.treatments[0].purpose, CVM_PURPOSE_UNSET);
    assert_non_null(strstr(cvm_text_string(&taken.file.warnings), "not usable"));
    finish(&taken);
}

static void each_kind_of_bad_file_has_its_own_error(void **state)
{
    static const struct {
        const char *text;
        const char *told;
    } cases[] = {
        {"constraints: {}\n", "there is no section 'treatments'"},
        {"treatments: {}\n", "there is no section 'constraints'"},
        {"", "there is no section 'treatments'"},
        {"treatments: [a\n", ""},
        {"treatments: {a: {}}\nconstraints: {b: {}}\n", "does not have"},
        {"treatments: {retention_email: {}}\n"
         "constraints: {retention_email: {max_per_day: -5}}\n",
         "max_per_day"},
        {"treatments: {retention_email: {}}\n"
         "constraints: {retention_email: {max_per_dya: 5}}\n",
         "max_per_dya"},
        {"treatments: {retention_email: {enabled: perhaps}}\nconstraints: {}\n", "true or false"},
        {"treatments: {\"Bad Id\": {}}\nconstraints: {}\n", "Bad Id"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct taken taken = take(cases[i].text);
        assert_int_equal(taken.status, CVM_E_INVALID);
        assert_non_null(strstr(taken.err.message, cases[i].told));
        assert_true(taken.err.where[0] != '\0');
        finish(&taken);
    }
}

static void an_absent_file_is_not_found(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_treatment_file file;
    struct cvm_error err;
    (void)state;
    assert_int_equal(cvm_treatment_file_read(arena, &catalogue, "/nowhere/x.yaml", &file, &err),
                     CVM_E_NOT_FOUND);
    cvm_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_treatment_keeps_channel_and_takes_limits),
        cmocka_unit_test(an_unknown_treatment_is_custom_and_remaining_above_the_limit_is_told),
        cmocka_unit_test(a_treatment_without_channel_and_type_is_not_usable_and_says_so),
        cmocka_unit_test(each_kind_of_bad_file_has_its_own_error),
        cmocka_unit_test(an_absent_file_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
