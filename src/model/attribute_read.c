/* The attributes of a mapping: how one source fills them. */
#include <string.h>
#include <strings.h>

#include "model/catalogue_reading.h"

#define FIELDS_MAX      64 /* attributes of one source; what a packed section holds */
#define PATHS_MAX       16 /* ways to find one attribute */
#define WORDS_MAX       64
#define RAW_WORDS_MAX   256
#define WORD_LENGTH_MAX 100

static const char *const attribute_type_words[] = {"number", "boolean", "word", "date",
                                                   "code",   "label",   "text", NULL};
static const char *const list_words[] = {"first", "sum", "count", "min", "max", NULL};

/* ---- paths ---- */

/* Cut one step off `at`; false if it is empty or malformed. */
static bool cut_step(char **at, const char **out_step, bool *out_is_list)
{
    char *step = *at;
    size_t length = strcspn(step, ".[]");
    char *end = step + length;
    bool is_list = end[0] == '[' && end[1] == ']';
    char *next = end + (is_list ? 2 : 0);

    if (length == 0 || (*next != '.' && *next != '\0') || (*next == '.' && next[1] == '\0')) {
        return false;
    }
    *at = *next == '.' ? next + 1 : next;
    *end = '\0';
    *out_step = step;
    *out_is_list = is_list;
    return true;
}

enum cvm_status cvm_reading_path(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                 const char *text, struct cvm_path *out_path)
{
    struct cvm_path path = {.text = text, .scale = 1};
    char *at = cvm_arena_string(reading->arena, text);

    if (at == NULL) {
        return cvm_reading_fail_memory(reading, node);
    }
    do {
        if (path.step_count == CVM_PATH_STEPS_MAX) {
            return cvm_schema_fail(node, reading->err, "path '%s' has more than %d steps", text,
                                   CVM_PATH_STEPS_MAX);
        }
        if (!cut_step(&at, &path.steps[path.step_count], &path.is_list[path.step_count])) {
            return cvm_schema_fail(node, reading->err, "'%s' is not a path like a.b or a[].b",
                                   text);
        }
        path.step_count++;
    } while (*at != '\0');
    *out_path = path;
    return CVM_OK;
}

/* ---- one attribute of one source ---- */

struct attribute_item {
    int type;
    const struct cvm_yaml_node *fields;
    int list;
    bool has_list;
    const struct cvm_yaml_node *words;
    struct cvm_schema_texts sum_of;
    const struct cvm_yaml_node *constant;
    bool required;
    bool personal;
    bool sensitive;
    const struct cvm_yaml_node *score;
};
static const struct cvm_schema_field attribute_fields[] = {
    CVM_KEY(struct attribute_item, "type", type, CVM_SCHEMA_WORD, .required = true,
            .words = attribute_type_words),
    CVM_KEY(struct attribute_item, "fields", fields, CVM_SCHEMA_NODE),
    CVM_KEY(struct attribute_item, "list", list, CVM_SCHEMA_WORD, .words = list_words,
            .present_offset = offsetof(struct attribute_item, has_list) + 1),
    CVM_KEY(struct attribute_item, "words", words, CVM_SCHEMA_NODE),
    CVM_KEY(struct attribute_item, "sum_of", sum_of, CVM_SCHEMA_TEXTS),
    CVM_KEY(struct attribute_item, "constant", constant, CVM_SCHEMA_NODE),
    CVM_KEY(struct attribute_item, "required", required, CVM_SCHEMA_BOOL),
    CVM_KEY(struct attribute_item, "personal", personal, CVM_SCHEMA_BOOL),
    CVM_KEY(struct attribute_item, "sensitive", sensitive, CVM_SCHEMA_BOOL),
    CVM_KEY(struct attribute_item, "score", score, CVM_SCHEMA_NODE),
    {.key = NULL},
};
static const struct cvm_schema attribute_schema = {"an attribute", attribute_fields};

