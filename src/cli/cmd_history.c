/* history: who changed what, version by version. */
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "cli/catalogue_folder.h"
#include "cli/commands.h"
#include "cli/history.h"
#include "cli/work.h"
#include "storage/catalogue_store.h"
#include "storage/history.h"

#define DEFAULT_LIMIT    20
#define VERSIONS_AT_ONCE 64
#define LINES_SHOWN      20
#define SCRATCH_BYTES    ((size_t)1 << 30)

enum history_kind { ALL, CATALOGUE, CONFIG, CUSTOMER, TREATMENT, TRIGGER, CONSTRAINT, RULE };
static const char *const kind_words[] = {
    [ALL] = "",
    [CATALOGUE] = "catalogue",
    [CONFIG] = "config",
    [CUSTOMER] = "customer",
    [TREATMENT] = "treatment",
    [TRIGGER] = "trigger",
    [CONSTRAINT] = "constraint",
    [RULE] = "rule",
};

void cvm_history_write(struct cvm_history_writer *writer, const struct cvm_history_entry *entry)
{
    struct cvm_json_writer *json = &writer->document.json;
    char moment[CVM_MOMENT_TEXT_SIZE];
    writer->count++;
    if (!writer->session->is_json) {
        FILE *out = writer->session->out;
        fprintf(out, "%s  %s version %lld  %s", cvm_moment_format(entry->at_ms, moment),
                entry->what, (long long)entry->version,
                entry->who[0] == '\0' ? "(unknown)" : entry->who);
        fprintf(out, entry->why[0] == '\0' ? "%s" : "  (%s)", entry->why);
        if (entry->batch != 0) {
            fprintf(out, "  batch %lld%s", (long long)entry->batch,
                    entry->is_retracted ? ", taken back" : "");
        }
        fputc('\n', out);
        cvm_catalogue_changes_print(out, entry->changes, entry->change_count, LINES_SHOWN);
        return;
    }
    cvm_json_object(json);
    cvm_json_key_moment(json, "at", entry->at_ms);
    cvm_json_key_string(json, "who", entry->who);
    cvm_json_key_string(json, "why", entry->why);
    cvm_json_key_string(json, "what", entry->what);
    cvm_json_key_int(json, "version", entry->version);
    cvm_json_key(json, "batch");
    if (entry->batch == 0) {
        cvm_json_null(json);
    } else {
        cvm_json_int(json, entry->batch);
    }
    cvm_json_key_bool(json, "retracted", entry->is_retracted);
    cvm_json_key(json, "changes");
    cvm_catalogue_changes_write(json, entry->changes, entry->change_count);
    cvm_json_object_end(json);
}

struct history_job {
    struct cvm_history_writer writer;
    struct cvm_store *store;
    enum history_kind kind;
    const char *id;
    int64_t before; /* versions below; 0 = from the newest */
    struct cvm_arena *scratch;
    struct cvm_version versions[VERSIONS_AT_ONCE + 1];
    size_t version_count;
};

/* ---- does a change concern what was asked for? ---- */

