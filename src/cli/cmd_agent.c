#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "agents/runner.h"
#include "cli/agent_process.h"
#include "cli/commands.h"
#include "cli/work.h"

#define LOOK_MS 100

static bool is_cancelled(const struct cvm_session *session)
{
    const atomic_bool *cancelled = session->context.cancelled;
    return cancelled != NULL && atomic_load(cancelled);
}

/* Until somebody says stop, or a worker could not go on. */
static void wait_for_end(const struct cvm_session *session, const struct cvm_agent_process *process)
{
    while (!is_cancelled(session) && !cvm_host_has_failed(process->host)) {
        struct timespec pause = {0, LOOK_MS * INT64_C(1000000)};
        (void)nanosleep(&pause, NULL);
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

static enum cvm_status run_agent(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    struct cvm_agent_process_options options = {.types = arguments->positional[0]};
    struct cvm_agent_process process;
    enum cvm_status status =
        cvm_argument_int(arguments, "--workers", 1, 256, &options.workers, err);
    if (status == CVM_OK) {
        status = cvm_session_threads(session, arguments, &options.threads, err);
    }
    if (status != CVM_OK) {
        return cvm_session_usage(session, status);
    }
    status = cvm_agent_process_open(session, &options, &process, err);
    if (status != CVM_OK) {
        return status;
    }
    if (!session->is_quiet) {
        fprintf(session->err, "agents %s run as %s; stop them with SIGTERM\n", options.types,
                process.name);
    }
    wait_for_end(session, &process);
    tell_turns(session, &process);
    return cvm_agent_process_close(&process, err);
}

static const struct cvm_option agent_options[] = {
    {"--workers", "N", "workers of each type (default: 1; of treatment one per core)"},
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
        "  evaluation     says what became of a run\n"
        "  orchestration  moves workflows on\n"
        "  all            every one of them\n\n"
        "  cvm agent treatment --workers 8\n"
        "  cvm agent orchestration,data,allocation",
    .positional_min = 1,
    .positional_max = 1,
    .options = agent_options,
    .run = run_agent,
};
