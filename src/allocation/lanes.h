/* lanes.h - sixteen floats or integers at once: AVX-512, AVX2, or plain C, by how the file that
 * includes it is compiled.
 *
 * Every operation is one rounded operation per lane, so all three give the same bits. Beside what
 * their names say: floats_max(a, b) is a > b ? a : b; floats_pick(where, a, b) is where ? a : b;
 * floats_look_up() reads table[class], a table padded to whole sixteens; doubles_add_floats() adds
 * to sixteen sums that are kept apart. For kernel_body.h only.
 */
#ifndef CVM_ALLOCATION_LANES_H
#define CVM_ALLOCATION_LANES_H

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#include "allocation/lanes_avx512.h"
#elif defined(__AVX2__)
#include "allocation/lanes_avx2.h"
#else
#include "allocation/lanes_plain.h"
#endif

#endif
