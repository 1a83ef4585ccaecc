#include "storage/bulk_export.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/decision.h"
#include "storage/db_sql.h"

#define COLUMNS_MAX 32

/* In the order of the columns of bulk_customers behind the key; the attributes come from
 * bulk_attributes. */
static const struct cvm_member customer_members[] = {
    {"customer_id", CVM_MEMBER_TEXT},
    {"batch", CVM_MEMBER_INTEGER},
    {"updated", CVM_MEMBER_DAY},
    {"quiet_from", CVM_MEMBER_MINUTE},
    {"quiet_to", CVM_MEMBER_MINUTE},
    {"preferred_time", CVM_MEMBER_PREFERENCE},
    {"language", CVM_MEMBER_TEXT},
    {"granted", CVM_MEMBER_PERMISSIONS},
    {"denied", CVM_MEMBER_PERMISSIONS},
    {"attributes", CVM_MEMBER_JSON},
    {NULL, CVM_MEMBER_END},
};
#define ATTRIBUTES 9 /* its place in them */

const struct cvm_member *cvm_bulk_members(enum cvm_bulk_kind kind)
{
    static const struct cvm_member *const members[] = {customer_members, cvm_decision_members,
                                                       cvm_audit_members};
    return members[kind];
}

struct cvm_bulk_walk {
    struct cvm_db *db;
    const struct cvm_bulk_request *request;
    struct cvm_db_cursor *rows; /* NULL between two runs */
    int64_t key;                /* of the row that was given last: customer or audit row */
    char run_id[CVM_DECISION_ID_SIZE];
    char decision_id[CVM_DECISION_ID_SIZE];
    bool is_last_run;

    /* Customers: their undated records, one of them ahead. */
    struct cvm_db_cursor *records;
    const struct cvm_db_value *record;
    struct cvm_text attributes;
    struct cvm_text member; /* attributes of one record in the version so far */
    struct cvm_db_value columns[COLUMNS_MAX];
};

/* ---- cursors as text ---- */

static bool read_number(const char *text, int base, int64_t *out_number)
{
    static const char digits[] = "0123456789abcdef";
    bool is_number = text[0] != '\0';
    for (const char *p = text; *p != '\0'; p++) {
        const char *digit = strchr(digits, *p);
        is_number &= digit != NULL && digit - digits < base;
    }
    *out_number = is_number && strlen(text) < 19 ? strtoll(text, NULL, base) : -1;
    return *out_number >= 0;
}

static bool read_cursor(struct cvm_bulk_walk *walk, const char *after)
{
    uint64_t key = 0;
    switch (walk->request->kind) {
    case CVM_BULK_CUSTOMERS:
        return strlen(after) == 16 && read_number(after, 16, &walk->key);
    case CVM_BULK_DECISIONS:
        if (!cvm_decision_id_parse(after, walk->run_id, &key)) {
            return false;
        }
        walk->key = (int64_t)key;
        return true;
    case CVM_BULK_AUDIT:
    default:
        return read_number(after, 10, &walk->key);
    }
}

const char *cvm_bulk_cursor(const struct cvm_bulk_walk *walk, char cursor[CVM_BULK_CURSOR_SIZE])
{
    switch (walk->request->kind) {
    case CVM_BULK_CUSTOMERS:
        (void)snprintf(cursor, CVM_BULK_CURSOR_SIZE, "%016" PRIx64, (uint64_t)walk->key);
        break;
    case CVM_BULK_DECISIONS:
        (void)cvm_decision_id(walk->run_id, (uint64_t)walk->key, cursor);
        break;
    case CVM_BULK_AUDIT:
    default:
        (void)snprintf(cursor, CVM_BULK_CURSOR_SIZE, "%" PRId64, walk->key);
    }
    return cursor;
}

/* ---- customers ---- */

static enum cvm_status scan_customers(struct cvm_bulk_walk *walk, struct cvm_error *err)
{
    const struct cvm_bulk_request *request = walk->request;
    struct cvm_db_value params[] = {cvm_db_int(walk->key), cvm_db_int(request->since_ms),
                                    cvm_db_int(request->until_ms)};
    enum cvm_status status = cvm_db_scan(walk->db, cvm_db_sql(walk->db, CVM_SQL_BULK_CUSTOMERS),
                                         params, CVM_DB_COUNT(params), &walk->rows, err);
    if (status == CVM_OK) {
        status = cvm_db_scan(walk->db, cvm_db_sql(walk->db, CVM_SQL_BULK_ATTRIBUTES), params, 1,
                             &walk->records, err);
    }
    return status == CVM_OK ? cvm_db_cursor_next(walk->records, &walk->record, err) : status;
}

