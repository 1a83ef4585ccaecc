#include "cli/treatment_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/date.h"
#include "base/file.h"
#include "base/schema.h"
#include "model/money.h"

#define KEY(structure, name, member, ...)                                                          \
    {                                                                                              \
        .key = (name), .offset = offsetof(structure, member), .type = __VA_ARGS__                  \
    }
#define MONEY_MAX 1e9
#define COUNT_MAX 1e12

/* ---- what may stand in a file ---- */

struct limits_item {
    int64_t max_per_day;
    int64_t remaining;
    int64_t cost_micro;
    int64_t priority;
    bool has_max, has_remaining, has_cost, has_priority;
};
#define PRESENT(member) .present_offset = offsetof(struct limits_item, member) + 1
static const struct cvm_schema_field limits_fields[] = {
    KEY(struct limits_item, "max_per_day", max_per_day, CVM_SCHEMA_INT, .min = 0, .max = COUNT_MAX,
        PRESENT(has_max)),
    KEY(struct limits_item, "remaining_availability", remaining, CVM_SCHEMA_INT, .min = 0,
        .max = COUNT_MAX, PRESENT(has_remaining)),
    KEY(struct limits_item, "cost_per_contact_pounds", cost_micro, CVM_SCHEMA_MICRO, .min = 0,
        .max = MONEY_MAX, PRESENT(has_cost)),
    KEY(struct limits_item, "cost_per_contact", cost_micro, CVM_SCHEMA_MICRO, .min = 0,
        .max = MONEY_MAX, PRESENT(has_cost)),
    KEY(struct limits_item, "priority", priority, CVM_SCHEMA_INT, .min = 1, .max = 1e6,
        PRESENT(has_priority)),
    {.key = NULL},
};
static const struct cvm_schema limits_schema = {"the constraints of a treatment", limits_fields};

struct treatment_item {
    const char *id;
    const char *display_name;
    const char *description;
    const char *permission_type;
    const char *channel;
    const char *created_at;
    bool enabled, has_enabled;
    bool is_custom;
    const struct cvm_yaml_node *attributes;
};

enum member_kind { MEMBER_TEXT, MEMBER_BOOL, MEMBER_NODE };
static const struct member {
    const char *key;
    enum member_kind kind;
    size_t offset;
} members[] = {
    {"id", MEMBER_TEXT, offsetof(struct treatment_item, id)},
    {"display_name", MEMBER_TEXT, offsetof(struct treatment_item, display_name)},
    {"description", MEMBER_TEXT, offsetof(struct treatment_item, description)},
    {"permission_type", MEMBER_TEXT, offsetof(struct treatment_item, permission_type)},
    {"type", MEMBER_TEXT, offsetof(struct treatment_item, permission_type)},
    {"channel", MEMBER_TEXT, offsetof(struct treatment_item, channel)},
    {"created_at", MEMBER_TEXT, offsetof(struct treatment_item, created_at)},
    {"enabled", MEMBER_BOOL, offsetof(struct treatment_item, enabled)},
    {"is_custom", MEMBER_BOOL, offsetof(struct treatment_item, is_custom)},
    {"custom", MEMBER_BOOL, offsetof(struct treatment_item, is_custom)},
    {"attributes", MEMBER_NODE, offsetof(struct treatment_item, attributes)},
};

struct reading {
    struct cvm_arena *arena;
    const struct cvm_catalogue *catalogue;
    const char *path;
    struct cvm_treatment_file *file;
    struct cvm_error *err;
};

