/* A matrix game. Every plan is a column: by how much of a limit it breaks each row asked. Whoever
 * mixes plans wants the worst row low, whoever sets prices wants the best plan dear. Columns are
 * made as they are needed, each the cheapest plan at the prices of the mix so far; the mix is found
 * by a dense simplex method with as many rows as there are rows asked, and one. */
#include "allocation/phase_one.h"

#include <math.h>
#include <string.h>

#include "allocation/choice.h"
#include "allocation/table.h"
#include "allocation/tariff.h"
#include "model/money.h"

#define COLUMNS_MAX 4096
#define PIVOTS_MAX  20000
/* Of one question; customers looked at by all of them together. */
#define PASSES_MAX 400
#define LOOKS_MAX  INT64_C(1000000000)
/* A row is kept if it is broken by less than this share of its limit. */
#define KEPT      1e-9
#define TOLERANCE 1e-10
#define ROUNDING  1e-12 /* of sums in double */

/* What a plan uses, per row in units of the scale. */
struct column {
    double uses[CVM_PROBLEM_ROWS_MAX];
    double covered[CVM_PROBLEM_ROWS_MAX]; /* share rows: pairs, in units of the scale */
};

/* One thread's. */
struct worker {
    struct cvm_chooser chooser;
    uint64_t *sets; /* per member of a unit, as the two that follow */
    uint64_t *without;
    double *savings;
    int64_t *counts; /* pairs of a plan, as flats */
    double *amounts; /* of the group at hand */
};

struct cvm_phase_one {
    const struct cvm_problem *problem;
    struct cvm_pool *pool;
    const struct cvm_context *context;
    struct cvm_arena *arena;
    const struct cvm_census *census;
    size_t class_count;
    size_t column_count;
    struct column **columns;
    int64_t looks;
    struct worker *workers;
    unsigned char order[CVM_PROBLEM_TREATMENTS_MAX]; /* welcome treatments */
    size_t order_count;
    double *flats; /* what a pair costs at the prices: [treatment x classes + class], and */
    double rates[CVM_PROBLEM_TREATMENTS_MAX]; /* so much per amount */
    uint64_t *welcome; /* per class: treatments that may cost less than nothing */
    /* Of a plan: pairs, as flats; amounts, and the same per group of units. */
    int64_t *counts;
    double amounts[CVM_PROBLEM_TREATMENTS_MAX];
    double (*group_amounts)[CVM_PROBLEM_TREATMENTS_MAX];
};

void cvm_question_init(const struct cvm_problem *problem, struct cvm_question *out_question)
{
    memset(out_question, 0, sizeof(*out_question));
    for (size_t r = 0; r < problem->row_count; r++) {
        out_question->is_asked[r] = true;
        out_question->limits[r] = problem->rows[r].limit;
    }
}

/* ---- the cheapest plan at given prices ---- */

static double flat_use(const struct cvm_row *row, size_t customer_class, size_t treatment)
{
    return cvm_row_natural(row, cvm_row_use(row, customer_class, treatment, 0.0));
}

static void set_prices(struct cvm_phase_one *phase, const struct cvm_question *question,
                       const double *prices)
{
    const struct cvm_problem *problem = phase->problem;
    memset(phase->flats, 0, problem->treatment_count * phase->class_count * sizeof(double));
    memset(phase->rates, 0, sizeof(phase->rates));
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        double shift = cvm_row_natural(row, question->shifts[r]);
        for (size_t t = 0; prices[r] > 0.0 && t < problem->treatment_count; t++) {
            if (!cvm_row_touches(row, t)) {
                continue;
            }
            phase->rates[t] += cvm_row_is_money(row) ? prices[r] * row->rate[t] : 0.0;
            for (size_t c = 0; c < phase->class_count; c++) {
                phase->flats[t * phase->class_count + c] +=
                    prices[r] * (flat_use(row, c, t) - shift);
            }
        }
    }
}

