#include "storage/customer_export.h"

#include "storage/customers.h"
#include "storage/db_sql.h"
#include "storage/private_text.h"
#include "storage/row_members.h"

/* In the order of the columns of the statements held_*; what comes after the END is no member. */
static const struct cvm_member event_members[] = {
    {"source", CVM_MEMBER_TEXT},     {"date", CVM_MEMBER_DAY},
    {"second", CVM_MEMBER_INTEGER},  {"version", CVM_MEMBER_INTEGER},
    {"batch", CVM_MEMBER_INTEGER},   {"batch_state", CVM_MEMBER_TEXT},
    {"attributes", CVM_MEMBER_JSON}, {NULL, CVM_MEMBER_END},
};
static const struct cvm_member consent_members[] = {
    {"source", CVM_MEMBER_TEXT},           {"version", CVM_MEMBER_INTEGER},
    {"batch", CVM_MEMBER_INTEGER},         {"batch_state", CVM_MEMBER_TEXT},
    {"recorded_bits", CVM_MEMBER_INTEGER}, {"granted_bits", CVM_MEMBER_INTEGER},
    {"updated", CVM_MEMBER_DAY},           {"quiet_from", CVM_MEMBER_MINUTE},
    {"quiet_to", CVM_MEMBER_MINUTE},       {"preferred_time", CVM_MEMBER_PREFERENCE},
    {"language", CVM_MEMBER_TEXT},         {NULL, CVM_MEMBER_END},
};
static const struct cvm_member outcome_members[] = {
    {"run_id", CVM_MEMBER_TEXT},  {"state", CVM_MEMBER_STATE},    {"date", CVM_MEMBER_DAY},
    {"at", CVM_MEMBER_MOMENT},    {"minutes", CVM_MEMBER_NUMBER}, {"reason", CVM_MEMBER_TEXT},
    {"is_late", CVM_MEMBER_FLAG}, {NULL, CVM_MEMBER_END},
};
static const struct cvm_member control_members[] = {
    {"stratum", CVM_MEMBER_TEXT},
    {"run_id", CVM_MEMBER_TEXT},
    {NULL, CVM_MEMBER_END},
};

struct writing {
    struct cvm_store *store;
    struct cvm_arena *arena;
    struct cvm_json_writer *json;
    uint64_t key;
    const struct cvm_member *members;
    struct cvm_text scratch;
};

static enum cvm_status write_row(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct writing *w = state;
    (void)column_count;
    (void)err;
    cvm_json_object(w->json);
    cvm_members_write(w->members, columns, &w->scratch, w->json);
    cvm_json_object_end(w->json);
    return CVM_OK;
}

static enum cvm_status write_private(const struct writing *w, const struct cvm_private_row *row,
                                     struct cvm_error *err)
{
    struct cvm_slice text = {0};
    enum cvm_status status = cvm_private_text_read(w->store, w->arena, row, &text, err);
    if (status == CVM_OK) {
        cvm_json_key(w->json, "private");
    }
    if (status == CVM_OK && text.data == NULL) {
        cvm_json_null(w->json);
    } else if (status == CVM_OK) {
        cvm_json_raw(w->json, text.data, text.length);
    }
    return status;
}

static enum cvm_status write_event(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct writing *w = state;
    struct cvm_private_row row = {
        .place = {CVM_VAULT_EVENT, w->key, columns[9].integer, (uint64_t)columns[10].integer,
                  columns[3].integer},
        .blob = &columns[7],
        .key_id = columns[8].integer,
    };
    (void)column_count;
    cvm_json_object(w->json);
    cvm_members_write(w->members, columns, &w->scratch, w->json);
    enum cvm_status status = write_private(w, &row, err);
    cvm_json_object_end(w->json);
    return status;
}

static enum cvm_status write_consent(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    struct writing *w = state;
    static const struct cvm_member permissions[] = {{"granted", CVM_MEMBER_PERMISSIONS},
                                                    {"denied", CVM_MEMBER_PERMISSIONS},
                                                    {NULL, CVM_MEMBER_END}};
    int64_t recorded = columns[4].integer;
    int64_t granted = columns[5].integer;
    const struct cvm_db_value bits[] = {cvm_db_int(recorded & granted),
                                        cvm_db_int(recorded & ~granted)};
    struct cvm_private_row row = {
        .place = {CVM_VAULT_CONSENT, w->key, columns[13].integer, 0, columns[1].integer},
        .blob = &columns[11],
        .key_id = columns[12].integer,
    };
    (void)column_count;
    cvm_json_object(w->json);
    cvm_members_write(w->members, columns, &w->scratch, w->json);
    cvm_members_write(permissions, bits, &w->scratch, w->json);
    enum cvm_status status = write_private(w, &row, err);
    cvm_json_object_end(w->json);
    return status;
}

/* The lists that are read by the customer's key. */
static const struct section {
    const char *key;
    enum cvm_sql sql;
    const struct cvm_member *members;
    cvm_db_row_fn on_row;
} sections[] = {
    {"events", CVM_SQL_HELD_EVENTS, event_members, write_event},
    {"consents", CVM_SQL_HELD_CONSENTS, consent_members, write_consent},
    {"decisions", CVM_SQL_HELD_DECISIONS, cvm_decision_members + CVM_DECISION_ID_MEMBERS,
     write_row},
    {"outcomes", CVM_SQL_HELD_OUTCOMES, outcome_members, write_row},
    {"control_group", CVM_SQL_HELD_CONTROL, control_members, write_row},
};

static enum cvm_status write_section(struct writing *w, const struct section *section,
                                     const struct cvm_db_value *params, size_t param_count,
                                     struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(w->store);
    w->members = section->members;
    cvm_json_key(w->json, section->key);
    cvm_json_array(w->json);
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, section->sql), params, param_count,
                                          section->on_row, w, err);
    cvm_json_array_end(w->json);
    return status;
}

static enum cvm_status write_audit(struct writing *w, const char *customer_id,
                                   struct cvm_error *err)
{
    const struct section section = {"audit", CVM_SQL_HELD_AUDIT, cvm_audit_members, write_row};
    struct cvm_text quoted;
    struct cvm_json_writer json;
    cvm_text_init(&quoted, 0);
    cvm_json_init(&json, &quoted, false);
    cvm_json_string(&json, customer_id);
    struct cvm_db_value params[] = {cvm_db_text(customer_id),
                                    cvm_db_text(cvm_text_string(&quoted))};
    enum cvm_status status = write_section(w, &section, params, CVM_DB_COUNT(params), err);
    cvm_text_finish(&quoted);
    return status;
}

enum cvm_status cvm_customer_export_write(struct cvm_store *store, struct cvm_arena *arena,
                                          const char *customer_id, struct cvm_json_writer *json,
                                          struct cvm_error *err)
{
    struct writing w = {.store = store, .arena = arena, .json = json};
    enum cvm_status status = cvm_customer_find(store, customer_id, &w.key, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_db_value param = cvm_db_int((int64_t)w.key);
    cvm_text_init(&w.scratch, 0);
    cvm_json_key_string(json, "customer_id", customer_id);
    for (size_t s = 0; status == CVM_OK && s < sizeof(sections) / sizeof(sections[0]); s++) {
        status = write_section(&w, &sections[s], &param, 1, err);
    }
    if (status == CVM_OK) {
        status = write_audit(&w, customer_id, err);
    }
    cvm_text_finish(&w.scratch);
    return status;
}