static void add_line(struct cvm_text *out, const char *format, ...) CVM_PRINTF(2, 3);
static void add_line(struct cvm_text *out, const char *format, ...)
{
    char line[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    cvm_text_add(out, line);
    cvm_text_add_char(out, '\n');
}

/* ---- reading ---- */

static enum cvm_status read_bool(const struct reading *reading, const struct cvm_yaml_node *node,
                                 bool *out_value)
{
    bool is_true = node->type == CVM_YAML_SCALAR && strcasecmp(node->text, "true") == 0;
    bool is_false = node->type == CVM_YAML_SCALAR && strcasecmp(node->text, "false") == 0;
    if (!is_true && !is_false) {
        return cvm_schema_fail(node, reading->err, "true or false is allowed");
    }
    *out_value = is_true;
    return CVM_OK;
}

static enum cvm_status read_member(const struct reading *reading, const struct member *member,
                                   const struct cvm_yaml_node *node, struct treatment_item *item)
{
    char *place = (char *)item + member->offset;
    if (member->kind == MEMBER_NODE) {
        memcpy(place, &node, sizeof(node));
        return CVM_OK;
    }
    if (node->type != CVM_YAML_SCALAR) {
        return cvm_schema_fail(node, reading->err, "a single value is allowed");
    }
    if (member->kind == MEMBER_BOOL) {
        return read_bool(reading, node, (bool *)place);
    }
    memcpy(place, &node->text, sizeof(node->text));
    return CVM_OK;
}

/* Keys that mean nothing here (criteria, business case) are told, not refused. */
static enum cvm_status read_treatment(const struct reading *reading,
                                      const struct cvm_yaml_node *map, const char *id,
                                      struct treatment_item *out_item)
{
    struct treatment_item item = {.id = id, .enabled = true};
    enum cvm_status status = CVM_OK;
    if (map->type != CVM_YAML_MAP) {
        return cvm_schema_fail(map, reading->err, "a map of a treatment's keys is allowed");
    }
    for (const struct cvm_yaml_node *node = map->first_child; status == CVM_OK && node != NULL;
         node = node->next) {
        const struct member *member = NULL;
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
            member = strcmp(members[i].key, node->key) == 0 ? &members[i] : member;
        }
        if (member != NULL) {
            status = read_member(reading, member, node, &item);
            item.has_enabled |= strcmp(node->key, "enabled") == 0;
        } else if (strcmp(node->key, "constraints") != 0) {
            add_line(&reading->file->not_used, "%s:%d: %s", reading->path, node->line, node->key);
        }
    }
    if (status == CVM_OK) {
        *out_item = item;
    }
    return status;
}

static enum cvm_status read_limits(const struct reading *reading, const struct cvm_yaml_node *map,
                                   const char *id, struct limits_item *out_limits)
{
    struct limits_item limits = {0};
    if (map == NULL) {
        *out_limits = limits;
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_schema_read(reading->arena, &limits_schema, map, &limits, reading->err);
    if (status == CVM_OK && limits.has_max && limits.has_remaining &&
        limits.remaining > limits.max_per_day) {
        add_line(&reading->file->warnings,
                 "%s: remaining_availability %lld is more than max_per_day %lld: taken as %lld", id,
                 (long long)limits.remaining, (long long)limits.max_per_day,
                 (long long)limits.max_per_day);
    }
    if (status == CVM_OK) {
        *out_limits = limits;
    }
    return status;
}

/* ---- to a treatment of the catalogue ---- */

static bool find_alias(const struct cvm_alias *aliases, size_t count, const char *raw,
                       int *out_value)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(aliases[i].raw, raw) == 0) {
            *out_value = aliases[i].value;
            return true;
        }
    }
    return false;
}

static bool find_word(const char *const *words, const char *raw, int *out_value)
{
    for (int i = 0; words[i] != NULL; i++) {
        if (strcasecmp(words[i], raw) == 0) {
            *out_value = i;
            return true;
        }
    }
    return false;
}

static const char *attribute_of(const struct treatment_item *item, const char *key)
{
    const struct cvm_yaml_node *node =
        item->attributes != NULL && item->attributes->type == CVM_YAML_MAP
            ? cvm_yaml_member(item->attributes, key)
            : NULL;
    return node == NULL || node->type != CVM_YAML_SCALAR ? NULL : node->text;
}

static void set_contact(const struct reading *reading, const struct treatment_item *item,
                        struct cvm_treatment *treatment)
{
    const struct cvm_consent_words *words = &reading->catalogue->consent_words;
    const char *raw_channel = item->channel != NULL ? item->channel : attribute_of(item, "channel");
    const char *raw_purpose = item->permission_type;
    int channel = CVM_CHANNEL_UNSET;
    int purpose = CVM_PURPOSE_UNSET;
    if (raw_channel != NULL && !find_word(cvm_channel_words, raw_channel, &channel) &&
        !find_alias(words->channels, words->channel_count, raw_channel, &channel)) {
        add_line(&reading->file->warnings, "%s: channel '%s' is not known", item->id, raw_channel);
    }
    if (raw_purpose != NULL && !find_word(cvm_purpose_words, raw_purpose, &purpose) &&
        !find_alias(words->purposes, words->purpose_count, raw_purpose, &purpose)) {
        add_line(&reading->file->warnings, "%s: type '%s' is not known", item->id, raw_purpose);
    }
    treatment->channel = (enum cvm_channel)channel;
    treatment->purpose = (enum cvm_purpose)purpose;
    if (channel == CVM_CHANNEL_UNSET || purpose == CVM_PURPOSE_UNSET) {
        add_line(&reading->file->warnings,
                 "%s: no %s%s%s: not usable for contact until set in its catalogue file", item->id,
                 channel == CVM_CHANNEL_UNSET ? "channel" : "",
                 channel == CVM_CHANNEL_UNSET && purpose == CVM_PURPOSE_UNSET ? " and no " : "",
                 purpose == CVM_PURPOSE_UNSET ? "purpose" : "");
    }
}

