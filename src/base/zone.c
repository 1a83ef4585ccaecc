/* A loaded zone is one sorted list of spans, each with its offset. The rule that a file ends with
 * is written out at loading for 400 years more than the file's own transitions; later moments are
 * moved back by whole Gregorian cycles of 400 years, in which the calendar repeats. */
#include "base/zone.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/date.h"
#include "base/zone_rule.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define CYCLE_S        ((int64_t)146097 * 86400)
#define CYCLE_YEARS    400
#define OFFSET_MIN_S   (-89999) /* RFC 8536, 3.2 */
#define OFFSET_MAX_S   93599
#define TIME_MAX_S     ((int64_t)253402300799) /* the end of the year 9999 */
#define RULE_YEAR_MIN  1800
#define RULE_SPANS_MAX 2048
#define FOLDER_DEFAULT "/usr/share/zoneinfo"

struct span {
    int64_t start_s; /* until the start of the next */
    int32_t offset_s;
};

struct cvm_zone {
    bool repeats; /* a rule goes on after the last span */
    size_t count; /* at least one; spans[0] starts at INT64_MIN */
    struct span spans[];
};

struct header {
    char version;
    size_t is_ut_count;
    size_t is_std_count;
    size_t leap_count;
    size_t time_count;
    size_t type_count;
    size_t char_count;
};

struct reader {
    const unsigned char *at;
    size_t left;
};

/* The next `bytes`, or NULL if there are not that many. */
static const unsigned char *take(struct reader *reader, size_t bytes)
{
    const unsigned char *at = reader->at;
    if (reader->left < bytes) {
        return NULL;
    }
    reader->at += bytes;
    reader->left -= bytes;
    return at;
}

static int64_t big_endian(const unsigned char *bytes, size_t size)
{
    uint64_t value = (bytes[0] & 0x80) != 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | bytes[i];
    }
    return (int64_t)value;
}

static bool read_header(struct reader *reader, struct header *out)
{
    const unsigned char *bytes = take(reader, 44);
    if (bytes == NULL || memcmp(bytes, "TZif", 4) != 0) {
        return false;
    }
    size_t counts[6];
    for (size_t i = 0; i < 6; i++) {
        counts[i] = (uint32_t)big_endian(bytes + 20 + i * 4, 4);
    }
    *out = (struct header){
        .version = (char)bytes[4],
        .is_ut_count = counts[0],
        .is_std_count = counts[1],
        .leap_count = counts[2],
        .time_count = counts[3],
        .type_count = counts[4],
        .char_count = counts[5],
    };
    return out->version == '\0' || (out->version >= '2' && out->version <= '9');
}

/* The arrays of one data block; `time_size` is 4 in the first block, 8 in the second. */
struct block {
    const unsigned char *times;
    const unsigned char *indexes;
    const unsigned char *types;
    const unsigned char *leaps;
    size_t time_size;
    struct header header;
};

static bool read_block(struct reader *reader, const struct header *header, size_t time_size,
                       struct block *out)
{
    struct block block = {.time_size = time_size, .header = *header};
    const unsigned char *names = NULL;
    bool is_whole = (block.times = take(reader, header->time_count * time_size)) != NULL &&
                    (block.indexes = take(reader, header->time_count)) != NULL &&
                    (block.types = take(reader, header->type_count * 6)) != NULL &&
                    (names = take(reader, header->char_count)) != NULL &&
                    (block.leaps = take(reader, header->leap_count * (time_size + 4))) != NULL &&
                    take(reader, header->is_std_count) != NULL &&
                    take(reader, header->is_ut_count) != NULL;
    *out = block;
    return is_whole;
}

static bool are_types_valid(const struct block *block)
{
    const struct header *header = &block->header;
    if (header->type_count == 0 || header->type_count > 256 || header->char_count == 0) {
        return false;
    }
    for (size_t i = 0; i < header->type_count; i++) {
        const unsigned char *type = block->types + i * 6;
        int64_t offset = big_endian(type, 4);
        if (offset < OFFSET_MIN_S || offset > OFFSET_MAX_S || type[4] > 1 ||
            type[5] >= header->char_count) {
            return false;
        }
    }
    return true;
}

static int32_t offset_of_type(const struct block *block, size_t type)
{
    return (int32_t)big_endian(block->types + type * 6, 4);
}

/* Files of the "right/" family count leap seconds in their transition times; we never do. */
static int64_t without_leaps(const struct block *block, int64_t time)
{
    int64_t correction = 0;
    for (size_t i = 0; i < block->header.leap_count; i++) {
        const unsigned char *leap = block->leaps + i * (block->time_size + 4);
        if (big_endian(leap, block->time_size) > time) {
            break;
        }
        correction = big_endian(leap + block->time_size, 4);
    }
    return time - correction;
}

