/* plan_causes.c - what changed between two runs: request, catalogue, data, learned responses,
 * capacity. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "base/json_reader.h"
#include "base/text.h"
#include "engine/plan_diff.h"
#include "engine/responses.h"
#include "storage/catalogue_store.h"
#include "storage/export_store.h"

#define JSON_BYTES_MAX ((size_t)64 << 20)

struct causes {
    struct cvm_store *store;
    struct cvm_plan_diff *diff;
    struct cvm_arena *arena;
    struct cvm_json_reader *reader;
};

static enum cvm_status add(struct causes *causes, const char *kind, struct cvm_error *err,
                           const char *format, ...) CVM_PRINTF(4, 5);

static enum cvm_status add(struct causes *causes, const char *kind, struct cvm_error *err,
                           const char *format, ...)
{
    struct cvm_plan_diff *diff = causes->diff;
    char text[512];
    va_list arguments;
    if (diff->cause_count == CVM_PLAN_DIFF_CAUSES_MAX) {
        diff->causes_more++;
        return CVM_OK;
    }
    va_start(arguments, format);
    (void)!vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const char *kept = cvm_arena_string(causes->arena, text);
    if (kept == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to compare plans");
    }
    diff->causes[diff->cause_count++] = (struct cvm_plan_cause){kind, kept};
    return CVM_OK;
}

/* ---- the request ---- */

static enum cvm_status compare_requests(struct causes *causes, struct cvm_error *err)
{
    const struct cvm_run_record *before = &causes->diff->before;
    const struct cvm_run_record *after = &causes->diff->after;
    char days[2][CVM_DAY_TEXT_SIZE];
    enum cvm_status status = CVM_OK;
    if (before->as_of_day != after->as_of_day) {
        status = add(causes, "request", err, "as of %s instead of %s",
                     cvm_day_format(after->as_of_day, days[0]),
                     cvm_day_format(before->as_of_day, days[1]));
    }
    if (status == CVM_OK && before->seed != after->seed) {
        status = add(causes, "request", err, "seed %lld instead of %lld", (long long)after->seed,
                     (long long)before->seed);
    }
    if (status == CVM_OK && strcmp(before->options, after->options) != 0) {
        status = add(causes, "request", err, "options %.200s instead of %.200s", after->options,
                     before->options);
    }
    return status;
}

/* ---- the catalogue ---- */

static enum cvm_status compare_catalogues(struct causes *causes, struct cvm_error *err)
{
    struct cvm_catalogue_files files[2];
    const struct cvm_catalogue_change *changes = NULL;
    int64_t versions[2] = {causes->diff->before.catalogue_version,
                           causes->diff->after.catalogue_version};
    size_t count = 0;
    enum cvm_status status = CVM_OK;
    if (versions[0] == versions[1]) {
        return CVM_OK;
    }
    for (size_t i = 0; status == CVM_OK && i < 2; i++) {
        int64_t found = 0;
        status = cvm_catalogue_store_files(causes->store, causes->arena, versions[i], &files[i],
                                           &found, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_diff(causes->arena, &files[0], &files[1], &changes, &count, err);
    }
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        const struct cvm_catalogue_change *change = &changes[i];
        const char *after = change->after == NULL ? "removed" : change->after;
        status = change->before == NULL
                     ? add(causes, "catalogue", err, "%.120s: %.120s", change->path, after)
                     : add(causes, "catalogue", err, "%.120s: %.120s -> %.120s", change->path,
                           change->before, after);
    }
    return status;
}

/* ---- data ---- */

static int64_t number_of(const struct cvm_json_value *object, const char *key)
{
    const struct cvm_json_value *value = cvm_json_member(object, key);
    return value != NULL && value->type == CVM_JSON_INT ? value->integer : 0;
}

static enum cvm_status add_batch(void *state, int64_t batch, const char *report,
                                 struct cvm_error *err)
{
    struct causes *causes = state;
    const struct cvm_json_value *root = NULL;
    struct cvm_text sources;
    enum cvm_status status =
        cvm_json_read(causes->reader, causes->arena, report, strlen(report), false, &root, err);
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_json_value *by_source = cvm_json_member(root, "by_source");
    cvm_text_init(&sources, 0);
    for (const struct cvm_json_value *source = by_source == NULL ? NULL : by_source->first_child;
         source != NULL; source = source->next) {
        cvm_text_add(&sources, sources.length == 0 ? " (" : ", ");
        cvm_text_add_bytes(&sources, source->key.data, source->key.length);
        cvm_text_add_char(&sources, ' ');
        cvm_text_add_grouped(&sources, number_of(source, "stored"));
    }
    cvm_text_add(&sources, sources.length == 0 ? "" : ")");
    status = add(causes, "data", err, "batch %lld: %lld records stored, %lld new customers%.300s",
                 (long long)batch, (long long)number_of(root, "stored"),
                 (long long)number_of(root, "new_customers"), cvm_text_string(&sources));
    cvm_text_finish(&sources);
    return status;
}

