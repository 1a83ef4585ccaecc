#include "agents/scale.h"

#include <math.h>

#define ALPHA     0.3
#define TOLERANCE 0.1

void cvm_scale_init(struct cvm_scale *scale, size_t least, size_t most, size_t workers)
{
    *scale = (struct cvm_scale){
        .least = least < 1 ? 1 : least,
        .most = most < least ? least : most,
        .workers = workers,
        .changed_ms = INT64_MIN / 2,
    };
}

const char *cvm_scale_reason_name(enum cvm_scale_reason reason)
{
    static const char *const names[] = {"stay", "up", "down", "held_back", "spared"};
    return names[reason];
}

static size_t within(const struct cvm_scale *scale, double workers)
{
    double least = (double)scale->least;
    double most = (double)scale->most;
    return (size_t)(workers < least ? least : workers > most ? most : workers);
}

static double smooth(double before, double now)
{
    return before + ALPHA * (now - before);
}

/* A time without a turn says nothing about how long one takes. */
static double need_of(struct cvm_scale *scale, const struct cvm_scale_sample *sample)
{
    bool is_first = !scale->has_sample;
    scale->arrivals_per_s =
        is_first ? sample->arrivals_per_s : smooth(scale->arrivals_per_s, sample->arrivals_per_s);
    if (sample->service_s > 0) {
        scale->service_s =
            scale->service_s == 0 ? sample->service_s : smooth(scale->service_s, sample->service_s);
    }
    scale->has_sample = true;
    double backlog = sample->backlog < 0 ? 0 : (double)sample->backlog;
    double busy =
        scale->arrivals_per_s * scale->service_s + backlog * scale->service_s / CVM_SCALE_DRAIN_S;
    return ceil(busy / CVM_SCALE_UTILISATION);
}

static double most_needed(const struct cvm_scale *scale)
{
    double most = 0;
    for (size_t i = 0; i < scale->need_count; i++) {
        most = scale->needs[i] > most ? scale->needs[i] : most;
    }
    return most;
}

static struct cvm_scale_choice choose(const struct cvm_scale *scale,
                                      const struct cvm_scale_sample *sample, double need)
{
    double workers = (double)scale->workers;
    struct cvm_scale_choice choice = {scale->workers, need, CVM_SCALE_STAY};
    bool is_cool = sample->now_ms - scale->changed_ms >= CVM_SCALE_COOLDOWN_MS;
    bool wants_more = need > workers * (1 + TOLERANCE);
    double quarter = floor(workers / 4) > 1 ? floor(workers / 4) : 1;
    if (sample->is_dependency_slow) {
        size_t fewer = within(scale, workers - quarter);
        choice.reason = wants_more ? CVM_SCALE_HELD_BACK : CVM_SCALE_STAY;
        if (is_cool && fewer < scale->workers) {
            choice.workers = fewer;
            choice.reason = CVM_SCALE_SPARED;
        }
        return choice;
    }
    if (wants_more && is_cool) {
        choice.workers = within(scale, need < 2 * workers ? need : 2 * workers);
        choice.reason = choice.workers > scale->workers ? CVM_SCALE_UP : CVM_SCALE_STAY;
    } else if (scale->need_count == CVM_SCALE_SAMPLES && is_cool &&
               most_needed(scale) < workers * (1 - TOLERANCE)) {
        choice.workers = within(scale, workers - quarter);
        choice.reason = choice.workers < scale->workers ? CVM_SCALE_DOWN : CVM_SCALE_STAY;
    }
    return choice;
}

struct cvm_scale_choice cvm_scale_next(struct cvm_scale *scale,
                                       const struct cvm_scale_sample *sample)
{
    double need = need_of(scale, sample);
    scale->needs[scale->next] = need;
    scale->next = (scale->next + 1) % CVM_SCALE_SAMPLES;
    scale->need_count += scale->need_count < CVM_SCALE_SAMPLES ? 1 : 0;
    struct cvm_scale_choice choice = choose(scale, sample, need);
    if (choice.workers != scale->workers) {
        scale->workers = choice.workers;
        scale->changed_ms = sample->now_ms;
    }
    return choice;
}
