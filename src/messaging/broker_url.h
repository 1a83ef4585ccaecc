/* broker_url.h - the URL of a broker on a server, taken apart.
 *
 *   scheme://[user:password@]host[:port][,host[:port]...][/path][?name=value&...]
 *
 * Included by the files named broker_*.c and by the bench. No message ever holds user or password.
 */
#ifndef CVM_MESSAGING_BROKER_URL_H
#define CVM_MESSAGING_BROKER_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define CVM_BROKER_HOSTS_MAX   16
#define CVM_BROKER_OPTIONS_MAX 16

struct cvm_broker_url {
    char *text; /* what the others point into */
    size_t text_length;
    char *secret;         /* what a password file held; NULL = none was named */
    const char *user;     /* NULL = none */
    const char *password; /* "" = none */
    struct cvm_broker_host {
        const char *name;
        int port;
    } hosts[CVM_BROKER_HOSTS_MAX];
    size_t host_count;
    const char *path; /* without its '/'; NULL = none */
    struct cvm_broker_url_option {
        const char *name;
        const char *value;
    } options[CVM_BROKER_OPTIONS_MAX];
    size_t option_count;
};

/* What a scheme allows. */
struct cvm_broker_url_rules {
    int port;                 /* where the URL names none */
    const char *const *names; /* of options, ending with NULL; "password_file" is always one */
    const char *hint;
};

/* Percent signs are decoded everywhere. CVM_E_INVALID names the option that is none; a
 * "password_file" is read. */
CVM_MUST_CHECK enum cvm_status cvm_broker_url_parse(const char *url,
                                                    const struct cvm_broker_url_rules *rules,
                                                    struct cvm_broker_url *out_url,
                                                    struct cvm_error *err);
void cvm_broker_url_finish(struct cvm_broker_url *url);

/* NULL when it is not there. */
const char *cvm_broker_url_option(const struct cvm_broker_url *url, const char *name);
/* A whole number; *out_value keeps its value when the option is not there. */
CVM_MUST_CHECK enum cvm_status cvm_broker_url_number(const struct cvm_broker_url *url,
                                                     const char *name, int min, int max,
                                                     int *out_value, struct cvm_error *err);

#endif
