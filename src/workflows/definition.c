#include "workflows/definition.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "base/schema.h"
#include "base/suggest.h"

#define ATTEMPTS_DEFAULT   8
#define BASE_DEFAULT_MS    100
#define CAP_DEFAULT_MS     30000
#define TIMEOUT_DEFAULT_MS (10 * 60 * 1000)
#define DAY_MS             86400000.0
#define INPUTS_MAX         32
#define PRIORITY_MAX       100

#define KEY(structure, name, member, ...)                                                          \
    {                                                                                              \
        .key = (name), .offset = offsetof(structure, member), .type = __VA_ARGS__                  \
    }

/* ---- schemas ---- */

struct root_item {
    const char *name;
    const char *description;
    int64_t deadline_ms;
    int64_t priority;
    const struct cvm_yaml_node *input;
    const struct cvm_yaml_node *steps;
};
static const struct cvm_schema_field root_fields[] = {
    KEY(struct root_item, "workflow", name, CVM_SCHEMA_NAME, .required = true),
    KEY(struct root_item, "description", description, CVM_SCHEMA_TEXT, .required = true),
    KEY(struct root_item, "deadline", deadline_ms, CVM_SCHEMA_SPAN, .min = 1000,
        .max = 30 * DAY_MS),
    KEY(struct root_item, "priority", priority, CVM_SCHEMA_INT, .min = -PRIORITY_MAX,
        .max = PRIORITY_MAX),
    KEY(struct root_item, "input", input, CVM_SCHEMA_NODE),
    KEY(struct root_item, "steps", steps, CVM_SCHEMA_NODE, .required = true),
    {.key = NULL},
};
static const struct cvm_schema root_schema = {"a workflow", root_fields};

static const char *const fan_out_words[] = {"none", "shards", NULL};
static const char *const on_failure_words[] = {"fail", "skip", "pause", NULL};

struct step_item {
    const char *id;
    const char *agent;
    const char *message;
    struct cvm_schema_texts needs;
    int fan_out;
    int on_failure;
    int64_t timeout_ms;
    int64_t priority;
    const struct cvm_yaml_node *retry;
};
static const struct cvm_schema_field step_fields[] = {
    KEY(struct step_item, "id", id, CVM_SCHEMA_NAME, .required = true),
    KEY(struct step_item, "agent", agent, CVM_SCHEMA_TEXT, .required = true),
    KEY(struct step_item, "message", message, CVM_SCHEMA_TEXT, .required = true),
    KEY(struct step_item, "needs", needs, CVM_SCHEMA_TEXTS),
    KEY(struct step_item, "fan_out", fan_out, CVM_SCHEMA_WORD, .words = fan_out_words),
    KEY(struct step_item, "on_failure", on_failure, CVM_SCHEMA_WORD, .words = on_failure_words),
    KEY(struct step_item, "timeout", timeout_ms, CVM_SCHEMA_SPAN, .min = 100, .max = DAY_MS),
    KEY(struct step_item, "priority", priority, CVM_SCHEMA_INT, .min = -PRIORITY_MAX,
        .max = PRIORITY_MAX),
    KEY(struct step_item, "retry", retry, CVM_SCHEMA_NODE),
    {.key = NULL},
};
static const struct cvm_schema step_schema = {"a step", step_fields};

struct retry_item {
    int64_t attempts;
    int64_t base_ms;
    int64_t cap_ms;
};
static const struct cvm_schema_field retry_fields[] = {
    KEY(struct retry_item, "attempts", attempts, CVM_SCHEMA_INT, .min = 1, .max = 100),
    KEY(struct retry_item, "base", base_ms, CVM_SCHEMA_SPAN, .min = 1, .max = 3600000),
    KEY(struct retry_item, "cap", cap_ms, CVM_SCHEMA_SPAN, .min = 1, .max = DAY_MS),
    {.key = NULL},
};
static const struct cvm_schema retry_schema = {"retry", retry_fields};

