#include "engine/plan_diff.h"

#include <stdlib.h>
#include <string.h>

#include "engine/values.h"
#include "storage/catalogue_store.h"
#include "storage/export_store.h"

#define BLOCK_BYTES_MAX ((size_t)1 << 30)

/* The value segments of one run's customers, block by block. */
struct segments {
    const char *run_id;
    const struct cvm_catalogue *catalogue;
    struct cvm_arena *arena; /* of the block at hand */
    struct cvm_values_view view;
    uint64_t last_key; /* of the block; 0 = none yet */
    bool is_gone;      /* the run's values are no longer kept */
};

struct diff_job {
    struct cvm_store *store;
    struct cvm_plan_diff *diff;
    struct cvm_arena *arena;
    struct segments segments[2]; /* before, after */
    bool has[2];                 /* the customer at hand, in each plan */
    uint64_t key;
    size_t treatments[2]; /* line of each */
    struct cvm_plan_sum sums[2];
};

/* ---- lines ---- */

static enum cvm_status find_line(struct diff_job *job, struct cvm_plan_diff_line *lines,
                                 size_t *count, const char *name, size_t *out_line,
                                 struct cvm_error *err)
{
    size_t line = 0;
    while (line < *count && strcmp(lines[line].name, name) != 0) {
        line++;
    }
    if (line == *count) {
        const char *kept = cvm_arena_string(job->arena, name);
        if (line == CVM_PLAN_DIFF_LINES_MAX || kept == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "more than %d treatments or segments",
                            CVM_PLAN_DIFF_LINES_MAX);
        }
        lines[line] = (struct cvm_plan_diff_line){.name = kept};
        (*count)++;
    }
    *out_line = line;
    return CVM_OK;
}

static void add_sum(struct cvm_plan_sum *sum, const struct cvm_plan_sum *more)
{
    sum->count += more->count;
    sum->value += more->value;
    sum->spend_micro += more->spend_micro;
}

/* ---- segments ---- */

static enum cvm_status open_block(struct diff_job *job, struct segments *segments, uint64_t key,
                                  struct cvm_error *err)
{
    struct cvm_value_block block;
    cvm_arena_reset(segments->arena);
    enum cvm_status status =
        cvm_value_block_get(job->store, segments->arena, segments->run_id, key, &block, err);
    if (status == CVM_E_NOT_FOUND) {
        segments->is_gone = true;
        return CVM_OK;
    }
    if (status == CVM_OK) {
        status = cvm_values_open(block.body, block.length, &segments->view, err);
        segments->last_key = block.last_key;
    }
    return status;
}

/* "" when it is no longer known. */
static enum cvm_status segment_of(struct diff_job *job, struct segments *segments, uint64_t key,
                                  const char **out_name, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    *out_name = "";
    if (!segments->is_gone && key > segments->last_key) {
        status = open_block(job, segments, key, err);
    }
    if (status != CVM_OK || segments->is_gone) {
        return status;
    }
    size_t i = cvm_values_find(&segments->view, key);
    size_t segment = i == SIZE_MAX ? SIZE_MAX : cvm_values_segment(&segments->view, i);
    if (segment < segments->catalogue->segment_count) {
        *out_name = segments->catalogue->segments[segment].name;
    }
    return CVM_OK;
}

