-- name: key_read
SELECT customer_key, master_id, wrapped
FROM data_key
WHERE customer_key >= ?1
ORDER BY customer_key
LIMIT ?2

-- name: key_add
INSERT INTO data_key (customer_key, master_id, wrapped)
VALUES (?1, ?2, ?3)

-- name: key_erase
INSERT INTO data_key (customer_key, master_id, wrapped)
VALUES (?1, 0, NULL)
ON CONFLICT (customer_key) DO UPDATE SET master_id = 0, wrapped = NULL

-- name: key_erased
SELECT customer_key
FROM data_key
WHERE wrapped IS NULL
ORDER BY customer_key

-- name: key_all
SELECT customer_key, master_id, wrapped
FROM data_key
ORDER BY customer_key

-- A key that was erased in either database stays erased.
-- name: key_merge
INSERT INTO data_key (customer_key, master_id, wrapped)
VALUES (?1, ?2, ?3)
ON CONFLICT (customer_key) DO UPDATE SET master_id = excluded.master_id, wrapped = excluded.wrapped
WHERE data_key.wrapped IS NOT NULL

-- name: key_rewrap
UPDATE data_key
SET master_id = ?2, wrapped = ?3
WHERE customer_key = ?1
