/* doctor.h - what will hurt tonight's run: looks at catalogue, base and store, changes nothing.
 *
 * A finding says what is the case, why it hurts, and the command or the edit that mends it. A
 * problem makes the result wrong or the run fail; a warning makes it worse than it need be; a note
 * is worth knowing.
 */
#ifndef CVM_ENGINE_DOCTOR_H
#define CVM_ENGINE_DOCTOR_H

#include "engine/engine.h"

enum cvm_severity { CVM_SEVERITY_NOTE, CVM_SEVERITY_WARNING, CVM_SEVERITY_PROBLEM };
extern const char *const cvm_severity_words[]; /* note warning problem */

struct cvm_finding {
    enum cvm_severity severity;
    const char *topic; /* "score", "capacity", "rule", "trigger", "source", ... */
    const char *what;
    const char *why;
    const char *fix;
};

#define CVM_FINDINGS_MAX 256

struct cvm_doctor {
    struct cvm_engine *engine;
    struct cvm_store *store;
    struct cvm_arena *arena; /* findings live in it */
    int32_t as_of_day;
    int64_t now_ms;
    int64_t customers;            /* of the base, once it was looked at */
    double churn;                 /* mean over customers with a score; NaN = not known */
    struct cvm_finding *findings; /* room for CVM_FINDINGS_MAX */
    size_t count;
    bool is_cut; /* there were more */
};

/* All that the catalogue, the base and the store tell, in the order in which it is looked at. */
CVM_MUST_CHECK enum cvm_status cvm_doctor_examine(struct cvm_doctor *doctor, struct cvm_error *err);

/* For those who look at more (folder, disk). `why` and `fix` must outlive the doctor; the sentence
 * is formatted into the arena. */
CVM_MUST_CHECK enum cvm_status cvm_doctor_find(struct cvm_doctor *doctor,
                                               const struct cvm_finding *finding,
                                               struct cvm_error *err, const char *format, ...)
    CVM_PRINTF(4, 5);
/* The same with a fix that holds a name. */
const char *cvm_doctor_text(struct cvm_doctor *doctor, const char *format, ...) CVM_PRINTF(2, 3);

#endif
