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
VALUES (?1, ?2, ?3, ?4, ?5, '', 0)

-- The store is as old as its source.
-- name: copy_created
UPDATE migration
SET applied_at = ?1
WHERE number = (SELECT min(number) FROM migration)

-- name: copy_step
UPDATE store_copy
SET table_name = ?1, rows = ?2

-- name: copy_end
UPDATE store_copy
SET ended_at = ?1

-- name: copy_forget
DELETE FROM store_copy

-- Numbers that the database gives go on behind those that were copied: here they do by themselves.
-- name: copy_numbers
SELECT 1

-- Columns by name, with their place in the primary key; 0 = not in it.
-- name: table_columns
SELECT name, pk
FROM pragma_table_info(?1)
ORDER BY name

-- name: table_list
SELECT name
FROM sqlite_schema
WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
ORDER BY name
