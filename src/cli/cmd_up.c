#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/agent_process.h"
#include "cli/commands.h"

#define PROCESSES_MAX   64
#define LOOK_MS         100
#define FIRST_PAUSE_MS  100
#define MOST_PAUSE_MS   10000
#define CALM_MS         60000 /* alive for so long: its deaths are forgotten */
#define FAILURES_MAX    5     /* in a row, each within CALM_MS */
#define DRAIN_MS        30000
#define ARGUMENTS_MAX   16
#define EXIT_USAGE      2 /* of a child: its options are wrong, and stay so */
#define EVERYTHING_ELSE "orchestration,data,trigger,journey,allocation,evaluation"

/* One process of agents, started again when it dies. */
struct child {
    const char *types;
    pid_t pid;        /* 0 = not running */
    int64_t start_ms; /* steady; of this life, or when the next one may begin */
    int deaths;       /* in a row */
    int failures;     /* those of them that were its own doing: it said that it can not go on */
    bool is_hopeless; /* and never will */
};

struct family {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    struct child children[PROCESSES_MAX];
    size_t count;
};

static int64_t steady_ms(const struct cvm_session *session)
{
    return session->context.clock.steady_ns(session->context.clock.state) / 1000000;
}

static bool is_cancelled(const struct cvm_session *session)
{
    return session->context.cancelled != NULL && atomic_load(session->context.cancelled);
}

/* The same program with the same wiring. A terminal sends SIGINT and SIGHUP to all: the parent says
 * when. One whose parent is killed ends its turns, and so does one whose parent is gone already. */
static void become_agent(const struct family *family, const struct child *child, pid_t parent)
{
    const struct cvm_session *session = family->session;
    const char *arguments[ARGUMENTS_MAX] = {"cvm", "agent", child->types};
    size_t count = 3;
    if (session->config.path != NULL) {
        arguments[count++] = "--config";
        arguments[count++] = session->config.path;
    }
    if (session->is_store_named) {
        arguments[count++] = "--store";
        arguments[count++] = session->config.store_url;
    }
    if (session->is_quiet) {
        arguments[count++] = "--quiet";
    }
    static const char *const passed[] = {"--workers", "--workers-max"};
    for (size_t i = 0; i < 2 && strcmp(child->types, "treatment") == 0; i++) {
        const char *value = cvm_argument(family->arguments, passed[i]);
        if (value != NULL) {
            arguments[count++] = passed[i];
            arguments[count++] = value;
        }
    }
    arguments[count] = NULL;
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent) {
        (void)execv("/proc/self/exe", (char *const *)(uintptr_t)arguments);
    }
    _exit(127);
}

/* The pause doubles with each death in a row. */
static void note_death(struct family *family, struct child *child, const char *how, int number)
{
    int64_t now_ms = steady_ms(family->session);
    int64_t pause_ms = FIRST_PAUSE_MS;
    bool was_calm = now_ms - child->start_ms > CALM_MS;
    bool has_failed = strcmp(how, "exit") == 0 && number != 0;
    pid_t pid = child->pid;
    child->deaths = was_calm ? 1 : child->deaths + 1;
    child->failures = !has_failed ? 0 : was_calm ? 1 : child->failures + 1;
    child->is_hopeless = has_failed && number == EXIT_USAGE;
    for (int i = 1; i < child->deaths && pause_ms < MOST_PAUSE_MS; i++) {
        pause_ms *= 2;
    }
    pause_ms = pause_ms < MOST_PAUSE_MS ? pause_ms : MOST_PAUSE_MS;
    child->pid = 0;
    child->start_ms = now_ms + pause_ms;
    CVM_LOG(family->session->context.log, CVM_LOG_WARN, "agent_process_ended",
            CVM_TEXT("types", child->types), CVM_INT("pid", pid), CVM_TEXT("how", how),
            CVM_INT("number", number), CVM_INT("deaths", child->deaths),
            CVM_INT("pause_ms", pause_ms));
}

static void start(struct family *family, struct child *child)
{
    pid_t parent = getpid();
    child->start_ms = steady_ms(family->session);
    pid_t pid = fork();
    if (pid == 0) {
        become_agent(family, child, parent);
    }
    if (pid < 0) {
        note_death(family, child, "fork", errno);
        return;
    }
    child->pid = pid;
    CVM_LOG(family->session->context.log, CVM_LOG_INFO, "agent_process_started",
            CVM_TEXT("types", child->types), CVM_INT("pid", pid));
}

/* What is killed or crashes starts again for as long as it takes. What itself says that it can not
 * go on is believed in the end. */
static enum cvm_status check_hope(const struct child *child, struct cvm_error *err)
{
    if (!child->is_hopeless && child->failures <= FAILURES_MAX) {
        return CVM_OK;
    }
    enum cvm_status status = CVM_FAIL(
        err, CVM_E_UNAVAILABLE, "agents %s can not run: %s", child->types,
        child->is_hopeless ? "they do not take these options" : "they failed over and over");
    return cvm_error_hint(err, status, "`cvm agent %s` by hand says why.", child->types);
}

