/* main.c - the process: configuration, clock, signals, and errors turned into exit codes. */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/config.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/document.h"

#define ARENA_BYTES_MAX ((size_t)16 << 30)

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_PARTIAL = 3 };

static atomic_bool is_cancelled;

/* The second signal ends the process at once: the default action is restored by SA_RESETHAND. */
static void cancel(int signal_number)
{
    (void)signal_number;
    atomic_store_explicit(&is_cancelled, true, memory_order_relaxed);
}

/* What whoever started us has ignored stays so: nohup, a script that runs us in the background,
 * `cvm up`. */
static void cancel_on(int signal_number)
{
    struct sigaction on_cancel = {.sa_handler = cancel, .sa_flags = (int)SA_RESETHAND};
    struct sigaction inherited;
    if (sigaction(signal_number, NULL, &inherited) != 0 || inherited.sa_handler != SIG_IGN) {
        (void)sigaction(signal_number, &on_cancel, NULL);
    }
}

static void set_signals(void)
{
    struct sigaction on_pipe = {.sa_handler = SIG_IGN};
    cancel_on(SIGINT);
    cancel_on(SIGTERM);
    cancel_on(SIGHUP);
    (void)sigaction(SIGPIPE, &on_pipe, NULL); /* a write then fails, which is an ordinary error */
}

/* A terminal that knows no escape sequences; without TERM nothing is known of it. */
static bool is_dumb(void)
{
    const char *terminal = getenv("TERM");
    return terminal == NULL || terminal[0] == '\0' || strcmp(terminal, "dumb") == 0;
}

/* https://no-color.org: any value but the empty one. */
static bool may_colour(int descriptor)
{
    const char *refused = getenv("NO_COLOR");
    return isatty(descriptor) == 1 && !is_dumb() && (refused == NULL || refused[0] == '\0');
}

static const char *find_user(struct cvm_arena *arena)
{
    const struct passwd *entry = getpwuid(geteuid());
    struct cvm_text text;
    cvm_text_init(&text, 0);
    if (entry != NULL) {
        cvm_text_add_format(&text, "cli:%s", entry->pw_name);
    } else {
        cvm_text_add_format(&text, "cli:%ld", (long)geteuid());
    }
    const char *who = cvm_arena_string(arena, cvm_text_string(&text));
    cvm_text_finish(&text);
    return who == NULL ? "cli" : who;
}

/* `cvm init` makes the configuration, so it reads none. */
static enum cvm_status load_config(struct cvm_session *session, const struct cvm_command_line *line,
                                   struct cvm_error *err)
{
    static const char default_path[] = "cvm.yaml";
    const char *path = line->config_path;
    enum cvm_status status = CVM_OK;
    session->config = cvm_config_default();
    if (strcmp(line->command->name, "init") != 0) {
        if (path == NULL && cvm_file_exists(default_path)) {
            path = default_path;
        }
        if (path != NULL) {
            status = cvm_config_read(session->arena, path, &session->config, err);
        }
    }
    if (line->store_url != NULL) {
        session->config.store_url = line->store_url;
        session->is_store_named = true;
    }
    return status;
}

static enum cvm_status open_session(struct cvm_session *session,
                                    const struct cvm_command_line *line, struct cvm_error *err)
{
    enum cvm_log_level level = CVM_LOG_WARN;
    session->is_quiet = line->is_quiet;
    session->has_progress = !line->is_quiet && isatty(STDERR_FILENO) == 1 && !is_dumb();
    session->has_colour = may_colour(STDOUT_FILENO);
    session->has_error_colour = may_colour(STDERR_FILENO);
    session->can_ask = !line->is_json && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    enum cvm_status status = load_config(session, line, err);
    if (status != CVM_OK) {
        return status;
    }
    (void)cvm_log_level_from_name(session->config.log_level, &level);
    session->context.log = cvm_log_create(&(struct cvm_log_options){
        .stream = stderr,
        .level = level,
        .as_json = strcmp(session->config.log_format, "json") == 0,
        .clock = cvm_clock_system,
    });
    return cvm_zone_open(session->config.time_zone, &session->zone, err);
}

