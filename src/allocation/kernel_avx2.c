#define KERNEL cvm_kernel_avx2
#include "allocation/kernel_body.h"
