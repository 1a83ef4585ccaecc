#include "engine/reasons.h"

#include <string.h>

#include "engine/explain_run.h"
#include "engine/groups.h"
#include "engine/needed.h"

/* Columns of fails: the recommender's checks, then no value, then the prices. */
struct reasons_plan {
    size_t check_count; /* of the recommender */
    size_t price_count;
    int constraints[CVM_CONSTRAINTS_MAX]; /* with a price above 0 that count the treatment */
};

struct reasons_worker {
    unsigned char *fails; /* CVM_REASON_LINES_MAX columns of CVM_CHECK_STRIP */
    float values[CVM_CHECK_STRIP];
    float margins[CVM_CHECK_STRIP];
    unsigned char segments[CVM_CHECK_STRIP];
    uint64_t groups[CVM_CHECK_STRIP];
    uint16_t failed[CVM_CHECK_STRIP]; /* how many checks each customer fails */
    int64_t *alone;                   /* per treatment and line */
    int64_t *together;
    int64_t passed[CVM_TREATMENTS_MAX];
    int64_t customers;
};

struct reasons_job {
    struct cvm_explain_run run;
    struct cvm_reasons *reasons;
    struct reasons_plan plans[CVM_TREATMENTS_MAX];
    struct reasons_worker *workers;
};

/* ---- what is checked ---- */

static bool is_priced(const struct reasons_job *job, size_t constraint, size_t treatment)
{
    const struct cvm_constraint *limit = &job->run.catalogue->constraints[constraint];
    return job->run.summary.prices[constraint] > 0 && limit->limit >= 0 &&
           (limit->treatments >> treatment & 1) != 0;
}

static enum cvm_status plan_treatment(struct reasons_job *job, size_t t, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->run.catalogue;
    struct reasons_plan *plan = &job->plans[t];
    struct cvm_treatment_reasons *reasons = &job->reasons->treatments[t];
    struct cvm_check *checks = CVM_NEW_ARRAY(job->run.arena, CVM_CHECKS_MAX, struct cvm_check);
    reasons->lines = CVM_NEW_ARRAY(job->run.arena, CVM_REASON_LINES_MAX, struct cvm_reason_line);
    if (checks == NULL || reasons->lines == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for reasons");
    }
    plan->check_count = cvm_recommend_checks(job->run.recommender, t, checks);
    for (size_t c = 0; c < plan->check_count; c++) {
        reasons->lines[reasons->line_count++].check = checks[c];
    }
    reasons->lines[reasons->line_count++].check = (struct cvm_check){.reason = CVM_REASON_NO_VALUE};
    for (size_t c = 0; c < catalogue->constraint_count + catalogue->group_count; c++) {
        if (is_priced(job, c, t)) {
            plan->constraints[plan->price_count++] = (int)c;
            reasons->lines[reasons->line_count++].check =
                (struct cvm_check){CVM_REASON_BELOW_PRICE, catalogue->constraints[c].id,
                                   catalogue->constraints[c].display_name, NULL};
        }
    }
    return CVM_OK;
}

/* ---- counting ---- */

/* One constraint's part of the price. */
static double price_of(const struct reasons_job *job, int constraint, size_t treatment,
                       const struct cvm_usage_customer *customer)
{
    double prices[CVM_CONSTRAINTS_MAX] = {0};
    prices[constraint] = job->run.summary.prices[constraint];
    return cvm_usage_price(job->run.catalogue, prices, treatment, customer);
}

static void check_value(const struct reasons_job *job, size_t t, size_t i,
                        struct reasons_worker *mine)
{
    const struct reasons_plan *plan = &job->plans[t];
    unsigned char *no_value = mine->fails + plan->check_count * CVM_CHECK_STRIP;
    unsigned char *prices = no_value + CVM_CHECK_STRIP;
    double value = (double)mine->values[i];
    const struct cvm_usage_customer customer = {(double)mine->margins[i], mine->groups[i]};
    double total = cvm_usage_price(job->run.catalogue, job->run.summary.prices, t, &customer);
    no_value[i] = !(value > 0) && !(value > total); /* a minimum may pay for it */
    for (size_t p = 0; p < plan->price_count; p++) {
        prices[p * CVM_CHECK_STRIP + i] = 0;
    }
    for (size_t p = 0; no_value[i] == 0 && value <= total && p < plan->price_count; p++) {
        /* Whatever has a part in a price that is too high. */
        prices[p * CVM_CHECK_STRIP + i] =
            price_of(job, plan->constraints[p], t, &customer) > 0 ? 1 : 0;
    }
}

static void count_strip(const struct reasons_job *job, size_t t, size_t count,
                        struct reasons_worker *mine)
{
    size_t lines = job->reasons->treatments[t].line_count;
    int64_t *alone = mine->alone + t * CVM_REASON_LINES_MAX;
    int64_t *together = mine->together + t * CVM_REASON_LINES_MAX;
    memset(mine->failed, 0, sizeof(mine->failed));
    for (size_t l = 0; l < lines; l++) {
        const unsigned char *fails = mine->fails + l * CVM_CHECK_STRIP;
        for (size_t i = 0; i < count; i++) {
            mine->failed[i] += fails[i];
        }
    }
    for (size_t l = 0; l < lines; l++) {
        const unsigned char *fails = mine->fails + l * CVM_CHECK_STRIP;
        for (size_t i = 0; i < count; i++) {
            together[l] += fails[i];
            alone[l] += fails[i] != 0 && mine->failed[i] == 1;
        }
    }
    for (size_t i = 0; i < count; i++) {
        mine->passed[t] += mine->failed[i] == 0;
    }
}

