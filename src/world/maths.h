/* maths.h - exp and log that give the same bits everywhere; only for this folder.
 *
 * The C library picks another implementation where the processor has fused multiply-add, and a last
 * bit that differs would make another world. These consist of + - * / alone. Relative error about
 * 1e-15, which a simulated world does not notice.
 */
#ifndef CVM_WORLD_MATHS_H
#define CVM_WORLD_MATHS_H

double cvm_world_exp(double x);
double cvm_world_log(double x); /* x > 0 */
/* 1 / (1 + exp(-x)) and its inverse, 0 < p < 1 */
double cvm_world_logistic(double x);
double cvm_world_logit(double p);

#endif
