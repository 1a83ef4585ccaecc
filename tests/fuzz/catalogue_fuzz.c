/* catalogue_fuzz.c - one file of a small catalogue replaced by any bytes: the first line of the
 * input names the file. What reads well can be written, compared and scaled. */
#include "fuzz.h"

#include <string.h>

#include "base/yaml.h"
#include "model/catalogue_read.h"

#define ARENA_BYTES   ((size_t)64 << 20)
#define FILE_NAME_MAX 64

static const char consent_text[] =
    "yes: [Y]\nno: [N]\nchannels: {push: [app]}\nlanguages: {en: [english]}\n";
static const char constraints_text[] =
    "resources:\n  - {resource: minutes, limit: 10}\n"
    "budgets:\n  - {budget: money, measure: both, limit: 5.5, treatments: [call]}\n";
static const char features_text[] =
    "features:\n"
    "  - {feature: events, description: e, aggregate: count}\n"
    "  - {feature: score, description: s, attribute: score, aggregate: last, window_days: 30}\n"
    "  - {feature: mood, description: m, attribute: mood, aggregate: last}\n"
    "  - {feature: asks, description: a, source: talk, aggregate: count, where: topic == "
    "'price'}\n"
    "  - {feature: worth, description: w, rule: 'score * 2 + count(talk, 7)'}\n";
static const char insights_text[] =
    "insights:\n  - {insight: sad, severity: high, when: mood == 'bad', "
    "sentence: 'is {mood}'}\n";
static const char journey_text[] =
    "history_days: 90\nsummary:\n  - {group: 1, sentence: '{events}'}\n"
    "metrics:\n  length: events\n";
static const char mapping_text[] =
    "mapping: m\nsources:\n"
    "  - source: talk\n    files: ['talk*']\n    kind: events\n    rank: 1\n    customer: [id]\n"
    "    date: [date]\n    sentence: '{mood}'\n    attributes:\n"
    "      mood: {type: word, words: {bad: [sad], good: []}, fields: [mood, 'a[].b'], list: "
    "first}\n"
    "      score: {type: number, fields: [{field: s, scale: 2}], constant: 1,\n"
    "        score: {horizon_days: 90, intercept: 0, slope: 1, calibration: assumed}}\n"
    "      twice: {type: number, sum_of: [score, score]}\n"
    "      open: {type: boolean, words: {true: [on]}, fields: [o]}\n"
    "  - source: sent\n    files: [sent]\n    kind: events\n    rank: 2\n    customer: [id]\n"
    "    date: [date]\n    sentence: '{by}'\n    attributes:\n"
    "      by: {type: word, words: [call, email, sms, push, none], fields: [by]}\n"
    "      why: {type: word, words: [marketing, service, billing], fields: [why]}\n"
    "      act: {type: code, fields: [act]}\n"
    "  - source: may\n    files: [may]\n    kind: consent\n    customer: [id]\n"
    "    consent: permissions\n    quiet_hours: dnd\n";
static const char policy_text[] =
    "contact_policy: {source: sent, channel: by, purpose: why, action: act, household: score}\n"
    "channel_hours: {call: '09:00-20:00'}\npreferred_times: {morning: '08:00-12:00'}\n"
    "limits:\n  - {limit: a, purpose: marketing, max: 4, window_days: 30}\n"
    "  - {limit: b, channel: call, max: 1, window_days: 60}\n"
    "  - {limit: c, each: action, without_contact: true, max: 1, window_days: 30}\n"
    "rests: [{rest: d, days: 3}]\n"
    "sequences: [{sequence: e, never: [call], after: [call], within_days: 7}]\n"
    "household_limits: [{limit: f, max: 2, window_days: 30}]\n";
static const char suppressions_text[] =
    "suppressions:\n  - {suppression: sad, when: mood == 'bad', withholds: [marketing],\n"
    "     without_contact: true}\n";