struct scaled_path {
    const char *field;
    double scale;
};
static const struct cvm_schema_field scaled_fields[] = {
    CVM_KEY(struct scaled_path, "field", field, CVM_SCHEMA_TEXT, .required = true),
    CVM_KEY(struct scaled_path, "scale", scale, CVM_SCHEMA_NUMBER, .required = true, .min = 1e-12,
            .max = 1e12),
    {.key = NULL},
};
static const struct cvm_schema scaled_schema = {"a field with a scale", scaled_fields};

static const struct cvm_schema_field score_fields[] = {
    CVM_KEY(struct cvm_score, "horizon_days", horizon_days, CVM_SCHEMA_NUMBER, .required = true,
            .min = 1, .max = 3650),
    CVM_KEY(struct cvm_score, "intercept", intercept, CVM_SCHEMA_NUMBER, .required = true,
            .min = -100, .max = 100),
    CVM_KEY(struct cvm_score, "slope", slope, CVM_SCHEMA_NUMBER, .required = true, .min = -100,
            .max = 100),
    CVM_KEY(struct cvm_score, "calibration", calibration, CVM_SCHEMA_TEXT, .required = true),
    {.key = NULL},
};
static const struct cvm_schema score_schema = {"a score", score_fields};

/* What is gathered of one attribute of one source before it counts. */
struct gathered {
    const struct cvm_yaml_node *node;
    struct attribute_item item;
    struct cvm_attribute attribute;
    struct cvm_mapped_field field;
    const char *canonical[WORDS_MAX + 1];
    size_t canonical_count;
    struct cvm_word_map raw[RAW_WORDS_MAX];
    size_t raw_count;
};

static enum cvm_status read_path_item(struct cvm_reading *reading, const struct gathered *g,
                                      const struct cvm_yaml_node *node, struct cvm_path *out_path)
{
    struct scaled_path scaled = {.scale = 1};

    if (node->type == CVM_YAML_MAP) {
        enum cvm_status status =
            cvm_schema_read(reading->arena, &scaled_schema, node, &scaled, reading->err);
        if (status != CVM_OK) {
            return status;
        }
        if (g->attribute.type != CVM_ATTRIBUTE_NUMBER) {
            return cvm_schema_fail(node, reading->err, "only a number has a scale");
        }
    } else if (node->type == CVM_YAML_SCALAR) {
        scaled.field = node->text;
    } else {
        return cvm_schema_fail(node, reading->err,
                               "a path or {field: path, scale: number} is allowed");
    }
    enum cvm_status status = cvm_reading_path(reading, node, scaled.field, out_path);
    if (status == CVM_OK) {
        out_path->scale = scaled.scale;
    }
    return status;
}

/* A list of paths, or one. */
static enum cvm_status read_fields(struct cvm_reading *reading, struct gathered *g)
{
    const struct cvm_yaml_node *node = g->item.fields;
    bool is_list = node != NULL && node->type == CVM_YAML_LIST;
    size_t count = node == NULL ? 0 : is_list ? node->child_count : 1;
    const struct cvm_yaml_node *item = is_list ? node->first_child : node;
    struct cvm_path *paths = CVM_NEW_ARRAY(reading->arena, count + 1, struct cvm_path);
    enum cvm_status status = CVM_OK;

    if (paths == NULL) {
        return cvm_reading_fail_memory(reading, g->node);
    }
    if (count > PATHS_MAX) {
        return cvm_schema_fail(node, reading->err, "found %zu fields, at most %d are allowed",
                               count, PATHS_MAX);
    }
    for (size_t i = 0; i < count && status == CVM_OK; i++, item = item->next) {
        status = read_path_item(reading, g, item, &paths[i]);
    }
    g->field.paths = paths;
    g->field.path_count = count;
    return status;
}

/* ---- words ---- */

static enum cvm_status add_raw(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                               struct gathered *g, const char *raw, double value)
{
    for (size_t i = 0; i < g->raw_count; i++) {
        if (strcasecmp(g->raw[i].raw, raw) == 0) {
            return g->raw[i].value == value
                       ? CVM_OK
                       : cvm_schema_fail(node, reading->err, "'%s' stands for two words", raw);
        }
    }
    if (g->raw_count == RAW_WORDS_MAX) {
        return cvm_schema_fail(node, reading->err, "more than %d words", RAW_WORDS_MAX);
    }
    g->raw[g->raw_count++] = (struct cvm_word_map){.raw = raw, .value = value};
    return CVM_OK;
}

