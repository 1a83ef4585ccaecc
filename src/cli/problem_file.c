#include "cli/problem_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"
#include "cli/json_file.h"
#include "cli/paths.h"

#define COST_MAX 1e9
#define UNIT_MAX 1e9

const char *const cvm_problem_kind_words[] = {
    [CVM_ROW_CAPACITY] = "capacity",       [CVM_ROW_SHARED] = "shared",
    [CVM_ROW_BUDGET] = "budget",           [CVM_ROW_SEGMENT_MAX] = "segment_max",
    [CVM_ROW_SEGMENT_MIN] = "segment_min", [CVM_ROW_SHARE_MIN] = "share_min",
    [CVM_ROW_SHARE_MAX] = "share_max",     [CVM_ROW_RESERVE] = "reserve",
    [CVM_ROW_RESERVE + 1] = NULL,
};

struct reading {
    struct cvm_json_file json;
    struct cvm_problem_file *file;
    struct cvm_error *err;
};

int cvm_problem_file_treatment(const struct cvm_problem_file *file, const char *name)
{
    for (size_t t = 0; t < file->treatment_count; t++) {
        if (strcmp(file->treatments[t], name) == 0) {
            return (int)t;
        }
    }
    return -1;
}

int cvm_problem_file_row(const struct cvm_problem_file *file, const char *name)
{
    for (size_t r = 0; r < file->row_count; r++) {
        if (strcmp(file->rows[r].name, name) == 0) {
            return (int)r;
        }
    }
    return -1;
}

double cvm_problem_limit_max(enum cvm_row_kind kind)
{
    return kind == CVM_ROW_SHARE_MIN || kind == CVM_ROW_SHARE_MAX ? 1.0 : CVM_PROBLEM_LIMIT_MAX;
}

static enum cvm_status fail_no_memory(const struct reading *r)
{
    return CVM_FAIL(r->err, CVM_E_LIMIT, "no memory to read '%s'", r->json.name);
}

/* ---- treatments ---- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* These are columns of the values. */
static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"customer_id", "segment", "high_value", "amount",
                                           "group"};
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (strcmp(reserved[i], name) == 0) {
            return true;
        }
    }
    return strncmp(name, "seg:", 4) == 0;
}

static enum cvm_status read_treatment(struct reading *r, const struct cvm_json_value *value)
{
    struct cvm_problem_file *file = r->file;
    const char *name = NULL;
    enum cvm_status status =
        cvm_json_file_text(&r->json, value, "a name in 'treatments'", &name, r->err);
    if (status != CVM_OK) {
        return status;
    }
    if (name[0] == '\0') {
        return cvm_json_file_fail(&r->json, value, r->err, "a treatment has an empty name");
    }
    if (is_reserved(name)) {
        return cvm_json_file_fail(&r->json, value, r->err,
                                  "treatment '%s': another column of the values has this name",
                                  name);
    }
    if (cvm_problem_file_treatment(file, name) >= 0) {
        return cvm_json_file_fail(&r->json, value, r->err, "treatment '%s' is there twice", name);
    }
    if (file->treatment_count == CVM_PROBLEM_TREATMENTS_MAX) {
        return cvm_json_file_fail(&r->json, value, r->err, "more than %d treatments",
                                  CVM_PROBLEM_TREATMENTS_MAX);
    }
    file->treatments[file->treatment_count++] = name;
    return CVM_OK;
}

static enum cvm_status read_treatments(struct reading *r, const struct cvm_json_value *list)
{
    struct cvm_problem_file *file = r->file;
    const char *as_listed[CVM_PROBLEM_TREATMENTS_MAX];
    if (list->type != CVM_JSON_ARRAY || list->child_count == 0) {
        return cvm_json_file_fail(&r->json, list, r->err,
                                  "'treatments' is a list of one name or more");
    }
    for (const struct cvm_json_value *v = list->first_child; v != NULL; v = v->next) {
        enum cvm_status status = read_treatment(r, v);
        if (status != CVM_OK) {
            return status;
        }
    }
    memcpy(as_listed, file->treatments, sizeof(as_listed));
    qsort(file->treatments, file->treatment_count, sizeof(file->treatments[0]), compare_texts);
    for (size_t k = 0; k < file->treatment_count; k++) {
        file->listed[k] = (size_t)cvm_problem_file_treatment(file, as_listed[k]);
    }
    return CVM_OK;
}

