/* customer list, customer show */
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/event_text.h"
#include "cli/work.h"

#define DEFAULT_LIMIT 100
#define LIMIT_MAX     1000000

/* ---- list ---- */

struct list_job {
    struct cvm_session *session;
    struct cvm_document document;
    uint64_t last_key;
    int64_t count;
};

static enum cvm_status list_customer(void *state, uint64_t key, const char *customer_id,
                                     struct cvm_error *err)
{
    struct list_job *job = state;
    (void)err;
    job->last_key = key;
    job->count++;
    if (!job->session->is_json) {
        fprintf(job->session->out, "%s\n", customer_id);
        return CVM_OK;
    }
    cvm_json_object(&job->document.json);
    cvm_json_key_string(&job->document.json, "customer_id", customer_id);
    cvm_json_object_end(&job->document.json);
    return CVM_OK;
}

static enum cvm_status end_list(struct list_job *job, bool has_more, struct cvm_error *err)
{
    struct cvm_json_writer *json = &job->document.json;
    char cursor[CVM_KEY_CURSOR_SIZE];
    (void)cvm_key_cursor(job->last_key, cursor);
    if (job->session->is_json) {
        cvm_json_array_end(json);
        cvm_json_key_string(json, "next_cursor", has_more ? cursor : NULL);
        return cvm_document_print(&job->document, job->session, err);
    }
    cvm_document_finish(&job->document);
    if (has_more && !job->session->is_quiet) {
        fprintf(job->session->err, "More: --after %s\n", cursor);
    }
    return CVM_OK;
}

static enum cvm_status run_list(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct list_job job = {.session = session};
    struct cvm_store *store = NULL;
    int64_t limit = DEFAULT_LIMIT;
    uint64_t after = 0;
    enum cvm_status status = cvm_argument_int(arguments, "--limit", 1, LIMIT_MAX, &limit, err);
    if (status == CVM_OK) {
        bool is_older_name = cvm_argument_given(arguments, "--cursor");
        status = cvm_argument_key(arguments, is_older_name ? "--cursor" : "--after", &after, err);
    }
    if (status != CVM_OK) {
        return cvm_session_usage(session, status);
    }
    cvm_document_init(&job.document);
    cvm_json_key_array(&job.document.json, "customers");
    status = cvm_session_store(session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_customer_list(store, after, limit, list_customer, &job, err);
    }
    cvm_store_close(store);
    if (status != CVM_OK) {
        cvm_document_finish(&job.document);
        return status;
    }
    return end_list(&job, job.count == limit, err);
}