/* Attributes are stored as an object each: their members go into one. */
static void add_member(struct cvm_bulk_walk *walk)
{
    size_t length = walk->member.length;
    if (length > 2) {
        cvm_text_add(&walk->attributes, walk->attributes.length > 1 ? "," : "");
        cvm_text_add_bytes(&walk->attributes, walk->member.data + 1, length - 2);
    }
    cvm_text_clear(&walk->member);
}

/* Of one customer; records of others before it are passed over. */
static enum cvm_status gather_attributes(struct cvm_bulk_walk *walk, struct cvm_error *err)
{
    int64_t source = 0;
    int64_t identity = 0;
    enum cvm_status status = CVM_OK;
    cvm_text_clear(&walk->attributes);
    cvm_text_clear(&walk->member);
    cvm_text_add_char(&walk->attributes, '{');
    while (status == CVM_OK && walk->record != NULL && walk->record[0].integer <= walk->key) {
        if (walk->record[0].integer == walk->key) {
            if (walk->record[1].integer != source || walk->record[2].integer != identity) {
                add_member(walk);
            }
            source = walk->record[1].integer;
            identity = walk->record[2].integer;
            cvm_text_clear(&walk->member);
            cvm_text_add_bytes(&walk->member, walk->record[3].bytes.data,
                               walk->record[3].bytes.length);
        }
        status = cvm_db_cursor_next(walk->records, &walk->record, err);
    }
    add_member(walk);
    cvm_text_add_char(&walk->attributes, '}');
    if (status == CVM_OK && (walk->attributes.failed || walk->member.failed)) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the attributes of a customer");
    }
    return status;
}

static enum cvm_status give_customer(struct cvm_bulk_walk *walk, const struct cvm_db_value *row,
                                     struct cvm_error *err)
{
    memcpy(walk->columns, row + 1, ATTRIBUTES * sizeof(row[0]));
    enum cvm_status status = gather_attributes(walk, err);
    walk->columns[ATTRIBUTES] = cvm_db_text_n(walk->attributes.data, walk->attributes.length);
    return status;
}

/* ---- decisions ---- */

static enum cvm_status take_run(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct cvm_bulk_walk *walk = state;
    (void)column_count;
    (void)err;
    (void)!snprintf(walk->run_id, sizeof(walk->run_id), "%s", cvm_db_string(&columns[0]));
    walk->is_last_run = false;
    return CVM_OK;
}

static enum cvm_status scan_run(struct cvm_bulk_walk *walk, struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_text(walk->run_id), cvm_db_int(walk->key),
                                    cvm_db_int(walk->request->first_day),
                                    cvm_db_int(walk->request->last_day)};
    return cvm_db_scan(walk->db, cvm_db_sql(walk->db, CVM_SQL_BULK_DECISIONS), params,
                       CVM_DB_COUNT(params), &walk->rows, err);
}

/* Run by run: so the next decision is always a step in the key of their table. */
static enum cvm_status next_run(struct cvm_bulk_walk *walk, struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_text(walk->run_id), cvm_db_int(walk->request->first_day),
                                    cvm_db_int(walk->request->last_day)};
    enum cvm_status status = CVM_OK;
    cvm_db_cursor_close(walk->rows);
    walk->rows = NULL;
    walk->key = 0;
    walk->is_last_run = true;
    if (walk->request->run_id == NULL) {
        status = cvm_db_query(walk->db, cvm_db_sql(walk->db, CVM_SQL_BULK_RUN_NEXT), params,
                              CVM_DB_COUNT(params), take_run, walk, err);
    }
    return status == CVM_OK && !walk->is_last_run ? scan_run(walk, err) : status;
}

