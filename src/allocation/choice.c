#include "allocation/choice.h"

#include <math.h>

enum cvm_status cvm_chooser_init(struct cvm_chooser *chooser, const struct cvm_problem *problem,
                                 size_t size_max, struct cvm_arena *arena, struct cvm_error *err)
{
    *chooser = (struct cvm_chooser){
        .problem = problem,
        .scores = CVM_NEW_ARRAY(arena, size_max * problem->treatment_count + 1, double),
        .prices = CVM_NEW_ARRAY(arena, size_max * problem->treatment_count + 1, double),
        .gains = CVM_NEW_ARRAY(arena, size_max + 1, double),
        .with = CVM_NEW_ARRAY(arena, size_max + 1, uint64_t),
        .sets = CVM_NEW_ARRAY(arena, size_max + 1, uint64_t),
        .worst = CVM_NEW_ARRAY(arena, size_max + 1, uint64_t),
    };
    if (chooser->scores == NULL || chooser->prices == NULL || chooser->gains == NULL ||
        chooser->with == NULL || chooser->sets == NULL || chooser->worst == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a household of %zu", size_max);
    }
    for (size_t t = 0; t < problem->treatment_count; t++) {
        chooser->open |= UINT64_C(1) << t;
        chooser->ranks[t] = (unsigned char)t;
    }
    return CVM_OK;
}

void cvm_chooser_set_order(struct cvm_chooser *chooser, const unsigned char *order, size_t count)
{
    chooser->open = 0;
    for (size_t place = 0; place < count; place++) {
        chooser->open |= UINT64_C(1) << order[place];
        chooser->ranks[order[place]] = (unsigned char)place;
    }
}

bool cvm_set_is_allowed(const struct cvm_problem *problem, uint64_t set)
{
    if ((size_t)__builtin_popcountll(set) > cvm_problem_per_customer(problem)) {
        return false;
    }
    for (uint64_t left = set; problem->exclusions != NULL && left != 0; left &= left - 1) {
        if ((problem->exclusions[__builtin_ctzll(left)] & set) != 0) {
            return false;
        }
    }
    return true;
}

/* ---- one customer ---- */

/* What may be taken, best first. */
struct menu {
    const struct cvm_problem *problem;
    double scores[CVM_PROBLEM_TREATMENTS_MAX];
    unsigned char treatments[CVM_PROBLEM_TREATMENTS_MAX];
    size_t count;
    double best;
    uint64_t best_set;
};

/* Few scores are above 0, and which is hard to foresee: no branch asks for it. */
static uint64_t find_positive(const struct cvm_chooser *chooser, const double *scores)
{
    uint64_t positive = 0;
    for (size_t t = 0; t < chooser->problem->treatment_count; t++) {
        positive |= (uint64_t)(scores[t] > 0.0) << t;
    }
    return positive & chooser->open;
}

static void make_menu(const struct cvm_chooser *chooser, const double *scores, uint64_t allowed,
                      struct menu *menu)
{
    menu->problem = chooser->problem;
    menu->count = 0;
    menu->best = 0.0;
    menu->best_set = 0;
    for (; allowed != 0; allowed &= allowed - 1) {
        unsigned char t = (unsigned char)__builtin_ctzll(allowed);
        size_t at = menu->count++;
        for (; at > 0; at--) {
            unsigned char other = menu->treatments[at - 1];
            bool is_tie = scores[t] == menu->scores[at - 1];
            if (!(scores[t] > menu->scores[at - 1]) &&
                !(is_tie && chooser->ranks[t] < chooser->ranks[other])) {
                break;
            }
            menu->scores[at] = menu->scores[at - 1];
            menu->treatments[at] = other;
        }
        menu->scores[at] = scores[t];
        menu->treatments[at] = t;
    }
}

/* Depth first, bounded by the sum of the best that are left; the first of equal sets stays. */
static void extend_set(struct menu *menu, size_t from, size_t left, double sum, uint64_t set)
{
    if (sum > menu->best) {
        menu->best = sum;
        menu->best_set = set;
    }
    for (size_t at = from; left > 0 && at < menu->count; at++) {
        double bound = sum;
        for (size_t k = at; k < menu->count && k < at + left; k++) {
            bound += menu->scores[k];
        }
        if (!(bound > menu->best)) {
            return;
        }
        size_t t = menu->treatments[at];
        uint64_t excluded =
            menu->problem->exclusions != NULL ? menu->problem->exclusions[t] : UINT64_C(0);
        if ((excluded & set) == 0) {
            extend_set(menu, at + 1, left - 1, sum + menu->scores[at], set | UINT64_C(1) << t);
        }
    }
}

/* Of one treatment each there is no need of a menu. */
static double best_single(const struct cvm_chooser *chooser, const double *scores, uint64_t allowed,
                          uint64_t *set)
{
    double best = 0.0;
    unsigned char rank = 0;
    *set = 0;
    for (; allowed != 0; allowed &= allowed - 1) {
        size_t t = (size_t)__builtin_ctzll(allowed);
        if (scores[t] > best || (scores[t] == best && chooser->ranks[t] < rank)) {
            best = scores[t];
            rank = chooser->ranks[t];
            *set = allowed & -allowed;
        }
    }
    return best;
}

/* Of the treatments allowed, whose scores are all above 0. */
static double best_set(const struct cvm_chooser *chooser, const double *scores, uint64_t allowed,
                       uint64_t *set)
{
    size_t most = cvm_problem_per_customer(chooser->problem);
    struct menu menu;
    if (most == 1 || (allowed & (allowed - 1)) == 0) {
        return best_single(chooser, scores, allowed, set);
    }
    make_menu(chooser, scores, allowed, &menu);
    extend_set(&menu, 0, most, 0.0, 0);
    *set = menu.best_set;
    return menu.best;
}

/* ---- the unit ---- */

double cvm_choose_unit(struct cvm_chooser *chooser, size_t size, size_t max, uint64_t *sets)
{
    const struct cvm_problem *problem = chooser->problem;
    size_t stride = problem->treatment_count;
    uint64_t counting = problem->groups != NULL ? problem->group_treatments : 0;
    double sum = 0.0;
    bool is_any = false;
    if (size == 1 && max >= 1) {
        uint64_t positive = find_positive(chooser, chooser->scores);
        return best_set(chooser, chooser->scores, positive, sets);
    }
    for (size_t i = 0; i < size; i++) {
        const double *scores = chooser->scores + i * stride;
        uint64_t positive = find_positive(chooser, scores);
        double with = best_set(chooser, scores, positive, &chooser->with[i]);
        double without = with;
        sets[i] = chooser->with[i];
        if ((chooser->with[i] & counting) != 0) {
            without = best_set(chooser, scores, positive & ~counting, &sets[i]);
        }
        chooser->gains[i] = with - without;
        is_any = is_any || with > without;
        sum += without;
    }
    for (size_t taken = 0; taken < max && is_any; taken++) {
        size_t best = size;
        for (size_t i = 0; i < size; i++) { /* the first of equals is the one of the lowest key */
            if (chooser->gains[i] > (best < size ? chooser->gains[best] : 0.0)) {
                best = i;
            }
        }
        if (best == size) {
            break;
        }
        sum += chooser->gains[best];
        sets[best] = chooser->with[best];
        chooser->gains[best] = 0.0;
    }
    return sum;
}
