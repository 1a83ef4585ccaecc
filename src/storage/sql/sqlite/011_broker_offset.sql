-- Where work goes on in a log of messages (Kafka): all before it is done with. It only grows.

CREATE TABLE broker_offset (
    queue        TEXT NOT NULL,
    partition_no INTEGER NOT NULL, -- those of high priority from 65536 on
    next_offset  INTEGER NOT NULL,
    PRIMARY KEY (queue, partition_no)
) STRICT, WITHOUT ROWID;