static const struct cvm_option list_options[] = {
    {"--limit", "N", "how many (default 100)"},
    {"--after", "CURSOR", "go on after an earlier list: its next_cursor"},
    {"--cursor", "CURSOR", "older name of --after"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_customer_list = {
    .name = "customer list",
    .arguments = "",
    .summary = "List customer ids",
    .details = "In the order of their keys. JSON: {customers: [{customer_id}], next_cursor}.\n\n"
               "  cvm customer list --limit 10",
    .options = list_options,
    .run = run_list,
};

/* ---- show ---- */

struct profile {
    struct cvm_session *session;
    const struct cvm_catalogue *catalogue;
    const char *customer_id;
    struct cvm_consent consent;
    struct cvm_event_row *rows;
    size_t row_count;
    struct cvm_event_texts texts;
};

static enum cvm_status load_profile(struct profile *profile, struct cvm_store *store,
                                    struct cvm_error *err)
{
    uint64_t key = 0;
    int64_t last_batch = 0;
    enum cvm_status status = cvm_customer_find(store, profile->customer_id, &key, err);
    if (status == CVM_OK) {
        status = cvm_batch_last(store, &last_batch, err);
    }
    if (status == CVM_OK) {
        status = cvm_consent_of(store, key, last_batch, &profile->consent, err);
    }
    if (status == CVM_OK) {
        status = cvm_event_rows(store, profile->session->arena, profile->catalogue, key, last_batch,
                                &profile->rows, &profile->row_count, err);
    }
    return status == CVM_OK ? cvm_event_texts_open(profile->catalogue, &profile->texts, err)
                            : status;
}

struct source_count {
    int64_t events;
    int32_t first_day, last_day;
};

static struct source_count count_source(const struct profile *profile, size_t source)
{
    struct source_count count = {0, CVM_DAY_NONE, CVM_DAY_NONE};
    for (size_t i = 0; i < profile->row_count; i++) {
        const struct cvm_event_row *row = &profile->rows[i];
        if (row->source == (int)source) {
            count.events++;
            count.first_day = count.first_day == CVM_DAY_NONE ? row->day : count.first_day;
            count.last_day = row->day;
        }
    }
    return count;
}

static const char *minute_text(int minute, char text[16])
{
    (void)snprintf(text, 16, "%02d:%02d", minute / 60 % 24, minute % 60);
    return text;
}

/* "granted", "denied", or NULL where nothing is on record. */
static const char *permission(const struct cvm_consent *consent, size_t channel, size_t direction,
                              size_t purpose)
{
    uint32_t bit = cvm_consent_bit((enum cvm_channel)channel, (enum cvm_direction)direction,
                                   (enum cvm_purpose)purpose);
    return (consent->recorded & bit) == 0  ? NULL
           : (consent->granted & bit) == 0 ? "denied"
                                           : "granted";
}

static void write_permissions(const struct cvm_consent *consent, size_t direction,
                              struct cvm_json_writer *json)
{
    cvm_json_key_object(json, cvm_direction_words[direction]);
    for (size_t channel = 0; channel < CVM_CHANNEL_COUNT; channel++) {
        cvm_json_key_object(json, cvm_channel_words[channel]);
        for (size_t purpose = 0; purpose < CVM_PURPOSE_COUNT; purpose++) {
            cvm_json_key_string(json, cvm_purpose_words[purpose],
                                permission(consent, channel, direction, purpose));
        }
        cvm_json_object_end(json);
    }
    cvm_json_object_end(json);
}

static void write_consent(const struct cvm_consent *consent, struct cvm_json_writer *json)
{
    char text[16];
    cvm_json_key_object(json, "consent");
    cvm_json_key_bool(json, "has_record", consent->has_record);
    cvm_json_key_day(json, "updated", consent->updated_day);
    bool is_quiet = consent->quiet_start_min != CVM_MINUTE_NONE;
    cvm_json_key_string(json, "quiet_from",
                        is_quiet ? minute_text(consent->quiet_start_min, text) : NULL);
    cvm_json_key_string(json, "quiet_to",
                        is_quiet ? minute_text(consent->quiet_end_min, text) : NULL);
    cvm_json_key_string(json, "preferred_time", cvm_preferred_time_words[consent->preferred_time]);
    cvm_json_key_string(json, "language", consent->language[0] == '\0' ? NULL : consent->language);
    for (size_t direction = 0; direction < CVM_DIRECTION_COUNT; direction++) {
        write_permissions(consent, direction, json);
    }
    cvm_json_object_end(json);
}

static enum cvm_status write_attributes(struct profile *profile, struct cvm_json_writer *json,
                                        struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    cvm_json_key_object(json, "attributes");
    for (size_t i = 0; status == CVM_OK && i < profile->row_count; i++) {
        const struct cvm_json_value *object = NULL;
        if (profile->rows[i].day != CVM_DAY_NONE) {
            continue;
        }
        status = cvm_event_attributes_read(&profile->texts, &profile->rows[i], &object, err);
        for (const struct cvm_json_value *member = object == NULL ? NULL : object->first_child;
             status == CVM_OK && member != NULL; member = member->next) {
            char name[256];
            (void)snprintf(name, sizeof(name), "%.*s", (int)member->key.length, member->key.data);
            cvm_json_key(json, name);
            cvm_json_raw(json, member->raw.data, member->raw.length);
        }
    }
    cvm_json_object_end(json);
    return status;
}

static enum cvm_status print_profile_document(struct profile *profile, struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    int64_t dated = 0;
    cvm_document_init(&document);
    cvm_json_key_string(json, "customer_id", profile->customer_id);
    enum cvm_status status = write_attributes(profile, json, err);
    if (status != CVM_OK) {
        cvm_document_finish(&document);
        return status;
    }
    write_consent(&profile->consent, json);
    cvm_json_key_object(json, "sources");
    for (size_t s = 0; s < profile->catalogue->source_count; s++) {
        struct source_count count = count_source(profile, s);
        if (count.events == 0) {
            continue;
        }
        dated += count.last_day == CVM_DAY_NONE ? 0 : count.events;
        cvm_json_key_object(json, profile->catalogue->sources[s].name);
        cvm_json_key_int(json, "events", count.events);
        cvm_json_key_day(json, "first_day", count.first_day);
        cvm_json_key_day(json, "last_day", count.last_day);
        cvm_json_object_end(json);
    }
    cvm_json_object_end(json);
    cvm_json_key_int(json, "events", dated);
    return cvm_document_print(&document, profile->session, err);
}

static void print_consent(const struct profile *profile)
{
    static const char *const headers[] = {"channel", "marketing", "service", "billing"};
    const struct cvm_consent *consent = &profile->consent;
    FILE *out = profile->session->out;
    struct cvm_table table;
    char from[16];
    char to[16];
    if (!consent->has_record) {
        fputs("\nNo permission record: no contact is allowed.\n", out);
        return;
    }
    fputc('\n', out);
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t channel = 0; channel < CVM_CHANNEL_COUNT; channel++) {
        cvm_table_add(&table, cvm_channel_words[channel]);
        for (size_t purpose = 0; purpose < CVM_PURPOSE_COUNT; purpose++) {
            const char *word = permission(consent, channel, CVM_DIRECTION_OUTBOUND, purpose);
            cvm_table_add(&table, word == NULL ? "-" : word);
        }
    }
    cvm_table_print(&table, out);
    if (consent->quiet_start_min != CVM_MINUTE_NONE) {
        fprintf(out, "quiet from %s to %s, ", minute_text(consent->quiet_start_min, from),
                minute_text(consent->quiet_end_min, to));
    }
    fprintf(out, "preferred time %s, language %s\n",
            cvm_preferred_time_words[consent->preferred_time],
            consent->language[0] == '\0' ? "unknown" : consent->language);
}

static enum cvm_status print_profile(struct profile *profile, struct cvm_error *err)
{
    static const char *const headers[] = {"source", ">records", "first", "last"};
    FILE *out = profile->session->out;
    struct cvm_table table;
    struct cvm_text text;
    char day[CVM_DAY_TEXT_SIZE];
    enum cvm_status status = CVM_OK;
    fprintf(out, "Customer %s\n", profile->customer_id);
    cvm_text_init(&text, 0);
    for (size_t i = 0; status == CVM_OK && i < profile->row_count; i++) {
        if (profile->rows[i].day == CVM_DAY_NONE) {
            cvm_text_clear(&text);
            status = cvm_event_text_write(&profile->texts, &profile->rows[i], &text, err);
            fprintf(out, "  %s\n", cvm_text_string(&text));
        }
    }
    cvm_text_finish(&text);
    if (status != CVM_OK) {
        return status;
    }
    print_consent(profile);
    fputc('\n', out);
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t s = 0; s < profile->catalogue->source_count; s++) {
        struct source_count count = count_source(profile, s);
        if (count.events > 0) {
            bool is_dated = count.last_day != CVM_DAY_NONE;
            cvm_table_add(&table, profile->catalogue->sources[s].display_name);
            cvm_table_add_format(&table, "%lld", (long long)count.events);
            cvm_table_add(&table, is_dated ? cvm_day_format(count.first_day, day) : "-");
            cvm_table_add(&table, is_dated ? cvm_day_format(count.last_day, day) : "-");
        }
    }
    cvm_table_print(&table, out);
    return CVM_OK;
}

static enum cvm_status run_show(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct cvm_work_options options = {.access = CVM_DB_READ};
    struct cvm_work work;
    struct profile profile = {.session = session, .customer_id = arguments->positional[0]};
    enum cvm_status status = cvm_work_open(session, &options, &work, err);
    if (status != CVM_OK) {
        return status;
    }
    profile.catalogue = work.catalogue;
    status = load_profile(&profile, work.store, err);
    if (status == CVM_OK) {
        status =
            session->is_json ? print_profile_document(&profile, err) : print_profile(&profile, err);
    }
    cvm_event_texts_close(&profile.texts);
    cvm_work_close(&work);
    return status;
}

const struct cvm_command cvm_command_customer_show = {
    .name = "customer show",
    .arguments = "ID",
    .summary = "What is known of one customer: attributes, permissions, records per source",
    .details = "  cvm customer show U124",
    .positional_min = 1,
    .positional_max = 1,
    .run = run_show,
};
