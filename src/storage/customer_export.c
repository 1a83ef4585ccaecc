#include "storage/customer_export.h"

#include <stdio.h>

#include "base/date.h"
#include "model/consent.h"
#include "model/outcome.h"
#include "storage/customers.h"
#include "storage/db_sql.h"
#include "storage/private_text.h"

enum kind {
    END,
    TEXT,
    INTEGER,
    NUMBER,
    MONEY, /* millionths */
    FLAG,
    DAY,
    MOMENT,
    STATE, /* of a decision or outcome */
    JSON,
    MINUTE,
    PREFERENCE, /* of a time of day */
};

struct member {
    const char *key;
    enum kind kind;
};

/* In the order of the columns of the statements held_*; what comes after END is no member. */
static const struct member event_members[] = {
    {"source", TEXT},   {"date", DAY},         {"second", INTEGER},  {"version", INTEGER},
    {"batch", INTEGER}, {"batch_state", TEXT}, {"attributes", JSON}, {NULL, END},
};
static const struct member consent_members[] = {
    {"source", TEXT},           {"version", INTEGER},
    {"batch", INTEGER},         {"batch_state", TEXT},
    {"recorded_bits", INTEGER}, {"granted_bits", INTEGER},
    {"updated", DAY},           {"quiet_from", MINUTE},
    {"quiet_to", MINUTE},       {"preferred_time", PREFERENCE},
    {"language", TEXT},         {NULL, END},
};
static const struct member decision_members[] = {
    {"run_id", TEXT},
    {"date", DAY},
    {"treatment", TEXT},
    {"channel", TEXT},
    {"offer", TEXT},
    {"content", TEXT},
    {"language", TEXT},
    {"arm", TEXT},
    {"withheld", TEXT},
    {"ghost", FLAG},
    {"state", STATE},
    {"value", NUMBER},
    {"sd", NUMBER},
    {"price", NUMBER},
    {"churn", NUMBER},
    {"selection_probability", NUMBER},
    {"cost", MONEY},
    {"incentive", MONEY},
    {"earliest_at", MOMENT},
    {"latest_at", MOMENT},
    {"churned_in_horizon", FLAG},
    {"handed_over_in", TEXT},
    {NULL, END},
};
static const struct member outcome_members[] = {
    {"run_id", TEXT},    {"state", STATE}, {"date", DAY},     {"at", MOMENT},
    {"minutes", NUMBER}, {"reason", TEXT}, {"is_late", FLAG}, {NULL, END},
};
static const struct member control_members[] = {
    {"stratum", TEXT},
    {"run_id", TEXT},
    {NULL, END},
};
static const struct member audit_members[] = {
    {"id", INTEGER}, {"at", MOMENT},   {"who", TEXT},   {"action", TEXT}, {"object", TEXT},
    {"why", TEXT},   {"before", JSON}, {"after", JSON}, {NULL, END},
};

struct writing {
    struct cvm_store *store;
    struct cvm_arena *arena;
    struct cvm_json_writer *json;
    uint64_t key;
    const struct member *members;
};

static void write_minute(struct cvm_json_writer *json, int64_t minute)
{
    char text[24];
    if (minute == CVM_MINUTE_NONE) {
        cvm_json_null(json);
        return;
    }
    (void)snprintf(text, sizeof(text), "%02d:%02d", (int)(minute / 60 % 24), (int)(minute % 60));
    cvm_json_string(json, text);
}

static void write_day(struct cvm_json_writer *json, int64_t day)
{
    char text[CVM_DAY_TEXT_SIZE];
    cvm_json_string(json, day == CVM_DAY_NONE ? NULL : cvm_day_format((int32_t)day, text));
}