static const char *const input_words[] = {"text",    "date",   "integer", "number",
                                          "boolean", "object", NULL};

struct reading {
    struct cvm_arena *arena;
    struct cvm_definition *definition;
    struct cvm_definition_step *steps;
    const struct cvm_yaml_node **nodes; /* of the steps */
    struct cvm_schema_texts *needs;
    struct cvm_error *err;
};

static enum cvm_status fail_memory(struct reading *reading)
{
    return CVM_FAIL(reading->err, CVM_E_LIMIT, "no memory for the definition of a workflow");
}

static enum cvm_status fail_limit(struct reading *reading, const struct cvm_yaml_node *node,
                                  const char *what, size_t count, size_t max)
{
    enum cvm_status status =
        CVM_FAIL(reading->err, CVM_E_LIMIT, "key '%s': %zu %s, at most %zu are allowed", node->key,
                 count, what, max);
    return cvm_error_where(reading->err, status, "%s:%d", node->file, node->line);
}

/* Where the key stands, or else its map. */
static const struct cvm_yaml_node *place(const struct cvm_yaml_node *map, const char *key)
{
    const struct cvm_yaml_node *node = cvm_yaml_member(map, key);
    return node == NULL ? map : node;
}

/* ---- input ---- */

static enum cvm_status read_input(struct reading *reading, const struct cvm_yaml_node *node,
                                  struct cvm_definition_input *input)
{
    size_t length = node->type == CVM_YAML_SCALAR ? strlen(node->text) : 0;
    input->is_optional = length > 0 && node->text[length - 1] == '?';
    length -= input->is_optional ? 1 : 0;
    for (int i = 0; input_words[i] != NULL; i++) {
        if (strlen(input_words[i]) == length && strncmp(node->text, input_words[i], length) == 0) {
            input->name = node->key;
            input->type = (enum cvm_input_type)i;
            return CVM_OK;
        }
    }
    return cvm_schema_fail(node, reading->err,
                           "a type is needed: text, date, integer, number, boolean or object, with "
                           "a '?' when it may be absent");
}

static enum cvm_status read_inputs(struct reading *reading, const struct cvm_yaml_node *map)
{
    if (map == NULL) {
        return CVM_OK;
    }
    if (map->type != CVM_YAML_MAP) {
        return cvm_schema_fail(map, reading->err, "a map of names and types is allowed");
    }
    if (map->child_count > INPUTS_MAX) {
        return fail_limit(reading, map, "inputs", map->child_count, INPUTS_MAX);
    }
    struct cvm_definition_input *inputs =
        CVM_NEW_ARRAY(reading->arena, map->child_count + 1, struct cvm_definition_input);
    if (inputs == NULL) {
        return fail_memory(reading);
    }
    enum cvm_status status = CVM_OK;
    size_t count = 0;
    for (const struct cvm_yaml_node *n = map->first_child; status == CVM_OK && n != NULL;
         n = n->next) {
        status = read_input(reading, n, &inputs[count++]);
    }
    reading->definition->inputs = inputs;
    reading->definition->input_count = count;
    return status;
}

/* ---- a step ---- */

static enum cvm_status find_kind(struct reading *reading, const struct cvm_yaml_node *node,
                                 const struct step_item *item,
                                 const struct cvm_step_kind **out_kind)
{
    struct cvm_suggestion agents = {.typed = item->agent};
    struct cvm_suggestion messages = {.typed = item->message};
    bool is_agent = false;
    for (const struct cvm_step_kind *kind = cvm_step_kinds; kind->agent != NULL; kind++) {
        bool is_same = strcmp(kind->agent, item->agent) == 0;
        cvm_suggestion_try(&agents, kind->agent);
        if (is_same && strcmp(kind->message, item->message) == 0) {
            *out_kind = kind;
            return CVM_OK;
        }
        if (is_same) {
            is_agent = true;
            cvm_suggestion_try(&messages, kind->message);
            messages.best = messages.best == NULL ? kind->message : messages.best;
        }
    }
    if (!is_agent) {
        return cvm_schema_fail(place(node, "agent"), reading->err, "there is no agent '%s'%s%s%s",
                               item->agent, agents.best == NULL ? "" : "; did you mean '",
                               agents.best == NULL ? "" : agents.best,
                               agents.best == NULL ? "" : "'?");
    }
    return cvm_schema_fail(place(node, "message"), reading->err,
                           "the agent '%s' does not serve '%s', it serves %s", item->agent,
                           item->message, messages.best);
}

