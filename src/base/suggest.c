#include "base/suggest.h"

#include <string.h>

#include "base/text.h"

#define RANK_MISTAKE 10 /* each */
#define RANK_PREFIX  15 /* nearer than two mistakes */
#define RANK_HOLDS   1000
#define PREFIX_LEAST 2
#define HOLDS_LEAST  4

static size_t rank_of(const char *typed, const char *name, size_t none)
{
    size_t length = strlen(typed);
    size_t mistakes_max = length < 3 ? 1 : 1 + length / 3;
    size_t distance = cvm_text_distance(typed, name);
    size_t rank = none;
    if (distance <= mistakes_max && distance < length) {
        rank = distance * RANK_MISTAKE;
    }
    if (rank > RANK_PREFIX && length >= PREFIX_LEAST && strncmp(name, typed, length) == 0) {
        rank = RANK_PREFIX;
    }
    return rank == none && length >= HOLDS_LEAST && strstr(name, typed) != NULL ? RANK_HOLDS : rank;
}

void cvm_suggestion_try(struct cvm_suggestion *suggestion, const char *name)
{
    size_t rank = rank_of(suggestion->typed, name, RANK_HOLDS + 1);
    if (rank <= RANK_HOLDS && (suggestion->best == NULL || rank < suggestion->rank)) {
        suggestion->best = name;
        suggestion->rank = rank;
    }
}
