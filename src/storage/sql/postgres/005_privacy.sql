-- Sealed personal data and erased customers.

-- The vault (database of keys) that rows of this store are sealed with; no row = none yet.
CREATE TABLE vault (
    vault_id TEXT COLLATE "C" PRIMARY KEY
);

-- Customers that asked to be forgotten. Their row in customer stays under a pseudonym, with batch 0, so that chains of
-- colliding keys stay whole.
CREATE TABLE erased (
    customer_key BIGINT PRIMARY KEY,
    base_key     BIGINT NOT NULL, -- that the id hashes to
    id_mac       BYTEA NOT NULL,    -- of the id: storage/vault.h
    at           BIGINT NOT NULL,
    who          TEXT COLLATE "C" NOT NULL,
    why          TEXT COLLATE "C" NOT NULL
);