/* A treatment by name, with the nearest one as a hint. */
static enum cvm_status find_treatment(const struct reading *r, const struct cvm_json_value *value,
                                      const char *what, const char *name, size_t *out_treatment)
{
    int found = cvm_problem_file_treatment(r->file, name);
    if (found >= 0) {
        *out_treatment = (size_t)found;
        return CVM_OK;
    }
    struct cvm_suggestion suggestion = {.typed = name};
    for (size_t t = 0; t < r->file->treatment_count; t++) {
        cvm_suggestion_try(&suggestion, r->file->treatments[t]);
    }
    enum cvm_status status =
        cvm_json_file_fail(&r->json, value, r->err, "%s: '%s' is not in 'treatments'", what, name);
    return suggestion.best == NULL
               ? cvm_error_hint(r->err, status, "Add it to 'treatments', or take it out here.")
               : cvm_error_hint(r->err, status, "Did you mean '%s'?", suggestion.best);
}

static enum cvm_status read_treatment_name(const struct reading *r,
                                           const struct cvm_json_value *value, const char *what,
                                           size_t *out_treatment)
{
    const char *name = NULL;
    enum cvm_status status = cvm_json_file_text(&r->json, value, what, &name, r->err);
    return status == CVM_OK ? find_treatment(r, value, what, name, out_treatment) : status;
}

/* {treatment: number} into numbers[], which keeps what is not named. */
static enum cvm_status read_numbers(const struct reading *r, const struct cvm_json_value *object,
                                    const char *what, double max, double *numbers)
{
    if (object == NULL) {
        return CVM_OK;
    }
    if (object->type != CVM_JSON_OBJECT) {
        return cvm_json_file_fail(&r->json, object, r->err, "%s is an object {treatment: number}",
                                  what);
    }
    for (const struct cvm_json_value *m = object->first_child; m != NULL; m = m->next) {
        size_t t = 0;
        char label[160];
        const char *name = cvm_arena_copy(r->json.arena, m->key.data, m->key.length);
        if (name == NULL) {
            return fail_no_memory(r);
        }
        (void)!snprintf(label, sizeof(label), "%s of '%s'", what, name);
        enum cvm_status status = find_treatment(r, m, what, name, &t);
        if (status == CVM_OK) {
            status = cvm_json_file_number(&r->json, m, label,
                                          (struct cvm_json_range){.min = 0, .max = max},
                                          &numbers[t], r->err);
        }
        if (status != CVM_OK) {
            return status;
        }
    }
    return CVM_OK;
}

/* ---- measures ---- */

static enum cvm_status read_measure(struct reading *r, const struct cvm_json_value *member)
{
    static const char *const keys[] = {"cost", "cost_rate", "description", NULL};
    const struct cvm_json_value *found[sizeof(keys) / sizeof(keys[0])];
    struct cvm_problem_file *file = r->file;
    char what[128];
    const char *name = cvm_arena_copy(r->json.arena, member->key.data, member->key.length);
    if (name == NULL) {
        return fail_no_memory(r);
    }
    if (name[0] == '\0' || strlen(name) != member->key.length) {
        return cvm_json_file_fail(&r->json, member, r->err,
                                  "a measure's name is empty or holds a NUL byte");
    }
    struct cvm_problem_measure *measure = &file->measures[file->measure_count];
    (void)!snprintf(what, sizeof(what), "measure '%s'", name);
    enum cvm_status status = cvm_json_file_members(&r->json, member, what, keys, found, r->err);
    if (status == CVM_OK) {
        status = read_numbers(r, found[0], "'cost'", COST_MAX, measure->flat);
    }
    if (status == CVM_OK) {
        status = read_numbers(r, found[1], "'cost_rate'", COST_MAX, measure->rate);
    }
    measure->name = name;
    file->measure_count += status == CVM_OK ? 1 : 0;
    return status;
}