/* The raw words under one canonical word: a list, or one. */
static enum cvm_status add_raws(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                struct gathered *g, double value)
{
    enum cvm_status status = CVM_OK;
    if (node->type == CVM_YAML_MAP) {
        return cvm_schema_fail(node, reading->err, "a list of words is allowed");
    }
    if (node->type == CVM_YAML_SCALAR) {
        return node->text[0] == '\0' ? CVM_OK : add_raw(reading, node, g, node->text, value);
    }
    for (const struct cvm_yaml_node *n = node->first_child; n != NULL && status == CVM_OK;
         n = n->next) {
        status = n->type == CVM_YAML_SCALAR ? add_raw(reading, n, g, n->text, value)
                                            : cvm_schema_fail(n, reading->err, "a word is allowed");
    }
    return status;
}

static enum cvm_status add_canonical(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                     struct gathered *g, const char *word)
{
    if (word == NULL || word[0] == '\0' || strlen(word) > WORD_LENGTH_MAX ||
        strpbrk(word, "'\"") != NULL) {
        return cvm_schema_fail(node, reading->err,
                               "a word of 1 to %d bytes without quotes in it is allowed",
                               WORD_LENGTH_MAX);
    }
    if (g->canonical_count == WORDS_MAX) {
        return cvm_schema_fail(node, reading->err, "more than %d words", WORDS_MAX);
    }
    for (size_t i = 0; i < g->canonical_count; i++) {
        if (strcmp(g->canonical[i], word) == 0) {
            return cvm_schema_fail(node, reading->err, "the word '%s' appears twice", word);
        }
    }
    g->canonical[g->canonical_count++] = word;
    return add_raw(reading, node, g, word, (double)(g->canonical_count - 1));
}

/* Canonical words with or without the raw words of this source: a list or a map. */
static enum cvm_status read_word_words(struct cvm_reading *reading, struct gathered *g)
{
    const struct cvm_yaml_node *node = g->item.words;
    enum cvm_status status = CVM_OK;

    if (node == NULL || node->type == CVM_YAML_SCALAR || node->child_count == 0) {
        return cvm_schema_fail(node == NULL ? g->node : node, reading->err,
                               "type word needs words: a list, or a map of word to raw words");
    }
    for (const struct cvm_yaml_node *n = node->first_child; n != NULL && status == CVM_OK;
         n = n->next) {
        status = add_canonical(reading, n, g, n->key == NULL ? n->text : n->key);
    }
    if (node->type == CVM_YAML_LIST) {
        return status;
    }
    double value = 0;
    for (const struct cvm_yaml_node *n = node->first_child; n != NULL && status == CVM_OK;
         n = n->next) {
        status = add_raws(reading, n, g, value++);
    }
    return status;
}

static enum cvm_status read_boolean_words(struct cvm_reading *reading, struct gathered *g)
{
    static const char *const usual[2][4] = {{"false", "no", "n", "0"}, {"true", "yes", "y", "1"}};
    const struct cvm_yaml_node *node = g->item.words;
    enum cvm_status status = cvm_reading_check_map(reading, node, 2, "words");

    for (const struct cvm_yaml_node *n = node == NULL ? NULL : node->first_child;
         n != NULL && status == CVM_OK; n = n->next) {
        bool is_true = strcmp(n->key, "true") == 0;
        if (!is_true && strcmp(n->key, "false") != 0) {
            return cvm_schema_fail(n, reading->err, "true or false is allowed");
        }
        status = add_raws(reading, n, g, is_true ? 1 : 0);
    }
    /* The usual words, unless the file gives them another meaning. */
    for (size_t i = 0; i < 8 && status == CVM_OK; i++) {
        const char *word = usual[i / 4][i % 4];
        bool is_taken = false;
        for (size_t j = 0; j < g->raw_count; j++) {
            is_taken = is_taken || strcasecmp(g->raw[j].raw, word) == 0;
        }
        status = is_taken ? CVM_OK : add_raw(reading, g->node, g, word, (double)(i / 4));
    }
    return status;
}

