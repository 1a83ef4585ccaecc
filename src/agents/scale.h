/* scale.h - how many workers a kind of agent needs: a pure rule over what was measured.
 *
 *     need = ceil((arrivals/s * service_s + backlog * service_s / drain_s) / 0.7)
 *
 * smoothed (alpha 0.3). Up at once when the need is a tenth above what is there, at most to twice
 * as many, then not again for 10 seconds; down, by a quarter at most, when two minutes never needed
 * as many; never up while what the agents depend on is slow or away, where more of them would make
 * it worse: then down to what one dependency bears. The rule of Kubernetes' HPA, with a queue's
 * backlog in place of processor time.
 */
#ifndef CVM_AGENTS_SCALE_H
#define CVM_AGENTS_SCALE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CVM_SCALE_EVERY_MS    5000
#define CVM_SCALE_UTILISATION 0.7
#define CVM_SCALE_DRAIN_S     30.0
#define CVM_SCALE_COOLDOWN_MS 10000
#define CVM_SCALE_WINDOW_MS   120000
#define CVM_SCALE_SAMPLES     (CVM_SCALE_WINDOW_MS / CVM_SCALE_EVERY_MS)

struct cvm_scale_sample {
    int64_t now_ms;          /* steady */
    double arrivals_per_s;   /* messages, since the sample before */
    double service_s;        /* mean time of a turn; 0 = none ended */
    int64_t backlog;         /* messages that wait; < 0 = unknown, as none */
    bool is_dependency_slow; /* the store, or a breaker is open */
};

struct cvm_scale {
    size_t least, most; /* workers, at least 1 */
    size_t workers;     /* now */
    bool has_sample;
    double arrivals_per_s, service_s; /* smoothed */
    int64_t changed_ms;
    double needs[CVM_SCALE_SAMPLES]; /* of the window, a ring */
    size_t need_count;
    size_t next;
};

void cvm_scale_init(struct cvm_scale *scale, size_t least, size_t most, size_t workers);

enum cvm_scale_reason {
    CVM_SCALE_STAY,
    CVM_SCALE_UP,
    CVM_SCALE_DOWN,
    CVM_SCALE_HELD_BACK, /* more were needed, and would have made it worse */
    CVM_SCALE_SPARED,    /* fewer, to spare what is slow */
};
const char *cvm_scale_reason_name(enum cvm_scale_reason reason);

struct cvm_scale_choice {
    size_t workers;
    double need;
    enum cvm_scale_reason reason;
};
/* Called every CVM_SCALE_EVERY_MS; the choice is taken over into the scale. */
struct cvm_scale_choice cvm_scale_next(struct cvm_scale *scale,
                                       const struct cvm_scale_sample *sample);

#endif
