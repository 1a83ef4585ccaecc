/* policy_property_test.c - no contact policy is ever exceeded: random policies over random
 * histories, night after night, against a slow and obvious count of the raw contacts.
 *
 * The whole road is taken: contact_policy.yaml, compiled limits, features from events, gates.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/config_files.h"
#include "base/random.h"
#include "journey/features.h"
#include "model/packed.h"
#include "recommend/action_value.h"

#define POLICIES     50
#define HISTORIES    20 /* of each policy */
#define NIGHTS       80
#define CONTACTS_MAX 600
#define LIMITS_MAX   12
#define FIRST_DAY    19800

enum { ANYTHING = -1 };

struct contact {
    int day;     /* when it was made */
    int decided; /* as of which day; counts from then on */
    int channel; /* enum cvm_channel, CVM_CHANNEL_NONE */
    int purpose;
    const char *action;
    bool is_ours;
};

struct history {
    struct contact contacts[CONTACTS_MAX];
    size_t count;
};

/* As written into the file, and as counted. */
struct limit {
    int purpose;
    int channel;
    bool is_each;
    bool without_contact;
    int max;
    int window;
    const char *never; /* sequences */
    const char *after;
    const char *together[2]; /* exclusions */
};

struct property {
    struct cvm_arena *arena;
    struct cvm_random random;
    struct limit limits[LIMITS_MAX];
    size_t limit_count;
    int lead_days;
    const struct cvm_catalogue *catalogue;
    struct cvm_text profile; /* packed: everything consented, and no event */
    struct history histories[HISTORIES];
    int64_t ours;
    int64_t refused;
};

/* ---- the slow count ---- */

/* One of the two that exclude each other, and not the other one. */
static bool is_rival(const struct limit *limit, const char *old, const char *next)
{
    return (strcmp(old, limit->together[0]) == 0 && strcmp(next, limit->together[1]) == 0) ||
           (strcmp(old, limit->together[1]) == 0 && strcmp(next, limit->together[0]) == 0);
}

static bool counts(const struct limit *limit, const struct contact *old, const struct contact *next)
{
    if (limit->together[0] != NULL) {
        return is_rival(limit, old->action, next->action);
    }
    if (limit->never != NULL) {
        return strcmp(old->action, limit->after) == 0;
    }
    return (limit->purpose == ANYTHING || old->purpose == limit->purpose) &&
           (limit->channel == ANYTHING || old->channel == limit->channel) &&
           (limit->without_contact || old->channel != CVM_CHANNEL_NONE) &&
           (!limit->is_each || strcmp(old->action, next->action) == 0);
}

static bool governs(const struct limit *limit, const struct contact *next)
{
    if (limit->together[0] != NULL) {
        return true; /* counts() asks for both */
    }
    if (limit->never != NULL) {
        return strcmp(next->action, limit->never) == 0;
    }
    return (limit->purpose == ANYTHING || next->purpose == limit->purpose) &&
           (limit->channel == ANYTHING || next->channel == limit->channel) &&
           (limit->without_contact || next->channel != CVM_CHANNEL_NONE);
}

/* Contacts before `next` in the window that ends with its day. */
static int contacts_before(const struct limit *limit, const struct history *history,
                           const struct contact *next)
{
    int found = 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct contact *old = &history->contacts[i];
        bool is_inside = old->day <= next->day && old->day > next->day - limit->window;
        bool is_known = old->is_ours || old->day <= next->decided;
        found += is_inside && is_known && counts(limit, old, next);
    }
    return found;
}

static void assert_within(const struct property *property, const struct history *history,
                          const struct contact *next)
{
    for (size_t l = 0; l < property->limit_count; l++) {
        const struct limit *limit = &property->limits[l];
        int found = governs(limit, next) ? contacts_before(limit, history, next) : 0;
        if (found + 1 > limit->max) {
            fail_msg("limit %zu (max %d in %d days): contact %d on day %d by %d as %s", l,
                     limit->max, limit->window, found + 1, next->day, next->channel, next->action);
        }
    }
}

/* ---- random policies ---- */

static int below(struct property *property, int count)
{
    return (int)cvm_random_below(&property->random, (uint64_t)count);
}

