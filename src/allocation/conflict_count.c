/* What counting alone shows: what a minimum asks for against the most that is there, and the least
 * that it needs of each limit against that limit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "allocation/census.h"
#include "allocation/conflict_text.h"
#include "allocation/tariff.h"

/* So many pairs of one minimum at this use of a limit, or more. */
struct offer {
    double use;
    int64_t count;
};

struct counter {
    const struct cvm_problem *problem;
    struct cvm_arena *arena; /* of the caller, for texts */
    size_t class_count;
    struct cvm_census census;
    struct offer *offers;                /* per kind */
    bool is_told[CVM_PROBLEM_ROWS_MAX];  /* minimums that stand in a conflict */
    int64_t needs[CVM_PROBLEM_ROWS_MAX]; /* pairs that a segment's minimum asks for; 0 = no such */
    double (*least)[CVM_PROBLEM_ROWS_MAX];           /* [minimum][limit]: what it needs, natural */
    int64_t (*eligible)[CVM_PROBLEM_TREATMENTS_MAX]; /* [minimum][treatment] */
    struct cvm_conflict *conflicts;
    size_t count;
};

static bool is_inside(const struct cvm_row *row, size_t customer_class)
{
    return row->inside == NULL || row->inside[customer_class] != 0;
}

static uint64_t covered_by(const struct counter *counter, const struct cvm_row *row)
{
    uint64_t covered = 0;
    for (size_t t = 0; t < counter->problem->treatment_count; t++) {
        covered |= (uint64_t)cvm_row_touches(row, t) << t;
    }
    return covered;
}

static bool is_limit(const struct cvm_row *row)
{
    return !cvm_row_is_minimum(row) && !cvm_row_is_share(row);
}

/* ---- offers ---- */

/* The most pairs for the minimum that one unit can give. */
static int64_t pairs_of(const struct counter *counter, const struct cvm_row *minimum,
                        uint64_t covered, size_t unit)
{
    const struct cvm_problem *problem = counter->problem;
    const struct cvm_census *census = &counter->census;
    int64_t most = (int64_t)cvm_problem_per_customer(problem);
    int64_t pairs = 0;
    int64_t largest = 0;
    for (size_t k = census->first[unit]; k < census->first[unit + 1]; k++) {
        const struct cvm_kind *member = &census->members[k];
        int64_t own = __builtin_popcountll(member->mask & covered);
        own = !is_inside(minimum, member->customer_class) ? 0 : own < most ? own : most;
        pairs += own;
        largest = own > largest ? own : largest;
    }
    bool all_count = problem->groups != NULL && (covered & ~problem->group_treatments) == 0;
    int64_t cap = census->max[unit] * largest;
    return all_count && cap < pairs ? cap : pairs;
}

static double cheapest_of(const struct counter *counter, const struct cvm_row *minimum,
                          const struct cvm_row *limit, uint64_t covered, size_t unit)
{
    const struct cvm_census *census = &counter->census;
    double least = HUGE_VAL;
    for (size_t k = census->first[unit]; k < census->first[unit + 1]; k++) {
        const struct cvm_kind *member = &census->members[k];
        uint64_t left = is_inside(minimum, member->customer_class) ? member->mask & covered : 0;
        for (; left != 0; left &= left - 1) {
            int64_t use = cvm_row_use(limit, member->customer_class, (size_t)__builtin_ctzll(left),
                                      member->amount_min);
            least = fmin(least, cvm_row_natural(limit, use));
        }
    }
    return least;
}

static int compare_offers(const void *a, const void *b)
{
    const struct offer *left = a;
    const struct offer *right = b;
    return left->use < right->use ? -1 : left->use > right->use;
}

/* Offers of a minimum, those that use least of the limit first. */
static size_t make_offers(struct counter *counter, const struct cvm_row *minimum,
                          const struct cvm_row *limit)
{
    uint64_t covered = covered_by(counter, minimum);
    size_t count = 0;
    for (size_t u = 0; u < counter->census.count; u++) {
        int64_t pairs = pairs_of(counter, minimum, covered, u);
        if (pairs > 0) {
            counter->offers[count++] = (struct offer){
                .use = cheapest_of(counter, minimum, limit, covered, u),
                .count = pairs * counter->census.weights[u],
            };
        }
    }
    qsort(counter->offers, count, sizeof(struct offer), compare_offers);
    return count;
}

/* What so many of the cheapest use. */
static double use_of(const struct counter *counter, size_t offer_count, int64_t pairs)
{
    double use = 0.0;
    for (size_t k = 0; k < offer_count && pairs > 0; k++) {
        int64_t taken = pairs < counter->offers[k].count ? pairs : counter->offers[k].count;
        use += (double)taken * counter->offers[k].use;
        pairs -= taken;
    }
    return use;
}

