/* purge: events that are older than their source keeps them */
#include <poll.h>
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/paths.h"
#include "cli/work.h"
#include "storage/catalogue_store.h"
#include "storage/erase.h"
#include "storage/purge.h"

/* Another writer looks for the lock every 20 ms: it gets its turn this often, and then soon. */
#define TURN_SECONDS        2.0
#define PAUSE_MS            50
#define CATALOGUE_BYTES_MAX ((size_t)256 << 20)

struct purge_job {
    struct cvm_session *session;
    struct cvm_purge_options options;
    bool writes_anew; /* the databases, at the end */
    double turn_began_s;
    struct cvm_arena *arena;        /* of the turn's catalogue, which names the sources */
    struct cvm_purge_report report; /* of the last turn */
    int64_t customers;              /* of all turns */
};

static bool may_go_on(void *state)
{
    const struct purge_job *job = state;
    return cvm_context_seconds(&job->session->context) - job->turn_began_s < TURN_SECONDS;
}

static enum cvm_status parse(struct purge_job *job, const struct cvm_arguments *arguments,
                             struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    const char *reason = cvm_argument(arguments, "--reason");
    int32_t today = cvm_session_today(session);
    char day[CVM_DAY_TEXT_SIZE];
    job->writes_anew = cvm_argument_given(arguments, "--compact");
    job->options = (struct cvm_purge_options){
        .as_of_day = today,
        .is_dry = cvm_argument_given(arguments, "--dry-run"),
        .who = session->who,
        .why = reason == NULL ? "keep_days" : reason,
        .context = &session->context,
        .may_go_on = may_go_on,
        .may_go_on_state = job,
        .on_progress = cvm_session_progress,
        .progress_state = session,
    };
    enum cvm_status status = cvm_argument_day(arguments, "--as-of", &job->options.as_of_day, err);
    if (status == CVM_OK && job->options.as_of_day > today) {
        status = CVM_FAIL(err, CVM_E_INVALID,
                          "option '--as-of': found a day after today (%s): that would remove more "
                          "than keep_days says",
                          cvm_day_format(today, day));
    }
    if (status == CVM_OK && job->options.is_dry) {
        job->options.may_go_on = NULL; /* it keeps nobody waiting */
    }
    return cvm_session_usage(session, status);
}

/* ---- the work ---- */

static enum cvm_status take_turn(struct purge_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_store *store = NULL;
    bool is_dry = job->options.is_dry;
    job->turn_began_s = cvm_context_seconds(&session->context);
    enum cvm_status status =
        cvm_session_store(session, is_dry ? CVM_DB_READ : CVM_DB_WRITE, &store, err);
    cvm_arena_reset(job->arena);
    if (status == CVM_OK) { /* somebody may have changed it between two turns */
        status = cvm_catalogue_store_load(store, job->arena, 0, &catalogue, err);
    }
    if (status == CVM_OK) {
        status = cvm_purge(store, catalogue, &job->options, &job->report, err);
    }
    if (status == CVM_OK && job->report.is_done && job->writes_anew && !is_dry) {
        status = cvm_erase_remnants(store, err);
        status = status == CVM_OK
                     ? CVM_OK
                     : cvm_error_context(err, status, "purged, but not yet from the files");
    }
    cvm_store_close(store);
    return status;
}

/* The lock is let go between turns: a purge of a large store takes minutes, a decision should not
 * wait for it. */
static enum cvm_status take_turns(struct purge_job *job, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    do {
        status = take_turn(job, err);
        if (status == CVM_OK) {
            job->customers += job->report.customers;
        }
        if (status == CVM_OK && !job->report.is_done) {
            (void)poll(NULL, 0, PAUSE_MS);
        }
    } while (status == CVM_OK && !job->report.is_done);
    cvm_session_progress_end(job->session);
    return status;
}

/* ---- the report ---- */

