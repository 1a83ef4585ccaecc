/* turn.h - one turn of an agent as one transaction: the check of its epoch, the mark of its
 * message, what it writes, and the messages that it sends are kept together or not at all.
 *
 *     cvm_turn_begin(store, &key, &turn, err)
 *         turn.is_new == false: the message was applied before; nothing is open, acknowledge it
 *     ... rows of any module, cvm_step_done(), cvm_outbox_add() ...
 *     cvm_turn_commit(&turn, err) or cvm_turn_abandon(&turn)
 *
 * A commit that fails because the connection was lost may have been kept: cvm_turn_was_kept() reads
 * it back, nobody needs to guess. Several turns may share one transaction, and so one wait for the
 * disk: begin it, take turns in it, commit it. A turn that is abandoned then undoes its own part.
 */
#ifndef CVM_STORAGE_TURN_H
#define CVM_STORAGE_TURN_H

#include "storage/broker_offset.h"

#define CVM_TURN_MESSAGE_ID_BYTES 16

struct cvm_turn_key {
    const char *resource; /* of a lease (lease.h) that must be held under `epoch`; NULL = none */
    int64_t epoch;
    bool is_light;        /* as in cvm_db_begin_light() */
    const char *consumer; /* kind of agent that the message is for; NULL = no message */
    unsigned char message_id[CVM_TURN_MESSAGE_ID_BYTES];
    const struct cvm_broker_offset *offset; /* moved with a new message; NULL = the broker's own */
};

struct cvm_turn_transaction {
    struct cvm_store *store;
    bool is_part; /* of a transaction of several turns */
    bool is_new;  /* false: applied before, nothing is open */
};

/* CVM_E_CONFLICT when the lease was taken over: stop, the new owner does the work. On any failure
 * nothing of the turn is open; one that cost the transaction (CVM_E_UNAVAILABLE) costs those of the
 * turns before it in the same one too: see cvm_db_in_transaction(). */
CVM_MUST_CHECK enum cvm_status cvm_turn_begin(struct cvm_store *store,
                                              const struct cvm_turn_key *key,
                                              struct cvm_turn_transaction *out_turn,
                                              struct cvm_error *err);
/* A part is kept when the whole transaction is. */
CVM_MUST_CHECK enum cvm_status cvm_turn_commit(struct cvm_turn_transaction *turn,
                                               struct cvm_error *err);
void cvm_turn_abandon(struct cvm_turn_transaction *turn); /* nothing open is fine */

/* Whether the turn of this message was kept. */
CVM_MUST_CHECK enum cvm_status cvm_turn_was_kept(struct cvm_store *store,
                                                 const struct cvm_turn_key *key, bool *out_was_kept,
                                                 struct cvm_error *err);

/* ---- messages to be sent ---- */

struct cvm_outbox_message {
    int64_t outbox; /* number, given by the store */
    int64_t shard;  /* of the relays: one reads it at a time, under a lease */
    unsigned char message_id[CVM_TURN_MESSAGE_ID_BYTES];
    const char *destination;
    const void *envelope; /* as it is sent */
    size_t length;
    int64_t not_before_ms; /* 0 = at once */
    int64_t created_ms;    /* given by the store */
};
/* Inside a transaction. */
CVM_MUST_CHECK enum cvm_status cvm_outbox_add(struct cvm_store *store,
                                              const struct cvm_outbox_message *message,
                                              struct cvm_error *err);
/* Messages of the shard that may be sent at `now_ms`, oldest first; texts and bytes until
 * on_message returns. */
typedef enum cvm_status (*cvm_outbox_fn)(void *state, const struct cvm_outbox_message *message,
                                         struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_outbox_pending(struct cvm_store *store, int64_t shard,
                                                  int64_t now_ms, int64_t count_max,
                                                  cvm_outbox_fn on_message, void *state,
                                                  struct cvm_error *err);
/* The broker has them: after its confirmation, inside a transaction. Lost between the two, a
 * message is sent again, with the same id. */
CVM_MUST_CHECK enum cvm_status cvm_outbox_sent(struct cvm_store *store, const int64_t *numbers,
                                               size_t count, struct cvm_error *err);
struct cvm_backlog {
    int64_t count;
    int64_t oldest_ms; /* 0 = none */
};
CVM_MUST_CHECK enum cvm_status
cvm_outbox_backlog(struct cvm_store *store, struct cvm_backlog *out_backlog, struct cvm_error *err);

/* Forget marks of messages, and messages that were sent, from before `before_ms`, inside a
 * transaction. A mark must outlive every delivery of its message: keep CVM_INBOX_KEEP_MS. */
#define CVM_INBOX_KEEP_MS (INT64_C(7) * 24 * 3600 * 1000)
CVM_MUST_CHECK enum cvm_status cvm_turn_purge(struct cvm_store *store, int64_t before_ms,
                                              struct cvm_error *err);

#endif
