/* kernel_body.h - the kernels, compiled once per set of instructions: KERNEL names the table. No
 * header in the usual sense: included once by each kernel_*.c. */
#include <math.h>
#include <string.h>

#include "allocation/kernel.h"
#include "allocation/kernel_exact.h"
#include "allocation/lanes.h"

/* The order of treatments is not that of memory, which the processor's own guess relies on. */
#define BLOCKS_AHEAD 4

static inline floats values_of(const struct cvm_kernel_pass *pass, const float *column)
{
    __builtin_prefetch(column + BLOCKS_AHEAD * BLOCK * pass->table->treatment_count);
    return floats_load(column);
}

/* What is known of sixteen customers besides their values. */
struct block {
    const float *values;
    floats amounts;
    floats jitters;
    ints classes;
    const uint16_t *class_numbers;
    const double *exact_amounts;
    uint16_t class_room[BLOCK];
    double amount_room[BLOCK];
};

static inline void read_block(const struct cvm_kernel_pass *pass, size_t first, size_t count,
                              struct block *block)
{
    const struct cvm_table *table = pass->table;
    block->values = table->values + first * table->treatment_count;
    if (table->amounts != NULL) {
        block->exact_amounts =
            sixteen(table->amounts, sizeof(double), first, count, block->amount_room);
        block->amounts = floats_of_doubles(block->exact_amounts);
    }
    if (pass->class_count > 1) {
        block->class_numbers =
            sixteen(table->classes, sizeof(uint16_t), first, count, block->class_room);
        block->classes = ints_of_shorts(block->class_numbers);
    }
    if (pass->is_jittered && table->jitters != NULL) {
        block->jitters = floats_load(table->jitters + first);
    } else if (pass->is_jittered) {
        float jitters[BLOCK] = {0};
        for (size_t i = 0; i < count; i++) {
            jitters[i] = cvm_jitter(table->keys[first + i]);
        }
        block->jitters = floats_load(jitters);
    }
}

static inline floats price_of(const struct cvm_kernel_pass *pass, const struct cvm_fare *fare,
                              const struct block *block)
{
    floats price = pass->class_count > 1
                       ? floats_look_up(fare->flat, pass->class_count, block->classes)
                       : floats_all(fare->flat[0]);
    return fare->rate == 0.0f
               ? price
               : floats_add(price, floats_mul(floats_all(fare->rate), block->amounts));
}

static inline floats score_of(const struct cvm_kernel_pass *pass, const struct cvm_fare *fare,
                              const struct block *block)
{
    floats values = values_of(pass, block->values + fare->column);
    if (fare->is_free) {
        return values;
    }
    floats price = price_of(pass, fare, block);
    floats score = floats_sub(values, price);
    if (!pass->is_jittered) {
        return score;
    }
    floats turned = floats_mul(block->jitters, floats_all(fare->factor));
    floats spread = floats_sub(floats_sub(turned, floats_truncate(turned)), floats_all(0.5f));
    floats width =
        floats_add(floats_mul(price, floats_all(CVM_JITTER_SHARE)), floats_all(fare->blur));
    return floats_sub(score, floats_mul(spread, width));
}

static inline void add_treated(const struct cvm_kernel_pass *pass, const struct block *block,
                               const unsigned char *places, uint32_t bits,
                               struct cvm_kernel_sums *sums)
{
    for (; bits != 0; bits &= bits - 1) {
        size_t i = (size_t)__builtin_ctz(bits);
        size_t place = places[i];
        size_t row = pass->class_count > 1 ? block->class_numbers[i] * pass->fare_count : 0;
        sums->counts[row + place]++;
        if (pass->table->amounts != NULL) {
            sums->amounts[place] += block->exact_amounts[i];
        }
    }
}

static inline void store_places(unsigned char *to, const unsigned char *places, size_t count)
{
    if (count == BLOCK) {
        memcpy(to, places, BLOCK);
    } else {
        memcpy(to, places, count);
    }
}

static void choose(const struct cvm_kernel_pass *pass, size_t first, size_t end,
                   struct cvm_kernel_sums *sums)
{
    struct block block;
    memset(&block, 0, sizeof(block));
    for (; first < end; first += BLOCK) {
        size_t count = end - first < BLOCK ? end - first : BLOCK;
        read_block(pass, first, count, &block);
        floats best = floats_all(0.0f);
        ints who = ints_all((int32_t)pass->fare_count);
        for (size_t place = 0; place < pass->fare_count; place++) {
            floats score = score_of(pass, &pass->fares[place], &block);
            mask is_better = floats_above(score, best);
            who = ints_pick(is_better, ints_all((int32_t)place), who);
            best = floats_max(score, best);
        }
        unsigned char places[BLOCK];
        ints_store_bytes(places, who);
        doubles_add_floats(sums->gain, best);
        add_treated(pass, &block, places, mask_bits(floats_above(best, floats_all(0.0f))), sums);
        if (pass->choices != NULL) {
            store_places(pass->choices + first, places, count);
        }
    }
}

