/* history_customer.c - the versions of what is known of one customer, as changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "base/date.h"
#include "base/json_reader.h"
#include "cli/history.h"
#include "storage/customers.h"
#include "storage/history.h"

#define RECORD_BYTES_MAX ((size_t)16 << 20)
#define CONSENT_CHANGES  (CVM_CHANNEL_COUNT * CVM_DIRECTION_COUNT * CVM_PURPOSE_COUNT + 3)

struct version {
    struct cvm_record_version record;
    const struct cvm_json_value *attributes;
};

struct gathering {
    struct cvm_arena *arena;
    struct cvm_json_reader *reader;
    struct cvm_column versions; /* struct version: of one record */
    struct cvm_column entries;  /* struct cvm_history_entry */
    struct cvm_consent consent; /* in force so far */
};

static enum cvm_status fail_memory(struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the history of one customer");
}

static const char *copy_text(struct gathering *g, const char *text)
{
    return text == NULL ? NULL : cvm_arena_string(g->arena, text);
}

static enum cvm_status add_entry(struct gathering *g, const struct cvm_version_origin *origin,
                                 const char *what, const struct cvm_catalogue_change *changes,
                                 size_t count, struct cvm_error *err)
{
    void *room = NULL;
    enum cvm_status status = cvm_column_extend(&g->entries, 1, &room, err);
    if (status == CVM_OK) {
        *(struct cvm_history_entry *)room = (struct cvm_history_entry){
            .what = what,
            .version = origin->version,
            .batch = origin->batch,
            .at_ms = origin->at_ms,
            .who = copy_text(g, origin->who),
            .why = "import",
            .is_retracted = origin->is_retracted,
            .changes = changes,
            .change_count = count,
        };
    }
    return status;
}

/* ---- records ---- */

static const char *slice_text(struct gathering *g, struct cvm_slice slice)
{
    return cvm_arena_copy(g->arena, slice.data, slice.length);
}

static const struct cvm_json_value *find_member(const struct cvm_json_value *object,
                                                struct cvm_slice key)
{
    const struct cvm_json_value *member = object == NULL ? NULL : object->first_child;
    while (member != NULL && (member->key.length != key.length ||
                              memcmp(member->key.data, key.data, key.length) != 0)) {
        member = member->next;
    }
    return member;
}

static bool is_same_value(const struct cvm_json_value *a, const struct cvm_json_value *b)
{
    return a != NULL && b != NULL && a->raw.length == b->raw.length &&
           memcmp(a->raw.data, b->raw.data, a->raw.length) == 0;
}

struct change_set {
    struct cvm_catalogue_change *changes;
    size_t count;
};

static void add_member(struct gathering *g, struct change_set *set,
                       const struct cvm_json_value *before, const struct cvm_json_value *after)
{
    if (!is_same_value(before, after)) {
        set->changes[set->count++] = (struct cvm_catalogue_change){
            .path = slice_text(g, before == NULL ? after->key : before->key),
            .before = before == NULL ? NULL : slice_text(g, before->raw),
            .after = after == NULL ? NULL : slice_text(g, after->raw),
        };
    }
}

static bool has_same_private(const struct cvm_record_version *a, const struct cvm_record_version *b)
{
    return a->private_length == b->private_length &&
           (a->private_length == 0 ||
            memcmp(a->private_bytes, b->private_bytes, a->private_length) == 0);
}

/* Personal values are not told, only that they changed. */
static enum cvm_status compare_versions(struct gathering *g, const struct version *before,
                                        const struct version *after, struct change_set *out_set,
                                        struct cvm_error *err)
{
    static const struct cvm_record_version nothing = {.attributes = NULL};
    const struct cvm_json_value *old = before == NULL ? NULL : before->attributes;
    size_t room = after->attributes->child_count + (old == NULL ? 0 : old->child_count) + 1;
    struct change_set set = {.changes = CVM_NEW_ARRAY(g->arena, room, struct cvm_catalogue_change)};
    if (set.changes == NULL) {
        return fail_memory(err);
    }
    for (const struct cvm_json_value *m = old == NULL ? NULL : old->first_child; m != NULL;
         m = m->next) {
        add_member(g, &set, m, find_member(after->attributes, m->key));
    }
    for (const struct cvm_json_value *m = after->attributes->first_child; m != NULL; m = m->next) {
        if (find_member(old, m->key) == NULL) {
            add_member(g, &set, NULL, m);
        }
    }
    const struct cvm_record_version *was = before == NULL ? &nothing : &before->record;
    if (!has_same_private(was, &after->record)) {
        set.changes[set.count++] = (struct cvm_catalogue_change){
            .path = "personal and unmapped fields",
            .before = was->private_length == 0 ? NULL : "(not shown)",
            .after = after->record.private_length == 0 ? NULL : "(not shown)",
        };
    }
    *out_set = set;
    return CVM_OK;
}