/* The file's own transitions; false if they are out of order or point nowhere. */
static bool add_transitions(struct cvm_zone *zone, const struct block *block)
{
    int64_t last = INT64_MIN;
    zone->spans[0] = (struct span){.start_s = INT64_MIN, .offset_s = offset_of_type(block, 0)};
    zone->count = 1;
    for (size_t i = 0; i < block->header.time_count; i++) {
        int64_t time = big_endian(block->times + i * block->time_size, block->time_size);
        size_t type = block->indexes[i];
        if (type >= block->header.type_count || time > TIME_MAX_S || (i > 0 && time <= last)) {
            return false;
        }
        last = time;
        if (time < -TIME_MAX_S) { /* "since the Big Bang": what counts is what comes after */
            zone->spans[0].offset_s = offset_of_type(block, type);
            continue;
        }
        time = without_leaps(block, time);
        if (zone->count > 1 && time <= zone->spans[zone->count - 1].start_s) {
            return false;
        }
        zone->spans[zone->count++] =
            (struct span){.start_s = time, .offset_s = offset_of_type(block, type)};
    }
    return true;
}

/* Put one transition of the rule in its place: turns come nearly sorted. Of two at the same moment
 * the later one in the calendar holds: daylight saving time all year is written so. */
static void add_turn(struct cvm_zone *zone, size_t fixed, int64_t time, int32_t offset_s)
{
    if (time <= zone->spans[fixed - 1].start_s) {
        return; /* the file's own transitions know better */
    }
    size_t at = zone->count;
    while (at > fixed && zone->spans[at - 1].start_s > time) {
        at--;
    }
    if (zone->spans[at - 1].start_s == time) {
        zone->spans[at - 1].offset_s = offset_s;
        return;
    }
    memmove(&zone->spans[at + 1], &zone->spans[at], (zone->count - at) * sizeof(struct span));
    zone->spans[at] = (struct span){.start_s = time, .offset_s = offset_s};
    zone->count++;
}

static void add_rule(struct cvm_zone *zone, const struct cvm_zone_rule *rule)
{
    size_t fixed = zone->count;
    if (!rule->has_dst) {
        if (fixed == 1) {
            zone->spans[0].offset_s = rule->std_offset_s;
        }
        return;
    }
    int32_t first = RULE_YEAR_MIN;
    if (fixed > 1 && zone->spans[fixed - 1].start_s > 0) {
        first = cvm_date_from_day((int32_t)(zone->spans[fixed - 1].start_s / 86400)).year - 1;
    }
    int32_t last = (first > 2000 ? first : 2000) + CYCLE_YEARS + 4;
    for (int32_t year = first; year <= last; year++) {
        add_turn(zone, fixed, cvm_zone_turn_time(&rule->start, year, rule->std_offset_s),
                 rule->dst_offset_s);
        add_turn(zone, fixed, cvm_zone_turn_time(&rule->end, year, rule->dst_offset_s),
                 rule->std_offset_s);
    }
    zone->repeats = true;
}

static bool read_footer(struct reader *reader, struct cvm_zone *zone)
{
    if (reader->left < 2 || reader->at[0] != '\n') {
        return false;
    }
    const char *text = (const char *)reader->at + 1;
    const char *end = memchr(text, '\n', reader->left - 1);
    if (end == NULL) {
        return false;
    }
    if (end == text) {
        return true; /* no rule: the last offset holds for ever */
    }
    struct cvm_zone_rule rule;
    if (!cvm_zone_rule_parse(text, (size_t)(end - text), &rule)) {
        return false;
    }
    add_rule(zone, &rule);
    return true;
}

enum cvm_status cvm_zone_parse(const void *bytes, size_t length, struct cvm_zone **out_zone,
                               struct cvm_error *err)
{
    struct reader reader = {.at = bytes, .left = length};
    struct header header;
    struct block block;
    if (!read_header(&reader, &header) || !read_block(&reader, &header, 4, &block)) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "not a whole time zone file");
    }
    bool has_footer = header.version != '\0';
    if (has_footer &&
        (!read_header(&reader, &header) || !read_block(&reader, &header, 8, &block))) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "the second half of the time zone file is damaged");
    }
    if (!are_types_valid(&block)) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "the time zone file has impossible offsets");
    }
    size_t spans = 1 + block.header.time_count + RULE_SPANS_MAX;
    struct cvm_zone *zone = calloc(1, sizeof(*zone) + spans * sizeof(struct span));
    if (zone == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a time zone");
    }
    enum cvm_status status = CVM_OK;
    if (!add_transitions(zone, &block)) {
        status = CVM_FAIL(err, CVM_E_CORRUPT, "the time zone file has impossible transitions");
    } else if (has_footer && !read_footer(&reader, zone)) {
        status = CVM_FAIL(err, CVM_E_CORRUPT, "the time zone file ends in no valid rule");
    }
    if (status != CVM_OK) {
        free(zone);
        return status;
    }
    struct cvm_zone *fitted = realloc(zone, sizeof(*zone) + zone->count * sizeof(struct span));
    *out_zone = fitted != NULL ? fitted : zone;
    return CVM_OK;
}

