/* dead_letter.h - messages, and whole workflows, that were given up: kept until a person replays or
 * discards them.
 *
 * Writing happens inside the caller's transaction.
 */
#ifndef CVM_STORAGE_DEAD_LETTER_H
#define CVM_STORAGE_DEAD_LETTER_H

#include "base/arena.h"
#include "storage/turn.h"

struct cvm_dead_letter {
    int64_t dead_letter;     /* number, given by the store */
    const char *state;       /* "waiting", "replayed", "discarded"; given by the store */
    const char *destination; /* kind of agent that could not do it */
    unsigned char message_id[CVM_TURN_MESSAGE_ID_BYTES];
    const char *workflow_id; /* NULL = of none */
    int64_t step_no;         /* -1 = of none */
    int64_t shard_no;
    int64_t outbox_shard;
    const void *envelope; /* NULL = the workflow itself was given up */
    size_t length;
    const char *error_class;
    const char *error;
    int64_t attempts;
    int64_t first_ms; /* given up for the first time; now where it is new */
    int64_t last_ms;
    int64_t settled_ms; /* 0 = not yet */
    const char *who;    /* settled it */
    const char *why;
};

/* A message that waits already has its attempts added and its error replaced. */
CVM_MUST_CHECK enum cvm_status cvm_dead_letter_add(struct cvm_store *store,
                                                   const struct cvm_dead_letter *letter,
                                                   struct cvm_error *err);
/* What a broker gave up, kept once however often it brings it: a transaction of its own.
 * CVM_DEAD_LETTER_LOST as destination: nobody knows which queue it was in. */
#define CVM_DEAD_LETTER_LOST "dead"
CVM_MUST_CHECK enum cvm_status cvm_dead_letter_take(struct cvm_store *store,
                                                    const struct cvm_dead_letter *letter,
                                                    struct cvm_error *err);
/* Texts and bytes until the function returns. */
typedef enum cvm_status (*cvm_dead_letter_fn)(void *state, const struct cvm_dead_letter *letter,
                                              struct cvm_error *err);
/* Newest first, `state` NULL = all, numbers below `before` (0 = from the newest). */
CVM_MUST_CHECK enum cvm_status cvm_dead_letter_list(struct cvm_store *store, const char *state,
                                                    int64_t before, int64_t count_max,
                                                    cvm_dead_letter_fn on_letter, void *state_of_fn,
                                                    struct cvm_error *err);
/* In the arena. CVM_E_NOT_FOUND. */
CVM_MUST_CHECK enum cvm_status cvm_dead_letter_get(struct cvm_store *store, struct cvm_arena *arena,
                                                   int64_t dead_letter,
                                                   struct cvm_dead_letter *out_letter,
                                                   struct cvm_error *err);
/* Send the message again, as it was: its mark is forgotten, so that it is applied. The caller
 * resumes a workflow that was given up. CVM_E_CONFLICT when it was settled before, or can
 * not be sent. */
CVM_MUST_CHECK enum cvm_status cvm_dead_letter_replay(struct cvm_store *store,
                                                      const struct cvm_dead_letter *letter,
                                                      const char *who, const char *why,
                                                      struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_dead_letter_discard(struct cvm_store *store, int64_t dead_letter,
                                                       const char *who, const char *why,
                                                       struct cvm_error *err);
/* Those that wait, for alarms. */
CVM_MUST_CHECK enum cvm_status cvm_dead_letter_backlog(struct cvm_store *store,
                                                       struct cvm_backlog *out_backlog,
                                                       struct cvm_error *err);

#endif
