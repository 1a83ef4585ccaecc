/* A run carried out directly, and the same by the workflow whose agents are threads of the command:
 * pairs, now the one first and now the other, each withdrawing what the run before it decided.
 */
#include <string.h>

#include "cli/bench.h"
#include "cli/run_workflow.h"

#define PAIRS_MAX 1000

struct pairing {
    struct cvm_session *session;
    struct cvm_work work;
    struct cvm_run_request request;
    double seconds[2][PAIRS_MAX]; /* directly, by the workflow */
    double ratios[PAIRS_MAX];
};

static enum cvm_status run_once(struct pairing *pairing, bool by_workflow, double *out_seconds,
                                char digest[CVM_DIGEST_TEXT_SIZE], struct cvm_error *err)
{
    const struct cvm_context *context = &pairing->session->context;
    struct cvm_work *work = &pairing->work;
    struct cvm_run_result *result = NULL;
    double start = cvm_context_seconds(context);
    enum cvm_status status = by_workflow ? cvm_run_embedded(work, &pairing->request, &result, err)
                                         : cvm_run(work->engine, work->store, &pairing->request,
                                                   pairing->session->arena, &result, err);
    *out_seconds = cvm_context_seconds(context) - start;
    if (status == CVM_OK && result->was_done_before) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' was done before: nothing to measure",
                          result->run_id);
    }
    if (status == CVM_OK) {
        memcpy(digest, result->plan_digest, CVM_DIGEST_TEXT_SIZE);
    }
    cvm_run_result_destroy(result);
    return status;
}

/* They are different runs, since each replaces the one before; their plans are the same. */
static enum cvm_status measure_pair(struct pairing *pairing, size_t pair, struct cvm_error *err)
{
    char digests[2][CVM_DIGEST_TEXT_SIZE];
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < 2; i++) {
        size_t which = (pair + i) % 2;
        status = run_once(pairing, which == 1, &pairing->seconds[which][pair], digests[which], err);
    }
    if (status == CVM_OK && strcmp(digests[0], digests[1]) != 0) {
        status = CVM_FAIL(err, CVM_E_INTERNAL, "the workflow made another plan than the pipeline");
    }
    if (status == CVM_OK) {
        pairing->ratios[pair] = pairing->seconds[1][pair] / pairing->seconds[0][pair];
    }
    return status;
}

static void tell(struct pairing *pairing, size_t count, struct cvm_bench_sample *sample)
{
    struct cvm_bench_spread direct = cvm_bench_spread_of(pairing->seconds[0], count);
    struct cvm_bench_spread workflow = cvm_bench_spread_of(pairing->seconds[1], count);
    struct cvm_bench_spread ratio = cvm_bench_spread_of(pairing->ratios, count);
    cvm_bench_add_result(sample, "run_directly", direct.median, "s");
    cvm_bench_add_result(sample, "run_by_workflow", workflow.median, "s");
    cvm_bench_add_result(sample, "run_pairs", (double)count, "pairs");
    cvm_bench_add_result(sample, "run_ratio_best", ratio.best, "x");
    cvm_bench_add_result(sample, "run_ratio_median", ratio.median, "x");
    cvm_bench_add_result(sample, "run_ratio_worst", ratio.worst, "x");
}

enum cvm_status cvm_bench_embedded(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                   struct cvm_error *err)
{
    struct cvm_session *session = bench->session;
    struct cvm_work_options options = {
        .access = CVM_DB_WRITE, .needs_engine = true, .threads = bench->threads};
    struct pairing *pairing = CVM_NEW(session->arena, struct pairing);
    size_t count = bench->repeats < PAIRS_MAX ? (size_t)bench->repeats : PAIRS_MAX;
    double warm_up = 0;
    char digest[CVM_DIGEST_TEXT_SIZE];
    if (pairing == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    *pairing = (struct pairing){
        .session = session,
        .request = {.as_of_day = bench->day,
                    .since_day = CVM_DAY_NONE,
                    .forced_treatment = CVM_INDEX_NONE,
                    .allowed = UINT64_MAX,
                    .is_replacing = true,
                    .must_release = true,
                    .seed = 1,
                    .keep_runs = session->config.keep_runs,
                    .who = session->who},
    };
    enum cvm_status status = cvm_work_open(session, &options, &pairing->work, err);
    if (status != CVM_OK) {
        return status;
    }
    status = run_once(pairing, false, &warm_up, digest, err); /* nothing to withdraw yet */
    for (size_t pair = 0; status == CVM_OK && pair < count; pair++) {
        status = measure_pair(pairing, pair, err);
    }
    if (status == CVM_OK) {
        tell(pairing, count, out_sample);
    }
    cvm_work_close(&pairing->work);
    return status;
}
