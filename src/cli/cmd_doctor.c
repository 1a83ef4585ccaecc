/* doctor: what will hurt tonight's run. What the engine sees, and the machine around it. */
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/date.h"
#include "cli/catalogue_folder.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/paths.h"
#include "cli/work.h"
#include "engine/doctor.h"
#include "messaging/broker.h"
#include "storage/cache.h"
#include "storage/catalogue_store.h"

#define MIB                ((double)(1 << 20))
#define FREE_LEAST_MIB     256.0
#define FREE_WARN_MIB      1024.0
#define LOG_WARN_MIB       512.0
#define LOG_WARN_SHARE     0.5
#define JOURNEY_FILE_SHARE 1.0 /* a rebuild writes the journeys once more beside the old ones */

/* ---- the folder ---- */

static enum cvm_status check_folder(struct cvm_session *session, struct cvm_doctor *doctor,
                                    struct cvm_error *err)
{
    const char *folder = session->config.catalogue_folder;
    struct cvm_catalogue_files mine;
    struct cvm_catalogue_files theirs;
    struct cvm_error folder_error;
    int64_t version = 0;
    struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "catalogue",
        .why = "The run decides by the version in force, not by the folder.",
        .fix = "cvm catalogue diff, then cvm apply",
    };
    if (folder == NULL) {
        return CVM_OK;
    }
    if (cvm_catalogue_folder_read(session->arena, folder, &mine, &folder_error) != CVM_OK) {
        return cvm_doctor_find(doctor, &finding, err, "the folder %s can not be read: %.200s",
                               folder, folder_error.message);
    }
    enum cvm_status status =
        cvm_catalogue_store_files(doctor->store, session->arena, 0, &theirs, &version, err);
    if (status != CVM_OK || cvm_catalogue_files_equal(&mine, &theirs)) {
        return status;
    }
    const struct cvm_catalogue *read = NULL;
    if (cvm_catalogue_read(session->arena, &mine, folder, &read, &folder_error) != CVM_OK) {
        finding.severity = CVM_SEVERITY_PROBLEM;
        finding.why = "It can not be applied.";
        finding.fix = folder_error.hint[0] == '\0'
                          ? "Mend it, then cvm apply"
                          : cvm_doctor_text(doctor, "%s", folder_error.hint);
        return cvm_doctor_find(doctor, &finding, err, "%s: %.300s", folder_error.where,
                               folder_error.message);
    }
    return cvm_doctor_find(doctor, &finding, err,
                           "the folder %s differs from catalogue version %lld, which is in force",
                           folder, (long long)version);
}

/* ---- the disk ---- */

static double size_of(const char *path, const char *end)
{
    struct stat status;
    struct cvm_text name;
    cvm_text_init(&name, 0);
    cvm_text_add(&name, path);
    cvm_text_add(&name, end);
    bool is_there = !name.failed && stat(cvm_text_string(&name), &status) == 0;
    cvm_text_finish(&name);
    return is_there ? (double)status.st_size / MIB : 0;
}

static enum cvm_status check_space(struct cvm_doctor *doctor, const char *folder, double store_mib,
                                   struct cvm_error *err)
{
    struct statvfs disk;
    struct cvm_finding finding = {
        .severity = CVM_SEVERITY_PROBLEM,
        .topic = "disk",
        .why = "A run or an import that fills the disk fails half way.",
        .fix = "Make room, or move the store and name its new place in cvm.yaml.",
    };
    if (statvfs(folder, &disk) != 0) {
        return CVM_OK; /* the store itself was opened: this is not what hurts */
    }
    double free_mib = (double)disk.f_bavail * (double)disk.f_frsize / MIB;
    double wanted = store_mib * JOURNEY_FILE_SHARE;
    if (free_mib >= FREE_WARN_MIB && free_mib >= wanted) {
        return CVM_OK;
    }
    finding.severity = free_mib < FREE_LEAST_MIB ? CVM_SEVERITY_PROBLEM : CVM_SEVERITY_WARNING;
    return cvm_doctor_find(doctor, &finding, err,
                           "%.0f MiB are free on the disk of the store, which has %.0f MiB",
                           free_mib, store_mib);
}