static enum cvm_status scan_decisions(struct cvm_bulk_walk *walk, struct cvm_error *err)
{
    const char *only = walk->request->run_id;
    if (only != NULL) {
        int order = strcmp(only, walk->run_id);
        walk->key = order == 0 ? walk->key : 0;
        walk->is_last_run = order < 0; /* the cursor stands behind it */
        (void)!snprintf(walk->run_id, sizeof(walk->run_id), "%s", only);
        return walk->is_last_run ? CVM_OK : scan_run(walk, err);
    }
    return walk->run_id[0] == '\0' ? next_run(walk, err) : scan_run(walk, err);
}

static void give_decision(struct cvm_bulk_walk *walk, const struct cvm_db_value *row)
{
    size_t count = CVM_DECISION_MEMBERS;
    memcpy(walk->columns, row, count * sizeof(row[0]));
    walk->columns[0] =
        cvm_db_text(cvm_decision_id(walk->run_id, (uint64_t)walk->key, walk->decision_id));
}

/* ---- audit ---- */

static enum cvm_status scan_audit(struct cvm_bulk_walk *walk, struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_int(walk->key), cvm_db_int(walk->request->since_ms),
                                    cvm_db_int(walk->request->until_ms)};
    return cvm_db_scan(walk->db, cvm_db_sql(walk->db, CVM_SQL_BULK_AUDIT), params,
                       CVM_DB_COUNT(params), &walk->rows, err);
}

/* ---- the walk ---- */

static enum cvm_status start(struct cvm_bulk_walk *walk, struct cvm_error *err)
{
    const char *after = walk->request->after;
    if (after != NULL && !read_cursor(walk, after)) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s' is no cursor of this list", after);
    }
    enum cvm_status status = cvm_db_begin(walk->db, err);
    if (status != CVM_OK) {
        return status;
    }
    switch (walk->request->kind) {
    case CVM_BULK_CUSTOMERS:
        return scan_customers(walk, err);
    case CVM_BULK_DECISIONS:
        return scan_decisions(walk, err);
    case CVM_BULK_AUDIT:
    default:
        return scan_audit(walk, err);
    }
}

enum cvm_status cvm_bulk_open(struct cvm_store *store, const struct cvm_bulk_request *request,
                              struct cvm_bulk_walk **out_walk, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_access_of(db) == CVM_DB_READ && !cvm_db_in_transaction(db));
    struct cvm_bulk_walk *walk = calloc(1, sizeof(*walk));
    if (walk == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an export");
    }
    walk->db = db;
    walk->request = request;
    cvm_text_init(&walk->attributes, 0);
    cvm_text_init(&walk->member, 0);
    enum cvm_status status = start(walk, err);
    if (status != CVM_OK) {
        cvm_bulk_close(walk);
        return status;
    }
    *out_walk = walk;
    return CVM_OK;
}

static enum cvm_status next_row(struct cvm_bulk_walk *walk, const struct cvm_db_value **out_row,
                                struct cvm_error *err)
{
    bool has_runs = walk->request->kind == CVM_BULK_DECISIONS;
    const struct cvm_db_value *row = NULL;
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && row == NULL && !walk->is_last_run) {
        status = cvm_db_cursor_next(walk->rows, &row, err);
        if (status == CVM_OK && row == NULL) {
            if (!has_runs) {
                break;
            }
            status = next_run(walk, err);
        }
    }
    *out_row = row;
    return status;
}

enum cvm_status cvm_bulk_next(struct cvm_bulk_walk *walk, const struct cvm_db_value **out_columns,
                              struct cvm_error *err)
{
    const struct cvm_db_value *row = NULL;
    const struct cvm_db_value *columns = NULL;
    enum cvm_status status = next_row(walk, &row, err);
    if (status == CVM_OK && row != NULL) {
        walk->key = row[0].integer;
        columns = walk->columns;
        switch (walk->request->kind) {
        case CVM_BULK_CUSTOMERS:
            status = give_customer(walk, row, err);
            break;
        case CVM_BULK_DECISIONS:
            give_decision(walk, row);
            break;
        case CVM_BULK_AUDIT:
        default:
            columns = row;
        }
    }
    if (status == CVM_OK) {
        *out_columns = columns;
    }
    return status;
}

void cvm_bulk_close(struct cvm_bulk_walk *walk)
{
    if (walk == NULL) {
        return;
    }
    cvm_db_cursor_close(walk->rows);
    cvm_db_cursor_close(walk->records);
    cvm_db_rollback(walk->db);
    cvm_text_finish(&walk->attributes);
    cvm_text_finish(&walk->member);
    free(walk);
}