static void find_welcome(struct cvm_phase_one *phase)
{
    phase->order_count = 0;
    memset(phase->welcome, 0, phase->class_count * sizeof(uint64_t));
    for (size_t t = 0; t < phase->problem->treatment_count; t++) {
        bool is_any = false;
        for (size_t c = 0; c < phase->class_count; c++) {
            bool is_welcome = phase->flats[t * phase->class_count + c] < 0.0;
            phase->welcome[c] |= (uint64_t)is_welcome << t;
            is_any = is_any || is_welcome;
        }
        if (is_any) {
            phase->order[phase->order_count++] = (unsigned char)t;
        }
    }
    for (size_t w = 0; w < cvm_worker_count(phase->pool); w++) {
        cvm_chooser_set_order(&phase->workers[w].chooser, phase->order, phase->order_count);
    }
}

static void take(const struct cvm_phase_one *phase, struct worker *worker,
                 const struct cvm_kind *kind, int64_t weight, uint64_t set)
{
    for (; set != 0; set &= set - 1) {
        size_t t = (size_t)__builtin_ctzll(set);
        worker->counts[t * phase->class_count + kind->customer_class] += weight;
        worker->amounts[t] += (double)weight * kind->amount;
    }
}

/* The cheapest of these treatments, if it costs less than nothing. */
static double cheapest_of(const struct cvm_phase_one *phase, const struct cvm_kind *kind,
                          uint64_t left, uint64_t *out_set)
{
    double best = 0.0;
    *out_set = 0;
    for (left &= kind->mask & phase->welcome[kind->customer_class]; left != 0; left &= left - 1) {
        size_t t = (size_t)__builtin_ctzll(left);
        double cost = phase->flats[t * phase->class_count + kind->customer_class] +
                      phase->rates[t] * kind->amount;
        *out_set = cost < best ? left & -left : *out_set;
        best = cost < best ? cost : best;
    }
    return best;
}

/* One treatment each: a member who counts for the household gives way to one who saves more. */
static void choose_singles(const struct cvm_phase_one *phase, struct worker *worker, size_t unit)
{
    const struct cvm_problem *problem = phase->problem;
    const struct cvm_census *census = phase->census;
    const struct cvm_kind *members = census->members + census->first[unit];
    size_t size = census->first[unit + 1] - census->first[unit];
    uint64_t counting = problem->groups != NULL ? problem->group_treatments : 0;
    size_t candidates = 0;
    for (size_t k = 0; k < size; k++) {
        double with = cheapest_of(phase, &members[k], UINT64_MAX, &worker->sets[k]);
        worker->savings[k] = 0.0;
        if ((worker->sets[k] & counting) != 0) {
            worker->savings[k] =
                cheapest_of(phase, &members[k], ~counting, &worker->without[k]) - with;
            candidates++;
        }
    }
    for (; candidates > census->max[unit]; candidates--) {
        size_t least = size;
        for (size_t k = size; k-- > 0;) { /* of equals, the first stays */
            bool is_candidate = (worker->sets[k] & counting) != 0;
            if (is_candidate && (least == size || worker->savings[k] < worker->savings[least])) {
                least = k;
            }
        }
        worker->sets[least] = worker->without[least];
    }
}

static void choose_several(const struct cvm_phase_one *phase, struct worker *worker, size_t unit)
{
    const struct cvm_census *census = phase->census;
    size_t treatments = phase->problem->treatment_count;
    const struct cvm_kind *members = census->members + census->first[unit];
    size_t size = census->first[unit + 1] - census->first[unit];
    memset(worker->chooser.scores, 0, size * treatments * sizeof(double));
    for (size_t k = 0; k < size; k++) {
        uint64_t left = members[k].mask & phase->welcome[members[k].customer_class];
        for (; left != 0; left &= left - 1) {
            size_t t = (size_t)__builtin_ctzll(left);
            worker->chooser.scores[k * treatments + t] =
                -(phase->flats[t * phase->class_count + members[k].customer_class] +
                  phase->rates[t] * members[k].amount);
        }
    }
    (void)cvm_choose_unit(&worker->chooser, size, census->max[unit], worker->sets);
}

