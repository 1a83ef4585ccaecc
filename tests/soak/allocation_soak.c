/* allocation_soak - random bases of 20k to 1M customers with rows of every kind, each with a plan
 * that keeps them all: solved, judged apart from the product, and the worst told.
 *
 * allocation_soak [COUNT [FIRST_SEED [CUSTOMERS]]]
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "allocation/solver.h"
#include "base/hash.h"
#include "base/random.h"
#include "support/plan_check.h"

#define GAP_MAX         1e-4
#define CUSTOMERS_LEAST 20000.0
#define CUSTOMERS_MOST  1000000.0
#define WORST           10
#define SLOWEST         3

struct sight {
    struct random_shape shape;
    size_t row_count;
    double gap;
    double seconds;
    char fault[400]; /* "" = sound */
};

/* As many of each order of magnitude. */
static size_t customers_of(uint64_t seed)
{
    struct cvm_random random;
    cvm_random_init(&random, cvm_hash_mix(seed, 5));
    double ratio = CUSTOMERS_MOST / CUSTOMERS_LEAST;
    return (size_t)(CUSTOMERS_LEAST * pow(ratio, cvm_random_unit(&random)));
}

static double now_seconds(void)
{
    return (double)cvm_clock_system.steady_ns(cvm_clock_system.state) / 1e9;
}

static void look_at(uint64_t seed, size_t customers, struct cvm_pool *pool, struct sight *sight)
{
    *sight = (struct sight){.shape = random_shape_of(seed, customers)};
    struct random_problem *made = random_problem_big(&sight->shape);
    struct cvm_plan plan = {.treatments = random_problem_treatments(made)};
    struct cvm_error err = {.message = ""};
    double start = now_seconds();
    enum cvm_status status = cvm_solve(&made->problem, NULL, pool, NULL, &plan, &err);
    sight->seconds = now_seconds() - start;
    sight->row_count = made->problem.row_count;
    sight->gap = plan.gap;
    if (status != CVM_OK) {
        sight->gap = INFINITY;
        (void)snprintf(sight->fault, sizeof(sight->fault), "%.390s", err.message);
    } else if (plan_check(made, &plan, sight->fault, sizeof(sight->fault))) {
        if (!plan.is_feasible) {
            (void)snprintf(sight->fault, sizeof(sight->fault), "a minimum is missed");
        } else if (!(plan.gap <= GAP_MAX)) {
            (void)snprintf(sight->fault, sizeof(sight->fault), "the gap is above %g", GAP_MAX);
        }
    }
    free(plan.treatments);
    random_problem_free(made);
}

static void print_sight(const struct sight *sight)
{
    const struct random_shape *shape = &sight->shape;
    printf("seed %4" PRIu64
           "  %8zu customers x %2zu, %zu rows, %zu each%s  gap %.1e  %7.3f s%s%s\n",
           shape->seed, shape->customers, shape->treatments, sight->row_count,
           shape->per_customer_max, shape->has_households ? ", households" : "", sight->gap,
           sight->seconds, sight->fault[0] == '\0' ? "" : "  FAILED: ", sight->fault);
}

static int compare_sights(const void *a, const void *b)
{
    double left = ((const struct sight *)a)->gap;
    double right = ((const struct sight *)b)->gap;
    return (left < right) - (left > right);
}

static int compare_seconds(const void *a, const void *b)
{
    double left = ((const struct sight *)a)->seconds;
    double right = ((const struct sight *)b)->seconds;
    return (left < right) - (left > right);
}

static int look_at_all(uint64_t count, uint64_t first, size_t customers, struct cvm_pool *pool)
{
    struct sight *sights = calloc(count + 1, sizeof(*sights));
    int failed = 0;
    if (sights == NULL) {
        fprintf(stderr, "out of memory\n");
        return 1;
    }
    for (uint64_t k = 0; k < count; k++) {
        size_t size = customers > 0 ? customers : customers_of(first + k);
        printf("%" PRIu64 " ", first + k); /* so that a crash tells its seed */
        (void)fflush(stdout);
        look_at(first + k, size, pool, &sights[k]);
        if (sights[k].fault[0] != '\0') {
            failed++;
            printf("\n");
            print_sight(&sights[k]);
            printf("    repeat: tests/soak/allocation.sh BUILD 1 %" PRIu64 " %zu\n", first + k,
                   size);
        }
    }
    qsort(sights, count, sizeof(*sights), compare_sights);
    printf("\nthe worst of %" PRIu64 ":\n", count);
    for (uint64_t k = 0; k < count && k < WORST; k++) {
        print_sight(&sights[k]);
    }
    qsort(sights, count, sizeof(*sights), compare_seconds);
    printf("the slowest:\n");
    for (uint64_t k = 0; k < count && k < SLOWEST; k++) {
        print_sight(&sights[k]);
    }
    printf("%d failed\n", failed);
    free(sights);
    return failed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 200;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    size_t customers = argc > 3 ? (size_t)strtoull(argv[3], NULL, 10) : 0;
    struct cvm_pool *pool = NULL;
    struct cvm_error err;
    if (cvm_pool_create(0, &pool, &err) != CVM_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    int result = look_at_all(count, first, customers, pool);
    cvm_pool_destroy(pool);
    return result;
}
