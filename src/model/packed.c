#include "model/packed.h"

#include "base/date.h"
#include "model/packed_layout.h"

#include <assert.h>
#include <math.h>
#include <string.h>

int32_t cvm_packed_period(int32_t day)
{
    if (day == CVM_DAY_NONE) {
        return CVM_PERIOD_PROFILE;
    }
    struct cvm_date date = cvm_date_from_day(day);
    return date.year * 2 + (date.month - 1) / 6;
}

int32_t cvm_packed_first_day(int32_t period)
{
    return cvm_day_from_date((struct cvm_date){period / 2, period % 2 * 6 + 1, 1});
}

static enum cvm_status corrupt(struct cvm_error *err, const char *what)
{
    return CVM_FAIL(err, CVM_E_CORRUPT, "packed journey: %s", what);
}

bool cvm_packed_read_consent(const unsigned char *p, struct cvm_consent *out_consent)
{
    struct cvm_consent consent;
    cvm_consent_init(&consent);
    consent.recorded = read_u32(p);
    consent.granted = read_u32(p + 4);
    consent.updated_day = (int32_t)read_u32(p + 8);
    consent.quiet_start_min = (int16_t)read_u16(p + 12);
    consent.quiet_end_min = (int16_t)read_u16(p + 14);
    consent.preferred_time = p[16];
    consent.has_record = p[17] == 1;
    memcpy(consent.language, p + 18, CVM_LANGUAGE_SIZE);
    *out_consent = consent;
    return (consent.granted & ~consent.recorded) == 0 && p[17] <= 1 &&
           consent.preferred_time <= CVM_TIME_BUSINESS_HOURS &&
           consent.quiet_start_min >= CVM_MINUTE_NONE && consent.quiet_start_min <= 24 * 60 &&
           consent.quiet_end_min >= CVM_MINUTE_NONE && consent.quiet_end_min <= 24 * 60 &&
           consent.language[CVM_LANGUAGE_SIZE - 1] == '\0';
}

static enum cvm_status open_profile(struct cvm_packed_reader *reader,
                                    struct cvm_packed_profile *out_profile, struct cvm_error *err)
{
    size_t left = (size_t)(reader->end - reader->at);
    size_t id_length = left < 2 ? 0 : read_u16(reader->at);
    if (id_length == 0 || left < 2 + id_length + CONSENT_BYTES) {
        return corrupt(err, "the profile is cut off");
    }
    struct cvm_packed_profile profile = {.customer_id = {(const char *)reader->at + 2, id_length}};
    if (memchr(profile.customer_id.data, '\0', id_length) != NULL ||
        !cvm_packed_read_consent(reader->at + 2 + id_length, &profile.consent)) {
        return corrupt(err, "the profile has impossible values");
    }
    reader->at += 2 + id_length + CONSENT_BYTES;
    reader->base_day = CVM_DAY_NONE;
    *out_profile = profile;
    return CVM_OK;
}

enum cvm_status cvm_packed_open(const void *body, size_t length, bool is_profile,
                                struct cvm_packed_reader *out_reader,
                                struct cvm_packed_profile *out_profile, struct cvm_error *err)
{
    const unsigned char *bytes = body;
    if (length == 0 || bytes[0] != (is_profile ? FORMAT_PROFILE : FORMAT_DATED)) {
        return corrupt(err, "unknown format");
    }
    struct cvm_packed_reader reader = {
        .at = bytes + 1, .end = bytes + length, .columns = UINT64_MAX};
    if (is_profile) {
        assert(out_profile != NULL);
        enum cvm_status status = open_profile(&reader, out_profile, err);
        if (status != CVM_OK) {
            return status;
        }
    } else {
        if (length < 5) {
            return corrupt(err, "the first day is cut off");
        }
        reader.base_day = (int32_t)read_u32(reader.at);
        if (reader.base_day < -FIRST_DAY_LIMIT || reader.base_day > FIRST_DAY_LIMIT) {
            return corrupt(err, "impossible first day");
        }
        reader.at += 4;
    }
    *out_reader = reader;
    return CVM_OK;
}

/* Days, seconds and topics; returns where the values begin, or NULL. */
static const unsigned char *read_moments(struct cvm_packed_section *section, uint32_t flags,
                                         const unsigned char *p, const unsigned char *end)
{
    size_t count = section->event_count;
    size_t need = count * ((flags & SECTION_DATED ? 2 : 0) + (flags & SECTION_SECONDS ? 4 : 0) +
                           (flags & SECTION_TOPICS ? 4 : 0));
    if (need > (size_t)(end - p)) {
        return NULL;
    }
    section->days = NULL;
    section->seconds = NULL;
    section->topics = NULL;
    if (flags & SECTION_DATED) {
        section->days = p;
        for (size_t i = 1; i < count; i++) {
            if (read_u16(p + 2 * i) < read_u16(p + 2 * i - 2)) {
                return NULL;
            }
        }
        p += 2 * count;
    }
    if (flags & SECTION_SECONDS) {
        section->seconds = p;
        p += 4 * count;
    }
    if (flags & SECTION_TOPICS) {
        section->topics = p;
        p += 4 * count;
    }
    return p;
}

