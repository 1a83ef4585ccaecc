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

-- Is the connection still there?
-- name: store_check
SELECT 1

-- What runs, the connections of others (background work of the server holds none), and how many there may be. A process
-- gives all its connections one name.
-- name: store_server
SELECT CAST('PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1) AS TEXT),
       (SELECT count(*) FROM pg_stat_activity
        WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
          AND application_name IS DISTINCT FROM current_setting('application_name')),
       CAST(current_setting('max_connections') AS BIGINT),
       CAST(current_setting('superuser_reserved_connections') AS BIGINT)
           + coalesce(CAST(current_setting('reserved_connections', true) AS BIGINT), 0)
