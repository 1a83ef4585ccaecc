#include "storage/erase.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "base/columns.h"
#include "base/file.h"
#include "base/json_writer.h"
#include "storage/audit_chain.h"
#include "storage/customers.h"
#include "storage/db_sql.h"
#include "storage/vault.h"

#define PSEUDONYM_BYTES 8
#define PSEUDONYM_SIZE  (sizeof("erased-") + (size_t)PSEUDONYM_BYTES * 2)

/* ---- who was erased ---- */

struct cvm_erased_id {
    uint64_t base_key;
    uint64_t customer_key;
    unsigned char mac[CVM_VAULT_MAC_BYTES];
};

static enum cvm_status count_id(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    (void)columns;
    (void)column_count;
    (void)err;
    ++*(size_t *)state;
    return CVM_OK;
}

static enum cvm_status read_id(void *state, const struct cvm_db_value *columns, size_t column_count,
                               struct cvm_error *err)
{
    struct cvm_erased_set *set = state;
    struct cvm_erased_id *id = &set->ids[set->count];
    (void)column_count;
    if (columns[2].bytes.length != sizeof(id->mac)) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "the mark of an erased customer was changed");
    }
    id->base_key = (uint64_t)columns[0].integer;
    id->customer_key = (uint64_t)columns[1].integer;
    memcpy(id->mac, columns[2].bytes.data, sizeof(id->mac));
    set->count++;
    return CVM_OK;
}

enum cvm_status cvm_erased_set_read(struct cvm_store *store, struct cvm_arena *arena,
                                    struct cvm_erased_set *out_set, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    const char *sql = cvm_db_sql(db, CVM_SQL_ERASED_KEYS);
    struct cvm_erased_set set = {0};
    struct cvm_vault *vault = NULL;
    size_t count = 0;
    enum cvm_status status = cvm_db_query(db, sql, NULL, 0, count_id, &count, err);
    if (status == CVM_OK && count > 0) {
        set.ids = CVM_NEW_ARRAY(arena, count, struct cvm_erased_id);
        status = set.ids == NULL
                     ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu erased customers", count)
                     : cvm_db_query(db, sql, NULL, 0, read_id, &set, err);
    }
    if (status == CVM_OK && count > 0 && cvm_store_seals(store)) {
        status = cvm_store_vault(store, &vault, err);
    }
    if (status == CVM_OK) {
        set.vault = vault;
        *out_set = set;
    }
    return status;
}

/* The MAC tells ids apart that hash alike. Where its key is not at hand the hash must do; what was
 * erased before there were keys has a MAC without one. */
static bool is_id(const struct cvm_erased_set *set, const struct cvm_erased_id *erased,
                  const char *id, size_t length)
{
    unsigned char mac[CVM_VAULT_MAC_BYTES];
    cvm_vault_mac(set->vault, id, length, mac);
    bool is_same = set->vault == NULL || sodium_memcmp(mac, erased->mac, sizeof(mac)) == 0;
    if (!is_same) {
        cvm_vault_mac(NULL, id, length, mac);
        is_same = sodium_memcmp(mac, erased->mac, sizeof(mac)) == 0;
    }
    return is_same;
}

/* The first of the ids with this key, from `low` on. */
static size_t first_of(const struct cvm_erased_set *set, uint64_t base_key)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (set->ids[middle].base_key < base_key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool cvm_erased_set_has(const struct cvm_erased_set *set, uint64_t base_key, const char *id,
                        size_t length)
{
    for (size_t i = first_of(set, base_key); i < set->count && set->ids[i].base_key == base_key;
         i++) {
        if (is_id(set, &set->ids[i], id, length)) {
            return true;
        }
    }
    return false;
}

/* ---- names in texts ---- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) != 0 || c == '_' || (unsigned char)c >= 0x80;
}

/* Within JSON, "\n" before a word is no part of it. */
static bool begins_word(const char *text, const char *at)
{
    bool is_escape = at - text >= 2 && at[-2] == '\\' && strchr("nrtbf", at[-1]) != NULL;
    return at == text || is_escape || !is_word(at[-1]);
}

/* The id as a word of its own: "U12" is not in "U124". */
static bool names(const char *text, const char *id)
{
    size_t length = strlen(id);
    for (const char *at = strstr(text, id); at != NULL; at = strstr(at + 1, id)) {
        if (begins_word(text, at) && !is_word(at[length])) {
            return true;
        }
    }
    return false;
}

/* ---- one customer ---- */

struct erasing {
    struct cvm_store *store;
    struct cvm_db *db;
    struct cvm_arena *arena;
    const struct cvm_erasure *erasure;
    struct cvm_erasure_report *report;
    uint64_t key;
    char pseudonym[PSEUDONYM_SIZE];
};

static enum cvm_status add_file(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct erasing *e = state;
    struct cvm_erasure_report *report = e->report;
    const char **files = CVM_NEW_ARRAY(e->arena, report->export_file_count + 1, const char *);
    (void)column_count;
    if (files == NULL ||
        !cvm_db_copy_string(e->arena, &columns[0], &files[report->export_file_count])) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the files of a customer");
    }
    if (report->export_file_count > 0) {
        memcpy(files, report->export_files, report->export_file_count * sizeof(files[0]));
    }
    report->export_files = files;
    report->export_file_count++;
    return CVM_OK;
}

