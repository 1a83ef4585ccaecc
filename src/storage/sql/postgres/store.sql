-- Schema versions.

-- name: migration_table
CREATE TABLE IF NOT EXISTS migration (
    number     BIGINT PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_at BIGINT NOT NULL
)

-- name: migration_tables
SELECT count(*), count(*) FILTER (WHERE tablename = 'migration')
FROM pg_tables
WHERE schemaname = current_schema()

-- name: migration_list
SELECT number, name, checksum FROM migration ORDER BY number

-- name: migration_add
INSERT INTO migration (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)

-- name: store_created
SELECT min(applied_at) FROM migration
