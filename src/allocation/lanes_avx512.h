/* lanes_avx512.h - the sixteen lanes of lanes.h as one AVX-512 register. */
#ifndef CVM_ALLOCATION_LANES_AVX512_H
#define CVM_ALLOCATION_LANES_AVX512_H

#if defined(__AVX512F__)

#include <stddef.h>
#include <stdint.h>

#include <immintrin.h>

typedef __m512 floats;
typedef __m512i ints;
typedef __mmask16 mask;

static inline floats floats_load(const float *from)
{
    return _mm512_loadu_ps(from);
}
static inline void floats_store(float *to, floats a)
{
    _mm512_storeu_ps(to, a);
}
static inline floats floats_all(float a)
{
    return _mm512_set1_ps(a);
}
static inline floats floats_add(floats a, floats b)
{
    return _mm512_add_ps(a, b);
}
static inline floats floats_sub(floats a, floats b)
{
    return _mm512_sub_ps(a, b);
}
static inline floats floats_mul(floats a, floats b)
{
    return _mm512_mul_ps(a, b);
}
/* a > b ? a : b */
static inline floats floats_max(floats a, floats b)
{
    return _mm512_max_ps(a, b);
}
static inline floats floats_truncate(floats a)
{
    return _mm512_cvtepi32_ps(_mm512_cvttps_epi32(a));
}
static inline mask floats_above(floats a, floats b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
/* where ? a : b */
static inline floats floats_pick(mask where, floats a, floats b)
{
    return _mm512_mask_blend_ps(where, b, a);
}
static inline ints ints_all(int32_t a)
{
    return _mm512_set1_epi32(a);
}
static inline ints ints_pick(mask where, ints a, ints b)
{
    return _mm512_mask_blend_epi32(where, b, a);
}
static inline void ints_store_bytes(unsigned char *to, ints a)
{
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtepi32_epi8(a));
}
static inline uint32_t mask_bits(mask where)
{
    return where;
}
/* Doubles rounded to floats. */
static inline floats floats_of_doubles(const double *from)
{
    __m256 low = _mm512_cvtpd_ps(_mm512_loadu_pd(from));
    __m256 high = _mm512_cvtpd_ps(_mm512_loadu_pd(from + 8));
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}
/* Sixteen sums in double, kept apart. */
static inline void doubles_add_floats(double *sums, floats a)
{
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
    __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
    _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), low));
    _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), high));
}
/* table[classes[i]]; up to 16 classes stand in one register. */
static inline floats floats_look_up(const float *table, size_t class_count, ints classes)
{
    if (class_count <= 16) {
        return _mm512_permutexvar_ps(classes, _mm512_loadu_ps(table));
    }
    if (class_count <= 32) {
        return _mm512_permutex2var_ps(_mm512_loadu_ps(table), classes, _mm512_loadu_ps(table + 16));
    }
    return _mm512_i32gather_ps(classes, table, 4);
}
static inline ints ints_of_shorts(const uint16_t *from)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

typedef struct {
    __m512d low, high;
} doubles;

static inline doubles doubles_load(const double *from)
{
    return (doubles){_mm512_loadu_pd(from), _mm512_loadu_pd(from + 8)};
}
static inline doubles doubles_of_floats(const float *from)
{
    return (doubles){_mm512_cvtps_pd(_mm256_loadu_ps(from)),
                     _mm512_cvtps_pd(_mm256_loadu_ps(from + 8))};
}
static inline void doubles_store(double *to, doubles a)
{
    _mm512_storeu_pd(to, a.low);
    _mm512_storeu_pd(to + 8, a.high);
}
static inline doubles doubles_all(double a)
{
    return (doubles){_mm512_set1_pd(a), _mm512_set1_pd(a)};
}
static inline doubles doubles_add(doubles a, doubles b)
{
    return (doubles){_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)};
}
static inline doubles doubles_sub(doubles a, doubles b)
{
    return (doubles){_mm512_sub_pd(a.low, b.low), _mm512_sub_pd(a.high, b.high)};
}
static inline doubles doubles_mul(doubles a, doubles b)
{
    return (doubles){_mm512_mul_pd(a.low, b.low), _mm512_mul_pd(a.high, b.high)};
}
static inline doubles doubles_max(doubles a, doubles b)
{
    return (doubles){_mm512_max_pd(a.low, b.low), _mm512_max_pd(a.high, b.high)};
}

#endif

#endif
