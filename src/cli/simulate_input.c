#include "cli/simulate_input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/yaml.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define SETTINGS_MAX   CVM_CONSTRAINTS_MAX

struct reading {
    const struct cvm_arguments *arguments;
    const struct cvm_catalogue *catalogue;
    struct cvm_arena *arena;
    struct cvm_scenario *scenarios; /* CVM_SCENARIOS_MAX */
    size_t count;
};

static enum cvm_status fail_memory(struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "no memory for scenarios");
}

static enum cvm_status open_scenario(struct reading *reading, const char *name,
                                     struct cvm_error *err)
{
    for (size_t s = 0; s < reading->count; s++) {
        if (strcmp(reading->scenarios[s].name, name) == 0) {
            return CVM_FAIL(err, CVM_E_INVALID, "two scenarios are called '%s'", name);
        }
    }
    if (reading->count == CVM_SCENARIOS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "more than %d scenarios", CVM_SCENARIOS_MAX);
    }
    struct cvm_setting *settings = CVM_NEW_ARRAY(reading->arena, SETTINGS_MAX, struct cvm_setting);
    if (settings == NULL) {
        return fail_memory(err);
    }
    reading->scenarios[reading->count++] = (struct cvm_scenario){name, settings, 0};
    return CVM_OK;
}

static enum cvm_status add_setting(struct reading *reading, const char *name, const char *number,
                                   struct cvm_error *err)
{
    struct cvm_scenario *scenario = &reading->scenarios[reading->count - 1];
    struct cvm_setting setting;
    if (scenario->setting_count == SETTINGS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "more than %d settings in a scenario", SETTINGS_MAX);
    }
    enum cvm_status status =
        cvm_setting_parse(reading->catalogue, reading->arena, name, number, &setting, err);
    if (status == CVM_OK) {
        ((struct cvm_setting *)scenario->settings)[scenario->setting_count++] = setting;
    }
    return status;
}

/* "NAME=NUMBER" */
static enum cvm_status add_pair(struct reading *reading, const char *pair, struct cvm_error *err)
{
    size_t length = strcspn(pair, "=");
    if (pair[length] == '\0' || length == 0) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s' is no NAME=NUMBER", pair);
    }
    const char *name = cvm_arena_copy(reading->arena, pair, length);
    return name == NULL ? fail_memory(err) : add_setting(reading, name, pair + length + 1, err);
}

/* ---- the command line ---- */

static bool is_option(const struct cvm_given *given, const char *name)
{
    return strcmp(given->option->name, name) == 0;
}

/* A scenario without a name is called by what it sets. */
static enum cvm_status name_unnamed(struct reading *reading, struct cvm_error *err)
{
    struct cvm_text name;
    cvm_text_init(&name, 0);
    for (size_t i = 0; i < reading->arguments->given_count; i++) {
        const struct cvm_given *given = &reading->arguments->given[i];
        if (is_option(given, "--scenario")) {
            break;
        }
        if (is_option(given, "--set")) {
            cvm_text_add(&name, name.length > 0 ? " " : "");
            cvm_text_add(&name, given->value);
        }
    }
    const char *kept =
        name.failed ? NULL : cvm_arena_copy(reading->arena, cvm_text_string(&name), name.length);
    cvm_text_finish(&name);
    return kept == NULL ? fail_memory(err) : open_scenario(reading, kept, err);
}

static enum cvm_status read_line(struct reading *reading, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < reading->arguments->given_count; i++) {
        const struct cvm_given *given = &reading->arguments->given[i];
        if (is_option(given, "--scenario")) {
            status = open_scenario(reading, given->value, err);
        } else if (is_option(given, "--set")) {
            status = reading->count == 0 ? name_unnamed(reading, err) : CVM_OK;
            status = status == CVM_OK ? add_pair(reading, given->value, err) : status;
        }
    }
    return status;
}

/* ---- the file: {name: {setting: number}} ---- */

static enum cvm_status read_scenario(struct reading *reading, const struct cvm_yaml_node *node,
                                     struct cvm_error *err)
{
    if (node->type != CVM_YAML_MAP || node->child_count == 0) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_INVALID, "scenario '%s' is no map of settings", node->key);
        return cvm_error_where(err, status, "%s:%d", node->file, node->line);
    }
    enum cvm_status status = open_scenario(reading, node->key, err);
    for (const struct cvm_yaml_node *item = node->first_child; status == CVM_OK && item != NULL;
         item = item->next) {
        status = item->type == CVM_YAML_SCALAR
                     ? add_setting(reading, item->key, item->text, err)
                     : CVM_FAIL(err, CVM_E_INVALID, "'%s' takes one number", item->key);
        if (status != CVM_OK) {
            status = cvm_error_where(err, status, "%s:%d", item->file, item->line);
        }
    }
    return status;
}

/* JSON is YAML but for tabs, which stand between its values and never in them. */
static void replace_tabs(char *text, size_t length)
{
    size_t at = 0;
    while (at < length && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n')) {
        at++;
    }
    for (size_t i = 0; at < length && text[at] == '{' && i < length; i++) {
        text[i] = text[i] == '\t' ? ' ' : text[i];
    }
}

