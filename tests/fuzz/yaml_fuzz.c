/* yaml_fuzz.c - any bytes read as YAML and against a schema; each scalar read can be written and
 * reads back as itself. */
#include "fuzz.h"

#include <string.h>

#include "base/schema.h"

#define ARENA_BYTES ((size_t)64 << 20)

struct target {
    const char *name;
    const char *text;
    bool flag;
    int64_t whole;
    double number;
    int64_t micro;
    int word;
    int32_t day;
    struct cvm_schema_texts texts;
    const struct cvm_yaml_node *node;
};

static const char *const words[] = {"email", "sms", "call", NULL};

static const struct cvm_schema_field fields[] = {
    {"name", CVM_SCHEMA_NAME, offsetof(struct target, name), .required = true},
    {"text", CVM_SCHEMA_TEXT, offsetof(struct target, text)},
    {"flag", CVM_SCHEMA_BOOL, offsetof(struct target, flag)},
    {"whole", CVM_SCHEMA_INT, offsetof(struct target, whole), .min = 0, .max = 1e9},
    {"number", CVM_SCHEMA_NUMBER, offsetof(struct target, number)},
    {"micro", CVM_SCHEMA_MICRO, offsetof(struct target, micro)},
    {"word", CVM_SCHEMA_WORD, offsetof(struct target, word), .words = words},
    {"day", CVM_SCHEMA_DATE, offsetof(struct target, day)},
    {"texts", CVM_SCHEMA_TEXTS, offsetof(struct target, texts)},
    {"node", CVM_SCHEMA_NODE, offsetof(struct target, node)},
    {NULL},
};

static const struct cvm_schema schema = {"a target", fields};

static void check_scalar(struct cvm_arena *arena, const char *value)
{
    struct cvm_text text;
    const struct cvm_yaml_node *root = NULL;
    struct cvm_error err;
    cvm_text_init(&text, 0);
    cvm_text_add(&text, "- ");
    cvm_yaml_add_scalar(&text, value);
    REQUIRE(!text.failed);
    REQUIRE(cvm_yaml_read(arena, "again", text.data, text.length, &root, &err) == CVM_OK);
    REQUIRE(root->child_count == 1 && strcmp(root->first_child->text, value) == 0);
    cvm_text_finish(&text);
}

static void check_tree(struct cvm_arena *arena, const struct cvm_yaml_node *node)
{
    size_t count = 0;
    REQUIRE(node->line >= 1);
    REQUIRE((node->type == CVM_YAML_SCALAR) == (node->text != NULL));
    if (node->type == CVM_YAML_SCALAR) {
        check_scalar(arena, node->text);
    }
    for (const struct cvm_yaml_node *c = node->first_child; c != NULL; c = c->next) {
        REQUIRE((node->type == CVM_YAML_MAP) == (c->key != NULL));
        REQUIRE(c->key == NULL || cvm_yaml_member(node, c->key) == c);
        check_tree(arena, c);
        count++;
    }
    REQUIRE(count == node->child_count);
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
    char *text = malloc(size == 0 ? 1 : size); /* exact: reading past the end is seen */
    REQUIRE(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    const struct cvm_yaml_node *root = NULL;
    struct cvm_error err = {.message = ""};
    enum cvm_status status = cvm_yaml_read(arena, "in.yaml", text, size, &root, &err);
    free(text); /* the tree must not need it */
    if (status == CVM_OK) {
        struct target target = {.name = NULL};
        check_tree(arena, root);
        status = cvm_schema_read(arena, &schema, root, &target, &err);
        REQUIRE(status != CVM_OK || target.name != NULL);
    }
    REQUIRE(status == CVM_OK || (err.message[0] != '\0' && strncmp(err.where, "in.yaml:", 8) == 0));
    return 0;
}
