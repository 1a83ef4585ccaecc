#include <string.h>

#include "base/date.h"
#include "base/json_reader.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/work.h"
#include "engine/decide.h"

#define ENTRY_BYTES_MAX ((size_t)16 << 20)

static enum cvm_status parse_word(const struct cvm_arguments *arguments, const char *name,
                                  const char *const *words, size_t count, int *out_word,
                                  struct cvm_error *err)
{
    const char *text = cvm_argument(arguments, name);
    struct cvm_text allowed;
    if (text == NULL) {
        return CVM_OK;
    }
    cvm_text_init(&allowed, 0);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], text) == 0) {
            cvm_text_finish(&allowed);
            *out_word = (int)i;
            return CVM_OK;
        }
        cvm_text_add_format(&allowed, "%s%s", i == 0 ? "" : ", ", words[i]);
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_INVALID, "option '%s': found '%s', one of %s is allowed", name, text,
                 cvm_text_string(&allowed));
    cvm_text_finish(&allowed);
    return status;
}

static enum cvm_status parse(struct cvm_session *session, const struct cvm_arguments *arguments,
                             struct cvm_decide_request *request, struct cvm_error *err)
{
    int channel = CVM_CHANNEL_UNSET;
    int direction = CVM_DIRECTION_OUTBOUND;
    request->customer_id = arguments->positional[0];
    request->as_of_day = cvm_session_today(session);
    request->who = session->who;
    request->zone = session->zone;
    enum cvm_status status = cvm_argument_day(arguments, "--as-of", &request->as_of_day, err);
    if (status == CVM_OK) {
        status =
            parse_word(arguments, "--channel", cvm_channel_words, CVM_CHANNEL_COUNT, &channel, err);
    }
    if (status == CVM_OK) {
        status = parse_word(arguments, "--direction", cvm_direction_words, CVM_DIRECTION_COUNT,
                            &direction, err);
    }
    request->channel = (enum cvm_channel)channel;
    request->direction = (enum cvm_direction)direction;
    return cvm_session_usage(session, status);
}

static enum cvm_status choose_treatments(struct cvm_session *session,
                                         const struct cvm_catalogue *catalogue,
                                         const struct cvm_arguments *arguments,
                                         struct cvm_decide_request *request, struct cvm_error *err)
{
    const char *forced = cvm_argument(arguments, "--treatment");
    request->forced_treatment = CVM_INDEX_NONE;
    enum cvm_status status = cvm_find_treatments(
        session->arena, catalogue, cvm_argument(arguments, "--allowed"), &request->allowed, err);
    if (status == CVM_E_INVALID) {
        return cvm_session_usage(session, status);
    }
    if (status == CVM_OK && forced != NULL) {
        status = cvm_find_treatment(catalogue, forced, &request->forced_treatment, err);
        if (status == CVM_OK && request->forced_treatment == CVM_INDEX_NONE) {
            request->allowed = 0; /* "ignore": nothing is to be given */
        }
    }
    return status;
}

/* ---- the answer for people ---- */

static void print_member(FILE *out, const char *label, const struct cvm_json_value *value)
{
    if (value == NULL || value->type == CVM_JSON_NULL) {
        return;
    }
    if (value->type == CVM_JSON_STRING) {
        fprintf(out, "  %-12s %.*s\n", label, (int)value->string.length, value->string.data);
    } else {
        fprintf(out, "  %-12s %.2f\n", label, value->number);
    }
}

static enum cvm_status print_entry(struct cvm_session *session, const struct cvm_text *entry,
                                   struct cvm_error *err)
{
    static const char *const members[][2] = {
        {"treatment", "selected_treatment"},
        {"why", "explanation"},
        {"value", "value"},
        {"price", "price"},
        {"journey", "journey_summary"},
        {"decision", "decision_id"},
    };
    const struct cvm_json_value *root = NULL;
    struct cvm_json_reader *reader = cvm_json_reader_create(ENTRY_BYTES_MAX);
    if (reader == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a decision");
    }
    enum cvm_status status = cvm_json_read(reader, session->arena, cvm_text_string(entry),
                                           entry->length, false, &root, err);
    if (status == CVM_OK) {
        const struct cvm_json_value *id = cvm_json_member(root, "customer_id");
        if (id != NULL) {
            fprintf(session->out, "Customer %.*s\n", (int)id->string.length, id->string.data);
        }
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
            print_member(session->out, members[i][0], cvm_json_member(root, members[i][1]));
        }
        const struct cvm_json_value *others = cvm_json_member(root, "alternatives");
        for (const struct cvm_json_value *other = others == NULL ? NULL : others->first_child;
             other != NULL; other = other->next) {
            print_member(session->out, "otherwise", cvm_json_member(other, "treatment"));
        }
    }
    cvm_json_reader_destroy(reader);
    return status;
}

static enum cvm_status decide(struct cvm_session *session, struct cvm_work *work,
                              const struct cvm_decide_request *request, struct cvm_error *err)
{
    struct cvm_text entry;
    cvm_text_init(&entry, ENTRY_BYTES_MAX);
    enum cvm_status status =
        cvm_decide(work->engine, work->store, request, session->arena, &entry, err);
    if (status == CVM_OK) {
        status = session->is_json ? cvm_session_print(session, &entry, err)
                                  : print_entry(session, &entry, err);
    }
    cvm_text_finish(&entry);
    return status;
}

static enum cvm_status run_decide(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct cvm_work_options options = {
        .access = CVM_DB_WRITE, .needs_engine = true, .uses_cache = true, .threads = 1};
    struct cvm_work work;
    struct cvm_decide_request request = {0};
    enum cvm_status status = parse(session, arguments, &request, err);
    if (status == CVM_OK) {
        status = cvm_work_open(session, &options, &work, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = choose_treatments(session, work.catalogue, arguments, &request, err);
    if (status == CVM_OK) {
        status = decide(session, &work, &request, err);
    }
    cvm_work_close(&work);
    return status;
}

static const struct cvm_option decide_options[] = {
    {"--as-of", "D", "with what was known at the end of this day (default: today)"},
    {"--channel", "C", "only treatments on this channel: call, email, sms, push"},
    {"--direction", "W", "outbound (default), or inbound: the customer is on the line"},
    {"--allowed", "A,B", "choose among these treatments only"},
    {"--treatment", "ID", "give this treatment, if consent and capacity let it, else none"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_decide = {
    .name = "decide",
    .arguments = "ID",
    .summary = "Decide for one customer now, and take the capacity",
    .details = "The best value minus price among what has room. Asked again on the same day, the\n"
               "same decision comes back.\n\n"
               "  cvm decide U124 --channel call --direction inbound",
    .positional_min = 1,
    .positional_max = 1,
    .options = decide_options,
    .run = run_decide,
};