static void choose_unit(const struct cvm_phase_one *phase, struct worker *worker, size_t unit)
{
    const struct cvm_census *census = phase->census;
    const struct cvm_kind *members = census->members + census->first[unit];
    size_t size = census->first[unit + 1] - census->first[unit];
    uint64_t any = 0;
    for (size_t k = 0; k < size; k++) {
        any |= members[k].mask & phase->welcome[members[k].customer_class];
    }
    if (any == 0) {
        return;
    }
    if (cvm_problem_per_customer(phase->problem) == 1) {
        choose_singles(phase, worker, unit);
    } else {
        choose_several(phase, worker, unit);
    }
    for (size_t k = 0; k < size; k++) {
        take(phase, worker, &members[k], census->weights[unit], worker->sets[k]);
    }
}

static void choose_group(void *state, size_t group, size_t number)
{
    struct cvm_phase_one *phase = state;
    struct worker *worker = &phase->workers[number];
    size_t end = (group + 1) * CVM_GROUP_SIZE;
    end = end < phase->census->count ? end : phase->census->count;
    worker->amounts = phase->group_amounts[group];
    memset(worker->amounts, 0, sizeof(phase->group_amounts[group]));
    for (size_t unit = group * CVM_GROUP_SIZE; unit < end; unit++) {
        choose_unit(phase, worker, unit);
    }
}

static void choose_all(struct cvm_phase_one *phase)
{
    size_t slots = phase->problem->treatment_count * phase->class_count;
    size_t groups = cvm_group_count(phase->census->count);
    memset(phase->counts, 0, slots * sizeof(int64_t));
    memset(phase->amounts, 0, sizeof(phase->amounts));
    for (size_t w = 0; w < cvm_worker_count(phase->pool); w++) {
        memset(phase->workers[w].counts, 0, slots * sizeof(int64_t));
    }
    cvm_groups_run(phase->pool, groups, choose_group, phase);
    for (size_t w = 0; w < cvm_worker_count(phase->pool); w++) {
        for (size_t i = 0; i < slots; i++) {
            phase->counts[i] += phase->workers[w].counts[i];
        }
    }
    for (size_t group = 0; group < groups; group++) { /* in order, whoever was first */
        for (size_t t = 0; t < phase->problem->treatment_count; t++) {
            phase->amounts[t] += phase->group_amounts[group][t];
        }
    }
}

static void add_up_row(const struct cvm_phase_one *phase, size_t r, struct column *column)
{
    const struct cvm_row *row = &phase->problem->rows[r];
    double use = 0.0;
    double covered = 0.0;
    for (size_t t = 0; t < phase->problem->treatment_count; t++) {
        const int64_t *counts = phase->counts + t * phase->class_count;
        for (size_t c = 0; cvm_row_touches(row, t) && c < phase->class_count; c++) {
            use += counts[c] != 0 ? (double)counts[c] * flat_use(row, c, t) : 0.0;
            covered += (double)counts[c];
        }
        use += cvm_row_is_money(row) ? row->rate[t] * phase->amounts[t] : 0.0;
    }
    column->uses[r] = use;
    column->covered[r] = covered;
}

static enum cvm_status make_column(struct cvm_phase_one *phase, const struct cvm_question *question,
                                   const double *prices, struct cvm_error *err)
{
    const struct cvm_problem *problem = phase->problem;
    struct column *column = CVM_NEW(phase->arena, struct column);
    enum cvm_status status =
        phase->context != NULL ? cvm_context_check(phase->context, err) : CVM_OK;
    if (status != CVM_OK) {
        return status;
    }
    if (column == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to look for rows in conflict");
    }
    set_prices(phase, question, prices);
    find_welcome(phase);
    choose_all(phase);
    for (size_t r = 0; r < problem->row_count; r++) {
        add_up_row(phase, r, column);
    }
    phase->looks += (int64_t)phase->census->count;
    phase->columns[phase->column_count++] = column;
    return CVM_OK;
}

/* ---- the game ---- */

#define IS_WORST (-1) /* in the basis: by how much the worst row is broken */

struct game {
    struct cvm_phase_one *phase;
    const struct cvm_question *question;
    size_t count; /* rows asked */
    size_t size;  /* of the basis, one more */
    size_t rows[CVM_PROBLEM_ROWS_MAX];
    double weights[CVM_PROBLEM_ROWS_MAX]; /* so much over the limit breaks a row by 1 */
    double limits[CVM_PROBLEM_ROWS_MAX];
    double *breaks;  /* [column x count + row] */
    double *inverse; /* size x size */
    double *entering;
    double *x;
    int *basis; /* IS_WORST, a row's slack, or count + column */
    size_t worst_at;
    size_t column_count; /* of the phase's, those in breaks */
    int pivots;
    int passes;
};