static enum cvm_status by_key(struct erasing *e, enum cvm_sql sql, bool renames,
                              int64_t *out_changed, struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_int((int64_t)e->key), cvm_db_text(e->pseudonym)};
    return cvm_db_exec(e->db, cvm_db_sql(e->db, sql), params, renames ? 2 : 1, out_changed, err);
}

/* The id as it stands in JSON texts, quotes and all. */
static void add_quoted(struct cvm_text *text, const char *id)
{
    struct cvm_json_writer json;
    cvm_text_init(text, 0);
    cvm_json_init(&json, text, false);
    cvm_json_string(&json, id);
}

static enum cvm_status erase_workflows(struct erasing *e, const struct cvm_text *id,
                                       struct cvm_error *err)
{
    static const enum cvm_sql statements[] = {
        CVM_SQL_ERASE_WORKFLOW_STEPS, CVM_SQL_ERASE_WORKFLOW_FAILURES, CVM_SQL_ERASE_WORKFLOWS,
        CVM_SQL_ERASE_MESSAGES,       CVM_SQL_ERASE_DEAD_LETTERS,
    };
    struct cvm_db_value param = cvm_db_text(cvm_text_string(id));
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < sizeof(statements) / sizeof(statements[0]); i++) {
        status = cvm_db_exec(e->db, cvm_db_sql(e->db, statements[i]), &param, 1, NULL, err);
    }
    return status;
}

static enum cvm_status erase_texts(struct erasing *e, struct cvm_error *err)
{
    struct cvm_text id;
    struct cvm_text pseudonym;
    add_quoted(&id, e->erasure->customer_id);
    add_quoted(&pseudonym, e->pseudonym);
    struct cvm_db_value run[] = {cvm_db_text(cvm_text_string(&id)),
                                 cvm_db_text(cvm_text_string(&pseudonym))};
    struct cvm_audit_row note = {
        .who = e->erasure->who, .object = e->pseudonym, .why = e->erasure->why};
    enum cvm_status status = id.failed || pseudonym.failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to erase a customer")
                                 : CVM_OK;
    if (status == CVM_OK) {
        status = cvm_db_exec(e->db, cvm_db_sql(e->db, CVM_SQL_ERASE_RUN_TEXTS), run,
                             CVM_DB_COUNT(run), NULL, err);
    }
    if (status == CVM_OK) {
        status = erase_workflows(e, &id, err);
    }
    if (status == CVM_OK) {
        status = cvm_audit_erase(e->store, e->erasure->customer_id, cvm_text_string(&id), &note,
                                 &e->report->audit_rows, err);
    }
    cvm_text_finish(&id);
    cvm_text_finish(&pseudonym);
    return status;
}

static enum cvm_status record_erasure(struct erasing *e, struct cvm_error *err)
{
    unsigned char mac[CVM_VAULT_MAC_BYTES];
    const struct cvm_erasure *erasure = e->erasure;
    size_t length = strlen(erasure->customer_id);
    struct cvm_vault *vault = NULL;
    char after[128];
    enum cvm_status status =
        cvm_store_seals(e->store) ? cvm_store_vault(e->store, &vault, err) : CVM_OK;
    if (status != CVM_OK) {
        return status;
    }
    cvm_vault_mac(vault, erasure->customer_id, length, mac);
    struct cvm_db_value params[] = {
        cvm_db_int((int64_t)e->key),
        cvm_db_int((int64_t)cvm_customer_key(erasure->customer_id, length)),
        cvm_db_blob(mac, sizeof(mac)),
        cvm_db_int(cvm_store_now_ms(e->store)),
        cvm_db_text(erasure->who),
        cvm_db_text(erasure->why),
    };
    (void)snprintf(after, sizeof(after), "{\"events\":%lld,\"consents\":%lld,\"decisions\":%lld}",
                   (long long)e->report->events, (long long)e->report->consents,
                   (long long)e->report->decisions);
    struct cvm_audit_row row = {
        .who = erasure->who,
        .action = "erase",
        .object = e->pseudonym,
        .why = erasure->why,
        .after = after,
    };
    status = cvm_db_exec(e->db, cvm_db_sql(e->db, CVM_SQL_ERASED_ADD), params, CVM_DB_COUNT(params),
                         NULL, err);
    return status == CVM_OK ? cvm_audit_add(e->store, &row, err) : status;
}

