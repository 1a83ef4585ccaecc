/* A run carried out directly, and the same by the workflow whose agents are threads of the command:
 * pairs, now the one first and now the other, each withdrawing what the run before it decided.
 */
#include <string.h>
#include <time.h>

#include "cli/bench.h"
#include "cli/run_workflow.h"

#define PAIRS_MAX 1000

struct pairing {
    struct cvm_session *session;
    struct cvm_work work;
    struct cvm_run_request request;
    struct series {
        double seconds[PAIRS_MAX];
        double processor[PAIRS_MAX]; /* the same, of all threads */
    } ways[2];                       /* directly, by the workflow */
    double ratios[PAIRS_MAX];
    double processor_ratios[PAIRS_MAX];
};

static enum cvm_status run_once(struct pairing *pairing, size_t way, size_t pair,
                                char digest[CVM_DIGEST_TEXT_SIZE], struct cvm_error *err)
{
    const struct cvm_context *context = &pairing->session->context;
    struct cvm_work *work = &pairing->work;
    struct cvm_run_result *result = NULL;
    double start = cvm_context_seconds(context);
    clock_t worked = clock();
    enum cvm_status status = way == 1 ? cvm_run_embedded(work, &pairing->request, &result, err)
                                      : cvm_run(work->engine, work->store, &pairing->request,
                                                pairing->session->arena, &result, err);
    pairing->ways[way].seconds[pair] = cvm_context_seconds(context) - start;
    pairing->ways[way].processor[pair] = (double)(clock() - worked) / CLOCKS_PER_SEC;
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
        size_t way = (pair + i) % 2;
        status = run_once(pairing, way, pair, digests[way], err);
    }
    if (status == CVM_OK && strcmp(digests[0], digests[1]) != 0) {
        status = CVM_FAIL(err, CVM_E_INTERNAL, "the workflow made another plan than the pipeline");
    }
    if (status == CVM_OK) {
        const struct series *ways = pairing->ways;
        pairing->ratios[pair] = ways[1].seconds[pair] / ways[0].seconds[pair];
        pairing->processor_ratios[pair] = ways[1].processor[pair] / ways[0].processor[pair];
    }
    return status;
}

static void tell(struct pairing *pairing, size_t count, struct cvm_bench_sample *sample)
{
    static const char *const names[] = {"run_directly", "run_by_workflow"};
    for (size_t way = 0; way < 2; way++) {
        struct cvm_bench_spread spread = cvm_bench_spread_of(pairing->ways[way].seconds, count);
        cvm_bench_add_result(sample, names[way], spread.median, "s");
    }
    struct cvm_bench_spread ratio = cvm_bench_spread_of(pairing->ratios, count);
    struct cvm_bench_spread processor = cvm_bench_spread_of(pairing->processor_ratios, count);
    cvm_bench_add_result(sample, "run_pairs", (double)count, "pairs");
    cvm_bench_add_result(sample, "run_ratio_best", ratio.best, "x");
    cvm_bench_add_result(sample, "run_ratio_median", ratio.median, "x");
    cvm_bench_add_result(sample, "run_ratio_worst", ratio.worst, "x");
    cvm_bench_add_result(sample, "run_processor_ratio_median", processor.median, "x");
}

enum cvm_status cvm_bench_embedded(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                   struct cvm_error *err)
{
    struct cvm_session *session = bench->session;
    struct cvm_work_options options = {
        .access = CVM_DB_WRITE, .needs_engine = true, .threads = bench->threads};
    struct pairing *pairing = CVM_NEW(session->arena, struct pairing);
    size_t count = bench->repeats < PAIRS_MAX ? (size_t)bench->repeats : PAIRS_MAX;
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
    status = run_once(pairing, 0, 0, digest, err); /* nothing to withdraw yet */
    for (size_t pair = 0; status == CVM_OK && pair < count; pair++) {
        status = measure_pair(pairing, pair, err);
    }
    if (status == CVM_OK) {
        tell(pairing, count, out_sample);
    }
    cvm_work_close(&pairing->work);
    return status;
}
