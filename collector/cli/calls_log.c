/* calls_log: see calls_log.h. */
#include "cli/calls_log.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/js.h"

#define BOOT_DIGITS 8
#define NUMBER_DIGITS_MAX 18

int calls_log_format_parse(const char *text, enum calls_log_format *ret, struct err *e) {
    static const char *const names[] = {"auto", "haproxy", "nginx", "jsonl", "csv", "text"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], text) == 0) {
            *ret = (enum calls_log_format)i;
            return 0;
        }
    return err_set(e, -EINVAL, "--format %s: a log is auto, haproxy, nginx, jsonl, csv or text", text);
}

/* ---- the nonce */

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '-' || c == '_';
}

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* A nonce that begins at p and is a word of its own: UUIDs are none. */
static bool nonce_at(const char *p, const char *end, uint32_t *ret_boot, uint64_t *ret_number) {
    uint32_t boot = 0;
    uint64_t number = 0;
    int digits = 0;
    if (end - p < BOOT_DIGITS + 2)
        return false;
    for (int i = 0; i < BOOT_DIGITS; i++, p++) {
        if (!is_hex(*p))
            return false;
        boot = boot << 4 | (uint32_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    }
    if (*p++ != '-')
        return false;
    for (; p < end && *p >= '0' && *p <= '9' && digits <= NUMBER_DIGITS_MAX; p++, digits++)
        number = number * 10 + (uint64_t)(*p - '0');
    if (digits == 0 || digits > NUMBER_DIGITS_MAX || (p < end && is_word(*p)))
        return false;
    *ret_boot = boot;
    *ret_number = number;
    return true;
}

bool calls_log_nonce(const char *text, size_t len, uint32_t *ret_boot, uint64_t *ret_number) {
    const char *end = text + len;
    for (const char *p = text; p < end; p++)
        if ((p == text || !is_word(p[-1])) && nonce_at(p, end, ret_boot, ret_number))
            return true;
    return false;
}

static bool take_nonce(const char *text, size_t len, struct calls_log_entry *ret) {
    return calls_log_nonce(text, len, &ret->boot, &ret->number);
}

/* ---- what became of it */

static enum calls_log_fate of_status(long status) {
    return status >= 200 && status < 400 ? CALLS_LOG_ANSWERED : CALLS_LOG_FAILED;
}

static bool among(const char *word, const char *const *words) {
    for (; *words; words++)
        if (strcasecmp(word, *words) == 0)
            return true;
    return false;
}

/* Of a value under a name that tells the fate; NAMED when it does not. */
static enum calls_log_fate of_text(const char *name, const char *value) {
    static const char *const good[] = {"ok",       "success", "succeeded", "successful", "completed",
                                       "complete", "done",    "true",      NULL};
    static const char *const bad[] = {"error",     "failed",   "failure", "fail",  "timeout", "timed_out",
                                      "cancelled", "canceled", "aborted", "false", NULL};
    char *end;
    if (strcmp(name, "event") == 0) {
        if (strcmp(value, "start") == 0)
            return CALLS_LOG_START;
        return strcmp(value, "end") == 0    ? CALLS_LOG_END
               : strcmp(value, "gone") == 0 ? CALLS_LOG_GONE
                                            : CALLS_LOG_NAMED;
    }
    if (strcmp(name, "end") == 0 ||
        strcmp(name, "termination_state") == 0) /* HAProxy's %tsc: '-' is an orderly end */
        return strlen(value) >= 2 && strlen(value) <= 4 && *value != '-' ? CALLS_LOG_FAILED : CALLS_LOG_NAMED;
    long status = strtol(value, &end, 10);
    if (end != value && !*end)
        return of_status(status);
    return among(value, good) ? CALLS_LOG_ANSWERED : among(value, bad) ? CALLS_LOG_FAILED : CALLS_LOG_NAMED;
}

/* Names under which logs tell the fate; the first that tells wins, so that a bad end comes before a status
 * that was sent before it. */
static const char *const fate_names[] = {"event",  "end",         "termination_state", "success",
                                         "status", "http_status", "outcome",           "state"};

static enum calls_log_fate of_json(const json_t *doc) {
    for (size_t i = 0; i < sizeof fate_names / sizeof *fate_names; i++) {
        const json_t *v = json_object_get(doc, fate_names[i]);
        enum calls_log_fate fate = CALLS_LOG_NAMED;
        if (json_is_string(v))
            fate = of_text(fate_names[i], json_string_value(v));
        else if (json_is_integer(v) && strstr(fate_names[i], "status"))
            fate = of_status((long)json_integer_value(v));
        else if (json_is_boolean(v))
            fate = json_is_true(v) ? CALLS_LOG_ANSWERED : CALLS_LOG_FAILED;
        if (fate != CALLS_LOG_NAMED)
            return fate;
    }
    const json_t *error = json_object_get(doc, "error");
    return error && !json_is_null(error) ? CALLS_LOG_FAILED : CALLS_LOG_NAMED;
}

/* ---- formats */

static bool json_line(const struct calls_log *l, const char *line, size_t len, struct calls_log_entry *ret) {
    const char *open = memchr(line, '{', len); /* a collector of logs may have put its own words before */
    json_t *doc = NULL;
    size_t rest = open ? len - (size_t)(open - line) : 0;
    if (!open || js_parse(open, rest, CALLS_LOG_LINE_MAX, &doc, NULL) < 0)
        return !l->field && take_nonce(line, len, ret);
    const char *text = l->field ? js_str(doc, l->field, "") : open;
    bool found = take_nonce(text, l->field ? strlen(text) : rest, ret);
    if (found)
        ret->fate = of_json(doc);
    json_decref(doc);
    return found;
}

static bool is_timers(const char *word, size_t n) {
    int slashes = 0;
    for (size_t i = 0; i < n; i++) {
        slashes += word[i] == '/';
        if (!isdigit((unsigned char)word[i]) && word[i] != '/' && word[i] != '-' && word[i] != '+')
            return false;
    }
    return slashes == 4;
}

/* "TR/Tw/Tc/Tr/Ta status bytes cookie cookie tsc": what follows the five timers. */
static enum calls_log_fate of_haproxy(const char *line) {
    const char *p = line;
    for (size_t n; *p; p += n) {
        p += strspn(p, " ");
        n = strcspn(p, " ");
        if (!is_timers(p, n))
            continue;
        long status = strtol(p + n, NULL, 10);
        p += n;
        for (int word = 0; word < 5; word++) {
            p += strspn(p, " ");
            p += word < 4 ? strcspn(p, " ") : 0;
        }
        return *p && *p != '-' ? CALLS_LOG_FAILED : of_status(status);
    }
    return CALLS_LOG_NAMED;
}

/* ... "POST /mcp HTTP/1.1" 200 ... ; 499 is nginx's own for a client that went away. */
static enum calls_log_fate of_nginx(const char *line) {
    const char *http = strstr(line, " HTTP/");
    const char *quote = http ? strchr(http, '"') : NULL;
    char *end;
    long status = quote ? strtol(quote + 1, &end, 10) : 0;
    return quote && end != quote + 1 ? of_status(status) : CALLS_LOG_NAMED;
}

/* ---- CSV */

/* Cuts a record into its cells, in place; the number of them. */
static int cut(char *line, char **cells, int max) {
    int n = 0;
    for (char *p = line; n < max; p++) {
        char *to = p;
        cells[n++] = p;
        bool quoted = *p == '"';
        for (p += quoted; *p && (quoted || *p != ','); p++) {
            if (quoted && *p == '"' && p[1] != '"') {
                quoted = false;
                continue;
            }
            p += quoted && *p == '"';
            *to++ = *p;
        }
        bool more = *p == ',';
        *to = 0;
        if (!more)
            break;
    }
    return n;
}

static bool find_columns(struct calls_log *l, char **cells, int n) {
    static const char *const ids[] = {"call", "nonce", "x-pilotgate-call", "x_pilotgate_call", NULL};
    l->id_column = -1;
    l->n_fates = 0;
    for (int i = 0; i < n; i++)
        if (l->field ? strcmp(cells[i], l->field) == 0 : l->id_column < 0 && among(cells[i], ids))
            l->id_column = i;
    for (size_t k = 0; k < sizeof fate_names / sizeof *fate_names; k++)
        for (int i = 0; i < n; i++)
            if (strcasecmp(cells[i], fate_names[k]) == 0 && l->n_fates < 8) {
                l->fate_names[l->n_fates] = fate_names[k];
                l->fate_columns[l->n_fates++] = i;
            }
    return l->id_column >= 0;
}

static bool csv_line(const struct calls_log *l, char **cells, int n, struct calls_log_entry *ret) {
    bool found = false;
    for (int i = 0; i < n && !found; i++)
        if (l->id_column < 0 || i == l->id_column)
            found = take_nonce(cells[i], strlen(cells[i]), ret);
    for (int k = 0; found && k < l->n_fates && ret->fate == CALLS_LOG_NAMED; k++)
        if (l->fate_columns[k] < n)
            ret->fate = of_text(l->fate_names[k], cells[l->fate_columns[k]]);
    return found;
}

/* The first line: 1 when it is the head of a CSV. */
static int first_line(struct calls_log *l, char *line, struct err *e) {
    char *cells[CALLS_LOG_COLUMNS_MAX];
    l->begun = true;
    if (l->format != CALLS_LOG_CSV &&
        (l->format != CALLS_LOG_AUTO || strchr(line, '{') || !strchr(line, ',')))
        return 0;
    char *copy = strdup(line);
    if (!copy)
        return err_oom(e);
    bool known = find_columns(l, cells, cut(copy, cells, CALLS_LOG_COLUMNS_MAX));
    free(copy);
    if (l->format == CALLS_LOG_CSV && l->field && !known)
        return err_set(e, -EINVAL, "the first line of the CSV has no column '%s': name one with --field",
                       l->field);
    if (known)
        l->format = CALLS_LOG_CSV;
    return l->format == CALLS_LOG_CSV;
}

static bool auto_line(const struct calls_log *l, char *line, size_t len, struct calls_log_entry *ret) {
    if (line[strspn(line, " \t")] == '{' || l->field)
        return json_line(l, line, len, ret);
    if (!take_nonce(line, len, ret))
        return false;
    ret->fate = of_haproxy(line);
    if (ret->fate == CALLS_LOG_NAMED)
        ret->fate = of_nginx(line);
    return true;
}

int calls_log_line(struct calls_log *l, char *line, size_t len, struct calls_log_entry *ret, struct err *e) {
    char *cells[CALLS_LOG_COLUMNS_MAX];
    struct calls_log_entry x = {.fate = CALLS_LOG_NAMED};
    bool found = false;
    int head = l->begun ? 0 : first_line(l, line, e);
    if (head != 0)
        return head < 0 ? head : 0;
    switch (l->format) {
    case CALLS_LOG_CSV:
        found = csv_line(l, cells, cut(line, cells, CALLS_LOG_COLUMNS_MAX), &x);
        break;
    case CALLS_LOG_JSONL:
        found = json_line(l, line, len, &x);
        break;
    case CALLS_LOG_AUTO:
        found = auto_line(l, line, len, &x);
        break;
    default:
        found = take_nonce(line, len, &x);
        if (found && l->format == CALLS_LOG_HAPROXY)
            x.fate = of_haproxy(line);
        else if (found && l->format == CALLS_LOG_NGINX)
            x.fate = of_nginx(line);
        break;
    }
    if (found)
        *ret = x;
    return found;
}
