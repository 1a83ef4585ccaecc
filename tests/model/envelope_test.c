/* envelope_test.c - what is encoded comes back; what is not exactly that is refused, with a reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/random.h"
#include "model/envelope.h"

#define NOW_MS INT64_C(1710930000000)

static struct cvm_slice slice(const char *text)
{
    return (struct cvm_slice){text, strlen(text)};
}

static struct cvm_envelope plain(void)
{
    struct cvm_random random;
    cvm_random_init(&random, 1);
    return (struct cvm_envelope){
        .id = cvm_message_id_make(NOW_MS, &random),
        .type = CVM_MESSAGE_TREATMENT_REQUEST,
        .schema_version = 1,
        .attempt = 1,
        .shard = 7,
        .created_ms = NOW_MS,
        .run_id = slice("run-1"),
        .step = slice("treatment"),
        .payload = slice("{\"block\":\"features/7\"}"),
    };
}

struct encoded {
    unsigned char *bytes; /* exact, so that reading past the end is seen */
    size_t length;
};

static struct encoded encode(const struct cvm_envelope *envelope)
{
    struct encoded encoded = {.length = cvm_envelope_bytes(envelope)};
    encoded.bytes = malloc(encoded.length);
    assert_non_null(encoded.bytes);
    cvm_envelope_encode(envelope, encoded.bytes);
    return encoded;
}

static void assert_refused(const void *bytes, size_t length, enum cvm_status wanted,
                           const char *words)
{
    struct cvm_error err = {.message = ""};
    struct cvm_envelope out = {.epoch = 77};
    enum cvm_status status = cvm_envelope_decode(bytes, length, &out, &err);
    if (status != wanted || strstr(err.message, words) == NULL) {
        fail_msg("%s: '%s', wanted %s: '%s'", cvm_status_name(status), err.message,
                 cvm_status_name(wanted), words);
    }
    assert_int_equal(out.epoch, 77);
}

static void random_bytes(struct cvm_random *random, void *to, size_t count)
{
    unsigned char *at = to;
    for (size_t i = 0; i < count; i++) {
        at[i] = (unsigned char)cvm_random_u64(random);
    }
}

static struct cvm_slice random_text(struct cvm_random *random, char *to, size_t max)
{
    size_t length = cvm_random_below(random, max + 1);
    for (size_t i = 0; i < length; i++) {
        to[i] = (char)(0x21 + cvm_random_below(random, 0x7f - 0x21));
    }
    return (struct cvm_slice){to, length};
}

