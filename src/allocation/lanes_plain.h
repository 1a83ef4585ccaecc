/* lanes_plain.h - the sixteen lanes of lanes.h in plain C. */
#ifndef CVM_ALLOCATION_LANES_PLAIN_H
#define CVM_ALLOCATION_LANES_PLAIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    float at[16];
} floats;
typedef struct {
    int32_t at[16];
} ints;
typedef ints mask; /* 0 or -1 */

#define LANES(result, expression)                                                                  \
    do {                                                                                           \
        for (int i = 0; i < 16; i++) {                                                             \
            (result).at[i] = (expression);                                                         \
        }                                                                                          \
    } while (0)

static inline floats floats_load(const float *from)
{
    floats a;
    memcpy(&a, from, sizeof(a));
    return a;
}
static inline void floats_store(float *to, floats a)
{
    memcpy(to, &a, sizeof(a));
}
static inline floats floats_all(float a)
{
    floats b;
    LANES(b, a);
    return b;
}
static inline floats floats_add(floats a, floats b)
{
    floats c;
    LANES(c, a.at[i] + b.at[i]);
    return c;
}
static inline floats floats_sub(floats a, floats b)
{
    floats c;
    LANES(c, a.at[i] - b.at[i]);
    return c;
}
static inline floats floats_mul(floats a, floats b)
{
    floats c;
    LANES(c, a.at[i] * b.at[i]);
    return c;
}
static inline floats floats_max(floats a, floats b)
{
    floats c;
    LANES(c, a.at[i] > b.at[i] ? a.at[i] : b.at[i]);
    return c;
}
static inline floats floats_truncate(floats a)
{
    floats b;
    LANES(b, (float)(int32_t)a.at[i]);
    return b;
}
static inline mask floats_above(floats a, floats b)
{
    mask c;
    LANES(c, -(int32_t)(a.at[i] > b.at[i]));
    return c;
}
static inline ints ints_pick(mask where, ints a, ints b)
{
    ints c;
    LANES(c, b.at[i] ^ ((b.at[i] ^ a.at[i]) & where.at[i]));
    return c;
}
static inline floats floats_pick(mask where, floats a, floats b)
{
    ints x;
    ints y;
    memcpy(&x, &a, sizeof(x));
    memcpy(&y, &b, sizeof(y));
    x = ints_pick(where, x, y);
    memcpy(&a, &x, sizeof(a));
    return a;
}
static inline ints ints_all(int32_t a)
{
    ints b;
    LANES(b, a);
    return b;
}
static inline void ints_store_bytes(unsigned char *to, ints a)
{
    for (int i = 0; i < 16; i++) {
        to[i] = (unsigned char)a.at[i];
    }
}
static inline uint32_t mask_bits(mask where)
{
    uint32_t bits = 0;
    for (int i = 0; i < 16; i++) {
        bits |= (uint32_t)(where.at[i] & 1) << i;
    }
    return bits;
}
static inline floats floats_of_doubles(const double *from)
{
    floats a;
    LANES(a, (float)from[i]);
    return a;
}
static inline void doubles_add_floats(double *sums, floats a)
{
    for (int i = 0; i < 16; i++) {
        sums[i] += (double)a.at[i];
    }
}
static inline floats floats_look_up(const float *table, size_t class_count, ints classes)
{
    floats a;
    (void)class_count;
    LANES(a, table[classes.at[i]]);
    return a;
}
static inline ints ints_of_shorts(const uint16_t *from)
{
    ints a;
    LANES(a, from[i]);
    return a;
}

typedef struct {
    double at[16];
} doubles;

static inline doubles doubles_load(const double *from)
{
    doubles a;
    memcpy(&a, from, sizeof(a));
    return a;
}
static inline doubles doubles_of_floats(const float *from)
{
    doubles a;
    LANES(a, (double)from[i]);
    return a;
}
static inline void doubles_store(double *to, doubles a)
{
    memcpy(to, &a, sizeof(a));
}
static inline doubles doubles_all(double a)
{
    doubles b;
    LANES(b, a);
    return b;
}
static inline doubles doubles_add(doubles a, doubles b)
{
    doubles c;
    LANES(c, a.at[i] + b.at[i]);
    return c;
}
static inline doubles doubles_sub(doubles a, doubles b)
{
    doubles c;
    LANES(c, a.at[i] - b.at[i]);
    return c;
}
static inline doubles doubles_mul(doubles a, doubles b)
{
    doubles c;
    LANES(c, a.at[i] * b.at[i]);
    return c;
}
static inline doubles doubles_max(doubles a, doubles b)
{
    doubles c;
    LANES(c, a.at[i] > b.at[i] ? a.at[i] : b.at[i]);
    return c;
}

#undef LANES

#endif