/* Words that stand for numbers: {unlimited: 1000}. */
static enum cvm_status read_number_words(struct cvm_reading *reading, struct gathered *g)
{
    const struct cvm_yaml_node *node = g->item.words;
    enum cvm_status status = cvm_reading_check_map(reading, node, RAW_WORDS_MAX, "words");

    for (const struct cvm_yaml_node *n = node == NULL ? NULL : node->first_child;
         n != NULL && status == CVM_OK; n = n->next) {
        double value = 0;
        status = cvm_schema_number(n, 0, 0, &value, reading->err);
        if (status == CVM_OK) {
            status = add_raw(reading, n, g, n->key, value);
        }
    }
    return status;
}

static enum cvm_status read_words(struct cvm_reading *reading, struct gathered *g)
{
    enum cvm_status status = CVM_OK;

    if (g->attribute.type == CVM_ATTRIBUTE_WORD) {
        status = read_word_words(reading, g);
    } else if (g->attribute.type == CVM_ATTRIBUTE_BOOLEAN) {
        status = read_boolean_words(reading, g);
    } else if (g->attribute.type == CVM_ATTRIBUTE_NUMBER) {
        status = read_number_words(reading, g);
    } else if (g->item.words != NULL) {
        status = cvm_schema_fail(g->item.words, reading->err,
                                 "only the types word, boolean and number have words");
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_word_map *raw = CVM_NEW_ARRAY(reading->arena, g->raw_count + 1, struct cvm_word_map);
    if (raw == NULL) {
        return cvm_reading_fail_memory(reading, g->node);
    }
    memcpy(raw, g->raw, g->raw_count * sizeof(raw[0]));
    g->field.words = raw;
    g->field.word_count = g->raw_count;
    return CVM_OK;
}

/* ---- sums, constants, scores ---- */

bool cvm_source_fills(const struct cvm_source *source, int attribute)
{
    for (size_t i = 0; i < source->field_count; i++) {
        if (source->fields[i].attribute == attribute) {
            return true;
        }
    }
    return false;
}

static enum cvm_status read_sum_of(struct cvm_reading *reading, const struct cvm_source *source,
                                   struct gathered *g)
{
    const struct cvm_yaml_node *node = cvm_yaml_member(g->node, "sum_of");
    const struct cvm_schema_texts *names = &g->item.sum_of;
    int *attributes = CVM_NEW_ARRAY(reading->arena, names->count + 1, int);

    if (attributes == NULL) {
        return cvm_reading_fail_memory(reading, g->node);
    }
    if (names->count > 0 && g->attribute.type != CVM_ATTRIBUTE_NUMBER) {
        return cvm_schema_fail(node, reading->err, "only a number is a sum");
    }
    for (size_t i = 0; i < names->count; i++) {
        attributes[i] = cvm_catalogue_attribute(reading->catalogue, names->items[i]);
        if (attributes[i] < 0 || !cvm_source_fills(source, attributes[i])) {
            return cvm_schema_fail(node, reading->err,
                                   "'%s' is not mapped before it in source '%s'", names->items[i],
                                   source->name);
        }
        if (reading->catalogue->attributes[attributes[i]].type != CVM_ATTRIBUTE_NUMBER) {
            return cvm_schema_fail(node, reading->err, "'%s' is no number", names->items[i]);
        }
        if (reading->catalogue->attributes[attributes[i]].sensitive) {
            g->attribute.sensitive = true;
        }
    }
    g->field.sum_of = attributes;
    g->field.sum_of_count = names->count;
    return CVM_OK;
}

static enum cvm_status read_constant(struct cvm_reading *reading, struct gathered *g)
{
    const struct cvm_yaml_node *node = g->item.constant;
    enum cvm_attribute_type type = g->attribute.type;

