/* Rows that no plan keeps together: taken one by one out of a set that can not be kept, as long as
 * the rest can not be kept either. */
#include "allocation/conflict.h"

#include <math.h>
#include <string.h>

#include "allocation/conflict_text.h"
#include "allocation/phase_one.h"

#define MONEY_STEP 10000                         /* micros: limits are told in hundredths */
#define SHARE_STEP (CVM_ROW_SHARE_SCALE / 10000) /* and shares in hundredths of a per cent */

struct finder {
    const struct cvm_problem *problem;
    const struct cvm_plan *plan;
    struct cvm_pool *pool;
    const struct cvm_context *context;
    struct cvm_arena *arena; /* of the caller, for texts */
    struct cvm_arena *own;
    struct cvm_phase_one *phase;
    struct cvm_census alike;
    struct cvm_census everybody; /* when it was asked for */
    bool is_rounded;             /* customers taken as alike are asked now */
    struct cvm_question open;    /* rows that are in no conflict found so far */
    struct cvm_conflict *conflicts;
    size_t count;
};

/* ---- the smallest set ---- */

static void keep_needed(struct cvm_question *set, const struct cvm_reply *reply)
{
    for (size_t r = 0; r < CVM_PROBLEM_ROWS_MAX; r++) {
        set->is_asked[r] = set->is_asked[r] && reply->is_needed[r];
    }
}

/* Without this row, if the others still can not be kept. */
static enum cvm_status leave_out(struct finder *finder, size_t row, struct cvm_question *set,
                                 struct cvm_error *err)
{
    struct cvm_reply reply;
    if (!set->is_asked[row]) {
        return CVM_OK;
    }
    set->is_asked[row] = false;
    enum cvm_status status = cvm_phase_one_ask(finder->phase, set, &reply, err);
    if (status == CVM_OK && reply.answer == CVM_ANSWER_NO) {
        keep_needed(set, &reply);
    } else {
        set->is_asked[row] = true;
    }
    return status;
}

/* Minimums first, so that what remains asks for as little as can be. */
static enum cvm_status make_smallest(struct finder *finder, struct cvm_question *set,
                                     struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (int turn = 0; turn < 2; turn++) {
        for (size_t r = finder->problem->row_count; status == CVM_OK && r-- > 0;) {
            if (cvm_row_is_minimum(&finder->problem->rows[r]) == (turn == 0)) {
                status = leave_out(finder, r, set, err);
            }
        }
    }
    return status;
}

/* ---- the cheapest way out ---- */

/* How far one limit is moved: so many steps from its own, rounded to whole steps. */
struct scale {
    const struct cvm_row *row;
    int64_t step;
    int64_t first; /* level of step 0 */
    int sign;      /* of a step */
};

static int64_t floor_to(int64_t value, int64_t step)
{
    int64_t rest = value % step;
    return value - (rest < 0 ? rest + step : rest);
}

static struct scale scale_of(const struct cvm_row *row)
{
    struct scale scale = {.row = row, .step = row->scale, .sign = 1};
    int64_t level = cvm_row_level(row);
    if (cvm_row_is_share(row)) {
        scale.step = SHARE_STEP;
        scale.sign = row->kind == CVM_ROW_SHARE_MIN ? -1 : 1;
    } else if (cvm_row_is_money(row)) {
        scale.step = MONEY_STEP;
    }
    /* Four digits will do; the last ones cost most of the work. */
    int64_t size = level < 0 ? -level : level;
    while (!cvm_row_is_share(row) && size / scale.step >= 10000) {
        scale.step *= 10;
    }
    scale.first = scale.sign > 0 ? -floor_to(-level, scale.step) : floor_to(level, scale.step);
    return scale;
}

static int64_t level_at(const struct scale *scale, int64_t steps)
{
    return scale->first + scale->sign * steps * scale->step;
}

static void set_level(const struct scale *scale, size_t row, int64_t steps,
                      struct cvm_question *question)
{
    int64_t level = level_at(scale, steps);
    if (cvm_row_is_share(scale->row)) {
        question->shifts[row] = scale->sign * (level - cvm_row_share(scale->row));
    } else {
        question->limits[row] = level;
    }
}

/* Steps until the row keeps this use, in units of its scale. */
static int64_t steps_for(const struct scale *scale, double use)
{
    double steps = (use * (double)scale->row->scale - (double)scale->first) / (double)scale->step;
    steps = ceil(steps - 1e-6);
    return steps > 0.0 ? (int64_t)fmin(steps, 1e15) : 0;
}

