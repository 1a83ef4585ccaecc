/* url.h - pieces of URLs that name servers. */
#ifndef CVM_BASE_URL_H
#define CVM_BASE_URL_H

#include <stdbool.h>

/* %41 becomes A, in place; false where the two digits are missing or make an end of text. */
bool cvm_url_decode(char *text);
/* A whole number of 0 to max and nothing else, or -1. */
int cvm_url_number(const char *text, int max);

#endif