static void add_breaks(struct game *game)
{
    for (; game->column_count < game->phase->column_count; game->column_count++) {
        const struct column *column = game->phase->columns[game->column_count];
        double *breaks = game->breaks + game->column_count * game->count;
        for (size_t k = 0; k < game->count; k++) {
            size_t r = game->rows[k];
            double shift =
                cvm_row_natural(&game->phase->problem->rows[r], game->question->shifts[r]);
            double use = column->uses[r] - shift * column->covered[r];
            breaks[k] = (use - game->limits[k]) / game->weights[k];
        }
    }
}

/* The plan that treats nobody is the first column, and the first mix. */
static void start(struct game *game)
{
    const double *first = game->breaks;
    size_t last = game->count;
    size_t worst = 0;
    for (size_t k = 1; k < game->count; k++) {
        worst = first[k] > first[worst] ? k : worst;
    }
    memset(game->inverse, 0, game->size * game->size * sizeof(double));
    for (size_t k = 0; k < game->count; k++) {
        double *line = game->inverse + k * game->size;
        line[k] = k == worst ? 0.0 : 1.0;
        line[worst] = -1.0;
        line[last] = k == worst ? first[worst] : first[worst] - first[k];
        game->basis[k] = k == worst ? IS_WORST : (int)k;
        game->x[k] = line[last];
    }
    game->inverse[last * game->size + last] = 1.0;
    game->basis[last] = (int)game->count;
    game->x[last] = 1.0;
    game->worst_at = worst;
}

/* Prices of the mix: >= 0 once no slack wants to enter. */
static double price_of(const struct game *game, size_t k)
{
    return -game->inverse[game->worst_at * game->size + k];
}

static double cost_of(const struct game *game, size_t column)
{
    const double *breaks = game->breaks + column * game->count;
    double cost = 0.0;
    for (size_t k = 0; k < game->count; k++) {
        cost += price_of(game, k) * breaks[k];
    }
    return cost;
}

/* What lowers the worst row most: a slack, or a plan seen before; -1 = nothing. */
static int find_entering(const struct game *game)
{
    double best = -TOLERANCE;
    int entering = -1;
    for (size_t k = 0; k < game->count; k++) {
        if (price_of(game, k) < best) {
            best = price_of(game, k);
            entering = (int)k;
        }
    }
    for (size_t j = 0; j < game->column_count; j++) {
        double gain = cost_of(game, j) - game->x[game->worst_at];
        if (gain < best * (1.0 + fabs(game->x[game->worst_at]))) {
            best = gain;
            entering = (int)(game->count + j);
        }
    }
    return entering;
}

static void set_entering(struct game *game, int entering)
{
    size_t size = game->size;
    for (size_t i = 0; i < size; i++) {
        const double *line = game->inverse + i * size;
        if (entering < (int)game->count) {
            game->entering[i] = line[entering];
            continue;
        }
        const double *breaks = game->breaks + ((size_t)entering - game->count) * game->count;
        double sum = line[game->count];
        for (size_t k = 0; k < game->count; k++) {
            sum += line[k] * breaks[k];
        }
        game->entering[i] = sum;
    }
}

/* False where nothing stops the entering one: rounding has won. */
static bool pivot(struct game *game, int entering)
{
    size_t size = game->size;
    size_t leaving = size;
    double least = HUGE_VAL;
    set_entering(game, entering);
    for (size_t i = 0; i < size; i++) {
        if (i == game->worst_at || !(game->entering[i] > 1e-11)) {
            continue;
        }
        double ratio = (game->x[i] > 0.0 ? game->x[i] : 0.0) / game->entering[i];
        bool is_tie = leaving < size && ratio <= least + 1e-13;
        if (ratio < least - 1e-13 || (is_tie && game->entering[i] > game->entering[leaving])) {
            least = ratio < least ? ratio : least;
            leaving = i;
        }
    }
    if (leaving == size) {
        return false;
    }
    double *own = game->inverse + leaving * size;
    for (size_t j = 0; j < size; j++) {
        own[j] /= game->entering[leaving];
    }
    game->x[leaving] = least;
    for (size_t i = 0; i < size; i++) {
        double *line = game->inverse + i * size;
        double factor = i == leaving ? 0.0 : game->entering[i];
        for (size_t j = 0; factor != 0.0 && j < size; j++) {
            line[j] -= factor * own[j];
        }
        game->x[i] -= factor * least;
    }
    game->basis[leaving] = entering;
    game->pivots++;
    return true;
}

