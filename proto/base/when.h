/* when: clocks, and times and durations as text. Thread-safe, no state. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define WHEN_MS 1000000LL
#define WHEN_S 1000000000LL
#define WHEN_TEXT_MAX 40

int64_t when_wall_ns(void); /* CLOCK_REALTIME, ns since the epoch */
int64_t when_mono_ns(void); /* CLOCK_BOOTTIME: goes on while the machine sleeps */

/* RFC 3339, whole or fractional seconds, Z or an offset: "2026-11-23T04:05:06.789Z".
 * -EINVAL for anything else, also for years outside 1970..2100 and times before the epoch. */
int when_parse(const char *text, int64_t *ret_ns) MUST_CHECK;

/* RFC 3339 in UTC with `digits` decimals (0..9); out must hold WHEN_TEXT_MAX bytes. Returns out. */
char *when_format(int64_t ns, int digits, char *out);

/* "90s" "5m" "1h30m" "250ms" "2d"; a bare number is refused. Not negative, at most 10 years. */
int when_parse_duration(const char *text, int64_t *ret_ns) MUST_CHECK;

/* For people: "3.42 s", "2 min 05 s", "26 h 03 min", "5 d 04 h", "12 ms". Returns out. */
char *when_format_duration(int64_t ns, char *out);
