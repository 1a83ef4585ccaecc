/* lanes_avx2.h - the sixteen lanes of lanes.h as two AVX2 registers. */
#ifndef CVM_ALLOCATION_LANES_AVX2_H
#define CVM_ALLOCATION_LANES_AVX2_H

#if defined(__AVX2__)

#include <stddef.h>
#include <stdint.h>

#include <immintrin.h>

typedef struct {
    __m256 low, high;
} floats;
typedef struct {
    __m256i low, high;
} ints;
typedef floats mask;

static inline floats floats_load(const float *from)
{
    return (floats){_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
}
static inline void floats_store(float *to, floats a)
{
    _mm256_storeu_ps(to, a.low);
    _mm256_storeu_ps(to + 8, a.high);
}
static inline floats floats_all(float a)
{
    return (floats){_mm256_set1_ps(a), _mm256_set1_ps(a)};
}
static inline floats floats_add(floats a, floats b)
{
    return (floats){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
static inline floats floats_sub(floats a, floats b)
{
    return (floats){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
static inline floats floats_mul(floats a, floats b)
{
    return (floats){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
static inline floats floats_max(floats a, floats b)
{
    return (floats){_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
static inline floats floats_truncate(floats a)
{
    return (floats){_mm256_cvtepi32_ps(_mm256_cvttps_epi32(a.low)),
                    _mm256_cvtepi32_ps(_mm256_cvttps_epi32(a.high))};
}
static inline mask floats_above(floats a, floats b)
{
    return (mask){_mm256_cmp_ps(a.low, b.low, _CMP_GT_OQ),
                  _mm256_cmp_ps(a.high, b.high, _CMP_GT_OQ)};
}
static inline floats floats_pick(mask where, floats a, floats b)
{
    return (floats){_mm256_blendv_ps(b.low, a.low, where.low),
                    _mm256_blendv_ps(b.high, a.high, where.high)};
}
static inline ints ints_all(int32_t a)
{
    return (ints){_mm256_set1_epi32(a), _mm256_set1_epi32(a)};
}
static inline ints ints_pick(mask where, ints a, ints b)
{
    return (ints){_mm256_blendv_epi8(b.low, a.low, _mm256_castps_si256(where.low)),
                  _mm256_blendv_epi8(b.high, a.high, _mm256_castps_si256(where.high))};
}
static inline void ints_store_bytes(unsigned char *to, ints a)
{
    int32_t lanes[16];
    _mm256_storeu_si256((__m256i *)(void *)lanes, a.low);
    _mm256_storeu_si256((__m256i *)(void *)(lanes + 8), a.high);
    for (int i = 0; i < 16; i++) {
        to[i] = (unsigned char)lanes[i];
    }
}
static inline uint32_t mask_bits(mask where)
{
    return (uint32_t)_mm256_movemask_ps(where.low) | (uint32_t)_mm256_movemask_ps(where.high) << 8;
}
static inline floats floats_of_doubles(const double *from)
{
    __m128 parts[4];
    for (int k = 0; k < 4; k++) {
        parts[k] = _mm256_cvtpd_ps(_mm256_loadu_pd(from + 4 * k));
    }
    return (floats){_mm256_set_m128(parts[1], parts[0]), _mm256_set_m128(parts[3], parts[2])};
}
static inline void doubles_add_floats(double *sums, floats a)
{
    const __m128 parts[4] = {_mm256_castps256_ps128(a.low), _mm256_extractf128_ps(a.low, 1),
                             _mm256_castps256_ps128(a.high), _mm256_extractf128_ps(a.high, 1)};
    for (int k = 0; k < 4; k++) {
        __m256d sum = _mm256_add_pd(_mm256_loadu_pd(sums + 4 * k), _mm256_cvtps_pd(parts[k]));
        _mm256_storeu_pd(sums + 4 * k, sum);
    }
}
static inline __m256 look_up_eight(const float *table, size_t class_count, __m256i classes)
{
    if (class_count <= 8) {
        return _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), classes);
    }
    if (class_count <= 16) {
        __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), classes);
        __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), classes);
        __m256i is_high = _mm256_cmpgt_epi32(classes, _mm256_set1_epi32(7));
        return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(is_high));
    }
    return _mm256_i32gather_ps(table, classes, 4);
}
static inline floats floats_look_up(const float *table, size_t class_count, ints classes)
{
    return (floats){look_up_eight(table, class_count, classes.low),
                    look_up_eight(table, class_count, classes.high)};
}
static inline ints ints_of_shorts(const uint16_t *from)
{
    __m256i both = _mm256_loadu_si256((const __m256i *)(const void *)from);
    return (ints){_mm256_cvtepu16_epi32(_mm256_castsi256_si128(both)),
                  _mm256_cvtepu16_epi32(_mm256_extracti128_si256(both, 1))};
}

typedef struct {
    __m256d part[4];
} doubles;

static inline doubles doubles_load(const double *from)
{
    doubles a;
    for (int k = 0; k < 4; k++) {
        a.part[k] = _mm256_loadu_pd(from + 4 * k);
    }
    return a;
}
static inline doubles doubles_of_floats(const float *from)
{
    doubles a;
    for (int k = 0; k < 4; k++) {
        a.part[k] = _mm256_cvtps_pd(_mm_loadu_ps(from + 4 * k));
    }
    return a;
}
static inline void doubles_store(double *to, doubles a)
{
    for (int k = 0; k < 4; k++) {
        _mm256_storeu_pd(to + 4 * k, a.part[k]);
    }
}
static inline doubles doubles_all(double a)
{
    doubles b;
    for (int k = 0; k < 4; k++) {
        b.part[k] = _mm256_set1_pd(a);
    }
    return b;
}
static inline doubles doubles_add(doubles a, doubles b)
{
    doubles c;
    for (int k = 0; k < 4; k++) {
        c.part[k] = _mm256_add_pd(a.part[k], b.part[k]);
    }
    return c;
}
static inline doubles doubles_sub(doubles a, doubles b)
{
    doubles c;
    for (int k = 0; k < 4; k++) {
        c.part[k] = _mm256_sub_pd(a.part[k], b.part[k]);
    }
    return c;
}
static inline doubles doubles_mul(doubles a, doubles b)
{
    doubles c;
    for (int k = 0; k < 4; k++) {
        c.part[k] = _mm256_mul_pd(a.part[k], b.part[k]);
    }
    return c;
}
static inline doubles doubles_max(doubles a, doubles b)
{
    doubles c;
    for (int k = 0; k < 4; k++) {
        c.part[k] = _mm256_max_pd(a.part[k], b.part[k]);
    }
    return c;
}

#endif

#endif
