/* envelope.c - the bytes of a message: a fixed head, the texts, the payload; all numbers
 * little-endian.
 *
 *     0 magic u32         4 version u16     6 zero u16        8 length u32     12 payload u32
 *    16 check u64        24 id             40 correlation    56 causation      72 key, 32 bytes
 *   104 incarnation u64 112 epoch u64     120 created i64   128 not before    136 deadline
 *   144 shard u32       148 attempt u32   152 type u16      154 schema u16    156 hop u8
 *   157 priority u8     158 lengths u8 x 6                  164 zero u32
 */
#include "model/envelope.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/random.h"

#define MAGIC   0x454D5643U /* "CVME" */
#define VERSION 1

enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_FLAGS = 6,
    AT_LENGTH = 8,
    AT_PAYLOAD = 12,
    AT_CHECK = 16,
    AT_ID = 24,
    AT_CORRELATION = 40,
    AT_CAUSATION = 56,
    AT_KEY = 72,
    AT_INCARNATION = 104,
    AT_EPOCH = 112,
    AT_CREATED = 120,
    AT_NOT_BEFORE = 128,
    AT_DEADLINE = 136,
    AT_SHARD = 144,
    AT_ATTEMPT = 148,
    AT_TYPE = 152,
    AT_SCHEMA = 154,
    AT_HOP = 156,
    AT_PRIORITY = 157,
    AT_LENGTHS = 158,
    AT_ZERO = 164,
    AT_TEXTS = CVM_ENVELOPE_HEAD_BYTES,
};

static const struct text_field {
    const char *name;
    size_t offset;
    size_t length_max;
} text_fields[] = {
#define TEXT_FIELD(member, max)                                                                    \
    {                                                                                              \
#member, offsetof(struct cvm_envelope, member), (max)                                      \
    }
    TEXT_FIELD(run_id, CVM_ENVELOPE_TEXT_MAX),
    TEXT_FIELD(workflow_id, CVM_ENVELOPE_TEXT_MAX),
    TEXT_FIELD(step, CVM_ENVELOPE_TEXT_MAX),
    TEXT_FIELD(sender, CVM_ENVELOPE_TEXT_MAX),
    TEXT_FIELD(reply_to, CVM_ENVELOPE_REPLY_MAX),
    TEXT_FIELD(traceparent, CVM_ENVELOPE_TRACE_LENGTH),
#undef TEXT_FIELD
};
#define TEXT_COUNT (sizeof(text_fields) / sizeof(text_fields[0]))

/* ---- types ---- */

static const struct type_name {
    enum cvm_message_type type;
    const char *name;
} type_names[] = {
#define X(name, number) {CVM_MESSAGE_##name, #name},
    CVM_MESSAGE_TYPE_TABLE(X)
#undef X
};
#define TYPE_COUNT (sizeof(type_names) / sizeof(type_names[0]))

const char *cvm_message_type_name(enum cvm_message_type type)
{
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (type_names[i].type == type) {
            return type_names[i].name;
        }
    }
    return NULL;
}

enum cvm_message_type cvm_message_type_parse(const char *name, size_t length)
{
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (cvm_slice_equals((struct cvm_slice){name, length}, type_names[i].name)) {
            return type_names[i].type;
        }
    }
    return CVM_MESSAGE_NONE;
}

/* ---- ids ---- */

/* RFC 9562, 5.7: 48 bits of time, version 7, variant 2, the rest random. */
struct cvm_message_id cvm_message_id_make(int64_t now_ms, struct cvm_random *random)
{
    struct cvm_message_id id;
    uint64_t head = htobe64((uint64_t)now_ms << 16 | 0x7000U | (cvm_random_u64(random) & 0xFFFU));
    uint64_t tail =
        htobe64((uint64_t)1 << 63 | (cvm_random_u64(random) & (((uint64_t)1 << 62) - 1)));
    memcpy(id.bytes, &head, sizeof(head));
    memcpy(id.bytes + 8, &tail, sizeof(tail));
    return id;
}

bool cvm_message_id_is_none(const struct cvm_message_id *id)
{
    static const struct cvm_message_id none;
    return memcmp(id, &none, sizeof(none)) == 0;
}

