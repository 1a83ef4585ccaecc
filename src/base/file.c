#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

#define TEMPORARY_TRIES 1000
#define DEPTH_MAX       32

static enum cvm_status status_of_errno(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return CVM_E_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return CVM_E_DENIED;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOMEM:
    case EMFILE:
        return CVM_E_LIMIT;
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case EINVAL:
        return CVM_E_INVALID;
    default:
        return CVM_E_UNAVAILABLE;
    }
}

static enum cvm_status fail_errno(struct cvm_error *err, int number, const char *verb,
                                  const char *path)
{
    char buffer[128];
    return CVM_FAIL(err, status_of_errno(number), "cannot %s '%s': %s", verb, path,
                    strerror_r(number, buffer, sizeof(buffer)));
}

bool cvm_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool cvm_file_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static ssize_t read_some(int fd, void *buffer, size_t size)
{
    ssize_t count = 0;
    do {
        count = read(fd, buffer, size);
    } while (count < 0 && errno == EINTR);
    return count;
}

static enum cvm_status fail_too_long(struct cvm_error *err, const char *path, size_t bytes_max)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "'%s' is larger than %zu bytes", path, bytes_max);
}

static enum cvm_status fail_no_memory(struct cvm_error *err, const char *path)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read '%s'", path);
}

/* Pipes and the like have no size to ask for: read until the end. */
static enum cvm_status read_stream(struct cvm_arena *arena, int fd, const char *path,
                                   size_t bytes_max, struct cvm_slice *out, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    struct cvm_text text;
    cvm_text_init(&text, bytes_max);
    char chunk[4096];
    ssize_t count = 0;
    while ((count = read_some(fd, chunk, sizeof(chunk))) > 0) {
        cvm_text_add_bytes(&text, chunk, (size_t)count);
        if (text.failed) {
            status = fail_too_long(err, path, bytes_max);
            goto out;
        }
    }
    if (count < 0) {
        status = fail_errno(err, errno, "read", path);
        goto out;
    }
    out->data = cvm_arena_copy(arena, cvm_text_string(&text), text.length);
    out->length = text.length;
    if (out->data == NULL) {
        status = fail_no_memory(err, path);
    }

out:
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status read_regular(struct cvm_arena *arena, int fd, const char *path, size_t size,
                                    struct cvm_slice *out, struct cvm_error *err)
{
    char *data = cvm_arena_alloc_raw(arena, size + 1, 1);
    if (data == NULL) {
        return fail_no_memory(err, path);
    }
    size_t used = 0;
    while (used < size) {
        ssize_t count = read_some(fd, data + used, size - used);
        if (count < 0) {
            return fail_errno(err, errno, "read", path);
        }
        if (count == 0) {
            break; /* somebody made it shorter meanwhile */
        }
        used += (size_t)count;
    }
    data[used] = '\0';
    *out = (struct cvm_slice){.data = data, .length = used};
    return CVM_OK;
}

enum cvm_status cvm_file_read(struct cvm_arena *arena, const char *path, size_t bytes_max,
                              char **out_data, size_t *out_length, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    struct cvm_slice content = {0};
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &info) != 0) {
        status = fail_errno(err, errno, "open", path);
        goto out;
    }
    if (S_ISDIR(info.st_mode)) {
        status = CVM_FAIL(err, CVM_E_INVALID, "'%s' is a folder", path);
        goto out;
    }
    if (S_ISREG(info.st_mode) && (uintmax_t)info.st_size > bytes_max) {
        status = fail_too_long(err, path, bytes_max);
        goto out;
    }
    if (S_ISREG(info.st_mode) && info.st_size > 0) {
        status = read_regular(arena, fd, path, (size_t)info.st_size, &content, err);
    } else {
        status = read_stream(arena, fd, path, bytes_max, &content, err);
    }

out:
    if (fd >= 0) {
        (void)close(fd); /* opened for reading: nothing left to lose */
    }
    if (status == CVM_OK) {
        *out_data = (char *)content.data;
        *out_length = content.length;
    }
    return status;
}

/* Length of the part of a path before its last name: "a/b/" of "a/b/c". */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