static const char *what_of(struct gathering *g, const struct cvm_record_version *record)
{
    char text[200];
    char day[CVM_DAY_TEXT_SIZE];
    if (record->day == CVM_DAY_NONE) {
        (void)!snprintf(text, sizeof(text), "attributes of %s", record->origin.source);
    } else {
        (void)!snprintf(text, sizeof(text), "record of %s on %s", record->origin.source,
                        cvm_day_format(record->day, day));
    }
    return cvm_arena_string(g->arena, text);
}

/* The versions of one record are complete. A dated one that never changed is an event, no history.
 */
static enum cvm_status end_record(struct gathering *g, struct cvm_error *err)
{
    const struct version *versions = CVM_COLUMN_DATA(&g->versions, struct version);
    const struct version *before = NULL; /* in force then, as far as it was not taken back */
    size_t count = g->versions.count;
    enum cvm_status status = CVM_OK;
    bool is_told = count > 1 || (count == 1 && versions[0].record.day == CVM_DAY_NONE);
    for (size_t v = 0; is_told && status == CVM_OK && v < count; v++) {
        struct change_set set = {0};
        const char *what = what_of(g, &versions[v].record);
        status =
            what == NULL ? fail_memory(err) : compare_versions(g, before, &versions[v], &set, err);
        if (status == CVM_OK) {
            status = add_entry(g, &versions[v].record.origin, what, set.changes, set.count, err);
        }
        before = versions[v].record.origin.is_retracted ? before : &versions[v];
    }
    g->versions.count = 0;
    return status;
}

static bool is_same_record(const struct cvm_record_version *a, const struct cvm_record_version *b)
{
    return a->identity == b->identity && strcmp(a->origin.source, b->origin.source) == 0;
}