/* Of an unknown treatment nothing is known but that people rarely take what they are offered: a
 * weak prior, to be replaced by whoever knows better. */
static const struct cvm_response weak_prior = {
    .reach = 0.3,
    .reach_sd = 0.1,
    .accept = 0.02,
    .accept_sd = 0.02,
    .churn_cut = 0.02,
    .churn_cut_sd = 0.02,
    .source = "prior",
};

static struct cvm_treatment new_treatment(const struct reading *reading,
                                          const struct treatment_item *item)
{
    struct cvm_treatment treatment = {
        .id = item->id,
        .display_name = item->id,
        .description = "",
        .action = item->id,
        .enabled = true,
        .custom = true,
        .valid_from_day = CVM_DAY_NONE,
        .valid_to_day = CVM_DAY_NONE,
        .max_per_day = 0,
        .priority = 99,
        .response = weak_prior,
    };
    int class = CVM_CLASS_SALES;
    const char *category = attribute_of(item, "category");
    set_contact(reading, item, &treatment);
    if (category == NULL || !find_word(cvm_treatment_class_words, category, &class)) {
        bool serves =
            treatment.purpose == CVM_PURPOSE_SERVICE || treatment.purpose == CVM_PURPOSE_BILLING;
        class = serves ? CVM_CLASS_SERVICE : CVM_CLASS_SALES;
    }
    treatment.class = (enum cvm_treatment_class) class;
    return treatment;
}

static void fill_treatment(const struct treatment_item *item, const struct limits_item *limits,
                           bool is_new, struct cvm_treatment *treatment)
{
    treatment->display_name =
        item->display_name != NULL ? item->display_name : treatment->display_name;
    treatment->description = item->description != NULL ? item->description : treatment->description;
    treatment->enabled = item->has_enabled ? item->enabled : treatment->enabled;
    treatment->created_at = item->created_at != NULL ? item->created_at : treatment->created_at;
    treatment->max_per_day = limits->has_max ? limits->max_per_day : treatment->max_per_day;
    treatment->priority = limits->has_priority ? limits->priority : treatment->priority;
    if (limits->has_cost) {
        treatment->cost_micro = limits->cost_micro;
        treatment->loaded_cost_micro = is_new ? limits->cost_micro : treatment->loaded_cost_micro;
    }
}

static bool is_name(const char *id)
{
    bool is_good = id[0] >= 'a' && id[0] <= 'z' && strlen(id) <= 64;
    return is_good && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_.") == strlen(id);
}

static enum cvm_status take_treatment(const struct reading *reading,
                                      const struct cvm_yaml_node *map,
                                      const struct cvm_yaml_node *limits_map, const char *id)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_treatment_file *file = reading->file;
    struct treatment_item item = {0};
    struct limits_item limits = {0};
    enum cvm_status status = read_treatment(reading, map, id, &item);
    if (status == CVM_OK && (!is_name(id) || (item.id != NULL && strcmp(item.id, id) != 0))) {
        status = cvm_schema_fail(map, reading->err,
                                 "found the id '%s', a name of small letters, digits and '_' is "
                                 "allowed, the same everywhere",
                                 item.id == NULL ? id : item.id);
    }
    if (status == CVM_OK) {
        status = read_limits(reading, limits_map, id, &limits);
    }
    if (status != CVM_OK) {
        return status;
    }
    int known = cvm_catalogue_treatment(catalogue, id);
    bool is_ignore = strcmp(id, catalogue->ignore.id) == 0;
    bool is_new = known == CVM_INDEX_NONE && !is_ignore;
    struct cvm_treatment treatment = is_ignore ? catalogue->ignore
                                     : is_new  ? new_treatment(reading, &item)
                                               : catalogue->treatments[known];
    if (is_ignore && limits_map != NULL) {
        add_line(&file->warnings, "%s: doing nothing has no limits: its constraints are not used",
                 id);
        limits = (struct limits_item){0};
    }
    if (is_new && !limits.has_max) {
        add_line(&file->warnings, "%s: no max_per_day: taken as 0, so nobody can get it", id);
    }
    fill_treatment(&item, &limits, is_new, &treatment);
    treatment.enabled |= is_ignore;
    file->is_new[file->count] = is_new;
    file->treatments[file->count++] = treatment;
    return CVM_OK;
}