static enum cvm_status check_chunk(void *state, size_t shard, size_t worker,
                                   const struct cvm_chunk *chunk, struct cvm_error *err)
{
    struct reasons_job *job = state;
    struct reasons_worker *mine = &job->workers[worker];
    (void)shard;
    (void)err;
    mine->customers += (int64_t)chunk->count;
    for (size_t from = 0; from < chunk->count; from += CVM_CHECK_STRIP) {
        size_t left = chunk->count - from;
        size_t count = left < CVM_CHECK_STRIP ? left : CVM_CHECK_STRIP;
        for (size_t t = 0; t < job->run.catalogue->treatment_count; t++) {
            cvm_recommend_check_strip(job->run.recommender, chunk, from, count, t,
                                      &(struct cvm_check_results){mine->fails, mine->values,
                                                                  mine->margins, mine->segments});
            cvm_groups_of(job->run.catalogue,
                          &(struct cvm_groups_strip){chunk, from, count, mine->segments,
                                                     job->run.record.as_of_day},
                          mine->groups);
            for (size_t i = 0; i < count; i++) {
                check_value(job, t, i, mine);
            }
            count_strip(job, t, count, mine);
        }
    }
    return CVM_OK;
}

/* ---- the scan ---- */

static enum cvm_status make_workers(struct reasons_job *job, struct cvm_error *err)
{
    size_t count = job->run.engine->worker_count;
    size_t lines = job->run.catalogue->treatment_count * CVM_REASON_LINES_MAX;
    struct cvm_arena *arena = job->run.arena;
    job->workers = CVM_NEW_ARRAY(arena, count, struct reasons_worker);
    bool has_all = job->workers != NULL;
    for (size_t w = 0; has_all && w < count; w++) {
        struct reasons_worker *worker = &job->workers[w];
        worker->fails = CVM_NEW_ARRAY(arena, CVM_REASON_LINES_MAX * CVM_CHECK_STRIP, unsigned char);
        worker->alone = CVM_NEW_ARRAY(arena, lines + 1, int64_t);
        worker->together = CVM_NEW_ARRAY(arena, lines + 1, int64_t);
        has_all = worker->fails != NULL && worker->alone != NULL && worker->together != NULL;
    }
    return has_all ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for reasons");
}

static void sum_workers(struct reasons_job *job)
{
    struct cvm_reasons *reasons = job->reasons;
    for (size_t w = 0; w < job->run.engine->worker_count; w++) {
        const struct reasons_worker *worker = &job->workers[w];
        reasons->customers += worker->customers;
        for (size_t t = 0; t < job->run.catalogue->treatment_count; t++) {
            struct cvm_treatment_reasons *treatment = &reasons->treatments[t];
            treatment->passed += worker->passed[t];
            for (size_t l = 0; l < treatment->line_count; l++) {
                treatment->lines[l].alone += worker->alone[t * CVM_REASON_LINES_MAX + l];
                treatment->lines[l].together += worker->together[t * CVM_REASON_LINES_MAX + l];
            }
        }
    }
}

static enum cvm_status scan(struct reasons_job *job, struct cvm_error *err)
{
    struct cvm_feature_set needed = {{0}};
    const struct cvm_scan_request request = {
        .window = {job->run.record.as_of_day, job->run.summary.since_day, &needed},
        .on_chunk = check_chunk,
        .state = job,
    };
    cvm_needed_for_values(job->run.catalogue, &needed);
    return cvm_engine_scan(job->run.engine, &request, err);
}

static enum cvm_status prepare(struct reasons_job *job, struct cvm_error *err)
{
    struct cvm_reasons *reasons = job->reasons;
    size_t count = job->run.catalogue->treatment_count;
    reasons->run_id = job->run.record.run_id;
    reasons->as_of_day = job->run.record.as_of_day;
    reasons->catalogue = job->run.catalogue;
    reasons->data_changed = job->run.engine->last_batch != job->run.record.last_batch;
    reasons->treatments = CVM_NEW_ARRAY(job->run.arena, count + 1, struct cvm_treatment_reasons);
    if (reasons->treatments == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for reasons");
    }
    enum cvm_status status = CVM_OK;
    for (size_t t = 0; status == CVM_OK && t < count; t++) {
        reasons->treatments[t].given = job->run.summary.by_treatment[t];
        status = plan_treatment(job, t, err);
    }
    return status == CVM_OK ? make_workers(job, err) : status;
}

enum cvm_status cvm_reasons_scan(struct cvm_engine *engine, struct cvm_store *store,
                                 const char *run_id, struct cvm_arena *arena,
                                 struct cvm_reasons **out_reasons, struct cvm_error *err)
{
    struct reasons_job *job = CVM_NEW(arena, struct reasons_job);
    struct cvm_reasons *reasons = CVM_NEW(arena, struct cvm_reasons);
    if (job == NULL || reasons == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for reasons");
    }
    job->run = (struct cvm_explain_run){.engine = engine, .store = store, .arena = arena};
    job->reasons = reasons;
    enum cvm_status status = cvm_explain_run_open(&job->run, run_id, err);
    if (status == CVM_OK) {
        status = prepare(job, err);
    }
    if (status == CVM_OK) {
        status = scan(job, err);
    }
    if (status == CVM_OK) {
        sum_workers(job);
        *out_reasons = reasons;
    }
    cvm_explain_run_close(&job->run);
    return status;
}
