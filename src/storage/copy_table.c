/* copy_table.c - the tables of a store, read from its own schema.
 *
 * The only place where statements are put together and not read from sql/: their words are names of
 * tables and columns of cvm's own schema, so nothing from outside gets in, and a column that a
 * migration adds is copied without anybody thinking of it. */
#include "storage/copy_table.h"

#include <math.h>
#include <string.h>

#include "storage/db_sql.h"

#define COLUMNS_MAX 32

const struct cvm_copy_name cvm_copy_moved[] = {
    {"source", true},
    {"catalogue", true},
    {"catalogue_file", false},
    {"batch", true},
    {"customer", false},
    {"event", false},
    {"consent", false},
    {"run", true},
    {"plan", true},
    {"value_block", false},
    {"decision", false},
    {"ledger", true},
    {"ledger_hold", true},
    {"audit", true},
    {"outcome", false},
    {"outcome_import", true},
    {"learning", true},
    {"control_member", false},
    {"control_stratum", true},
    {"control_enrolment", true},
    {"stop", true},
    {"plan_export", true},
    {"household_part", false},
    {"day_price", true},
    {"audit_chain", false},
    {"audit_checkpoint", true},
    {"audit_erasure", true},
    {"config_version", true},
    {"vault", true},
    {"erased", true},
    {"purge", true},
    {"purge_source", true},
    {"workflow_definition", true},
    {"workflow", true},
    {"step", true},
    {"step_failure", false},
    {"outbox", false},
    {"inbox", false},
    {"broker_offset", true},
    {"lease", true}, /* its epochs only grow */
    {"dead_letter", true},
    {"agent_event", false},
    {"schedule", true},
    {"schedule_fire", false},
    {NULL, false},
};

const char *const cvm_copy_left[] = {
    "migration",  /* of the store itself */
    "store_copy", /* the same */
    "packed",     /* derived, on a server */
    "meta",       /* the same */
    "run_part",   /* made again by whoever decides for its run */
    NULL,
};

/* ---- statements ---- */

struct columns {
    struct cvm_arena *arena;
    const char *names[COLUMNS_MAX];
    const char *key[COLUMNS_MAX]; /* by place */
    size_t count;
    size_t key_count;
};

static enum cvm_status note_column(void *state, const struct cvm_db_value *values,
                                   size_t value_count, struct cvm_error *err)
{
    struct columns *columns = state;
    int64_t place = values[1].integer;
    (void)value_count;
    if (columns->count == COLUMNS_MAX || place > COLUMNS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "a table has more than %d columns", COLUMNS_MAX);
    }
    const char *name = NULL;
    if (!cvm_db_copy_string(columns->arena, &values[0], &name)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the columns of a table");
    }
    columns->names[columns->count++] = name;
    if (place > 0) {
        columns->key[place - 1] = name;
        columns->key_count++;
    }
    return CVM_OK;
}

static void add_names(struct cvm_text *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cvm_text_add_format(text, "%s\"%s\"", i == 0 ? "" : ", ", names[i]);
    }
}

static const char *scan_of(const struct columns *columns, const char *name, struct cvm_text *text)
{
    cvm_text_clear(text);
    cvm_text_add(text, "SELECT ");
    add_names(text, columns->names, columns->count);
    cvm_text_add_format(text, " FROM \"%s\" ORDER BY ", name);
    add_names(text, columns->key, columns->key_count);
    return text->failed ? NULL : cvm_arena_string(columns->arena, cvm_text_string(text));
}

/* As plain as it is, PostgreSQL takes it by COPY. */
static const char *insert_of(const struct columns *columns, const char *name, struct cvm_text *text)
{
    cvm_text_clear(text);
    cvm_text_add_format(text, "INSERT INTO \"%s\" (", name);
    add_names(text, columns->names, columns->count);
    cvm_text_add(text, ") VALUES (");
    for (size_t i = 1; i <= columns->count; i++) {
        cvm_text_add_format(text, "%s$%zu", i == 1 ? "" : ", ", i);
    }
    cvm_text_add(text, ")");
    return text->failed ? NULL : cvm_arena_string(columns->arena, cvm_text_string(text));
}

static const char *clear_of(const struct columns *columns, const char *name, struct cvm_text *text)
{
    cvm_text_clear(text);
    cvm_text_add_format(text, "DELETE FROM \"%s\"", name);
    return text->failed ? NULL : cvm_arena_string(columns->arena, cvm_text_string(text));
}

