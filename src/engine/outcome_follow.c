#include "engine/outcome_follow.h"

#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "base/json_writer.h"
#include "storage/customers.h"
#include "storage/outcome_store.h"
#include "storage/plan_store.h"

#define PORTION         100000 /* decisions at a time: what is written for them stays in memory */
#define ARENA_BYTES_MAX ((size_t)256 << 20)
#define PADDING_BYTES   64

/* Opt-outs are a source of permissions of their own: the next unchanged file of another source does
 * not take them back. */
#define OPT_OUT_SOURCE "opt_outs"

struct place {
    const char *run_id;
    uint64_t key;
    bool has_opted_out;
};

enum { CONTACTS, OPT_OUTS, TEXT_COUNT };

struct follow_job {
    struct cvm_record_input records; /* first: a pointer to it is one to us */
    const struct cvm_import_work *work;
    struct cvm_run_catalogues *runs;
    struct cvm_catalogue catalogue; /* in which our records have a mapping of their own */
    int64_t last_batch;
    struct cvm_arena *arena;
    struct cvm_arena *decision_arena;
    struct cvm_column places;

    /* records of a portion, NDJSON */
    struct cvm_text texts[TEXT_COUNT];
    int sources[TEXT_COUNT];
    int next; /* text to hand over */

    /* the customer whose opt-outs are being gathered */
    uint64_t customer_key;
    const char *customer_id; /* NULL = none */
    uint32_t revoked;
    int32_t revoked_day;
    struct cvm_outcome_follow follow;
};

/* ---- how our records are mapped ---- */

static struct cvm_path *plain_path(struct cvm_arena *arena, const char *key)
{
    struct cvm_path *path = CVM_NEW(arena, struct cvm_path);
    if (path != NULL) {
        *path = (struct cvm_path){.text = key, .steps = {key}, .step_count = 1, .scale = 1};
    }
    return path;
}

static bool map_field(struct cvm_arena *arena, struct cvm_mapped_field *field, const char *key)
{
    field->paths = plain_path(arena, key);
    field->path_count = 1;
    field->sum_of = NULL;
    field->sum_of_count = 0;
    field->has_constant = false;
    return field->paths != NULL;
}

/* The source of contacts, with {decision_id, customer_id, date, channel, purpose, action}; its
 * other attributes are found as in any file: "treatment", if that is what the mapping calls it. */
static bool map_contacts(struct follow_job *job, struct cvm_source *source)
{
    const struct cvm_contact_policy *policy = &job->work->catalogue->policy;
    struct cvm_mapped_field *fields =
        CVM_NEW_ARRAY(job->arena, source->field_count + 1, struct cvm_mapped_field);
    bool is_good = fields != NULL;
    for (size_t f = 0; is_good && f < source->field_count; f++) {
        int attribute = source->fields[f].attribute;
        fields[f] = source->fields[f];
        fields[f].required = false;
        if (attribute == policy->channel_attribute) {
            is_good = map_field(job->arena, &fields[f], "channel");
        } else if (attribute == policy->purpose_attribute) {
            is_good = map_field(job->arena, &fields[f], "purpose");
        } else if (attribute == policy->action_attribute) {
            is_good = map_field(job->arena, &fields[f], "action");
        }
    }
    source->fields = fields;
    source->customer_paths = plain_path(job->arena, "customer_id");
    source->date_paths = plain_path(job->arena, "date");
    source->identity_paths = plain_path(job->arena, "decision_id");
    source->customer_path_count = 1;
    source->date_path_count = 1;
    source->identity_path_count = 1;
    return is_good && source->customer_paths != NULL && source->date_paths != NULL &&
           source->identity_paths != NULL;
}

static bool map_opt_outs(struct follow_job *job, struct cvm_source *source)
{
    struct cvm_path *paths[] = {
        plain_path(job->arena, "permissions"),
        plain_path(job->arena, "quiet_hours"),
        plain_path(job->arena, "preferred_time"),
        plain_path(job->arena, "language"),
    };
    *source = (struct cvm_source){
        .name = OPT_OUT_SOURCE,
        .mapping = "cvm",
        .display_name = "Opt-outs reported as outcomes",
        .kind = CVM_SOURCE_CONSENT,
        .customer_paths = plain_path(job->arena, "customer_id"),
        .customer_path_count = 1,
        .date_paths = plain_path(job->arena, "date"),
        .date_path_count = 1,
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (paths[i] == NULL) {
            return false;
        }
    }
    source->consent_path = *paths[0];
    source->quiet_path = *paths[1];
    source->preferred_path = *paths[2];
    source->language_path = *paths[3];
    return source->customer_paths != NULL && source->date_paths != NULL;
}