static enum cvm_status open_utc(struct cvm_zone **out_zone, struct cvm_error *err)
{
    struct cvm_zone *zone = calloc(1, sizeof(*zone) + sizeof(struct span));
    if (zone == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a time zone");
    }
    zone->count = 1;
    zone->spans[0].start_s = INT64_MIN;
    *out_zone = zone;
    return CVM_OK;
}

/* Letters, digits and "_+-" in names between single slashes: no dots, so nothing leads outside. */
static bool is_name_valid(const char *name)
{
    char before = '/';
    for (const char *at = name; *at != '\0'; at++) {
        bool is_word = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                       (*at >= '0' && *at <= '9') || *at == '_' || *at == '+' || *at == '-';
        if (!is_word && !(*at == '/' && before != '/')) {
            return false;
        }
        before = *at;
    }
    return before != '/' && strlen(name) < 128;
}

static int open_file(const char *name)
{
    char path[PATH_MAX];
    const char *folder = getenv("TZDIR");
    folder = folder == NULL || folder[0] == '\0' ? FOLDER_DEFAULT : folder;
    int length = snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return -1;
    }
    return open(path, O_RDONLY | O_CLOEXEC);
}

static enum cvm_status load(int fd, const char *name, struct cvm_zone **out_zone,
                            struct cvm_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "no time zone '%s'", name);
    }
    if ((uintmax_t)info.st_size > FILE_BYTES_MAX) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "the file of time zone '%s' is too large", name);
    }
    size_t size = (size_t)info.st_size;
    unsigned char *bytes = malloc(size + 1);
    if (bytes == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for time zone '%s'", name);
    }
    size_t used = 0;
    ssize_t count = 0;
    while (used < size && (count = read(fd, bytes + used, size - used)) != 0) {
        if (count < 0 && errno != EINTR) {
            free(bytes);
            return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot read time zone '%s'", name);
        }
        used += count > 0 ? (size_t)count : 0;
    }
    enum cvm_status status = cvm_zone_parse(bytes, used, out_zone, err);
    if (status != CVM_OK) {
        status = cvm_error_context(err, status, "load time zone '%s'", name);
    }
    free(bytes);
    return status;
}

enum cvm_status cvm_zone_open(const char *name, struct cvm_zone **out_zone, struct cvm_error *err)
{
    if (strcmp(name, "UTC") == 0) {
        return open_utc(out_zone, err);
    }
    int fd = is_name_valid(name) ? open_file(name) : -1;
    if (fd < 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "no time zone '%s'", name);
    }
    enum cvm_status status = load(fd, name, out_zone, err);
    (void)close(fd);
    return status;
}

void cvm_zone_close(struct cvm_zone *zone)
{
    free(zone);
}

/* How far to move a time back so that it lies among the spans. */
static int64_t cycles_beyond(const struct cvm_zone *zone, int64_t time)
{
    if (!zone->repeats) {
        return 0;
    }
    /* Two days early: cvm_zone_moment() looks at spans around its time. */
    int64_t limit = zone->spans[zone->count - 1].start_s - 2 * 86400;
    return time < limit ? 0 : ((time - limit) / CYCLE_S + 1) * CYCLE_S;
}

/* The last span that starts at or before `time`. */
static size_t find_span(const struct cvm_zone *zone, int64_t time)
{
    size_t low = 0;
    size_t high = zone->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (zone->spans[middle].start_s <= time) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static int64_t floor_divide(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

int32_t cvm_zone_offset_s(const struct cvm_zone *zone, int64_t moment_ms)
{
    assert(zone != NULL);
    int64_t time = floor_divide(moment_ms, 1000);
    time -= cycles_beyond(zone, time);
    return zone->spans[find_span(zone, time)].offset_s;
}

int32_t cvm_zone_day(const struct cvm_zone *zone, int64_t moment_ms)
{
    int64_t time = floor_divide(moment_ms, 1000) + cvm_zone_offset_s(zone, moment_ms);
    int64_t day = floor_divide(time, 86400);
    return day < INT32_MIN ? INT32_MIN : day > INT32_MAX ? INT32_MAX : (int32_t)day;
}

int64_t cvm_zone_moment(const struct cvm_zone *zone, int32_t day, int32_t second_of_day)
{
    assert(zone != NULL);
    int64_t local = (int64_t)day * 86400 + second_of_day;
    int64_t shift = cycles_beyond(zone, local);
    local -= shift;
    /* The first span that has not ended by that local time holds it, or begins after it (a gap). No
     * offset is larger than the margin. */
    size_t i = find_span(zone, local - OFFSET_MAX_S);
    while (i + 1 < zone->count && local - zone->spans[i].offset_s >= zone->spans[i + 1].start_s) {
        i++;
    }
    int64_t time = local - zone->spans[i].offset_s;
    time = time > zone->spans[i].start_s ? time : zone->spans[i].start_s;
    return (time + shift) * 1000;
}