static int64_t steps_max(const struct scale *scale, double use)
{
    if (scale->row->kind == CVM_ROW_SHARE_MIN) {
        return scale->first / scale->step;
    }
    if (scale->row->kind == CVM_ROW_SHARE_MAX) {
        return (CVM_ROW_SHARE_SCALE - scale->first) / scale->step;
    }
    return steps_for(scale, use);
}

struct way_out {
    size_t row;
    int64_t level;
    double change; /* as a share of the limit; infinite = none */
};

static double change_of(const struct scale *scale, int64_t steps)
{
    double own = (double)cvm_row_level(scale->row);
    double size = fmax(fabs(own), (double)scale->step);
    return fabs((double)level_at(scale, steps) - own) / size;
}

/* The most steps that are a smaller change than this one. */
static int64_t steps_below(const struct scale *scale, double change)
{
    double size = fmax(fabs((double)cvm_row_level(scale->row)), (double)scale->step);
    int64_t steps = (int64_t)fmin(change * size / (double)scale->step, 1e15) + 1;
    while (steps >= 0 && !(change_of(scale, steps) < change)) {
        steps--;
    }
    return steps;
}

static enum cvm_status ask_at(struct finder *finder, struct cvm_question *question, size_t row,
                              int64_t steps, struct cvm_reply *reply, struct cvm_error *err)
{
    const struct scale scale = scale_of(&finder->problem->rows[row]);
    set_level(&scale, row, steps, question);
    return cvm_phase_one_ask(finder->phase, question, reply, err);
}

/* Steps that are known to be enough: those of a plan without the row, or fewer than the best way so
 * far takes; -1 where they are not. */
static enum cvm_status start_steps(struct finder *finder, struct cvm_question *question,
                                   const struct way_out *best, size_t row, int64_t *out_most,
                                   struct cvm_error *err)
{
    const struct scale scale = scale_of(&finder->problem->rows[row]);
    struct cvm_reply reply;
    enum cvm_status status = CVM_OK;
    *out_most = -1;
    if (best->change < HUGE_VAL) {
        int64_t most = steps_below(&scale, best->change);
        int64_t limit = steps_max(&scale, HUGE_VAL);
        most = most < limit ? most : limit;
        if (most >= 0) {
            status = ask_at(finder, question, row, most, &reply, err);
            *out_most = status == CVM_OK && reply.answer == CVM_ANSWER_YES ? most : -1;
        }
        return status;
    }
    question->is_asked[row] = false;
    status = cvm_phase_one_ask(finder->phase, question, &reply, err);
    question->is_asked[row] = true;
    if (status == CVM_OK && reply.answer == CVM_ANSWER_YES) {
        *out_most = steps_max(&scale, reply.uses[row]);
    }
    return status;
}

/* The fewest steps of one row at which the set is kept, if they are a smaller change than the best
 * way so far. */
static enum cvm_status relax(struct finder *finder, const struct cvm_question *set, size_t row,
                             struct way_out *best, struct cvm_error *err)
{
    const struct scale scale = scale_of(&finder->problem->rows[row]);
    bool is_share = cvm_row_is_share(scale.row);
    struct cvm_question question = *set;
    struct cvm_reply reply;
    int64_t most = -1;
    int64_t least = -1; /* not enough */
    enum cvm_status status = start_steps(finder, &question, best, row, &most, err);
    bool is_way = status == CVM_OK && most >= 0;
    while (status == CVM_OK && most - least > 1) {
        int64_t middle = least + (most - least) / 2;
        status = ask_at(finder, &question, row, middle, &reply, err);
        if (status == CVM_OK && reply.answer == CVM_ANSWER_YES) {
            int64_t enough = is_share ? middle : steps_for(&scale, reply.uses[row]);
            most = enough > least && enough < middle ? enough : middle;
        } else if (status == CVM_OK) {
            double rise = is_share ? 0.0 : reply.rises[row];
            double at = cvm_row_natural(scale.row, level_at(&scale, middle)) + rise;
            int64_t short_of = is_share ? middle : steps_for(&scale, at) - 1;
            least = short_of > middle && short_of < most ? short_of : middle;
        }
    }
    if (is_way) {
        *best = (struct way_out){row, level_at(&scale, most), change_of(&scale, most)};
    }
    return status;
}

/* ---- telling ---- */

