/* audit_verify.c - the chain read once, in parts side by side, then its checkpoints. */
#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/audit_chain.h"
#include "storage/db_sql.h"

#define ROWS_BETWEEN_CHECKS 8192
#define ROW_COLUMN          5 /* of audit_chain_scan: where the audit row begins */
#define PARTS_MAX           64

/* A part of the chain: rows after `after` up to `last`. It begins with the hash that stands in the
 * row before, which is right if the part before found no fault. */
struct part {
    struct verifying *whole;
    struct cvm_db *db;
    int64_t after;
    int64_t last;
    struct cvm_audit_verdict verdict;     /* rows: position of the last one that was right */
    unsigned char hash[CVM_DIGEST_BYTES]; /* of it */
    int64_t audit_id;                     /* of it */
    bool is_expected_seen;
};

struct verifying {
    struct cvm_store *store;
    struct cvm_db *db;
    const struct cvm_audit_check *check;
    struct cvm_audit_verdict verdict;
    unsigned char hash[CVM_DIGEST_BYTES]; /* of the last row that was right */
    int64_t audit_id;                     /* of it */
    bool is_expected_seen;
    int64_t rows_total;
    atomic_llong rows_done;
    struct part parts[PARTS_MAX];
    size_t part_count;
    struct cvm_db_cursor *checkpoints;
    const struct cvm_db_value *checkpoint; /* the next one; NULL at the end */
    int64_t checkpoint_number;             /* of the last one that was right */
};

static const char *const fault_names[] = {
    [CVM_AUDIT_INTACT] = "intact",         [CVM_AUDIT_ALTERED] = "altered",
    [CVM_AUDIT_MISSING] = "missing",       [CVM_AUDIT_INSERTED] = "inserted",
    [CVM_AUDIT_TRUNCATED] = "truncated",   [CVM_AUDIT_CHECKPOINT] = "checkpoint",
    [CVM_AUDIT_UNEXPECTED] = "unexpected",
};

const char *cvm_audit_fault_name(enum cvm_audit_fault fault)
{
    return fault_names[fault];
}

static bool has_fault(const struct cvm_audit_verdict *verdict)
{
    return verdict->fault != CVM_AUDIT_INTACT;
}

/* The first one counts. */
static void CVM_PRINTF(4, 5)
    find_fault(struct cvm_audit_verdict *verdict, enum cvm_audit_fault fault, int64_t audit_id,
               const char *format, ...)
{
    va_list args;
    if (has_fault(verdict)) {
        return;
    }
    verdict->fault = fault;
    verdict->audit_id = audit_id;
    va_start(args, format);
    (void)!vsnprintf(verdict->what, sizeof(verdict->what), format, args);
    va_end(args);
}

static bool is_blob(const struct cvm_db_value *value, size_t length)
{
    return value->type == CVM_DB_BLOB && value->bytes.length == length;
}

/* A link as it stands in the chain. */
struct standing {
    int64_t audit_id;
    unsigned char hash[CVM_DIGEST_BYTES];
    bool is_there; /* with a hash that may be one */
};

static enum cvm_status read_standing(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    struct standing *standing = state;
    (void)column_count;
    (void)err;
    standing->audit_id = columns[0].integer;
    standing->is_there = is_blob(&columns[1], CVM_DIGEST_BYTES);
    if (standing->is_there) {
        memcpy(standing->hash, columns[1].bytes.data, CVM_DIGEST_BYTES);
    }
    return CVM_OK;
}

static enum cvm_status find_standing(struct cvm_db *db, int64_t position, struct standing *standing,
                                     struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_int(position);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_AUDIT_CHAIN_AT), &param, 1, read_standing,
                        standing, err);
}

/* ---- checkpoints ---- */

static bool is_allowed_key(const struct cvm_audit_check *check, const struct cvm_public_key *key)
{
    for (size_t k = 0; k < check->key_count; k++) {
        if (memcmp(&check->keys[k], key, sizeof(*key)) == 0) {
            return true;
        }
    }
    return check->key_count == 0;
}

