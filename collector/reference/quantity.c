/* quantity: Kubernetes quantities and Go durations as exact integers, and the order of such values. See
 * values.h.
 *
 * Grammar of a quantity (k8s.io/apimachinery pkg/api/resource/quantity.go): a decimal number with an optional
 * sign, then one suffix of n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or an exponent, e3 or E-3. What is finer
 * than a nano-unit is rounded away from zero, as there. The digits are counted in a number of 512 bits, which
 * holds QUANTITY_MAX of them times the largest suffix, so that nothing before the last step is rounded. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reference/values.h"
#include "reference/values_priv.h"

#define QUANTITY_MAX 128 /* bytes of a text */
#define EXPONENT_MAX 400 /* beyond it every number is zero's neighbour or saturates */
#define LIMBS 8
#define NANO 9

__extension__ typedef unsigned __int128 wide;

/* ---- a number of 512 bits */

struct big {
    uint64_t limb[LIMBS]; /* lowest first */
    bool over;            /* it did not fit */
};

static void big_times(struct big *b, uint64_t factor, uint64_t more) {
    wide carry = more;
    for (size_t i = 0; i < LIMBS; i++) {
        carry += (wide)b->limb[i] * factor;
        b->limb[i] = (uint64_t)carry;
        carry >>= 64;
    }
    b->over |= carry != 0;
}

/* Returns the remainder. */
static uint64_t big_divide(struct big *b, uint64_t by) {
    wide rest = 0;
    for (size_t i = LIMBS; i-- > 0;) {
        rest = rest << 64 | b->limb[i];
        b->limb[i] = (uint64_t)(rest / by);
        rest %= by;
    }
    return (uint64_t)rest;
}

static bool big_is_zero(const struct big *b) {
    for (size_t i = 0; i < LIMBS; i++)
        if (b->limb[i])
            return false;
    return true;
}

/* Times ten to the power e; away from zero where that is not whole. */
static void big_shift(struct big *b, int e) {
    bool rest = false;
    if (big_is_zero(b))
        return;
    for (; e > 0 && !b->over; e--)
        big_times(b, 10, 0);
    for (; e < 0; e++)
        rest |= big_divide(b, 10) != 0;
    if (rest)
        big_times(b, 1, 1);
}

/* ---- quantities */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* "e3", "E+3", "e-3": the whole rest of a text. */
static bool exponent_of(const char *s, int *ret) {
    bool minus = s[1] == '-';
    const char *p = s + 1 + (s[1] == '-' || s[1] == '+');
    int n = 0;
    if (!is_digit(*p))
        return false;
    for (; is_digit(*p); p++)
        n = n < EXPONENT_MAX ? n * 10 + (*p - '0') : n;
    if (*p)
        return false;
    n = n < EXPONENT_MAX ? n : EXPONENT_MAX;
    *ret = minus ? -n : n;
    return true;
}

/* What the suffix stands for: ten to the power *ret_ten, times 1024 to the power *ret_kibi. */
static bool suffix_of(const char *s, int *ret_ten, int *ret_kibi) {
    static const struct {
        const char *text;
        int ten, kibi;
    } suffixes[] = {{"", 0, 0},   {"n", -9, 0}, {"u", -6, 0}, {"m", -3, 0}, {"k", 3, 0},  {"M", 6, 0},
                    {"G", 9, 0},  {"T", 12, 0}, {"P", 15, 0}, {"E", 18, 0}, {"Ki", 0, 1}, {"Mi", 0, 2},
                    {"Gi", 0, 3}, {"Ti", 0, 4}, {"Pi", 0, 5}, {"Ei", 0, 6}};
    *ret_kibi = 0;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcmp(suffixes[i].text, s) == 0) {
            *ret_ten = suffixes[i].ten;
            *ret_kibi = suffixes[i].kibi;
            return true;
        }
    return (*s == 'e' || *s == 'E') && exponent_of(s, ret_ten);
}

/* The digits of "12.5" as 125, and how many of them are a fraction; NULL: none. Returns what follows. */
static const char *take_digits(const char *p, struct big *b, int *ret_fraction) {
    bool any = false;
    int fraction = -1;
    for (; is_digit(*p) || (*p == '.' && fraction < 0); p++) {
        if (*p == '.') {
            fraction = 0;
            continue;
        }
        big_times(b, 10, (uint64_t)(*p - '0'));
        fraction += fraction >= 0;
        any = true;
    }
    *ret_fraction = fraction < 0 ? 0 : fraction;
    return any ? p : NULL;
}

static __int128 saturated(const struct big *b, bool minus) {
    const wide most = ~(wide)0 >> 1;
    wide v = (wide)b->limb[1] << 64 | b->limb[0];
    bool over = b->over || v > most;
    for (size_t i = 2; i < LIMBS; i++)
        over |= b->limb[i] != 0;
    v = over ? most : v;
    return minus ? -(__int128)v : (__int128)v;
}

