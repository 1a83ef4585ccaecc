#include "cli/problem_scenarios.h"

#include <stdio.h>
#include <string.h>

#include "base/suggest.h"
#include "cli/json_file.h"
#include "cli/problem_rows.h"

struct reading {
    struct cvm_json_file json;
    const struct cvm_problem_file *file;
    struct cvm_problem_scenario *scenarios;
    size_t count;
    struct cvm_error *err;
};

#define SUFFIX        ".limit"
#define SUFFIX_LENGTH (sizeof(SUFFIX) - 1)

/* "ROW.limit", or ROW alone. */
static int find_row(const struct reading *r, const char *key)
{
    char name[512];
    int row = cvm_problem_file_row(r->file, key);
    size_t length = strlen(key);
    bool has_suffix = length > SUFFIX_LENGTH && length < sizeof(name) &&
                      strcmp(key + length - SUFFIX_LENGTH, SUFFIX) == 0;
    if (row >= 0 || !has_suffix) {
        return row;
    }
    memcpy(name, key, length - SUFFIX_LENGTH);
    name[length - SUFFIX_LENGTH] = '\0';
    return cvm_problem_file_row(r->file, name);
}

static enum cvm_status fail_row(const struct reading *r, const struct cvm_json_value *member,
                                const char *what, const char *key)
{
    struct cvm_suggestion suggestion = {.typed = key};
    for (size_t i = 0; i < r->file->row_count; i++) {
        struct cvm_text text;
        cvm_text_init(&text, 0);
        cvm_text_add_format(&text, "%s" SUFFIX, r->file->rows[i].name);
        const char *name = cvm_arena_string(r->json.arena, cvm_text_string(&text));
        cvm_text_finish(&text);
        if (name != NULL) {
            cvm_suggestion_try(&suggestion, name);
        }
    }
    enum cvm_status status = cvm_json_file_fail(
        &r->json, member, r->err, "%s: '%s' is no row of '%s'", what, key, r->file->name);
    return suggestion.best == NULL
               ? cvm_error_hint(r->err, status, "Limits of rows can be set: \"ROW.limit\".")
               : cvm_error_hint(r->err, status, "Did you mean '%s'?", suggestion.best);
}

static enum cvm_status read_change(struct reading *r, const struct cvm_json_value *member,
                                   const char *what, bool *is_set,
                                   struct cvm_problem_scenario *scenario)
{
    char label[320];
    const char *key = cvm_arena_copy(r->json.arena, member->key.data, member->key.length);
    if (key == NULL) {
        return CVM_FAIL(r->err, CVM_E_LIMIT, "no memory to read '%s'", r->json.name);
    }
    int row = find_row(r, key);
    if (row < 0) {
        return fail_row(r, member, what, key);
    }
    if (is_set[row]) {
        return cvm_json_file_fail(&r->json, member, r->err, "%s sets the limit of '%s' twice", what,
                                  r->file->rows[row].name);
    }
    is_set[row] = true;
    enum cvm_row_kind kind = r->file->rows[row].kind;
    if (member->type == CVM_JSON_NULL) {
        scenario->limits[row] = cvm_problem_no_limit(kind);
        return CVM_OK;
    }
    (void)!snprintf(label, sizeof(label), "%s: '%s'", what, key);
    return cvm_json_file_number(
        &r->json, member, label,
        (struct cvm_json_range){.min = 0, .max = cvm_problem_limit_max(kind)},
        &scenario->limits[row], r->err);
}

static enum cvm_status read_changes(struct reading *r, const struct cvm_json_value *object,
                                    struct cvm_problem_scenario *scenario)
{
    bool is_set[CVM_PROBLEM_ROWS_MAX] = {false};
    char what[160];
    (void)!snprintf(what, sizeof(what), "scenario '%s'", scenario->name);
    cvm_problem_limits(r->file, scenario->limits);
    if (object->type != CVM_JSON_OBJECT) {
        return cvm_json_file_fail(&r->json, object, r->err,
                                  "%s: 'set' is an object {\"ROW.limit\": number}", what);
    }
    enum cvm_status status = CVM_OK;
    for (const struct cvm_json_value *m = object->first_child; status == CVM_OK && m != NULL;
         m = m->next) {
        status = read_change(r, m, what, is_set, scenario);
    }
    scenario->set = object->raw;
    return status;
}

static enum cvm_status read_scenario(struct reading *r, const struct cvm_json_value *object)
{
    static const char *const keys[] = {"name", "set", "description", NULL};
    const struct cvm_json_value *found[sizeof(keys) / sizeof(keys[0])];
    struct cvm_problem_scenario *scenario = &r->scenarios[r->count];
    enum cvm_status status =
        cvm_json_file_members(&r->json, object, "a scenario", keys, found, r->err);
    if (status != CVM_OK) {
        return status;
    }
    if (found[0] == NULL || found[1] == NULL) {
        return cvm_json_file_fail(&r->json, object, r->err, "a scenario has no '%s'",
                                  found[0] == NULL ? "name" : "set");
    }
    status =
        cvm_json_file_text(&r->json, found[0], "'name' of a scenario", &scenario->name, r->err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t i = 0; i < r->count; i++) {
        if (strcmp(r->scenarios[i].name, scenario->name) == 0) {
            return cvm_json_file_fail(&r->json, found[0], r->err, "scenario '%s' is there twice",
                                      scenario->name);
        }
    }
    scenario->line = cvm_json_file_line(&r->json, object);
    status = read_changes(r, found[1], scenario);
    r->count += status == CVM_OK ? 1 : 0;
    return status;
}

static enum cvm_status read_list(struct reading *r)
{
    const struct cvm_json_value *list = r->json.root;
    if (list->type != CVM_JSON_ARRAY || list->child_count == 0) {
        return cvm_json_file_fail(
            &r->json, list, r->err,
            "scenarios are a list: [{\"name\": \"...\", \"set\": {\"ROW.limit\": number}}]");
    }
    if (list->child_count > CVM_SCENARIOS_MAX) {
        return cvm_json_file_fail(&r->json, list, r->err, "%zu scenarios, at most %d are allowed",
                                  list->child_count, CVM_SCENARIOS_MAX);
    }
    r->scenarios = CVM_NEW_ARRAY(r->json.arena, list->child_count, struct cvm_problem_scenario);
    if (r->scenarios == NULL) {
        return CVM_FAIL(r->err, CVM_E_LIMIT, "no memory for %zu scenarios", list->child_count);
    }
    enum cvm_status status = CVM_OK;
    for (const struct cvm_json_value *v = list->first_child; status == CVM_OK && v != NULL;
         v = v->next) {
        status = read_scenario(r, v);
    }
    return status;
}

enum cvm_status cvm_problem_scenarios_read(struct cvm_arena *arena, const char *path,
                                           const struct cvm_problem_file *file,
                                           const struct cvm_problem_scenario **out_scenarios,
                                           size_t *out_count, struct cvm_error *err)
{
    struct reading r = {.file = file, .err = err};
    enum cvm_status status =
        cvm_json_file_read(arena, path, CVM_PROBLEM_FILE_BYTES_MAX, &r.json, err);
    if (status == CVM_OK) {
        status = read_list(&r);
    }
    if (status == CVM_OK) {
        *out_scenarios = r.scenarios;
        *out_count = r.count;
    }
    return status;
}
