/* catalogue_fuzz.c - one file of a small catalogue replaced by any bytes: the first line of the
 * input names the file. What reads well can be written, compared and scaled. */
#include "fuzz.h"

#include <string.h>

#include "base/yaml.h"
#include "model/catalogue_read.h"
#include "small_catalogue.h"

#define ARENA_BYTES   ((size_t)64 << 20)
#define FILE_NAME_MAX 64

/* The files with the input in the place of the one that it names; of none: as a new treatment. */
static size_t put_input(struct cvm_catalogue_file files[SMALL_FILE_COUNT + 1], const char *input,
                        size_t size, char name[FILE_NAME_MAX])
{
    const char *end = size == 0 ? NULL : memchr(input, '\n', size);
    size_t length = end == NULL ? 0 : (size_t)(end - input);
    const char *text = end == NULL ? input : end + 1;
    struct cvm_catalogue_file file = {"treatments/zz.yaml", text, size - (size_t)(text - input)};

    memcpy(files, small_files, sizeof(small_files));
    if (length > 0 && length < FILE_NAME_MAX) {
        memcpy(name, input, length);
        name[length] = '\0';
        for (size_t i = 0; i < SMALL_FILE_COUNT; i++) {
            if (strcmp(files[i].name, name) == 0) {
                file.name = files[i].name;
                files[i] = file;
                return SMALL_FILE_COUNT;
            }
        }
    }
    files[SMALL_FILE_COUNT] = file;
    return SMALL_FILE_COUNT + 1;
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
    struct cvm_catalogue_file files[SMALL_FILE_COUNT + 1];
    char name[FILE_NAME_MAX];
    size_t count = put_input(files, input, size, name);
    const struct cvm_catalogue_files before = {small_files, SMALL_FILE_COUNT};
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