    if (node == NULL) {
        return CVM_OK;
    }
    g->field.has_constant = true;
    if (type == CVM_ATTRIBUTE_NUMBER && node->type == CVM_YAML_SCALAR) {
        return cvm_schema_number(node, 0, 0, &g->field.constant, reading->err);
    }
    if ((type == CVM_ATTRIBUTE_WORD || type == CVM_ATTRIBUTE_BOOLEAN) &&
        node->type == CVM_YAML_SCALAR) {
        for (size_t i = 0; i < g->raw_count; i++) {
            if (strcasecmp(g->raw[i].raw, node->text) == 0) {
                g->field.constant = g->raw[i].value;
                return CVM_OK;
            }
        }
        return cvm_schema_fail(node, reading->err, "'%s' is not one of its words", node->text);
    }
    return cvm_schema_fail(node, reading->err, "a number, a word, true or false is allowed");
}

static enum cvm_status read_score(struct cvm_reading *reading, struct gathered *g)
{
    if (g->item.score == NULL) {
        return CVM_OK;
    }
    if (g->attribute.type != CVM_ATTRIBUTE_NUMBER) {
        return cvm_schema_fail(g->item.score, reading->err, "only a number is a score");
    }
    return cvm_schema_read(reading->arena, &score_schema, g->item.score, &g->attribute.score,
                           reading->err);
}

static enum cvm_status check_list(struct cvm_reading *reading, const struct gathered *g)
{
    bool needs_number = g->item.list != CVM_LIST_FIRST;
    if (g->item.has_list && needs_number && g->attribute.type != CVM_ATTRIBUTE_NUMBER) {
        return cvm_schema_fail(cvm_yaml_member(g->node, "list"), reading->err,
                               "'%s' gives a number, but the type is %s", list_words[g->item.list],
                               attribute_type_words[g->attribute.type]);
    }
    return CVM_OK;
}

static enum cvm_status gather(struct cvm_reading *reading, const struct cvm_source *source,
                              const struct cvm_yaml_node *node, struct gathered *g)
{
    memset(g, 0, sizeof(*g));
    g->node = node;
    if (!cvm_reading_is_name(node->key)) {
        return cvm_schema_fail(node, reading->err,
                               "a name of at most 64 of a-z 0-9 _ . is allowed");
    }
    enum cvm_status status =
        cvm_schema_read(reading->arena, &attribute_schema, node, &g->item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    g->attribute.name = node->key;
    g->attribute.type = (enum cvm_attribute_type)g->item.type;
    g->attribute.personal = g->item.personal;
    g->attribute.sensitive = g->item.sensitive;
    g->field.aggregate = (enum cvm_list_aggregate)g->item.list;
    g->field.required = g->item.required;
    if (g->item.fields == NULL && g->item.sum_of.count == 0 && g->item.constant == NULL) {
        return cvm_schema_fail(node, reading->err, "one of fields, sum_of and constant is needed");
    }
    enum cvm_status (*const steps[])(struct cvm_reading *, struct gathered *) = {
        read_fields, read_words, read_constant, read_score};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && status == CVM_OK; i++) {
        status = steps[i](reading, g);
    }
    if (status == CVM_OK) {
        status = check_list(reading, g);
    }
    return status == CVM_OK ? read_sum_of(reading, source, g) : status;
}

/* ---- canonical attributes, shared by sources ---- */

static enum cvm_status fail_clash(struct cvm_reading *reading, const struct gathered *g,
                                  const struct cvm_yaml_node *first, const char *what,
                                  const char *here, const char *there)
{
    return cvm_schema_fail(g->node, reading->err, "its %s is %s here, but %s on %s:%d", what, here,
                           there, first->file, first->line);
}

static bool has_words(const struct cvm_attribute *attribute, const struct gathered *g)
{
    for (size_t i = 0; i < g->canonical_count; i++) {
        if (attribute->words[i] == NULL || strcmp(attribute->words[i], g->canonical[i]) != 0) {
            return false;
        }
    }
    return attribute->words[g->canonical_count] == NULL;
}

static bool is_same_score(const struct cvm_score *a, const struct cvm_score *b)
{
    return a->horizon_days == b->horizon_days && a->intercept == b->intercept &&
           a->slope == b->slope;
}

static enum cvm_status merge_attribute(struct cvm_reading *reading, const struct gathered *g,
                                       int index)
{
    struct cvm_attribute *attribute = &reading->catalogue->attributes[index];
    const struct cvm_yaml_node *first = reading->attributes[index];

    if (attribute->type != g->attribute.type) {
        return fail_clash(reading, g, first, "type", attribute_type_words[g->attribute.type],
                          attribute_type_words[attribute->type]);
    }
    if (attribute->personal != g->attribute.personal) {
        return fail_clash(reading, g, first, "personal", g->attribute.personal ? "true" : "false",
                          attribute->personal ? "true" : "false");
    }
    if (attribute->type == CVM_ATTRIBUTE_WORD && !has_words(attribute, g)) {
        return cvm_schema_fail(g->node, reading->err,
                               "its words are not the same, in the same order, as on %s:%d",
                               first->file, first->line);
    }
    if (g->item.score != NULL && attribute->score.horizon_days > 0 &&
        !is_same_score(&attribute->score, &g->attribute.score)) {
        return cvm_schema_fail(g->item.score, reading->err, "the score is not the same as on %s:%d",
                               first->file, first->line);
    }
    if (g->item.score != NULL) {
        attribute->score = g->attribute.score;
    }
    attribute->sensitive = attribute->sensitive || g->attribute.sensitive;
    return CVM_OK;
}

static enum cvm_status add_attribute(struct cvm_reading *reading, const struct gathered *g)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_attribute attribute = g->attribute;