static void tell_set(const struct finder *finder, const struct cvm_conflict *conflict,
                     const struct way_out *lower, struct cvm_text *text)
{
    const struct cvm_row *rows = finder->problem->rows;
    const struct cvm_row *low = lower->change < HUGE_VAL ? &rows[lower->row] : NULL;
    if (conflict->row_count == 1) {
        cvm_text_add_demand(text, &rows[conflict->rows[0]]);
        cvm_text_add(text, " can not be reached by any plan");
    } else {
        for (size_t k = 0; k < conflict->row_count; k++) {
            bool is_last = k + 1 == conflict->row_count;
            cvm_text_add(text, k == 0 ? "" : is_last ? " and " : ", ");
            cvm_text_add_demand(text, &rows[conflict->rows[k]]);
        }
        cvm_text_add(text, " can not be kept together");
    }
    if (low == NULL) {
        return;
    }
    cvm_text_add(text, conflict->row_count == 1 ? ": " : ": with the rest kept, ");
    cvm_text_add_row(text, low);
    cvm_text_add(text, " gets ");
    cvm_text_add_level(text, low, lower->level);
    cvm_text_add(text, " at most");
}

static void tell_ways(const struct finder *finder, const struct way_out *lower,
                      const struct way_out *raise, struct cvm_text *text)
{
    const struct way_out *ways[] = {lower->change <= raise->change ? lower : raise,
                                    lower->change <= raise->change ? raise : lower};
    for (size_t k = 0; k < 2 && ways[k]->change < HUGE_VAL; k++) {
        cvm_text_add(text, k == 0 ? "" : ", or ");
        cvm_text_add_change(text, &finder->problem->rows[ways[k]->row], ways[k]->level);
    }
}

/* The cheapest ways out among the rows of a set, while `kept` is kept. */
static enum cvm_status find_ways(struct finder *finder, const struct cvm_conflict *conflict,
                                 const struct cvm_question *kept, struct way_out ways[2],
                                 struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    ways[0].change = ways[1].change = HUGE_VAL;
    for (size_t k = 0; status == CVM_OK && k < conflict->row_count; k++) {
        size_t r = conflict->rows[k];
        bool is_minimum = cvm_row_is_minimum(&finder->problem->rows[r]);
        status = relax(finder, kept, r, &ways[is_minimum ? 0 : 1], err);
    }
    return status;
}

