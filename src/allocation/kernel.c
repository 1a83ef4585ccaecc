#include "allocation/kernel.h"

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
           __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
}
#else
static bool has_avx2(void)
{
    return false;
}
static bool has_avx512(void)
{
    return false;
}
#endif
static bool has_plain(void)
{
    return true;
}

/* Best first. Where they are not built for the machine, the tables are plain as well. */
static const struct {
    enum cvm_instructions instructions;
    const char *name;
    bool (*is_there)(void);
    const struct cvm_kernel *kernel;
} kernels[] = {
    {CVM_INSTRUCTIONS_AVX512, "AVX-512", has_avx512, &cvm_kernel_avx512},
    {CVM_INSTRUCTIONS_AVX2, "AVX2", has_avx2, &cvm_kernel_avx2},
    {CVM_INSTRUCTIONS_PLAIN, "plain", has_plain, &cvm_kernel_plain},
};

enum cvm_status cvm_kernel_find(enum cvm_instructions instructions,
                                const struct cvm_kernel **out_kernel, struct cvm_error *err)
{
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        bool is_wanted =
            instructions == CVM_INSTRUCTIONS_BEST || instructions == kernels[i].instructions;
        if (is_wanted && kernels[i].is_there()) {
            *out_kernel = kernels[i].kernel;
            return CVM_OK;
        }
    }
    return CVM_FAIL(err, CVM_E_INVALID, "this machine does not have the instructions asked for");
}