static void list_undecided(const struct cvm_kernel_pass *pass, size_t first,
                           const struct block *block, uint32_t bits, struct cvm_kernel_list *list)
{
    size_t treatment_count = pass->table->treatment_count;
    for (; bits != 0; bits &= bits - 1) {
        size_t i = (size_t)__builtin_ctz(bits);
        if (list->count == list->room) {
            list->is_full = true;
            return;
        }
        float *values = list->values + list->count * treatment_count;
        for (size_t t = 0; t < treatment_count; t++) {
            values[t] = block->values[t * BLOCK + i];
        }
        list->customers[list->count++] = (uint32_t)(first + i);
    }
}

/* The best by its upper end stays best if its lower end is above every other's upper end. */
struct front {
    floats upper;  /* of the best */
    floats lower;  /* its lower end */
    floats value;  /* its value without price */
    floats second; /* the highest upper end of the others */
    ints who;
};

static inline void meet(const struct cvm_kernel_pass *pass, size_t place, const struct block *block,
                        struct front *front)
{
    const struct cvm_fare *fare = &pass->fares[place];
    floats values = values_of(pass, block->values + fare->column);
    floats score = values;
    floats width = floats_all(fare->slack);
    if (!fare->is_free) {
        floats price = price_of(pass, fare, block);
        floats size = floats_max(price, floats_sub(floats_all(0.0f), price));
        score = floats_sub(values, price);
        width = floats_add(floats_mul(size, floats_all(fare->spread)), width);
    }
    floats upper = floats_add(score, width);
    mask is_first = floats_above(upper, front->upper);
    front->second = floats_max(front->second, floats_pick(is_first, front->upper, upper));
    front->lower = floats_pick(is_first, floats_sub(score, width), front->lower);
    front->value = floats_pick(is_first, values, front->value);
    front->who = ints_pick(is_first, ints_all((int32_t)place), front->who);
    front->upper = floats_max(upper, front->upper);
}

static void narrow(const struct cvm_kernel_pass *pass, size_t first, size_t end,
                   struct cvm_kernel_sums *sums, struct cvm_kernel_list *list)
{
    struct block block;
    const floats zero = floats_all(0.0f);
    memset(&block, 0, sizeof(block));
    for (; first < end; first += BLOCK) {
        size_t count = end - first < BLOCK ? end - first : BLOCK;
        struct front front = {zero, zero, zero, floats_all(-INFINITY),
                              ints_all((int32_t)pass->fare_count)};
        read_block(pass, first, count, &block);
        for (size_t place = 0; place < pass->fare_count; place++) {
            meet(pass, place, &block, &front);
        }
        unsigned char places[BLOCK];
        uint32_t all = (UINT32_C(1) << count) - 1;
        uint32_t decided = mask_bits(floats_above(front.lower, front.second)) & all;
        uint32_t treated = mask_bits(floats_above(front.upper, zero)) & decided;
        ints_store_bytes(places, front.who);
        list_undecided(pass, first, &block, all & ~decided, list);
        for (uint32_t bits = all & ~decided; bits != 0; bits &= bits - 1) {
            places[__builtin_ctz(bits)] = CVM_UNDECIDED;
        }
        float values[BLOCK];
        floats_store(values, front.value);
        for (uint32_t bits = treated; bits != 0; bits &= bits - 1) {
            sums->gain[0] += (double)values[__builtin_ctz(bits)];
        }
        add_treated(pass, &block, places, treated, sums);
        store_places(pass->choices + first, places, count);
    }
}

/* Simple enough for the compiler to make lanes of. */
static void score(const struct cvm_kernel_member *member, double *restrict prices,
                  double *restrict scores)
{
    const int count = member->treatment_count;
    const double *flats = member->flats;
    const double *rates = member->rates;
    const double *blurs = member->blurs;
    const float *values = member->values;
    const double amount = member->amount;
    const float jitter = member->jitter;
    for (int t = 0; t < count; t++) {
        prices[t] = flats[t] + rates[t] * amount;
    }
    for (int t = 0; t < count; t++) {
        scores[t] = (double)values[t] - prices[t];
    }
    for (int t = 0; member->is_jittered && t < count; t++) {
        float turned = jitter * (float)(2 * t + 1);
        float spread = turned - (float)(int32_t)turned - 0.5f;
        scores[t] -= (double)spread * (prices[t] * (double)CVM_JITTER_SHARE + blurs[t]);
    }
}

const struct cvm_kernel KERNEL = {
    .choose = choose, .narrow = narrow, .score = score, .bound = bound};