static enum cvm_status erase_rows(struct erasing *e, struct cvm_error *err)
{
    enum cvm_status status = by_key(e, CVM_SQL_ERASE_EVENTS, false, &e->report->events, err);
    if (status == CVM_OK) {
        status = by_key(e, CVM_SQL_ERASE_CONSENTS, false, &e->report->consents, err);
    }
    if (status == CVM_OK) {
        status = by_key(e, CVM_SQL_ERASE_OUTCOME_REASONS, false, NULL, err);
    }
    if (status == CVM_OK) {
        status = by_key(e, CVM_SQL_ERASE_DECISIONS, true, &e->report->decisions, err);
    }
    if (status == CVM_OK) {
        status = by_key(e, CVM_SQL_ERASE_CUSTOMER, true, NULL, err);
    }
    if (status == CVM_OK) {
        status = erase_texts(e, err);
    }
    return status == CVM_OK ? record_erasure(e, err) : status;
}

static enum cvm_status erase_in_store(struct erasing *e, struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_int((int64_t)e->key);
    unsigned char random[PSEUDONYM_BYTES];
    char hex[PSEUDONYM_BYTES * 2 + 1];
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    (void)snprintf(e->pseudonym, sizeof(e->pseudonym), "erased-%s", hex);
    e->report->pseudonym = cvm_arena_string(e->arena, e->pseudonym);
    enum cvm_status status =
        cvm_db_query(e->db, cvm_db_sql(e->db, CVM_SQL_ERASE_EXPORTS), &param, 1, add_file, e, err);
    if (status == CVM_OK) {
        status = cvm_db_begin(e->db, err);
    }
    if (status == CVM_OK) {
        status = erase_rows(e, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(e->db, err);
    }
    cvm_db_rollback(e->db);
    return status;
}

static enum cvm_status has_vault(struct cvm_store *store, bool *out_has_vault,
                                 struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    size_t count = 0;
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, CVM_SQL_VAULT_ID), NULL, 0, count_id, &count, err);
    if (status == CVM_OK) {
        *out_has_vault = count > 0 || cvm_store_seals(store);
    }
    return status;
}

/* First of all: from then on no copy of the store tells what was sealed, wherever it is. */
static enum cvm_status erase_key(struct erasing *e, uint64_t key, struct cvm_error *err)
{
    struct cvm_vault *vault = NULL;
    bool has_keys = false;
    enum cvm_status status = has_vault(e->store, &has_keys, err);
    if (status == CVM_OK && has_keys) {
        status = cvm_store_vault(e->store, &vault, err);
    }
    return status == CVM_OK && has_keys ? cvm_vault_erase(vault, key, err) : status;
}