/* The mix itself, summed again from its columns. */
static bool tell_mix(const struct game *game, struct cvm_reply *reply)
{
    const struct cvm_phase_one *phase = game->phase;
    double total = 0.0;
    memset(reply->uses, 0, sizeof(reply->uses));
    for (size_t i = 0; i < game->size; i++) {
        total += game->basis[i] >= (int)game->count ? fmax(game->x[i], 0.0) : 0.0;
    }
    for (size_t i = 0; i < game->size; i++) {
        if (game->basis[i] < (int)game->count || !(game->x[i] > 0.0)) {
            continue;
        }
        const struct column *column = phase->columns[(size_t)game->basis[i] - game->count];
        for (size_t r = 0; r < phase->problem->row_count; r++) {
            double shift = cvm_row_natural(&phase->problem->rows[r], game->question->shifts[r]);
            reply->uses[r] += game->x[i] / total * (column->uses[r] - shift * column->covered[r]);
        }
    }
    for (size_t k = 0; k < game->count; k++) {
        double over = reply->uses[game->rows[k]] - game->limits[k];
        if (over > 10.0 * KEPT * game->weights[k]) {
            return false;
        }
    }
    return true;
}

/* The dearness of the last column, the cheapest plan there is, at the prices it was made for; and
 * how far from 0 it must be to be believed. */
static double judge(const struct game *game, double *out_doubt)
{
    const struct cvm_problem *problem = game->phase->problem;
    const double *breaks = game->breaks + (game->column_count - 1) * game->count;
    double sum = 0.0;
    double size = 0.0;
    for (size_t k = 0; k < game->count; k++) {
        double price = fmax(price_of(game, k), 0.0);
        const struct cvm_row *row = &problem->rows[game->rows[k]];
        double pairs = (double)problem->customer_count * (double)cvm_problem_per_customer(problem);
        sum += price * breaks[k];
        size += ROUNDING * price * (fabs(breaks[k]) + fabs(game->limits[k]) / game->weights[k]);
        /* Money is rounded pair by pair, but here only in sum. */
        for (size_t t = 0; cvm_row_is_money(row) && t < problem->treatment_count; t++) {
            if (row->rate[t] != 0.0) {
                size += price * pairs * 0.5 / CVM_MICRO_PER_UNIT / game->weights[k];
                break;
            }
        }
    }
    *out_doubt = size;
    return sum;
}

static void tell_proof(const struct game *game, double lack, struct cvm_reply *reply)
{
    reply->answer = CVM_ANSWER_NO;
    for (size_t k = 0; k < game->count; k++) {
        double price = price_of(game, k);
        reply->is_needed[game->rows[k]] = price > 0.0;
        reply->rises[game->rows[k]] = price > 0.0 ? lack / price * game->weights[k] : 0.0;
    }
}

/* At the prices of the mix: the cheapest plan of all, which proves that the rows can not be kept,
 * or joins the mix. Done when it does neither. */
