#include "model/catalogue_reading.h"

#include <stdio.h>
#include <string.h>

#include "model/rule_scope.h"

#define NAME_LENGTH_MAX 64

enum cvm_status cvm_reading_fail_unknown(struct cvm_reading *reading,
                                         const struct cvm_yaml_node *node, const char *what,
                                         const struct cvm_suggestion *nearest)
{
    return nearest->best == NULL
               ? cvm_schema_fail(node, reading->err, "unknown %s '%s'", what, nearest->typed)
               : cvm_schema_fail(node, reading->err, "unknown %s '%s'; did you mean '%s'?", what,
                                 nearest->typed, nearest->best);
}

enum cvm_status cvm_reading_fail_twice(struct cvm_reading *reading,
                                       const struct cvm_yaml_node *node, const char *what,
                                       const char *name, const struct cvm_yaml_node *first)
{
    return cvm_schema_fail(node, reading->err, "%s '%s' is already defined on %s:%d", what, name,
                           first->file, first->line);
}

enum cvm_status cvm_reading_fail_memory(struct cvm_reading *reading,
                                        const struct cvm_yaml_node *node)
{
    enum cvm_status status =
        CVM_FAIL(reading->err, CVM_E_LIMIT, "the catalogue needs more memory than allowed");
    return cvm_error_where(reading->err, status, "%s:%d", node->file, node->line);
}

static enum cvm_status check_children(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                      enum cvm_yaml_type type, size_t max, const char *what)
{
    bool is_empty = node != NULL && node->type == CVM_YAML_SCALAR && node->text[0] == '\0';
    if (node == NULL || is_empty) {
        return CVM_OK;
    }
    if (node->type != type) {
        return cvm_schema_fail(node, reading->err, "a %s of %s is allowed",
                               type == CVM_YAML_LIST ? "list" : "map", what);
    }
    if (node->child_count > max) {
        return cvm_schema_fail(node, reading->err, "found %zu %s, at most %zu are allowed",
                               node->child_count, what, max);
    }
    return CVM_OK;
}

enum cvm_status cvm_reading_check_list(struct cvm_reading *reading,
                                       const struct cvm_yaml_node *list, size_t max,
                                       const char *what)
{
    return check_children(reading, list, CVM_YAML_LIST, max, what);
}

enum cvm_status cvm_reading_check_map(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                      size_t max, const char *what)
{
    return check_children(reading, map, CVM_YAML_MAP, max, what);
}

enum cvm_status cvm_reading_texts(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                  struct cvm_schema_texts texts, const char *const **out_texts)
{
    const char **kept = CVM_NEW_ARRAY(reading->arena, texts.count + 1, const char *);
    if (kept == NULL) {
        return cvm_reading_fail_memory(reading, node);
    }
    for (size_t i = 0; i < texts.count; i++) {
        kept[i] = texts.items[i];
    }
    *out_texts = kept;
    return CVM_OK;
}

/* ---- rules over features ---- */

enum cvm_status cvm_reading_fail_rule(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                      const char *key, const struct cvm_error *found)
{
    const struct cvm_yaml_node *node = cvm_yaml_member(map, key);
    node = node == NULL ? map : node;
    if (found->status == CVM_E_LIMIT) {
        enum cvm_status status = CVM_FAIL(reading->err, CVM_E_LIMIT, "%s", found->message);
        return cvm_error_where(reading->err, status, "%s:%d", node->file, node->line);
    }
    return cvm_schema_fail(node, reading->err, "%s", found->message);
}

void cvm_reading_place_features(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    while (reading->placed_features < reading->catalogue->feature_count) {
        reading->features[reading->placed_features++] = node;
    }
}

