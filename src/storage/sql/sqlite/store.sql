-- Schema versions.

-- name: migration_table
CREATE TABLE IF NOT EXISTS migration (
    number     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT

-- name: migration_tables
SELECT count(*), coalesce(sum(name = 'migration'), 0)
FROM sqlite_schema
WHERE type = 'table' AND name NOT LIKE 'sqlite_%'

-- name: migration_list
SELECT number, name, checksum FROM migration ORDER BY number

-- name: migration_add
INSERT INTO migration (number, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)

-- name: store_created
SELECT min(applied_at) FROM migration

-- Is the connection still there?
-- name: store_check
SELECT 1

-- name: store_server
SELECT 'SQLite ' || sqlite_version(), 0, 0, 0