/* How many of the cheapest a limit allows. */
static int64_t pairs_within(const struct counter *counter, size_t offer_count, double limit)
{
    int64_t pairs = 0;
    for (size_t k = 0; k < offer_count; k++) {
        const struct offer *offer = &counter->offers[k];
        double whole = (double)offer->count * offer->use;
        if (whole > limit) {
            return pairs + (int64_t)floor(limit / offer->use + 1e-9);
        }
        limit -= whole;
        pairs += offer->count;
    }
    return pairs;
}

/* ---- telling ---- */

static struct cvm_conflict *new_conflict(struct counter *counter)
{
    struct cvm_conflict *conflict = &counter->conflicts[counter->count++];
    memset(conflict, 0, sizeof(*conflict));
    return conflict;
}

static void add_row(struct counter *counter, struct cvm_conflict *conflict, size_t row)
{
    conflict->rows[conflict->row_count++] = row;
    counter->is_told[row] =
        counter->is_told[row] || cvm_row_is_minimum(&counter->problem->rows[row]);
}

/* As a limit of the <= form. */
static int64_t minimum_of(const struct cvm_row *row, int64_t pairs)
{
    return -pairs * row->scale;
}

static int64_t level_of(const struct cvm_row *row, double natural)
{
    double step = cvm_row_is_money(row) ? 10000.0 : (double)row->scale;
    return (int64_t)(ceil(natural * (double)row->scale / step - 1e-6) * step);
}

/* ---- the checks ---- */

/* Fewer are there than the minimum asks for. */
static enum cvm_status check_supply(struct counter *counter, size_t r, struct cvm_error *err)
{
    const struct cvm_row *row = &counter->problem->rows[r];
    uint64_t covered = covered_by(counter, row);
    struct cvm_text message;
    struct cvm_text relaxation;
    int64_t supply = 0;
    for (size_t u = 0; u < counter->census.count; u++) {
        supply += pairs_of(counter, row, covered, u) * counter->census.weights[u];
        for (size_t k = counter->census.first[u]; k < counter->census.first[u + 1]; k++) {
            const struct cvm_kind *member = &counter->census.members[k];
            bool is_meant = is_inside(row, member->customer_class);
            for (uint64_t left = is_meant ? member->mask & covered : 0; left != 0;
                 left &= left - 1) {
                counter->eligible[r][__builtin_ctzll(left)] += counter->census.weights[u];
            }
        }
    }
    if (supply >= counter->needs[r]) {
        return CVM_OK;
    }
    struct cvm_conflict *conflict = new_conflict(counter);
    add_row(counter, conflict, r);
    cvm_text_init(&message, 0);
    cvm_text_init(&relaxation, 0);
    cvm_text_add_demand(&message, row);
    cvm_text_add_format(&message,
                        " asks for more than there is: its customers can get %lld at most",
                        (long long)supply);
    cvm_text_add_change(&relaxation, row, minimum_of(row, supply));
    return cvm_conflict_set_texts(conflict, &message, &relaxation, counter->arena, err);
}

/* The minimum needs more of one limit than that allows, even with the cheapest customers. */
static enum cvm_status check_pair(struct counter *counter, size_t r, size_t q,
                                  struct cvm_error *err)
{
    const struct cvm_row *row = &counter->problem->rows[r];
    const struct cvm_row *limit = &counter->problem->rows[q];
    size_t count = make_offers(counter, row, limit);
    double need = use_of(counter, count, counter->needs[r]);
    double allowed = cvm_row_natural(limit, limit->limit);
    struct cvm_text message;
    struct cvm_text relaxation;
    counter->least[r][q] = need;
    if (!(need > allowed * (1.0 + 1e-12) + 1e-9)) {
        return CVM_OK;
    }
    int64_t reach = pairs_within(counter, count, allowed);
    struct cvm_conflict *conflict = new_conflict(counter);
    add_row(counter, conflict, r);
    add_row(counter, conflict, q);
    cvm_text_init(&message, 0);
    cvm_text_init(&relaxation, 0);
    cvm_text_add_demand(&message, row);
    cvm_text_add(&message, " needs ");
    cvm_text_add_level(&message, limit, level_of(limit, need));
    cvm_text_add(&message, " of ");
    cvm_text_add_demand(&message, limit);
    cvm_text_add_format(&message,
                        " even with the customers who use least of it, and gets %lld at "
                        "most",
                        (long long)reach);
    cvm_text_add_change(&relaxation, row, minimum_of(row, reach));
    cvm_text_add(&relaxation, ", or ");
    cvm_text_add_change(&relaxation, limit, level_of(limit, need));
    return cvm_conflict_set_texts(conflict, &message, &relaxation, counter->arena, err);
}

