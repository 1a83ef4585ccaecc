#include "model/reason.h"

#include <assert.h>

static const struct {
    const char *name;
    const char *stage;
    const char *sentence;
} table[] = {
#define X(symbol, name, stage, sentence) {name, stage, sentence},
    CVM_REASON_TABLE(X)
#undef X
};

const char *cvm_reason_name(enum cvm_reason reason)
{
    assert((int)reason >= 0 && reason < CVM_REASON_COUNT);
    return table[reason].name;
}

const char *cvm_reason_stage(enum cvm_reason reason)
{
    assert((int)reason >= 0 && reason < CVM_REASON_COUNT);
    return table[reason].stage;
}

const char *cvm_reason_sentence(enum cvm_reason reason)
{
    assert((int)reason >= 0 && reason < CVM_REASON_COUNT);
    return table[reason].sentence;
}
