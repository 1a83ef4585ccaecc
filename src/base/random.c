/* xoshiro256++ 1.0 and splitmix64 by David Blackman and Sebastiano Vigna (prng.di.unimi.it). exp
 * and log are our own, so that the numbers are the same on every processor: maths.h. */
#include "base/random.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/maths.h"

#define POISSON_STEP  16.0
#define POISSON_EXACT 4096.0

static uint64_t splitmix(uint64_t *state)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31);
}

void cvm_random_init(struct cvm_random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        random->state[i] = splitmix(&seed);
    }
}

static uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

uint64_t cvm_random_u64(struct cvm_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate(s[0] + s[3], 23) + s[0];
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

/* Lemire, "Fast random integer generation in an interval", 2019. */
uint64_t cvm_random_below(struct cvm_random *random, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide;
    assert(bound > 0);
    wide product = (wide)cvm_random_u64(random) * bound;
    if ((uint64_t)product < bound) {
        uint64_t threshold = -bound % bound;
        while ((uint64_t)product < threshold) {
            product = (wide)cvm_random_u64(random) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}

double cvm_random_unit(struct cvm_random *random)
{
    return (double)(cvm_random_u64(random) >> 11) * 0x1p-53;
}

/* Marsaglia's polar method; its second number is thrown away, to keep the state four words. */
double cvm_random_normal(struct cvm_random *random)
{
    double u = 0.0;
    double square = 0.0;
    do {
        u = 2.0 * cvm_random_unit(random) - 1.0;
        double v = 2.0 * cvm_random_unit(random) - 1.0;
        square = u * u + v * v;
    } while (square >= 1.0 || square == 0.0);
    return u * sqrt(-2.0 * cvm_log(square) / square);
}

double cvm_random_lognormal(struct cvm_random *random, double median, double log_sd)
{
    return median * cvm_exp(log_sd * cvm_random_normal(random));
}

/* Knuth's product of uniform numbers, in steps whose exp() is far from underflow; from a mean on
 * where the difference no longer shows, the rounded normal. */
int64_t cvm_random_poisson(struct cvm_random *random, double mean)
{
    if (!(mean > 0.0)) {
        return 0;
    }
    if (mean > POISSON_EXACT) {
        double x = floor(mean + sqrt(mean) * cvm_random_normal(random) + 0.5);
        return x <= 0.0 ? 0 : x >= 0x1p63 ? INT64_MAX : (int64_t)x;
    }
    int64_t count = 0;
    while (mean > 0.0) {
        double step = mean < POISSON_STEP ? mean : POISSON_STEP;
        double limit = cvm_exp(-step);
        double product = cvm_random_unit(random);
        while (product > limit) {
            count++;
            product *= cvm_random_unit(random);
        }
        mean -= step;
    }
    return count;
}
