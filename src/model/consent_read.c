/* consent.yaml and topics.yaml: the words of the world outside. */
#include <string.h>
#include <strings.h>

#include "model/catalogue_reading.h"

#define ALIASES_MAX 256
#define PHRASES_MAX 128

struct consent_file {
    const struct cvm_yaml_node *channels;
    const struct cvm_yaml_node *purposes;
    const struct cvm_yaml_node *preferred_times;
    const struct cvm_yaml_node *languages;
    struct cvm_schema_texts yes;
    struct cvm_schema_texts no;
    struct cvm_schema_texts any_order;
};

static const struct cvm_schema_field consent_fields[] = {
    CVM_KEY(struct consent_file, "channels", channels, CVM_SCHEMA_NODE),
    CVM_KEY(struct consent_file, "purposes", purposes, CVM_SCHEMA_NODE),
    CVM_KEY(struct consent_file, "preferred_times", preferred_times, CVM_SCHEMA_NODE),
    CVM_KEY(struct consent_file, "languages", languages, CVM_SCHEMA_NODE),
    CVM_KEY(struct consent_file, "yes", yes, CVM_SCHEMA_TEXTS, .required = true),
    CVM_KEY(struct consent_file, "no", no, CVM_SCHEMA_TEXTS, .required = true),
    CVM_KEY(struct consent_file, "any_order", any_order, CVM_SCHEMA_TEXTS),
    {.key = NULL},
};
static const struct cvm_schema consent_schema = {"the consent words", consent_fields};

/* One scalar or a list of them under a free key. */
struct word_list {
    struct cvm_schema_texts texts;
};

static enum cvm_status read_word_list(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                      struct cvm_schema_texts *out_texts)
{
    const struct cvm_schema_field fields[] = {
        CVM_KEY(struct word_list, node->key, texts, CVM_SCHEMA_TEXTS),
        {.key = NULL},
    };
    const struct cvm_schema schema = {"a list of words", fields};
    struct cvm_yaml_node only = *node;
    struct cvm_yaml_node map = {.type = CVM_YAML_MAP,
                                .file = node->file,
                                .line = node->line,
                                .child_count = 1,
                                .first_child = &only};
    struct word_list list = {{NULL, 0}};

    only.next = NULL;
    enum cvm_status status = cvm_schema_read(reading->arena, &schema, &map, &list, reading->err);
    *out_texts = list.texts;
    return status;
}

/* Which of the closed words a key is. */
static int find_word(const char *const *words, size_t count, const char *wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], wanted) == 0) {
            return (int)i;
        }
    }
    return CVM_INDEX_NONE;
}

struct alias_table {
    const char *what;         /* "channel" */
    const char *const *words; /* the canonical ones */
    size_t word_count;
};

static enum cvm_status add_alias(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                 struct cvm_alias *aliases, size_t *count, struct cvm_alias added)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcasecmp(aliases[i].raw, added.raw) == 0) {
            return aliases[i].value == added.value
                       ? CVM_OK
                       : cvm_schema_fail(node, reading->err, "'%s' already means something else",
                                         added.raw);
        }
    }
    if (*count == ALIASES_MAX) {
        return cvm_schema_fail(node, reading->err, "more than %d words", ALIASES_MAX);
    }
    aliases[(*count)++] = added;
    return CVM_OK;
}

static enum cvm_status read_alias_line(struct cvm_reading *reading,
                                       const struct cvm_yaml_node *node,
                                       const struct alias_table *table, struct cvm_alias *aliases,
                                       size_t *count)
{
    struct cvm_schema_texts raws = {NULL, 0};
    int value = find_word(table->words, table->word_count, node->key);
    if (value < 0) {
        struct cvm_suggestion nearest = {.typed = node->key};
        for (size_t i = 0; i < table->word_count; i++) {
            cvm_suggestion_try(&nearest, table->words[i]);
        }
        return cvm_reading_fail_unknown(reading, node, table->what, &nearest);
    }
    enum cvm_status status = read_word_list(reading, node, &raws);
    for (size_t i = 0; i < raws.count && status == CVM_OK; i++) {
        status = add_alias(reading, node, aliases, count,
                           (struct cvm_alias){.raw = raws.items[i], .value = value});
    }
    return status;
}

