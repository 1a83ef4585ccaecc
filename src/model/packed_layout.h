/* packed_layout.h - the bytes of packed journeys; included by packed.c and packed_write.c only. All
 * numbers are little-endian; nothing is aligned.
 *
 *   body      u8 format, then for a profile   u16 length, id, consent (26 bytes)
 *                        for another period   i32 first day of the half-year
 *             sections until the end, ordered by (rank, source)
 *   section   u8 source, u8 flags, u8 columns, u16 events, u32 bytes that follow
 *             u16 per column: attribute (12 bits), encoding (4 bits)
 *             u16 day per event unless undated, u32 second per event if SECTION_SECONDS,
 *             u32 topics per event if SECTION_TOPICS, then the columns' values
 *
 * A column is one value (ENCODING_CONSTANT) or one per event, of the first type in enum value_type
 * that holds all of them bit by bit. Each type gives up one value to mean missing, which costs less
 * than a bitmap and keeps decoding free of branches.
 */
#ifndef CVM_MODEL_PACKED_LAYOUT_H
#define CVM_MODEL_PACKED_LAYOUT_H

#include "model/packed.h"

enum { FORMAT_PROFILE = 0x10, FORMAT_DATED = 0x11 };
enum { SECTION_DATED = 1, SECTION_SECONDS = 2, SECTION_TOPICS = 4, SECTION_FLAGS = 7 };
enum { SECTION_HEADER_BYTES = 9, CONSENT_BYTES = 26, SOURCES_MAX = 64, SECONDS_OF_DAY = 86400 };
enum { FIRST_DAY_LIMIT = 1 << 22 }; /* either way; far more than the calendar's 1900 to 2199 */
enum { ENCODING_TYPE = 7, ENCODING_CONSTANT = 8, ENCODING_SHIFT = 12 };

/* Smallest first. MYRIAD is ten-thousandths, so that a probability such as 0.0873 takes two bytes.
 */
enum value_type {
    TYPE_INT8,
    TYPE_INT16,
    TYPE_CENT16,   /* n / 100.0 */
    TYPE_MYRIAD16, /* n / 10000.0 */
    TYPE_CENT32,
    TYPE_FLOAT,
    TYPE_DOUBLE,
    TYPE_COUNT
};

static const uint8_t type_bytes[TYPE_COUNT + 1] = {1, 2, 2, 2, 4, 4, 8, 0};

/* The types that are whole numbers: value = n / scale, |n| <= limit, and -limit - 1 is missing. */
static const double type_scale[] = {1, 1, 100, 10000, 100};
static const int64_t type_limit[] = {INT8_MAX, INT16_MAX, INT16_MAX, INT16_MAX, INT32_MAX};

static inline uint16_t read_u16(const unsigned char *p)
{
    return (uint16_t)(p[0] | (p[1] << 8));
}

static inline uint32_t read_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}

static inline uint64_t read_u64(const unsigned char *p)
{
    return (uint64_t)read_u32(p) | ((uint64_t)read_u32(p + 4) << 32);
}

static inline void write_u16(unsigned char *p, uint32_t value)
{
    p[0] = (unsigned char)value;
    p[1] = (unsigned char)(value >> 8);
}

static inline void write_u32(unsigned char *p, uint32_t value)
{
    write_u16(p, value);
    write_u16(p + 2, value >> 16);
}

static inline void write_u64(unsigned char *p, uint64_t value)
{
    write_u32(p, (uint32_t)value);
    write_u32(p + 4, (uint32_t)(value >> 32));
}

/* False if a value is impossible; *out_consent is filled all the same. */
bool cvm_packed_read_consent(const unsigned char *p, struct cvm_consent *out_consent);

#endif