static enum cvm_status count_segment(struct diff_job *job, size_t side, bool is_changed,
                                     struct cvm_error *err)
{
    struct cvm_plan_diff *diff = job->diff;
    const char *name = NULL;
    size_t line = 0;
    enum cvm_status status = segment_of(job, &job->segments[side], job->key, &name, err);
    if (status == CVM_OK) {
        status = find_line(job, diff->segments, &diff->segment_count, name, &line, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_plan_diff_line *segment = &diff->segments[line];
    add_sum(side == 0 ? &segment->before : &segment->after, &job->sums[side]);
    if (!job->has[1 - side]) {
        segment->gained += side == 1;
        segment->lost += side == 0;
    }
    segment->came += is_changed && side == 1;
    segment->went += is_changed && side == 1;
    return CVM_OK;
}

/* ---- customers ---- */

static enum cvm_status end_customer(struct diff_job *job, struct cvm_error *err)
{
    struct cvm_plan_diff *diff = job->diff;
    bool has_both = job->has[0] && job->has[1];
    bool is_changed = has_both && job->treatments[0] != job->treatments[1];
    enum cvm_status status = CVM_OK;
    for (size_t side = 0; status == CVM_OK && side < 2; side++) {
        if (!job->has[side]) {
            continue;
        }
        struct cvm_plan_diff_line *line = &diff->treatments[job->treatments[side]];
        add_sum(side == 0 ? &line->before : &line->after, &job->sums[side]);
        add_sum(side == 0 ? &diff->total.before : &diff->total.after, &job->sums[side]);
        line->gained += side == 1 && !has_both;
        line->lost += side == 0 && !has_both;
        line->came += side == 1 && is_changed;
        line->went += side == 0 && is_changed;
        diff->total.gained += side == 1 && !has_both;
        diff->total.lost += side == 0 && !has_both;
        status = count_segment(job, side, is_changed, err);
    }
    diff->total.came += is_changed;
    diff->total.went += is_changed;
    diff->kept += has_both && !is_changed;
    job->has[0] = false;
    job->has[1] = false;
    return status;
}

static enum cvm_status take_row(void *state, const struct cvm_plan_pair_row *row,
                                struct cvm_error *err)
{
    struct diff_job *job = state;
    struct cvm_plan_diff *diff = job->diff;
    size_t side = row->is_after ? 1 : 0;
    enum cvm_status status = CVM_OK;
    if (row->key != job->key) {
        status = end_customer(job, err);
        job->key = row->key;
    }
    if (status == CVM_OK) {
        status = find_line(job, diff->treatments, &diff->treatment_count, row->treatment,
                           &job->treatments[side], err);
    }
    job->has[side] = true;
    job->sums[side] = (struct cvm_plan_sum){1, row->value, row->spend_micro};
    return status;
}

/* ---- the whole ---- */

static enum cvm_status load_sides(struct diff_job *job, const struct cvm_catalogue *catalogues[2],
                                  struct cvm_error *err)
{
    const struct cvm_run_record *runs[] = {&job->diff->before, &job->diff->after};
    enum cvm_status status = CVM_OK;
    for (size_t side = 0; status == CVM_OK && side < 2; side++) {
        status = cvm_catalogue_store_load(job->store, job->arena, runs[side]->catalogue_version,
                                          &catalogues[side], err);
        job->segments[side].run_id = runs[side]->run_id;
        job->segments[side].catalogue = catalogues[side];
        job->segments[side].arena = cvm_arena_create(BLOCK_BYTES_MAX);
        if (job->segments[side].arena == NULL && status == CVM_OK) {
            status = CVM_FAIL(err, CVM_E_LIMIT, "no memory to compare plans");
        }
    }
    return status;
}

static int compare_lines(const void *a, const void *b)
{
    const struct cvm_plan_diff_line *left = a;
    const struct cvm_plan_diff_line *right = b;
    return strcmp(left->name, right->name);
}

enum cvm_status cvm_plan_diff(struct cvm_store *store, const struct cvm_run_record *before,
                              const struct cvm_run_record *after, struct cvm_arena *arena,
                              const struct cvm_plan_diff **out_diff, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogues[2] = {NULL, NULL};
    struct diff_job job = {.store = store, .arena = arena};
    job.diff = CVM_NEW(arena, struct cvm_plan_diff);
    if (job.diff == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to compare plans");
    }
    job.diff->before = *before;
    job.diff->after = *after;
    job.diff->total.name = "all";
    enum cvm_status status = load_sides(&job, catalogues, err);
    if (status == CVM_OK) {
        status = cvm_plan_pair_scan(store, before->run_id, after->run_id, take_row, &job, err);
    }
    if (status == CVM_OK) {
        status = end_customer(&job, err);
    }
    if (status == CVM_OK) {
        qsort(job.diff->treatments, job.diff->treatment_count, sizeof(job.diff->treatments[0]),
              compare_lines);
        qsort(job.diff->segments, job.diff->segment_count, sizeof(job.diff->segments[0]),
              compare_lines);
        status = cvm_plan_causes(store, job.diff, catalogues, arena, err);
    }
    cvm_arena_destroy(job.segments[0].arena);
    cvm_arena_destroy(job.segments[1].arena);
    if (status == CVM_OK) {
        *out_diff = job.diff;
    }
    return status;
}