static enum cvm_status read_retry(struct reading *reading, const struct cvm_yaml_node *node,
                                  struct cvm_definition_step *step)
{
    struct retry_item item = {ATTEMPTS_DEFAULT, BASE_DEFAULT_MS, CAP_DEFAULT_MS};
    enum cvm_status status =
        node == NULL ? CVM_OK
                     : cvm_schema_read(reading->arena, &retry_schema, node, &item, reading->err);
    if (status == CVM_OK && item.cap_ms < item.base_ms) {
        return cvm_schema_fail(place(node, "cap"), reading->err,
                               "a pause of at most %lld ms is shorter than the first one, %lld ms",
                               (long long)item.cap_ms, (long long)item.base_ms);
    }
    step->attempts = item.attempts;
    step->retry_base_ms = item.base_ms;
    step->retry_cap_ms = item.cap_ms;
    return status;
}

static enum cvm_status read_step(struct reading *reading, const struct cvm_yaml_node *node,
                                 size_t at)
{
    struct step_item item = {.timeout_ms = TIMEOUT_DEFAULT_MS};
    struct cvm_definition_step *step = &reading->steps[at];
    enum cvm_status status =
        cvm_schema_read(reading->arena, &step_schema, node, &item, reading->err);
    if (status == CVM_OK) {
        status = find_kind(reading, node, &item, &step->kind);
    }
    for (size_t i = 0; status == CVM_OK && i < at; i++) {
        if (strcmp(reading->steps[i].id, item.id) == 0) {
            return cvm_schema_fail(place(node, "id"), reading->err,
                                   "step '%s' stands twice, first in line %d", item.id,
                                   reading->steps[i].line);
        }
    }
    if (status == CVM_OK && item.fan_out == 1 && !step->kind->may_fan_out) {
        return cvm_schema_fail(place(node, "fan_out"), reading->err,
                               "the agent '%s' works on all shards at once", item.agent);
    }
    if (status == CVM_OK && item.needs.count > CVM_DEFINITION_NEEDS_MAX) {
        return fail_limit(reading, place(node, "needs"), "steps are needed", item.needs.count,
                          CVM_DEFINITION_NEEDS_MAX);
    }
    if (status != CVM_OK) {
        return status;
    }
    step->id = item.id;
    step->is_fanned = item.fan_out == 1;
    step->on_failure = (enum cvm_on_failure)item.on_failure;
    step->timeout_ms = item.timeout_ms;
    step->priority = item.priority;
    step->line = node->line;
    reading->nodes[at] = node;
    reading->needs[at] = item.needs;
    return read_retry(reading, item.retry, step);
}

static enum cvm_status read_steps(struct reading *reading, const struct cvm_yaml_node *list)
{
    size_t count = list->child_count;
    if (list->type != CVM_YAML_LIST || count == 0) {
        return cvm_schema_fail(list, reading->err, "a list of steps is needed");
    }
    if (count > CVM_DEFINITION_STEPS_MAX) {
        return fail_limit(reading, list, "steps", count, CVM_DEFINITION_STEPS_MAX);
    }
    reading->steps = CVM_NEW_ARRAY(reading->arena, count, struct cvm_definition_step);
    reading->nodes = CVM_NEW_ARRAY(reading->arena, count, const struct cvm_yaml_node *);
    reading->needs = CVM_NEW_ARRAY(reading->arena, count, struct cvm_schema_texts);
    if (reading->steps == NULL || reading->nodes == NULL || reading->needs == NULL) {
        return fail_memory(reading);
    }
    enum cvm_status status = CVM_OK;
    size_t at = 0;
    for (const struct cvm_yaml_node *n = list->first_child; status == CVM_OK && n != NULL;
         n = n->next) {
        status = read_step(reading, n, at++);
    }
    reading->definition->steps = reading->steps;
    reading->definition->step_count = count;
    return status;
}