static enum cvm_status take_record(void *state, const struct cvm_record_version *record,
                                   struct cvm_error *err)
{
    struct gathering *g = state;
    void *room = NULL;
    enum cvm_status status = CVM_OK;
    if (g->versions.count > 0 &&
        !is_same_record(&CVM_COLUMN_DATA(&g->versions, struct version)->record, record)) {
        status = end_record(g, err);
    }
    if (status == CVM_OK) {
        status = cvm_column_extend(&g->versions, 1, &room, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct version *version = room;
    version->record = *record;
    version->record.origin.source = copy_text(g, record->origin.source);
    version->record.origin.who = copy_text(g, record->origin.who);
    version->record.private_bytes =
        record->private_length == 0
            ? NULL
            : cvm_arena_copy(g->arena, record->private_bytes, record->private_length);
    return cvm_json_read(g->reader, g->arena, record->attributes, strlen(record->attributes), false,
                         &version->attributes, err);
}

/* ---- permissions ---- */

static const char *permission(const struct cvm_consent *consent, uint32_t bit)
{
    return (consent->recorded & bit) == 0  ? NULL
           : (consent->granted & bit) == 0 ? "denied"
                                           : "granted";
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void add_change(struct change_set *set, const char *path, const char *before,
                       const char *after)
{
    if (!is_same_text(before, after)) {
        set->changes[set->count++] =
            (struct cvm_catalogue_change){.path = path, .before = before, .after = after};
    }
}

static const char *quiet_text(struct gathering *g, const struct cvm_consent *consent)
{
    char text[32];
    if (!consent->has_record || consent->quiet_start_min == CVM_MINUTE_NONE) {
        return NULL;
    }
    (void)!snprintf(text, sizeof(text), "%02d:%02d-%02d:%02d", consent->quiet_start_min / 60 % 24,
                    consent->quiet_start_min % 60, consent->quiet_end_min / 60 % 24,
                    consent->quiet_end_min % 60);
    return cvm_arena_string(g->arena, text);
}

static const char *time_word(const struct cvm_consent *consent)
{
    return consent->has_record ? cvm_preferred_time_words[consent->preferred_time] : NULL;
}

static const char *language_of(struct gathering *g, const struct cvm_consent *consent)
{
    return consent->language[0] == '\0' ? NULL : cvm_arena_string(g->arena, consent->language);
}

static void compare_permissions(struct gathering *g, const struct cvm_consent *after,
                                struct change_set *set)
{
    for (int i = 0; i < CVM_CHANNEL_COUNT * CVM_DIRECTION_COUNT * CVM_PURPOSE_COUNT; i++) {
        int channel = i / (CVM_DIRECTION_COUNT * CVM_PURPOSE_COUNT);
        int direction = i / CVM_PURPOSE_COUNT % CVM_DIRECTION_COUNT;
        int purpose = i % CVM_PURPOSE_COUNT;
        uint32_t bit = cvm_consent_bit((enum cvm_channel)channel, (enum cvm_direction)direction,
                                       (enum cvm_purpose)purpose);
        char path[64];
        (void)!snprintf(path, sizeof(path), "%s %s %s", cvm_channel_words[channel],
                        cvm_direction_words[direction], cvm_purpose_words[purpose]);
        add_change(set, cvm_arena_string(g->arena, path), permission(&g->consent, bit),
                   permission(after, bit));
    }
}

static enum cvm_status take_consent(void *state, const struct cvm_consent_version *version,
                                    struct cvm_error *err)
{
    struct gathering *g = state;
    const struct cvm_consent *after = &version->consent;
    struct change_set set = {
        .changes = CVM_NEW_ARRAY(g->arena, CONSENT_CHANGES, struct cvm_catalogue_change)};
    char text[200];
    (void)!snprintf(text, sizeof(text), "permissions of %s", version->origin.source);
    const char *what = cvm_arena_string(g->arena, text);
    if (set.changes == NULL || what == NULL) {
        return fail_memory(err);
    }
    compare_permissions(g, after, &set);
    add_change(&set, "quiet hours", quiet_text(g, &g->consent), quiet_text(g, after));
    add_change(&set, "preferred time", time_word(&g->consent), time_word(after));
    add_change(&set, "language", language_of(g, &g->consent), language_of(g, after));
    if (!version->origin.is_retracted) {
        g->consent = *after;
    }
    return add_entry(g, &version->origin, what, set.changes, set.count, err);
}

/* ---- all of it ---- */

static int newest_first(const void *left, const void *right)
{
    const struct cvm_history_entry *a = left;
    const struct cvm_history_entry *b = right;
    if (a->batch != b->batch) {
        return a->batch > b->batch ? -1 : 1;
    }
    int order = strcmp(a->what, b->what);
    return order != 0 ? order : (a->version < b->version) - (a->version > b->version);
}

static enum cvm_status gather(struct gathering *g, struct cvm_store *store, uint64_t key,
                              struct cvm_error *err)
{
    if (g->reader == NULL) {
        return fail_memory(err);
    }
    enum cvm_status status = cvm_record_versions(store, key, take_record, g, err);
    if (status == CVM_OK) {
        status = end_record(g, err);
    }
    return status == CVM_OK ? cvm_consent_versions(store, key, take_consent, g, err) : status;
}

static void tell(struct cvm_history_writer *writer, const struct cvm_history_entry *entries,
                 size_t count, int64_t *before)
{
    int64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        if (*before != 0 && entries[i].batch >= *before) {
            continue;
        }
        if (writer->count >= writer->limit && entries[i].batch != last) {
            *before = last;
            return;
        }
        cvm_history_write(writer, &entries[i]);
        last = entries[i].batch;
    }
    *before = 0;
}

enum cvm_status cvm_history_customer(struct cvm_history_writer *writer, struct cvm_store *store,
                                     const char *customer_id, int64_t *before,
                                     struct cvm_error *err)
{
    struct gathering g = {.arena = writer->session->arena,
                          .reader = cvm_json_reader_create(RECORD_BYTES_MAX)};
    uint64_t key = 0;
    cvm_consent_init(&g.consent);
    cvm_column_init(&g.versions, sizeof(struct version));
    cvm_column_init(&g.entries, sizeof(struct cvm_history_entry));
    enum cvm_status status = cvm_customer_find_ever(store, customer_id, &key, err);
    if (status == CVM_OK) {
        status = gather(&g, store, key, err);
    }
    struct cvm_history_entry *entries = CVM_COLUMN_DATA(&g.entries, struct cvm_history_entry);
    if (status == CVM_OK && g.entries.count > 1) {
        qsort(entries, g.entries.count, sizeof(*entries), newest_first);
    }
    if (status == CVM_OK) {
        tell(writer, entries, g.entries.count, before);
    }
    cvm_column_finish(&g.versions);
    cvm_column_finish(&g.entries);
    cvm_json_reader_destroy(g.reader);
    return status;
}