static struct limit random_limit(struct property *property)
{
    struct limit limit = {
        .purpose = below(property, 3) == 0 ? ANYTHING : below(property, 2),
        .channel = below(property, 2) == 0 ? ANYTHING : below(property, CVM_CHANNEL_COUNT),
        .max = 1 + below(property, 4),
        .window = 1 + below(property, 45),
    };
    if (limit.channel == ANYTHING) {
        limit.is_each = below(property, 3) == 0;
        limit.without_contact = below(property, 3) == 0;
    }
    return limit;
}

static void write_limit(const struct limit *limit, size_t number, struct cvm_text *out)
{
    cvm_text_add_format(out, "  - {limit: l%zu, max: %d, window_days: %d", number, limit->max,
                        limit->window);
    if (limit->purpose != ANYTHING) {
        cvm_text_add_format(out, ", purpose: %s", cvm_purpose_words[limit->purpose]);
    }
    if (limit->channel != ANYTHING) {
        cvm_text_add_format(out, ", channel: %s", cvm_channel_words[limit->channel]);
    }
    cvm_text_add(out, limit->is_each ? ", each: action" : "");
    cvm_text_add(out, limit->without_contact ? ", without_contact: true}\n" : "}\n");
}

static const char *random_action(struct property *property)
{
    static const char *const actions[] = {"retention_offer", "loyalty_points", "solve_problem",
                                          "personalized_offer", "early_upgrade"};
    return actions[below(property, 5)];
}

static void add_limit(struct property *property, struct limit limit)
{
    assert_true(property->limit_count < LIMITS_MAX);
    property->limits[property->limit_count++] = limit;
}

static void write_rests(struct property *property, struct cvm_text *out)
{
    int rests = below(property, 3);
    cvm_text_add(out, rests > 0 ? "rests:\n" : "");
    for (int r = 0; r < rests; r++) {
        struct limit limit = {.purpose = below(property, 3) == 0 ? ANYTHING : below(property, 2),
                              .channel = ANYTHING,
                              .max = 1,
                              .window = 1 + below(property, 10)};
        cvm_text_add_format(out, "  - {rest: r%d, days: %d%s%s}\n", r, limit.window,
                            limit.purpose == ANYTHING ? "" : ", purpose: ",
                            limit.purpose == ANYTHING ? "" : cvm_purpose_words[limit.purpose]);
        add_limit(property, limit);
    }
}

static void write_sequences(struct property *property, struct cvm_text *out)
{
    int sequences = below(property, 3);
    cvm_text_add(out, sequences > 0 ? "sequences:\n" : "");
    for (int s = 0; s < sequences; s++) {
        struct limit limit = {.never = random_action(property),
                              .after = random_action(property),
                              .max = 1,
                              .window = 1 + below(property, 30)};
        cvm_text_add_format(out, "  - {sequence: s%d, never: %s, after: %s, within_days: %d}\n", s,
                            limit.never, limit.after, limit.window);
        add_limit(property, limit);
    }
}

static void write_exclusions(struct property *property, struct cvm_text *out)
{
    struct limit limit = {.together = {random_action(property), random_action(property)},
                          .max = 1,
                          .window = 1 + below(property, 20)};
    if (strcmp(limit.together[0], limit.together[1]) != 0) {
        cvm_text_add_format(out,
                            "exclusions:\n"
                            "  - {exclusion: e, never_together: [%s, %s], within_days: %d}\n",
                            limit.together[0], limit.together[1], limit.window);
        add_limit(property, limit);
    }
}

static void write_policy(struct property *property, struct cvm_text *out)
{
    size_t limits = 2 + (size_t)below(property, 6);
    property->lead_days = below(property, 3);
    property->limit_count = 0;
    cvm_text_add_format(out,
                        "contact_policy: {source: contact_history, channel: outreach.channel, "
                        "purpose: outreach.purpose, action: outreach.action, lead_days: %d}\n"
                        "limits:\n",
                        property->lead_days);
    for (size_t l = 0; l < limits; l++) {
        struct limit limit = random_limit(property);
        write_limit(&limit, l, out);
        add_limit(property, limit);
    }
    write_rests(property, out);
    write_sequences(property, out);
    write_exclusions(property, out);
}

