#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "agents/runner.h"
#include "base/file.h"
#include "base/metrics.h"
#include "cli/agent_process.h"
#include "cli/commands.h"
#include "cli/work.h"
#include "messaging/broker.h"

#define LOOK_MS    100
#define METRICS_MS 5000

static bool is_cancelled(const struct cvm_session *session)
{
    const atomic_bool *cancelled = session->context.cancelled;
    return cancelled != NULL && atomic_load(cancelled);
}

/* Whole, or not at all: who collects it may read at any time. */
static void write_metrics(struct cvm_session *session, const struct cvm_agent_process *process,
                          const char *path)
{
    struct cvm_metrics *metrics = session->context.metrics;
    struct cvm_error err = {0};
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_broker_report(process->broker, metrics);
    cvm_metrics_write(metrics, &text);
    if (text.failed || cvm_file_write(path, cvm_text_string(&text), text.length, &err) != CVM_OK) {
        cvm_session_warn(session, "metrics: %s", err.message);
    }
    cvm_text_finish(&text);
}

/* Until somebody says stop, or a worker could not go on. */
static void wait_for_end(struct cvm_session *session, const struct cvm_agent_process *process,
                         const char *metrics_path)
{
    for (int i = 0; !is_cancelled(session) && !cvm_host_has_failed(process->host); i++) {
        struct timespec pause = {0, LOOK_MS * INT64_C(1000000)};
        if (metrics_path != NULL && i % (METRICS_MS / LOOK_MS) == 0) {
            write_metrics(session, process, metrics_path);
        }
        (void)nanosleep(&pause, NULL);
    }
    if (metrics_path != NULL) {
        write_metrics(session, process, metrics_path);
    }
}

static void tell_turns(struct cvm_session *session, const struct cvm_agent_process *process)
{
    uint64_t counts[CVM_TURN_ENDS];
    if (session->is_quiet) {
        return;
    }
    cvm_host_counts(process->host, counts);
    fprintf(session->err, "turns:");
    for (int end = 0; end < CVM_TURN_ENDS; end++) {
        fprintf(session->err, " %s %llu", cvm_turn_end_name((enum cvm_turn_end)end),
                (unsigned long long)counts[end]);
    }
    fputc('\n', session->err);
}

static enum cvm_status read_options(struct cvm_session *session,
                                    const struct cvm_arguments *arguments,
                                    struct cvm_agent_process_options *options,
                                    struct cvm_error *err)
{
    enum cvm_status status =
        cvm_argument_int(arguments, "--workers", 1, 256, &options->workers, err);
    if (status == CVM_OK) {
        status = cvm_argument_int(arguments, "--workers-max", 1, 256, &options->workers_max, err);
    }
    if (status == CVM_OK && options->workers_max > 0 && options->workers_max < options->workers) {
        status = CVM_FAIL(err, CVM_E_INVALID, "option '--workers-max' is less than '--workers'");
    }
    return status == CVM_OK ? cvm_session_threads(session, arguments, &options->threads, err)
                            : status;
}

static void forget_metrics(struct cvm_session *session)
{
    cvm_metrics_destroy(session->context.metrics);
    session->context.metrics = NULL;
}

static enum cvm_status run_agent(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    struct cvm_agent_process_options options = {.types = arguments->positional[0]};
    const char *metrics_path = cvm_argument(arguments, "--metrics");
    struct cvm_agent_process process;
    enum cvm_status status = read_options(session, arguments, &options, err);
    if (status != CVM_OK) {
        return cvm_session_usage(session, status);
    }
    session->context.metrics = metrics_path == NULL ? NULL : cvm_metrics_create();
    status = cvm_agent_process_open(session, &options, &process, err);
    if (status != CVM_OK) {
        forget_metrics(session);
        return status;
    }
    if (!session->is_quiet) {
        fprintf(session->err, "agents %s run as %s; stop them with SIGTERM\n", options.types,
                process.name);
    }
    wait_for_end(session, &process, metrics_path);
    tell_turns(session, &process);
    status = cvm_agent_process_close(&process, err);
    forget_metrics(session);
    return status;
}

static const struct cvm_option agent_options[] = {
    {"--workers", "N", "workers of each type (default: as configured, or 1; treatment: 1 a core)"},
    {"--workers-max", "N", "at most, when they are busy (default: their number stays)"},
    {"--metrics", "FILE", "write figures for Prometheus there, every 5 s"},
    {"--threads", "N", "threads of the solver (default: as configured; 0 = one per core)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_agent = {
    .name = "agent",
    .arguments = "TYPE[,TYPE...]",
    .summary = "Run agents of some types until SIGTERM",
    .details =
        "Agents take messages from the broker of cvm.yaml, work on the store, and stop\n"
        "when they are told to, after the turn that they are at. Start as many processes as\n"
        "you like: they need a store that several may write (postgresql://) and a broker\n"
        "between them.\n\n"
        "  data           pins what a run sees and cuts the base into parts\n"
        "  trigger        says which triggers find a customer\n"
        "  journey        reads a customer's journey\n"
        "  treatment      values every permitted treatment; treatment.NAME for specialists\n"
        "  allocation     decides who gets what\n"
        "  evaluation     says what became of what was decided\n"
        "  orchestration  moves workflows on\n"
        "  all            every one of them\n\n"
        "  cvm agent treatment --workers 8\n"
        "  cvm agent orchestration,data,allocation",
    .positional_min = 1,
    .positional_max = 1,
    .options = agent_options,
    .run = run_agent,
};