static enum cvm_status make_catalogue(struct follow_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->work->catalogue;
    size_t count = catalogue->source_count;
    int contacts = catalogue->policy.source;
    if (count + 1 > CVM_SOURCES_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no room for a source of opt-outs beside %zu sources",
                        count);
    }
    struct cvm_source *sources = CVM_NEW_ARRAY(job->arena, count + 1, struct cvm_source);
    bool is_good = sources != NULL;
    if (is_good) {
        memcpy(sources, catalogue->sources, count * sizeof(*sources));
        is_good = map_opt_outs(job, &sources[count]);
    }
    if (is_good && contacts != CVM_INDEX_NONE) {
        is_good = map_contacts(job, &sources[contacts]);
    }
    job->catalogue = *catalogue;
    job->catalogue.sources = sources;
    job->catalogue.source_count = count + 1;
    job->sources[CONTACTS] = contacts;
    job->sources[OPT_OUTS] = (int)count;
    return is_good ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory to follow outcomes up");
}

/* ---- opt-outs ---- */

static void write_permissions(const struct cvm_consent *consent, struct cvm_json_writer *json)
{
    cvm_json_key(json, "permissions");
    cvm_json_object(json);
    for (int channel = 0; channel < CVM_CHANNEL_COUNT; channel++) {
        cvm_json_key(json, cvm_channel_words[channel]);
        cvm_json_object(json);
        for (int purpose = 0; purpose < CVM_PURPOSE_COUNT; purpose++) {
            uint32_t bit =
                cvm_consent_bit((enum cvm_channel)channel, CVM_DIRECTION_OUTBOUND, purpose);
            if ((consent->recorded & bit) != 0) {
                cvm_json_key_bool(json, cvm_purpose_words[purpose], (consent->granted & bit) != 0);
            }
        }
        cvm_json_object_end(json);
    }
    cvm_json_object_end(json);
    if (consent->quiet_start_min != CVM_MINUTE_NONE && consent->quiet_end_min != CVM_MINUTE_NONE) {
        char hours[32];
        int start = consent->quiet_start_min;
        int end = consent->quiet_end_min;
        (void)snprintf(hours, sizeof(hours), "%02d:%02d-%02d:%02d", start / 60, start % 60,
                       end / 60, end % 60);
        cvm_json_key_string(json, "quiet_hours", hours);
    }
    cvm_json_key_string(json, "preferred_time", cvm_preferred_time_words[consent->preferred_time]);
    if (consent->language[0] != '\0') {
        cvm_json_key_string(json, "language", consent->language);
    }
}

/* A full record: what is in force, without what was revoked. It counts from the day of the opt-out,
 * but never from before what is in force: who revoked must not be contacted on an older paper. */
