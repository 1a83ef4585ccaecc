/* schema.h - a YAML map read into a C struct by a table: types, ranges, allowed words, required and
 * unknown keys.
 *
 * One table per kind of map is the whole schema: `cvm_schema_read()` checks and fills. An error
 * names file, line, key, what was found and what is allowed, and for an unknown key the nearest
 * known one.
 */
#ifndef CVM_BASE_SCHEMA_H
#define CVM_BASE_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/yaml.h"

enum cvm_schema_type {
    CVM_SCHEMA_TEXT,   /* const char * */
    CVM_SCHEMA_NAME,   /* const char *: [a-z][a-z0-9_.]{0,63} */
    CVM_SCHEMA_BOOL,   /* bool: true false yes no on off */
    CVM_SCHEMA_INT,    /* int64_t */
    CVM_SCHEMA_NUMBER, /* double, finite */
    CVM_SCHEMA_MICRO,  /* int64_t millionths from decimal major units; more than 6 decimals is an
                          error */
    CVM_SCHEMA_WORD,   /* int: index in .words (NULL-terminated) */
    CVM_SCHEMA_DATE,   /* int32_t day number */
    CVM_SCHEMA_SPAN,   /* int64_t ms, up to 365 days: 250ms 30s 10m 4h 2d */
    CVM_SCHEMA_TEXTS,  /* struct cvm_schema_texts: list of scalars, or one scalar */
    CVM_SCHEMA_NODE    /* const struct cvm_yaml_node *: read further by the caller */
};

struct cvm_schema_texts {
    const char **items;
    size_t count;
};

struct cvm_schema_field {
    const char *key;
    enum cvm_schema_type type;
    size_t offset; /* offsetof(struct, member) */
    bool required;
    double min; /* INT, NUMBER, MICRO (major units), SPAN (ms); both 0 = no limit */
    double max;
    const char *const *words; /* WORD */
    /* byte offset + 1 of a bool set to true when the key is present; 0 = none */
    size_t present_offset;
};

struct cvm_schema {
    const char *what;                      /* "a treatment": for messages */
    const struct cvm_schema_field *fields; /* ends with .key = NULL */
};

/* Fill `out_struct` (defaults are what it holds before) from `map`; texts live in the arena of the
 * tree or in `arena`. */
CVM_MUST_CHECK enum cvm_status cvm_schema_read(struct cvm_arena *arena,
                                               const struct cvm_schema *schema,
                                               const struct cvm_yaml_node *map, void *out_struct,
                                               struct cvm_error *err);

/* An error at a node: where = file:line, message "key 'x': ...". */
CVM_MUST_CHECK enum cvm_status cvm_schema_fail(const struct cvm_yaml_node *node,
                                               struct cvm_error *err, const char *format, ...)
    CVM_PRINTF(3, 4);
/* Scalars of their own, with the same messages. */
CVM_MUST_CHECK enum cvm_status cvm_schema_number(const struct cvm_yaml_node *node, double min,
                                                 double max, double *out_number,
                                                 struct cvm_error *err);

#endif