static enum cvm_status print_document(const struct purge_job *job, int64_t rows,
                                      struct cvm_error *err)
{
    const struct cvm_purge_limits *limits = &job->report.limits;
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_number(json, "purge", job->report.purge);
    cvm_json_key_bool(json, "dry_run", job->options.is_dry);
    cvm_json_key_day(json, "as_of", job->options.as_of_day);
    cvm_json_key_int(json, "rows", rows);
    cvm_json_key_int(json, "customers", job->customers);
    cvm_json_key_object(json, "by_source");
    for (size_t i = 0; i < limits->count; i++) {
        cvm_json_key_object(json, limits->limits[i].name);
        cvm_json_key_day(json, "kept_from", limits->limits[i].before_day);
        cvm_json_key_int(json, "records", limits->limits[i].records);
        cvm_json_key_int(json, "rows", limits->limits[i].rows);
        cvm_json_object_end(json);
    }
    cvm_json_object_end(json);
    return cvm_document_print(&document, job->session, err);
}

static void print_table(const struct purge_job *job, int64_t rows)
{
    static const char *const headers[] = {"source", "kept from", ">records", ">rows"};
    const struct cvm_purge_limits *limits = &job->report.limits;
    FILE *out = job->session->out;
    char day[CVM_DAY_TEXT_SIZE];
    char numbers[2][CVM_NUMBER_TEXT_SIZE];
    struct cvm_table table;
    if (limits->count == 0) {
        fputs("No source has keep_days, or none of those that have it was ever imported: nothing "
              "to purge.\n",
              out);
        return;
    }
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < limits->count; i++) {
        cvm_table_add(&table, limits->limits[i].name);
        cvm_table_add(&table, cvm_day_format(limits->limits[i].before_day, day));
        cvm_table_add(&table, cvm_grouped(limits->limits[i].records, numbers[0]));
        cvm_table_add(&table, cvm_grouped(limits->limits[i].rows, numbers[0]));
    }
    cvm_table_print(&table, out);
    fprintf(out, "\n%s rows of %s customers %s.\n", cvm_grouped(rows, numbers[0]),
            cvm_grouped(job->customers, numbers[1]), job->options.is_dry ? "would go" : "are gone");
    if (rows > 0 && !job->options.is_dry && cvm_store_is_server(job->session->config.store_url)) {
        fputs("The server uses their room again once it has vacuumed (at once: VACUUM ANALYZE "
              "event).\n",
              out);
    }
}

static enum cvm_status report(const struct purge_job *job, struct cvm_error *err)
{
    int64_t rows = 0;
    for (size_t i = 0; i < job->report.limits.count; i++) {
        rows += job->report.limits.limits[i].rows;
    }
    if (job->session->is_json) {
        return print_document(job, rows, err);
    }
    print_table(job, rows);
    return CVM_OK;
}

static enum cvm_status run_purge(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    struct purge_job job = {.session = session};
    enum cvm_status status = parse(&job, arguments, err);
    if (status == CVM_OK && (job.arena = cvm_arena_create(CATALOGUE_BYTES_MAX)) == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the catalogue");
    }
    if (status == CVM_OK) {
        status = take_turns(&job, err);
    }
    status = status == CVM_OK ? report(&job, err) : status;
    cvm_arena_destroy(job.arena);
    return status;
}

static const struct cvm_option purge_options[] = {
    {"--as-of", "D", "count from this day (default: today)"},
    {"--dry-run", NULL, "count what would go, remove nothing"},
    {"--reason", "TEXT", "why, for the audit (default: keep_days)"},
    {"--compact", NULL, "write the files anew: they shrink, and tell nothing of what is gone"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_purge = {
    .name = "purge",
    .arguments = "",
    .summary = "Remove events that are older than their source keeps them",
    .details =
        "A source of a mapping may say keep_days: records of earlier days go, in all their\n"
        "versions. Undated records, permissions, plans, outcomes and the audit stay. Other\n"
        "writers get their turn in between; what a purge that was cut off left, the next one\n"
        "does. Room in the files is used again by what comes; --compact gives it back, and\n"
        "takes as long, and as much room, as copying the store.\n\n"
        "  cvm purge --dry-run\n"
        "  cvm purge --as-of 2024-03-20 --reason \"nightly\"",
    .options = purge_options,
    .run = run_purge,
};