void cvm_message_id_format(const struct cvm_message_id *id, char text[CVM_MESSAGE_ID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *to = text;
    for (size_t i = 0; i < sizeof(id->bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *to++ = '-';
        }
        *to++ = digits[id->bytes[i] >> 4];
        *to++ = digits[id->bytes[i] & 15];
    }
    *to = '\0';
}

/* ---- checks ---- */

static struct cvm_slice *text_at(struct cvm_envelope *envelope, size_t i)
{
    return (struct cvm_slice *)(void *)((char *)envelope + text_fields[i].offset);
}

static const struct cvm_slice *text_of(const struct cvm_envelope *envelope, size_t i)
{
    return (const struct cvm_slice *)(const void *)((const char *)envelope + text_fields[i].offset);
}

/* Eight at once, bytes below '!' or above '~' show in the highest bit: a message has half a dozen
 * texts and a process millions of messages. */
static bool is_printable(struct cvm_slice text)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t i = 0;
    for (; i + 8 <= text.length; i += 8) {
        uint64_t word;
        memcpy(&word, text.data + i, sizeof(word));
        uint64_t too_low = (word | ones << 7) - ones * 0x21; /* high bit stays where byte >= '!' */
        uint64_t too_high = (word & ~(ones << 7)) + ones;    /* high bit is set where it is DEL */
        if ((~too_low | too_high | word) & ones << 7) {
            return false;
        }
    }
    for (; i < text.length; i++) {
        if (text.data[i] < 0x21 || text.data[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

static enum cvm_status check_texts(const struct cvm_envelope *envelope, struct cvm_error *err)
{
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const struct cvm_slice *text = text_of(envelope, i);
        if (text->length > text_fields[i].length_max) {
            return CVM_FAIL(err, CVM_E_INVALID, "message: %s has %zu characters, at most %zu",
                            text_fields[i].name, text->length, text_fields[i].length_max);
        }
        if (!is_printable(*text)) {
            return CVM_FAIL(err, CVM_E_INVALID,
                            "message: %s holds a blank or what is no printable ASCII",
                            text_fields[i].name);
        }
    }
    if (envelope->traceparent.length != 0 &&
        envelope->traceparent.length != CVM_ENVELOPE_TRACE_LENGTH) {
        return CVM_FAIL(err, CVM_E_INVALID, "message: traceparent has %zu characters instead of %d",
                        envelope->traceparent.length, CVM_ENVELOPE_TRACE_LENGTH);
    }
    return CVM_OK;
}

enum cvm_status cvm_envelope_check(const struct cvm_envelope *envelope, struct cvm_error *err)
{
    if (cvm_message_type_name(envelope->type) == NULL) {
        return CVM_FAIL(err, CVM_E_INVALID, "message: there is no type %d", (int)envelope->type);
    }
    if (cvm_message_id_is_none(&envelope->id)) {
        return CVM_FAIL(err, CVM_E_INVALID, "message: it has no id");
    }
    if (envelope->hop > CVM_ENVELOPE_HOPS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "message: hop %d, at most %d: the chain runs in a circle",
                        envelope->hop, CVM_ENVELOPE_HOPS_MAX);
    }
    if ((unsigned)envelope->priority >= CVM_PRIORITY_COUNT) {
        return CVM_FAIL(err, CVM_E_INVALID, "message: there is no priority %d",
                        (int)envelope->priority);
    }
    if (envelope->schema_version == 0 || envelope->attempt == 0) {
        return CVM_FAIL(err, CVM_E_INVALID, "message: %s counts from 1",
                        envelope->attempt == 0 ? "attempt" : "schema_version");
    }
    if (envelope->payload.length > CVM_ENVELOPE_PAYLOAD_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "message: a payload of %zu bytes, at most %zu",
                        envelope->payload.length, CVM_ENVELOPE_PAYLOAD_MAX);
    }
    return check_texts(envelope, err);
}

/* ---- bytes ---- */

static void put_u16(unsigned char *at, uint16_t value)
{
    value = htole16(value);
    memcpy(at, &value, sizeof(value));
}

static void put_u32(unsigned char *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof(value));
}

static void put_u64(unsigned char *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof(value));
}

static uint16_t get_u16(const unsigned char *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return le16toh(value);
}

static uint32_t get_u32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return le32toh(value);
}

static uint64_t get_u64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

/* Of everything but itself. */
static uint64_t check_of(const unsigned char *bytes, size_t length)
{
    uint64_t head = cvm_hash_mix(get_u64(bytes), get_u64(bytes + 8));
    return cvm_hash_seeded(bytes + AT_ID, length - AT_ID, head);
}

size_t cvm_envelope_bytes(const struct cvm_envelope *envelope)
{
    size_t length = AT_TEXTS + envelope->payload.length;
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        length += text_of(envelope, i)->length;
    }
    return length;
}

static unsigned char *put_slice(unsigned char *to, struct cvm_slice slice)
{
    if (slice.length > 0) {
        memcpy(to, slice.data, slice.length);
    }
    return to + slice.length;
}