enum cvm_status cvm_reading_rule_in(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                    const char *key, const char *text,
                                    const struct cvm_rule_scope *scope, struct cvm_rule *out_rule)
{
    struct cvm_error found = {0};

    if (text == NULL || text[0] == '\0') {
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_rule_compile(reading->arena, text, CVM_RULE_BOOL, scope, out_rule, &found);
    cvm_reading_place_features(reading, map);
    return status == CVM_OK ? CVM_OK : cvm_reading_fail_rule(reading, map, key, &found);
}

enum cvm_status cvm_reading_rule(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                 const char *key, const char *text, struct cvm_rule *out_rule)
{
    struct cvm_names names = {.arena = reading->arena, .catalogue = reading->catalogue};
    const struct cvm_rule_scope scope = cvm_names_scope(&names);
    return cvm_reading_rule_in(reading, map, key, text, &scope, out_rule);
}

enum cvm_status cvm_reading_feature(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                    const char *name, int *out_feature)
{
    struct cvm_suggestion nearest = {.typed = name};
    int feature = cvm_catalogue_feature(reading->catalogue, name);

    if (feature >= 0) {
        *out_feature = feature;
        return CVM_OK;
    }
    for (size_t i = 0; i < reading->catalogue->feature_count; i++) {
        if (!reading->catalogue->features[i].is_anonymous) {
            cvm_suggestion_try(&nearest, reading->catalogue->features[i].name);
        }
    }
    return cvm_reading_fail_unknown(reading, node, "feature", &nearest);
}

enum cvm_status cvm_reading_not_sensitive(struct cvm_reading *reading,
                                          const struct cvm_yaml_node *node, int feature,
                                          const char *use)
{
    const struct cvm_feature *f = &reading->catalogue->features[feature];
    struct cvm_text chain;

    if (!f->sensitive) {
        return CVM_OK;
    }
    cvm_text_init(&chain, 0);
    cvm_feature_tell_sensitive(reading->catalogue, (size_t)feature, &chain);
    bool is_direct = chain.length == 0;
    enum cvm_status status = cvm_schema_fail(
        node, reading->err, "feature '%s' is sensitive%s%s%s and may not be used for %s", f->name,
        is_direct ? "" : " (", cvm_text_string(&chain), is_direct ? "" : ")", use);
    cvm_text_finish(&chain);
    return status;
}

enum cvm_status cvm_reading_rule_not_sensitive(struct cvm_reading *reading,
                                               const struct cvm_yaml_node *map, const char *key,
                                               const struct cvm_rule *rule, const char *use)
{
    const struct cvm_yaml_node *node = cvm_yaml_member(map, key);
    int feature = cvm_rule_sensitive(reading->catalogue, rule);
    return feature < 0
               ? CVM_OK
               : cvm_reading_not_sensitive(reading, node == NULL ? map : node, feature, use);
}

/* ---- sentences ---- */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

bool cvm_reading_is_name(const char *text)
{
    size_t length = 0;
    while (is_name_char(text[length])) {
        length++;
    }
    return text[0] >= 'a' && text[0] <= 'z' && text[length] == '\0' && length <= NAME_LENGTH_MAX;
}

const char *cvm_sentence_name(const char *at, char name[80])
{
    for (const char *open = strchr(at, '{'); open != NULL; open = strchr(open + 1, '{')) {
        size_t length = 0;
        while (is_name_char(open[1 + length])) {
            length++;
        }
        if (length > 0 && length < 80 && open[1 + length] == '}') {
            memcpy(name, open + 1, length);
            name[length] = '\0';
            return open + length + 2;
        }
    }
    return NULL;
}

enum cvm_status cvm_reading_sentence(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                     const char *sentence)
{
    const struct cvm_yaml_node *node = cvm_yaml_member(map, "sentence");
    enum cvm_status status = CVM_OK;
    char name[80];
    int feature = 0;

    for (const char *at = cvm_sentence_name(sentence, name); at != NULL && status == CVM_OK;
         at = cvm_sentence_name(at, name)) {
        status = cvm_reading_feature(reading, node == NULL ? map : node, name, &feature);
    }
    return status;
}
