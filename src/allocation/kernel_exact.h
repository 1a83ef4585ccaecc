/* kernel_exact.h - the bound's inner loop, in double, and what all kernels read columns with: a
 * part of kernel_body.h, compiled once per set of instructions. */
#ifndef CVM_ALLOCATION_KERNEL_EXACT_H
#define CVM_ALLOCATION_KERNEL_EXACT_H

#include <string.h>

#include "allocation/kernel.h"
#include "allocation/lanes.h"

#define BLOCK CVM_PROBLEM_BLOCK

/* Sixteen of a column: where it stands, or a copy with zeros behind its end. */
static inline const void *sixteen(const void *column, size_t element, size_t first, size_t count,
                                  void *room)
{
    const unsigned char *from = (const unsigned char *)column + first * element;
    if (count == BLOCK) {
        return from;
    }
    memset(room, 0, BLOCK * element);
    memcpy(room, from, count * element);
    return room;
}

static inline doubles exact_price(const struct cvm_exact_fare *fare, doubles flats, doubles amounts)
{
    doubles price = flats;
    for (size_t k = 0; k < fare->rated_count; k++) {
        const struct cvm_rated *rated = &fare->rated[k];
        doubles major =
            doubles_add(doubles_all(rated->flat), doubles_mul(doubles_all(rated->rate), amounts));
        doubles micro = doubles_mul(major, doubles_all(1e6));
        micro = doubles_sub(doubles_add(micro, doubles_all(CVM_MICRO_ROUNDER)),
                            doubles_all(CVM_MICRO_ROUNDER));
        price = doubles_add(price, doubles_mul(doubles_all(rated->price_micro), micro));
    }
    return price;
}

static inline doubles exact_flats(const struct cvm_exact_pass *pass,
                                  const struct cvm_exact_fare *fare, const uint16_t *classes)
{
    double flats[BLOCK];
    if (pass->class_count == 1) {
        return doubles_all(fare->flat[0]);
    }
    for (size_t i = 0; i < BLOCK; i++) {
        flats[i] = fare->flat[classes[i]];
    }
    return doubles_load(flats);
}

static void bound(const struct cvm_exact_pass *pass, size_t first, size_t end, double *gain)
{
    const struct cvm_problem *problem = pass->problem;
    doubles sum = doubles_load(gain);
    for (; first < end; first += BLOCK) {
        size_t count = end - first < BLOCK ? end - first : BLOCK;
        uint16_t class_room[BLOCK];
        double amount_room[BLOCK];
        const uint16_t *classes = NULL;
        doubles best = doubles_all(0.0);
        doubles amounts = best;
        if (problem->amounts != NULL) {
            amounts =
                doubles_load(sixteen(problem->amounts, sizeof(double), first, count, amount_room));
        }
        if (pass->class_count > 1) {
            classes = sixteen(problem->classes, sizeof(uint16_t), first, count, class_room);
        }
        for (size_t t = 0; t < problem->treatment_count; t++) {
            const struct cvm_exact_fare *fare = &pass->fares[t];
            size_t at = first * problem->treatment_count + t * BLOCK;
            doubles values = problem->exact_values != NULL
                                 ? doubles_load(problem->exact_values + at)
                                 : doubles_of_floats(problem->values + at);
            doubles price = exact_price(fare, exact_flats(pass, fare, classes), amounts);
            best = doubles_max(doubles_sub(values, price), best);
        }
        sum = doubles_add(sum, best);
    }
    doubles_store(gain, sum);
}

#endif
