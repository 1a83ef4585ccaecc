-- Sealed personal data and erased customers.

-- The vault (database of keys) that rows of this store are sealed with; no row = none yet.
CREATE TABLE vault (
    vault_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Customers that asked to be forgotten. Their row in customer stays under a pseudonym, with batch 0, so that chains of
-- colliding keys stay whole.
CREATE TABLE erased (
    customer_key INTEGER PRIMARY KEY,
    base_key     INTEGER NOT NULL, -- that the id hashes to
    id_mac       BLOB NOT NULL,    -- of the id: storage/vault.h
    at           INTEGER NOT NULL,
    who          TEXT NOT NULL,
    why          TEXT NOT NULL
) STRICT;