static bool read_columns(struct cvm_packed_section *section, const unsigned char *descriptors,
                         uint32_t column_count, const unsigned char *p, const unsigned char *end)
{
    const size_t value_count[2] = {section->event_count, 1}; /* by ENCODING_CONSTANT */
    int32_t previous = -1;
    size_t left = (size_t)(end - p);
    for (uint32_t c = 0; c < column_count; c++) {
        uint32_t descriptor = read_u16(descriptors + 2 * c);
        uint32_t encoding = descriptor >> ENCODING_SHIFT;
        int32_t attribute = (int32_t)(descriptor & CVM_PACKED_ATTRIBUTE_MAX);
        size_t bytes =
            type_bytes[encoding & ENCODING_TYPE] * value_count[(encoding & ENCODING_CONSTANT) != 0];
        if (attribute <= previous || bytes == 0 || bytes > left) {
            return false;
        }
        struct cvm_packed_column *column = &section->columns[c];
        column->attribute = (uint16_t)attribute;
        column->encoding = (uint8_t)encoding;
        column->data = p;
        p += bytes;
        left -= bytes;
        previous = attribute;
    }
    section->column_count = column_count;
    return left == 0;
}

enum cvm_status cvm_packed_next(struct cvm_packed_reader *reader,
                                struct cvm_packed_section *out_section, struct cvm_error *err)
{
    const unsigned char *p = reader->at;
    size_t left = (size_t)(reader->end - p);
    if (left == 0) {
        return CVM_E_NOT_FOUND;
    }
    if (left < SECTION_HEADER_BYTES) {
        return corrupt(err, "a section is cut off");
    }
    uint32_t source = p[0];
    uint32_t flags = p[1];
    uint32_t column_count = p[2];
    uint32_t event_count = read_u16(p + 3);
    size_t length = read_u32(p + 5);
    bool is_dated = reader->base_day != CVM_DAY_NONE;
    if (source >= SOURCES_MAX || (flags & ~(uint32_t)SECTION_FLAGS) != 0 ||
        column_count > CVM_PACKED_COLUMNS_MAX || event_count == 0 ||
        length > left - SECTION_HEADER_BYTES || length < 2 * column_count ||
        is_dated != ((flags & SECTION_DATED) != 0) || (reader->seen >> source & 1) != 0) {
        return corrupt(err, "a section has impossible values");
    }
    p += SECTION_HEADER_BYTES;
    const unsigned char *end = p + length;
    out_section->source = (uint8_t)source;
    out_section->event_count = event_count;
    out_section->base_day = reader->base_day;
    const unsigned char *values = read_moments(out_section, flags, p + 2 * column_count, end);
    if (values == NULL) {
        return corrupt(err, "the days of a section are cut off or not in order");
    }
    if ((reader->columns >> source & 1) == 0) {
        out_section->column_count = 0;
    } else if (!read_columns(out_section, p, column_count, values, end)) {
        return corrupt(err, "the columns of a section are damaged");
    }
    reader->seen |= UINT64_C(1) << source;
    reader->at = end;
    return CVM_OK;
}

int32_t cvm_packed_day(const struct cvm_packed_section *section, uint32_t event)
{
    assert(event < section->event_count);
    return section->days == NULL ? CVM_DAY_NONE
                                 : section->base_day + read_u16(section->days + 2 * (size_t)event);
}

/* Whole numbers of all widths go one way, because a section of one or two events is the common case
 * and a mispredicted branch on its type costs more than the work. The eight bytes that end with a
 * value are in the body, whose head is longer than that, and a shift of them extends the sign. */
static void read_whole(enum value_type type, const unsigned char *p, size_t step, uint32_t count,
                       double *out_values)
{
    const unsigned shift = 64 - 8 * (unsigned)type_bytes[type];
    const int64_t missing = -type_limit[type] - 1;
    const double scale = type_scale[type];
    p = p + type_bytes[type] - 8;
    for (uint32_t i = 0; i < count; i++, p += step) {
        int64_t n = (int64_t)read_u64(p) >> shift;
        double value = (double)n / scale;
        out_values[i] = n == missing ? (double)NAN : value;
    }
}

static void read_floats(const unsigned char *p, size_t step, uint32_t count, double *out_values)
{
    for (uint32_t i = 0; i < count; i++, p += step) {
        uint32_t bits = read_u32(p);
        float value;
        memcpy(&value, &bits, sizeof(value));
        out_values[i] = value;
    }
}

static void read_doubles(const unsigned char *p, size_t step, uint32_t count, double *out_values)
{
    for (uint32_t i = 0; i < count; i++, p += step) {
        uint64_t bits = read_u64(p);
        memcpy(&out_values[i], &bits, sizeof(bits));
    }
}

void cvm_packed_values(const struct cvm_packed_column *column, uint32_t event_count, uint32_t from,
                       uint32_t to, double *out_values)
{
    assert(from <= to && to <= event_count);
    (void)event_count;
    enum value_type type = column->encoding & ENCODING_TYPE;
    size_t step = column->encoding & ENCODING_CONSTANT ? 0 : type_bytes[type];
    const unsigned char *p = column->data + from * step;
    if (type < TYPE_FLOAT) {
        read_whole(type, p, step, to - from, out_values);
    } else if (type == TYPE_FLOAT) {
        read_floats(p, step, to - from, out_values);
    } else {
        read_doubles(p, step, to - from, out_values);
    }
}

const struct cvm_packed_column *cvm_packed_column_of(const struct cvm_packed_section *section,
                                                     uint16_t attribute)
{
    for (uint32_t c = 0; c < section->column_count; c++) {
        if (section->columns[c].attribute == attribute) {
            return &section->columns[c];
        }
    }
    return NULL;
}