static const char topics_text[] = "topics:\n  - {topic: price, phrases: [price, cost]}\n";
static const char treatment_text[] =
    "treatment: call\nclass: retention\nchannel: call\npurpose: marketing\n"
    "applicable: score >= 0.1 && mood != 'good'\nmax_per_day: 5\ncost: 0.30\nuses: {minutes: 2}\n"
    "valid_from: 2024-01-01\nresponse:\n  reach: {mean: 0.5, sd: 0.1}\n  incentive: 2\n";
static const char trigger_text[] =
    "trigger: asks\ndescription: a\n"
    "when: score > 3 || count(talk, 30, mentions('lag', 'price') && score > 1) >= 2\n";
static const char values_text[] =
    "value: {horizon_days: 90, churn_feature: score}\nsegments:\n"
    "  - {segment: sad, when: mood == 'bad', margin_month: {median: 3, min: 1, max: 8},\n"
    "     churn_month: {mean: 0.03, sd: 0.01}, horizon_months: 12}\n"
    "  - {segment: rest, margin_month: {median: 3, min: 1, max: 8},\n"
    "     churn_month: {mean: 0.03, sd: 0.01}, horizon_months: 12}\n";

#define FILE_OF(name, text)                                                                        \
    {                                                                                              \
        (name), (text), sizeof(text) - 1                                                           \
    }
static const struct cvm_catalogue_file base_files[] = {
    FILE_OF("consent.yaml", consent_text),       FILE_OF("constraints.yaml", constraints_text),
    FILE_OF("contact_policy.yaml", policy_text), FILE_OF("suppressions.yaml", suppressions_text),
    FILE_OF("features.yaml", features_text),     FILE_OF("insights.yaml", insights_text),
    FILE_OF("journey.yaml", journey_text),       FILE_OF("mappings/m.yaml", mapping_text),
    FILE_OF("topics.yaml", topics_text),         FILE_OF("treatments/call.yaml", treatment_text),
    FILE_OF("values.yaml", values_text),         FILE_OF("triggers/asks.yaml", trigger_text),
};
#define FILE_COUNT (sizeof(base_files) / sizeof(base_files[0]))

/* The files with the input in the place of the one that it names; of none: as a new treatment. */
static size_t put_input(struct cvm_catalogue_file files[FILE_COUNT + 1], const char *input,
                        size_t size, char name[FILE_NAME_MAX])
{
    const char *end = size == 0 ? NULL : memchr(input, '\n', size);
    size_t length = end == NULL ? 0 : (size_t)(end - input);
    const char *text = end == NULL ? input : end + 1;
    struct cvm_catalogue_file file = {"treatments/zz.yaml", text, size - (size_t)(text - input)};

    memcpy(files, base_files, sizeof(base_files));
    if (length > 0 && length < FILE_NAME_MAX) {
        memcpy(name, input, length);
        name[length] = '\0';
        for (size_t i = 0; i < FILE_COUNT; i++) {
            if (strcmp(files[i].name, name) == 0) {
                file.name = files[i].name;
                files[i] = file;
                return FILE_COUNT;
            }
        }
    }
    files[FILE_COUNT] = file;
    return FILE_COUNT + 1;
}

static void check_treatment(struct cvm_arena *arena, const struct cvm_treatment *treatment,
                            const struct cvm_catalogue *catalogue)
{
    struct cvm_text out;
    const struct cvm_yaml_node *root = NULL;
    struct cvm_error err = {.message = ""};
    cvm_text_init(&out, 0);
    REQUIRE(cvm_treatment_write(treatment, catalogue, &out, &err) == CVM_OK);
    REQUIRE(cvm_yaml_read(arena, "t", out.data, out.length, &root, &err) == CVM_OK);
    REQUIRE(strcmp(cvm_yaml_member(root, "treatment")->text, treatment->id) == 0);
    cvm_text_finish(&out);
}

