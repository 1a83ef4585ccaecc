/* What a scenario sets, as people write it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"
#include "engine/simulate.h"
#include "model/money.h"

/* Far from every limit, and far from what a ledger can not add. */
#define NUMBER_MAX 1e12

/* ---- names ---- */

struct name_parts {
    int treatment;        /* CVM_INDEX_NONE: no treatment's */
    const char *property; /* behind the point */
};

static struct name_parts parts_of(const struct cvm_catalogue *catalogue, const char *name)
{
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        size_t length = strlen(catalogue->treatments[t].id);
        if (strncmp(name, catalogue->treatments[t].id, length) == 0 && name[length] == '.') {
            return (struct name_parts){(int)t, name + length + 1};
        }
    }
    return (struct name_parts){CVM_INDEX_NONE, NULL};
}

static int only_budget(const struct cvm_catalogue *catalogue)
{
    int found = CVM_INDEX_NONE;
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        if (catalogue->constraints[c].kind == CVM_CONSTRAINT_BUDGET) {
            if (found != CVM_INDEX_NONE) {
                return CVM_INDEX_NONE;
            }
            found = (int)c;
        }
    }
    return found;
}

/* Groups too. */
static int constraint_of(const struct cvm_catalogue *catalogue, const char *id)
{
    for (size_t c = 0; c < catalogue->constraint_count + catalogue->group_count; c++) {
        if (strcmp(catalogue->constraints[c].id, id) == 0) {
            return (int)c;
        }
    }
    return CVM_INDEX_NONE;
}

static enum cvm_status unknown_name(const struct cvm_catalogue *catalogue, const char *name,
                                    struct cvm_error *err)
{
    struct cvm_suggestion suggestion = {.typed = name};
    struct cvm_text text;
    cvm_text_init(&text, 0);
    enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "there is no limit '%s' to set", name);
    for (size_t c = 0; c < catalogue->constraint_count + catalogue->group_count; c++) {
        if (catalogue->constraints[c].kind != CVM_CONSTRAINT_CAPACITY) {
            cvm_suggestion_try(&suggestion, catalogue->constraints[c].id);
        }
    }
    size_t best_rank = suggestion.best == NULL ? SIZE_MAX : suggestion.rank;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        struct cvm_text tried;
        cvm_text_init(&tried, 0);
        cvm_text_add_format(&tried, "%s.max_per_day", catalogue->treatments[t].id);
        struct cvm_suggestion one = {.typed = name};
        cvm_suggestion_try(&one, cvm_text_string(&tried));
        if (one.best != NULL && one.rank < best_rank) {
            best_rank = one.rank;
            cvm_text_clear(&text);
            cvm_text_add(&text, one.best);
        }
        cvm_text_finish(&tried);
    }
    const char *best = text.length > 0 ? cvm_text_string(&text) : suggestion.best;
    status = best != NULL
                 ? cvm_error_hint(err, status, "Did you mean '%s'?", best)
                 : cvm_error_hint(err, status,
                                  "It is ID.max_per_day or ID.enabled of a treatment, or the id of "
                                  "a resource or budget: `cvm capacity show` has them.");
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status unknown_property(const struct cvm_catalogue *catalogue,
                                        const struct name_parts *parts, struct cvm_error *err)
{
    const char *id = catalogue->treatments[parts->treatment].id;
    struct cvm_suggestion suggestion = {.typed = parts->property};
    cvm_suggestion_try(&suggestion, "max_per_day");
    cvm_suggestion_try(&suggestion, "enabled");
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_INVALID, "'%s.%s' can not be answered from the values of a run", id,
                 parts->property);
    if (suggestion.best != NULL) {
        return cvm_error_hint(err, status, "Did you mean '%s.%s'?", id, suggestion.best);
    }
    return cvm_error_hint(err, status,
                          "Only %s.max_per_day and %s.enabled=false can: what changes values needs "
                          "`cvm treatment update`, then `cvm run --dry-run`.",
                          id, id);
}

/* ---- numbers ---- */

static int64_t amount_of(const struct cvm_constraint *constraint, double number)
{
    return constraint->kind == CVM_CONSTRAINT_BUDGET
               ? cvm_micro_from_double(number)
               : llrint(number * (double)cvm_constraint_scale(constraint));
}

static enum cvm_status set_limit(const struct cvm_catalogue *catalogue, const char *text,
                                 struct cvm_setting *setting, struct cvm_error *err)
{
    const struct cvm_constraint *constraint = &catalogue->constraints[setting->constraint];
    char *end = NULL;
    if (strcmp(text, CVM_SIMULATE_UNLIMITED) == 0) {
        setting->limit = -1;
        return CVM_OK;
    }
    double number = strtod(text, &end);
    bool is_number = end != text && *end == '\0' && number >= 0 && number <= NUMBER_MAX;
    if (!is_number) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s=%s': it takes a number from 0 on, or %s",
                        setting->name, text, CVM_SIMULATE_UNLIMITED);
    }
    bool is_share = cvm_constraint_is_share(constraint);
    if (is_share ? number > 1 : cvm_constraint_scale(constraint) == 1 && number != floor(number)) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s=%s': it takes %s", setting->name, text,
                        is_share ? "a share from 0 to 1" : "a whole number");
    }
    setting->limit = amount_of(constraint, number);
    return CVM_OK;
}

static enum cvm_status set_enabled(const struct cvm_treatment *treatment, const char *text,
                                   struct cvm_setting *setting, struct cvm_error *err)
{
    if (strcmp(text, "false") == 0) {
        setting->limit = 0;
        return CVM_OK;
    }
    if (strcmp(text, "true") != 0) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s=%s': it is true or false", setting->name, text);
    }
    if (!treatment->enabled) {
        enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID,
                                          "'%s' was not enabled in the run, which so has no values "
                                          "of it",
                                          treatment->id);
        return cvm_error_hint(err, status, "`cvm treatment enable %s`, then `cvm run --dry-run`.",
                              treatment->id);
    }
    setting->is_kept = true;
    return CVM_OK;
}

enum cvm_status cvm_setting_parse(const struct cvm_catalogue *catalogue, struct cvm_arena *arena,
                                  const char *name, const char *number,
                                  struct cvm_setting *out_setting, struct cvm_error *err)
{
    struct name_parts parts = parts_of(catalogue, name);
    struct cvm_setting setting = {.name = cvm_arena_string(arena, name),
                                  .constraint = constraint_of(catalogue, name)};
    if (setting.name == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a scenario");
    }
    if (setting.constraint == CVM_INDEX_NONE && strcmp(name, "budget") == 0) {
        setting.constraint = only_budget(catalogue);
    }
    bool is_enabled = parts.property != NULL && strcmp(parts.property, "enabled") == 0;
    if (is_enabled || (parts.property != NULL && strcmp(parts.property, "max_per_day") == 0)) {
        setting.constraint = cvm_catalogue_capacity(catalogue, (size_t)parts.treatment);
    } else if (setting.constraint == CVM_INDEX_NONE && parts.property != NULL) {
        return unknown_property(catalogue, &parts, err);
    }
    if (setting.constraint == CVM_INDEX_NONE) {
        return unknown_name(catalogue, name, err);
    }
    enum cvm_status status =
        is_enabled ? set_enabled(&catalogue->treatments[parts.treatment], number, &setting, err)
                   : set_limit(catalogue, number, &setting, err);
    if (status == CVM_OK) {
        *out_setting = setting;
    }
    return status;
}