/* A new hidden file beside `path`, so that listings never show it. */
static int open_temporary(const char *path, char temporary[PATH_MAX])
{
    size_t folder = folder_length(path);
    for (int i = 0; i < TEMPORARY_TRIES; i++) {
        int length = snprintf(temporary, PATH_MAX, "%.*s.%s.%ld.%d.tmp", (int)folder, path,
                              path + folder, (long)getpid(), i);
        if (length < 0 || length >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
}

/* The rename itself is durable only once the folder is. */
bool cvm_file_sync_folder(const char *path)
{
    char folder[PATH_MAX];
    size_t length = folder_length(path);
    (void)snprintf(folder, sizeof(folder), "%.*s", length == 0 ? 1 : (int)length,
                   length == 0 ? "." : path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno == EACCES; /* a folder that may be written but not read */
    }
    bool is_synced = fsync(fd) == 0 || errno == EINVAL; /* some file systems cannot */
    int number = errno;
    (void)close(fd);
    errno = number;
    return is_synced;
}

struct cvm_file_out {
    FILE *stream;
    char *path; /* what is replaced: the target of a link */
    char
        *temporary; /* NULL: written as it is, for a device or pipe can not be replaced by a file */
};

/* The temporary file has the mode of what it will replace, so that the rename changes no rights. */
static enum cvm_status open_beside(struct cvm_file_out *file, const struct stat *old,
                                   struct cvm_error *err)
{
    char temporary[PATH_MAX];
    int fd = open_temporary(file->path, temporary);
    if (fd < 0) {
        return fail_errno(err, errno, "write", file->path);
    }
    file->temporary = strdup(temporary);
    if (file->temporary == NULL) {
        (void)unlink(temporary);
        (void)close(fd);
        return fail_no_memory(err, file->path);
    }
    bool is_open = (old == NULL || fchmod(fd, old->st_mode & 07777) == 0) &&
                   (file->stream = fdopen(fd, "w")) != NULL;
    if (!is_open) {
        enum cvm_status status = fail_errno(err, errno, "write", file->path);
        (void)close(fd);
        return status;
    }
    return CVM_OK;
}

static enum cvm_status open_device(struct cvm_file_out *file, struct cvm_error *err)
{
    int fd = open(file->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    file->stream = fd < 0 ? NULL : fdopen(fd, "w");
    if (file->stream == NULL) {
        enum cvm_status status = fail_errno(err, errno, "open", file->path);
        if (fd >= 0) {
            (void)close(fd);
        }
        return status;
    }
    return CVM_OK;
}

enum cvm_status cvm_file_out_open(const char *path, struct cvm_file_out **out_file,
                                  struct cvm_error *err)
{
    struct stat info;
    bool is_there = stat(path, &info) == 0;
    if (!is_there && errno != ENOENT) {
        return fail_errno(err, errno, "write", path);
    }
    if (is_there && S_ISDIR(info.st_mode)) {
        return CVM_FAIL(err, CVM_E_INVALID, "cannot write '%s': it is a folder", path);
    }
    struct cvm_file_out *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        return fail_no_memory(err, path);
    }
    enum cvm_status status = CVM_OK;
    bool is_device = is_there && !S_ISREG(info.st_mode);
    file->path = is_there && !is_device ? realpath(path, NULL) : strdup(path);
    if (file->path == NULL) {
        status = fail_errno(err, errno, "write", path);
    } else if (is_device) {
        status = open_device(file, err);
    } else {
        status = open_beside(file, is_there ? &info : NULL, err);
    }
    if (status != CVM_OK) {
        cvm_file_out_close(file);
        return status;
    }
    *out_file = file;
    return CVM_OK;
}

FILE *cvm_file_out_stream(struct cvm_file_out *file)
{
    return file->stream;
}

enum cvm_status cvm_file_out_commit(struct cvm_file_out *file, struct cvm_error *err)
{
    bool is_done = fflush(file->stream) == 0 && ferror(file->stream) == 0 &&
                   (file->temporary == NULL || fsync(fileno(file->stream)) == 0);
    int number = errno;
    if (fclose(file->stream) != 0 && is_done) {
        is_done = false;
        number = errno;
    }
    file->stream = NULL;
    if (is_done && file->temporary != NULL && rename(file->temporary, file->path) != 0) {
        is_done = false;
        number = errno;
    }
    if (!is_done) {
        return fail_errno(err, number, "write", file->path);
    }
    if (file->temporary != NULL) {
        free(file->temporary);
        file->temporary = NULL;
        return cvm_file_sync_folder(file->path)
                   ? CVM_OK
                   : fail_errno(err, errno, "sync the folder of", file->path);
    }
    return CVM_OK;
}

void cvm_file_out_close(struct cvm_file_out *file)
{
    if (file == NULL) {
        return;
    }
    if (file->stream != NULL) {
        (void)fclose(file->stream); /* thrown away */
    }
    if (file->temporary != NULL) {
        (void)unlink(file->temporary);
    }
    free(file->temporary);
    free(file->path);
    free(file);
}

enum cvm_status cvm_file_write(const char *path, const char *data, size_t length,
                               struct cvm_error *err)
{
    struct cvm_file_out *file = NULL;
    enum cvm_status status = cvm_file_out_open(path, &file, err);
    if (status == CVM_OK && fwrite(data, 1, length, file->stream) != length) {
        status = fail_errno(err, errno, "write", path);
    }
    if (status == CVM_OK) {
        status = cvm_file_out_commit(file, err);
    }
    cvm_file_out_close(file);
    return status;
}

static enum cvm_status create_one(const char *path, struct cvm_error *err)
{
    if (mkdir(path, 0777) == 0) {
        return CVM_OK;
    }
    int number = errno;
    if (cvm_file_is_folder(path)) {
        return CVM_OK;
    }
    if (number == EEXIST || number == ENOTDIR) {
        return CVM_FAIL(err, CVM_E_INVALID, "cannot create folder '%s': a file is in the way",
                        path);
    }
    return fail_errno(err, number, "create folder", path);
}

enum cvm_status cvm_folder_create(const char *path, struct cvm_error *err)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(part)) {
        return CVM_FAIL(err, CVM_E_INVALID, "cannot create folder '%s': bad name", path);
    }
    memcpy(part, path, length + 1);
    for (size_t i = 1; i < length; i++) {
        if (part[i] != '/' || part[i - 1] == '/') {
            continue;
        }
        part[i] = '\0';
        enum cvm_status status = create_one(part, err);
        part[i] = '/';
        if (status != CVM_OK) {
            return status;
        }
    }
    return create_one(part, err);
}

