#define KERNEL cvm_kernel_plain
#include "allocation/kernel_body.h"