static enum cvm_status read_measures(struct reading *r, const struct cvm_json_value *object)
{
    size_t count = object == NULL ? 0 : object->child_count;
    if (object != NULL && object->type != CVM_JSON_OBJECT) {
        return cvm_json_file_fail(
            &r->json, object, r->err,
            "'measures' is an object {name: {\"cost\": {}, \"cost_rate\": {}}}");
    }
    if (count > CVM_PROBLEM_MEASURES_MAX) {
        return cvm_json_file_fail(&r->json, object, r->err, "more than %d measures",
                                  CVM_PROBLEM_MEASURES_MAX);
    }
    r->file->measures = CVM_NEW_ARRAY(r->json.arena, count + 1, struct cvm_problem_measure);
    if (r->file->measures == NULL) {
        return fail_no_memory(r);
    }
    r->file->measures[0].name = "";
    r->file->measure_count = 1;
    enum cvm_status status = CVM_OK;
    for (const struct cvm_json_value *m = object == NULL ? NULL : object->first_child;
         status == CVM_OK && m != NULL; m = m->next) {
        status = read_measure(r, m);
    }
    return status;
}

static enum cvm_status find_measure(const struct reading *r, const struct cvm_json_value *value,
                                    const char *what, size_t *out_measure)
{
    const char *name = NULL;
    struct cvm_suggestion suggestion = {0};
    enum cvm_status status = cvm_json_file_text(&r->json, value, what, &name, r->err);
    if (status != CVM_OK) {
        return status;
    }
    suggestion.typed = name;
    for (size_t m = 1; m < r->file->measure_count; m++) {
        if (strcmp(r->file->measures[m].name, name) == 0) {
            *out_measure = m;
            return CVM_OK;
        }
        cvm_suggestion_try(&suggestion, r->file->measures[m].name);
    }
    status =
        cvm_json_file_fail(&r->json, value, r->err, "%s: '%s' is not in 'measures'", what, name);
    return suggestion.best == NULL
               ? cvm_error_hint(r->err, status,
                                "Without 'measure' a budget counts 'cost' and 'cost_rate'.")
               : cvm_error_hint(r->err, status, "Did you mean '%s'?", suggestion.best);
}

/* ---- rows ---- */

enum row_key {
    ROW_NAME,
    ROW_KIND,
    ROW_TREATMENTS,
    ROW_UNITS,
    ROW_SEGMENT,
    ROW_LIMIT,
    ROW_MEASURE,
    ROW_DESCRIPTION,
    ROW_END
};
static const char *const row_keys[] = {"name",  "kind",    "treatments",  "units", "segment",
                                       "limit", "measure", "description", NULL};

struct row_reading {
    struct reading *reading;
    const struct cvm_json_value *object;
    const struct cvm_json_value *found[ROW_END + 1];
    char what[128]; /* "row 'x'" */
};

static bool is_of_segment(enum cvm_row_kind kind)
{
    return kind == CVM_ROW_SEGMENT_MAX || kind == CVM_ROW_SEGMENT_MIN ||
           kind == CVM_ROW_SHARE_MIN || kind == CVM_ROW_SHARE_MAX;
}

static enum cvm_status read_row_name(struct row_reading *row, const char **out_name)
{
    const struct reading *r = row->reading;
    enum cvm_status status =
        cvm_json_file_members(&r->json, row->object, "a row", row_keys, row->found, r->err);
    if (status != CVM_OK) {
        return status;
    }
    if (row->found[ROW_NAME] == NULL) {
        return cvm_json_file_fail(&r->json, row->object, r->err, "a row has no 'name'");
    }
    status =
        cvm_json_file_text(&r->json, row->found[ROW_NAME], "'name' of a row", out_name, r->err);
    if (status == CVM_OK && (*out_name)[0] == '\0') {
        status =
            cvm_json_file_fail(&r->json, row->found[ROW_NAME], r->err, "a row has an empty name");
    }
    return status;
}

