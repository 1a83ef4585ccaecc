-- Where work goes on in a log of messages (Kafka): all before it is done with. It only grows.

CREATE TABLE broker_offset (
    queue        TEXT COLLATE "C" NOT NULL,
    partition_no BIGINT NOT NULL, -- those of high priority from 65536 on
    next_offset  BIGINT NOT NULL,
    PRIMARY KEY (queue, partition_no)
);