struct listing {
    struct cvm_arena *arena;
    const char *root; /* the folder as given, for messages */
    char **paths;
    size_t count;
    size_t capacity;
};

static bool listing_add(struct listing *listing, char *path)
{
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity == 0 ? 64 : listing->capacity * 2;
        char **paths = CVM_NEW_ARRAY(listing->arena, capacity, char *);
        if (paths == NULL) {
            return false;
        }
        if (listing->count > 0) {
            memcpy(paths, listing->paths, listing->count * sizeof(*paths));
        }
        listing->paths = paths;
        listing->capacity = capacity;
    }
    listing->paths[listing->count++] = path;
    return true;
}

static char *join(struct cvm_arena *arena, const char *folder, const char *name)
{
    size_t folder_size = strlen(folder);
    size_t name_size = strlen(name);
    char *path = cvm_arena_alloc(arena, folder_size + name_size + 2, 1);
    if (path == NULL) {
        return NULL;
    }
    memcpy(path, folder, folder_size);
    if (folder_size > 0) {
        path[folder_size++] = '/';
    }
    memcpy(path + folder_size, name, name_size);
    return path;
}

/* `prefix` is the folder relative to the root, "" for the root itself. Takes `fd`. */
static enum cvm_status list_folder(struct listing *listing, int fd, const char *prefix, int depth,
                                   struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    struct dirent *entry = NULL;
    DIR *folder = fdopendir(fd);
    if (folder == NULL) {
        status = fail_errno(err, errno, "list", listing->root);
        (void)close(fd);
        return status;
    }
    while (status == CVM_OK && (errno = 0, entry = readdir(folder)) != NULL) {
        struct stat info;
        if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &info, 0) != 0) {
            continue; /* hidden, or gone since it was listed, or a link to nowhere */
        }
        bool is_entered = S_ISDIR(info.st_mode) && depth > 0;
        if (!is_entered && !S_ISREG(info.st_mode)) {
            continue;
        }
        char *path = join(listing->arena, prefix, entry->d_name);
        if (path == NULL || (!is_entered && !listing_add(listing, path))) {
            status = fail_no_memory(err, listing->root);
        } else if (is_entered) {
            int child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            status = child < 0 ? fail_errno(err, errno, "list", path)
                               : list_folder(listing, child, path, depth - 1, err);
        }
    }
    if (status == CVM_OK && errno != 0) {
        status = fail_errno(err, errno, "list", listing->root);
    }
    (void)closedir(folder);
    return status;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum cvm_status cvm_folder_list(struct cvm_arena *arena, const char *folder, int depth,
                                struct cvm_file_list *out_list, struct cvm_error *err)
{
    struct listing listing = {.arena = arena, .root = folder};
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fail_errno(err, errno, "list", folder);
    }
    enum cvm_status status =
        list_folder(&listing, fd, "", depth < DEPTH_MAX ? depth : DEPTH_MAX, err);
    if (status != CVM_OK) {
        return status;
    }
    if (listing.count > 0) {
        qsort(listing.paths, listing.count, sizeof(*listing.paths), compare_paths);
    }
    *out_list = (struct cvm_file_list){.paths = listing.paths, .count = listing.count};
    return CVM_OK;
}
