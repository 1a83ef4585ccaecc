/* import_split.h - the top-level values of a JSON text, found block by block without parsing: a
 * record is handed on in one line, whatever it looked like. Inside storage/import*.c only. */
#ifndef CVM_STORAGE_IMPORT_SPLIT_H
#define CVM_STORAGE_IMPORT_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CVM_SPLIT_LEVELS 128

/* What stands between two calls: anything may be cut anywhere. */
struct cvm_splitter {
    bool is_array; /* elements of an array, else values one after the other */
    enum { CVM_SPLIT_BEFORE, CVM_SPLIT_INSIDE, CVM_SPLIT_BEHIND, CVM_SPLIT_CLOSED } phase;
    bool in_string;
    bool is_escaped;
    bool is_scalar;
    size_t depth;
    uint8_t brackets[CVM_SPLIT_LEVELS]; /* the closing one of each level */
    size_t record_bytes;                /* of the record so far, also when it is too long */
    size_t record_bytes_max;
};

enum cvm_split_result {
    CVM_SPLIT_MORE,   /* the input is used up */
    CVM_SPLIT_RECORD, /* one record is complete */
    CVM_SPLIT_LONG,   /* one record is complete, and longer than allowed: only its begin was kept */
    CVM_SPLIT_END,    /* the array is closed */
    CVM_SPLIT_BROKEN  /* no JSON: nothing behind can be trusted */
};

void cvm_splitter_init(struct cvm_splitter *splitter, bool is_array, size_t record_bytes_max);

/* Read from in[*at..length), append to out[*out_length..], which has room for record_bytes_max + 1
 * bytes beyond the begin of the record. Newlines outside strings become spaces; inside, where JSON
 * allows none, they become another control character, so that the record stays one line and is
 * refused for what it is. */
enum cvm_split_result cvm_split(struct cvm_splitter *splitter, const char *in, size_t length,
                                size_t *at, char *out, size_t *out_length);

#endif
