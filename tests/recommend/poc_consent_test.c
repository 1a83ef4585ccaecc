/* poc_consent_test.c - consent verdicts of the proof of concept's 11 customers on every shipped
 * treatment. Permissions and expectations are written by hand from the golden table of its data,
 * not copied from output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/config_files.h"
#include "recommend/action_value.h"

#define CUSTOMERS 11

struct person {
    const char *id;
    const char *email, *sms, *call, *push; /* marketing, service, billing */
    /* Expected: marketing call, e-mail, text, app; the channel of offers on any channel, NULL =
     * refused. Service contacts and what makes no contact are permitted to all. */
    const char *marketing;
    const char *any;
};
static const struct person people[CUSTOMERS] = {
    {"U123", "YYY", "YYY", "YYY", "YYY", "yyyy", "call"},
    {"U124", "YYY", "NYY", "YYY", "NYY", "yynn", "call"},
    {"U125", "YYY", "YYY", "NYY", "YYY", "nyyy", "email"},
    {"U126", "NYY", "NYY", "NYY", "NYY", "nnnn", NULL},
    {"U127", "NYY", "YYY", "YYY", "NNN", "ynyn", "call"},
    {"U128", "YYY", "YYY", "YYY", "YYY", "yyyy", "call"},
    {"U129", "YYY", "NYY", "NYY", "YYY", "nyny", "email"},
    {"U130", "YYY", "YYY", "YYY", "YYY", "yyyy", "call"},
    {"U131", "YYY", "YYY", "YYY", "YYY", "yyyy", "call"},
    {"U132", "YYY", "YYY", "YYY", "NYY", "yyyn", "call"},
    {"U999", "YYY", "YYY", "YYY", "YYY", "yyyy", "call"},
};

static void grant(struct cvm_consent *consent, enum cvm_channel channel, const char *letters)
{
    for (int p = 0; p < CVM_PURPOSE_COUNT; p++) {
        uint32_t bit = cvm_consent_bit(channel, CVM_DIRECTION_OUTBOUND, (enum cvm_purpose)p);
        consent->recorded |= bit;
        consent->granted |= letters[p] == 'Y' ? bit : 0;
    }
}

static void fill(struct cvm_chunk *chunk)
{
    chunk->count = CUSTOMERS;
    for (size_t f = 0; f < chunk->feature_count; f++) {
        for (size_t i = 0; i < CUSTOMERS; i++) {
            chunk->features[f * chunk->capacity + i] = 0.0;
        }
    }
    for (size_t i = 0; i < CUSTOMERS; i++) {
        struct cvm_consent *consent = &chunk->consents[i];
        cvm_consent_init(consent);
        consent->has_record = true;
        grant(consent, CVM_CHANNEL_EMAIL, people[i].email);
        grant(consent, CVM_CHANNEL_SMS, people[i].sms);
        grant(consent, CVM_CHANNEL_CALL, people[i].call);
        grant(consent, CVM_CHANNEL_PUSH, people[i].push);
    }
}

struct answers {
    const struct cvm_catalogue *catalogue;
    const struct cvm_recommender *recommender;
    const struct cvm_chunk *chunk;
};

static void check(const struct answers *answers, size_t customer, const char *treatment,
                  const char *channel)
{
    struct cvm_action_value value;
    int t = cvm_catalogue_treatment(answers->catalogue, treatment);
    assert_true(t >= 0);
    cvm_recommend_explain(answers->recommender, answers->chunk, customer, (size_t)t, &value);
    enum cvm_reason expected = channel != NULL ? CVM_REASON_PERMITTED : CVM_REASON_NO_CONSENT;
    if (value.reason != expected ||
        (channel != NULL && strcmp(cvm_channel_words[value.channel], channel) != 0)) {
        fail_msg("%s, %s: %s on %s", people[customer].id, treatment, cvm_reason_name(value.reason),
                 cvm_channel_words[value.channel]);
    }
}

static void consent_verdicts_are_those_of_the_permissions(void **state)
{
    static const char *const marketing[] = {"marketing_call_back", "retention_email",
                                            "retention_sms", "loyalty_app"};
    static const char *const channels[] = {"call", "email", "sms", "push"};
    struct cvm_arena *arena = cvm_arena_create((size_t)64 << 20);
    const struct config_files config = config_load(arena, 100000);
    struct answers answers = {0};
    struct cvm_recommender *recommender = NULL;
    struct cvm_chunk *chunk = NULL;
    struct cvm_error err = {0};
    struct cvm_recommend_options options = {.as_of_day = 19802,
                                            .channel = CVM_CHANNEL_UNSET,
                                            .allowed = UINT64_MAX,
                                            .forced_treatment = CVM_INDEX_NONE};
    (void)state;
    config_check(config_read(arena, &config, &answers.catalogue, &err), &err);
    for (size_t t = 0; t < answers.catalogue->treatment_count; t++) { /* consent alone is asked */
        answers.catalogue->treatments[t].eligible.clause_count = 0;
        answers.catalogue->treatments[t].applicable.clause_count = 0;
        answers.catalogue->treatments[t].suitable.clause_count = 0;
    }
    config_check(cvm_chunk_create(16, answers.catalogue->feature_count, &chunk, &err), &err);
    fill(chunk);
    config_check(cvm_recommender_create(answers.catalogue, &options, &recommender, &err), &err);
    answers.recommender = recommender;
    answers.chunk = chunk;
    for (size_t i = 0; i < CUSTOMERS; i++) {
        for (size_t m = 0; m < 4; m++) {
            check(&answers, i, marketing[m], people[i].marketing[m] == 'y' ? channels[m] : NULL);
        }
        check(&answers, i, "early_upgrade", people[i].any);
        check(&answers, i, "family_plan", people[i].any);
        check(&answers, i, "personalized_offer", people[i].any);
        check(&answers, i, "service_call_back", "call");
        check(&answers, i, "service_sms", "sms");
        check(&answers, i, "data_boost", "none");
        check(&answers, i, "loyalty_points", "none");
    }
    assert_int_equal(answers.catalogue->treatment_count, 11); /* all of them were asked */
    cvm_recommender_destroy(recommender);
    cvm_chunk_destroy(chunk);
    cvm_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consent_verdicts_are_those_of_the_permissions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
