#include "messaging/broker_url.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/url.h"

#define URL_BYTES_MAX    4096
#define SECRET_BYTES_MAX 4096

/* ---- pieces ---- */

/* Cut at the first of `marks`; what comes behind it, or NULL. */
static char *cut(char *text, char mark)
{
    char *at = strchr(text, mark);
    if (at == NULL) {
        return NULL;
    }
    *at = '\0';
    return at + 1;
}

/* "host", "host:port", "[::1]:port" */
static bool parse_host(struct cvm_broker_url *url, char *text, int port_default)
{
    if (url->host_count == CVM_BROKER_HOSTS_MAX) {
        return false;
    }
    char *port = NULL;
    if (text[0] == '[') {
        char *end = strchr(text, ']');
        if (end == NULL || (end[1] != ':' && end[1] != '\0')) {
            return false;
        }
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
        text++;
    } else {
        port = cut(text, ':');
    }
    struct cvm_broker_host *host = &url->hosts[url->host_count++];
    host->name = text;
    host->port = port == NULL ? port_default : cvm_url_number(port, 65535);
    return text[0] != '\0' && cvm_url_decode(text) && host->port > 0;
}

static bool parse_authority(struct cvm_broker_url *url, char *text, int port_default)
{
    char *at = strrchr(text, '@');
    bool is_good = true;
    if (at != NULL) {
        *at = '\0';
        char *password = cut(text, ':');
        url->user = text;
        url->password = password == NULL ? "" : password;
        is_good = text[0] != '\0' && cvm_url_decode(text) &&
                  (password == NULL || cvm_url_decode(password));
        text = at + 1;
    }
    while (is_good && text != NULL) {
        char *next = cut(text, ',');
        is_good = parse_host(url, text, port_default);
        text = next;
    }
    return is_good;
}

static bool parse_options(struct cvm_broker_url *url, char *text)
{
    while (text != NULL) {
        char *next = cut(text, '&');
        char *value = cut(text, '=');
        if (value == NULL || url->option_count == CVM_BROKER_OPTIONS_MAX || !cvm_url_decode(text) ||
            !cvm_url_decode(value)) {
            return false;
        }
        url->options[url->option_count++] = (struct cvm_broker_url_option){text, value};
        text = next;
    }
    return true;
}

static bool parse(struct cvm_broker_url *url, int port_default)
{
    char *rest = strchr(url->text, ':') + 1;
    if (strncmp(rest, "//", 2) != 0) {
        return false;
    }
    rest += 2;
    /* '?' and '/' of a password are written as %3F and %2F. */
    char *options = cut(rest, '?');
    char *path = cut(rest, '/');
    url->path = path;
    return (path == NULL || cvm_url_decode(path)) && parse_authority(url, rest, port_default) &&
           parse_options(url, options);
}

/* ---- options ---- */

const char *cvm_broker_url_option(const struct cvm_broker_url *url, const char *name)
{
    for (size_t i = 0; i < url->option_count; i++) {
        if (strcmp(url->options[i].name, name) == 0) {
            return url->options[i].value;
        }
    }
    return NULL;
}

enum cvm_status cvm_broker_url_number(const struct cvm_broker_url *url, const char *name, int min,
                                      int max, int *out_value, struct cvm_error *err)
{
    const char *text = cvm_broker_url_option(url, name);
    int value = text == NULL ? *out_value : cvm_url_number(text, max);
    if (value < min || value > max) {
        return CVM_FAIL(err, CVM_E_INVALID, "broker URL: %s is a number from %d to %d", name, min,
                        max);
    }
    *out_value = value;
    return CVM_OK;
}

static enum cvm_status check_options(const struct cvm_broker_url *url,
                                     const struct cvm_broker_url_rules *rules,
                                     struct cvm_error *err)
{
    for (size_t i = 0; i < url->option_count; i++) {
        bool is_known = strcmp(url->options[i].name, "password_file") == 0;
        for (const char *const *name = rules->names; *name != NULL; name++) {
            is_known = is_known || strcmp(url->options[i].name, *name) == 0;
        }
        if (!is_known) {
            enum cvm_status status =
                CVM_FAIL(err, CVM_E_INVALID, "broker URL: no option '%.40s'", url->options[i].name);
            return cvm_error_hint(err, status, "%s", rules->hint);
        }
    }
    return CVM_OK;
}

/* What the client libraries would miss only when they connect. */
static enum cvm_status check_files(const struct cvm_broker_url *url, struct cvm_error *err)
{
    static const char *const names[] = {"ca", "cert", "key"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *path = cvm_broker_url_option(url, names[i]);
        if (path != NULL && !cvm_file_exists(path)) {
            return CVM_FAIL(err, CVM_E_INVALID, "broker URL: there is no file '%s' (%s)", path,
                            names[i]);
        }
    }
    return CVM_OK;
}

/* Its first line. */
static enum cvm_status read_secret(struct cvm_broker_url *url, struct cvm_error *err)
{
    const char *path = cvm_broker_url_option(url, "password_file");
    char *data = NULL;
    size_t length = 0;
    if (path == NULL) {
        return CVM_OK;
    }
    struct cvm_arena *arena = cvm_arena_create(2 * SECRET_BYTES_MAX);
    enum cvm_status status =
        arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a broker")
                      : cvm_file_read(arena, path, SECRET_BYTES_MAX, &data, &length, err);
    if (status == CVM_OK) {
        data[strcspn(data, "\r\n")] = '\0';
        url->secret = strdup(data);
        explicit_bzero(data, length);
        status =
            url->secret == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a broker") : CVM_OK;
        url->password = url->secret;
    } else {
        status = cvm_error_context(err, status, "password of the broker");
    }
    cvm_arena_destroy(arena);
    return status;
}

enum cvm_status cvm_broker_url_parse(const char *url, const struct cvm_broker_url_rules *rules,
                                     struct cvm_broker_url *out_url, struct cvm_error *err)
{
    if (strlen(url) > URL_BYTES_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the URL of the broker is too long");
    }
    struct cvm_broker_url parsed = {
        .text = strdup(url), .text_length = strlen(url), .password = ""};
    if (parsed.text == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a broker");
    }
    enum cvm_status status = CVM_OK;
    if (!parse(&parsed, rules->port)) { /* not shown: it may hold a password */
        status = CVM_FAIL(err, CVM_E_INVALID, "the broker URL '%.*s:' is malformed",
                          (int)strcspn(url, ":"), url);
        status = cvm_error_hint(err, status, "%s", rules->hint);
    }
    if (status == CVM_OK) {
        status = check_options(&parsed, rules, err);
    }
    if (status == CVM_OK) {
        status = check_files(&parsed, err);
    }
    if (status == CVM_OK) {
        status = read_secret(&parsed, err);
    }
    if (status != CVM_OK) {
        cvm_broker_url_finish(&parsed);
        return status;
    }
    *out_url = parsed;
    return CVM_OK;
}

static void free_secret(char *text, size_t length)
{
    if (text != NULL) {
        explicit_bzero(text, length);
        free(text);
    }
}

void cvm_broker_url_finish(struct cvm_broker_url *url)
{
    free_secret(url->text, url->text_length);
    free_secret(url->secret, url->secret == NULL ? 0 : strlen(url->secret));
    *url = (struct cvm_broker_url){0};
}