static enum cvm_status ask_customers(struct game *game, struct cvm_reply *reply, bool *out_is_done,
                                     struct cvm_error *err)
{
    struct cvm_phase_one *phase = game->phase;
    double prices[CVM_PROBLEM_ROWS_MAX] = {0};
    double doubt = 0.0;
    *out_is_done = true;
    if (game->passes++ >= PASSES_MAX || phase->looks > LOOKS_MAX ||
        phase->column_count == COLUMNS_MAX) {
        return CVM_OK;
    }
    for (size_t k = 0; k < game->count; k++) {
        prices[game->rows[k]] = fmax(price_of(game, k), 0.0) / game->weights[k];
    }
    enum cvm_status status = make_column(phase, game->question, prices, err);
    if (status != CVM_OK) {
        return status;
    }
    add_breaks(game);
    double cost = judge(game, &doubt);
    if (cost > doubt) {
        tell_proof(game, cost, reply);
        return CVM_OK;
    }
    double worst = game->x[game->worst_at];
    *out_is_done = !(cost < worst - TOLERANCE * (1.0 + fabs(worst)));
    return CVM_OK;
}

static enum cvm_status play(struct game *game, struct cvm_reply *reply, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    bool is_done = false;
    while (status == CVM_OK && !is_done && game->pivots < PIVOTS_MAX) {
        if (game->x[game->worst_at] <= KEPT) {
            reply->answer = tell_mix(game, reply) ? CVM_ANSWER_YES : CVM_ANSWER_UNKNOWN;
            return CVM_OK;
        }
        int entering = find_entering(game);
        if (entering >= 0) {
            is_done = !pivot(game, entering);
        } else {
            status = ask_customers(game, reply, &is_done, err);
        }
    }
    return status;
}

static enum cvm_status game_init(struct game *game, struct cvm_phase_one *phase,
                                 const struct cvm_question *question, struct cvm_arena *arena,
                                 struct cvm_error *err)
{
    memset(game, 0, sizeof(*game));
    game->phase = phase;
    game->question = question;
    for (size_t r = 0; r < phase->problem->row_count; r++) {
        const struct cvm_row *row = &phase->problem->rows[r];
        if (!question->is_asked[r]) {
            continue;
        }
        size_t k = game->count++;
        double limit = cvm_row_natural(row, question->limits[r]);
        game->rows[k] = r;
        game->limits[k] = limit;
        /* Unequal, so that rows are not broken by the same share: the simplex method would stand
         * still. */
        game->weights[k] = fmax(fabs(limit), 1.0) * (1.0 + 0.01 * fmod((double)k * 0.618034, 1.0));
    }
    size_t size = game->size = game->count + 1;
    game->inverse = cvm_arena_alloc_raw(arena, size * size, sizeof(double));
    game->entering = cvm_arena_alloc_raw(arena, size, sizeof(double));
    game->x = cvm_arena_alloc_raw(arena, size, sizeof(double));
    game->basis = cvm_arena_alloc_raw(arena, size, sizeof(int));
    game->breaks = cvm_arena_alloc_raw(arena, COLUMNS_MAX * size, sizeof(double));
    if (game->inverse == NULL || game->entering == NULL || game->x == NULL || game->basis == NULL ||
        game->breaks == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to look for rows in conflict");
    }
    return CVM_OK;
}

enum cvm_status cvm_phase_one_ask(struct cvm_phase_one *phase, const struct cvm_question *question,
                                  struct cvm_reply *out_reply, struct cvm_error *err)
{
    struct game game;
    struct cvm_reply whole;
    struct cvm_arena *arena = cvm_arena_create(SIZE_MAX);
    memset(out_reply, 0, sizeof(*out_reply));
    out_reply->answer = CVM_ANSWER_UNKNOWN;
    if (arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to look for rows in conflict");
    }
    enum cvm_status status = game_init(&game, phase, question, arena, err);
    if (status == CVM_OK && game.count == 0) {
        out_reply->answer = CVM_ANSWER_YES;
    } else if (status == CVM_OK) {
        add_breaks(&game);
        start(&game);
        status = play(&game, out_reply, err);
    }
    cvm_arena_destroy(arena);
    if (status != CVM_OK || out_reply->answer == CVM_ANSWER_NO) {
        return status;
    }
    memset(&whole, 0, sizeof(whole));
    status = cvm_every_plan_ask(phase->problem, question, &whole, err);
    if (status == CVM_OK && whole.answer != CVM_ANSWER_UNKNOWN) {
        *out_reply = whole;
        memcpy(out_reply->is_needed, question->is_asked, sizeof(out_reply->is_needed));
    }
    return status;
}

/* ---- life ---- */