static bool same(struct cvm_slice a, struct cvm_slice b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static void assert_same(const struct cvm_envelope *a, const struct cvm_envelope *b)
{
    assert_memory_equal(&a->id, &b->id, sizeof(a->id));
    assert_memory_equal(&a->correlation_id, &b->correlation_id, sizeof(a->id));
    assert_memory_equal(&a->causation_id, &b->causation_id, sizeof(a->id));
    assert_memory_equal(a->idempotency_key, b->idempotency_key, sizeof(a->idempotency_key));
    assert_true(a->type == b->type && a->schema_version == b->schema_version && a->hop == b->hop &&
                a->priority == b->priority && a->attempt == b->attempt && a->shard == b->shard &&
                a->epoch == b->epoch && a->sender_incarnation == b->sender_incarnation &&
                a->created_ms == b->created_ms && a->not_before_ms == b->not_before_ms &&
                a->deadline_ms == b->deadline_ms);
    assert_true(same(a->run_id, b->run_id) && same(a->workflow_id, b->workflow_id) &&
                same(a->step, b->step) && same(a->sender, b->sender) &&
                same(a->reply_to, b->reply_to) && same(a->traceparent, b->traceparent) &&
                same(a->payload, b->payload));
}

static void whatever_may_be_sent_comes_back_as_it_was(void **state)
{
    (void)state;
    static char texts[6][CVM_ENVELOPE_REPLY_MAX];
    static char payload[CVM_ENVELOPE_PAYLOAD_MAX];
    struct cvm_random random;
    cvm_random_init(&random, 20);
    random_bytes(&random, payload, sizeof(payload));
    for (int i = 0; i < 2000; i++) {
        struct cvm_envelope envelope;
        struct cvm_envelope back;
        random_bytes(&random, &envelope, offsetof(struct cvm_envelope, run_id));
        envelope.id = cvm_message_id_make(NOW_MS + i, &random);
        envelope.type = (enum cvm_message_type)(1 + cvm_random_below(&random, 16));
        envelope.schema_version |= 1;
        envelope.attempt |= 1;
        envelope.hop %= CVM_ENVELOPE_HOPS_MAX + 1;
        envelope.priority = (enum cvm_priority)cvm_random_below(&random, CVM_PRIORITY_COUNT);
        envelope.run_id = random_text(&random, texts[0], CVM_ENVELOPE_TEXT_MAX);
        envelope.workflow_id = random_text(&random, texts[1], CVM_ENVELOPE_TEXT_MAX);
        envelope.step = random_text(&random, texts[2], CVM_ENVELOPE_TEXT_MAX);
        envelope.sender = random_text(&random, texts[3], CVM_ENVELOPE_TEXT_MAX);
        envelope.reply_to = random_text(&random, texts[4], CVM_ENVELOPE_REPLY_MAX);
        envelope.traceparent = i % 2 == 0
                                   ? slice("")
                                   : slice("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"
                                           "01");
        envelope.payload =
            (struct cvm_slice){payload, i == 0 ? sizeof(payload) : cvm_random_below(&random, 1000)};
        assert_int_equal(cvm_envelope_check(&envelope, NULL), CVM_OK);
        struct encoded encoded = encode(&envelope);
        assert_int_equal(cvm_envelope_decode(encoded.bytes, encoded.length, &back, NULL), CVM_OK);
        assert_same(&envelope, &back);
        free(encoded.bytes);
    }
}

static void cut_anywhere_it_is_refused(void **state)
{
    (void)state;
    struct cvm_envelope envelope = plain();
    struct encoded encoded = encode(&envelope);
    for (size_t length = 0; length < encoded.length; length++) {
        unsigned char *cut = malloc(length == 0 ? 1 : length);
        assert_non_null(cut);
        memcpy(cut, encoded.bytes, length);
        assert_refused(cut, length, CVM_E_CORRUPT, length < 8 ? "no message of ours" : "cut off");
        free(cut);
    }
    free(encoded.bytes);
}

static void any_changed_bit_is_seen(void **state)
{
    (void)state;
    struct cvm_envelope envelope = plain();
    struct encoded encoded = encode(&envelope);
    for (size_t bit = 0; bit < 8 * encoded.length; bit++) {
        struct cvm_envelope out;
        encoded.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_int_not_equal(cvm_envelope_decode(encoded.bytes, encoded.length, &out, NULL),
                             CVM_OK);
        encoded.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    free(encoded.bytes);
}

static void each_refusal_has_its_reason(void **state)
{
    (void)state;
    struct cvm_envelope envelope = plain();
    struct encoded encoded = encode(&envelope);
    unsigned char *longer = malloc(encoded.length + 3);
    unsigned char *huge = calloc(1, CVM_ENVELOPE_BYTES_MAX + 1);
    assert_true(longer != NULL && huge != NULL);
    memcpy(longer, encoded.bytes, encoded.length);
    memset(longer + encoded.length, 0, 3);
    memcpy(huge, encoded.bytes, encoded.length);
    assert_refused("hello, world", 12, CVM_E_CORRUPT, "no message of ours");
    assert_refused(longer, encoded.length + 3, CVM_E_CORRUPT, "3 bytes too many");
    assert_refused(huge, CVM_ENVELOPE_BYTES_MAX + 1, CVM_E_LIMIT, "at most");
    encoded.bytes[4] = 9;
    assert_refused(encoded.bytes, encoded.length, CVM_E_INVALID, "version 9, this program knows 1");
    encoded.bytes[4] = 1;
    encoded.bytes[encoded.length - 1] ^= 1;
    assert_refused(encoded.bytes, encoded.length, CVM_E_CORRUPT, "check does not match");
    free(encoded.bytes);
    free(longer);
    free(huge);
}

static void what_no_sender_may_send_is_refused_by_both_ends(void **state)
{
    (void)state;
    static char big[CVM_ENVELOPE_PAYLOAD_MAX + 1];
    static const struct {
        const char *words;
        enum cvm_status status;
    } wanted[] = {
        {"no type 99", CVM_E_INVALID},       {"no id", CVM_E_INVALID},
        {"hop 17, at most 16", CVM_E_LIMIT}, {"no priority 2", CVM_E_INVALID},
        {"schema_version", CVM_E_INVALID},   {"attempt counts", CVM_E_INVALID},
        {"run_id", CVM_E_INVALID},           {"step", CVM_E_INVALID},
        {"traceparent", CVM_E_INVALID},      {"a payload of", CVM_E_LIMIT},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct cvm_envelope bad = plain();
        struct cvm_error err = {.message = ""};
        switch (i) {
        case 0:
            bad.type = (enum cvm_message_type)99;
            break;
        case 1:
            bad.id = (struct cvm_message_id){{0}};
            break;
        case 2:
            bad.hop = 17;
            break;
        case 3:
            bad.priority = (enum cvm_priority)2;
            break;
        case 4:
            bad.schema_version = 0;
            break;
        case 5:
            bad.attempt = 0;
            break;
        case 6:
            bad.run_id = slice("run 1");
            break;
        case 7:
            bad.step = slice("treatment-for-gr\xc3\xbc\xc3\x9f");
            break;
        case 8:
            bad.traceparent = slice("00-01");
            break;
        default:
            bad.payload = (struct cvm_slice){big, sizeof(big)};
        }
        assert_int_equal(cvm_envelope_check(&bad, &err), wanted[i].status);
        assert_non_null(strstr(err.message, wanted[i].words));
        if (bad.payload.data != big) {
            struct encoded encoded = encode(&bad);
            assert_refused(encoded.bytes, encoded.length, wanted[i].status, wanted[i].words);
            free(encoded.bytes);
        }
    }
}

static void a_text_ends_a_message_of_any_length_at_its_blank(void **state)
{
    (void)state;
    for (size_t length = 1; length <= 40; length++) {
        for (size_t at = 0; at < length; at++) {
            static const char odd[] = {' ', '\x7f', '\x80', '\0', '\n', '\xff'};
            char text[40];
            for (size_t c = 0; c < sizeof(odd); c++) {
                struct cvm_envelope bad = plain();
                memset(text, '~', sizeof(text));
                text[0] = '!';
                bad.sender = (struct cvm_slice){text, length};
                assert_int_equal(cvm_envelope_check(&bad, NULL), CVM_OK);
                text[at] = odd[c];
                assert_int_equal(cvm_envelope_check(&bad, NULL), CVM_E_INVALID);
            }
        }
    }
}

static void ids_sort_by_time_and_say_their_version(void **state)
{
    (void)state;
    char text[CVM_MESSAGE_ID_TEXT_SIZE];
    struct cvm_random random;
    cvm_random_init(&random, 3);
    struct cvm_message_id before = cvm_message_id_make(NOW_MS, &random);
    for (int i = 1; i < 1000; i++) {
        struct cvm_message_id id = cvm_message_id_make(NOW_MS + i, &random);
        assert_true(memcmp(&before, &id, sizeof(id)) < 0);
        assert_false(cvm_message_id_is_none(&id));
        before = id;
    }
    cvm_message_id_format(&before, text);
    assert_int_equal(strlen(text), 36);
    assert_memory_equal(text, "018e5b5f-fc67-7", 15);
    assert_non_null(strchr("89ab", text[19]));
}

static void types_have_names_that_read_back(void **state)
{
    (void)state;
    for (int type = -1; type < 100; type++) {
        const char *name = cvm_message_type_name((enum cvm_message_type)type);
        if (name != NULL) {
            assert_int_equal(cvm_message_type_parse(name, strlen(name)), type);
        }
    }
    assert_string_equal(cvm_message_type_name(CVM_MESSAGE_ALLOCATION_REQUEST),
                        "ALLOCATION_REQUEST");
    assert_int_equal(cvm_message_type_parse("TREATMENT", 9), CVM_MESSAGE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_may_be_sent_comes_back_as_it_was),
        cmocka_unit_test(cut_anywhere_it_is_refused),
        cmocka_unit_test(any_changed_bit_is_seen),
        cmocka_unit_test(each_refusal_has_its_reason),
        cmocka_unit_test(what_no_sender_may_send_is_refused_by_both_ends),
        cmocka_unit_test(a_text_ends_a_message_of_any_length_at_its_blank),
        cmocka_unit_test(ids_sort_by_time_and_say_their_version),
        cmocka_unit_test(types_have_names_that_read_back),
    };
    return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