static enum cvm_status add_conflict(struct finder *finder, const struct cvm_question *set,
                                    struct cvm_error *err)
{
    struct cvm_conflict *conflict = &finder->conflicts[finder->count];
    struct cvm_question kept = *set;
    struct way_out ways[2] = {{0}}; /* to lower, to raise */
    struct cvm_text message;
    struct cvm_text relaxation;
    memset(conflict, 0, sizeof(*conflict));
    for (size_t r = 0; r < finder->problem->row_count; r++) {
        if (set->is_asked[r]) {
            conflict->rows[conflict->row_count++] = r;
        }
        /* The other limits stay: a way that only leads into them is none. */
        kept.is_asked[r] = set->is_asked[r] || !cvm_row_is_minimum(&finder->problem->rows[r]);
    }
    enum cvm_status status = find_ways(finder, conflict, &kept, ways, err);
    if (status == CVM_OK && !(ways[0].change < HUGE_VAL) && !(ways[1].change < HUGE_VAL)) {
        status = find_ways(finder, conflict, set, ways, err); /* no single one does it all */
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_text_init(&message, 0);
    cvm_text_init(&relaxation, 0);
    tell_set(finder, conflict, &ways[0], &message);
    tell_ways(finder, &ways[0], &ways[1], &relaxation);
    finder->count++;
    return cvm_conflict_set_texts(conflict, &message, &relaxation, finder->arena, err);
}

/* No conflict was found: what the plan falls short of, as it is. */
static enum cvm_status add_shortfall(struct finder *finder, struct cvm_error *err)
{
    const struct cvm_plan *plan = finder->plan;
    struct cvm_conflict *conflict = &finder->conflicts[finder->count];
    struct cvm_text message;
    struct cvm_text relaxation;
    memset(conflict, 0, sizeof(*conflict));
    cvm_text_init(&message, 0);
    cvm_text_init(&relaxation, 0);
    cvm_text_add(&message, "no whole plan was found that keeps every row, although none of them is "
                           "proven impossible");
    for (size_t r = 0; r < finder->problem->row_count; r++) {
        const struct cvm_row *row = &finder->problem->rows[r];
        const struct scale scale = scale_of(row);
        int64_t level = level_at(&scale, steps_for(&scale, cvm_row_natural(row, plan->used[r])));
        if (plan->shortfall[r] <= 0) {
            continue;
        }
        if (cvm_row_is_share(row)) {
            double share = (double)plan->inside[r] / fmax((double)plan->covered[r], 1.0);
            level = floor_to((int64_t)(share * (double)CVM_ROW_SHARE_SCALE), SHARE_STEP);
        }
        cvm_text_add(&message, conflict->row_count == 0 ? ": " : ", ");
        cvm_text_add_demand(&message, row);
        cvm_text_add(&message, " gets ");
        cvm_text_add_level(&message, row, level);
        cvm_text_add(&relaxation, conflict->row_count == 0 ? "" : " and ");
        cvm_text_add_change(&relaxation, row, level);
        conflict->rows[conflict->row_count++] = r;
    }
    finder->count += conflict->row_count > 0 ? 1 : 0;
    return cvm_conflict_set_texts(conflict, &message, &relaxation, finder->arena, err);
}

/* ---- one after the other ---- */

/* From now on customers are asked as they are in this census; it is taken once. */
static enum cvm_status use_census(struct finder *finder, bool is_exact, struct cvm_error *err)
{
    struct cvm_census *census = is_exact ? &finder->everybody : &finder->alike;
    enum cvm_status status = CVM_OK;
    if (census->first == NULL) {
        status = cvm_census_take(finder->problem, is_exact, finder->pool, finder->own, census, err);
    }
    return status == CVM_OK ? cvm_phase_one_use(finder->phase, census, err) : status;
}

static enum cvm_status find_smallest(struct finder *finder, struct cvm_question *set,
                                     bool *out_is_found, struct cvm_error *err)
{
    struct cvm_reply reply;
    *set = finder->open;
    *out_is_found = false;
    enum cvm_status status = cvm_phase_one_ask(finder->phase, set, &reply, err);
    if (status == CVM_OK && reply.answer == CVM_ANSWER_NO) {
        *out_is_found = true;
        keep_needed(set, &reply);
        status = make_smallest(finder, set, err);
    }
    return status;
}

/* A set found among customers taken as alike is asked of everybody; where they can keep it, the
 * search goes on among everybody. */
static enum cvm_status find_set(struct finder *finder, struct cvm_question *set, bool *out_is_found,
                                struct cvm_error *err)
{
    struct cvm_reply reply;
    enum cvm_status status = find_smallest(finder, set, out_is_found, err);
    if (status != CVM_OK || !*out_is_found || !finder->is_rounded) {
        return status;
    }
    status = use_census(finder, true, err);
    if (status == CVM_OK) {
        status = cvm_phase_one_ask(finder->phase, set, &reply, err);
    }
    if (status == CVM_OK && reply.answer == CVM_ANSWER_NO) {
        return use_census(finder, false, err);
    }
    finder->is_rounded = false;
    return status == CVM_OK ? find_smallest(finder, set, out_is_found, err) : status;
}

static enum cvm_status find_all(struct finder *finder, struct cvm_error *err)
{
    struct cvm_question set;
    bool is_found = true;
    enum cvm_status status = cvm_phase_one_create(finder->problem, finder->pool, finder->context,
                                                  finder->own, &finder->phase, err);
    if (status == CVM_OK) {
        status = use_census(finder, false, err);
        finder->is_rounded = finder->alike.is_rounded;
    }
    cvm_question_init(finder->problem, &finder->open);
    while (status == CVM_OK && is_found && finder->count < CVM_CONFLICTS_MAX) {
        status = find_set(finder, &set, &is_found, err);
        if (status != CVM_OK || !is_found) {
            break;
        }
        status = add_conflict(finder, &set, err);
        for (size_t r = 0; r < finder->problem->row_count; r++) {
            bool is_minimum = cvm_row_is_minimum(&finder->problem->rows[r]);
            finder->open.is_asked[r] = finder->open.is_asked[r] && !(is_minimum && set.is_asked[r]);
        }
    }
    return status == CVM_OK && finder->count == 0 ? add_shortfall(finder, err) : status;
}

enum cvm_status cvm_conflicts_after(const struct cvm_problem *problem, const struct cvm_plan *plan,
                                    struct cvm_pool *pool, const struct cvm_context *context,
                                    struct cvm_arena *arena, struct cvm_conflict *out_conflicts,
                                    size_t *out_count, struct cvm_error *err)
{
    struct finder finder = {
        .problem = problem,
        .plan = plan,
        .pool = pool,
        .context = context,
        .arena = arena,
        .conflicts = out_conflicts,
    };
    if (plan->is_feasible) {
        *out_count = 0;
        return CVM_OK;
    }
    finder.own = cvm_arena_create(SIZE_MAX);
    if (finder.own == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to look for rows in conflict");
    }
    enum cvm_status status = find_all(&finder, err);
    cvm_arena_destroy(finder.own);
    if (status == CVM_OK) {
        *out_count = finder.count;
    }
    return status;
}
