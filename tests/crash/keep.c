/* crash-keep: the housekeeping of a collector that has served for days, done at once, for tests/crash:
 * everything is old enough to be packed. It may be killed at any time, as `pilotgate serve` may.
 *
 * usage: crash-keep STORE */
#include <stdio.h>

#include "base/when.h"
#include "store/store.h"

#define LATER (2 * 24 * 3600 * WHEN_S)

int main(int argc, char **argv) {
    struct store *s = NULL;
    struct err e = {"usage: crash-keep STORE"};
    size_t n = 1, packed = 0;
    int r = argc == 2 ? store_open(argv[1], STORE_SERVE, &s, &e) : -1;
    while (r == 0 && n > 0) {
        r = store_pack(s, when_wall_ns() + LATER, &n, &e);
        packed += r == 0 ? n : 0;
    }
    store_close(&s);
    if (r < 0) {
        (void)fprintf(stderr, "crash-keep: %s\n", e.text);
        return 2;
    }
    (void)printf("packed %zu\n", packed);
    return 0;
}
