/* memory: what this process takes, by /proc/self/status. */
#pragma once

#include <stddef.h>

size_t memory_kib(const char *what); /* "VmRSS:", "VmHWM:" */
/* From here on the peak is counted anew; what is resident now, KiB. */
size_t memory_reset_peak(void);