/* The range of use of a limit by a pair of the minimum, whoever it is; amounts aside. */
static void range_of(const struct counter *counter, const struct cvm_row *row,
                     const struct cvm_row *limit, double *out_least, double *out_most)
{
    *out_least = HUGE_VAL;
    *out_most = 0.0;
    for (size_t t = 0; t < counter->problem->treatment_count; t++) {
        for (size_t c = 0; cvm_row_touches(row, t) && c < counter->class_count; c++) {
            if (!is_inside(row, c)) {
                continue;
            }
            double use = cvm_row_natural(limit, cvm_row_use(limit, c, t, 0.0));
            bool is_open = cvm_row_is_money(limit) && limit->rate[t] != 0.0;
            *out_least = fmin(*out_least, use);
            *out_most = is_open ? HUGE_VAL : fmax(*out_most, use);
        }
    }
}

static enum cvm_status check_pairs(struct counter *counter, size_t r, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t q = 0; q < counter->problem->row_count; q++) {
        const struct cvm_row *limit = &counter->problem->rows[q];
        double least = 0.0;
        double most = 0.0;
        if (status != CVM_OK || !is_limit(limit) || counter->is_told[r]) {
            continue;
        }
        range_of(counter, &counter->problem->rows[r], limit, &least, &most);
        counter->least[r][q] = least < HUGE_VAL ? least * (double)counter->needs[r] : 0.0;
        /* Where even the dearest fit, the cheapest need not be looked for. */
        if (most * (double)counter->needs[r] > cvm_row_natural(limit, limit->limit)) {
            status = check_pair(counter, r, q, err);
        }
    }
    return status;
}

/* The tightest limit on a treatment for the customers of a minimum: how many pairs it lets. */
static int64_t tightest(const struct counter *counter, size_t r, size_t t, const bool *is_out,
                        size_t *out_row)
{
    const struct cvm_row *row = &counter->problem->rows[r];
    int64_t best = counter->eligible[r][t];
    *out_row = SIZE_MAX;
    for (size_t q = 0; q < counter->problem->row_count; q++) {
        const struct cvm_row *limit = &counter->problem->rows[q];
        int64_t least = INT64_MAX;
        bool counts = is_limit(limit) && !cvm_row_is_money(limit) && !is_out[q];
        for (size_t c = 0; counts && c < counter->class_count; c++) {
            int64_t use = is_inside(limit, c) ? limit->units[t] : limit->outside[t];
            least = is_inside(row, c) && use < least ? use : least;
        }
        if (counts && least > 0 && least < INT64_MAX && limit->limit / least < best) {
            best = limit->limit / least;
            *out_row = q;
        }
    }
    return best;
}

/* The most that the limits of its treatments let a minimum have; which limits say so. */
static int64_t sum_of_limits(const struct counter *counter, size_t r, const bool *is_out,
                             bool *is_used)
{
    int64_t per_row[CVM_PROBLEM_ROWS_MAX] = {0};
    int64_t sum = 0;
    memset(is_used, 0, CVM_PROBLEM_ROWS_MAX * sizeof(bool));
    for (size_t t = 0; t < counter->problem->treatment_count; t++) {
        size_t q = SIZE_MAX;
        if (!cvm_row_touches(&counter->problem->rows[r], t)) {
            continue;
        }
        int64_t most = tightest(counter, r, t, is_out, &q);
        if (q == SIZE_MAX) {
            sum += most;
        } else {
            is_used[q] = true;
            per_row[q] = most > per_row[q] ? most : per_row[q];
        }
    }
    for (size_t q = 0; q < counter->problem->row_count; q++) {
        sum += per_row[q];
    }
    return sum;
}