static void find_checkpoint_fault(struct verifying *v, int64_t number, const char *what)
{
    find_fault(&v->verdict, CVM_AUDIT_CHECKPOINT, 0, "checkpoint %lld %s", (long long)number, what);
    v->verdict.checkpoint = number;
}

/* Signature first, so that what it says can be believed. */
static void check_signature(struct verifying *v)
{
    const struct cvm_db_value *columns = v->checkpoint;
    struct cvm_audit_checkpoint checkpoint = {
        .checkpoint = columns[0].integer, .rows = columns[1].integer, .at_ms = columns[3].integer};
    struct cvm_public_key key;
    unsigned char bytes[CVM_AUDIT_CHECKPOINT_BYTES];
    int64_t number = v->checkpoint_number + 1;
    if (checkpoint.checkpoint != number) {
        find_checkpoint_fault(v, number, "is missing");
        return;
    }
    if (!is_blob(&columns[2], CVM_DIGEST_BYTES) || !is_blob(&columns[4], CVM_PUBLIC_KEY_BYTES) ||
        !is_blob(&columns[5], CVM_SIGNATURE_BYTES)) {
        find_checkpoint_fault(v, number,
                              "is altered: its hash, key or signature has no length of one");
        return;
    }
    memcpy(checkpoint.hash, columns[2].bytes.data, CVM_DIGEST_BYTES);
    memcpy(key.bytes, columns[4].bytes.data, CVM_PUBLIC_KEY_BYTES);
    cvm_audit_checkpoint_encode(&checkpoint, bytes);
    if (!is_allowed_key(v->check, &key)) {
        find_checkpoint_fault(v, number, "is signed by another key");
    } else if (!cvm_signature_is_good(&key, bytes, sizeof(bytes), columns[5].bytes.data)) {
        find_checkpoint_fault(v, number, "is altered: its signature does not fit");
    } else if (checkpoint.rows <= v->verdict.signed_rows) {
        find_checkpoint_fault(v, number, "signs no row more than the one before");
    }
}

static enum cvm_status next_checkpoint(struct verifying *v, struct cvm_error *err)
{
    enum cvm_status status = cvm_db_cursor_next(v->checkpoints, &v->checkpoint, err);
    if (status == CVM_OK && v->checkpoint != NULL) {
        check_signature(v);
    }
    return status;
}

/* The hash was right for the row as it stands, and is not the one that was signed: somebody
 * computed the chain anew. */
static void check_signed_hash(struct verifying *v, const struct standing *standing)
{
    const struct cvm_db_value *columns = v->checkpoint;
    if (memcmp(columns[2].bytes.data, standing->hash, CVM_DIGEST_BYTES) != 0) {
        find_fault(&v->verdict, CVM_AUDIT_ALTERED, standing->audit_id,
                   "of the %lld rows up to audit row %lld one is altered and the chain was made "
                   "anew: its hash is not the signed one of checkpoint %lld",
                   (long long)(columns[1].integer - v->verdict.signed_rows),
                   (long long)standing->audit_id, (long long)columns[0].integer);
        v->verdict.checkpoint = columns[0].integer;
        v->verdict.position = columns[1].integer;
        v->verdict.rows = columns[1].integer;
    }
}

/* Of the rows that are right: a fault here comes before one that stopped these. The checkpoint
 * after them has its signature looked at too. */
