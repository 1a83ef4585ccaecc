/* record_reader.h - records of files one by one, for what goes not through a mapping: reports of
 * outcomes. JSON arrays, {"data": []}, NDJSON and CSV, as in an import; a record that is none, or
 * that the caller refuses, goes to a rejects file and the reading goes on.
 */
#ifndef CVM_STORAGE_RECORD_READER_H
#define CVM_STORAGE_RECORD_READER_H

#include "base/arena.h"
#include "base/json_reader.h"

struct cvm_record_reader;

struct cvm_record_files {
    const char *const *paths; /* files and folders */
    size_t count;
    const char *rejects_path; /* NDJSON of {file, record, reason, text}; written only if needed */
    size_t record_bytes_max;  /* 0 = 64 KiB */
};

struct cvm_record_view {
    const char *file;
    int64_t number; /* in the file, from 1 */
    struct cvm_slice text;
    const struct cvm_json_value *value; /* an object; of texts when it comes from CSV */
};

struct cvm_record_counts {
    int64_t read;
    int64_t rejected;
    const char *rejects_path;  /* NULL if nothing was rejected */
    const char **failed_files; /* "path: message": could not be read as a whole; others went on */
    size_t failed_file_count;
};

/* CVM_E_NOT_FOUND when there is no file to read at all. */
CVM_MUST_CHECK enum cvm_status cvm_record_reader_open(const struct cvm_record_files *files,
                                                      struct cvm_record_reader **out_reader,
                                                      struct cvm_error *err);
void cvm_record_reader_close(struct cvm_record_reader *reader); /* NULL is fine */

/* The view lives until the next call; *out_has_record is false at the end. */
CVM_MUST_CHECK enum cvm_status cvm_record_reader_next(struct cvm_record_reader *reader,
                                                      struct cvm_record_view *out_record,
                                                      bool *out_has_record, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_record_reader_reject(struct cvm_record_reader *reader,
                                                        const struct cvm_record_view *record,
                                                        const char *reason, struct cvm_error *err);
/* After the last record: the rejects file is whole when this returns CVM_OK. Texts live in the
 * arena. */
CVM_MUST_CHECK enum cvm_status cvm_record_reader_finish(struct cvm_record_reader *reader,
                                                        struct cvm_arena *arena,
                                                        struct cvm_record_counts *out_counts,
                                                        struct cvm_error *err);

#endif