static enum cvm_status check_disk(struct cvm_session *session, struct cvm_doctor *doctor,
                                  struct cvm_error *err)
{
    static const char scheme[] = "sqlite:";
    const char *url = session->config.store_url;
    const char *folder = NULL;
    const struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "disk",
        .why = "Reading gets slow, and opening after a crash too.",
        .fix = "End programs that keep the store open for reading; the next import or run folds "
               "the log back.",
    };
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0) {
        return CVM_OK;
    }
    const char *path = url + sizeof(scheme) - 1;
    double store_mib = size_of(path, "");
    double log_mib = size_of(path, "-wal");
    enum cvm_status status = cvm_store_folder(session->arena, url, &folder, err);
    if (status == CVM_OK) {
        status = check_space(doctor, folder, store_mib, err);
    }
    if (status == CVM_OK && log_mib > LOG_WARN_MIB && log_mib > LOG_WARN_SHARE * store_mib) {
        status = cvm_doctor_find(doctor, &finding, err,
                                 "the write-ahead log has grown to %.0f MiB beside a store of %.0f",
                                 log_mib, store_mib);
    }
    return status;
}

/* ---- the cache ---- */

static enum cvm_status check_cache(struct cvm_session *session, struct cvm_doctor *doctor,
                                   struct cvm_error *err)
{
    struct cvm_cache *cache = NULL;
    struct cvm_error found;
    struct cvm_finding finding = {
        .severity = CVM_SEVERITY_PROBLEM,
        .topic = "cache",
        .why = "cvm decide does not start with this line of cvm.yaml.",
        .fix = "Mend the line 'cache:' of cvm.yaml, or leave it out.",
    };
    enum cvm_status status =
        cvm_cache_open(session->config.cache_url, &(struct cvm_cache_options){0}, &cache, &found);
    if (status == CVM_OK) {
        status = cvm_cache_check(cache, &session->context, &found);
        finding.severity = CVM_SEVERITY_WARNING;
        finding.why = "Decisions stay right and get slower: each reads its customer anew.";
        finding.fix = "Start the server, or mend the line 'cache:' of cvm.yaml.";
    }
    cvm_cache_close(cache);
    return status == CVM_OK ? CVM_OK
                            : cvm_doctor_find(doctor, &finding, err, "%.200s", found.message);
}

/* ---- the broker ---- */

static enum cvm_status check_broker(struct cvm_session *session, struct cvm_doctor *doctor,
                                    struct cvm_error *err)
{
    struct cvm_broker *broker = NULL;
    struct cvm_error found;
    struct cvm_finding finding = {
        .severity = CVM_SEVERITY_PROBLEM,
        .topic = "broker",
        .why = "No agent starts with this line of cvm.yaml.",
        .fix = "Mend the line 'broker:' of cvm.yaml, or leave it out.",
    };
    /* What is found is said, not logged. */
    struct cvm_broker_options options = {.context.clock = session->context.clock};
    enum cvm_status status = cvm_broker_open(session->config.broker_url, &options, &broker, &found);
    if (status == CVM_OK) {
        status = cvm_broker_check(broker, &found);
        finding.severity = CVM_SEVERITY_WARNING;
        finding.why = "Work waits in the store until the broker is back.";
        finding.fix = "Start the server, or mend the line 'broker:' of cvm.yaml.";
    }
    cvm_broker_close(broker);
    return status == CVM_OK ? CVM_OK
                            : cvm_doctor_find(doctor, &finding, err, "%.200s", found.message);
}

/* ---- the store's server ---- */

static enum cvm_status check_server(struct cvm_session *session, struct cvm_doctor *doctor,
                                    struct cvm_store_server *out_server, struct cvm_error *err)
{
    int64_t threads = (int64_t)doctor->engine->worker_count;
    int64_t wanted = session->config.connections > 0 ? session->config.connections : threads + 2;
    enum cvm_status status = cvm_store_server(doctor->store, out_server, err);
    const struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "store",
        .why = "A run or an import that gets no connection waits for one, and then fails.",
        .fix = "Set `connections` in cvm.yaml to what is free (at least 4), use fewer threads, or "
               "raise max_connections of the server.",
    };
    if (status != CVM_OK || out_server->most == 0) {
        return status;
    }
    int64_t free = out_server->most - out_server->reserved - out_server->used;
    return wanted <= free ? CVM_OK
                          : cvm_doctor_find(
                                doctor, &finding, err,
                                "a run takes up to %lld connections, %lld of the server's %lld are "
                                "free",
                                (long long)wanted, (long long)(free < 0 ? 0 : free),
                                (long long)(out_server->most - out_server->reserved));
}