int ref_quantity(const char *text, __int128 *ret) {
    struct big b = {0};
    int fraction;
    int ten = 0;
    int kibi = 0;
    if (strnlen(text, QUANTITY_MAX + 1) > QUANTITY_MAX)
        return -EINVAL;
    bool minus = *text == '-';
    const char *p = take_digits(text + (*text == '-' || *text == '+'), &b, &fraction);
    if (!p || !suffix_of(p, &ten, &kibi))
        return -EINVAL;
    for (; kibi > 0; kibi--)
        big_times(&b, 1024, 0);
    big_shift(&b, ten - fraction + NANO);
    *ret = saturated(&b, minus);
    return 0;
}

/* ---- durations: time.ParseDuration and its constants, Go's src/time/format.go */

static const struct {
    const char *text;
    int64_t ns;
} units[] = {{"ns", 1},           {"us", 1000},      {"\xc2\xb5s", 1000}, /* micro sign */
             {"\xce\xbcs", 1000},                                         /* Greek mu */
             {"ms", 1000000},     {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000}};

/* One "1.5h" of a duration; NULL: it is none. */
static const char *take_part(const char *p, wide *ret) {
    wide whole = 0;
    wide fraction = 0;
    wide scale = 1;
    bool any = false;
    for (; is_digit(*p); p++, any = true)
        whole = whole >> 64 ? whole : whole * 10 + (unsigned)(*p - '0');
    for (p += *p == '.'; is_digit(*p); p++, any = true)
        if (scale < 1000000000000000000) {
            fraction = fraction * 10 + (unsigned)(*p - '0');
            scale *= 10;
        }
    size_t n = strcspn(p, ".0123456789");
    for (size_t i = 0; any && i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].text) == n && memcmp(units[i].text, p, n) == 0) {
            whole = whole >> 64 ? (wide)1 << 64 : whole;
            *ret = whole * (uint64_t)units[i].ns + fraction * (uint64_t)units[i].ns / scale;
            return p + n;
        }
    return NULL;
}

int ref_duration(const char *text, int64_t *ret) {
    const char *p = text + (*text == '-' || *text == '+');
    wide sum = 0;
    if (strcmp(p, "0") == 0) {
        *ret = 0;
        return 0;
    }
    if (!*p)
        return -EINVAL;
    while (*p) {
        wide part;
        p = take_part(p, &part);
        if (!p)
            return -EINVAL;
        sum = sum >> 100 ? sum : sum + part;
    }
    if (sum > INT64_MAX)
        return -ERANGE;
    *ret = *text == '-' ? -(int64_t)sum : (int64_t)sum;
    return 0;
}

/* ---- order */

/* The shortest text that reads as this number again. */
static const char *text_of(const json_t *v, char out[64]) {
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_integer(v)) {
        (void)snprintf(out, 64, "%lld", (long long)json_integer_value(v));
        return out;
    }
    if (!json_is_real(v))
        return NULL;
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(out, 64, "%.*g", digits, json_real_value(v));
        double again = strtod(out, NULL);
        if (!(again < json_real_value(v)) && !(again > json_real_value(v)))
            break;
    }
    return out;
}

bool ref_as_quantity(const json_t *v, __int128 *ret) {
    char room[64];
    const char *text = text_of(v, room);
    return text && ref_quantity(text, ret) == 0;
}

static int sign_of(__int128 a, __int128 b) {
    return (a > b) - (a < b);
}

/* "50%" as "50": *ret_percent says whether it is one. */
static const char *percent_of(const char *text, char out[64], bool *ret_percent) {
    size_t n = strlen(text);
    *ret_percent = n > 1 && n < 64 && text[n - 1] == '%';
    if (!*ret_percent)
        return text;
    memmove(out, text, n - 1);
    out[n - 1] = 0;
    return out;
}

int ref_order(const json_t *a, const json_t *b, bool *ret_known) {
    char room[4][64];
    bool percent[2];
    __int128 q[2];
    int64_t d[2];
    const char *x = text_of(a, room[0]);
    const char *y = text_of(b, room[1]);
    *ret_known = false;
    if (!x || !y)
        return 0;
    const char *p = percent_of(x, room[2], &percent[0]);
    const char *r = percent_of(y, room[3], &percent[1]);
    if (percent[0] != percent[1])
        return 0;
    if (ref_quantity(p, &q[0]) == 0 && ref_quantity(r, &q[1]) == 0) {
        *ret_known = true;
        return sign_of(q[0], q[1]);
    }
    if (ref_duration(x, &d[0]) == 0 && ref_duration(y, &d[1]) == 0) {
        *ret_known = true;
        return sign_of(d[0], d[1]);
    }
    return 0;
}