void cvm_envelope_encode(const struct cvm_envelope *envelope, unsigned char *bytes)
{
    unsigned char *to = bytes + AT_TEXTS;
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        struct cvm_slice text = *text_of(envelope, i);
        bytes[AT_LENGTHS + i] = (unsigned char)text.length;
        to = put_slice(to, text);
    }
    to = put_slice(to, envelope->payload);
    size_t length = (size_t)(to - bytes);
    assert(length <= CVM_ENVELOPE_BYTES_MAX);
    put_u32(bytes + AT_MAGIC, MAGIC);
    put_u16(bytes + AT_VERSION, VERSION);
    put_u16(bytes + AT_FLAGS, 0);
    put_u32(bytes + AT_LENGTH, (uint32_t)length);
    put_u32(bytes + AT_PAYLOAD, (uint32_t)envelope->payload.length);
    memcpy(bytes + AT_ID, &envelope->id, sizeof(envelope->id));
    memcpy(bytes + AT_CORRELATION, &envelope->correlation_id, sizeof(envelope->correlation_id));
    memcpy(bytes + AT_CAUSATION, &envelope->causation_id, sizeof(envelope->causation_id));
    memcpy(bytes + AT_KEY, envelope->idempotency_key, sizeof(envelope->idempotency_key));
    put_u64(bytes + AT_INCARNATION, envelope->sender_incarnation);
    put_u64(bytes + AT_EPOCH, envelope->epoch);
    put_u64(bytes + AT_CREATED, (uint64_t)envelope->created_ms);
    put_u64(bytes + AT_NOT_BEFORE, (uint64_t)envelope->not_before_ms);
    put_u64(bytes + AT_DEADLINE, (uint64_t)envelope->deadline_ms);
    put_u32(bytes + AT_SHARD, envelope->shard);
    put_u32(bytes + AT_ATTEMPT, envelope->attempt);
    put_u16(bytes + AT_TYPE, (uint16_t)envelope->type);
    put_u16(bytes + AT_SCHEMA, envelope->schema_version);
    bytes[AT_HOP] = envelope->hop;
    bytes[AT_PRIORITY] = (unsigned char)envelope->priority;
    put_u32(bytes + AT_ZERO, 0);
    put_u64(bytes + AT_CHECK, check_of(bytes, length));
}

static enum cvm_status check_bytes(const unsigned char *bytes, size_t length, struct cvm_error *err)
{
    if (length < 8 || get_u32(bytes + AT_MAGIC) != MAGIC) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "these %zu bytes are no message of ours", length);
    }
    if (get_u16(bytes + AT_VERSION) != VERSION) {
        return CVM_FAIL(err, CVM_E_INVALID, "message: version %d, this program knows %d",
                        get_u16(bytes + AT_VERSION), VERSION);
    }
    if (length > CVM_ENVELOPE_BYTES_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "message: %zu bytes, at most %zu", length,
                        CVM_ENVELOPE_BYTES_MAX);
    }
    if (length < AT_TEXTS || get_u32(bytes + AT_LENGTH) > length) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "message: cut off after %zu bytes", length);
    }
    if (get_u32(bytes + AT_LENGTH) < length) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "message: %zu bytes too many",
                        length - get_u32(bytes + AT_LENGTH));
    }
    if (get_u64(bytes + AT_CHECK) != check_of(bytes, length)) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "message: its check does not match: it was changed");
    }
    size_t sum = AT_TEXTS + (size_t)get_u32(bytes + AT_PAYLOAD);
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        sum += bytes[AT_LENGTHS + i];
    }
    if (sum != length || get_u16(bytes + AT_FLAGS) != 0 || get_u32(bytes + AT_ZERO) != 0) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "message: its parts do not make up its length");
    }
    return CVM_OK;
}

static void read_fields(const unsigned char *bytes, struct cvm_envelope *envelope)
{
    const char *text = (const char *)bytes + AT_TEXTS;
    *envelope = (struct cvm_envelope){
        .type = (enum cvm_message_type)get_u16(bytes + AT_TYPE),
        .schema_version = get_u16(bytes + AT_SCHEMA),
        .hop = bytes[AT_HOP],
        .priority = (enum cvm_priority)bytes[AT_PRIORITY],
        .attempt = get_u32(bytes + AT_ATTEMPT),
        .shard = get_u32(bytes + AT_SHARD),
        .epoch = get_u64(bytes + AT_EPOCH),
        .sender_incarnation = get_u64(bytes + AT_INCARNATION),
        .created_ms = (int64_t)get_u64(bytes + AT_CREATED),
        .not_before_ms = (int64_t)get_u64(bytes + AT_NOT_BEFORE),
        .deadline_ms = (int64_t)get_u64(bytes + AT_DEADLINE),
    };
    memcpy(&envelope->id, bytes + AT_ID, sizeof(envelope->id));
    memcpy(&envelope->correlation_id, bytes + AT_CORRELATION, sizeof(envelope->correlation_id));
    memcpy(&envelope->causation_id, bytes + AT_CAUSATION, sizeof(envelope->causation_id));
    memcpy(envelope->idempotency_key, bytes + AT_KEY, sizeof(envelope->idempotency_key));
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        *text_at(envelope, i) = (struct cvm_slice){text, bytes[AT_LENGTHS + i]};
        text += bytes[AT_LENGTHS + i];
    }
    envelope->payload = (struct cvm_slice){text, get_u32(bytes + AT_PAYLOAD)};
}

enum cvm_status cvm_envelope_decode(const void *bytes, size_t length,
                                    struct cvm_envelope *out_envelope, struct cvm_error *err)
{
    struct cvm_envelope envelope;
    enum cvm_status status = check_bytes(bytes, length, err);
    if (status != CVM_OK) {
        return status;
    }
    read_fields(bytes, &envelope);
    status = cvm_envelope_check(&envelope, err);
    if (status == CVM_OK) {
        *out_envelope = envelope;
    }
    return status;
}