/* Where nothing can be read there is one thing to say. */
static enum cvm_status find_unreachable(struct cvm_doctor *doctor, const struct cvm_error *opening,
                                        struct cvm_error *err)
{
    const struct cvm_finding finding = {
        .severity = CVM_SEVERITY_PROBLEM,
        .topic = "store",
        .why = "Nothing can be read or written: no run, no import, no decision.",
        .fix = cvm_doctor_text(doctor, "%s",
                               opening->hint[0] == '\0' ? "Mend the line 'store:' of cvm.yaml."
                                                        : opening->hint),
    };
    doctor->findings = CVM_NEW_ARRAY(doctor->arena, CVM_FINDINGS_MAX, struct cvm_finding);
    return doctor->findings == NULL
               ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the findings")
               : cvm_doctor_find(doctor, &finding, err, "%.300s", opening->message);
}

/* ---- report ---- */

static void count_findings(const struct cvm_doctor *doctor, int64_t counts[3])
{
    for (size_t i = 0; i < doctor->count; i++) {
        counts[doctor->findings[i].severity]++;
    }
}

static void write_server(const struct cvm_store_server *server, struct cvm_json_writer *json)
{
    cvm_json_key(json, "server");
    if (server->version[0] == '\0') {
        cvm_json_null(json);
        return;
    }
    cvm_json_object(json);
    cvm_json_key_string(json, "version", server->version);
    cvm_json_key_int(json, "connections_used", server->used);
    cvm_json_key_number(json, "connections_most", server->most - server->reserved);
    cvm_json_object_end(json);
}

static enum cvm_status print_document(struct cvm_session *session, const struct cvm_doctor *doctor,
                                      const struct cvm_store_server *server,
                                      const int64_t counts[3], struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_day(json, "as_of", doctor->as_of_day);
    cvm_json_key_int(json, "customers", doctor->customers);
    cvm_json_key_int(json, "problems", counts[CVM_SEVERITY_PROBLEM]);
    cvm_json_key_int(json, "warnings", counts[CVM_SEVERITY_WARNING]);
    cvm_json_key_int(json, "notes", counts[CVM_SEVERITY_NOTE]);
    cvm_json_key_bool(json, "is_cut", doctor->is_cut);
    write_server(server, json);
    cvm_json_key_array(json, "findings");
    for (int severity = CVM_SEVERITY_PROBLEM; severity >= CVM_SEVERITY_NOTE; severity--) {
        for (size_t i = 0; i < doctor->count; i++) {
            const struct cvm_finding *finding = &doctor->findings[i];
            if ((int)finding->severity == severity) {
                cvm_json_object(json);
                cvm_json_key_string(json, "severity", cvm_severity_words[severity]);
                cvm_json_key_string(json, "topic", finding->topic);
                cvm_json_key_string(json, "what", finding->what);
                cvm_json_key_string(json, "why", finding->why);
                cvm_json_key_string(json, "fix", finding->fix);
                cvm_json_object_end(json);
            }
        }
    }
    cvm_json_array_end(json);
    return cvm_document_print(&document, session, err);
}

static void print_finding(struct cvm_session *session, const struct cvm_finding *finding)
{
    static const char *const colours[] = {"36", "33", "1;31"};
    const char *word = cvm_severity_words[finding->severity];
    if (session->has_colour) {
        fprintf(session->out, "\033[%sm%-8s\033[0m", colours[finding->severity], word);
    } else {
        fprintf(session->out, "%-8s", word);
    }
    fprintf(session->out, "  %s: %s\n            why  %s\n            fix  %s\n", finding->topic,
            finding->what, finding->why, finding->fix);
}

static void print_server(struct cvm_session *session, const struct cvm_store_server *server)
{
    if (server->most > 0) {
        fprintf(session->out, "%s answers; others use %lld of its %lld connections.\n",
                server->version, (long long)server->used,
                (long long)(server->most - server->reserved));
    }
}

