-- name: catalogue_newest
SELECT version, digest
FROM catalogue
ORDER BY version DESC
LIMIT 1

-- name: catalogue_add
INSERT INTO catalogue (version, digest, created_at, author, reason)
VALUES ($1, $2, $3, $4, $5)

-- name: catalogue_file_add
INSERT INTO catalogue_file (version, name, text)
VALUES ($1, $2, $3)

-- name: catalogue_file_count
SELECT count(*)
FROM catalogue_file
WHERE version = $1

-- name: catalogue_file_list
SELECT name, text
FROM catalogue_file
WHERE version = $1
ORDER BY name

-- name: source_list
SELECT source, name
FROM source
ORDER BY source

-- name: source_add
INSERT INTO source (source, name)
VALUES ($1, $2)