static enum cvm_status read_kind(struct row_reading *row, enum cvm_row_kind *out_kind)
{
    const struct reading *r = row->reading;
    const struct cvm_json_value *value = row->found[ROW_KIND];
    const char *word = NULL;
    if (value == NULL) {
        enum cvm_status status =
            cvm_json_file_fail(&r->json, row->object, r->err, "%s has no 'kind'", row->what);
        return cvm_error_hint(r->err, status,
                              "capacity, shared, budget, segment_max, segment_min, share_min, "
                              "share_max and reserve are there.");
    }
    enum cvm_status status = cvm_json_file_text(&r->json, value, "'kind'", &word, r->err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_suggestion suggestion = {.typed = word};
    for (int k = 0; cvm_problem_kind_words[k] != NULL; k++) {
        if (strcmp(cvm_problem_kind_words[k], word) == 0) {
            *out_kind = (enum cvm_row_kind)k;
            return CVM_OK;
        }
        cvm_suggestion_try(&suggestion, cvm_problem_kind_words[k]);
    }
    status =
        cvm_json_file_fail(&r->json, value, r->err, "%s: there is no kind '%s'", row->what, word);
    return suggestion.best != NULL
               ? cvm_error_hint(r->err, status, "Did you mean '%s'?", suggestion.best)
               : cvm_error_hint(r->err, status,
                                "capacity, shared, budget, segment_max, segment_min, share_min, "
                                "share_max and reserve are there.");
}

static enum cvm_status read_covered(struct row_reading *row, uint64_t *out_treatments)
{
    const struct reading *r = row->reading;
    const struct cvm_json_value *list = row->found[ROW_TREATMENTS];
    size_t count = r->file->treatment_count;
    uint64_t all = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    uint64_t bits = 0;
    if (list == NULL) {
        *out_treatments = all;
        return CVM_OK;
    }
    if (list->type != CVM_JSON_ARRAY || list->child_count == 0) {
        enum cvm_status status = cvm_json_file_fail(
            &r->json, list, r->err, "%s: 'treatments' is a list of one name or more", row->what);
        return cvm_error_hint(r->err, status, "Leave it out for all treatments.");
    }
    for (const struct cvm_json_value *v = list->first_child; v != NULL; v = v->next) {
        size_t t = 0;
        enum cvm_status status = read_treatment_name(r, v, row->what, &t);
        if (status != CVM_OK) {
            return status;
        }
        if ((bits >> t & 1) != 0) {
            return cvm_json_file_fail(&r->json, v, r->err, "%s names treatment '%s' twice",
                                      row->what, r->file->treatments[t]);
        }
        bits |= UINT64_C(1) << t;
    }
    *out_treatments = bits;
    return CVM_OK;
}

/* A key that a kind does not look at would be a limit that its writer believes in. */
static enum cvm_status check_keys(const struct row_reading *row, enum cvm_row_kind kind)
{
    const struct reading *r = row->reading;
    const struct {
        enum row_key key;
        bool is_used;
        const char *kinds;
    } rules[] = {
        {ROW_UNITS, kind == CVM_ROW_SHARED, "shared"},
        {ROW_SEGMENT, is_of_segment(kind), "segment_max, segment_min, share_min and share_max"},
        {ROW_MEASURE, kind == CVM_ROW_BUDGET, "budget"},
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const struct cvm_json_value *value = row->found[rules[i].key];
        bool is_empty = value != NULL && value->type == CVM_JSON_OBJECT && value->child_count == 0;
        if (value != NULL && !is_empty && !rules[i].is_used) {
            enum cvm_status status =
                cvm_json_file_fail(&r->json, value, r->err, "%s is of kind %s, which has no '%s'",
                                   row->what, cvm_problem_kind_words[kind], row_keys[rules[i].key]);
            return cvm_error_hint(r->err, status, "Only %s has it.", rules[i].kinds);
        }
    }
    if (is_of_segment(kind) && row->found[ROW_SEGMENT] == NULL) {
        return cvm_json_file_fail(&r->json, row->object, r->err, "%s has no 'segment'", row->what);
    }
    if (row->found[ROW_LIMIT] == NULL) {
        return cvm_json_file_fail(&r->json, row->object, r->err, "%s has no 'limit'", row->what);
    }
    return CVM_OK;
}

static enum cvm_status read_row_terms(struct row_reading *row, struct cvm_problem_file_row *out)
{
    const struct reading *r = row->reading;
    char what[160];
    for (size_t t = 0; t < CVM_PROBLEM_TREATMENTS_MAX; t++) {
        out->units[t] = 1.0;
    }
    (void)!snprintf(what, sizeof(what), "%s: 'limit'", row->what);
    enum cvm_status status = cvm_json_file_number(
        &r->json, row->found[ROW_LIMIT], what,
        (struct cvm_json_range){.min = 0, .max = cvm_problem_limit_max(out->kind)}, &out->limit,
        r->err);
    if (status == CVM_OK) {
        (void)!snprintf(what, sizeof(what), "%s: 'units'", row->what);
        status = read_numbers(r, row->found[ROW_UNITS], what, UNIT_MAX, out->units);
    }
    if (status == CVM_OK && row->found[ROW_SEGMENT] != NULL) {
        (void)!snprintf(what, sizeof(what), "%s: 'segment'", row->what);
        status = cvm_json_file_text(&r->json, row->found[ROW_SEGMENT], what, &out->segment, r->err);
    }
    if (status == CVM_OK && row->found[ROW_MEASURE] != NULL) {
        (void)!snprintf(what, sizeof(what), "%s: 'measure'", row->what);
        status = find_measure(r, row->found[ROW_MEASURE], what, &out->measure);
    }
    return status;
}

static enum cvm_status read_row(struct reading *r, const struct cvm_json_value *object,
                                struct cvm_problem_file_row *out)
{
    struct row_reading row = {.reading = r, .object = object};
    enum cvm_status status = read_row_name(&row, &out->name);
    if (status != CVM_OK) {
        return status;
    }
    out->line = cvm_json_file_line(&r->json, object);
    (void)!snprintf(row.what, sizeof(row.what), "row '%s'", out->name);
    status = read_kind(&row, &out->kind);
    if (status == CVM_OK) {
        status = check_keys(&row, out->kind);
    }
    if (status == CVM_OK) {
        status = read_covered(&row, &out->treatments);
    }
    if (status == CVM_OK) {
        status = read_row_terms(&row, out);
    }
    if (status == CVM_OK && out->kind == CVM_ROW_RESERVE &&
        __builtin_popcountll(out->treatments) != 1) {
        status = cvm_json_file_fail(&r->json, object, r->err,
                                    "%s is a reserve: 'treatments' names exactly one", row.what);
    }
    return status;
}

static int compare_rows(const void *a, const void *b)
{
    const struct cvm_problem_file_row *left = a;
    const struct cvm_problem_file_row *right = b;
    int order = strcmp(left->name, right->name);
    return order != 0 ? order : (left->listed > right->listed) - (left->listed < right->listed);
}

static enum cvm_status fail_row(const struct reading *r, const struct cvm_problem_file_row *row,
                                const char *what)
{
    enum cvm_status status = CVM_FAIL(r->err, CVM_E_INVALID, "row '%s' %s", row->name, what);
    return cvm_error_where(r->err, status, "%s:%d", r->json.name, row->line);
}

double cvm_problem_reserved_of(const struct cvm_problem_file *file, const double *limits,
                               size_t reserve)
{
    double least = -1.0;
    for (size_t r = 0; r < file->row_count; r++) {
        bool is_its = file->rows[r].kind == CVM_ROW_CAPACITY &&
                      file->rows[r].treatments == file->rows[reserve].treatments;
        if (is_its && (least < 0.0 || limits[r] < least)) {
            least = limits[r];
        }
    }
    return least;
}

static enum cvm_status check_reserves(const struct reading *r)
{
    double limits[CVM_PROBLEM_ROWS_MAX];
    for (size_t i = 0; i < r->file->row_count; i++) {
        limits[i] = r->file->rows[i].limit;
    }
    for (size_t i = 0; i < r->file->row_count; i++) {
        if (r->file->rows[i].kind == CVM_ROW_RESERVE &&
            cvm_problem_reserved_of(r->file, limits, i) < 0.0) {
            enum cvm_status status =
                fail_row(r, &r->file->rows[i], "keeps a part of a capacity that is not there");
            return cvm_error_hint(r->err, status,
                                  "Add a row of kind capacity of exactly this treatment.");
        }
    }
    return CVM_OK;
}

static enum cvm_status read_rows(struct reading *r, const struct cvm_json_value *list)
{
    struct cvm_problem_file *file = r->file;
    if (list == NULL) {
        return CVM_OK;
    }
    if (list->type != CVM_JSON_ARRAY) {
        return cvm_json_file_fail(&r->json, list, r->err, "'rows' is a list of rows");
    }
    if (list->child_count > CVM_PROBLEM_ROWS_MAX) {
        return cvm_json_file_fail(&r->json, list, r->err, "%zu rows, at most %d are allowed",
                                  list->child_count, CVM_PROBLEM_ROWS_MAX);
    }
    file->rows = CVM_NEW_ARRAY(r->json.arena, list->child_count + 1, struct cvm_problem_file_row);
    if (file->rows == NULL) {
        return fail_no_memory(r);
    }
    for (const struct cvm_json_value *v = list->first_child; v != NULL; v = v->next) {
        file->rows[file->row_count].listed = file->row_count;
        enum cvm_status status = read_row(r, v, &file->rows[file->row_count]);
        if (status != CVM_OK) {
            return status;
        }
        file->row_count++;
    }
    qsort(file->rows, file->row_count, sizeof(file->rows[0]), compare_rows);
    for (size_t i = 0; i < file->row_count; i++) {
        file->rows_listed[file->rows[i].listed] = i;
        if (i > 0 && strcmp(file->rows[i].name, file->rows[i - 1].name) == 0) {
            return fail_row(r, &file->rows[i], "is there twice");
        }
    }
    return check_reserves(r);
}

/* ---- what a customer and a group may get ---- */

static enum cvm_status read_exclusion(struct reading *r, const struct cvm_json_value *pair)
{
    size_t treatments[2] = {0};
    if (pair->type != CVM_JSON_ARRAY || pair->child_count != 2) {
        return cvm_json_file_fail(&r->json, pair, r->err,
                                  "'exclusions' is a list of pairs of treatments: "
                                  "[[\"a\", \"b\"]]");
    }
    const struct cvm_json_value *value = pair->first_child;
    for (size_t k = 0; k < 2; k++, value = value->next) {
        enum cvm_status status = read_treatment_name(r, value, "'exclusions'", &treatments[k]);
        if (status != CVM_OK) {
            return status;
        }
    }
    if (treatments[0] == treatments[1]) {
        return cvm_json_file_fail(&r->json, pair, r->err,
                                  "'exclusions': '%s' excludes itself; nobody gets it twice",
                                  r->file->treatments[treatments[0]]);
    }
    r->file->exclusions[treatments[0]] |= UINT64_C(1) << treatments[1];
    r->file->exclusions[treatments[1]] |= UINT64_C(1) << treatments[0];
    r->file->has_exclusions = true;
    return CVM_OK;
}

static enum cvm_status read_exclusions(struct reading *r, const struct cvm_json_value *list)
{
    if (list == NULL) {
        return CVM_OK;
    }
    if (list->type != CVM_JSON_ARRAY) {
        return cvm_json_file_fail(&r->json, list, r->err,
                                  "'exclusions' is a list of pairs of treatments: "
                                  "[[\"a\", \"b\"]]");
    }
    enum cvm_status status = CVM_OK;
    for (const struct cvm_json_value *v = list->first_child; status == CVM_OK && v != NULL;
         v = v->next) {
        status = read_exclusion(r, v);
    }
    return status;
}

static enum cvm_status read_maximum(struct reading *r, const struct cvm_json_value *value,
                                    const char *what, double max, size_t *out_max)
{
    double number = 1.0;
    enum cvm_status status = CVM_OK;
    if (value != NULL) {
        status = cvm_json_file_number(
            &r->json, value, what, (struct cvm_json_range){.min = 1, .max = max, .is_whole = true},
            &number, r->err);
    }
    if (status == CVM_OK) {
        *out_max = (size_t)number;
    }
    return status;
}

/* ---- the file ---- */

enum file_key {
    FILE_TREATMENTS,
    FILE_VALUES,
    FILE_ROWS,
    FILE_COST,
    FILE_COST_RATE,
    FILE_MEASURES,
    FILE_PER_CUSTOMER,
    FILE_PER_GROUP,
    FILE_EXCLUSIONS,
    FILE_DESCRIPTION,
    FILE_END
};
static const char *const file_keys[] = {
    "treatments",       "values",        "rows",       "cost",        "cost_rate", "measures",
    "max_per_customer", "max_per_group", "exclusions", "description", NULL};

static enum cvm_status read_values_path(struct reading *r, const struct cvm_json_value *value)
{
    const char *path = NULL;
    const char *folder = NULL;
    enum cvm_status status = cvm_json_file_text(&r->json, value, "'values'", &path, r->err);
    if (status == CVM_OK && path[0] == '\0') {
        status = cvm_json_file_fail(&r->json, value, r->err, "'values' is empty");
        status = cvm_error_hint(r->err, status, "It names the CSV file of the customers.");
    }
    if (status == CVM_OK) {
        status = cvm_path_folder(r->json.arena, r->json.name, &folder, r->err);
    }
    return status == CVM_OK
               ? cvm_path_join(r->json.arena, folder, path, &r->file->values_path, r->err)
               : status;
}

static enum cvm_status read_costs_and_rows(struct reading *r,
                                           const struct cvm_json_value *const *found)
{
    enum cvm_status status = read_measures(r, found[FILE_MEASURES]);
    if (status == CVM_OK) {
        status = read_numbers(r, found[FILE_COST], "'cost'", COST_MAX, r->file->measures[0].flat);
    }
    if (status == CVM_OK) {
        status = read_numbers(r, found[FILE_COST_RATE], "'cost_rate'", COST_MAX,
                              r->file->measures[0].rate);
    }
    return status == CVM_OK ? read_rows(r, found[FILE_ROWS]) : status;
}

static enum cvm_status read_file(struct reading *r)
{
    const struct cvm_json_value *found[FILE_END + 1];
    enum cvm_status status =
        cvm_json_file_members(&r->json, r->json.root, "a problem", file_keys, found, r->err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t k = FILE_TREATMENTS; k <= FILE_VALUES; k++) {
        if (found[k] == NULL) {
            return cvm_json_file_fail(&r->json, r->json.root, r->err, "a problem has no '%s'",
                                      file_keys[k]);
        }
    }
    r->file->has_group_max = found[FILE_PER_GROUP] != NULL;
    status = read_treatments(r, found[FILE_TREATMENTS]);
    if (status == CVM_OK) {
        status = read_values_path(r, found[FILE_VALUES]);
    }
    if (status == CVM_OK) {
        status = read_costs_and_rows(r, found);
    }
    if (status == CVM_OK) {
        status = read_maximum(r, found[FILE_PER_CUSTOMER], "'max_per_customer'",
                              CVM_PROBLEM_PER_CUSTOMER_MAX, &r->file->per_customer_max);
    }
    if (status == CVM_OK) {
        status = read_maximum(r, found[FILE_PER_GROUP], "'max_per_group'", UINT8_MAX,
                              &r->file->group_max);
    }
    return status == CVM_OK ? read_exclusions(r, found[FILE_EXCLUSIONS]) : status;
}

static enum cvm_status read_json(struct cvm_json_file json, struct cvm_problem_file *out_file,
                                 struct cvm_error *err)
{
    struct cvm_problem_file file = {.name = json.name};
    struct reading r = {.json = json, .file = &file, .err = err};
    enum cvm_status status = read_file(&r);
    if (status == CVM_OK) {
        *out_file = file;
    }
    return status;
}

enum cvm_status cvm_problem_file_parse(struct cvm_arena *arena, const char *name, const char *text,
                                       size_t length, struct cvm_problem_file *out_file,
                                       struct cvm_error *err)
{
    struct cvm_json_file json;
    enum cvm_status status =
        cvm_json_file_parse(arena, name, (struct cvm_slice){text, length}, &json, err);
    return status == CVM_OK ? read_json(json, out_file, err) : status;
}

enum cvm_status cvm_problem_file_read(struct cvm_arena *arena, const char *path,
                                      struct cvm_problem_file *out_file, struct cvm_error *err)
{
    struct cvm_json_file json;
    enum cvm_status status =
        cvm_json_file_read(arena, path, CVM_PROBLEM_FILE_BYTES_MAX, &json, err);
    return status == CVM_OK ? read_json(json, out_file, err) : status;
}