    if (catalogue->attribute_count == CVM_ATTRIBUTES_MAX) {
        return cvm_schema_fail(g->node, reading->err, "more than %d attributes",
                               CVM_ATTRIBUTES_MAX);
    }
    if (attribute.type == CVM_ATTRIBUTE_WORD) {
        const struct cvm_schema_texts words = {(const char **)g->canonical, g->canonical_count};
        enum cvm_status status = cvm_reading_texts(reading, g->node, words, &attribute.words);
        if (status != CVM_OK) {
            return status;
        }
    }
    reading->attributes[catalogue->attribute_count] = g->node;
    catalogue->attributes[catalogue->attribute_count++] = attribute;
    return CVM_OK;
}

static enum cvm_status read_attribute(struct cvm_reading *reading, struct cvm_source *source,
                                      const struct cvm_yaml_node *node, struct gathered *g,
                                      struct cvm_mapped_field *out_field)
{
    enum cvm_status status = gather(reading, source, node, g);
    if (status != CVM_OK) {
        return status;
    }
    int index = cvm_catalogue_attribute(reading->catalogue, g->attribute.name);
    status = index < 0 ? add_attribute(reading, g) : merge_attribute(reading, g, index);
    if (status != CVM_OK) {
        return status;
    }
    g->field.attribute = index < 0 ? (int)reading->catalogue->attribute_count - 1 : index;
    reading->catalogue->attributes[g->field.attribute].sources |=
        UINT64_C(1) << reading->catalogue->source_count;
    *out_field = g->field;
    return CVM_OK;
}

enum cvm_status cvm_read_attributes(struct cvm_reading *reading, struct cvm_source *source,
                                    const struct cvm_yaml_node *map)
{
    enum cvm_status status = cvm_reading_check_map(reading, map, FIELDS_MAX, "attributes");
    if (map == NULL || status != CVM_OK) {
        return status;
    }
    struct cvm_mapped_field *fields =
        CVM_NEW_ARRAY(reading->arena, map->child_count + 1, struct cvm_mapped_field);
    struct gathered *g = CVM_NEW(reading->arena, struct gathered);
    if (fields == NULL || g == NULL) {
        return cvm_reading_fail_memory(reading, map);
    }
    source->fields = fields;
    for (const struct cvm_yaml_node *n = map->first_child; n != NULL && status == CVM_OK;
         n = n->next) {
        status = read_attribute(reading, source, n, g, &fields[source->field_count]);
        source->field_count += status == CVM_OK ? 1 : 0;
    }
    return status;
}
