/* Minimums that can not be reached: named before the solve by counting, and after it where the plan
 * fell short all the same. The run goes on with the best plan there is. */
#include <stdlib.h>
#include <string.h>

#include "allocation/conflict.h"
#include "engine/run_internal.h"

/* Where a conflict of the same rows stands already, or the end. */
static size_t place_of(const struct cvm_run_conflict *all, size_t count,
                       const struct cvm_run_conflict *conflict)
{
    for (size_t i = 0; i < count; i++) {
        bool is_same = all[i].row_count == conflict->row_count;
        for (size_t r = 0; is_same && r < all[i].row_count; r++) {
            is_same = strcmp(all[i].rows[r], conflict->rows[r]) == 0;
        }
        if (is_same) {
            return i;
        }
    }
    return count;
}

/* What is known after the solve is more exact than what was counted before it. */
static enum cvm_status keep(struct cvm_run_job *job, const struct cvm_conflict *found, size_t count,
                            struct cvm_error *err)
{
    const struct cvm_run_rows *rows = &job->memory->rows;
    struct cvm_run_result *result = job->result;
    struct cvm_run_conflict *all =
        CVM_NEW_ARRAY(job->arena, result->conflict_count + count + 1, struct cvm_run_conflict);
    if (all == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for conflicts");
    }
    if (result->conflict_count > 0) {
        memcpy(all, result->conflicts, result->conflict_count * sizeof(*all));
    }
    for (size_t i = 0; i < count; i++) {
        const char **ids = CVM_NEW_ARRAY(job->arena, found[i].row_count + 1, const char *);
        if (ids == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for conflicts");
        }
        for (size_t r = 0; r < found[i].row_count; r++) {
            ids[r] = job->catalogue->constraints[rows->constraint[found[i].rows[r]]].id;
        }
        struct cvm_run_conflict conflict = {ids, found[i].row_count, found[i].message,
                                            found[i].relaxation};
        size_t at = place_of(all, result->conflict_count, &conflict);
        all[at] = conflict;
        result->conflict_count += at == result->conflict_count ? 1 : 0;
    }
    result->conflicts = all;
    return CVM_OK;
}

static bool has_minimum(const struct cvm_problem *problem)
{
    bool has = false;
    for (size_t r = 0; r < problem->row_count; r++) {
        has |= cvm_row_is_minimum(&problem->rows[r]);
    }
    return has;
}

enum cvm_status cvm_run_find_conflicts(struct cvm_run_job *job, const struct cvm_problem *problem,
                                       bool is_solved, struct cvm_error *err)
{
    size_t count = 0;
    if (!has_minimum(problem) || (is_solved && job->memory->solved.is_feasible)) {
        return CVM_OK;
    }
    struct cvm_conflict *found = CVM_NEW_ARRAY(job->arena, CVM_CONFLICTS_MAX, struct cvm_conflict);
    if (found == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for conflicts");
    }
    enum cvm_status status =
        is_solved
            ? cvm_conflicts_after(problem, &job->memory->solved, job->engine->pool,
                                  job->engine->context, job->arena, found, &count, err)
            : cvm_conflicts_before(problem, job->engine->pool, job->arena, found, &count, err);
    return status == CVM_OK ? keep(job, found, count, err) : status;
}

/* ---- loading ---- */

#define SUMMARY_BYTES_MAX ((size_t)1 << 20)

static const char *text_of(const struct cvm_json_value *value, struct cvm_arena *arena)
{
    bool is_text = value != NULL && value->type == CVM_JSON_STRING;
    return is_text ? cvm_arena_copy(arena, value->string.data, value->string.length) : "";
}

static enum cvm_status load_conflict(const struct cvm_json_value *item, struct cvm_arena *arena,
                                     struct cvm_run_conflict *out_conflict, struct cvm_error *err)
{
    const struct cvm_json_value *rows = cvm_json_member(item, "rows");
    size_t row_count = rows == NULL ? 0 : rows->child_count;
    const char **ids = CVM_NEW_ARRAY(arena, row_count + 1, const char *);
    struct cvm_run_conflict conflict = {
        .rows = ids,
        .row_count = row_count,
        .message = text_of(cvm_json_member(item, "message"), arena),
        .relaxation = text_of(cvm_json_member(item, "relaxation"), arena),
    };
    bool has_all = ids != NULL && conflict.message != NULL && conflict.relaxation != NULL;
    const struct cvm_json_value *row = rows == NULL ? NULL : rows->first_child;
    for (size_t r = 0; has_all && row != NULL; r++, row = row->next) {
        ids[r] = text_of(row, arena);
        has_all = ids[r] != NULL;
    }
    *out_conflict = conflict;
    return has_all ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for conflicts");
}

enum cvm_status cvm_run_conflicts_load(const char *summary, struct cvm_arena *arena,
                                       struct cvm_run_result *result, struct cvm_error *err)
{
    const struct cvm_json_value *root = NULL;
    struct cvm_json_reader *reader = cvm_json_reader_create(SUMMARY_BYTES_MAX);
    enum cvm_status status =
        reader == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a summary")
                       : cvm_json_read(reader, arena, summary, strlen(summary), false, &root, err);
    cvm_json_reader_destroy(reader);
    const struct cvm_json_value *list = cvm_json_member(root, "infeasible");
    if (status != CVM_OK || list == NULL) {
        return status;
    }
    struct cvm_run_conflict *all =
        CVM_NEW_ARRAY(arena, list->child_count + 1, struct cvm_run_conflict);
    if (all == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for conflicts");
    }
    const struct cvm_json_value *item = list->first_child;
    for (; status == CVM_OK && item != NULL; item = item->next) {
        status = load_conflict(item, arena, &all[result->conflict_count++], err);
    }
    result->conflicts = all;
    return status;
}
