#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cli/catalogue_folder.h"
#include "cli/command.h"
#include "storage/catalogue_store.h"

#define LOCK_WAIT_MS       10000
#define BAR_WIDTH          24
#define REDRAW_SECONDS     0.1
#define LEFT_AFTER_SECONDS 1 /* before, the rate is not to be trusted */

enum cvm_status cvm_session_usage(struct cvm_session *session, enum cvm_status status)
{
    session->is_usage = status != CVM_OK;
    return status;
}

void cvm_session_warn(struct cvm_session *session, const char *format, ...)
{
    va_list arguments;
    if (session->is_quiet) {
        return;
    }
    cvm_session_progress_end(session);
    fputs(session->has_error_colour ? "\033[33mwarning:\033[0m " : "warning: ", session->err);
    va_start(arguments, format);
    (void)vfprintf(session->err, format, arguments);
    va_end(arguments);
    fputc('\n', session->err);
}

/* Rows that are met once need no more pages than the way down to them has. */
#define SCAN_CACHE_BYTES ((size_t)2 << 20)

static enum cvm_status open_store(struct cvm_session *session, enum cvm_db_access access,
                                  size_t cache_bytes, struct cvm_store **out_store,
                                  struct cvm_error *err)
{
    struct cvm_store_options options = {
        .access = access,
        .cache_bytes = cache_bytes,
        .lock_wait_ms = LOCK_WAIT_MS,
        .retry = session->config.retry,
        .clock = session->context.clock,
        .privacy = session->config.privacy,
        .before_close = cvm_session_seal,
        .before_close_state = session,
    };
    if (session->config.store_url == NULL) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no cvm.yaml here and no --store was given");
        return cvm_error_hint(err, status,
                              "Make one with `cvm init`, or name one: --config DIR/cvm.yaml.");
    }
    return cvm_store_open(session->config.store_url, &options, out_store, err);
}

enum cvm_status cvm_session_store(struct cvm_session *session, enum cvm_db_access access,
                                  struct cvm_store **out_store, struct cvm_error *err)
{
    return open_store(session, access, 0, out_store, err);
}

enum cvm_status cvm_session_store_to_scan(struct cvm_session *session, struct cvm_store **out_store,
                                          struct cvm_error *err)
{
    return open_store(session, CVM_DB_READ, SCAN_CACHE_BYTES, out_store, err);
}

/* A folder that can not be read is for `cvm apply` to complain about. */
static void warn_of_folder(struct cvm_session *session, struct cvm_store *store, int64_t version)
{
    const char *folder = session->config.catalogue_folder;
    struct cvm_catalogue_files mine;
    struct cvm_catalogue_files theirs;
    int64_t found = 0;
    if (folder == NULL || session->is_quiet ||
        cvm_catalogue_folder_read(session->arena, folder, &mine, NULL) != CVM_OK ||
        cvm_catalogue_store_files(store, session->arena, 0, &theirs, &found, NULL) != CVM_OK) {
        return;
    }
    if (!cvm_catalogue_files_equal(&mine, &theirs)) {
        cvm_session_warn(session,
                         "the folder '%s' differs from catalogue version %lld, which is in force; "
                         "`cvm apply` makes it the next version",
                         folder, (long long)version);
    }
}

enum cvm_status cvm_session_catalogue(struct cvm_session *session, struct cvm_store *store,
                                      const struct cvm_catalogue **out_catalogue,
                                      struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = NULL;
    enum cvm_status status = cvm_catalogue_store_load(store, session->arena, 0, &catalogue, err);
    if (status == CVM_E_NOT_FOUND) {
        return cvm_error_hint(err, status, "Load the folder of the catalogue with `cvm apply`.");
    }
    if (status == CVM_OK) {
        warn_of_folder(session, store, catalogue->version);
        *out_catalogue = catalogue;
    }
    return status;
}

