/* channel_files.h - handing a released plan over: a file per channel, and a manifest that says what
 * was made. Recalled plans hand over files that take it back.
 *
 * Rows go in key order through a buffer, whatever the size of the plan; what is kept is 8 bytes for
 * each decision handed over. Files are written beside and renamed, then the store notes what they
 * handed over, then the manifest is written: a folder without a manifest holds nothing to be sent.
 * Killed before the store knew, the next export makes the same files again.
 */
#ifndef CVM_ENGINE_CHANNEL_FILES_H
#define CVM_ENGINE_CHANNEL_FILES_H

#include "engine/engine.h"
#include "model/reason.h"
#include "storage/plan_store.h"

enum cvm_export_kind { CVM_EXPORT_FULL, CVM_EXPORT_PILOT, CVM_EXPORT_TEST, CVM_EXPORT_RECALL };

struct cvm_export_request {
    const struct cvm_run_record *run;
    const char *folder;
    enum cvm_export_kind kind;
    enum cvm_channel channel; /* CVM_CHANNEL_UNSET = all */
    double pilot_share;       /* of the customers, the same ones at each call; a larger share holds
                                 the smaller one's */
    bool is_again;            /* the files that were handed over before, once more */
    const char *who;
    const char *why;          /* "" = nothing was said */
    const int64_t *withdrawn; /* by reason: what the check before took out; NULL = nothing */
};

struct cvm_export_file {
    int64_t export;
    const char *channel;
    const char *kind;
    const char *name; /* in the folder */
    int64_t rows, bytes;
    int64_t by_reason[CVM_REASON_COUNT]; /* why they were decided */
    char digest[CVM_DIGEST_TEXT_SIZE];
};

/* Decisions of the plan that are in no file of this export. */
struct cvm_export_left {
    int64_t ghosts;      /* control groups */
    int64_t withdrawn;   /* now or earlier */
    int64_t handed_over; /* by an earlier export */
    int64_t reported;    /* sent, accepted, ... */
    int64_t later;       /* outside the pilot, or of other channels */
    int64_t no_file;     /* the catalogue has no channels/NAME.yaml for their channel */
};

struct cvm_export_result {
    const struct cvm_export_file *files; /* those with rows, in the arena */
    size_t file_count;
    struct cvm_export_left left;
    int64_t rows;
    const char *manifest; /* path; NULL when no file was made */
};

/* The plan must be released; check it with cvm_release_check() first. CVM_E_NOT_FOUND when there is
 * nobody to send a test to. */
CVM_MUST_CHECK enum cvm_status cvm_export_plan(struct cvm_engine *engine, struct cvm_store *writer,
                                               const struct cvm_export_request *request,
                                               struct cvm_arena *arena,
                                               struct cvm_export_result *out_result,
                                               struct cvm_error *err);

/* What a recalled plan had handed over and nobody has reported: decision_id, customer_id, treatment
 * and the file that it stood in. */
CVM_MUST_CHECK enum cvm_status cvm_export_recall(struct cvm_store *writer,
                                                 const struct cvm_export_request *request,
                                                 struct cvm_arena *arena,
                                                 struct cvm_export_result *out_result,
                                                 struct cvm_error *err);

/* The parts of a manifest, for `--json` too; an object is open. */
struct cvm_json_writer;
void cvm_export_result_write(const struct cvm_export_result *result, struct cvm_json_writer *json);

#endif
