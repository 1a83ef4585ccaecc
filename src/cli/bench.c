#include "cli/bench.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct answer {
    enum cvm_status status;
    struct cvm_error error;
    struct cvm_bench_sample sample;
};

void cvm_bench_add_stage(struct cvm_bench_sample *sample, const char *name, double seconds)
{
    size_t at = 0;
    while (at < CVM_BENCH_STAGES_MAX && sample->stage_names[at] != NULL) {
        at++;
    }
    if (at < CVM_BENCH_STAGES_MAX) {
        sample->stage_names[at] = name;
        sample->stage_seconds[at] = seconds;
    }
}

void cvm_bench_add_result(struct cvm_bench_sample *sample, const char *name, double value,
                          const char *unit)
{
    if (sample->result_count < CVM_BENCH_RESULTS_MAX) {
        struct cvm_bench_result *result = &sample->results[sample->result_count++];
        (void)snprintf(result->name, sizeof(result->name), "%s", name);
        result->value = value;
        result->unit = unit;
    }
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

void cvm_bench_note_usage(struct cvm_bench_sample *sample)
{
    struct rusage usage;
    if (sample->peak_bytes == 0 && getrusage(RUSAGE_SELF, &usage) == 0) {
        sample->peak_bytes = (int64_t)usage.ru_maxrss * 1024;
        sample->cpu_seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    }
}

/* The child: no exit handlers, no buffers of the parent. */
static _Noreturn void measure(struct cvm_bench *bench, cvm_bench_fn job, int fd)
{
    struct answer answer = {0};
    bench->session->has_progress = false;
    answer.status = job(bench, &answer.sample, &answer.error);
    cvm_bench_note_usage(&answer.sample);
    const char *at = (const char *)&answer;
    size_t left = sizeof(answer);
    while (left > 0) {
        ssize_t count = write(fd, at, left);
        if (count < 0 && errno != EINTR) {
            _exit(1);
        }
        at += count > 0 ? count : 0;
        left -= count > 0 ? (size_t)count : 0;
    }
    _exit(0);
}

static bool read_answer(int fd, struct answer *answer)
{
    char *at = (char *)answer;
    size_t left = sizeof(*answer);
    while (left > 0) {
        ssize_t count = read(fd, at, left);
        if (count == 0 || (count < 0 && errno != EINTR)) {
            return false;
        }
        at += count > 0 ? count : 0;
        left -= count > 0 ? (size_t)count : 0;
    }
    return true;
}

enum cvm_status cvm_bench_measure(struct cvm_bench *bench, cvm_bench_fn job,
                                  struct cvm_bench_sample *out_sample, struct cvm_error *err)
{
    int pipes[2];
    struct answer answer;
    if (pipe(pipes) != 0) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot make a pipe: %s", strerror(errno));
    }
    fflush(bench->session->out);
    fflush(bench->session->err);
    pid_t child = fork();
    if (child == 0) {
        (void)close(pipes[0]);
        measure(bench, job, pipes[1]);
    }
    (void)close(pipes[1]);
    bool has_answer = child > 0 && read_answer(pipes[0], &answer);
    (void)close(pipes[0]);
    int how = 0;
    while (child > 0 && waitpid(child, &how, 0) < 0 && errno == EINTR) {
    }
    if (!has_answer) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "the measured process died (status %d)", how);
    }
    if (answer.status != CVM_OK) {
        if (err != NULL) {
            *err = answer.error;
        }
        return answer.status;
    }
    *out_sample = answer.sample;
    return CVM_OK;
}