static enum cvm_status check_checkpoints(struct verifying *v, struct cvm_error *err)
{
    const struct cvm_audit_verdict rows = v->verdict;
    v->verdict.fault = CVM_AUDIT_INTACT;
    enum cvm_status status = next_checkpoint(v, err);
    while (status == CVM_OK && !has_fault(&v->verdict) && v->checkpoint != NULL &&
           v->checkpoint[1].integer <= rows.rows) {
        struct standing standing = {.is_there = false};
        status = find_standing(v->db, v->checkpoint[1].integer, &standing, err);
        if (status == CVM_OK) {
            check_signed_hash(v, &standing);
        }
        if (status == CVM_OK && !has_fault(&v->verdict)) {
            v->checkpoint_number = v->checkpoint[0].integer;
            v->verdict.checkpoints++;
            v->verdict.signed_rows = v->checkpoint[1].integer;
            status = next_checkpoint(v, err);
        }
    }
    if (status == CVM_OK && v->verdict.fault == CVM_AUDIT_CHECKPOINT) {
        v->verdict.rows = v->verdict.signed_rows;
        v->verdict.position = 0;
    }
    if (!has_fault(&v->verdict)) {
        v->verdict.fault = rows.fault;
    }
    return status;
}

/* ---- rows ---- */

struct naming {
    int64_t audit_id;
    bool is_named;
};

/* {"rows":[1,2,3]} */
static enum cvm_status read_erasure(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct naming *naming = state;
    const char *text = cvm_db_string(&columns[0]);
    const char *at = text == NULL ? NULL : strchr(text, '[');
    (void)column_count;
    (void)err;
    while (at != NULL && *at != '\0' && *at != ']' && !naming->is_named) {
        char *end = NULL;
        naming->is_named = strtoll(at + 1, &end, 10) == naming->audit_id && end != at + 1;
        at = end == at + 1 ? NULL : end;
    }
    return CVM_OK;
}

/* Cleared values are right when a later erasure names the row; that row is checked in its turn. */
static enum cvm_status check_erased(struct part *p, const struct cvm_db_value *row,
                                    struct cvm_error *err)
{
    struct naming naming = {.audit_id = row[0].integer};
    bool is_clear =
        row[4].bytes.length == 0 && row[6].type == CVM_DB_NULL && row[7].type == CVM_DB_NULL;
    enum cvm_status status = CVM_OK;
    if (is_clear) {
        status = cvm_db_query(p->db, cvm_db_sql(p->db, CVM_SQL_AUDIT_ERASURE_OF), row, 1,
                              read_erasure, &naming, err);
    }
    if (status == CVM_OK && !naming.is_named) {
        find_fault(&p->verdict, CVM_AUDIT_ALTERED, row[0].integer,
                   "audit row %lld is altered: its values were cleared and no erasure names it",
                   (long long)row[0].integer);
    }
    p->verdict.erased += naming.is_named;
    return status;
}

/* The values against their digest. */
static enum cvm_status check_content(struct part *p, const struct cvm_db_value *columns,
                                     struct cvm_audit_link *link, struct cvm_error *err)
{
    const struct cvm_db_value *row = columns + ROW_COLUMN;
    if (columns[2].type == CVM_DB_NULL) {
        memcpy(link->content, columns[3].bytes.data, CVM_DIGEST_BYTES);
        return check_erased(p, row, err);
    }
    memcpy(link->salt, columns[2].bytes.data, CVM_AUDIT_SALT_BYTES);
    cvm_audit_content(row, link);
    if (memcmp(link->content, columns[3].bytes.data, CVM_DIGEST_BYTES) != 0) {
        find_fault(
            &p->verdict, CVM_AUDIT_ALTERED, row[0].integer,
            "audit row %lld is altered: its object, before and after are not what was sealed",
            (long long)row[0].integer);
    }
    return CVM_OK;
}

/* What stands in the chain, and in the order of it. */
static void check_link(struct part *p, const struct cvm_db_value *columns)
{
    int64_t audit_id = columns[1].integer;
    bool has_lengths =
        (columns[2].type == CVM_DB_NULL || is_blob(&columns[2], CVM_AUDIT_SALT_BYTES)) &&
        is_blob(&columns[3], CVM_DIGEST_BYTES) && is_blob(&columns[4], CVM_DIGEST_BYTES);
    if (columns[0].integer != p->verdict.rows + 1) {
        find_fault(&p->verdict, CVM_AUDIT_MISSING, p->audit_id + 1,
                   "the chain lacks its row %lld: audit rows between %lld and %lld are missing",
                   (long long)(p->verdict.rows + 1), (long long)p->audit_id, (long long)audit_id);
    } else if (columns[ROW_COLUMN].type == CVM_DB_NULL) {
        find_fault(&p->verdict, CVM_AUDIT_MISSING, audit_id, "audit row %lld is missing",
                   (long long)audit_id);
    } else if (!has_lengths) {
        find_fault(&p->verdict, CVM_AUDIT_ALTERED, audit_id,
                   "audit row %lld is altered: its hash has no length of one", (long long)audit_id);
    }
}