/* The canonical words themselves first, then what the file adds. */
static enum cvm_status read_aliases(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                    const struct cvm_yaml_node *map,
                                    const struct alias_table *table,
                                    const struct cvm_alias **out_aliases, size_t *out_count)
{
    struct cvm_alias *aliases = CVM_NEW_ARRAY(reading->arena, ALIASES_MAX, struct cvm_alias);
    size_t count = 0;

    if (aliases == NULL) {
        return cvm_reading_fail_memory(reading, root);
    }
    for (size_t i = 0; i < table->word_count; i++) {
        aliases[count++] = (struct cvm_alias){.raw = table->words[i], .value = (int)i};
    }
    enum cvm_status status = cvm_reading_check_map(reading, map, table->word_count, "words");
    for (const struct cvm_yaml_node *n = map == NULL ? NULL : map->first_child;
         n != NULL && status == CVM_OK; n = n->next) {
        status = read_alias_line(reading, n, table, aliases, &count);
    }
    *out_aliases = aliases;
    *out_count = count;
    return status;
}

static enum cvm_status read_languages(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                      const struct cvm_yaml_node *map)
{
    struct cvm_language_alias *aliases =
        CVM_NEW_ARRAY(reading->arena, ALIASES_MAX, struct cvm_language_alias);
    size_t count = 0;
    if (aliases == NULL) {
        return cvm_reading_fail_memory(reading, root);
    }
    enum cvm_status status = cvm_reading_check_map(reading, map, ALIASES_MAX / 8, "languages");
    for (const struct cvm_yaml_node *n = map == NULL ? NULL : map->first_child;
         n != NULL && status == CVM_OK; n = n->next) {
        struct cvm_schema_texts raws = {NULL, 0};
        if (!cvm_reading_is_name(n->key) || strlen(n->key) >= CVM_LANGUAGE_SIZE) {
            return cvm_schema_fail(n, reading->err, "a language code like 'en' is allowed");
        }
        status = read_word_list(reading, n, &raws);
        if (status == CVM_OK && count + raws.count + 1 > ALIASES_MAX) {
            return cvm_schema_fail(n, reading->err, "more than %d words", ALIASES_MAX);
        }
        aliases[count++] = (struct cvm_language_alias){.raw = n->key, .code = n->key};
        for (size_t i = 0; i < raws.count; i++) {
            aliases[count++] = (struct cvm_language_alias){.raw = raws.items[i], .code = n->key};
        }
    }
    reading->catalogue->consent_words.languages = aliases;
    reading->catalogue->consent_words.language_count = count;
    return status;
}

static enum cvm_status read_any_order(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                      struct cvm_schema_texts texts)
{
    const struct cvm_yaml_node *node = cvm_yaml_member(root, "any_order");
    enum cvm_channel *order = reading->catalogue->consent_words.any_order;
    unsigned seen = 0;

    for (size_t i = 0; i < CVM_CHANNEL_COUNT; i++) {
        order[i] = (enum cvm_channel)i;
    }
    if (node == NULL) {
        return CVM_OK;
    }
    for (size_t i = 0; i < texts.count && i < CVM_CHANNEL_COUNT; i++) {
        int channel = find_word(cvm_channel_words, CVM_CHANNEL_COUNT, texts.items[i]);
        seen |= channel < 0 ? 0 : 1U << channel;
        order[i] = channel < 0 ? order[i] : (enum cvm_channel)channel;
    }
    if (texts.count != CVM_CHANNEL_COUNT || seen != (1U << CVM_CHANNEL_COUNT) - 1) {
        return cvm_schema_fail(node, reading->err,
                               "each of call, email, sms and push is allowed, once");
    }
    return CVM_OK;
}