/* ---- edges ---- */

static enum cvm_status link_need(struct reading *reading, size_t at, const char *id)
{
    struct cvm_definition_step *step = &reading->steps[at];
    const struct cvm_yaml_node *node = place(reading->nodes[at], "needs");
    struct cvm_suggestion near = {.typed = id};
    int found = cvm_definition_find(reading->definition, id);
    for (size_t i = 0; i < reading->definition->step_count; i++) {
        cvm_suggestion_try(&near, reading->steps[i].id);
    }
    if (found < 0) {
        return cvm_schema_fail(node, reading->err, "there is no step '%s'%s%s%s", id,
                               near.best == NULL ? "" : "; did you mean '",
                               near.best == NULL ? "" : near.best, near.best == NULL ? "" : "'?");
    }
    for (size_t i = 0; i < step->need_count; i++) {
        if (step->needs[i] == (size_t)found) {
            return cvm_schema_fail(node, reading->err, "step '%s' is needed twice", id);
        }
    }
    step->needs[step->need_count++] = (size_t)found;
    return CVM_OK;
}

static bool is_among(const char *type, const char *const *types)
{
    for (; *types != NULL; types++) {
        if (strcmp(*types, type) == 0) {
            return true;
        }
    }
    return false;
}

/* Each step that is needed gives something that is taken, and no two the same. */
static enum cvm_status check_given(struct reading *reading, size_t at)
{
    const struct cvm_definition_step *step = &reading->steps[at];
    const struct cvm_yaml_node *node = place(reading->nodes[at], "needs");
    for (size_t i = 0; i < step->need_count; i++) {
        const struct cvm_definition_step *before = &reading->steps[step->needs[i]];
        const char *type = before->kind->gives;
        if (!is_among(type, step->kind->takes) && !is_among(type, step->kind->may_take)) {
            return cvm_schema_fail(node, reading->err,
                                   "step '%s' gives %s, which the agent '%s' does not take",
                                   before->id, type, step->kind->agent);
        }
        for (size_t j = 0; j < i; j++) {
            const struct cvm_definition_step *other = &reading->steps[step->needs[j]];
            if (strcmp(other->kind->gives, type) == 0) {
                return cvm_schema_fail(node, reading->err, "steps '%s' and '%s' both give %s",
                                       other->id, before->id, type);
            }
        }
    }
    return CVM_OK;
}

static enum cvm_status check_taken(struct reading *reading, size_t at)
{
    const struct cvm_definition_step *step = &reading->steps[at];
    if (step->kind->may_stand_alone && step->need_count == 0) {
        return CVM_OK;
    }
    for (const char *const *type = step->kind->takes; *type != NULL; type++) {
        bool is_given = false;
        for (size_t i = 0; i < step->need_count; i++) {
            is_given |= strcmp(reading->steps[step->needs[i]].kind->gives, *type) == 0;
        }
        if (!is_given) {
            return cvm_schema_fail(place(reading->nodes[at], "needs"), reading->err,
                                   "step '%s' takes %s, which no step that it needs gives",
                                   step->id, *type);
        }
    }
    return CVM_OK;
}