/* It reads only what was there before it. */
static void check_rule(const struct cvm_rule *rule, size_t operand_max)
{
    for (size_t n = 0; n < rule->clause_count; n++) {
        const struct cvm_rule_part *part = &rule->clauses[n].whole;
        for (size_t o = 0; o < part->operand_count; o++) {
            REQUIRE(part->operands[o] < operand_max || part->operands[o] == CVM_OPERAND_TOPIC);
        }
    }
}

static void check_catalogue(const struct cvm_catalogue *c)
{
    REQUIRE(c->segment_count > 0 && c->segments[c->segment_count - 1].when.clause_count == 0);
    REQUIRE(c->value.churn_feature < (int)c->feature_count);
    for (size_t i = 0; i < c->feature_count; i++) {
        REQUIRE(c->features[i].attribute < (int)c->attribute_count);
        REQUIRE(c->features[i].name != NULL && c->features[i].description != NULL);
        check_rule(&c->features[i].rule, i);
        check_rule(&c->features[i].where, CVM_ATTRIBUTES_MAX);
    }
    REQUIRE(c->topic_count <= CVM_TOPICS_MAX && c->feature_count <= CVM_FEATURES_MAX);
    for (size_t i = 0; i < c->trigger_count; i++) {
        REQUIRE(c->triggers[i].description[0] != '\0');
        check_rule(&c->triggers[i].when, c->feature_count);
    }
    for (size_t i = 0; i < c->policy.rule_count; i++) {
        REQUIRE(c->policy.rules[i].allows.clause_count == 1);
        REQUIRE(c->policy.rules[i].treatments >> c->treatment_count == 0);
    }
    for (size_t i = 0; i < c->policy.household_count; i++) {
        REQUIRE(c->policy.household[i].count_feature < (int)c->feature_count);
    }
    for (size_t i = 0; i < c->suppression_count; i++) {
        REQUIRE(c->suppressions[i].purposes != 0 && c->suppressions[i].when.clause_count > 0);
    }
    for (size_t i = 0; i < c->constraint_count; i++) {
        REQUIRE(c->constraints[i].limit >= 0);
        REQUIRE(c->constraints[i].treatments >> c->treatment_count == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cvm_arena *arena;
    arena = arena == NULL ? cvm_arena_create(ARENA_BYTES) : arena;
    REQUIRE(arena != NULL);
    if (size > 65536) {
        return 0;
    }
    cvm_arena_reset(arena);
    char *input = malloc(size == 0 ? 1 : size);
    REQUIRE(input != NULL);
    if (size > 0) {
        memcpy(input, data, size);
    }
    struct cvm_catalogue_file files[FILE_COUNT + 1];
    char name[FILE_NAME_MAX];
    size_t count = put_input(files, input, size, name);
    const struct cvm_catalogue_files before = {base_files, FILE_COUNT};
    const struct cvm_catalogue_files after = {files, count};
    const struct cvm_catalogue *catalogue = NULL;
    const struct cvm_catalogue_change *changes = NULL;
    size_t change_count = 0;
    struct cvm_error err = {.message = ""};

    if (cvm_catalogue_read(arena, &after, "c", &catalogue, &err) == CVM_OK) {
        check_catalogue(catalogue);
        for (size_t i = 0; i < catalogue->treatment_count; i++) {
            check_treatment(arena, &catalogue->treatments[i], catalogue);
        }
        REQUIRE(cvm_catalogue_diff(arena, &before, &after, &changes, &change_count, &err) ==
                CVM_OK);
    } else {
        REQUIRE(err.message[0] != '\0' && catalogue == NULL);
        (void)!cvm_catalogue_diff(arena, &before, &after, &changes, &change_count, &err);
    }
    struct cvm_text scaled;
    cvm_text_init(&scaled, 0);
    (void)!cvm_catalogue_scale(input, size, 12345, &scaled, &err);
    cvm_text_finish(&scaled);
    free(input);
    return 0;
}