enum cvm_status cvm_read_consent_words(struct cvm_reading *reading,
                                       const struct cvm_yaml_node *root)
{
    static const struct alias_table channels = {"channel", cvm_channel_words, CVM_CHANNEL_COUNT};
    static const struct alias_table purposes = {"purpose", cvm_purpose_words, CVM_PURPOSE_COUNT};
    static const struct alias_table times = {"preferred time", cvm_preferred_time_words,
                                             CVM_TIME_BUSINESS_HOURS + 1};
    struct cvm_consent_words *words = &reading->catalogue->consent_words;
    struct consent_file file = {0};

    enum cvm_status status =
        cvm_schema_read(reading->arena, &consent_schema, root, &file, reading->err);
    if (status == CVM_OK) {
        status = read_aliases(reading, root, file.channels, &channels, &words->channels,
                              &words->channel_count);
    }
    if (status == CVM_OK) {
        status = read_aliases(reading, root, file.purposes, &purposes, &words->purposes,
                              &words->purpose_count);
    }
    if (status == CVM_OK) {
        status = read_aliases(reading, root, file.preferred_times, &times, &words->preferred_times,
                              &words->preferred_time_count);
    }
    if (status == CVM_OK) {
        status = read_languages(reading, root, file.languages);
    }
    if (status == CVM_OK) {
        status = cvm_reading_texts(reading, root, file.yes, &words->yes);
    }
    if (status == CVM_OK) {
        status = cvm_reading_texts(reading, root, file.no, &words->no);
    }
    return status == CVM_OK ? read_any_order(reading, root, file.any_order) : status;
}

/* ---- topics ---- */

struct topics_file {
    const struct cvm_yaml_node *topics;
};
static const struct cvm_schema_field topics_fields[] = {
    CVM_KEY(struct topics_file, "topics", topics, CVM_SCHEMA_NODE, .required = true),
    {.key = NULL},
};
static const struct cvm_schema topics_schema = {"the topics file", topics_fields};

struct topic_item {
    const char *name;
    struct cvm_schema_texts phrases;
};
static const struct cvm_schema_field topic_fields[] = {
    CVM_KEY(struct topic_item, "topic", name, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct topic_item, "phrases", phrases, CVM_SCHEMA_TEXTS, .required = true),
    {.key = NULL},
};
static const struct cvm_schema topic_schema = {"a topic", topic_fields};

static enum cvm_status read_topic(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_topic *topic = &catalogue->topics[catalogue->topic_count];
    struct topic_item item = {0};

    enum cvm_status status =
        cvm_schema_read(reading->arena, &topic_schema, node, &item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t i = 0; i < catalogue->topic_count; i++) {
        if (strcmp(catalogue->topics[i].name, item.name) == 0) {
            return cvm_schema_fail(node, reading->err, "topic '%s' is defined twice", item.name);
        }
    }
    if (item.phrases.count == 0 || item.phrases.count > PHRASES_MAX) {
        return cvm_schema_fail(cvm_yaml_member(node, "phrases"), reading->err,
                               "found %zu phrases, 1 to %d are allowed", item.phrases.count,
                               PHRASES_MAX);
    }
    topic->name = item.name;
    status = cvm_reading_texts(reading, node, item.phrases, &topic->phrases);
    catalogue->topic_count += status == CVM_OK ? 1 : 0;
    return status;
}

enum cvm_status cvm_read_topics(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    struct topics_file file = {0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &topics_schema, root, &file, reading->err);
    if (status == CVM_OK) {
        status = cvm_reading_check_list(reading, file.topics, CVM_TOPICS_MAX, "topics");
    }
    for (const struct cvm_yaml_node *n = file.topics == NULL ? NULL : file.topics->first_child;
         n != NULL && status == CVM_OK; n = n->next) {
        status = read_topic(reading, n);
    }
    return status;
}