static void take_hash(struct part *p, const struct cvm_audit_link *link)
{
    memcpy(p->hash, link->hash, sizeof(p->hash));
    p->audit_id = link->audit_id;
    p->verdict.rows++;
    if (p->whole->check->expected != NULL && !p->is_expected_seen) {
        char text[CVM_DIGEST_TEXT_SIZE];
        cvm_digest_format(p->hash, text);
        p->is_expected_seen = strcmp(text, p->whole->check->expected) == 0;
    }
}

static enum cvm_status check_row(struct part *p, const struct cvm_db_value *columns,
                                 struct cvm_error *err)
{
    struct cvm_audit_link link = {.audit_id = columns[1].integer};
    check_link(p, columns);
    enum cvm_status status = CVM_OK;
    if (!has_fault(&p->verdict)) {
        status = check_content(p, columns, &link, err);
    }
    if (status != CVM_OK || has_fault(&p->verdict)) {
        return status;
    }
    cvm_audit_chain(columns + ROW_COLUMN, p->hash, &link);
    if (memcmp(link.hash, columns[4].bytes.data, CVM_DIGEST_BYTES) != 0) {
        find_fault(&p->verdict, CVM_AUDIT_ALTERED, link.audit_id,
                   "audit row %lld is altered: it does not hash to what was sealed",
                   (long long)link.audit_id);
        return CVM_OK;
    }
    take_hash(p, &link);
    return CVM_OK;
}

static enum cvm_status keep_alive(const struct part *p, struct cvm_error *err)
{
    struct verifying *v = p->whole;
    const struct cvm_audit_check *check = v->check;
    if (p->verdict.rows % ROWS_BETWEEN_CHECKS != 0) {
        return CVM_OK;
    }
    int64_t done = atomic_fetch_add(&v->rows_done, ROWS_BETWEEN_CHECKS) + ROWS_BETWEEN_CHECKS;
    if (check->on_progress != NULL) {
        double total = v->rows_total > 0 ? (double)v->rows_total : 1;
        check->on_progress(check->progress_state, "verify", (double)done / total, done);
    }
    return check->context == NULL ? CVM_OK : cvm_context_check(check->context, err);
}

static enum cvm_status scan_rows(struct part *p, struct cvm_error *err)
{
    struct cvm_db_cursor *cursor = NULL;
    const struct cvm_db_value *columns = NULL;
    struct cvm_db_value first = cvm_db_int(p->after == 0 ? INT64_MIN : p->after);
    enum cvm_status status =
        cvm_db_scan(p->db, cvm_db_sql(p->db, CVM_SQL_AUDIT_CHAIN_SCAN), &first, 1, &cursor, err);
    while (status == CVM_OK && !has_fault(&p->verdict) && p->verdict.rows < p->last) {
        status = cvm_db_cursor_next(cursor, &columns, err);
        if (status != CVM_OK || columns == NULL) {
            break;
        }
        int64_t position = columns[0].integer;
        status = check_row(p, columns, err);
        if (status == CVM_OK) {
            status = keep_alive(p, err);
        }
        p->verdict.position = has_fault(&p->verdict) ? position : 0;
    }
    cvm_db_cursor_close(cursor);
    return status;
}

/* A part whose row before is not there has nothing to begin with: the part before ends early, or
 * has found it missing. */
