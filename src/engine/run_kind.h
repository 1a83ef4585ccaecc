/* run_kind.h - runs of one kind may be compared: they asked the same of the same customers. */
#ifndef CVM_ENGINE_RUN_KIND_H
#define CVM_ENGINE_RUN_KIND_H

#include "base/json_reader.h"
#include "storage/plan_store.h"

/* Same customers asked for (mostly: nobody in particular), trigger, forced and allowed treatments.
 * `a` and `b` are the options of two runs. */
CVM_MUST_CHECK enum cvm_status cvm_run_kind_same(struct cvm_json_reader *reader,
                                                 struct cvm_arena *arena, const char *a,
                                                 const char *b, bool *out_is_same,
                                                 struct cvm_error *err);
/* Was everybody asked for? */
CVM_MUST_CHECK enum cvm_status cvm_run_kind_whole(struct cvm_json_reader *reader,
                                                  struct cvm_arena *arena, const char *options,
                                                  bool *out_is_whole, struct cvm_error *err);

/* Two runs of one kind, `found` being the newer: shall a third be compared with `run` instead? A
 * day may have a second run for those that the first one left; the larger plan stands for the day,
 * where it was not recalled. */
bool cvm_run_kind_stands_for(const struct cvm_run_record *run, const struct cvm_run_record *found);

/* The newest finished run of the same kind that was made before this one (or what stands for its
 * day); CVM_E_NOT_FOUND. */
CVM_MUST_CHECK enum cvm_status cvm_run_kind_before(struct cvm_store *store, struct cvm_arena *arena,
                                                   const struct cvm_run_record *run,
                                                   struct cvm_run_record *out_before,
                                                   struct cvm_error *err);

#endif
