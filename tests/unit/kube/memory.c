/* memory: see memory.h. */
#include "memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

size_t memory_kib(const char *what) {
    char line[256];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, what, strlen(what)) == 0)
            kib = (size_t)strtoul(line + strlen(what), NULL, 10);
    (void)fclose(f);
    return kib;
}

/* proc(5), clear_refs. */
size_t memory_reset_peak(void) {
    FILE *f = fopen("/proc/self/clear_refs", "we");
    assert_non_null(f);
    assert_true(fputs("5", f) >= 0);
    assert_int_equal(fclose(f), 0);
    return memory_kib("VmRSS:");
}