bool cvm_session_ask(struct cvm_session *session, const char *question)
{
    char answer[16] = "";
    if (!session->can_ask) {
        return true;
    }
    fprintf(session->out, "%s [y/N] ", question);
    fflush(session->out);
    if (fgets(answer, sizeof(answer), session->in) == NULL) {
        fputc('\n', session->out);
        return false;
    }
    return answer[0] == 'y' || answer[0] == 'Y';
}

int32_t cvm_session_today(const struct cvm_session *session)
{
    return cvm_zone_day(session->zone, cvm_context_now_ms(&session->context));
}

/* 950, 12.3 k, 4.56 M */
static const char *short_count(double count, char text[32])
{
    const char *unit = count >= 1e6 ? " M" : count >= 1e4 ? " k" : "";
    double scale = count >= 1e6 ? 1e6 : count >= 1e4 ? 1e3 : 1;
    (void)snprintf(text, 32, scale > 1 ? "%.1f%s" : "%.0f%s", count / scale, unit);
    return text;
}

/* "8 s", "3 min", "2 h" */
static const char *short_time(double seconds, char text[32])
{
    if (seconds < 100) {
        (void)snprintf(text, 32, "%.0f s", seconds);
    } else if (seconds < 6000) {
        (void)snprintf(text, 32, "%.0f min", seconds / 60);
    } else {
        (void)snprintf(text, 32, "%.1f h", seconds / 3600);
    }
    return text;
}

static void draw(struct cvm_session *session, double fraction, int64_t count, double seconds)
{
    char bar[BAR_WIDTH + 1];
    char number[32];
    fprintf(session->err, "\r\033[K%-12s", session->progress.stage);
    if (fraction >= 0) {
        double share = fraction > 1 ? 1 : fraction;
        size_t filled = (size_t)(share * BAR_WIDTH);
        memset(bar, '.', BAR_WIDTH);
        memset(bar, '#', filled);
        bar[BAR_WIDTH] = '\0';
        fprintf(session->err, " [%s] %3.0f%%", bar, share * 100);
    }
    if (count > 0) {
        fprintf(session->err, "  %s", short_count((double)count, number));
        if (seconds > 0) {
            fprintf(session->err, "  %s/s", short_count((double)count / seconds, number));
        }
    }
    if (fraction > 0 && fraction < 1 && seconds >= LEFT_AFTER_SECONDS) {
        fprintf(session->err, "  %s left", short_time(seconds * (1 - fraction) / fraction, number));
    }
    fflush(session->err);
}

void cvm_session_progress(void *state, const char *stage, double fraction, int64_t count)
{
    struct cvm_session *session = state;
    struct cvm_progress_line *line = &session->progress;
    if (!session->has_progress || atomic_flag_test_and_set(&line->is_busy)) {
        return;
    }
    double now = cvm_context_seconds(&session->context);
    bool is_new = line->stage == NULL || strcmp(line->stage, stage) != 0;
    if (is_new) {
        line->stage = stage;
        line->started_s = now;
    }
    if (is_new || now - line->drawn_s >= REDRAW_SECONDS) {
        draw(session, fraction, count, now - line->started_s);
        line->drawn_s = now;
        line->is_drawn = true;
    }
    atomic_flag_clear(&line->is_busy);
}

void cvm_session_progress_end(struct cvm_session *session)
{
    if (session->progress.is_drawn) {
        fputs("\r\033[K", session->err);
        fflush(session->err);
    }
    session->progress.is_drawn = false;
    session->progress.stage = NULL;
}

enum cvm_status cvm_session_print(struct cvm_session *session, const struct cvm_text *text,
                                  struct cvm_error *err)
{
    cvm_session_progress_end(session);
    if (text->failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the output");
    }
    if (fwrite(cvm_text_string(text), 1, text->length, session->out) != text->length ||
        fputc('\n', session->out) == EOF || fflush(session->out) != 0) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write to standard output: %s",
                        strerror(errno));
    }
    return CVM_OK;
}
