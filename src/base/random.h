/* random.h - seeded random numbers (xoshiro256++, seeded by splitmix64): the same everywhere.
 *
 * For data that must not depend on order or threads, derive one generator per object:
 * cvm_random_init(&random, cvm_hash_mix(seed, object_number)).
 */
#ifndef CVM_BASE_RANDOM_H
#define CVM_BASE_RANDOM_H

#include <stdint.h>

struct cvm_random {
    uint64_t state[4];
};

void cvm_random_init(struct cvm_random *random, uint64_t seed);
uint64_t cvm_random_u64(struct cvm_random *random);
uint64_t cvm_random_below(struct cvm_random *random,
                          uint64_t bound);           /* 0 .. bound-1, unbiased; bound > 0 */
double cvm_random_unit(struct cvm_random *random);   /* [0, 1) */
double cvm_random_normal(struct cvm_random *random); /* mean 0, sd 1 */
double cvm_random_lognormal(struct cvm_random *random, double median, double log_sd);
int64_t cvm_random_poisson(struct cvm_random *random, double mean);

#endif