static void write_value(struct cvm_json_writer *json, enum kind kind,
                        const struct cvm_db_value *value)
{
    char moment[CVM_MOMENT_TEXT_SIZE];
    if (value->type == CVM_DB_NULL) {
        cvm_json_null(json);
        return;
    }
    switch (kind) {
    case TEXT:
        cvm_json_string_n(json, value->bytes.data, value->bytes.length);
        break;
    case NUMBER:
        cvm_json_double(json, value->number);
        break;
    case MONEY:
        cvm_json_micro(json, value->integer);
        break;
    case FLAG:
        cvm_json_bool(json, value->integer != 0);
        break;
    case DAY:
        write_day(json, value->integer);
        break;
    case MOMENT:
        cvm_json_string(json, cvm_moment_format(value->integer, moment));
        break;
    case STATE:
        cvm_json_string(json, cvm_outcome_name((int)value->integer));
        break;
    case JSON:
        cvm_json_raw(json, value->bytes.data, value->bytes.length);
        break;
    case MINUTE:
        write_minute(json, value->integer);
        break;
    case PREFERENCE:
        cvm_json_string(json, cvm_preferred_time_words[value->integer]);
        break;
    case INTEGER:
    case END:
    default:
        cvm_json_int(json, value->integer);
    }
}

static void write_members(const struct writing *w, const struct cvm_db_value *columns)
{
    for (size_t i = 0; w->members[i].kind != END; i++) {
        cvm_json_key(w->json, w->members[i].key);
        write_value(w->json, w->members[i].kind, &columns[i]);
    }
}

static enum cvm_status write_row(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct writing *w = state;
    (void)column_count;
    (void)err;
    cvm_json_object(w->json);
    write_members(w, columns);
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
    write_members(w, columns);
    enum cvm_status status = write_private(w, &row, err);
    cvm_json_object_end(w->json);
    return status;
}

/* "call outbound marketing" */
static void write_permissions(struct cvm_json_writer *json, const char *key, uint32_t bits)
{
    char text[64];
    cvm_json_key(json, key);
    cvm_json_array(json);
    for (int c = 0; c < CVM_CHANNEL_COUNT; c++) {
        for (int d = 0; d < CVM_DIRECTION_COUNT; d++) {
            for (int p = 0; p < CVM_PURPOSE_COUNT; p++) {
                if ((bits & cvm_consent_bit((enum cvm_channel)c, (enum cvm_direction)d,
                                            (enum cvm_purpose)p)) != 0) {
                    (void)snprintf(text, sizeof(text), "%s %s %s", cvm_channel_words[c],
                                   cvm_direction_words[d], cvm_purpose_words[p]);
                    cvm_json_string(json, text);
                }
            }
        }
    }
    cvm_json_array_end(json);
}

static enum cvm_status write_consent(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    struct writing *w = state;
    uint32_t recorded = (uint32_t)columns[4].integer;
    uint32_t granted = (uint32_t)columns[5].integer;
    struct cvm_private_row row = {
        .place = {CVM_VAULT_CONSENT, w->key, columns[13].integer, 0, columns[1].integer},
        .blob = &columns[11],
        .key_id = columns[12].integer,
    };
    (void)column_count;
    cvm_json_object(w->json);
    write_members(w, columns);
    write_permissions(w->json, "granted", recorded & granted);
    write_permissions(w->json, "denied", recorded & ~granted);
    enum cvm_status status = write_private(w, &row, err);
    cvm_json_object_end(w->json);
    return status;
}

/* The lists that are read by the customer's key. */
static const struct section {
    const char *key;
    enum cvm_sql sql;
    const struct member *members;
    cvm_db_row_fn on_row;
} sections[] = {
    {"events", CVM_SQL_HELD_EVENTS, event_members, write_event},
    {"consents", CVM_SQL_HELD_CONSENTS, consent_members, write_consent},
    {"decisions", CVM_SQL_HELD_DECISIONS, decision_members, write_row},
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
    const struct section section = {"audit", CVM_SQL_HELD_AUDIT, audit_members, write_row};
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
    cvm_json_key_string(json, "customer_id", customer_id);
    for (size_t s = 0; status == CVM_OK && s < sizeof(sections) / sizeof(sections[0]); s++) {
        status = write_section(&w, &sections[s], &param, 1, err);
    }
    return status == CVM_OK ? write_audit(&w, customer_id, err) : status;
}