static enum cvm_status read_file(struct reading *reading, const char *path, struct cvm_error *err)
{
    const struct cvm_yaml_node *root = NULL;
    char *text = NULL;
    size_t length = 0;
    enum cvm_status status =
        cvm_file_read(reading->arena, path, FILE_BYTES_MAX, &text, &length, err);
    if (status == CVM_OK) {
        replace_tabs(text, length);
        status = cvm_yaml_read(reading->arena, path, text, length, &root, err);
    }
    if (status == CVM_OK && root->type != CVM_YAML_MAP) {
        status = CVM_FAIL(err, CVM_E_INVALID, "'%s' is no map of scenarios", path);
        status = cvm_error_hint(err, status, "It looks so: {more calls: {incentive_budget: 500}}");
    }
    for (const struct cvm_yaml_node *node = status == CVM_OK ? root->first_child : NULL;
         status == CVM_OK && node != NULL; node = node->next) {
        status = read_scenario(reading, node, err);
    }
    return status;
}

/* ---- the sweep ---- */

struct sweep {
    const char *name;
    double from, step;
    size_t count;
};

static enum cvm_status parse_sweep(struct cvm_arena *arena, const char *text,
                                   struct sweep *out_sweep, struct cvm_error *err)
{
    size_t length = strcspn(text, "=");
    double numbers[3] = {0};
    const char *at = text + length;
    for (size_t i = 0; at != NULL && i < 3; i++) {
        char *end = NULL;
        numbers[i] = *at == '\0' ? NAN : strtod(at + 1, &end);
        bool is_good = end != NULL && end > at + 1 && *end == (i < 2 ? ':' : '\0');
        at = is_good ? end : NULL;
    }
    bool is_range = at != NULL && length > 0 && numbers[0] >= 0 && numbers[1] >= numbers[0] &&
                    numbers[2] > 0 && numbers[1] < INFINITY;
    if (!is_range) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s' is no NAME=FROM:TO:STEP", text);
    }
    double count = floor((numbers[1] - numbers[0]) / numbers[2] + 1e-9) + 1;
    if (count > CVM_SWEEP_POINTS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "'%s' has %.0f points; %d are the most", text, count,
                        CVM_SWEEP_POINTS_MAX);
    }
    const char *name = cvm_arena_copy(arena, text, length);
    *out_sweep = (struct sweep){name, numbers[0], numbers[2], (size_t)count};
    return name == NULL ? fail_memory(err) : CVM_OK;
}

/* What is set besides holds at every point. */
static enum cvm_status add_point(struct reading *reading, const struct sweep *sweep, double point,
                                 struct cvm_scenario *out_scenario, struct cvm_error *err)
{
    struct reading at = {.arguments = reading->arguments,
                         .catalogue = reading->catalogue,
                         .arena = reading->arena,
                         .scenarios = out_scenario};
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add_double(&text, point);
    const char *number = cvm_arena_copy(reading->arena, cvm_text_string(&text), text.length);
    cvm_text_finish(&text);
    const struct cvm_scenario *besides = reading->count > 0 ? &reading->scenarios[0] : NULL;
    size_t count = besides == NULL ? 0 : besides->setting_count;
    struct cvm_setting *settings = CVM_NEW_ARRAY(reading->arena, count + 1, struct cvm_setting);
    if (number == NULL || settings == NULL) {
        return fail_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        settings[i] = besides->settings[i];
    }
    *out_scenario = (struct cvm_scenario){number, settings, count};
    at.count = 1;
    return add_setting(&at, sweep->name, number, err);
}

static enum cvm_status read_sweep(struct reading *reading, const char *text,
                                  struct cvm_simulate_input *out_input, struct cvm_error *err)
{
    struct sweep sweep = {.name = NULL};
    enum cvm_status status = parse_sweep(reading->arena, text, &sweep, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_scenario *scenarios =
        CVM_NEW_ARRAY(reading->arena, sweep.count, struct cvm_scenario);
    double *points = CVM_NEW_ARRAY(reading->arena, sweep.count, double);
    if (scenarios == NULL || points == NULL) {
        return fail_memory(err);
    }
    for (size_t i = 0; status == CVM_OK && i < sweep.count; i++) {
        points[i] = sweep.from + (double)i * sweep.step;
        status = add_point(reading, &sweep, points[i], &scenarios[i], err);
    }
    if (status == CVM_OK) {
        const struct cvm_scenario *first = &scenarios[0];
        out_input->sweep = sweep.name;
        out_input->sweep_constraint = first->settings[first->setting_count - 1].constraint;
        out_input->points = points;
        out_input->scenarios = scenarios;
        out_input->scenario_count = sweep.count;
    }
    return status;
}

enum cvm_status cvm_simulate_input_read(const struct cvm_arguments *arguments,
                                        const struct cvm_catalogue *catalogue,
                                        struct cvm_arena *arena,
                                        struct cvm_simulate_input *out_input, struct cvm_error *err)
{
    const char *file = cvm_argument(arguments, "--scenarios");
    const char *sweep = cvm_argument(arguments, "--sweep");
    struct reading reading = {
        .arguments = arguments,
        .catalogue = catalogue,
        .arena = arena,
        .scenarios = CVM_NEW_ARRAY(arena, CVM_SCENARIOS_MAX, struct cvm_scenario),
    };
    if (reading.scenarios == NULL) {
        return fail_memory(err);
    }
    enum cvm_status status = read_line(&reading, err);
    if (status == CVM_OK && file != NULL) {
        status = read_file(&reading, file, err);
    }
    *out_input = (struct cvm_simulate_input){.scenarios = reading.scenarios,
                                             .scenario_count = reading.count};
    return status == CVM_OK && sweep != NULL ? read_sweep(&reading, sweep, out_input, err) : status;
}
