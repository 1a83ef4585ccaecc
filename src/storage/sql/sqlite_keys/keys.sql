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
