#include "allocation/greedy.h"

#include <string.h>

#include "allocation/moves.h"
#include "base/hash.h"

struct greedy {
    const struct cvm_problem *problem;
    size_t order_count; /* the order that breaks ties within a customer */
    unsigned char order[CVM_PROBLEM_TREATMENTS_MAX];
    struct cvm_touches touches;
    unsigned char *choices; /* NULL = nobody wants them */
    struct cvm_greedy result;
};

static void greedy_init(struct greedy *greedy, const struct cvm_problem *problem,
                        unsigned char *choices)
{
    memset(greedy, 0, sizeof(*greedy));
    greedy->problem = problem;
    greedy->choices = choices;
    greedy->order_count = cvm_tariff_order(problem, greedy->order);
    cvm_touches_init(problem, &greedy->touches);
    if (choices != NULL) {
        memset(choices, CVM_NOTHING, problem->customer_count);
    }
}

/* Gives the treatment if every limit has room for it. */
static bool take(struct greedy *greedy, size_t customer, size_t treatment, double value)
{
    const struct cvm_problem *problem = greedy->problem;
    size_t customer_class = cvm_problem_class(problem, customer);
    double amount = cvm_problem_amount(problem, customer);
    size_t count = greedy->touches.counts[treatment];
    int64_t uses[CVM_PROBLEM_ROWS_MAX];
    for (size_t k = 0; k < count; k++) {
        size_t r = greedy->touches.rows[treatment][k];
        uses[k] = cvm_row_use(&problem->rows[r], customer_class, treatment, amount);
        if (!cvm_row_is_minimum(&problem->rows[r]) &&
            uses[k] > problem->rows[r].limit - greedy->result.used[r]) {
            return false;
        }
    }
    for (size_t k = 0; k < count; k++) {
        greedy->result.used[greedy->touches.rows[treatment][k]] += uses[k];
    }
    greedy->result.value += value;
    greedy->result.treated++;
    greedy->result.counts[treatment]++;
    if (greedy->choices != NULL) {
        greedy->choices[customer] = (unsigned char)treatment;
    }
    return true;
}

/* A place in the customer's own order of treatments: by value, then by rank in the tariff. */
struct place {
    float value;
    size_t rank;
};

/* The best of the customer's treatments that stand behind `after`; false when none is left. */
static bool next_best(const struct greedy *greedy, size_t customer, struct place after,
                      struct place *out_best)
{
    struct place best = {0.0f, 0};
    for (size_t rank = 0; rank < greedy->order_count; rank++) {
        float value = cvm_problem_value(greedy->problem, customer, greedy->order[rank]);
        bool is_behind = value < after.value || (value == after.value && rank > after.rank);
        if (is_behind && value > best.value) {
            best = (struct place){value, rank};
        }
    }
    *out_best = best;
    return best.value > 0.0f;
}

static const struct place before_all = {3.4e38f, 0};

void cvm_greedy_in_order(const struct cvm_problem *problem, const uint32_t *order,
                         unsigned char *choices, struct cvm_greedy *out_greedy)
{
    struct greedy greedy;
    greedy_init(&greedy, problem, choices);
    for (size_t i = 0; i < problem->customer_count; i++) {
        size_t customer = order == NULL ? i : order[i];
        struct place place = before_all;
        bool is_done = false;
        while (!is_done && next_best(&greedy, customer, place, &place)) {
            is_done = take(&greedy, customer, greedy.order[place.rank], (double)place.value);
        }
    }
    *out_greedy = greedy.result;
}

/* ---- by value: a heap of every customer's best pair that was not tried ---- */

struct pair {
    uint64_t tie;
    float value;
    uint32_t customer;
    size_t rank;
};

static bool is_before(const struct pair *a, const struct pair *b)
{
    if (a->value != b->value) {
        return a->value > b->value;
    }
    return a->tie != b->tie ? a->tie < b->tie : a->customer < b->customer;
}

static void sift_down(struct pair *heap, size_t count, size_t at)
{
    struct pair moving = heap[at];
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && is_before(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!is_before(&heap[child], &moving)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

static bool next_pair(const struct greedy *greedy, size_t customer, struct place after,
                      struct pair *out_pair)
{
    struct place best;
    if (!next_best(greedy, customer, after, &best)) {
        return false;
    }
    uint64_t treatment = greedy->order[best.rank];
    *out_pair = (struct pair){
        .tie = cvm_hash_mix(greedy->problem->keys[customer], treatment),
        .value = best.value,
        .customer = (uint32_t)customer,
        .rank = best.rank,
    };
    return true;
}

/* Room only shrinks, so a pair that does not fit now never will: its customer's next one comes. */
static void empty_heap(struct greedy *greedy, struct pair *heap, size_t count)
{
    while (count > 0) {
        struct pair top = heap[0];
        bool is_taken = take(greedy, top.customer, greedy->order[top.rank], (double)top.value);
        struct place place = {top.value, top.rank};
        if (is_taken || !next_pair(greedy, top.customer, place, &heap[0])) {
            heap[0] = heap[--count];
        }
        if (count > 0) {
            sift_down(heap, count, 0);
        }
    }
}

enum cvm_status cvm_greedy_by_value(const struct cvm_problem *problem, struct cvm_arena *arena,
                                    unsigned char *choices, struct cvm_greedy *out_greedy,
                                    struct cvm_error *err)
{
    struct greedy greedy;
    struct pair *heap =
        cvm_arena_alloc_raw(arena, problem->customer_count + 1, sizeof(struct pair));
    size_t count = 0;
    if (heap == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to sort %zu customers by value",
                        problem->customer_count);
    }
    greedy_init(&greedy, problem, choices);
    for (size_t i = 0; i < problem->customer_count; i++) {
        count += next_pair(&greedy, i, before_all, &heap[count]) ? 1 : 0;
    }
    for (size_t at = count / 2; at-- > 0;) {
        sift_down(heap, count, at);
    }
    empty_heap(&greedy, heap, count);
    *out_greedy = greedy.result;
    return CVM_OK;
}
