/* error.h - how a function tells what went wrong.
 *
 * Every function that can fail returns an enum cvm_status and takes a struct cvm_error as its last
 * argument. On CVM_OK *err is untouched; on anything else *err is filled and every out_ argument is
 * untouched; err may be NULL. The message is for people and never parsed: lower case, no full stop,
 * what failed first, user values in single quotes.
 */
#ifndef CVM_BASE_ERROR_H
#define CVM_BASE_ERROR_H

#include "base/status.h"

#define CVM_MUST_CHECK                 __attribute__((warn_unused_result))
#define CVM_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))

struct cvm_error {
    enum cvm_status status;
    const char *file; /* where the error was first raised (source file, for developers) */
    int line;
    char message[480]; /* outermost context first: "open store: connect: refused"; may end in "..."
                        */
    char where[240]; /* the user's place, "catalogue/treatments.yaml:12" or "records.json:17"; "" if
                        none */
    char hint[240];  /* what to do about it, a whole sentence; "" if none */
};

/* Record the failure and return its status, so that callers can `return CVM_FAIL(...)`. */
#define CVM_FAIL(err, status, ...) cvm_error_set((err), (status), __FILE__, __LINE__, __VA_ARGS__)

/* Resets where and hint. */
enum cvm_status cvm_error_set(struct cvm_error *err, enum cvm_status status, const char *file,
                              int line, const char *format, ...) CVM_PRINTF(5, 6);

/* Put "context: " before the message, only where it adds a fact that the reader lacks. Returns
 * status. */
enum cvm_status cvm_error_context(struct cvm_error *err, enum cvm_status status, const char *format,
                                  ...) CVM_PRINTF(3, 4);

/* Set the place in the user's input, or the advice. Return err->status' current value. */
enum cvm_status cvm_error_where(struct cvm_error *err, enum cvm_status status, const char *format,
                                ...) CVM_PRINTF(3, 4);
enum cvm_status cvm_error_hint(struct cvm_error *err, enum cvm_status status, const char *format,
                               ...) CVM_PRINTF(3, 4);

#endif
