/* yaml.h - YAML in: a tree whose every node knows its line, so that errors can name file, line and
 * key.
 *
 * Over libyaml. One document per file; aliases and anchors, merge keys and tags are refused (they
 * make files that nobody can review); duplicate keys, depth and size are errors.
 */
#ifndef CVM_BASE_YAML_H
#define CVM_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"

enum cvm_yaml_type { CVM_YAML_SCALAR, CVM_YAML_LIST, CVM_YAML_MAP };

struct cvm_yaml_node {
    enum cvm_yaml_type type;
    const char *file; /* as given to cvm_yaml_read() */
    int line;         /* from 1 */
    const char *key;  /* of this node in its map; NULL elsewhere */
    const char *text; /* scalars; UTF-8 without NUL bytes */
    bool is_quoted;   /* "12" is text, 12 is a number */
    size_t child_count;
    struct cvm_yaml_node *first_child;
    struct cvm_yaml_node *next;
};

#define CVM_YAML_BYTES_MAX ((size_t)4 << 20)
#define CVM_YAML_DEPTH_MAX 32

/* An empty document is an empty map. Errors carry where = "file:line". */
CVM_MUST_CHECK enum cvm_status cvm_yaml_read(struct cvm_arena *arena, const char *file,
                                             const char *text, size_t length,
                                             const struct cvm_yaml_node **out_root,
                                             struct cvm_error *err);
const struct cvm_yaml_node *cvm_yaml_member(const struct cvm_yaml_node *map, const char *key);

/* Append `value` as a YAML scalar, quoted where plain text would change its meaning. */
void cvm_yaml_add_scalar(struct cvm_text *out, const char *value);

#endif
