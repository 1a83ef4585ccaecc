/* Depth first over customers; a branch ends where the least that the others can use is too much. */
#include <string.h>

#include "allocation/choice.h"
#include "allocation/phase_one.h"
#include "allocation/tariff.h"

#define CUSTOMERS_MAX 24
#define CHOICES_MAX   64
#define STEPS_MAX     200000

struct every {
    const struct cvm_problem *problem;
    size_t row_count; /* rows asked */
    size_t rows[CVM_PROBLEM_ROWS_MAX];
    int64_t limits[CVM_PROBLEM_ROWS_MAX];
    size_t choice_count[CUSTOMERS_MAX];
    uint64_t choices[CUSTOMERS_MAX][CHOICES_MAX];
    int64_t *uses;                                          /* [customer][choice][row asked] */
    int64_t least[CUSTOMERS_MAX + 1][CVM_PROBLEM_ROWS_MAX]; /* of this customer and those behind */
    uint64_t picked[CUSTOMERS_MAX];
    unsigned char *group_counts;
    int64_t steps;
};

static int64_t *uses_of(const struct every *every, size_t customer, size_t choice)
{
    return every->uses + (customer * CHOICES_MAX + choice) * CVM_PROBLEM_ROWS_MAX;
}

static int64_t use_of_set(const struct every *every, const struct cvm_question *question,
                          size_t customer, size_t r, uint64_t set)
{
    const struct cvm_problem *problem = every->problem;
    const struct cvm_row *row = &problem->rows[r];
    int64_t use = 0;
    for (; set != 0; set &= set - 1) {
        size_t t = (size_t)__builtin_ctzll(set);
        use += cvm_row_use(row, cvm_problem_class(problem, customer), t,
                           cvm_problem_amount(problem, customer));
        use -= cvm_row_touches(row, t) ? question->shifts[r] : 0;
    }
    return use;
}

static void add_choices(struct every *every, size_t customer, uint64_t left, uint64_t set)
{
    size_t count = every->choice_count[customer];
    if (!cvm_set_is_allowed(every->problem, set) || count == CHOICES_MAX) {
        every->steps = count == CHOICES_MAX ? STEPS_MAX : every->steps;
        return;
    }
    every->choices[customer][count] = set;
    every->choice_count[customer]++;
    for (; left != 0; left &= left - 1) {
        add_choices(every, customer, left & (left - 1), set | (left & -left));
    }
}

static void prepare_customer(struct every *every, const struct cvm_question *question,
                             size_t customer)
{
    uint64_t eligible = 0;
    for (size_t t = 0; t < every->problem->treatment_count; t++) {
        bool is_eligible = cvm_problem_value(every->problem, customer, t) > CVM_PROBLEM_VALUE_MIN;
        eligible |= (uint64_t)is_eligible << t;
    }
    add_choices(every, customer, eligible, 0);
    for (size_t k = 0; k < every->row_count; k++) {
        int64_t least = 0;
        for (size_t c = 0; c < every->choice_count[customer]; c++) {
            int64_t use =
                use_of_set(every, question, customer, every->rows[k], every->choices[customer][c]);
            uses_of(every, customer, c)[k] = use;
            least = use < least ? use : least;
        }
        every->least[customer][k] = every->least[customer + 1][k] + least;
    }
}

/* Room of the household for this choice: takes it where there is. */
static bool enter_group(struct every *every, size_t customer, uint64_t set, int step)
{
    const struct cvm_problem *problem = every->problem;
    uint32_t group = problem->groups != NULL ? problem->groups[customer] : CVM_NO_GROUP;
    if (group == CVM_NO_GROUP || (set & problem->group_treatments) == 0) {
        return true;
    }
    int max = problem->group_max != NULL ? problem->group_max[group] : 1;
    if (every->group_counts[group] + step > max) {
        return false;
    }
    every->group_counts[group] = (unsigned char)(every->group_counts[group] + step);
    return true;
}

static bool search_from(struct every *every, size_t customer, const int64_t *used)
{
    if (customer == every->problem->customer_count) {
        return true;
    }
    for (size_t c = 0; c < every->choice_count[customer]; c++) {
        const int64_t *uses = uses_of(every, customer, c);
        int64_t sums[CVM_PROBLEM_ROWS_MAX];
        bool fits = every->steps++ < STEPS_MAX;
        for (size_t k = 0; fits && k < every->row_count; k++) {
            sums[k] = used[k] + uses[k];
            fits = sums[k] <= every->limits[k] - every->least[customer + 1][k];
        }
        if (!fits || !enter_group(every, customer, every->choices[customer][c], 1)) {
            continue;
        }
        every->picked[customer] = every->choices[customer][c];
        if (search_from(every, customer + 1, sums)) {
            return true;
        }
        (void)enter_group(every, customer, every->choices[customer][c], -1);
    }
    return false;
}

static void tell_uses(const struct every *every, const struct cvm_question *question,
                      struct cvm_reply *reply)
{
    const struct cvm_problem *problem = every->problem;
    for (size_t r = 0; r < problem->row_count; r++) {
        int64_t use = 0;
        for (size_t i = 0; i < problem->customer_count; i++) {
            use += use_of_set(every, question, i, r, every->picked[i]);
        }
        reply->uses[r] = cvm_row_natural(&problem->rows[r], use);
    }
}

static enum cvm_status ask(const struct cvm_problem *problem, const struct cvm_question *question,
                           struct cvm_arena *arena, struct cvm_reply *out_reply,
                           struct cvm_error *err)
{
    static const int64_t nothing[CVM_PROBLEM_ROWS_MAX];
    struct every *every = CVM_NEW(arena, struct every);
    size_t use_count = problem->customer_count * CHOICES_MAX * CVM_PROBLEM_ROWS_MAX;
    if (every != NULL) {
        every->uses = cvm_arena_alloc_raw(arena, use_count + 1, sizeof(int64_t));
        every->group_counts = CVM_NEW_ARRAY(arena, problem->group_count + 1, unsigned char);
    }
    if (every == NULL || every->uses == NULL || every->group_counts == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to try every plan");
    }
    every->problem = problem;
    for (size_t r = 0; r < problem->row_count; r++) {
        if (question->is_asked[r]) {
            every->limits[every->row_count] = question->limits[r];
            every->rows[every->row_count++] = r;
        }
    }
    for (size_t i = problem->customer_count; i-- > 0;) {
        prepare_customer(every, question, i);
    }
    bool is_found = search_from(every, 0, nothing);
    bool is_done = every->steps < STEPS_MAX;
    out_reply->answer = is_found ? CVM_ANSWER_YES : is_done ? CVM_ANSWER_NO : CVM_ANSWER_UNKNOWN;
    if (is_found) {
        tell_uses(every, question, out_reply);
    }
    return CVM_OK;
}

enum cvm_status cvm_every_plan_ask(const struct cvm_problem *problem,
                                   const struct cvm_question *question, struct cvm_reply *out_reply,
                                   struct cvm_error *err)
{
    if (problem->customer_count > CUSTOMERS_MAX) {
        out_reply->answer = CVM_ANSWER_UNKNOWN;
        return CVM_OK;
    }
    struct cvm_arena *arena = cvm_arena_create(SIZE_MAX);
    if (arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to try every plan");
    }
    enum cvm_status status = ask(problem, question, arena, out_reply, err);
    cvm_arena_destroy(arena);
    return status;
}
