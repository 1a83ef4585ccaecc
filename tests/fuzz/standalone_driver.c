/* standalone_driver.c - runs a fuzz target over the files and folders given as arguments, so that
 * every compiler can replay a corpus or one bad input. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

#define PATH_SIZE       4096
#define INPUT_BYTES_MAX ((size_t)64 << 20)

static int inputs_run;

static int run_file(const char *path, size_t size)
{
    int failed = 1;
    uint8_t *data = NULL;
    FILE *file = fopen(path, "rb");
    if (file == NULL || size > INPUT_BYTES_MAX) {
        fprintf(stderr, "cannot read '%s'\n", path);
        goto out;
    }
    data = malloc(size + 1); /* one more: an empty file is an input too */
    if (data == NULL || fread(data, 1, size, file) != size) {
        fprintf(stderr, "cannot read '%s' whole\n", path);
        goto out;
    }
    fprintf(stderr, "%s (%zu bytes)\n", path, size); /* first, so that a crash has a name */
    failed = LLVMFuzzerTestOneInput(data, size);
    inputs_run++;

out:
    free(data);
    if (file != NULL) {
        (void)fclose(file);
    }
    return failed;
}

static int run_path(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        fprintf(stderr, "cannot read '%s': %s\n", path, strerror(errno));
        return 1;
    }
    if (!S_ISDIR(info.st_mode)) {
        return run_file(path, (size_t)info.st_size);
    }
    DIR *folder = opendir(path);
    if (folder == NULL) {
        fprintf(stderr, "cannot list '%s': %s\n", path, strerror(errno));
        return 1;
    }
    int failed = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char inner[PATH_SIZE];
        int length = snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && length > 0 && (size_t)length < sizeof(inner)) {
            failed |= run_path(inner);
        }
    }
    (void)closedir(folder);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        failed |= run_path(argv[i]);
    }
    if (inputs_run == 0) {
        fprintf(stderr, "usage: %s FILE_OR_FOLDER...\n", argv[0]);
        return 2;
    }
    return failed;
}
