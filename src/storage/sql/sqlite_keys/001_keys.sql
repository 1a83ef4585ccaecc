-- Keys of personal data, in a database of their own: backups of the store do not hold them, so that a key erased here
-- makes old backups of the store unreadable for its customer.

CREATE TABLE data_key (
    customer_key INTEGER PRIMARY KEY, -- 0 = the vault's own key
    master_id    INTEGER NOT NULL,    -- of the master key that wraps it; 0 once it was erased
    wrapped      BLOB                 -- nonce, key, tag; NULL once it was erased
) STRICT;