static enum cvm_status erase_journey(struct erasing *e, uint64_t key, struct cvm_error *err)
{
    struct cvm_db *journeys = cvm_store_journeys(e->store);
    struct cvm_db_value param = cvm_db_int((int64_t)key);
    enum cvm_status status = cvm_db_begin(journeys, err);
    if (status == CVM_OK) {
        status =
            cvm_db_exec(journeys, cvm_db_sql(journeys, CVM_SQL_ERASE_PACKED), &param, 1, NULL, err);
    }
    /* What a cache holds of before is stale. */
    char changed[24];
    (void)snprintf(changed, sizeof(changed), "%lld", (long long)cvm_store_now_ms(e->store));
    struct cvm_db_value meta[] = {cvm_db_text("changed"), cvm_db_text(changed)};
    if (status == CVM_OK) {
        status = cvm_db_exec(journeys, cvm_db_sql(journeys, CVM_SQL_IMPORT_META_PUT), meta, 2, NULL,
                             err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(journeys, err);
    }
    cvm_db_rollback(journeys);
    return status;
}

/* What an earlier call has begun, perhaps without coming to its end. */
static enum cvm_status erase_again(struct erasing *e, const struct cvm_erased_set *set,
                                   bool *out_is_known, struct cvm_error *err)
{
    const char *id = e->erasure->customer_id;
    size_t length = strlen(id);
    uint64_t base_key = cvm_customer_key(id, length);
    bool is_known = false;
    enum cvm_status status = CVM_OK;
    for (size_t i = first_of(set, base_key);
         status == CVM_OK && i < set->count && set->ids[i].base_key == base_key; i++) {
        if (is_id(set, &set->ids[i], id, length)) {
            is_known = true;
            status = erase_key(e, set->ids[i].customer_key, err);
            status = status == CVM_OK ? erase_journey(e, set->ids[i].customer_key, err) : status;
        }
    }
    if (status == CVM_OK) {
        *out_is_known = is_known;
    }
    return status;
}

static enum cvm_status check_reason(const struct cvm_erasure *erasure, struct cvm_error *err)
{
    if (erasure->why == NULL || erasure->why[0] == '\0') {
        return CVM_FAIL(err, CVM_E_INVALID, "an erasure needs a reason");
    }
    return names(erasure->why, erasure->customer_id)
               ? CVM_FAIL(err, CVM_E_INVALID,
                          "the reason names the customer, and it is kept: say it without the id")
               : CVM_OK;
}

static bool is_pseudonym(const struct cvm_erased_set *set, uint64_t key)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->ids[i].customer_key == key) {
            return true;
        }
    }
    return false;
}

enum cvm_status cvm_customer_erase(struct cvm_store *store, struct cvm_arena *arena,
                                   const struct cvm_erasure *erasure,
                                   struct cvm_erasure_report *out_report, struct cvm_error *err)
{
    struct cvm_erasure_report report = {0};
    struct erasing e = {.store = store,
                        .db = cvm_store_db(store),
                        .arena = arena,
                        .erasure = erasure,
                        .report = &report};
    struct cvm_erased_set set;
    bool is_known = false;
    enum cvm_status status = check_reason(erasure, err);
    if (status == CVM_OK) {
        status = cvm_erased_set_read(store, arena, &set, err);
    }
    if (status == CVM_OK) {
        status = erase_again(&e, &set, &is_known, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_customer_find(store, erasure->customer_id, &e.key, err);
    if (status == CVM_OK && is_pseudonym(&set, e.key)) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "'%s' is the pseudonym of an erased customer",
                        erasure->customer_id);
    }
    report.was_erased_before = status == CVM_E_NOT_FOUND && is_known;
    if (status == CVM_OK) {
        status = erase_key(&e, e.key, err);
        status = status == CVM_OK ? erase_in_store(&e, err) : status;
        status = status == CVM_OK ? erase_journey(&e, e.key, err) : status;
    }
    if (status == CVM_OK || report.was_erased_before) {
        *out_report = report;
        return CVM_OK;
    }
    return status;
}

/* ---- customers that a restored backup brought back ---- */

struct finding_back {
    struct cvm_store *store;
    struct cvm_arena *arena;
    const struct cvm_erased_set *set;
    struct cvm_column ids; /* const char * */
};

static enum cvm_status find_back(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct finding_back *f = state;
    uint64_t key = (uint64_t)columns[0].integer;
    const char *id = NULL;
    void *room = NULL;
    struct cvm_error not_there;
    (void)column_count;
    if (is_pseudonym(f->set, key)) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_customer_id(f->store, f->arena, key, &id, &not_there);
    if (status == CVM_E_NOT_FOUND) {
        return CVM_OK;
    }
    if (status != CVM_OK) {
        if (err != NULL) {
            *err = not_there;
        }
        return status;
    }
    status = cvm_column_extend(&f->ids, 1, &room, err);
    if (status == CVM_OK) {
        *(const char **)room = id;
    }
    return status;
}