/* Steps in an order in which each follows those that it needs; what is left over is in a circle. */
static enum cvm_status order_steps(struct reading *reading)
{
    size_t count = reading->definition->step_count;
    size_t *order = CVM_NEW_ARRAY(reading->arena, count, size_t);
    bool is_placed[CVM_DEFINITION_STEPS_MAX] = {false};
    size_t placed = 0;
    if (order == NULL) {
        return fail_memory(reading);
    }
    for (bool has_moved = true; has_moved;) {
        has_moved = false;
        for (size_t i = 0; i < count; i++) {
            bool is_ready = !is_placed[i];
            for (size_t n = 0; n < reading->steps[i].need_count; n++) {
                is_ready = is_ready && is_placed[reading->steps[i].needs[n]];
            }
            if (is_ready) {
                is_placed[i] = true;
                order[placed++] = i;
                has_moved = true;
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_placed[i]) {
            return cvm_schema_fail(place(reading->nodes[i], "needs"), reading->err,
                                   "step '%s' needs itself, by way of other steps or directly",
                                   reading->steps[i].id);
        }
    }
    reading->definition->order = order;
    return CVM_OK;
}

/* A step is cut where the base was cut before it. */
static enum cvm_status check_fan_out(struct reading *reading)
{
    struct cvm_definition *definition = reading->definition;
    bool knows_shards[CVM_DEFINITION_STEPS_MAX] = {false};
    for (size_t o = 0; o < definition->step_count; o++) {
        size_t i = definition->order[o];
        const struct cvm_definition_step *step = &reading->steps[i];
        for (size_t n = 0; n < step->need_count; n++) {
            knows_shards[i] |= knows_shards[step->needs[n]];
        }
        if (step->is_fanned && !knows_shards[i]) {
            return cvm_schema_fail(place(reading->nodes[i], "fan_out"), reading->err,
                                   "no step before '%s' cuts the customers into shards", step->id);
        }
        knows_shards[i] |= step->kind->cuts;
        definition->has_fan_out |= step->is_fanned;
    }
    return CVM_OK;
}

static enum cvm_status link_steps(struct reading *reading)
{
    size_t count = reading->definition->step_count;
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        for (size_t n = 0; status == CVM_OK && n < reading->needs[i].count; n++) {
            status = link_need(reading, i, reading->needs[i].items[n]);
        }
    }
    if (status == CVM_OK) {
        status = order_steps(reading);
    }
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        status = check_given(reading, i);
        status = status == CVM_OK ? check_taken(reading, i) : status;
    }
    return status == CVM_OK ? check_fan_out(reading) : status;
}

/* ---- all of it ---- */

static enum cvm_status check_name(struct reading *reading, const struct cvm_yaml_node *root,
                                  const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *name = reading->definition->name;
    const char *base = slash == NULL ? file : slash + 1;
    size_t length = strlen(name);
    if (strncmp(base, name, length) != 0 || strcmp(base + length, ".yaml") != 0) {
        return cvm_schema_fail(cvm_yaml_member(root, "workflow"), reading->err,
                               "workflow '%s' stands in the file '%s'", name, base);
    }
    return CVM_OK;
}

static enum cvm_status read_root(struct reading *reading, const char *file, const char *text,
                                 size_t length)
{
    const struct cvm_yaml_node *root = NULL;
    struct root_item item = {0};
    struct cvm_definition *definition = reading->definition;
    enum cvm_status status = cvm_yaml_read(reading->arena, file, text, length, &root, reading->err);
    if (status == CVM_OK) {
        status = cvm_schema_read(reading->arena, &root_schema, root, &item, reading->err);
    }
    if (status != CVM_OK) {
        return status;
    }
    definition->name = item.name;
    definition->description = item.description;
    definition->deadline_ms = item.deadline_ms;
    definition->priority = item.priority;
    status = check_name(reading, root, file);
    if (status == CVM_OK) {
        status = read_inputs(reading, item.input);
    }
    if (status == CVM_OK) {
        status = read_steps(reading, item.steps);
    }
    return status == CVM_OK ? link_steps(reading) : status;
}