static void print_report(struct cvm_session *session, const struct cvm_doctor *doctor,
                         const int64_t counts[3])
{
    char day[CVM_DAY_TEXT_SIZE];
    char number[CVM_NUMBER_TEXT_SIZE];
    for (int severity = CVM_SEVERITY_PROBLEM; severity >= CVM_SEVERITY_NOTE; severity--) {
        for (size_t i = 0; i < doctor->count; i++) {
            if ((int)doctor->findings[i].severity == severity) {
                print_finding(session, &doctor->findings[i]);
            }
        }
    }
    fprintf(session->out,
            "%s%s customers as of %s: %lld problem%s, %lld warning%s, %lld note%s%s.\n",
            doctor->count > 0 ? "\n" : "", cvm_grouped(doctor->customers, number),
            cvm_day_format(doctor->as_of_day, day), (long long)counts[CVM_SEVERITY_PROBLEM],
            counts[CVM_SEVERITY_PROBLEM] == 1 ? "" : "s", (long long)counts[CVM_SEVERITY_WARNING],
            counts[CVM_SEVERITY_WARNING] == 1 ? "" : "s", (long long)counts[CVM_SEVERITY_NOTE],
            counts[CVM_SEVERITY_NOTE] == 1 ? "" : "s", doctor->is_cut ? ", and more" : "");
}

/* What the doctor says of the folder it says once, in its report. */
static enum cvm_status open_quietly(struct cvm_session *session, struct cvm_work *out_work,
                                    struct cvm_error *err)
{
    const struct cvm_work_options options = {.access = CVM_DB_READ, .needs_engine = true};
    bool was_quiet = session->is_quiet;
    session->is_quiet = true;
    enum cvm_status status = cvm_work_open(session, &options, out_work, err);
    session->is_quiet = was_quiet;
    return status;
}

static enum cvm_status report(struct cvm_session *session, const struct cvm_doctor *doctor,
                              const struct cvm_store_server *server, struct cvm_error *err)
{
    int64_t counts[3] = {0};
    count_findings(doctor, counts);
    session->is_partial = counts[CVM_SEVERITY_PROBLEM] > 0;
    if (session->is_json) {
        return print_document(session, doctor, server, counts, err);
    }
    print_report(session, doctor, counts);
    print_server(session, server);
    return CVM_OK;
}

static enum cvm_status run_doctor(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct cvm_work work;
    struct cvm_doctor doctor = {
        .arena = session->arena,
        .as_of_day = cvm_session_today(session),
        .now_ms = cvm_context_now_ms(&session->context),
    };
    struct cvm_store_server server = {{0}, 0, 0, 0};
    struct cvm_error opening = {0};
    enum cvm_status status =
        cvm_session_usage(session, cvm_argument_day(arguments, "--as-of", &doctor.as_of_day, err));
    if (status != CVM_OK) {
        return status;
    }
    status = open_quietly(session, &work, &opening);
    if (status == CVM_E_UNAVAILABLE || status == CVM_E_DENIED) {
        status = find_unreachable(&doctor, &opening, err);
        return status == CVM_OK ? report(session, &doctor, &server, err) : status;
    }
    if (status != CVM_OK) {
        if (err != NULL) {
            *err = opening;
        }
        return status;
    }
    doctor.engine = work.engine;
    doctor.store = work.store;
    status = cvm_doctor_examine(&doctor, err);
    if (status == CVM_OK) {
        status = check_server(session, &doctor, &server, err);
    }
    if (status == CVM_OK) {
        status = check_folder(session, &doctor, err);
    }
    if (status == CVM_OK) {
        status = check_disk(session, &doctor, err);
    }
    if (status == CVM_OK) {
        status = check_cache(session, &doctor, err);
    }
    if (status == CVM_OK) {
        status = check_broker(session, &doctor, err);
    }
    cvm_work_close(&work);
    return status == CVM_OK ? report(session, &doctor, &server, err) : status;
}

static const struct cvm_option doctor_options[] = {
    {"--as-of", "D", "the day of the run (default: today)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "Say what will hurt tonight's run, why, and how to mend it",
    .details =
        "Looks at the catalogue, the whole base, the sources, the last run and plans, kill\n"
        "switches, what was learned, the folder, the disk and the server; changes nothing. A "
        "problem makes\n"
        "the run fail or its result wrong, a warning makes it worse than it need be, a note is\n"
        "worth knowing. Exit status 3 when there is a problem.\n\n"
        "  cvm doctor\n"
        "  cvm doctor --as-of 2024-03-20 --json",
    .options = doctor_options,
    .run = run_doctor,
};