/* The limits of its treatments, taken together, are below the minimum. */
static enum cvm_status check_capacities(struct counter *counter, size_t r, struct cvm_error *err)
{
    const struct cvm_row *rows = counter->problem->rows;
    bool is_out[CVM_PROBLEM_ROWS_MAX] = {false};
    bool is_used[CVM_PROBLEM_ROWS_MAX];
    struct cvm_text message;
    struct cvm_text relaxation;
    if (sum_of_limits(counter, r, is_out, is_used) >= counter->needs[r]) {
        return CVM_OK;
    }
    for (size_t q = 0; q < counter->problem->row_count; q++) {
        is_out[q] = true; /* one by one, if it is too little without it too */
        is_out[q] = sum_of_limits(counter, r, is_out, is_used) < counter->needs[r];
    }
    int64_t most = sum_of_limits(counter, r, is_out, is_used);
    struct cvm_conflict *conflict = new_conflict(counter);
    add_row(counter, conflict, r);
    cvm_text_init(&message, 0);
    cvm_text_init(&relaxation, 0);
    cvm_text_add_demand(&message, &rows[r]);
    cvm_text_add(&message, " asks for more than its treatments have room for:");
    for (size_t q = 0; q < counter->problem->row_count; q++) {
        if (is_used[q]) {
            cvm_text_add(&message, conflict->row_count == 1 ? " " : ", ");
            cvm_text_add_demand(&message, &rows[q]);
            add_row(counter, conflict, q);
        }
    }
    cvm_text_add_format(&message, " let it have %lld at most", (long long)most);
    cvm_text_add_change(&relaxation, &rows[r], minimum_of(&rows[r], most));
    return cvm_conflict_set_texts(conflict, &message, &relaxation, counter->arena, err);
}

static bool are_disjoint(const struct counter *counter, size_t a, size_t b)
{
    const struct cvm_row *rows = counter->problem->rows;
    if ((covered_by(counter, &rows[a]) & covered_by(counter, &rows[b])) == 0) {
        return true;
    }
    for (size_t c = 0; c < counter->class_count; c++) {
        if (is_inside(&rows[a], c) && is_inside(&rows[b], c)) {
            return false;
        }
    }
    return true;
}

/* The minimum, apart from those picked, that needs most of a limit; SIZE_MAX = none. */
static size_t neediest(const struct counter *counter, size_t q, const size_t *picked, size_t count)
{
    size_t best = SIZE_MAX;
    for (size_t r = 0; r < counter->problem->row_count; r++) {
        bool is_free = counter->needs[r] > 0 && !counter->is_told[r] && counter->least[r][q] > 0.0;
        for (size_t k = 0; is_free && k < count; k++) {
            is_free = r != picked[k] && are_disjoint(counter, r, picked[k]);
        }
        if (is_free && (best == SIZE_MAX || counter->least[r][q] > counter->least[best][q])) {
            best = r;
        }
    }
    return best;
}

/* Minimums of different customers or treatments that need more of one limit than there is. */
static enum cvm_status check_sum(struct counter *counter, size_t q, struct cvm_error *err)
{
    const struct cvm_row *rows = counter->problem->rows;
    double allowed = cvm_row_natural(&rows[q], rows[q].limit);
    size_t picked[CVM_PROBLEM_ROWS_MAX];
    size_t count = 0;
    double need = 0.0;
    struct cvm_text message;
    struct cvm_text relaxation;
    while (!(need > allowed * (1.0 + 1e-12) + 1e-9)) {
        size_t r = neediest(counter, q, picked, count);
        if (r == SIZE_MAX) {
            return CVM_OK;
        }
        need += counter->least[r][q];
        picked[count++] = r;
    }
    struct cvm_conflict *conflict = new_conflict(counter);
    cvm_text_init(&message, 0);
    cvm_text_init(&relaxation, 0);
    for (size_t k = 0; k < count; k++) {
        add_row(counter, conflict, picked[k]);
        cvm_text_add(&message, k == 0 ? "" : k + 1 == count ? " and " : ", ");
        cvm_text_add_demand(&message, &rows[picked[k]]);
    }
    add_row(counter, conflict, q);
    cvm_text_add(&message, " together need ");
    cvm_text_add_level(&message, &rows[q], level_of(&rows[q], need));
    cvm_text_add(&message, " of ");
    cvm_text_add_demand(&message, &rows[q]);
    cvm_text_add_change(&relaxation, &rows[q], level_of(&rows[q], need));
    return cvm_conflict_set_texts(conflict, &message, &relaxation, counter->arena, err);
}

static bool has_anybody(const struct counter *counter, const struct cvm_row *row)
{
    uint64_t covered = covered_by(counter, row);
    for (size_t u = 0; u < counter->census.count; u++) {
        if (pairs_of(counter, row, covered, u) > 0) {
            return true;
        }
    }
    return false;
}

