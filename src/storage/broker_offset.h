/* broker_offset.h - where work goes on in a log of messages (Kafka's partitions): the number of the
 * first message that is not done with. It is moved in the transaction of the work, so work and
 * place can not disagree.
 *
 * It says that everything before it is done with, whoever did it. So it only grows, and needs no
 * owner: who lost a partition meanwhile moves nothing back, and what is true of the partition stays
 * true for the next owner. The condition: messages of a partition are finished in their order.
 */
#ifndef CVM_STORAGE_BROKER_OFFSET_H
#define CVM_STORAGE_BROKER_OFFSET_H

#include "storage/store.h"

struct cvm_broker_offset {
    const char *queue;    /* without the store's prefix */
    int64_t partition_no; /* as the broker numbers them */
    int64_t next_offset;  /* all before it is done with */
};

/* CVM_E_NOT_FOUND: nothing of the partition is done yet. */
CVM_MUST_CHECK enum cvm_status cvm_broker_offset_get(struct cvm_store *store, const char *queue,
                                                     int64_t partition_no, int64_t *out_next,
                                                     struct cvm_error *err);
/* A transaction of its own, or part of the caller's. Nothing changes where it is as far already. */
CVM_MUST_CHECK enum cvm_status cvm_broker_offset_move(struct cvm_store *store,
                                                      const struct cvm_broker_offset *offset,
                                                      struct cvm_error *err);

#endif