static enum cvm_status scan_part(struct part *p, struct cvm_error *err)
{
    struct standing standing = {.is_there = p->after == 0};
    enum cvm_status status =
        p->after == 0 ? CVM_OK : find_standing(p->db, p->after, &standing, err);
    p->verdict.rows = p->after;
    p->audit_id = standing.audit_id;
    memcpy(p->hash, standing.hash, sizeof(p->hash));
    return status == CVM_OK && standing.is_there ? scan_rows(p, err) : status;
}

/* ---- parts ---- */

/* The first part is read by the caller's own connection, in its transaction. */
static enum cvm_status open_part(struct part *p, struct cvm_error *err)
{
    struct verifying *v = p->whole;
    struct cvm_db_options options = {.access = CVM_DB_READ};
    if (p->after == 0) {
        p->db = v->db;
        return CVM_OK;
    }
    enum cvm_status status = cvm_db_open(cvm_store_url(v->store), &options, &p->db, err);
    return status == CVM_OK ? cvm_db_begin(p->db, err) : status;
}

static enum cvm_status verify_part(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    struct verifying *v = state;
    struct part *p = &v->parts[item];
    enum cvm_status status = open_part(p, err);
    (void)worker;
    if (status == CVM_OK) {
        status = scan_part(p, err);
    }
    if (p->after != 0) {
        cvm_db_close(p->db);
    }
    return status;
}

static void cut(struct verifying *v, bool may_share)
{
    size_t count = 1;
    if (v->check->pool != NULL && may_share) {
        count = cvm_pool_thread_count(v->check->pool);
        count = count < PARTS_MAX ? count : PARTS_MAX;
        int64_t most = v->rows_total < 0 ? 1 : v->rows_total / ROWS_BETWEEN_CHECKS + 1;
        count = (int64_t)count < most ? count : (size_t)most;
    }
    int64_t width = v->rows_total / (int64_t)count;
    for (size_t i = 0; i < count; i++) {
        v->parts[i] = (struct part){
            .whole = v,
            .after = width * (int64_t)i,
            .last = i + 1 == count ? v->rows_total : width * (int64_t)(i + 1),
        };
    }
    if (count == 1) { /* whatever numbers stand there */
        v->parts[0].last = INT64_MAX;
    }
    v->part_count = count;
}

/* In their order, up to the first that has a fault or ends early. */
static void join_parts(struct verifying *v)
{
    for (size_t i = 0; i < v->part_count; i++) {
        const struct part *p = &v->parts[i];
        int64_t erased = v->verdict.erased + p->verdict.erased;
        int64_t unsealed = v->verdict.unsealed;
        v->verdict = p->verdict;
        v->verdict.erased = erased;
        v->verdict.unsealed = unsealed;
        v->is_expected_seen = v->is_expected_seen || p->is_expected_seen;
        if (p->verdict.rows > p->after || p->after == 0) {
            memcpy(v->hash, p->hash, sizeof(v->hash));
            v->audit_id = p->audit_id;
        }
        if (has_fault(&p->verdict) || p->verdict.rows < p->last) {
            break;
        }
    }
}

static enum cvm_status verify_rows(struct verifying *v, bool may_share, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    cut(v, may_share);
    if (v->part_count == 1) {
        status = verify_part(v, 0, 0, err);
    } else {
        status = cvm_pool_run(v->check->pool, v->part_count, verify_part, v, err);
    }
    if (status == CVM_OK) {
        join_parts(v);
    }
    return status;
}

/* ---- the whole ---- */