static enum cvm_status end_customer(struct follow_job *job, struct cvm_error *err)
{
    struct cvm_consent consent;
    char date[CVM_DAY_TEXT_SIZE];
    struct cvm_json_writer json;
    if (job->customer_id == NULL || job->revoked == 0) {
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_consent_of(job->work->store, job->customer_key, job->last_batch, &consent, err);
    if (status != CVM_OK) {
        return status;
    }
    int32_t day = consent.has_record && consent.updated_day > job->revoked_day ? consent.updated_day
                                                                               : job->revoked_day;
    consent.recorded |= job->revoked;
    consent.granted &= ~job->revoked;
    cvm_json_init(&json, &job->texts[OPT_OUTS], false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "customer_id", job->customer_id);
    cvm_json_key_string(&json, "date", cvm_day_format(day, date));
    write_permissions(&consent, &json);
    cvm_json_object_end(&json);
    cvm_text_add_char(&job->texts[OPT_OUTS], '\n');
    job->revoked = 0;
    job->customer_id = NULL;
    return CVM_OK;
}

static enum cvm_status start_customer(struct follow_job *job, const struct cvm_decision *decision,
                                      struct cvm_error *err)
{
    if (job->customer_id != NULL && job->customer_key == decision->customer_key) {
        return CVM_OK;
    }
    enum cvm_status status = end_customer(job, err);
    if (status == CVM_OK) {
        job->customer_key = decision->customer_key;
        job->customer_id = cvm_arena_string(job->arena, decision->customer_id);
        job->revoked_day = CVM_DAY_NONE;
        status = job->customer_id == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for opt-outs")
                                          : CVM_OK;
    }
    return status;
}

/* ---- one decision ---- */

/* What makes no contact is an event too, on channel "none": "the same once in 30 days" counts it.
 */
static enum cvm_channel channel_of(const struct cvm_decision *decision)
{
    for (int c = 0; decision->channel != NULL && c < CVM_CHANNEL_UNSET; c++) {
        if (c != CVM_CHANNEL_ANY && strcmp(decision->channel, cvm_channel_words[c]) == 0) {
            return (enum cvm_channel)c;
        }
    }
    return CVM_CHANNEL_UNSET;
}

static void write_contact(struct follow_job *job, const struct cvm_decision *decision,
                          const struct cvm_treatment *treatment, int32_t day)
{
    char id[CVM_DECISION_ID_SIZE];
    char date[CVM_DAY_TEXT_SIZE];
    struct cvm_json_writer json;
    cvm_json_init(&json, &job->texts[CONTACTS], false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "decision_id",
                        cvm_decision_id(decision->run_id, decision->customer_key, id));
    cvm_json_key_string(&json, "customer_id", decision->customer_id);
    cvm_json_key_string(&json, "date", cvm_day_format(day, date));
    cvm_json_key_string(&json, "channel", decision->channel);
    if (treatment->purpose != CVM_PURPOSE_UNSET) {
        cvm_json_key_string(&json, "purpose", cvm_purpose_words[treatment->purpose]);
    }
    cvm_json_key_string(&json, "action", treatment->action);
    cvm_json_key_string(&json, "treatment", treatment->id);
    cvm_json_object_end(&json);
    cvm_text_add_char(&job->texts[CONTACTS], '\n');
}

static enum cvm_status follow_decision(struct follow_job *job, const struct place *place,
                                       struct cvm_error *err)
{
    struct cvm_store *store = job->work->store;
    const struct cvm_run_catalogue *run = NULL;
    struct cvm_decision decision;
    struct cvm_outcomes outcomes;
    cvm_arena_reset(job->decision_arena);
    enum cvm_status status =
        cvm_decision_get(store, job->decision_arena, place->run_id, place->key, &decision, err);
    if (status == CVM_OK) {
        status = cvm_outcome_get(store, place->run_id, place->key, &outcomes, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_catalogues_find(job->runs, place->run_id, &run, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    int t = cvm_catalogue_treatment(run->catalogue, decision.treatment);
    enum cvm_channel channel = channel_of(&decision);
    if (t == CVM_INDEX_NONE || channel == CVM_CHANNEL_UNSET) {
        return CVM_OK;
    }
    const struct cvm_treatment *treatment = &run->catalogue->treatments[t];
    if (job->sources[CONTACTS] != CVM_INDEX_NONE && cvm_outcomes_show_contact(&outcomes)) {
        write_contact(job, &decision, treatment, cvm_outcomes_contact_day(&outcomes));
    }
    if (!place->has_opted_out || treatment->purpose >= CVM_PURPOSE_UNSET ||
        channel >= CVM_CHANNEL_COUNT) {
        return CVM_OK;
    }
    status = start_customer(job, &decision, err);
    int32_t day = outcomes.days[CVM_DECISION_OPTED_OUT];
    job->revoked |= cvm_consent_bit(channel, CVM_DIRECTION_OUTBOUND, treatment->purpose);
    job->revoked_day = day > job->revoked_day ? day : job->revoked_day;
    return status;
}

/* ---- a portion through the import ---- */

static enum cvm_status next_block(struct cvm_record_input *records,
                                  struct cvm_record_block *out_block, bool *out_has_block,
                                  struct cvm_error *err)
{
    struct follow_job *job = (struct follow_job *)records;
    static const char padding[PADDING_BYTES] = {0};
    while (job->next < TEXT_COUNT && job->texts[job->next].length == 0) {
        job->next++;
    }
    if (job->next == TEXT_COUNT) {
        *out_has_block = false;
        return CVM_OK;
    }
    struct cvm_text *text = &job->texts[job->next];
    size_t length = text->length;
    cvm_text_add_bytes(text, padding, sizeof(padding));
    if (text->failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to follow outcomes up");
    }
    *out_block = (struct cvm_record_block){
        .source = job->sources[job->next++],
        .file = "outcomes",
        .first_record = 1,
        .format = CVM_RECORDS_NDJSON,
        .data = text->data,
        .length = length,
    };
    *out_has_block = true;
    return CVM_OK;
}

static void release_block(struct cvm_record_input *records, struct cvm_record_block *block)
{
    (void)records;
    (void)block; /* the text is cleared with its portion */
}

static void count_stored(struct follow_job *job, const struct cvm_import_report *report)
{
    for (size_t s = 0; s < report->source_count; s++) {
        const struct cvm_import_source_report *source = &report->sources[s];
        job->follow.contacts +=
            source->source == job->sources[CONTACTS] ? source->stored - source->changed : 0;
        job->follow.opt_outs += source->source == job->sources[OPT_OUTS] ? source->stored : 0;
    }
}

static enum cvm_status import_portion(struct follow_job *job, struct cvm_error *err)
{
    struct cvm_import_options options = *job->work->options;
    struct cvm_import_work work = *job->work;
    struct cvm_import_report report;
    if (job->texts[CONTACTS].failed || job->texts[OPT_OUTS].failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to follow outcomes up");
    }
    if (job->texts[CONTACTS].length + job->texts[OPT_OUTS].length == 0) {
        return CVM_OK;
    }
    options.rejects_path = NULL;
    options.follows_outcomes = true;
    work.options = &options;
    work.catalogue = &job->catalogue;
    job->next = 0;
    enum cvm_status status = cvm_import_records(&work, &job->records, job->arena, &report, err);
    if (status == CVM_OK && report.rejected > 0) {
        status = CVM_FAIL(err, CVM_E_INTERNAL, "%lld contacts could not be stored in source '%s'",
                          (long long)report.rejected,
                          job->catalogue.sources[job->sources[CONTACTS]].name);
    }
    if (status == CVM_OK) {
        count_stored(job, &report);
        status = cvm_batch_last(job->work->store, &job->last_batch, err);
    }
    cvm_text_clear(&job->texts[CONTACTS]);
    cvm_text_clear(&job->texts[OPT_OUTS]);
    return status;
}

/* ---- all ---- */

static enum cvm_status add_place(void *state, const char *run_id, uint64_t key, bool has_opted_out,
                                 struct cvm_error *err)
{
    struct follow_job *job = state;
    const struct cvm_run_catalogue *run = NULL;
    void *room = NULL;
    enum cvm_status status = cvm_run_catalogues_find(job->runs, run_id, &run, err);
    if (status == CVM_OK) {
        status = cvm_column_extend(&job->places, 1, &room, err);
    }
    if (status == CVM_OK) {
        *(struct place *)room = (struct place){run->run_id, key, has_opted_out};
    }
    return status;
}

static enum cvm_status follow_all(struct follow_job *job, struct cvm_error *err)
{
    enum cvm_status status = make_catalogue(job, err);
    if (status == CVM_OK) {
        status = cvm_batch_last(job->work->store, &job->last_batch, err);
    }
    if (status == CVM_OK) {
        status = cvm_outcome_to_follow(job->work->store, add_place, job, err);
    }
    const struct place *places = CVM_COLUMN_DATA(&job->places, struct place);
    for (size_t i = 0; status == CVM_OK && i < job->places.count; i++) {
        status = follow_decision(job, &places[i], err);
        if (status == CVM_OK && (i + 1) % PORTION == 0) {
            status = end_customer(job, err);
            status = status == CVM_OK ? import_portion(job, err) : status;
        }
    }
    if (status == CVM_OK) {
        status = end_customer(job, err);
    }
    return status == CVM_OK ? import_portion(job, err) : status;
}

enum cvm_status cvm_outcome_follow(const struct cvm_import_work *work,
                                   struct cvm_run_catalogues *runs,
                                   struct cvm_outcome_follow *out_follow, struct cvm_error *err)
{
    struct follow_job job = {
        .records = {.next = next_block, .release = release_block},
        .work = work,
        .runs = runs,
    };
    cvm_column_init(&job.places, sizeof(struct place));
    cvm_text_init(&job.texts[CONTACTS], 0);
    cvm_text_init(&job.texts[OPT_OUTS], 0);
    job.arena = cvm_arena_create(ARENA_BYTES_MAX);
    job.decision_arena = cvm_arena_create(ARENA_BYTES_MAX);
    enum cvm_status status = job.arena == NULL || job.decision_arena == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to follow outcomes up")
                                 : follow_all(&job, err);
    cvm_column_finish(&job.places);
    cvm_text_finish(&job.texts[CONTACTS]);
    cvm_text_finish(&job.texts[OPT_OUTS]);
    cvm_arena_destroy(job.arena);
    cvm_arena_destroy(job.decision_arena);
    if (status == CVM_OK) {
        *out_follow = job.follow;
    }
    return status;
}
