/* when: see when.h. */
#include "base/when.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id) {
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * WHEN_S + t.tv_nsec;
}

int64_t when_wall_ns(void) {
    return read_clock(CLOCK_REALTIME);
}

int64_t when_mono_ns(void) {
    return read_clock(CLOCK_BOOTTIME);
}

/* Exactly n digits at *p; advances. */
static int digits(const char **p, int n, int *ret) {
    int v = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return -EINVAL;
        v = v * 10 + (**p - '0');
    }
    *ret = v;
    return 0;
}

static int expect(const char **p, char c) {
    return *(*p)++ == c ? 0 : -EINVAL;
}

static int parse_fraction(const char **p, int64_t *ret_ns) {
    *ret_ns = 0;
    if (**p != '.')
        return 0;
    (*p)++;
    int64_t unit = WHEN_S / 10;
    int n = 0;
    for (; isdigit((unsigned char)**p); (*p)++, n++, unit /= 10)
        *ret_ns += (int64_t)(**p - '0') * unit;
    return n > 0 ? 0 : -EINVAL;
}

static int parse_zone(const char **p, int *ret_s) {
    *ret_s = 0;
    if (**p == 'Z' || **p == 'z') {
        (*p)++;
        return 0;
    }
    int sign = **p == '-' ? -1 : **p == '+' ? 1 : 0;
    int h = 0;
    int m = 0;
    if (sign == 0)
        return -EINVAL;
    (*p)++;
    if (digits(p, 2, &h) < 0 || expect(p, ':') < 0 || digits(p, 2, &m) < 0 || h > 23 || m > 59)
        return -EINVAL;
    *ret_s = sign * (h * 3600 + m * 60);
    return 0;
}

int when_parse(const char *s, int64_t *ret_ns) {
    struct tm t = {0};
    const char *p = s;
    if (digits(&p, 4, &t.tm_year) < 0 || expect(&p, '-') < 0 || digits(&p, 2, &t.tm_mon) < 0 ||
        expect(&p, '-') < 0 || digits(&p, 2, &t.tm_mday) < 0)
        return -EINVAL;
    if (*p != 'T' && *p != 't' && *p != ' ')
        return -EINVAL;
    p++;
    if (digits(&p, 2, &t.tm_hour) < 0 || expect(&p, ':') < 0 || digits(&p, 2, &t.tm_min) < 0 ||
        expect(&p, ':') < 0 || digits(&p, 2, &t.tm_sec) < 0)
        return -EINVAL;
    int64_t fraction;
    int zone;
    if (parse_fraction(&p, &fraction) < 0 || parse_zone(&p, &zone) < 0 || *p)
        return -EINVAL;
    if (t.tm_year < 1970 || t.tm_year > 2100 || t.tm_mon < 1 || t.tm_mon > 12 || t.tm_mday < 1 ||
        t.tm_mday > 31 || t.tm_hour > 23 || t.tm_min > 59 || t.tm_sec > 60)
        return -EINVAL;
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    int64_t s_utc = (int64_t)timegm(&t) - zone;
    if (s_utc < 0)
        return -EINVAL;
    *ret_ns = s_utc * WHEN_S + fraction;
    return 0;
}

char *when_format(int64_t ns, int ndigits, char *out) {
    time_t s = (time_t)(ns / WHEN_S);
    int64_t rest = ns % WHEN_S;
    if (rest < 0) {
        rest += WHEN_S;
        s--;
    }
    struct tm t;
    (void)gmtime_r(&s, &t);
    size_t n = strftime(out, WHEN_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &t);
    if (ndigits > 0 && ndigits <= 9) {
        char frac[16];
        (void)snprintf(frac, sizeof frac, "%09lld", (long long)rest);
        (void)snprintf(out + n, WHEN_TEXT_MAX - n, ".%.*s", ndigits, frac);
        n += (size_t)ndigits + 1;
    }
    (void)snprintf(out + n, WHEN_TEXT_MAX - n, "Z");
    return out;
}

/* ns of the unit at *p, or 0; advances past it. "ms" goes before "m". */
static int64_t duration_unit(const char **p) {
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"ms", WHEN_MS},      {"us", 1000},       {"ns", 1},    {"d", 86400 * WHEN_S},
                 {"h", 3600 * WHEN_S}, {"m", 60 * WHEN_S}, {"s", WHEN_S}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n = strlen(units[i].name);
        if (strncmp(*p, units[i].name, n) == 0) {
            *p += n;
            return units[i].ns;
        }
    }
    return 0;
}

int when_parse_duration(const char *text, int64_t *ret_ns) {
    const double limit = 10.0 * 366 * 86400 * 1e9;
    double total = 0;
    const char *p = text;
    if (!*p)
        return -EINVAL;
    while (*p) {
        if (!isdigit((unsigned char)*p) || strlen(p) > 32)
            return -EINVAL;
        char *end;
        double v = strtod(p, &end);
        p = end;
        int64_t unit = duration_unit(&p);
        if (unit == 0)
            return -EINVAL;
        total += v * (double)unit;
        if (total > limit)
            return -EINVAL;
    }
    *ret_ns = (int64_t)(total + 0.5);
    return 0;
}

char *when_format_duration(int64_t ns, char *out) {
    const char *sign = ns < 0 ? "-" : "";
    long long a = llabs((long long)ns);
    long long s = a / WHEN_S;
    if (a < WHEN_S)
        (void)snprintf(out, WHEN_TEXT_MAX, "%s%lld ms", sign, a / WHEN_MS);
    else if (s < 60)
        (void)snprintf(out, WHEN_TEXT_MAX, "%s%.2f s", sign, (double)a / 1e9);
    else if (s < 3600)
        (void)snprintf(out, WHEN_TEXT_MAX, "%s%lld min %02lld s", sign, s / 60, s % 60);
    else if (s < 360000) /* 100 hours */
        (void)snprintf(out, WHEN_TEXT_MAX, "%s%lld h %02lld min", sign, s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, WHEN_TEXT_MAX, "%s%lld d %02lld h", sign, s / 86400, s / 3600 % 24);
    return out;
}
