/* bench_broker.h - a client library by itself, as one would write it in a loop: the peer of a
 * broker. Same server, same queue, same bytes, same window and prefetch. */
#ifndef CVM_CLI_BENCH_BROKER_H
#define CVM_CLI_BENCH_BROKER_H

#include <stddef.h>

#include "base/error.h"

#define CVM_BENCH_WINDOW   256 /* unconfirmed messages over RabbitMQ */
#define CVM_BENCH_PREFETCH 256

struct cvm_bare {
    const char *url;
    const char *queue; /* its full name; it is there */
    const void *bytes;
    size_t length;
    size_t count;
};

/* A moment, or the time between two: that of the clock, and what the threads of this process worked
 * in it. On a machine that does other things only the second says what a message costs. */
struct cvm_taken {
    double seconds;
    double processor_seconds;
};
struct cvm_taken cvm_taken_now(void);
struct cvm_taken cvm_taken_since(struct cvm_taken start);

/* Send `count` messages and wait until all are confirmed; or receive and acknowledge as many. The
 * time is that of the loop, without connecting. */
typedef enum cvm_status (*cvm_bare_fn)(const struct cvm_bare *bare, struct cvm_taken *out_taken,
                                       struct cvm_error *err);

enum cvm_status cvm_bare_rabbitmq_send(const struct cvm_bare *bare, struct cvm_taken *out_taken,
                                       struct cvm_error *err);
enum cvm_status cvm_bare_rabbitmq_receive(const struct cvm_bare *bare, struct cvm_taken *out_taken,
                                          struct cvm_error *err);
enum cvm_status cvm_bare_kafka_send(const struct cvm_bare *bare, struct cvm_taken *out_taken,
                                    struct cvm_error *err);
enum cvm_status cvm_bare_kafka_receive(const struct cvm_bare *bare, struct cvm_taken *out_taken,
                                       struct cvm_error *err);

#endif