/* What no single row tells: rows gone from the end, a hash from outside that never comes. */
static void check_end(struct verifying *v)
{
    const struct cvm_audit_check *check = v->check;
    static const char genesis[] =
        "0000000000000000000000000000000000000000000000000000000000000000";
    if (v->checkpoint != NULL && !has_fault(&v->verdict)) {
        find_fault(&v->verdict, CVM_AUDIT_TRUNCATED, v->audit_id + 1,
                   "the rows after audit row %lld are missing: checkpoint %lld signs %lld rows, "
                   "%lld are there",
                   (long long)v->audit_id, (long long)v->checkpoint[0].integer,
                   (long long)v->checkpoint[1].integer, (long long)v->verdict.rows);
        v->verdict.checkpoint = v->checkpoint[0].integer;
    }
    if (check->expected != NULL && !v->is_expected_seen && strcmp(check->expected, genesis) != 0) {
        find_fault(&v->verdict, CVM_AUDIT_UNEXPECTED, 0,
                   "no row of the chain has the expected hash %.16s...: rows were cut off or made "
                   "anew",
                   check->expected);
    }
}

/* A row that was put among sealed ones has no link: where each link has its row, there is one row
 * too many. Which one it is takes longer to find than to count. */
static enum cvm_status check_inserted(struct verifying *v, struct cvm_error *err)
{
    int64_t inserted = 0;
    int64_t rows = 0;
    enum cvm_status status = cvm_db_get_int(v->db, CVM_SQL_AUDIT_ROW_COUNT, NULL, 0, &rows, err);
    if (status == CVM_OK && !has_fault(&v->verdict) &&
        rows == v->verdict.rows + v->verdict.unsealed) {
        return CVM_OK;
    }
    if (status == CVM_OK) {
        status = cvm_db_get_int(v->db, CVM_SQL_AUDIT_INSERTED, NULL, 0, &inserted, err);
    }
    if (status == CVM_E_NOT_FOUND) {
        return CVM_OK;
    }
    bool is_first =
        !has_fault(&v->verdict) || v->verdict.audit_id == 0 || inserted < v->verdict.audit_id;
    if (status == CVM_OK && is_first) {
        v->verdict.fault = CVM_AUDIT_INTACT;
        v->verdict.position = 0;
        v->verdict.checkpoint = 0;
        find_fault(&v->verdict, CVM_AUDIT_INSERTED, inserted,
                   "audit row %lld stands among sealed rows and was never sealed",
                   (long long)inserted);
    }
    return status;
}

static enum cvm_status verify(struct verifying *v, bool may_share, struct cvm_error *err)
{
    struct cvm_db *db = v->db;
    enum cvm_status status =
        cvm_db_get_int(db, CVM_SQL_AUDIT_UNSEALED_COUNT, NULL, 0, &v->verdict.unsealed, err);
    if (status == CVM_OK) {
        status = cvm_db_get_int(db, CVM_SQL_AUDIT_CHAIN_LAST, NULL, 0, &v->rows_total, err);
        status = status == CVM_E_NOT_FOUND ? CVM_OK : status;
    }
    if (status == CVM_OK) {
        status = verify_rows(v, may_share, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_scan(db, cvm_db_sql(db, CVM_SQL_AUDIT_CHECKPOINT_SCAN), NULL, 0,
                             &v->checkpoints, err);
    }
    if (status == CVM_OK) {
        status = check_checkpoints(v, err);
    }
    if (status == CVM_OK) {
        check_end(v);
        status = check_inserted(v, err);
    }
    cvm_db_cursor_close(v->checkpoints);
    return status;
}

enum cvm_status cvm_audit_verify(struct cvm_store *store, const struct cvm_audit_check *check,
                                 struct cvm_audit_verdict *out_verdict, struct cvm_error *err)
{
    struct verifying v = {.store = store, .db = cvm_store_db(store), .check = check};
    bool is_inside = cvm_db_in_transaction(v.db);
    /* One moment of the store: rows, links and checkpoints that belong together. */
    enum cvm_status status = is_inside ? CVM_OK : cvm_db_begin(v.db, err);
    if (status == CVM_OK) {
        status = verify(&v, !is_inside, err);
    }
    if (!is_inside) {
        cvm_db_rollback(v.db);
    }
    if (status == CVM_OK) {
        cvm_digest_format(v.hash, v.verdict.head);
        *out_verdict = v.verdict;
    }
    return status;
}
