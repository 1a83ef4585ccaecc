#include "support/random_problem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/random.h"

#define BLOCK CVM_PROBLEM_BLOCK

/* Of big problems: a class is a region, an age and whether the value is high. */
#define REGIONS 4
#define AGES    3

static void *must(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "no memory for a random problem\n");
        abort();
    }
    return memory;
}

static size_t below(struct cvm_random *random, size_t bound)
{
    return (size_t)cvm_random_below(random, bound);
}

static bool happens(struct cvm_random *random, double share)
{
    return cvm_random_unit(random) < share;
}

static double between(struct cvm_random *random, double low, double high)
{
    return low + (high - low) * cvm_random_unit(random);
}

static uint64_t some_treatments(struct cvm_random *random, size_t count, double share)
{
    uint64_t bits = 0;
    for (size_t t = 0; t < count; t++) {
        bits |= happens(random, share) ? UINT64_C(1) << t : 0;
    }
    return bits;
}

static uint64_t all_treatments(size_t count)
{
    return count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

/* ---- rows ---- */

int64_t random_row_use(const struct cvm_row_terms *terms, size_t customer_class, size_t treatment,
                       double amount)
{
    bool is_inside = terms->inside == NULL || terms->inside[customer_class] != 0;
    double parts = terms->share * (double)CVM_ROW_SHARE_SCALE;
    int64_t share = (int64_t)(terms->kind == CVM_ROW_SHARE_MIN ? floor(parts) : ceil(parts));
    if ((terms->treatments >> treatment & 1) == 0) {
        return 0;
    }
    switch (terms->kind) {
    case CVM_ROW_CAPACITY:
        return 1;
    case CVM_ROW_SHARED:
        return terms->units == NULL ? 1 : terms->units[treatment];
    case CVM_ROW_BUDGET: {
        double flat = terms->flat == NULL ? 0.0 : terms->flat[treatment];
        double rate = terms->rate == NULL ? 0.0 : terms->rate[treatment];
        return (int64_t)nearbyint((flat + rate * amount) * 1e6);
    }
    case CVM_ROW_SEGMENT_MAX:
        return is_inside;
    case CVM_ROW_SEGMENT_MIN:
        return -(int64_t)is_inside;
    case CVM_ROW_SHARE_MIN:
        return share - (is_inside ? CVM_ROW_SHARE_SCALE : 0);
    case CVM_ROW_SHARE_MAX:
        return (is_inside ? CVM_ROW_SHARE_SCALE : 0) - share;
    case CVM_ROW_RESERVE:
        return !is_inside;
    }
    return 0;
}

/* A row that covers `treatments`; the caller fills the rest and ends with finish_row(). */
static struct cvm_row_terms *new_row(struct random_problem *made, enum cvm_row_kind kind,
                                     uint64_t treatments, int64_t limit)
{
    size_t number = made->problem.row_count++;
    struct cvm_row_terms *terms = &made->terms[number];
    (void)snprintf(made->made[number].name, sizeof(made->made[number].name), "row %zu", number);
    *terms = (struct cvm_row_terms){
        .name = made->made[number].name,
        .kind = kind,
        .treatments = treatments,
        .limit = limit,
    };
    return terms;
}

static void finish_row(struct random_problem *made)
{
    size_t number = made->problem.row_count - 1;
    cvm_row_make(&made->terms[number], &made->rows[number]);
}

static struct random_row *last_made(struct random_problem *made)
{
    return &made->made[made->problem.row_count - 1];
}

/* ---- columns ---- */

static struct random_problem *new_problem(const struct random_shape *shape, bool has_groups)
{
    struct random_problem *made = must(calloc(1, sizeof(*made)));
    size_t count = shape->customers;
    size_t padded = (count + BLOCK - 1) / BLOCK * BLOCK;
    made->values = must(malloc(padded * shape->treatments * sizeof(float) + 1));
    made->amounts = must(malloc(count * sizeof(double) + 1));
    made->keys = must(malloc(count * sizeof(uint64_t) + 1));
    made->classes = must(malloc(count * sizeof(uint16_t) + 1));
    if (shape->values == RANDOM_VALUES_EXACT) {
        made->exact = must(malloc(padded * shape->treatments * sizeof(double) + 1));
    }
    if (has_groups) {
        made->groups = must(malloc(count * sizeof(uint32_t) + 1));
        made->group_max = must(malloc(count + 4));
    }
    for (size_t i = 0; i < padded * shape->treatments; i++) {
        made->values[i] = CVM_PROBLEM_INELIGIBLE;
        if (made->exact != NULL) {
            made->exact[i] = (double)CVM_PROBLEM_INELIGIBLE;
        }
    }
    uint64_t step = count == 0 ? 1 : ((uint64_t)1 << 63) / count;
    for (size_t i = 0; i < count; i++) {
        made->keys[i] = i * step + cvm_hash_mix(shape->seed, i) % step;
    }
    made->problem = (struct cvm_problem){
        .customer_count = count,
        .treatment_count = shape->treatments,
        .values = made->values,
        .exact_values = made->exact,
        .keys = made->keys,
        .amounts = made->amounts,
        .classes = made->classes,
        .rows = made->rows,
        .forced_treatment = -1,
        .per_customer_max = shape->per_customer_max,
        .groups = made->groups,
    };
    return made;
}

static void put(struct random_problem *made, size_t customer, size_t treatment, double value)
{
    size_t at = cvm_problem_at(&made->problem, customer, treatment);
    made->values[at] = (float)value;
    if (made->exact != NULL) {
        made->exact[at] = value;
    }
}

static void some_exclusions(struct random_problem *made, struct cvm_random *random, double share)
{
    size_t count = made->problem.treatment_count;
    for (size_t a = 0; a < count; a++) {
        for (size_t b = a + 1; b < count; b++) {
            if (happens(random, share)) {
                made->exclusions[a] |= UINT64_C(1) << b;
                made->exclusions[b] |= UINT64_C(1) << a;
            }
        }
    }
    made->problem.exclusions = made->exclusions;
}

static void some_ranks(struct random_problem *made, struct cvm_random *random)
{
    for (size_t t = 0; t < made->problem.treatment_count; t++) {
        made->priorities[t] = 1 + (int64_t)below(random, 3);
        made->costs[t] = (int64_t)below(random, 3) * 100000;
    }
    made->problem.priorities = made->priorities;
    made->problem.tie_cost_micro = made->costs;
}

void random_problem_free(struct random_problem *made)
{
    if (made != NULL) {
        free(made->values);
        free(made->exact);
        free(made->amounts);
        free(made->keys);
        free(made->classes);
        free(made->groups);
        free(made->group_max);
        free(made);
    }
}

unsigned char *random_problem_treatments(const struct random_problem *made)
{
    const struct cvm_problem *problem = &made->problem;
    return must(calloc(problem->customer_count * cvm_problem_per_customer(problem) + 1, 1));
}

/* ---- small ---- */

static double small_value(struct cvm_random *random, enum random_values values)
{
    double value = cvm_random_normal(random) * 5.0 + 4.0;
    switch (values) {
    case RANDOM_VALUES_GRID:
        return floor(value);
    case RANDOM_VALUES_EQUAL:
        return 3.0;
    case RANDOM_VALUES_ZERO:
        return 0.0;
    case RANDOM_VALUES_NEGATIVE:
        return -fabs(value);
    case RANDOM_VALUES_MIXED:
        return value * (happens(random, 0.5) ? 1e-9 : 1e9);
    default:
        return value;
    }
}

static void small_columns(struct random_problem *made, struct cvm_random *random,
                          enum random_values values)
{
    struct cvm_problem *problem = &made->problem;
    problem->class_count = 1 + below(random, 4);
    for (size_t i = 0; i < problem->customer_count; i++) {
        made->classes[i] = (uint16_t)below(random, problem->class_count);
        made->amounts[i] = happens(random, 0.1) ? 0.0 : cvm_random_lognormal(random, 10.0, 0.5);
        for (size_t t = 0; t < problem->treatment_count; t++) {
            double value = small_value(random, values);
            if (!happens(random, 0.25)) {
                put(made, i, t, value);
            }
        }
    }
    if (problem->class_count == 1 && happens(random, 0.5)) {
        problem->classes = NULL;
        problem->class_count = 0;
    }
}

static void small_groups(struct random_problem *made, struct cvm_random *random)
{
    struct cvm_problem *problem = &made->problem;
    problem->group_count = 1 + below(random, 3);
    for (size_t i = 0; i < problem->customer_count; i++) {
        size_t group = below(random, problem->group_count + 1);
        made->groups[i] = group == problem->group_count ? CVM_NO_GROUP : (uint32_t)group;
    }
    for (size_t g = 0; g < problem->group_count; g++) {
        made->group_max[g] = (unsigned char)(1 + below(random, 2));
    }
    problem->group_max = happens(random, 0.5) ? made->group_max : NULL;
    problem->group_treatments = happens(random, 0.5)
                                    ? all_treatments(problem->treatment_count)
                                    : some_treatments(random, problem->treatment_count, 0.6);
}

static void small_row(struct random_problem *made, struct cvm_random *random)
{
    const struct cvm_problem *problem = &made->problem;
    size_t count = problem->treatment_count;
    enum cvm_row_kind kind = (enum cvm_row_kind)below(random, CVM_ROW_RESERVE + 1);
    uint64_t treatments =
        happens(random, 0.3) ? all_treatments(count) : some_treatments(random, count, 0.5);
    struct cvm_row_terms *terms = new_row(made, kind, treatments, (int64_t)below(random, 5));
    struct random_row *row = last_made(made);
    for (size_t c = 0; c < RANDOM_CLASSES_MAX; c++) {
        row->inside[c] = happens(random, 0.5);
    }
    terms->inside = kind >= CVM_ROW_SEGMENT_MAX ? row->inside : NULL;
    for (size_t t = 0; t < count; t++) {
        row->units[t] = (int64_t)below(random, 3) * 4500;
        row->flat[t] = happens(random, 0.3) ? 0.0 : 2.0 * cvm_random_unit(random);
        row->rate[t] = happens(random, 0.5) ? 0.0 : cvm_random_unit(random);
    }
    if (kind == CVM_ROW_SHARED && happens(random, 0.7)) {
        terms->units = row->units;
        terms->limit = (int64_t)below(random, 30000);
        terms->scale = happens(random, 0.5) ? 1000 : 0;
    } else if (kind == CVM_ROW_BUDGET) {
        terms->flat = row->flat;
        terms->rate = row->rate;
        terms->limit = happens(random, 0.1) ? 0 : (int64_t)below(random, 40000000);
    } else if (kind == CVM_ROW_SEGMENT_MIN) {
        terms->limit = (int64_t)below(random, 4);
    } else if (kind == CVM_ROW_SHARE_MIN || kind == CVM_ROW_SHARE_MAX) {
        static const double shares[] = {0.0, 0.25, 1.0 / 3.0, 0.5, 0.75, 1.0};
        terms->share = shares[below(random, sizeof(shares) / sizeof(shares[0]))];
        terms->limit = 0;
    }
    finish_row(made);
}

struct random_problem *random_problem_small(uint64_t seed)
{
    struct cvm_random random;
    cvm_random_init(&random, cvm_hash_mix(seed, 1));
    struct random_shape shape = {
        .seed = seed,
        .customers = below(&random, 9),
        .treatments = 1 + below(&random, 4),
        .per_customer_max = 1 + below(&random, 2),
        .has_households = happens(&random, 0.5),
        .values = happens(&random, 0.6) ? RANDOM_VALUES_PLAIN
                                        : (enum random_values)below(&random, RANDOM_VALUES_COUNT),
    };
    struct random_problem *made = new_problem(&shape, shape.has_households);
    small_columns(made, &random, shape.values);
    if (shape.has_households) {
        small_groups(made, &random);
    }
    if (shape.per_customer_max > 1 && happens(&random, 0.7)) {
        some_exclusions(made, &random, 0.3);
    }
    if (happens(&random, 0.5)) {
        some_ranks(made, &random);
    }
    for (size_t left = below(&random, 8); left > 0; left--) {
        small_row(made, &random);
    }
    return made;
}

#define OTHERS 60

struct random_problem *random_problem_among_others(const struct random_problem *small)
{
    const struct cvm_problem *from = &small->problem;
    struct random_shape shape = {
        .seed = 1,
        .customers = from->customer_count + OTHERS,
        .treatments = from->treatment_count,
        .values = from->exact_values != NULL ? RANDOM_VALUES_EXACT : RANDOM_VALUES_PLAIN,
    };
    struct random_problem *made = new_problem(&shape, from->groups != NULL);
    struct cvm_problem columns = made->problem;
    made->problem = *from;
    made->problem.customer_count = columns.customer_count;
    made->problem.values = columns.values;
    made->problem.exact_values = columns.exact_values;
    made->problem.keys = columns.keys;
    made->problem.amounts = columns.amounts;
    made->problem.groups = columns.groups;
    made->problem.classes = from->classes != NULL ? columns.classes : NULL;
    memcpy(made->terms, small->terms, sizeof(made->terms)); /* what they point to stays there */
    for (size_t i = 0, own = 0; i < columns.customer_count; i++) {
        bool is_own = i % 7 == 3 && own < from->customer_count;
        made->amounts[i] = is_own ? small->amounts[own] : 1.0;
        made->classes[i] = is_own ? small->classes[own] : 0;
        for (size_t t = 0; is_own && t < from->treatment_count; t++) {
            put(made, i, t, cvm_problem_exact(from, own, t));
        }
        if (from->groups != NULL) {
            made->groups[i] = is_own ? small->groups[own] : CVM_NO_GROUP;
        }
        own += is_own;
    }
    return made;
}

/* ---- big ---- */

struct random_shape random_shape_of(uint64_t seed, size_t customers)
{
    struct cvm_random random;
    cvm_random_init(&random, cvm_hash_mix(seed, 2));
    return (struct random_shape){
        .seed = seed,
        .customers = customers,
        .treatments = 6 + below(&random, 11),
        .per_customer_max = 1 + (happens(&random, 0.4) ? 1 : 0),
        .has_households = happens(&random, 0.5),
        .values = happens(&random, 0.2) ? RANDOM_VALUES_EXACT : RANDOM_VALUES_PLAIN,
    };
}

static bool is_high_value(size_t customer_class)
{
    return customer_class % 2 == 1;
}
static size_t region_of(size_t customer_class)
{
    return customer_class / 2 % REGIONS;
}
static size_t age_of(size_t customer_class)
{
    return customer_class / 2 / REGIONS;
}

static double big_value(struct cvm_random *random, enum random_values values, double plain)
{
    switch (values) {
    case RANDOM_VALUES_GRID:
        return 5.0 * floor(plain / 5.0);
    case RANDOM_VALUES_EQUAL:
        return 2.5;
    case RANDOM_VALUES_ZERO:
        return 0.0;
    case RANDOM_VALUES_NEGATIVE:
        return -fabs(plain) - 0.01;
    case RANDOM_VALUES_MIXED:
        return plain * (happens(random, 0.5) ? 1e-9 : 1e9);
    default:
        return plain;
    }
}

static void big_customer(struct random_problem *made, const struct random_shape *shape, size_t i)
{
    static const double worth_of_region[REGIONS] = {0.6, 0.9, 1.2, 1.6};
    struct cvm_random random;
    cvm_random_init(&random, cvm_hash_mix(shape->seed, cvm_hash_mix(i, 3)));
    size_t customer_class = 2 * (below(&random, REGIONS) + REGIONS * below(&random, AGES));
    double worth = cvm_random_lognormal(&random, 30.0, 1.15);
    worth *= worth_of_region[region_of(customer_class)];
    customer_class += worth > 100.0 ? 1 : 0;
    made->classes[i] = (uint16_t)customer_class;
    made->amounts[i] = cvm_random_lognormal(&random, 12.0, 0.5);
    for (size_t t = 0; t < shape->treatments; t++) {
        double lift = 0.4 / (1.0 + (double)t) * cvm_random_lognormal(&random, 1.0, 0.6);
        double plain = worth * lift - 3.0 / (1.0 + (double)(t * t));
        double value = big_value(&random, shape->values, plain);
        if (!happens(&random, 0.3)) {
            put(made, i, t, value);
        }
    }
    if (made->groups != NULL) {
        size_t group = below(&random, made->problem.group_count * 3 / 2);
        made->groups[i] = group < made->problem.group_count ? (uint32_t)group : CVM_NO_GROUP;
    }
}

static void add_capacities(struct random_problem *made, struct cvm_random *random)
{
    const struct cvm_problem *problem = &made->problem;
    double customers = (double)problem->customer_count;
    double share = 0.0004;
    for (size_t t = 0; t < problem->treatment_count; t++) {
        share = fmin(share * between(random, 1.2, 3.5), 0.2);
        new_row(made, CVM_ROW_CAPACITY, UINT64_C(1) << t, (int64_t)(share * customers) + 1);
        finish_row(made);
    }
    /* Half of a scarce treatment is kept for customers of high value. */
    for (size_t t = 0; t < 2; t++) {
        int64_t capacity = made->terms[t].limit;
        struct cvm_row_terms *terms =
            new_row(made, CVM_ROW_RESERVE, UINT64_C(1) << t, capacity - capacity / 2);
        struct random_row *row = last_made(made);
        for (size_t c = 0; c < RANDOM_CLASSES_MAX; c++) {
            row->inside[c] = is_high_value(c);
        }
        terms->inside = row->inside;
        finish_row(made);
    }
}

static void add_means(struct random_problem *made, struct cvm_random *random)
{
    const struct cvm_problem *problem = &made->problem;
    size_t count = problem->treatment_count;
    double customers = (double)problem->customer_count;
    /* One call a statement: in which order arguments are evaluated is up to the compiler. */
    int64_t limit = (int64_t)(between(random, 0.05, 0.3) * customers);
    struct cvm_row_terms *terms =
        new_row(made, CVM_ROW_SHARED, some_treatments(random, count, 0.4), limit);
    finish_row(made);
    terms = new_row(made, CVM_ROW_SHARED, 7, (int64_t)(between(random, 0.01, 0.05) * customers));
    terms->units = last_made(made)->units;
    terms->limit *= 4500;
    terms->scale = 1000; /* minutes in thousandths */
    for (size_t t = 0; t < 3; t++) {
        last_made(made)->units[t] = 9000 - 2500 * (int64_t)t;
    }
    finish_row(made);
    for (size_t b = 0; b < 2; b++) {
        double spend = between(random, 0.05, 0.6) * customers;
        terms = new_row(made, CVM_ROW_BUDGET, all_treatments(count), (int64_t)(spend * 1e6));
        terms->flat = last_made(made)->flat;
        terms->rate = last_made(made)->rate;
        for (size_t t = 0; t < count; t++) {
            last_made(made)->flat[t] = b == 0 ? 4.0 / (1.0 + (double)(t * t)) : 0.02;
            last_made(made)->rate[t] = b == 0 ? 0.0 : between(random, 0.0, 0.2);
        }
        finish_row(made);
    }
}

/* The customers of one region, or of one age. */
static struct cvm_row_terms *add_segment(struct random_problem *made, struct cvm_random *random,
                                         enum cvm_row_kind kind)
{
    size_t count = made->problem.treatment_count;
    uint64_t treatments =
        happens(random, 0.5) ? all_treatments(count) : some_treatments(random, count, 0.5);
    struct cvm_row_terms *terms = new_row(made, kind, treatments, 0);
    struct random_row *row = last_made(made);
    bool is_region = happens(random, 0.6);
    size_t segment = below(random, is_region ? REGIONS : AGES);
    for (size_t c = 0; c < RANDOM_CLASSES_MAX; c++) {
        row->inside[c] = (is_region ? region_of(c) : age_of(c)) == segment;
    }
    terms->inside = row->inside;
    return terms;
}

static void add_maximums(struct random_problem *made, struct cvm_random *random)
{
    for (size_t k = 0; k < 4; k++) {
        struct cvm_row_terms *terms = add_segment(made, random, CVM_ROW_SEGMENT_MAX);
        terms->limit =
            (int64_t)(between(random, 0.02, 0.12) * (double)made->problem.customer_count);
        finish_row(made);
    }
}

/* A plan that keeps the rows so far: the minimums ask for no more than it gives. */
struct witness {
    struct random_problem *made;
    struct cvm_random random;
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    unsigned char *in_group; /* customers treated, per group */
    unsigned char *treatments;
};

static bool take(struct witness *witness, size_t customer, size_t treatment)
{
    const struct cvm_problem *problem = &witness->made->problem;
    int64_t uses[CVM_PROBLEM_ROWS_MAX];
    if (!(cvm_problem_value(problem, customer, treatment) > CVM_PROBLEM_VALUE_MIN)) {
        return false;
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        uses[r] = random_row_use(&witness->made->terms[r], cvm_problem_class(problem, customer),
                                 treatment, cvm_problem_amount(problem, customer));
        if (witness->used[r] + uses[r] > witness->made->terms[r].limit) {
            return false;
        }
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        witness->used[r] += uses[r];
    }
    return true;
}

static void treat_customer(struct witness *witness, size_t customer)
{
    const struct cvm_problem *problem = &witness->made->problem;
    size_t per_customer = cvm_problem_per_customer(problem);
    size_t count = problem->treatment_count;
    size_t start = below(&witness->random, count);
    size_t given = 0;
    uint64_t barred = 0;
    uint32_t group = problem->groups != NULL ? problem->groups[customer] : CVM_NO_GROUP;
    unsigned char max =
        group == CVM_NO_GROUP || problem->group_max == NULL ? 1 : problem->group_max[group];
    if (group != CVM_NO_GROUP && witness->in_group[group] >= max) {
        barred = problem->group_treatments;
    }
    bool counts = false;
    for (size_t k = 0; k < count && given < per_customer; k++) {
        size_t t = (start + k) % count;
        if ((barred >> t & 1) == 0 && take(witness, customer, t)) {
            witness->treatments[customer * per_customer + given++] = (unsigned char)t;
            barred |= UINT64_C(1) << t;
            barred |= problem->exclusions != NULL ? problem->exclusions[t] : 0;
            counts = counts || (problem->group_treatments >> t & 1) != 0;
        }
    }
    if (group != CVM_NO_GROUP && counts) {
        witness->in_group[group]++;
    }
}

static void count_covered(const struct witness *witness, const struct cvm_row_terms *terms,
                          int64_t *out_covered, int64_t *out_inside)
{
    const struct cvm_problem *problem = &witness->made->problem;
    size_t per_customer = cvm_problem_per_customer(problem);
    *out_covered = 0;
    *out_inside = 0;
    for (size_t at = 0; at < problem->customer_count * per_customer; at++) {
        size_t t = witness->treatments[at];
        if (t != CVM_NOTHING && (terms->treatments >> t & 1) != 0) {
            *out_covered += 1;
            *out_inside += terms->inside[cvm_problem_class(problem, at / per_customer)];
        }
    }
}

static void add_minimums(struct witness *witness, struct cvm_random *random)
{
    struct random_problem *made = witness->made;
    for (size_t k = 0; k < 6; k++) {
        static const enum cvm_row_kind kinds[] = {CVM_ROW_SEGMENT_MIN, CVM_ROW_SEGMENT_MIN,
                                                  CVM_ROW_SEGMENT_MIN, CVM_ROW_SEGMENT_MIN,
                                                  CVM_ROW_SHARE_MIN,   CVM_ROW_SHARE_MAX};
        struct cvm_row_terms *terms = add_segment(made, random, kinds[k]);
        int64_t covered;
        int64_t inside;
        count_covered(witness, terms, &covered, &inside);
        double share = covered == 0 ? 0.5 : (double)inside / (double)covered;
        if (kinds[k] == CVM_ROW_SEGMENT_MIN) {
            terms->limit = (int64_t)(between(random, 0.6, 1.0) * (double)inside);
        } else if (kinds[k] == CVM_ROW_SHARE_MIN) {
            terms->share = floor(share * between(random, 0.8, 1.0) * 1e4) / 1e4;
        } else {
            terms->share = fmin(ceil(share * between(random, 1.0, 1.2) * 1e4) / 1e4, 1.0);
        }
        finish_row(made);
    }
}

static void add_reachable_minimums(struct random_problem *made, struct cvm_random *random)
{
    struct witness witness = {.made = made, .random = *random};
    witness.treatments = random_problem_treatments(made);
    witness.in_group = must(calloc(made->problem.group_count + 1, 1));
    memset(witness.treatments, CVM_NOTHING,
           made->problem.customer_count * cvm_problem_per_customer(&made->problem));
    for (size_t i = 0; i < made->problem.customer_count; i++) {
        if (happens(&witness.random, 0.8)) {
            treat_customer(&witness, i);
        }
    }
    add_minimums(&witness, random);
    free(witness.treatments);
    free(witness.in_group);
}

struct random_problem *random_problem_big(const struct random_shape *shape)
{
    struct random_problem *made = new_problem(shape, shape->has_households);
    struct cvm_problem *problem = &made->problem;
    struct cvm_random random;
    cvm_random_init(&random, cvm_hash_mix(shape->seed, 4));
    problem->class_count = RANDOM_CLASSES_MAX;
    if (shape->has_households) {
        problem->group_count = shape->customers / 3 + 1;
        problem->group_max = made->group_max;
        problem->group_treatments = all_treatments(shape->treatments) & ~UINT64_C(16);
        for (size_t g = 0; g < problem->group_count; g++) {
            made->group_max[g] = (unsigned char)(1 + below(&random, 2));
        }
    }
    for (size_t i = 0; i < shape->customers; i++) {
        big_customer(made, shape, i);
    }
    if (shape->per_customer_max > 1) {
        some_exclusions(made, &random, 0.3);
    }
    some_ranks(made, &random);
    add_capacities(made, &random);
    add_means(made, &random);
    add_maximums(made, &random);
    add_reachable_minimums(made, &random);
    return made;
}
