#define KERNEL cvm_kernel_avx512
#include "allocation/kernel_body.h"
