#include "storage/row_members.h"

#include <math.h>
#include <stdio.h>

#include "base/csv.h"
#include "base/date.h"
#include "model/consent.h"
#include "model/outcome.h"

const struct cvm_member cvm_decision_members[CVM_DECISION_MEMBERS + 1] = {
    {"decision_id", CVM_MEMBER_TEXT},
    {"customer_id", CVM_MEMBER_TEXT},
    {"run_id", CVM_MEMBER_TEXT},
    {"date", CVM_MEMBER_DAY},
    {"treatment", CVM_MEMBER_TEXT},
    {"channel", CVM_MEMBER_TEXT},
    {"offer", CVM_MEMBER_TEXT},
    {"content", CVM_MEMBER_TEXT},
    {"language", CVM_MEMBER_TEXT},
    {"arm", CVM_MEMBER_TEXT},
    {"withheld", CVM_MEMBER_TEXT},
    {"ghost", CVM_MEMBER_FLAG},
    {"state", CVM_MEMBER_STATE},
    {"value", CVM_MEMBER_NUMBER},
    {"sd", CVM_MEMBER_NUMBER},
    {"price", CVM_MEMBER_NUMBER},
    {"churn", CVM_MEMBER_NUMBER},
    {"selection_probability", CVM_MEMBER_NUMBER},
    {"cost", CVM_MEMBER_MONEY},
    {"incentive", CVM_MEMBER_MONEY},
    {"earliest_at", CVM_MEMBER_MOMENT},
    {"latest_at", CVM_MEMBER_MOMENT},
    {"churned_in_horizon", CVM_MEMBER_FLAG},
    {"handed_over_in", CVM_MEMBER_TEXT},
    {NULL, CVM_MEMBER_END},
};

const struct cvm_member cvm_audit_members[] = {
    {"id", CVM_MEMBER_INTEGER},  {"at", CVM_MEMBER_MOMENT},   {"who", CVM_MEMBER_TEXT},
    {"action", CVM_MEMBER_TEXT}, {"object", CVM_MEMBER_TEXT}, {"why", CVM_MEMBER_TEXT},
    {"before", CVM_MEMBER_JSON}, {"after", CVM_MEMBER_JSON},  {NULL, CVM_MEMBER_END},
};

/* What a value became: nothing, a text, or JSON as it stands. */
enum form { NOTHING, TEXT, RAW };

static enum form add_minute(int64_t minute, struct cvm_text *out)
{
    if (minute == CVM_MINUTE_NONE) {
        return NOTHING;
    }
    cvm_text_add_format(out, "%02d:%02d", (int)(minute / 60 % 24), (int)(minute % 60));
    return TEXT;
}

static enum form add_day(int64_t day, struct cvm_text *out)
{
    char text[CVM_DAY_TEXT_SIZE];
    if (day == CVM_DAY_NONE) {
        return NOTHING;
    }
    cvm_text_add(out, cvm_day_format((int32_t)day, text));
    return TEXT;
}

static void add_permissions(uint32_t bits, struct cvm_json_writer *json)
{
    char text[64];
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

static enum form add_words(enum cvm_member_kind kind, const struct cvm_db_value *value,
                           struct cvm_text *out)
{
    char moment[CVM_MOMENT_TEXT_SIZE];
    switch (kind) {
    case CVM_MEMBER_TEXT:
        cvm_text_add_bytes(out, value->bytes.data, value->bytes.length);
        return TEXT;
    case CVM_MEMBER_DAY:
        return add_day(value->integer, out);
    case CVM_MEMBER_MOMENT:
        cvm_text_add(out, cvm_moment_format(value->integer, moment));
        return TEXT;
    case CVM_MEMBER_STATE:
        cvm_text_add(out, cvm_outcome_name((int)value->integer));
        return TEXT;
    case CVM_MEMBER_MINUTE:
        return add_minute(value->integer, out);
    case CVM_MEMBER_PREFERENCE:
        cvm_text_add(out, cvm_preferred_time_words[value->integer]);
        return TEXT;
    default:
        return RAW;
    }
}

static bool is_nothing(enum cvm_member_kind kind, const struct cvm_db_value *value)
{
    if (value->type == CVM_DB_NULL || kind == CVM_MEMBER_NUMBER) {
        return value->type == CVM_DB_NULL || !isfinite(value->number);
    }
    if (kind != CVM_MEMBER_JSON) {
        return false;
    }
    struct cvm_slice text = {value->bytes.data, value->bytes.length};
    return text.length == 0 || cvm_slice_equals(text, "null");
}

static enum form format(enum cvm_member_kind kind, const struct cvm_db_value *value,
                        struct cvm_text *out)
{
    struct cvm_json_writer json;
    cvm_text_clear(out);
    if (is_nothing(kind, value)) {
        return NOTHING;
    }
    enum form form = add_words(kind, value, out);
    if (form != RAW) {
        return form;
    }
    cvm_json_init(&json, out, false);
    switch (kind) {
    case CVM_MEMBER_NUMBER:
        cvm_json_double(&json, value->number);
        break;
    case CVM_MEMBER_MONEY:
        cvm_json_micro(&json, value->integer);
        break;
    case CVM_MEMBER_FLAG:
        cvm_json_bool(&json, value->integer != 0);
        break;
    case CVM_MEMBER_JSON:
        cvm_json_raw(&json, value->bytes.data, value->bytes.length);
        break;
    case CVM_MEMBER_PERMISSIONS:
        add_permissions((uint32_t)value->integer, &json);
        break;
    default:
        cvm_json_int(&json, value->integer);
    }
    return RAW;
}

void cvm_members_write(const struct cvm_member *members, const struct cvm_db_value *columns,
                       struct cvm_text *scratch, struct cvm_json_writer *json)
{
    for (size_t i = 0; members[i].kind != CVM_MEMBER_END; i++) {
        enum form form = format(members[i].kind, &columns[i], scratch);
        const char *text = cvm_text_string(scratch);
        cvm_json_key(json, members[i].key);
        if (form == NOTHING) {
            cvm_json_null(json);
        } else if (form == TEXT) {
            cvm_json_string_n(json, text, scratch->length);
        } else {
            cvm_json_raw(json, text, scratch->length);
        }
        json->out->failed |= scratch->failed;
    }
}

void cvm_members_write_names(const struct cvm_member *members, struct cvm_text *out)
{
    for (size_t i = 0; members[i].kind != CVM_MEMBER_END; i++) {
        cvm_text_add(out, i == 0 ? "" : ",");
        cvm_text_add(out, members[i].key);
    }
    cvm_text_add(out, "\n");
}

void cvm_members_write_line(const struct cvm_member *members, const struct cvm_db_value *columns,
                            struct cvm_text *scratch, struct cvm_text *out)
{
    for (size_t i = 0; members[i].kind != CVM_MEMBER_END; i++) {
        cvm_text_add(out, i == 0 ? "" : ",");
        if (format(members[i].kind, &columns[i], scratch) != NOTHING) {
            cvm_csv_add_field(out, cvm_text_string(scratch), scratch->length, ',');
        }
        out->failed |= scratch->failed;
    }
    cvm_text_add(out, "\n");
}