enum cvm_status cvm_erased_and_back(struct cvm_store *store, struct cvm_arena *arena,
                                    const char *const **out_ids, size_t *out_count,
                                    struct cvm_error *err)
{
    struct cvm_erased_set set;
    struct finding_back f = {.store = store, .arena = arena, .set = &set};
    struct cvm_vault *vault = NULL;
    const char **ids = NULL;
    cvm_column_init(&f.ids, sizeof(const char *));
    enum cvm_status status = cvm_store_vault(store, &vault, err);
    if (status == CVM_OK) {
        status = cvm_erased_set_read(store, arena, &set, err);
    }
    if (status == CVM_OK) {
        struct cvm_db *keys = cvm_vault_db(vault);
        status =
            cvm_db_query(keys, cvm_db_sql(keys, CVM_SQL_KEY_ERASED), NULL, 0, find_back, &f, err);
    }
    if (status == CVM_OK && (ids = CVM_NEW_ARRAY(arena, f.ids.count + 1, const char *)) == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the ids of customers");
    }
    if (status == CVM_OK) {
        for (size_t i = 0; i < f.ids.count; i++) {
            ids[i] = CVM_COLUMN_DATA(&f.ids, const char *)[i];
        }
        *out_ids = ids;
        *out_count = f.ids.count;
    }
    cvm_column_finish(&f.ids);
    return status;
}

/* ---- what deleted rows leave behind ---- */

enum cvm_status cvm_erase_remnants(struct cvm_store *store, struct cvm_error *err)
{
    struct cvm_vault *vault = NULL;
    bool has_keys = false;
    enum cvm_status status = has_vault(store, &has_keys, err);
    if (status == CVM_OK && has_keys) {
        status = cvm_store_vault(store, &vault, err);
    }
    if (status == CVM_OK && has_keys) {
        status = cvm_db_scrub(cvm_vault_db(vault), err);
    }
    if (status == CVM_OK) {
        status = cvm_db_scrub(cvm_store_db(store), err);
    }
    return status == CVM_OK ? cvm_db_scrub(cvm_store_journeys(store), err) : status;
}

static enum cvm_status copy_others(FILE *from, FILE *to, const char *id, int64_t *out_dropped)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length = 0;
    bool is_good = true;
    while (is_good && (length = getline(&line, &size, from)) > 0) {
        if (names(line, id)) {
            ++*out_dropped;
        } else {
            is_good = fwrite(line, 1, (size_t)length, to) == (size_t)length;
        }
    }
    is_good = is_good && ferror(from) == 0;
    free(line);
    return is_good ? CVM_OK : CVM_E_UNAVAILABLE;
}

static enum cvm_status erase_in_file(const char *path, const char *id, int64_t *lines,
                                     struct cvm_error *err)
{
    struct cvm_file_out *out = NULL;
    int64_t dropped = 0;
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        return CVM_FAIL(err, CVM_E_DENIED, "cannot read '%s': %s", path, strerror(errno));
    }
    enum cvm_status status = cvm_file_out_open(path, &out, err);
    if (status == CVM_OK && copy_others(in, cvm_file_out_stream(out), id, &dropped) != CVM_OK) {
        status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot copy '%s': %s", path, strerror(errno));
    }
    if (status == CVM_OK && dropped > 0) {
        status = cvm_file_out_commit(out, err);
    }
    cvm_file_out_close(out);
    (void)fclose(in);
    if (status == CVM_OK) {
        *lines += dropped;
    }
    return status;
}

/* What an erasure that was killed had copied so far. */
static enum cvm_status remove_leftovers(const char *folder, struct cvm_error *err)
{
    DIR *listing = opendir(folder);
    struct dirent *entry = NULL;
    enum cvm_status status = CVM_OK;
    if (listing == NULL) {
        return CVM_FAIL(err, CVM_E_DENIED, "cannot list '%s': %s", folder, strerror(errno));
    }
    while (status == CVM_OK && (entry = readdir(listing)) != NULL) {
        if (cvm_text_matches_pattern(entry->d_name, ".rejects-*.tmp") &&
            unlinkat(dirfd(listing), entry->d_name, 0) != 0) {
            status = CVM_FAIL(err, CVM_E_DENIED, "cannot remove '%s/%s': %s", folder, entry->d_name,
                              strerror(errno));
        }
    }
    (void)closedir(listing);
    return status;
}

enum cvm_status cvm_erase_rejects(struct cvm_arena *arena, const char *folder,
                                  const char *customer_id, int64_t *out_lines,
                                  struct cvm_error *err)
{
    struct cvm_file_list list;
    int64_t lines = 0;
    enum cvm_status status = remove_leftovers(folder, err);
    if (status == CVM_OK) {
        status = cvm_folder_list(arena, folder, 0, &list, err);
    }
    for (size_t i = 0; status == CVM_OK && i < list.count; i++) {
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, list.paths[i]);
        if (cvm_text_matches_pattern(list.paths[i], "rejects-*.ndjson")) {
            status = erase_in_file(path, customer_id, &lines, err);
        }
    }
    if (status == CVM_OK) {
        *out_lines = lines;
    }
    return status;
}
