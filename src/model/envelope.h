/* envelope.h - a message between agents: what is to be done, for whom, until when; never customers,
 * but for an EVENT, which brings what happened to them.
 *
 * A message names work. What it is about (features, values, decisions) is in the store, the payload
 * is references to it. The struct borrows all its texts: from whoever fills it, or, when it was
 * decoded, from the bytes it was decoded from.
 */
#ifndef CVM_MODEL_ENVELOPE_H
#define CVM_MODEL_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct cvm_random;

/* X(name, number on the wire). Numbers stay: a program of last week reads them too. */
#define CVM_MESSAGE_TYPE_TABLE(X)                                                                  \
    X(CUSTOMER_DATA_REQUEST, 1)                                                                    \
    X(CUSTOMER_DATA_RESPONSE, 2)                                                                   \
    X(TRIGGER_REQUEST, 3)                                                                          \
    X(TRIGGER_RESPONSE, 4)                                                                         \
    X(JOURNEY_REQUEST, 5)                                                                          \
    X(JOURNEY_RESPONSE, 6)                                                                         \
    X(TREATMENT_REQUEST, 7)                                                                        \
    X(TREATMENT_RESPONSE, 8)                                                                       \
    X(ALLOCATION_REQUEST, 9)                                                                       \
    X(ALLOCATION_RESPONSE, 10)                                                                     \
    X(ORCHESTRATION_REQUEST, 11)                                                                   \
    X(ORCHESTRATION_RESPONSE, 12)                                                                  \
    X(EVALUATION_REQUEST, 13)                                                                      \
    X(EVALUATION_RESPONSE, 14)                                                                     \
    X(EVENT, 15)                                                                                   \
    X(OUTCOME, 16)

enum cvm_message_type {
    CVM_MESSAGE_NONE = 0, /* ends lists; never sent */
#define X(name, number) CVM_MESSAGE_##name = (number),
    CVM_MESSAGE_TYPE_TABLE(X)
#undef X
};

/* "TREATMENT_REQUEST", or NULL for a number that is none. */
const char *cvm_message_type_name(enum cvm_message_type type);
/* CVM_MESSAGE_NONE when there is none of this name. */
enum cvm_message_type cvm_message_type_parse(const char *name, size_t length);

/* UUIDv7: ids made later sort later (to the millisecond). All zero = none. */
struct cvm_message_id {
    unsigned char bytes[16];
};
struct cvm_message_id cvm_message_id_make(int64_t now_ms, struct cvm_random *random);
bool cvm_message_id_is_none(const struct cvm_message_id *id);
#define CVM_MESSAGE_ID_TEXT_SIZE 37
void cvm_message_id_format(const struct cvm_message_id *id, char text[CVM_MESSAGE_ID_TEXT_SIZE]);

enum cvm_priority { CVM_PRIORITY_NORMAL, CVM_PRIORITY_HIGH, CVM_PRIORITY_COUNT };

#define CVM_SHARD_NONE            UINT32_MAX
#define CVM_ENVELOPE_HOPS_MAX     16 /* a longer chain is a loop */
#define CVM_ENVELOPE_TEXT_MAX     64
#define CVM_ENVELOPE_REPLY_MAX    128
#define CVM_ENVELOPE_TRACE_LENGTH 55 /* of a W3C traceparent */
#define CVM_ENVELOPE_PAYLOAD_MAX  ((size_t)256 << 10)

struct cvm_envelope {
    struct cvm_message_id id; /* the receiver's inbox knows it by this: a message that is sent again
                                 keeps it */
    enum cvm_message_type type;
    uint16_t schema_version; /* of the payload, from 1 */
    uint8_t hop;             /* how many messages it is away from the first of its chain */
    enum cvm_priority priority;
    uint32_t attempt; /* of the sender, from 1: how often this work has been asked for */
    uint32_t shard;   /* or CVM_SHARD_NONE */
    uint64_t epoch;   /* the lease under which it was sent */
    uint64_t sender_incarnation;
    struct cvm_message_id correlation_id; /* of the request that a response answers */
    struct cvm_message_id causation_id;   /* of the message that made the sender send this one */
    unsigned char idempotency_key[32];    /* the same work has the same key, whoever asks for it */
    int64_t created_ms;
    int64_t not_before_ms; /* 0 = at once */
    int64_t deadline_ms;   /* 0 = none */
    /* Printable ASCII without blanks; run_id to sender at most CVM_ENVELOPE_TEXT_MAX long. */
    struct cvm_slice run_id;
    struct cvm_slice workflow_id;
    struct cvm_slice step;
    struct cvm_slice sender;
    struct cvm_slice reply_to;    /* a queue; "" = no answer is wanted */
    struct cvm_slice traceparent; /* "" or CVM_ENVELOPE_TRACE_LENGTH long */
    struct cvm_slice payload;     /* any bytes; JSON of references by custom */
};

#define CVM_ENVELOPE_HEAD_BYTES 168
#define CVM_ENVELOPE_BYTES_MAX                                                                     \
    (CVM_ENVELOPE_HEAD_BYTES + 4 * CVM_ENVELOPE_TEXT_MAX + CVM_ENVELOPE_REPLY_MAX +                \
     CVM_ENVELOPE_TRACE_LENGTH + CVM_ENVELOPE_PAYLOAD_MAX)

/* May it be sent? CVM_E_INVALID names the field, CVM_E_LIMIT is a payload or a chain too long. */
CVM_MUST_CHECK enum cvm_status cvm_envelope_check(const struct cvm_envelope *envelope,
                                                  struct cvm_error *err);
/* How many bytes one that may be sent takes. */
size_t cvm_envelope_bytes(const struct cvm_envelope *envelope);
/* Write one that may be sent into that many bytes. */
void cvm_envelope_encode(const struct cvm_envelope *envelope, unsigned char *bytes);

/* Strict: CVM_E_CORRUPT for bytes that were cut, added to or changed, or are none of ours;
 * CVM_E_INVALID for a version or type that this program does not know and for fields that no sender
 * may send; CVM_E_LIMIT as above. The texts of *out_envelope lie in `bytes`. */
CVM_MUST_CHECK enum cvm_status cvm_envelope_decode(const void *bytes, size_t length,
                                                   struct cvm_envelope *out_envelope,
                                                   struct cvm_error *err);

#endif