static enum cvm_status look_after(struct family *family, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < family->count; i++) {
        struct child *child = &family->children[i];
        int end = 0;
        if (child->pid != 0 && waitpid(child->pid, &end, WNOHANG) == child->pid) {
            bool was_killed = WIFSIGNALED(end);
            note_death(family, child, was_killed ? "signal" : "exit",
                       was_killed ? WTERMSIG(end) : WEXITSTATUS(end));
        }
        status = check_hope(child, err);
        if (status == CVM_OK && child->pid == 0 && steady_ms(family->session) >= child->start_ms) {
            start(family, child);
        }
    }
    return status;
}

static size_t signal_all(const struct family *family, int signal_number)
{
    size_t alive = 0;
    for (size_t i = 0; i < family->count; i++) {
        if (family->children[i].pid != 0) {
            (void)kill(family->children[i].pid, signal_number);
            alive++;
        }
    }
    return alive;
}

static void pause_a_little(void)
{
    struct timespec pause = {0, LOOK_MS * INT64_C(1000000)};
    (void)nanosleep(&pause, NULL);
}

/* They end the turns that they are at; who does not within half a minute is killed, and another
 * process takes its work up. */
static void stop_all(struct family *family)
{
    int64_t until_ms = steady_ms(family->session) + DRAIN_MS;
    size_t alive = signal_all(family, SIGTERM);
    while (alive > 0) {
        pause_a_little();
        for (size_t i = 0; i < family->count; i++) {
            struct child *child = &family->children[i];
            if (child->pid != 0 && waitpid(child->pid, NULL, WNOHANG) == child->pid) {
                child->pid = 0;
                alive--;
            }
        }
        if (alive > 0 && steady_ms(family->session) >= until_ms) {
            (void)signal_all(family, SIGKILL);
            CVM_LOG(family->session->context.log, CVM_LOG_WARN, "agent_processes_killed",
                    CVM_INT("processes", (int64_t)alive), CVM_INT("after_ms", DRAIN_MS));
            until_ms = INT64_MAX;
        }
    }
}

static enum cvm_status add(struct family *family, const char *types, int64_t count,
                           struct cvm_error *err)
{
    for (int64_t i = 0; i < count; i++) {
        if (family->count == PROCESSES_MAX) {
            return CVM_FAIL(err, CVM_E_INVALID, "at most %d processes are looked after",
                            PROCESSES_MAX);
        }
        family->children[family->count++] = (struct child){.types = types};
    }
    return CVM_OK;
}

/* A store that only one process writes, and queues within one, leave nothing to share. */
static enum cvm_status plan(struct family *family, struct cvm_error *err)
{
    const struct cvm_session *session = family->session;
    int64_t treatment = 1;
    enum cvm_status status =
        cvm_argument_int(family->arguments, "--processes", 1, PROCESSES_MAX - 1, &treatment, err);
    if (status != CVM_OK) {
        return cvm_session_usage(family->session, status);
    }
    bool is_file =
        session->config.store_url != NULL && strncmp(session->config.store_url, "sqlite:", 7) == 0;
    if (cvm_session_broker_is_local(session) || is_file) {
        return add(family, "all", 1, err);
    }
    status = add(family, EVERYTHING_ELSE, 1, err);
    return status == CVM_OK ? add(family, "treatment", treatment, err) : status;
}

/* What stands in the way of all of them from the start is said once, and by itself. */
static enum cvm_status check(const struct family *family, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < family->count; i++) {
        bool is_seen = i > 0 && family->children[i].types == family->children[i - 1].types;
        struct cvm_agent_process_options options = {.types = family->children[i].types};
        if (!is_seen) {
            status = cvm_agent_process_check(family->session, &options, err);
        }
    }
    return status;
}

static enum cvm_status run_up(struct cvm_session *session, const struct cvm_arguments *arguments,
                              struct cvm_error *err)
{
    struct family family = {.session = session, .arguments = arguments};
    enum cvm_status status = plan(&family, err);
    if (status == CVM_OK) {
        status = check(&family, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    (void)signal(SIGCHLD, SIG_DFL); /* ignored, nobody would be told how a child ended */
    if (!session->is_quiet) {
        fprintf(session->err, "%zu process%s of agents; stop %s with SIGTERM\n", family.count,
                family.count == 1 ? "" : "es", family.count == 1 ? "it" : "them");
    }
    while (status == CVM_OK && !is_cancelled(session)) {
        status = look_after(&family, err);
        pause_a_little();
    }
    stop_all(&family);
    return status;
}

static const struct cvm_option up_options[] = {
    {"--processes", "N", "processes of treatment agents (default 1), beside one of all the others"},
    {"--workers", "N", "workers in each of them (default: as configured, or one per core)"},
    {"--workers-max", "N", "at most, when they are busy (default: their number stays)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_up = {
    .name = "up",
    .arguments = "",
    .summary = "Run a whole set of agents, and start again what dies",
    .details =
        "One process for all agents but those of treatment, and --processes for these. One\n"
        "that dies is started again, after a pause that doubles, up to ten seconds; one that\n"
        "says over and over that it can not go on ends the set with an error. SIGTERM, SIGINT\n"
        "and SIGHUP let all end the turns that they are at, within half a minute; a second one\n"
        "ends them at once. If this process is killed, the others end by themselves. With a\n"
        "store or a broker of one process (sqlite:, local:) it is one process.\n\n"
        "  cvm up --processes 3",
    .options = up_options,
    .run = run_up,
};