enum cvm_status cvm_phase_one_create(const struct cvm_problem *problem, struct cvm_pool *pool,
                                     const struct cvm_context *context, struct cvm_arena *arena,
                                     struct cvm_phase_one **out_phase, struct cvm_error *err)
{
    struct cvm_phase_one *phase = CVM_NEW(arena, struct cvm_phase_one);
    size_t class_count = problem->class_count > 0 ? problem->class_count : 1;
    size_t slots = problem->treatment_count * class_count + 1;
    struct column *nobody = CVM_NEW(arena, struct column);
    if (phase != NULL) {
        phase->columns = CVM_NEW_ARRAY(arena, COLUMNS_MAX, struct column *);
        phase->flats = CVM_NEW_ARRAY(arena, slots, double);
        phase->welcome = CVM_NEW_ARRAY(arena, class_count, uint64_t);
        phase->counts = CVM_NEW_ARRAY(arena, slots, int64_t);
        phase->workers = CVM_NEW_ARRAY(arena, cvm_worker_count(pool), struct worker);
    }
    if (phase == NULL || nobody == NULL || phase->columns == NULL || phase->flats == NULL ||
        phase->welcome == NULL || phase->counts == NULL || phase->workers == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to look for rows in conflict");
    }
    phase->problem = problem;
    phase->pool = pool;
    phase->context = context;
    phase->arena = arena;
    phase->class_count = class_count;
    phase->columns[phase->column_count++] = nobody;
    *out_phase = phase;
    return CVM_OK;
}

static enum cvm_status worker_init(struct worker *worker, struct cvm_phase_one *phase,
                                   struct cvm_error *err)
{
    size_t size_max = phase->census->size_max;
    size_t slots = phase->problem->treatment_count * phase->class_count + 1;
    worker->sets = CVM_NEW_ARRAY(phase->arena, size_max + 1, uint64_t);
    worker->without = CVM_NEW_ARRAY(phase->arena, size_max + 1, uint64_t);
    worker->savings = CVM_NEW_ARRAY(phase->arena, size_max + 1, double);
    worker->counts = CVM_NEW_ARRAY(phase->arena, slots, int64_t);
    if (worker->sets == NULL || worker->without == NULL || worker->savings == NULL ||
        worker->counts == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a household of %zu", size_max);
    }
    return cvm_chooser_init(&worker->chooser, phase->problem, size_max, phase->arena, err);
}

enum cvm_status cvm_phase_one_use(struct cvm_phase_one *phase, const struct cvm_census *census,
                                  struct cvm_error *err)
{
    size_t groups = cvm_group_count(census->count);
    enum cvm_status status = CVM_OK;
    phase->census = census;
    phase->looks = 0;
    phase->group_amounts =
        cvm_arena_alloc(phase->arena, groups + 1, sizeof(phase->group_amounts[0]));
    if (phase->group_amounts == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to look for rows in conflict");
    }
    for (size_t w = 0; status == CVM_OK && w < cvm_worker_count(phase->pool); w++) {
        status = worker_init(&phase->workers[w], phase, err);
    }
    return status;
}

enum cvm_status cvm_phase_one_ask_all(const struct cvm_problem *problem, struct cvm_pool *pool,
                                      const struct cvm_context *context,
                                      enum cvm_answer *out_answer, struct cvm_error *err)
{
    struct cvm_phase_one *phase = NULL;
    struct cvm_census census;
    struct cvm_question question;
    struct cvm_reply reply = {.answer = CVM_ANSWER_UNKNOWN};
    struct cvm_arena *arena = cvm_arena_create(SIZE_MAX);
    if (arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to look for rows in conflict");
    }
    enum cvm_status status = cvm_census_take(problem, false, pool, arena, &census, err);
    if (status == CVM_OK) {
        status = cvm_phase_one_create(problem, pool, context, arena, &phase, err);
    }
    if (status == CVM_OK) {
        status = cvm_phase_one_use(phase, &census, err);
    }
    if (status == CVM_OK) {
        cvm_question_init(problem, &question);
        status = cvm_phase_one_ask(phase, &question, &reply, err);
    }
    *out_answer = reply.answer;
    cvm_arena_destroy(arena);
    return status;
}