enum cvm_status cvm_definition_read(struct cvm_arena *arena, const char *file, const char *text,
                                    size_t length, const struct cvm_definition **out_definition,
                                    struct cvm_error *err)
{
    struct cvm_digest digest;
    struct reading reading = {
        .arena = arena,
        .definition = CVM_NEW(arena, struct cvm_definition),
        .err = err,
    };
    if (length > CVM_DEFINITION_BYTES_MAX) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_LIMIT, "a workflow of %zu bytes, at most %zu are allowed", length,
                     CVM_DEFINITION_BYTES_MAX);
        return cvm_error_where(err, status, "%s", file);
    }
    char *copy = cvm_arena_copy(arena, text, length);
    if (reading.definition == NULL || copy == NULL) {
        return fail_memory(&reading);
    }
    reading.definition->text = copy;
    cvm_digest_init(&digest);
    cvm_digest_add(&digest, text, length);
    cvm_digest_finish(&digest, reading.definition->digest);
    enum cvm_status status = read_root(&reading, file, copy, length);
    if (status == CVM_OK) {
        *out_definition = reading.definition;
    }
    return status;
}

int cvm_definition_find(const struct cvm_definition *definition, const char *id)
{
    for (size_t i = 0; i < definition->step_count; i++) {
        if (strcmp(definition->steps[i].id, id) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* ---- the input of a workflow ---- */

static bool is_of_type(const struct cvm_json_value *value, enum cvm_input_type type)
{
    int32_t day = 0;
    int32_t second = 0;
    int32_t offset = 0;
    switch (type) {
    case CVM_INPUT_TEXT:
        return value->type == CVM_JSON_STRING && value->string.length > 0;
    case CVM_INPUT_DATE:
        return value->type == CVM_JSON_STRING && value->string.length == 10 &&
               cvm_day_parse(value->string.data, value->string.length, &day, &second, &offset);
    case CVM_INPUT_INTEGER:
        return value->type == CVM_JSON_INT;
    case CVM_INPUT_NUMBER:
        return value->type == CVM_JSON_INT || value->type == CVM_JSON_DOUBLE;
    case CVM_INPUT_BOOLEAN:
        return value->type == CVM_JSON_BOOL;
    case CVM_INPUT_OBJECT:
    default:
        return value->type == CVM_JSON_OBJECT;
    }
}

static bool is_known(const struct cvm_definition *definition, struct cvm_slice name)
{
    for (size_t i = 0; i < definition->input_count; i++) {
        if (cvm_slice_equals(name, definition->inputs[i].name)) {
            return true;
        }
    }
    return false;
}

enum cvm_status cvm_definition_check_input(const struct cvm_definition *definition,
                                           const struct cvm_json_value *input,
                                           struct cvm_error *err)
{
    if (input->type != CVM_JSON_OBJECT) {
        return CVM_FAIL(err, CVM_E_INVALID, "the input of a workflow is a JSON object");
    }
    for (size_t i = 0; i < definition->input_count; i++) {
        const struct cvm_definition_input *wanted = &definition->inputs[i];
        const struct cvm_json_value *value = cvm_json_member(input, wanted->name);
        if (value == NULL && !wanted->is_optional) {
            return CVM_FAIL(err, CVM_E_INVALID, "workflow '%s' needs the input '%s'",
                            definition->name, wanted->name);
        }
        if (value != NULL && !is_of_type(value, wanted->type)) {
            return CVM_FAIL(err, CVM_E_INVALID, "the input '%s' of workflow '%s' is no %s",
                            wanted->name, definition->name, input_words[wanted->type]);
        }
    }
    for (const struct cvm_json_value *v = input->first_child; v != NULL; v = v->next) {
        if (!is_known(definition, v->key)) {
            return CVM_FAIL(err, CVM_E_INVALID, "workflow '%s' has no input '%.*s'",
                            definition->name, (int)v->key.length, v->key.data);
        }
    }
    return CVM_OK;
}