static enum cvm_status plan_one(struct cvm_db *db, struct cvm_arena *arena,
                                const struct cvm_copy_name *table, struct cvm_copy_plan *out_plan,
                                struct cvm_error *err)
{
    struct columns columns = {.arena = arena};
    struct cvm_db_value param = cvm_db_text(table->name);
    struct cvm_text text;
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_TABLE_COLUMNS), &param, 1,
                                          note_column, &columns, err);
    if (status != CVM_OK) {
        return status;
    }
    if (columns.key_count == 0) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "table '%s' has no key to go by", table->name);
    }
    struct cvm_copy_plan plan = {
        .name = table->name, .tells_moment = table->tells_moment, .column_count = columns.count};
    cvm_text_init(&text, 0);
    plan.scan = scan_of(&columns, table->name, &text);
    plan.insert = insert_of(&columns, table->name, &text);
    plan.clear = clear_of(&columns, table->name, &text);
    plan.goes_by_customer = strcmp(columns.key[0], "customer_key") == 0;
    cvm_text_finish(&text);
    const char **names = CVM_NEW_ARRAY(arena, columns.count, const char *);
    if (plan.scan == NULL || plan.insert == NULL || plan.clear == NULL || names == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the statements of a copy");
    }
    for (size_t i = 0; i < columns.count; i++) {
        names[i] = columns.names[i];
        plan.key_column = names[i] == columns.key[0] ? i : plan.key_column;
    }
    plan.columns = names;
    *out_plan = plan;
    return CVM_OK;
}

enum cvm_status cvm_copy_plan_all(struct cvm_db *db, struct cvm_arena *arena,
                                  struct cvm_copy_plan *out_plans, size_t *out_count,
                                  struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    size_t count = 0;
    for (; status == CVM_OK && cvm_copy_moved[count].name != NULL; count++) {
        status = plan_one(db, arena, &cvm_copy_moved[count], &out_plans[count], err);
    }
    if (status == CVM_OK) {
        *out_count = count;
    }
    return status;
}

bool cvm_copy_plan_equals(const struct cvm_copy_plan *a, const struct cvm_copy_plan *b)
{
    bool is_equal = a->column_count == b->column_count;
    for (size_t i = 0; is_equal && i < a->column_count; i++) {
        is_equal = strcmp(a->columns[i], b->columns[i]) == 0;
    }
    return is_equal;
}

/* ---- rows as bytes ---- */

void cvm_copy_digest_init(struct cvm_copy_digest *digest)
{
    cvm_digest_init(&digest->digest);
    cvm_text_init(&digest->row, 0);
    digest->rows = 0;
}

static void add_number(struct cvm_text *row, uint64_t bits)
{
    char bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(bits >> (8 * i));
    }
    cvm_text_add_bytes(row, bytes, sizeof(bytes));
}

/* By its bits. SQLite keeps no sign of zero, and no NaN: it stores null. */
static void add_double(struct cvm_text *row, double number)
{
    uint64_t bits = 0;
    double kept = number == 0 ? 0 : number;
    if (isnan(number)) {
        cvm_text_add_char(row, (char)CVM_DB_NULL);
        return;
    }
    memcpy(&bits, &kept, sizeof(bits));
    cvm_text_add_char(row, (char)CVM_DB_DOUBLE);
    add_number(row, bits);
}

/* The type, then 8 bytes of a number, or the length and the bytes: no two rows have one encoding.
 */
static void add_value(struct cvm_text *row, const struct cvm_db_value *value)
{
    switch (value->type) {
    case CVM_DB_INT:
        cvm_text_add_char(row, (char)CVM_DB_INT);
        add_number(row, (uint64_t)value->integer);
        break;
    case CVM_DB_DOUBLE:
        add_double(row, value->number);
        break;
    case CVM_DB_TEXT:
    case CVM_DB_BLOB:
        cvm_text_add_char(row, (char)value->type);
        add_number(row, value->bytes.length);
        cvm_text_add_bytes(row, value->bytes.data, value->bytes.length);
        break;
    case CVM_DB_NULL:
    default:
        cvm_text_add_char(row, (char)CVM_DB_NULL);
        break;
    }
}

enum cvm_status cvm_copy_digest_add(struct cvm_copy_digest *digest,
                                    const struct cvm_db_value *columns, size_t column_count,
                                    struct cvm_error *err)
{
    cvm_text_clear(&digest->row);
    for (size_t i = 0; i < column_count; i++) {
        add_value(&digest->row, &columns[i]);
    }
    if (digest->row.failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a row");
    }
    cvm_digest_add(&digest->digest, digest->row.data, digest->row.length);
    digest->rows++;
    return CVM_OK;
}

void cvm_copy_digest_finish(struct cvm_copy_digest *digest, char text[CVM_DIGEST_TEXT_SIZE])
{
    cvm_digest_finish(&digest->digest, text);
    cvm_text_finish(&digest->row);
}