/* ---- learned responses ---- */

static enum cvm_status compare_response(struct causes *causes, const char *treatment,
                                        const struct cvm_response *before,
                                        const struct cvm_response *after, struct cvm_error *err)
{
    const struct {
        const char *name;
        double before, after;
    } parts[] = {
        {"reach", before->reach, after->reach},
        {"accept", before->accept, after->accept},
        {"churn cut", before->churn_cut, after->churn_cut},
    };
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (fabs(parts[i].after - parts[i].before) > 5e-5) {
            status = add(causes, "responses", err, "%s: %s %.4f -> %.4f (%s, %lld outcomes)",
                         treatment, parts[i].name, parts[i].before, parts[i].after, after->source,
                         (long long)after->outcomes);
        }
    }
    return status;
}

/* What the catalogue itself changed of the priors is told there. */
static enum cvm_status compare_responses(struct causes *causes,
                                         const struct cvm_catalogue *const catalogues[2],
                                         struct cvm_error *err)
{
    const char *texts[2] = {causes->diff->before.responses, causes->diff->after.responses};
    struct cvm_responses *responses = CVM_NEW_ARRAY(causes->arena, 2, struct cvm_responses);
    enum cvm_status status =
        responses == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to compare plans") : CVM_OK;
    if (texts[0] == NULL && texts[1] == NULL) {
        return status;
    }
    for (size_t i = 0; status == CVM_OK && i < 2; i++) {
        status = cvm_responses_parse(texts[i], catalogues[i], causes->arena, &responses[i], err);
    }
    for (size_t t = 0; status == CVM_OK && t < catalogues[1]->treatment_count; t++) {
        const char *id = catalogues[1]->treatments[t].id;
        int old = cvm_catalogue_treatment(catalogues[0], id);
        if (old != CVM_INDEX_NONE) {
            status = compare_response(causes, id, &responses[0].of[old], &responses[1].of[t], err);
        }
    }
    return status;
}

/* ---- capacity ---- */

static const struct cvm_json_value *limit_of(const struct cvm_json_value *constraint)
{
    const struct cvm_json_value *limit = cvm_json_member(constraint, "max_per_day");
    return limit != NULL ? limit : cvm_json_member(constraint, "limit");
}

/* What was granted to each run, as its summary says. */
static enum cvm_status compare_capacity(struct causes *causes, struct cvm_error *err)
{
    const char *texts[2] = {causes->diff->before.summary, causes->diff->after.summary};
    const struct cvm_json_value *roots[2];
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < 2; i++) {
        if (texts[i] == NULL) {
            return CVM_OK;
        }
        status = cvm_json_read(causes->reader, causes->arena, texts[i], strlen(texts[i]), false,
                               &roots[i], err);
    }
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_json_value *before = cvm_json_member(roots[0], "constraints_final_state");
    const struct cvm_json_value *after = cvm_json_member(roots[1], "constraints_final_state");
    for (const struct cvm_json_value *now = after == NULL ? NULL : after->first_child;
         status == CVM_OK && now != NULL; now = now->next) {
        char name[80];
        (void)snprintf(name, sizeof(name), "%.*s", (int)now->key.length, now->key.data);
        const struct cvm_json_value *limit = limit_of(now);
        const struct cvm_json_value *old = limit_of(cvm_json_member(before, name));
        bool is_known = limit != NULL && old != NULL;
        if (is_known && cvm_json_hash(limit) != cvm_json_hash(old)) {
            status = add(causes, "capacity", err, "%s: %.*s -> %.*s", name, (int)old->raw.length,
                         old->raw.data, (int)limit->raw.length, limit->raw.data);
        }
    }
    return status;
}

enum cvm_status cvm_plan_causes(struct cvm_store *store, struct cvm_plan_diff *diff,
                                const struct cvm_catalogue *const catalogues[2],
                                struct cvm_arena *arena, struct cvm_error *err)
{
    struct causes causes = {.store = store, .diff = diff, .arena = arena};
    int64_t batches[2] = {diff->before.last_batch, diff->after.last_batch};
    causes.reader = cvm_json_reader_create(JSON_BYTES_MAX);
    enum cvm_status status = causes.reader == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to compare plans")
                                 : compare_requests(&causes, err);
    if (status == CVM_OK) {
        status = compare_catalogues(&causes, err);
    }
    if (status == CVM_OK && batches[0] < batches[1]) {
        status = cvm_batch_reports(store, batches[0], batches[1], add_batch, &causes, err);
    }
    if (status == CVM_OK) {
        status = compare_responses(&causes, catalogues, err);
    }
    if (status == CVM_OK) {
        status = compare_capacity(&causes, err);
    }
    cvm_json_reader_destroy(causes.reader);
    return status;
}
