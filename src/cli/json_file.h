/* json_file.h - a JSON file that a person wrote: strict, and every mistake has its file and line.
 */
#ifndef CVM_CLI_JSON_FILE_H
#define CVM_CLI_JSON_FILE_H

#include "base/json_reader.h"

struct cvm_json_file {
    struct cvm_arena *arena; /* the tree and its texts live here */
    const char *name;        /* for messages; the path as given */
    const char *text;
    size_t length;
    const struct cvm_json_value *root;
};

CVM_MUST_CHECK enum cvm_status cvm_json_file_read(struct cvm_arena *arena, const char *path,
                                                  size_t bytes_max, struct cvm_json_file *out_file,
                                                  struct cvm_error *err);
/* The same of bytes in memory. */
CVM_MUST_CHECK enum cvm_status cvm_json_file_parse(struct cvm_arena *arena, const char *name,
                                                   struct cvm_slice text,
                                                   struct cvm_json_file *out_file,
                                                   struct cvm_error *err);

int cvm_json_file_line(const struct cvm_json_file *file, const struct cvm_json_value *value);
/* CVM_E_INVALID with where = "file:line" of the value. */
enum cvm_status cvm_json_file_fail(const struct cvm_json_file *file,
                                   const struct cvm_json_value *value, struct cvm_error *err,
                                   const char *format, ...) CVM_PRINTF(4, 5);

/* Members of an object by keys (NULL ends them): out_found[k] is NULL where it is missing or null.
 * An unknown key is refused. `what` is "row 'x'" or "a row": for messages. */
CVM_MUST_CHECK enum cvm_status cvm_json_file_members(const struct cvm_json_file *file,
                                                     const struct cvm_json_value *object,
                                                     const char *what, const char *const *keys,
                                                     const struct cvm_json_value **out_found,
                                                     struct cvm_error *err);
/* A string without NUL bytes, ended by one. */
CVM_MUST_CHECK enum cvm_status cvm_json_file_text(const struct cvm_json_file *file,
                                                  const struct cvm_json_value *value,
                                                  const char *what, const char **out_text,
                                                  struct cvm_error *err);
struct cvm_json_range {
    double min, max;
    bool is_whole;
};
CVM_MUST_CHECK enum cvm_status cvm_json_file_number(const struct cvm_json_file *file,
                                                    const struct cvm_json_value *value,
                                                    const char *what, struct cvm_json_range range,
                                                    double *out_number, struct cvm_error *err);

#endif
