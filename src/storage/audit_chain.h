/* audit_chain.h - the audit log as a chain of hashes, signed at checkpoints, so that a change of an
 * old row is found.
 *
 * Writers add audit rows and never wait. One chainer, whoever holds the store for writing, seals
 * later what it finds, in commit order. What a hash covers: docs/concepts/audit.md.
 */
#ifndef CVM_STORAGE_AUDIT_CHAIN_H
#define CVM_STORAGE_AUDIT_CHAIN_H

#include "base/hash.h"
#include "base/signing.h"
#include "base/threads.h"
#include "storage/audit.h"

struct cvm_audit_seal {
    int64_t sealed;                  /* rows sealed now */
    int64_t rows;                    /* of the chain */
    int64_t checkpoints;             /* of the chain */
    bool is_signed;                  /* a checkpoint covers all rows */
    char head[CVM_DIGEST_TEXT_SIZE]; /* hash of the last row; zeros when there is none */
};

/* Seal what is not sealed yet and, with a key, sign the chain's head; a transaction of its own, or
 * part of the caller's. key NULL = unsigned. */
CVM_MUST_CHECK enum cvm_status cvm_audit_seal(struct cvm_store *store,
                                              const struct cvm_signing_key *key,
                                              struct cvm_audit_seal *out_seal,
                                              struct cvm_error *err);

/* Clear object, before and after of all audit rows whose object is `object` or which hold `text` in
 * before or after (NULL = none), and add audit rows of action "erasure" that name them, with who,
 * object and why of `note`: the chain still verifies. Inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_audit_erase(struct cvm_store *store, const char *object,
                                               const char *text, const struct cvm_audit_row *note,
                                               int64_t *out_erased, struct cvm_error *err);

enum cvm_audit_fault {
    CVM_AUDIT_INTACT,
    CVM_AUDIT_ALTERED,    /* a row or its link is not what was sealed */
    CVM_AUDIT_MISSING,    /* a row, or a part of the chain */
    CVM_AUDIT_INSERTED,   /* a row among sealed ones */
    CVM_AUDIT_TRUNCATED,  /* signed rows at the end are gone */
    CVM_AUDIT_CHECKPOINT, /* a checkpoint is altered, missing, or not signed by the key */
    CVM_AUDIT_UNEXPECTED, /* the hash that was expected is not in the chain */
};
const char *cvm_audit_fault_name(enum cvm_audit_fault fault);

struct cvm_audit_check {
    const struct cvm_public_key *keys; /* any of them; none = the one in the checkpoint itself */
    size_t key_count;
    const char *expected;  /* hash in hex that the chain must hold; NULL = none */
    struct cvm_pool *pool; /* parts of the chain side by side, each by a reader of its own; NULL =
                              one after the other */
    const struct cvm_context *context;
    void (*on_progress)(void *state, const char *stage, double fraction, int64_t rows);
    void *progress_state;
};

struct cvm_audit_verdict {
    int64_t rows;        /* sealed, and right up to the fault */
    int64_t unsealed;    /* not in the chain yet */
    int64_t erased;      /* whose values an erasure cleared */
    int64_t checkpoints; /* whose signature is good */
    int64_t signed_rows;
    char head[CVM_DIGEST_TEXT_SIZE];
    enum cvm_audit_fault fault; /* the first one */
    int64_t audit_id;           /* the row; 0 = none */
    int64_t position;           /* in the chain; 0 = none */
    int64_t checkpoint;         /* 0 = none */
    char what[240];             /* a sentence */
};

/* Scans the whole chain in constant memory; the first fault is in *out_verdict: the status only
 * tells whether it could be checked. Inside a transaction it looks at what that sees, without the
 * pool. */
CVM_MUST_CHECK enum cvm_status cvm_audit_verify(struct cvm_store *store,
                                                const struct cvm_audit_check *check,
                                                struct cvm_audit_verdict *out_verdict,
                                                struct cvm_error *err);

/* ---- the encoding, for audit_chain.c and audit_verify.c ---- */

#define CVM_AUDIT_SALT_BYTES 16

struct cvm_audit_link {
    int64_t position;
    int64_t audit_id;
    unsigned char salt[CVM_AUDIT_SALT_BYTES];
    unsigned char content[CVM_DIGEST_BYTES];
    unsigned char hash[CVM_DIGEST_BYTES];
};
/* Columns of audit_unsealed: id, at, who, action, object, why, before, after. */
void cvm_audit_content(const struct cvm_db_value *columns, struct cvm_audit_link *link);
/* Fill link->hash from link->content, the row and the hash before. */
void cvm_audit_chain(const struct cvm_db_value *columns,
                     const unsigned char before[CVM_DIGEST_BYTES], struct cvm_audit_link *link);

struct cvm_audit_checkpoint {
    int64_t checkpoint;
    int64_t rows;
    int64_t at_ms;
    unsigned char hash[CVM_DIGEST_BYTES];
};
#define CVM_AUDIT_CHECKPOINT_BYTES 80
/* What is signed. */
void cvm_audit_checkpoint_encode(const struct cvm_audit_checkpoint *checkpoint,
                                 unsigned char bytes[CVM_AUDIT_CHECKPOINT_BYTES]);

#endif