/* The shipped catalogue with this policy, and without what else would refuse. */
static void read_catalogue(struct property *property)
{
    struct config_files config = config_load(property->arena, 100000);
    struct cvm_catalogue_file *file = config_file(&config, "contact_policy.yaml");
    struct cvm_error err = {0};
    struct cvm_text text;
    cvm_text_init(&text, 0);
    write_policy(property, &text);
    file->text = cvm_arena_string(property->arena, cvm_text_string(&text));
    file->length = text.length;
    cvm_text_finish(&text);
    config_remove(&config, "suppressions.yaml");
    config_check(config_read(property->arena, &config, &property->catalogue, &err), &err);
    for (size_t t = 0; t < property->catalogue->treatment_count; t++) {
        struct cvm_treatment *treatment = &property->catalogue->treatments[t];
        treatment->eligible.clause_count = 0;
        treatment->applicable.clause_count = 0;
        treatment->suitable.clause_count = 0;
    }
}

/* ---- nights ---- */

static void add_contact(struct history *history, struct contact contact)
{
    assert_true(history->count < CONTACTS_MAX);
    history->contacts[history->count++] = contact;
}

static double word_of(const struct property *property, int attribute, const char *word)
{
    const char *const *words = property->catalogue->attributes[attribute].words;
    size_t i = 0;
    while (strcmp(words[i], word) != 0) {
        i++;
    }
    return (double)i;
}

static void lend(const struct property *property, const struct contact *contact, int as_of,
                 struct cvm_feature_builder *builder)
{
    const struct cvm_contact_policy *policy = &property->catalogue->policy;
    struct cvm_packed_cell cells[3] = {
        {(uint16_t)policy->channel_attribute,
         word_of(property, policy->channel_attribute, cvm_channel_words[contact->channel])},
        {(uint16_t)policy->purpose_attribute,
         word_of(property, policy->purpose_attribute, cvm_purpose_words[contact->purpose])},
        {(uint16_t)policy->action_attribute,
         cvm_rule_code(contact->action, strlen(contact->action))},
    };
    struct cvm_feature_event event = {.source = policy->source,
                                      .day =
                                          contact->day <= as_of ? contact->day : contact->decided,
                                      .cells = cells,
                                      .cell_count = 3};
    struct cvm_error err = {0};
    config_check(cvm_feature_builder_event(builder, &event, &err), &err);
}

static void build_chunk(struct property *property, int as_of, struct cvm_chunk *chunk)
{
    struct cvm_feature_program *program = NULL;
    struct cvm_feature_builder *builder = NULL;
    struct cvm_error err = {0};
    struct cvm_feature_window window = {as_of, CVM_DAY_NONE, NULL};
    config_check(cvm_feature_program_create(property->catalogue, window, &program, &err), &err);
    config_check(cvm_feature_builder_create(program, &builder, &err), &err);
    cvm_feature_builder_start(builder, chunk);
    for (size_t h = 0; h < HISTORIES; h++) {
        const struct history *history = &property->histories[h];
        cvm_feature_builder_customer(builder, h + 1);
        config_check(cvm_feature_builder_body(builder, CVM_PERIOD_PROFILE,
                                              cvm_text_string(&property->profile),
                                              property->profile.length, &err),
                     &err);
        for (size_t i = 0; i < history->count; i++) {
            if (history->contacts[i].decided <= as_of) {
                lend(property, &history->contacts[i], as_of, builder);
            }
        }
        config_check(cvm_feature_builder_customer_end(builder, &err), &err);
    }
    cvm_feature_builder_end(builder);
    cvm_feature_builder_destroy(builder);
    cvm_feature_program_destroy(program);
}

struct verdict_columns {
    float values[CVM_TREATMENTS_MAX * HISTORIES];
    unsigned char reasons[CVM_TREATMENTS_MAX * HISTORIES];
    float margins[HISTORIES], churns[HISTORIES];
    unsigned char segments[HISTORIES];
    struct cvm_contact_facts facts[HISTORIES];
};

