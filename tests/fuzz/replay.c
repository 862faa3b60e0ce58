/* replay: runs every file of a folder through a fuzz target, so that what was found once stays found, with
 * any compiler and under CTest. */
#include <dirent.h>
#include <string.h>

#include "fuzz.h"

#define INPUT_MAX (1u << 20)

static int replay(const char *folder, const char *name) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    uint8_t *all = malloc(INPUT_MAX);
    if (!file || !all) {
        (void)fprintf(stderr, "%s: cannot read\n", path);
        exit(2);
    }
    size_t n = fread(all, 1, INPUT_MAX, file);
    (void)fclose(file);
    uint8_t *input = malloc(n ? n : 1); /* of just its size, so that a sanitizer sees what lies beyond */
    memcpy(input, all, n);
    free(all);
    int r = LLVMFuzzerTestOneInput(input, n);
    free(input);
    return r;
}

int main(int argc, char **argv) {
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    const struct dirent *entry;
    int n = 0;
    int failed = 0;
    if (!folder) {
        (void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.') {
            failed += replay(argv[1], entry->d_name) != 0;
            n++;
        }
    (void)closedir(folder);
    (void)printf("%d inputs\n", n);
    return n > 0 && failed == 0 ? 0 : 1;
}
