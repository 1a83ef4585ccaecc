/* broker_support.h - brokers, envelopes and deliveries for tests.
 *
 * BROKER_URL in the environment picks the broker, "local:" without it; BROKER_CONTROL is then a
 * program that stops, starts, pauses and frightens its server.
 */
#ifndef CVM_TESTS_BROKER_SUPPORT_H
#define CVM_TESTS_BROKER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "messaging/broker.h"

#define NOW_MS      INT64_C(1710930000000)
#define PATIENCE_MS 60000 /* a busy machine is no failure */
#define BATCH       64
#define MANY        1000

/* assert_int_equal that shows the message of the error. */
#define ASSERT_OK(call)                                                                            \
    do {                                                                                           \
        struct cvm_error assert_err = {0};                                                         \
        enum cvm_status assert_status = (call);                                                    \
        if (assert_status != CVM_OK) {                                                             \
            fail_msg("%s: %s (%s)", #call, assert_err.message, cvm_status_name(assert_status));    \
        }                                                                                          \
    } while (0)
#define ERR (&assert_err)

/* Before anything else. */
void broker_support_init(void);
const char *broker_url(void);
bool broker_is_local(void);
extern struct cvm_random random_source;

/* Each has a prefix, and so names, of its own. */
struct cvm_broker *open_broker(struct cvm_broker_options options);
struct cvm_broker *open_broker_url(const char *url, struct cvm_broker_options options);
struct cvm_broker_link *open_link(struct cvm_broker *broker);
struct cvm_broker_link *open_receiver(struct cvm_broker *broker, const char *queue);
bool broker_can(const struct cvm_broker *broker, unsigned ability);
/* Tell the server's control, and wait until it is done. False when there is none. */
bool broker_control(const char *word);

struct cvm_slice slice(const char *text);
/* Number `number` of a series: told by its epoch. */
struct cvm_envelope make_envelope(uint64_t number);
enum cvm_status publish_one(struct cvm_broker_link *link, const char *queue,
                            const struct cvm_envelope *envelope, struct cvm_sending *out_sending,
                            struct cvm_error *err);
void send_one(struct cvm_broker_link *link, const char *queue, const struct cvm_envelope *envelope);
/* first .. first + count - 1, over `shards` shards, all of them confirmed. */
void send_series(struct cvm_broker_link *link, const char *queue, uint64_t first, size_t count,
                 uint32_t shards);

struct cvm_delivery receive_one(struct cvm_broker_link *link);
void ack(struct cvm_broker_link *link, const struct cvm_delivery *delivery);
void assert_nothing_waits(struct cvm_broker_link *link);
/* Receive and acknowledge until each of `count` numbers was seen; how often in all. */
size_t receive_series(struct cvm_broker_link *link, bool *seen, size_t count);

#endif
