/* rule_fuzz.c - any bytes compiled as a rule over features and over events; what compiles gives the
 * same for columns as row by row, and its clauses, compiled alone, are what they were in it. */
#include "fuzz.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "rules/rule.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define ROWS        CVM_RULE_ROWS_MAX
#define OPERANDS    16

static const char *const words[] = {"prepaid", "sim_only", "contract", "a", NULL};
static const struct {
    const char *name;
    enum cvm_rule_type type;
} names[] = {
    {"a", CVM_RULE_NUMBER},  {"b", CVM_RULE_NUMBER},     {"churn_90d", CVM_RULE_NUMBER},
    {"d", CVM_RULE_DATE},    {"e", CVM_RULE_DATE},       {"plan", CVM_RULE_WORD},
    {"w", CVM_RULE_WORD},    {"country", CVM_RULE_CODE}, {"y", CVM_RULE_BOOL},
    {"flag", CVM_RULE_BOOL},
};
#define NAMES (sizeof(names) / sizeof(names[0]))

static enum cvm_status resolve(void *state, const char *name, struct cvm_rule_operand *out_operand,
                               struct cvm_error *err)
{
    const bool *is_event = state;
    if (*is_event && strcmp(name, "topic") == 0) {
        *out_operand = (struct cvm_rule_operand){CVM_OPERAND_TOPIC, CVM_RULE_WORD, words};
        return CVM_OK;
    }
    for (uint16_t i = 0; i < NAMES; i++) {
        if (strcmp(name, names[i].name) == 0) {
            *out_operand = (struct cvm_rule_operand){i, names[i].type,
                                                     names[i].type == CVM_RULE_WORD ? words : NULL};
            return CVM_OK;
        }
    }
    return CVM_FAIL(err, CVM_E_NOT_FOUND, "unknown name '%s'", name);
}

static enum cvm_status mentions(void *state, const char *const *phrases, size_t count,
                                uint16_t *out_topic, struct cvm_error *err)
{
    (void)state;
    (void)err;
    *out_topic = (uint16_t)((strlen(phrases[0]) + count) % 40); /* some too high */
    return CVM_OK;
}

static enum cvm_status aggregate(void *state, const struct cvm_rule_aggregate *wanted,
                                 struct cvm_rule_operand *out_operand, struct cvm_error *err)
{
    (void)state;
    (void)err;
    REQUIRE(wanted->window_days >= 0 && wanted->where != NULL && wanted->text[0] != '\0');
    uint64_t hash = cvm_hash(wanted->text, strlen(wanted->text));
    *out_operand = (struct cvm_rule_operand){.number = 10 + hash % 6, .type = CVM_RULE_NUMBER};
    return CVM_OK;
}

static enum cvm_status events(void *state, const char *subject, struct cvm_rule_scope *out_scope,
                              struct cvm_error *err)
{
    static bool is_event = true;
    (void)state;
    if (subject[0] == 'x') {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "unknown source '%s'", subject);
    }
    *out_scope =
        (struct cvm_rule_scope){.resolve = resolve, .mentions = mentions, .state = &is_event};
    return CVM_OK;
}

static void fill(const uint8_t *data, size_t size, double *values, uint32_t *topics)
{
    uint64_t seed = cvm_hash(data, size);
    for (size_t i = 0; i < (size_t)OPERANDS * ROWS; i++) {
        uint64_t bits = cvm_hash_mix(seed, i);
        values[i] = bits % 5 == 0   ? NAN
                    : bits % 5 == 1 ? (double)(bits >> 8 & 3)
                    : bits % 5 == 2 ? (double)(bits >> 8 & 0x7FFF)
                    : bits % 5 == 3 ? -1e300
                                    : (double)(bits >> 8 & 0xFFFF) / 64 - 512;
    }
    for (size_t i = 0; i < ROWS; i++) {
        topics[i] = (uint32_t)cvm_hash_mix(seed, i + 77);
    }
}

static void check_clauses(struct cvm_arena *arena, const struct cvm_rule *rule,
                          const struct cvm_rule_scope *scope)
{
    for (size_t c = 0; c < rule->clause_count; c++) {
        struct cvm_rule alone = {0};
        struct cvm_rule part = {.clauses = &rule->clauses[c], .clause_count = 1};
        struct cvm_error err;
        REQUIRE(cvm_rule_compile(arena, rule->clauses[c].whole.text, CVM_RULE_BOOL, scope, &alone,
                                 &err) == CVM_OK);
        REQUIRE(cvm_rule_same(&alone, &part));
    }
}

static void check_rows(const struct cvm_rule *rule, struct cvm_rule_rows *rows)
{
    double found[ROWS];
    cvm_rule_values(rule, rows, ROWS, found);
    for (size_t i = 0; i < ROWS; i += 37) {
        double one = 0;
        rows->from = i;
        cvm_rule_values(rule, rows, 1, &one);
        REQUIRE(isnan(one) ? isnan(found[i]) : one == found[i]);
        REQUIRE(!isinf(one));
        if (rule->type == CVM_RULE_BOOL) {
            REQUIRE(cvm_rule_holds(rule, rows) == (one == 1));
        }
    }
    rows->from = 0;
}

static void compile(struct cvm_arena *arena, const char *text, enum cvm_rule_type wanted,
                    const struct cvm_rule_scope *scope, struct cvm_rule_rows *rows)
{
    struct cvm_rule rule = {.text = "sentinel"};
    struct cvm_error err = {.message = ""};
    enum cvm_status status = cvm_rule_compile(arena, text, wanted, scope, &rule, &err);
    if (status != CVM_OK) {
        REQUIRE(err.message[0] != '\0' && strcmp(rule.text, "sentinel") == 0);
        return;
    }
    REQUIRE(strcmp(rule.text, text) == 0 && cvm_rule_same(&rule, &rule));
    check_rows(&rule, rows);
    if (rule.type == CVM_RULE_BOOL) {
        check_clauses(arena, &rule, scope);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cvm_arena *arena;
    static double values[OPERANDS * ROWS];
    static uint32_t topics[ROWS];
    bool is_event = true;
    bool is_feature = false;
    const struct cvm_rule_scope features = {
        .resolve = resolve, .events = events, .aggregate = aggregate, .state = &is_feature};
    const struct cvm_rule_scope over_events = {
        .resolve = resolve, .mentions = mentions, .state = &is_event};
    struct cvm_rule_rows rows = {
        .values = values, .stride = ROWS, .topics = topics, .today = 19810};

    arena = arena == NULL ? cvm_arena_create(ARENA_BYTES) : arena;
    REQUIRE(arena != NULL);
    if (size > 16384) {
        return 0;
    }
    cvm_arena_reset(arena);
    char *text = malloc(size + 1); /* exact: reading past the end is seen */
    REQUIRE(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    fill(data, size, values, topics);
    compile(arena, text, CVM_RULE_BOOL, &features, &rows);
    compile(arena, text, CVM_RULE_NUMBER, &features, &rows);
    compile(arena, text, CVM_RULE_BOOL, &over_events, &rows);
    free(text);
    return 0;
}