/* A share of nobody lets nobody else be treated either; a minimum wants some treated. */
static enum cvm_status check_share(struct counter *counter, size_t s, struct cvm_error *err)
{
    const struct cvm_row *rows = counter->problem->rows;
    uint64_t covered = covered_by(counter, &rows[s]);
    struct cvm_text message;
    struct cvm_text relaxation;
    size_t r = 0;
    for (; r < counter->problem->row_count; r++) {
        if (counter->needs[r] > 0 && !counter->is_told[r] &&
            (covered_by(counter, &rows[r]) & ~covered) == 0) {
            break;
        }
    }
    if (r == counter->problem->row_count || has_anybody(counter, &rows[s])) {
        return CVM_OK;
    }
    struct cvm_conflict *conflict = new_conflict(counter);
    add_row(counter, conflict, s);
    add_row(counter, conflict, r);
    cvm_text_init(&message, 0);
    cvm_text_init(&relaxation, 0);
    cvm_text_add_demand(&message, &rows[s]);
    cvm_text_add(&message,
                 " is a share of treatments, but no customer of its segment is eligible; ");
    cvm_text_add_demand(&message, &rows[r]);
    cvm_text_add(&message, " asks for treatments of others");
    cvm_text_add_change(&relaxation, &rows[s], 0);
    return cvm_conflict_set_texts(conflict, &message, &relaxation, counter->arena, err);
}

/* ---- all checks ---- */

static bool has_room(const struct counter *counter)
{
    return counter->count < CVM_CONFLICTS_MAX;
}

static enum cvm_status check_all(struct counter *counter, struct cvm_error *err)
{
    const struct cvm_problem *problem = counter->problem;
    enum cvm_status status = CVM_OK;
    for (size_t r = 0; status == CVM_OK && r < problem->row_count; r++) {
        if (counter->needs[r] > 0 && has_room(counter)) {
            status = check_supply(counter, r, err);
        }
        if (status == CVM_OK && counter->needs[r] > 0 && !counter->is_told[r] &&
            has_room(counter)) {
            status = check_pairs(counter, r, err);
        }
        if (status == CVM_OK && counter->needs[r] > 0 && !counter->is_told[r] &&
            has_room(counter)) {
            status = check_capacities(counter, r, err);
        }
    }
    for (size_t s = 0; status == CVM_OK && s < problem->row_count; s++) {
        const struct cvm_row *row = &problem->rows[s];
        if (row->kind == CVM_ROW_SHARE_MIN && cvm_row_share(row) > 0 && has_room(counter)) {
            status = check_share(counter, s, err);
        }
    }
    for (size_t q = 0; status == CVM_OK && q < problem->row_count; q++) {
        if (is_limit(&problem->rows[q]) && has_room(counter)) {
            status = check_sum(counter, q, err);
        }
    }
    return status;
}

static enum cvm_status counter_init(struct counter *counter, struct cvm_pool *pool,
                                    struct cvm_arena *arena, struct cvm_error *err)
{
    const struct cvm_problem *problem = counter->problem;
    enum cvm_status status = cvm_census_take(problem, false, pool, arena, &counter->census, err);
    if (status != CVM_OK) {
        return status;
    }
    counter->class_count = problem->class_count > 0 ? problem->class_count : 1;
    counter->offers = cvm_arena_alloc_raw(arena, counter->census.count + 1, sizeof(struct offer));
    counter->least = cvm_arena_alloc(arena, problem->row_count + 1, sizeof(counter->least[0]));
    counter->eligible =
        cvm_arena_alloc(arena, problem->row_count + 1, sizeof(counter->eligible[0]));
    if (counter->offers == NULL || counter->least == NULL || counter->eligible == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to count what rows need");
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        if (row->kind == CVM_ROW_SEGMENT_MIN) {
            counter->needs[r] = (-row->limit + row->scale - 1) / row->scale;
        }
    }
    return CVM_OK;
}

enum cvm_status cvm_conflicts_before(const struct cvm_problem *problem, struct cvm_pool *pool,
                                     struct cvm_arena *arena, struct cvm_conflict *out_conflicts,
                                     size_t *out_count, struct cvm_error *err)
{
    struct counter counter = {.problem = problem, .arena = arena, .conflicts = out_conflicts};
    bool has_minimum = false;
    for (size_t r = 0; r < problem->row_count; r++) {
        has_minimum = has_minimum || cvm_row_is_minimum(&problem->rows[r]);
    }
    if (!has_minimum) { /* the plan that treats nobody keeps every other row */
        *out_count = 0;
        return CVM_OK;
    }
    struct cvm_arena *own = cvm_arena_create(SIZE_MAX);
    if (own == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to count what rows need");
    }
    enum cvm_status status = counter_init(&counter, pool, own, err);
    if (status == CVM_OK) {
        status = check_all(&counter, err);
    }
    cvm_arena_destroy(own);
    if (status == CVM_OK) {
        *out_count = counter.count;
    }
    return status;
}
