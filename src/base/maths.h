/* maths.h - exp and log that give the same bits on every machine.
 *
 * The C library picks another implementation where the processor has fused multiply-add, and a last
 * bit that differs would make another plan or another world. These consist of + - * / alone.
 * Relative error below 1e-14.
 */
#ifndef CVM_BASE_MATHS_H
#define CVM_BASE_MATHS_H

double cvm_exp(double x); /* infinity above 709, 0 below -745 */
double cvm_log(double x); /* x > 0 */
/* 1 / (1 + exp(-x)) and its inverse, 0 < p < 1 */
double cvm_logistic(double x);
double cvm_logit(double p);

#endif