/* Whatever is permitted must be within every limit; one of it, drawn by lot, is done. */
static void decide(struct property *property, const struct cvm_recommender *recommender,
                   const struct verdict_columns *columns, size_t customer, int as_of)
{
    size_t permitted[CVM_TREATMENTS_MAX];
    size_t count = 0;
    struct history *history = &property->histories[customer];
    for (size_t t = 0; t < property->catalogue->treatment_count; t++) {
        unsigned char reason = columns->reasons[t * HISTORIES + customer];
        assert_true(reason == CVM_REASON_PERMITTED || reason == CVM_REASON_CONTACT_POLICY);
        if (reason == CVM_REASON_PERMITTED) {
            permitted[count++] = t;
        }
        property->refused += reason == CVM_REASON_CONTACT_POLICY;
    }
    for (size_t i = 0; i < count; i++) {
        const struct cvm_treatment *treatment = &property->catalogue->treatments[permitted[i]];
        struct contact next = {
            .day = as_of + property->lead_days,
            .decided = as_of,
            .channel =
                (int)cvm_recommend_channel(recommender, permitted[i], &columns->facts[customer]),
            .purpose = (int)treatment->purpose,
            .action = treatment->action,
            .is_ours = true,
        };
        assert_within(property, history, &next);
    }
    if (count > 0 && below(property, 3) == 0) {
        size_t t = permitted[below(property, (int)count)];
        const struct cvm_treatment *treatment = &property->catalogue->treatments[t];
        enum cvm_channel channel = cvm_recommend_channel(recommender, t, &columns->facts[customer]);
        add_contact(history, (struct contact){as_of + property->lead_days, as_of, (int)channel,
                                              (int)treatment->purpose, treatment->action, true});
        property->ours++;
    }
}

static void play_night(struct property *property, int as_of, struct cvm_chunk *chunk)
{
    static struct verdict_columns columns;
    struct cvm_recommender *recommender = NULL;
    struct cvm_error err = {0};
    struct cvm_recommend_options options = {.as_of_day = as_of,
                                            .channel = CVM_CHANNEL_UNSET,
                                            .allowed = UINT64_MAX,
                                            .forced_treatment = CVM_INDEX_NONE};
    struct cvm_verdicts verdicts = {.values = columns.values,
                                    .reasons = columns.reasons,
                                    .margins = columns.margins,
                                    .churns = columns.churns,
                                    .segments = columns.segments,
                                    .facts = columns.facts,
                                    .stride = HISTORIES};
    for (size_t h = 0; h < HISTORIES; h++) {
        if (below(property, 6) == 0) { /* another team's, whatever our limits are */
            int channel = below(property, 5);
            add_contact(&property->histories[h],
                        (struct contact){as_of, as_of, channel < 4 ? channel : CVM_CHANNEL_NONE,
                                         below(property, 3), random_action(property), false});
        }
    }
    build_chunk(property, as_of, chunk);
    config_check(cvm_recommender_create(property->catalogue, &options, &recommender, &err), &err);
    cvm_recommend_chunk(recommender, chunk, &verdicts);
    for (size_t h = 0; h < HISTORIES; h++) {
        decide(property, recommender, &columns, h, as_of);
    }
    cvm_recommender_destroy(recommender);
}

static void pack_profile(struct property *property)
{
    struct cvm_packer *packer = cvm_packer_create();
    struct cvm_consent consent;
    struct cvm_error err = {0};
    cvm_consent_init(&consent);
    consent.has_record = true;
    consent.recorded = consent.granted = (UINT32_C(1) << 24) - 1;
    cvm_text_init(&property->profile, 0);
    config_check(cvm_packer_write(packer, "U1", &consent, NULL, 0, &property->profile, &err), &err);
    cvm_packer_destroy(packer);
}

static void no_policy_is_exceeded_in_a_thousand_random_histories(void **state)
{
    static struct property property;
    struct cvm_error err = {0};
    (void)state;
    property.arena = cvm_arena_create((size_t)256 << 20);
    assert_non_null(property.arena);
    cvm_random_init(&property.random, 20240320);
    pack_profile(&property);
    for (int p = 0; p < POLICIES; p++) {
        struct cvm_chunk *chunk = NULL;
        cvm_arena_reset(property.arena);
        read_catalogue(&property);
        memset(property.histories, 0, sizeof(property.histories));
        config_check(cvm_chunk_create(HISTORIES, property.catalogue->feature_count, &chunk, &err),
                     &err);
        for (int night = 0; night < NIGHTS; night++) {
            play_night(&property, FIRST_DAY + night, chunk);
        }
        cvm_chunk_destroy(chunk);
    }
    /* The limits neither refuse everything nor nothing. */
    assert_true(property.ours > 5000 && property.refused > 100000);
    cvm_text_finish(&property.profile);
    cvm_arena_destroy(property.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_policy_is_exceeded_in_a_thousand_random_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
