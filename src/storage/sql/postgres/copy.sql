-- Copies of whole stores. Statements over the tables that are copied are made of their columns: copy_table.c.

-- name: copy_state
SELECT ended_at, source, created, moment, table_name, rows
FROM store_copy

-- name: copy_unended
SELECT count(*)
FROM store_copy
WHERE ended_at IS NULL

-- name: copy_begin
INSERT INTO store_copy (began_at, who, source, created, moment, table_name, rows)
VALUES ($1, $2, $3, $4, $5, '', 0)

-- The store is as old as its source.
-- name: copy_created
UPDATE migration
SET applied_at = $1
WHERE number = (SELECT min(number) FROM migration)

-- name: copy_step
UPDATE store_copy
SET table_name = $1, rows = $2

-- name: copy_end
UPDATE store_copy
SET ended_at = $1

-- name: copy_forget
DELETE FROM store_copy

-- Numbers that the database gives go on behind those that were copied.
-- name: copy_numbers
DO $$
DECLARE
    c RECORD;
BEGIN
    FOR c IN
        SELECT table_name AS t, column_name AS n
        FROM information_schema.columns
        WHERE table_schema = current_schema() AND is_identity = 'YES'
    LOOP
        EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), max(%I)) FROM %I',
            quote_ident(c.t), c.n, c.n, c.t);
    END LOOP;
END
$$

-- Columns by name, with their place in the primary key; 0 = not in it.
-- name: table_columns
SELECT CAST(a.attname AS TEXT) COLLATE "C" AS name, coalesce(k.place, 0) AS place
FROM pg_class t
JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN (
    SELECT i.indrelid, u.attnum, u.place
    FROM pg_index i, unnest(CAST(i.indkey AS SMALLINT[])) WITH ORDINALITY u(attnum, place)
    WHERE i.indisprimary
) k ON k.indrelid = t.oid AND k.attnum = a.attnum
WHERE n.nspname = current_schema() AND t.relname = CAST($1 AS TEXT)
ORDER BY 1

-- name: table_list
SELECT CAST(t.relname AS TEXT) COLLATE "C" AS name
FROM pg_class t
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE n.nspname = current_schema() AND t.relkind IN ('r', 'p') AND NOT t.relispartition
ORDER BY 1