static void print_error_document(const struct cvm_error *err)
{
    struct cvm_text text;
    struct cvm_json_writer json;
    cvm_text_init(&text, 0);
    cvm_json_init(&json, &text, true);
    cvm_json_object(&json);
    cvm_json_key_object(&json, "error");
    cvm_json_key_string(&json, "status", cvm_status_name(err->status));
    cvm_json_key_string(&json, "message", err->message);
    cvm_json_key_string(&json, "where", err->where);
    cvm_json_key_string(&json, "hint", err->hint);
    cvm_json_object_end(&json);
    cvm_json_object_end(&json);
    (void)!puts(cvm_text_string(&text));
    cvm_text_finish(&text);
}

static void print_error(const struct cvm_error *err, bool is_json)
{
    if (is_json) {
        print_error_document(err);
        return;
    }
    bool has_colour = may_colour(STDERR_FILENO);
    fprintf(stderr, has_colour ? "\033[1;31mcvm:\033[0m %s\n" : "cvm: %s\n", err->message);
    if (err->where[0] != '\0') {
        fprintf(stderr, "  at %s\n", err->where);
    }
    if (err->hint[0] != '\0') {
        fprintf(stderr, "  %s\n", err->hint);
    }
}

static int run_command(struct cvm_session *session, const struct cvm_command_line *line)
{
    struct cvm_error err = {0};
    session->is_json = line->is_json;
    session->who = find_user(session->arena);
    enum cvm_status status = open_session(session, line, &err);
    if (status == CVM_OK) {
        status = line->command->run(session, &line->arguments, &err);
    }
    cvm_session_progress_end(session);
    if (status == CVM_OK && (session->is_cut_off || (fflush(stdout) != 0 && errno == EPIPE))) {
        return EXIT_FAILED; /* as by `| head`: there is nobody to tell */
    }
    if (status == CVM_OK && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
        status = CVM_FAIL(&err, CVM_E_UNAVAILABLE, "cannot write to standard output: %s",
                          strerror(errno));
    }
    if (status != CVM_OK) {
        print_error(&err, line->is_json);
        return session->is_usage ? EXIT_USAGE : EXIT_FAILED;
    }
    if (session->is_refuted) {
        return EXIT_FAILED;
    }
    return session->is_partial ? EXIT_PARTIAL : EXIT_DONE;
}

/* A line that can not be parsed may still have asked for JSON. */
static bool asks_for_json(int argc, char *const *argv)
{
    bool asks = false;
    for (int i = 1; i < argc; i++) {
        asks |= strcmp(argv[i], "--json") == 0;
    }
    return asks;
}

static int print_help(const struct cvm_command_line *line)
{
    if (!line->wants_help) { /* nothing was asked for at all */
        cvm_help_print(stderr, line);
        return EXIT_USAGE;
    }
    if (line->help_form == CVM_HELP_MAN) {
        cvm_man_print(stdout, line->command, CVM_VERSION);
    } else {
        cvm_help_print(stdout, line);
    }
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int run_line(struct cvm_arena *arena, int argc, char **argv)
{
    struct cvm_command_line line = {0};
    struct cvm_error err = {0};
    if (cvm_command_line_parse(arena, argc, argv, &line, &err) != CVM_OK) {
        print_error(&err, asks_for_json(argc, argv));
        return EXIT_USAGE;
    }
    if (line.wants_version) {
        return puts("cvm " CVM_VERSION) == EOF ? EXIT_FAILED : EXIT_DONE;
    }
    if (line.command == NULL && !line.wants_help && line.is_json) {
        (void)CVM_FAIL(&err, CVM_E_INVALID, "no command was given");
        (void)cvm_error_hint(&err, CVM_E_INVALID, "'cvm --help' lists the commands.");
        print_error(&err, true);
        return EXIT_USAGE;
    }
    if (line.command == NULL || line.wants_help) {
        return print_help(&line);
    }
    struct cvm_session session = {
        .context = {.clock = cvm_clock_system, .cancelled = &is_cancelled},
        .arena = arena,
        .version = CVM_VERSION,
        .in = stdin,
        .out = stdout,
        .err = stderr,
        .progress = {.is_busy = ATOMIC_FLAG_INIT},
    };
    int code = run_command(&session, &line);
    cvm_zone_close(session.zone);
    cvm_log_destroy(session.context.log);
    return code;
}

int main(int argc, char **argv)
{
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES_MAX);
    if (arena == NULL) {
        fputs("cvm: no memory\n", stderr);
        return EXIT_FAILED;
    }
    set_signals();
    int code = run_line(arena, argc, argv);
    cvm_arena_destroy(arena);
    return code;
}