/* ---- the two forms ---- */

static enum cvm_status find_section(const struct reading *reading, const struct cvm_yaml_node *root,
                                    const char *name, const struct cvm_yaml_node **out_section)
{
    const struct cvm_yaml_node *section = cvm_yaml_member(root, name);
    if (section == NULL) {
        enum cvm_status status =
            CVM_FAIL(reading->err, CVM_E_INVALID, "there is no section '%s'", name);
        return cvm_error_where(reading->err, status, "%s:1", reading->path);
    }
    if (section->type != CVM_YAML_MAP) {
        return cvm_schema_fail(section, reading->err, "a map of treatments is allowed");
    }
    *out_section = section;
    return CVM_OK;
}

static enum cvm_status check_limits(const struct reading *reading,
                                    const struct cvm_yaml_node *treatments,
                                    const struct cvm_yaml_node *constraints)
{
    for (const struct cvm_yaml_node *node = constraints->first_child; node != NULL;
         node = node->next) {
        if (cvm_yaml_member(treatments, node->key) == NULL) {
            return cvm_schema_fail(node, reading->err,
                                   "constraints of a treatment that the file does not have");
        }
    }
    return CVM_OK;
}

static enum cvm_status take_sections(const struct reading *reading,
                                     const struct cvm_yaml_node *root)
{
    const struct cvm_yaml_node *treatments = NULL;
    const struct cvm_yaml_node *constraints = NULL;
    enum cvm_status status = find_section(reading, root, "treatments", &treatments);
    if (status == CVM_OK) {
        status = find_section(reading, root, "constraints", &constraints);
    }
    if (status == CVM_OK) {
        status = check_limits(reading, treatments, constraints);
    }
    for (const struct cvm_yaml_node *node = status == CVM_OK ? treatments->first_child : NULL;
         status == CVM_OK && node != NULL; node = node->next) {
        status = take_treatment(reading, node, cvm_yaml_member(constraints, node->key), node->key);
    }
    for (const struct cvm_yaml_node *node = root->first_child; status == CVM_OK && node != NULL;
         node = node->next) {
        if (node != treatments && node != constraints) {
            add_line(&reading->file->not_used, "%s:%d: section %s", reading->path, node->line,
                     node->key);
        }
    }
    return status;
}

static enum cvm_status take_file(const struct reading *reading, const struct cvm_yaml_node *root)
{
    const struct cvm_yaml_node *sections = cvm_yaml_member(root, "treatments");
    const struct cvm_yaml_node *id = cvm_yaml_member(root, "id");
    size_t room = 1 + (sections == NULL ? 0 : sections->child_count);
    reading->file->treatments = CVM_NEW_ARRAY(reading->arena, room, struct cvm_treatment);
    reading->file->is_new = CVM_NEW_ARRAY(reading->arena, room, bool);
    if (reading->file->treatments == NULL || reading->file->is_new == NULL) {
        return CVM_FAIL(reading->err, CVM_E_LIMIT, "no memory for treatments");
    }
    if (sections == NULL && id != NULL && id->type == CVM_YAML_SCALAR) {
        return take_treatment(reading, root, cvm_yaml_member(root, "constraints"), id->text);
    }
    return take_sections(reading, root);
}

enum cvm_status cvm_treatment_file_read(struct cvm_arena *arena,
                                        const struct cvm_catalogue *catalogue, const char *path,
                                        struct cvm_treatment_file *out_file, struct cvm_error *err)
{
    struct cvm_treatment_file file = {0};
    struct reading reading = {arena, catalogue, path, &file, err};
    const struct cvm_yaml_node *root = NULL;
    char *text = NULL;
    size_t length = 0;
    enum cvm_status status = cvm_file_read(arena, path, CVM_YAML_BYTES_MAX, &text, &length, err);
    if (status == CVM_OK) { /* JSON is YAML too */
        status = cvm_yaml_read(arena, path, text, length, &root, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_text_init(&file.warnings, 0);
    cvm_text_init(&file.not_used, 0);
    status = root->type == CVM_YAML_MAP
                 ? take_file(&reading, root)
                 : cvm_schema_fail(root, err, "a map with sections is allowed");
    if (status != CVM_OK) {
        cvm_treatment_file_finish(&file);
        return status;
    }
    *out_file = file;
    return CVM_OK;
}

void cvm_treatment_file_finish(struct cvm_treatment_file *file)
{
    cvm_text_finish(&file->warnings);
    cvm_text_finish(&file->not_used);
}