/* `word` in `text` with nothing of a name before or behind it. */
static bool has_word(const char *text, size_t length, const char *word)
{
    static const char parts[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t word_length = strlen(word);
    for (size_t at = 0; at + word_length <= length; at++) {
        if (memcmp(text + at, word, word_length) != 0) {
            continue;
        }
        bool is_begin = at == 0 || strchr(parts, text[at - 1]) == NULL;
        size_t end = at + word_length;
        bool is_end = end == length || text[end] == '\0' || strchr(parts, text[end]) == NULL;
        if (is_begin && is_end) {
            return true;
        }
    }
    return false;
}

static const struct cvm_catalogue_file *file_of(const struct cvm_catalogue_files *files,
                                                const char *path)
{
    size_t length = strcspn(path, ":");
    for (size_t f = 0; f < files->count; f++) {
        if (strlen(files->files[f].name) == length &&
            memcmp(files->files[f].name, path, length) == 0) {
            return &files->files[f];
        }
    }
    return NULL;
}

/* A line "treatment: ID" at the beginning of a line. */
static bool defines(const struct cvm_catalogue_file *file, const char *key, const char *id)
{
    size_t key_length = strlen(key);
    for (const char *line = file == NULL ? NULL : file->text; line != NULL;) {
        if (strncmp(line, key, key_length) == 0 && line[key_length] == ':' &&
            has_word(line, strcspn(line, "\n#"), id)) {
            return true;
        }
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return false;
}

struct both {
    struct cvm_catalogue_files before;
    struct cvm_catalogue_files after;
};

static bool is_of_item(const struct both *both, const char *path, const char *key, const char *id)
{
    return defines(file_of(&both->before, path), key, id) ||
           defines(file_of(&both->after, path), key, id);
}

/* A file that came or went as a whole is asked for the name. */
static bool is_named(const struct both *both, const struct cvm_catalogue_change *change,
                     const char *id)
{
    const char *path = change->path;
    const struct cvm_catalogue_file *file = file_of(&both->before, path);
    file = file == NULL ? file_of(&both->after, path) : file;
    bool is_whole = strchr(path, ':') == NULL;
    return is_whole ? file != NULL && has_word(file->text, file->length, id)
                    : has_word(path + strcspn(path, ":"), strlen(path + strcspn(path, ":")), id);
}

static bool concerns(const struct history_job *job, const struct both *both,
                     const struct cvm_catalogue_change *change)
{
    static const char constraints[] = "constraints.yaml";
    bool is_capacity = strstr(change->path, "max_per") != NULL;
    switch (job->kind) {
    case TREATMENT:
    case TRIGGER:
        return is_of_item(both, change->path, kind_words[job->kind], job->id);
    case CONSTRAINT: /* a treatment's own capacity goes by its id */
        return strncmp(change->path, constraints, strlen(constraints)) == 0
                   ? is_named(both, change, job->id)
                   : is_capacity && is_of_item(both, change->path, "treatment", job->id);
    case RULE:
        return is_named(both, change, job->id);
    default:
        return true;
    }
}

/* ---- catalogue ---- */

static enum cvm_status load_both(struct history_job *job, int64_t version, struct both *out_both,
                                 struct cvm_error *err)
{
    int64_t found = 0;
    *out_both = (struct both){0};
    enum cvm_status status =
        cvm_catalogue_store_files(job->store, job->scratch, version, &out_both->after, &found, err);
    return status == CVM_OK && version > 1
               ? cvm_catalogue_store_files(job->store, job->scratch, version - 1, &out_both->before,
                                           &found, err)
               : status;
}

static enum cvm_status tell_catalogue(struct history_job *job, const struct cvm_version *version,
                                      struct cvm_error *err)
{
    struct both both;
    const struct cvm_catalogue_change *changes = NULL;
    size_t count = 0;
    size_t kept = 0;
    cvm_arena_reset(job->scratch);
    enum cvm_status status = load_both(job, version->version, &both, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_diff(job->scratch, &both.before, &both.after, &changes, &count, err);
    }
    struct cvm_catalogue_change *mine =
        CVM_NEW_ARRAY(job->scratch, count + 1, struct cvm_catalogue_change);
    if (status == CVM_OK && mine == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the difference");
    }
    for (size_t c = 0; status == CVM_OK && c < count; c++) {
        if (concerns(job, &both, &changes[c])) {
            mine[kept++] = changes[c];
        }
    }
    bool is_told = kept > 0 || job->kind == CATALOGUE || job->kind == ALL;
    if (status == CVM_OK && is_told) {
        cvm_history_write(&job->writer, &(struct cvm_history_entry){.what = "catalogue",
                                                                    .version = version->version,
                                                                    .at_ms = version->at_ms,
                                                                    .who = version->who,
                                                                    .why = version->why,
                                                                    .changes = mine,
                                                                    .change_count = kept});
    }
    return status;
}

/* ---- configuration ---- */

/* `before` is NULL for the first one. */
static enum cvm_status tell_config(struct history_job *job, const struct cvm_version *before,
                                   const struct cvm_version *after, struct cvm_error *err)
{
    const struct cvm_catalogue_change *changes = NULL;
    size_t count = 0;
    struct cvm_catalogue_file files[2] = {{.name = "cvm.yaml"}, {.name = "cvm.yaml"}};
    const struct cvm_version *sides[] = {before, after};
    cvm_arena_reset(job->scratch);
    for (size_t i = 0; i < 2; i++) {
        files[i].text = sides[i] == NULL ? "{}" : sides[i]->body;
        files[i].length = strlen(files[i].text);
    }
    struct cvm_catalogue_files old = {.files = &files[0], .count = 1};
    struct cvm_catalogue_files new = {.files = &files[1], .count = 1};
    enum cvm_status status = cvm_catalogue_diff(job->scratch, &old, &new, &changes, &count, err);
    if (status == CVM_OK) {
        cvm_history_write(&job->writer, &(struct cvm_history_entry){.what = "config",
                                                                    .version = after->version,
                                                                    .at_ms = after->at_ms,
                                                                    .who = after->who,
                                                                    .why = after->why,
                                                                    .changes = changes,
                                                                    .change_count = count});
    }
    return status;
}

/* ---- version by version ---- */

static enum cvm_status take_version(void *state, const struct cvm_version *version,
                                    struct cvm_error *err)
{
    struct history_job *job = state;
    struct cvm_arena *arena = job->writer.session->arena;
    struct cvm_version *copy = &job->versions[job->version_count++];
    *copy = *version;
    copy->who = cvm_arena_string(arena, version->who);
    copy->why = cvm_arena_string(arena, version->why);
    copy->body = version->body == NULL ? NULL : cvm_arena_string(arena, version->body);
    bool is_good =
        copy->who != NULL && copy->why != NULL && (version->body == NULL || copy->body != NULL);
    return is_good ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for the versions");
}

/* One version more than is told: what it is compared with. */
static enum cvm_status tell_versions(struct history_job *job, bool is_config, struct cvm_error *err)
{
    int64_t before = job->before;
    enum cvm_status status = CVM_OK;
    do {
        job->version_count = 0;
        status = is_config ? cvm_config_versions(job->store, before, VERSIONS_AT_ONCE + 1,
                                                 take_version, job, err)
                           : cvm_catalogue_versions(job->store, before, VERSIONS_AT_ONCE + 1,
                                                    take_version, job, err);
        for (size_t v = 0; status == CVM_OK && v < job->version_count && v < VERSIONS_AT_ONCE &&
                           job->writer.count < job->writer.limit;
             v++) {
            const struct cvm_version *version = &job->versions[v];
            bool has_older = v + 1 < job->version_count;
            status = is_config ? tell_config(job, has_older ? version + 1 : NULL, version, err)
                               : tell_catalogue(job, version, err);
            before = version->version;
        }
    } while (status == CVM_OK && job->version_count > VERSIONS_AT_ONCE &&
             job->writer.count < job->writer.limit);
    job->before = before;
    return status;
}

static enum cvm_status fail_unknown(const struct history_job *job, struct cvm_error *err)
{
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_NOT_FOUND, "no version of the catalogue changed a %s '%s'",
                 kind_words[job->kind], job->id);
    return cvm_error_hint(err, status, "`cvm history catalogue` shows what changed, with its ids.");
}

static enum cvm_status tell(struct history_job *job, struct cvm_error *err)
{
    bool is_first_page = job->before == 0;
    if (job->kind == CUSTOMER) {
        return cvm_history_customer(&job->writer, job->store, job->id, &job->before, err);
    }
    enum cvm_status status = CVM_OK;
    if (job->kind == CONFIG || job->kind == ALL) {
        status = tell_versions(job, true, err);
    }
    if (status == CVM_OK && job->kind != CONFIG) {
        job->writer.limit += job->writer.count; /* so many of each */
        job->before = job->kind == ALL ? 0 : job->before;
        status = tell_versions(job, false, err);
    }
    bool is_missing =
        status == CVM_OK && is_first_page && job->id != NULL && job->writer.count == 0;
    return is_missing ? fail_unknown(job, err) : status;
}

/* ---- the command ---- */

static enum cvm_status parse(struct history_job *job, const struct cvm_arguments *arguments,
                             struct cvm_error *err)
{
    size_t count = arguments->positional_count;
    job->kind = ALL;
    if (count > 0) {
        size_t kind = CATALOGUE;
        while (kind <= RULE && strcmp(kind_words[kind], arguments->positional[0]) != 0) {
            kind++;
        }
        if (kind > RULE) {
            return CVM_FAIL(err, CVM_E_INVALID,
                            "found '%s', one of catalogue, config, customer, treatment, trigger, "
                            "constraint, rule is allowed",
                            arguments->positional[0]);
        }
        job->kind = (enum history_kind)kind;
    }
    bool needs_id = job->kind >= CUSTOMER;
    if (needs_id != (count == 2)) {
        return CVM_FAIL(err, CVM_E_INVALID, needs_id ? "%s: its id is missing" : "%s takes no id",
                        kind_words[job->kind]);
    }
    job->id = needs_id ? arguments->positional[1] : NULL;
    job->writer.limit = DEFAULT_LIMIT;
    return cvm_session_page(job->writer.session, arguments, &job->writer.limit, &job->before, err);
}

static enum cvm_status report(struct history_job *job, struct cvm_error *err)
{
    struct cvm_history_writer *writer = &job->writer;
    bool is_full = job->kind == CUSTOMER ? job->before != 0
                                         : writer->count == writer->limit && job->kind != ALL;
    if (!writer->session->is_json) {
        cvm_document_finish(&writer->document);
        if (is_full && !writer->session->is_quiet) {
            fprintf(writer->session->err, "More: --before %lld\n", (long long)job->before);
        }
        return CVM_OK;
    }
    cvm_json_array_end(&writer->document.json);
    cvm_json_key_number(&writer->document.json, "next_before", is_full ? job->before : 0);
    return cvm_document_print(&writer->document, writer->session, err);
}

static enum cvm_status run_history(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct history_job job = {.writer = {.session = session}};
    enum cvm_status status = cvm_session_usage(session, parse(&job, arguments, err));
    if (status != CVM_OK) {
        return status;
    }
    cvm_document_init(&job.writer.document);
    cvm_json_key_string(&job.writer.document.json, "of", kind_words[job.kind]);
    cvm_json_key_string(&job.writer.document.json, "id", job.id);
    cvm_json_key_array(&job.writer.document.json, "history");
    job.scratch = cvm_arena_create(SCRATCH_BYTES);
    status = job.scratch == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the history")
                                 : cvm_session_store(session, CVM_DB_READ, &job.store, err);
    if (status == CVM_OK) {
        status = tell(&job, err);
    }
    cvm_arena_destroy(job.scratch);
    cvm_store_close(job.store);
    if (status != CVM_OK) {
        cvm_document_finish(&job.writer.document);
        return status;
    }
    return report(&job, err);
}

static const struct cvm_option history_options[] = {
    {"--limit", "N", "how many versions, newest first (default 20)"},
    {"--before", "VERSION", "only versions older than this one; of a customer: this batch"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_history = {
    .name = "history",
    .arguments = "[catalogue|config|customer ID|treatment ID|trigger ID|constraint ID|rule ID]",
    .summary = "Who changed what, version by version",
    .details =
        "Versions of the catalogue, or those that changed one treatment, trigger, constraint\n"
        "or rule; of the configuration; or of what is known of a customer: attributes,\n"
        "permissions, corrected records. Without a word catalogue and configuration.\n\n"
        "  cvm history treatment retention_sms\n"
        "  cvm history customer C0000000001 --json",
    .positional_max = 2,
    .options = history_options,
    .run = run_history,
};
