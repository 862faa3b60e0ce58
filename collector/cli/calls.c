/* calls: lists calls one by one, newest last, or joins them with somebody's log (calls_join.c). Only the
 * newest are kept while the store is read: memory is bounded by --limit, whatever the pilot's length. */
#include "cli/calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "cli/commands.h"
#include "cli/show.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 1000000
#define TEXTS_MAX 4096 /* distinct names of stages, probes, tools ... */
#define COLUMNS 10
#define CELL_MAX 320

struct listed { /* texts are interned, but for detail */
    int64_t start_ns, duration_ns;
    uint64_t number;
    uint32_t boot, outcome, flags, connection, status, executions;
    const char *stage, *node, *probe, *target, *tool, *path, *reading;
    char *detail; /* owned, or NULL */
};

struct listing {
    struct listed *rows; /* a heap whose first is the oldest, then by start; owned */
    size_t n, max, cap;
    uint64_t seen;
    char *texts[TEXTS_MAX]; /* owned */
    size_t n_texts;
    struct err *e;
};

/* ---- keeping the newest */

static const char *intern(struct listing *l, const char *text) {
    for (size_t i = 0; i < l->n_texts; i++)
        if (strcmp(l->texts[i], text) == 0)
            return l->texts[i];
    if (l->n_texts == TEXTS_MAX || !(l->texts[l->n_texts] = strdup(text)))
        return NULL;
    return l->texts[l->n_texts++];
}

static bool older(const struct listed *a, const struct listed *b) {
    if (a->start_ns != b->start_ns)
        return a->start_ns < b->start_ns;
    return a->boot != b->boot ? a->boot < b->boot : a->number < b->number;
}

static void swap(struct listed *a, struct listed *b) {
    struct listed t = *a;
    *a = *b;
    *b = t;
}

static void rise(struct listed *rows, size_t i) {
    for (; i && older(&rows[i], &rows[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&rows[i], &rows[(i - 1) / 2]);
}

static void sink(struct listed *rows, size_t n) {
    for (size_t i = 0, least;; i = least) {
        least = i;
        for (size_t child = 2 * i + 1; child < n && child <= 2 * i + 2; child++)
            if (older(&rows[child], &rows[least]))
                least = child;
        if (least == i)
            return;
        swap(&rows[i], &rows[least]);
    }
}

static int add(struct listing *l, const struct listed *x) {
    if (l->n == l->max) { /* the oldest makes room */
        free(l->rows[0].detail);
        l->rows[0] = *x;
        sink(l->rows, l->n);
        return 0;
    }
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        struct listed *more = realloc(l->rows, cap * sizeof *more);
        if (!more)
            return err_oom(l->e);
        l->rows = more;
        l->cap = cap;
    }
    l->rows[l->n] = *x;
    rise(l->rows, l->n++);
    return 0;
}

static int keep(void *ctx, const struct call_row *r) {
    struct listing *l = ctx;
    char stage[2 * WIRE_NAME_MAX + 2];
    struct listed x = {.start_ns = r->start_ns,
                       .duration_ns = r->duration_ns,
                       .number = r->number,
                       .boot = r->boot,
                       .outcome = r->outcome,
                       .flags = r->flags,
                       .connection = r->connection};
    l->seen++;
    if (l->n == l->max && older(&x, &l->rows[0]))
        return 0;
    (void)snprintf(stage, sizeof stage, "%s/%s", r->cluster, r->namespace_name);
    if (!(x.stage = intern(l, stage)) || !(x.node = intern(l, r->node)) || !(x.probe = intern(l, r->probe)) ||
        !(x.target = intern(l, r->target)) || !(x.tool = intern(l, r->tool)) ||
        !(x.path = intern(l, r->path)) || !(x.reading = intern(l, r->reading)))
        return err_set(l->e, -E2BIG, "more than %d different names: narrow with --stage and --probe",
                       TEXTS_MAX);
    if (r->detail) {
        x.status = r->detail->http_status;
        x.executions = r->detail->executions;
        x.detail = strdup(r->detail->detail);
    }
    int code = add(l, &x);
    if (code < 0)
        free(x.detail);
    return code;
}

static int by_start(const void *a, const void *b) {
    const struct listed *x = a, *y = b;
    return older(x, y) ? -1 : older(y, x);
}

/* ---- writing */

static const char *const heads[COLUMNS] = {"START", "STAGE", "NODE",       "CALL",    "PROBE",
                                           "TOOL",  "PATH",  "CONNECTION", "SECONDS", "OUTCOME"};

static const char *connection(const struct listed *x) {
    if (x->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT)
        return "none";
    return x->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED ? "reused" : "new";
}

static void cells(const struct listed *x, char out[COLUMNS][CELL_MAX]) {
    char at[WHEN_TEXT_MAX], nonce[CALLS_NONCE_MAX];
    const char *texts[] = {when_format(x->start_ns, 3, at),
                           x->stage,
                           x->node,
                           calls_nonce(x->boot, x->number, nonce),
                           x->probe,
                           x->tool,
                           x->path,
                           connection(x)};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        (void)snprintf(out[k], CELL_MAX, "%s", texts[k]);
    (void)snprintf(out[8], CELL_MAX, "%.3f", (double)x->duration_ns / 1e9);
    (void)snprintf(out[9], CELL_MAX, "%s%s%s%s", wire_outcome_name((int)x->outcome), *x->reading ? " (" : "",
                   x->reading, *x->reading ? ")" : "");
}

static void write_table(const struct listing *l) {
    int widths[COLUMNS];
    char text[COLUMNS][CELL_MAX];
    for (size_t k = 0; k < COLUMNS; k++)
        widths[k] = (int)strlen(heads[k]);
    for (size_t i = 0; i < l->n; i++) {
        cells(&l->rows[i], text);
        for (size_t k = 0; k < COLUMNS; k++)
            widths[k] = (int)strlen(text[k]) > widths[k] ? (int)strlen(text[k]) : widths[k];
    }
    for (size_t k = 0; k < COLUMNS; k++)
        (void)printf("%-*s  ", widths[k], heads[k]);
    (void)printf("HOW FAR\n");
    for (size_t i = 0; i < l->n; i++) {
        cells(&l->rows[i], text);
        for (size_t k = 0; k < COLUMNS; k++)
            (void)printf("%-*s  ", widths[k], text[k]);
        (void)printf("%s\n", l->rows[i].detail ? l->rows[i].detail : "");
    }
}

/* RFC 4180, section 2. */
static void write_field(const char *text, char end) {
    bool quote = strpbrk(text, ",\"\r\n") != NULL;
    if (quote)
        (void)putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            (void)putchar('"');
        (void)putchar(*text);
    }
    if (quote)
        (void)putchar('"');
    (void)putchar(end);
}

static void write_csv(const struct listing *l) {
    char text[COLUMNS][CELL_MAX], status[16];
    (void)printf(
        "start,stage,node,call,probe,tool,path,connection,seconds,outcome,target,reading,http_status,"
        "how_far\n");
    for (size_t i = 0; i < l->n; i++) {
        const struct listed *x = &l->rows[i];
        cells(x, text);
        for (size_t k = 0; k < COLUMNS - 1; k++)
            write_field(text[k], ',');
        write_field(wire_outcome_name((int)x->outcome), ',');
        write_field(x->target, ',');
        write_field(x->reading, ',');
        (void)snprintf(status, sizeof status, "%u", (unsigned)x->status);
        write_field(x->status ? status : "", ',');
        write_field(x->detail ? x->detail : "", '\n');
    }
}

static json_t *json_of(const struct listed *x) {
    char at[WHEN_TEXT_MAX], nonce[CALLS_NONCE_MAX];
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:f, s:s, s:b, s:b}",
                          "call", calls_nonce(x->boot, x->number, nonce), "stage", x->stage, "node", x->node,
                          "start", when_format(x->start_ns, 6, at), "number", (json_int_t)x->number, "probe",
                          x->probe, "target", x->target, "tool", x->tool, "path", x->path, "connection",
                          connection(x), "connection_number", (json_int_t)x->connection, "seconds",
                          (double)x->duration_ns / 1e9, "outcome", wire_outcome_name((int)x->outcome),
                          "control", (x->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL) != 0, "drill",
                          (x->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_DRILL) != 0);
    if (!o)
        return NULL;
    if (*x->reading)
        (void)json_object_set_new(o, "reading", json_string(x->reading));
    if (x->status)
        (void)json_object_set_new(o, "http_status", json_integer(x->status));
    if (x->executions)
        (void)json_object_set_new(o, "executions", json_integer(x->executions));
    if (x->detail)
        (void)json_object_set_new(o, "how_far", json_string(x->detail));
    return o;
}

/* One list each, written call by call: all of them are never one document in memory. */
static int write_yaml(const struct listing *l) {
    if (l->n == 0)
        return fputs("[]\n", stdout) < 0 ? CLI_ERROR : CLI_OK;
    int r = 0;
    for (size_t i = 0; i < l->n && r == 0; i++) {
        json_t *one = json_pack("[o]", json_of(&l->rows[i])); /* lists of one, one after the other, are one */
        r = one ? report_yaml(stdout, one) : -ENOMEM;
        json_decref(one);
    }
    return r < 0 ? cli_fail("cannot write the output: %s", strerror(-r)) : CLI_OK;
}

static void write_json(const struct listing *l) {
    (void)putchar('[');
    for (size_t i = 0; i < l->n; i++) {
        json_t *o = json_of(&l->rows[i]);
        (void)fputs(i ? ",\n " : "\n ", stdout);
        (void)json_dumpf(o, stdout, JSON_ENSURE_ASCII);
        json_decref(o);
    }
    (void)fputs("\n]\n", stdout);
}

static int write_list(const struct cli *c, const struct listing *l) {
    int status = CLI_OK;
    if (strcmp(c->format, "yaml") == 0)
        status = write_yaml(l);
    else if (strcmp(c->format, "json") == 0)
        write_json(l);
    else if (strcmp(c->format, "csv") == 0)
        write_csv(l);
    else if (l->n)
        write_table(l);
    else
        (void)printf("no such call was witnessed\n");
    if (l->seen > l->n)
        (void)fprintf(stderr,
                      "pilotgate: these are the newest %zu of %llu calls; see --limit, --since, --until\n",
                      l->n, (unsigned long long)l->seen);
    return status;
}

static void free_list(struct listing *l) {
    for (size_t i = 0; i < l->n; i++)
        free(l->rows[i].detail);
    for (size_t i = 0; i < l->n_texts; i++)
        free(l->texts[i]);
    free(l->rows);
    free(l);
}

static int list(struct calls *w, int64_t limit, struct err *e) {
    struct listing *l = calloc(1, sizeof *l);
    if (!l)
        return err_oom(e);
    l->max = (size_t)limit;
    l->e = e;
    int r = calls_read(w, keep, l, e);
    if (r == 0 && l->n)
        qsort(l->rows, l->n, sizeof *l->rows, by_start);
    if (r == 0)
        r = write_list(w->cli, l);
    free_list(l);
    return r;
}

/* ---- the command line */

static bool outcome_known(const char *text) {
    const char *names[64] = {NULL};
    size_t n = 0;
    for (int k = 1; k <= PILOTGATE__OUTCOME__OUTCOME_MALFORMED && n < 63; k++)
        names[n++] = wire_outcome_name(k);
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], text) == 0)
            return true;
    const char *near = cli_nearest(text, names);
    if (near)
        (void)cli_fail("--outcome: there is no outcome '%s'; did you mean '%s'?", text, near);
    else
        (void)cli_fail("--outcome: there is no outcome '%s'; completed, reset and timeout are some", text);
    return false;
}

static int work(struct cli *c, const struct call_filter *f, const struct join_options *j) {
    struct calls w;
    struct err e = {""};
    int r = calls_open(c, f, &w, &e);
    if (r < 0)
        return cli_fail("%s", e.text);
    if (c->stage && !show_stage_known(c, &w.corr)) {
        calls_close(&w);
        return CLI_ERROR;
    }
    r = j->file ? calls_join(&w, j, &e) : list(&w, j->limit, &e);
    calls_close(&w);
    return r < 0 ? cli_fail("%s", e.text) : r;
}

/* Counts are kept by stage and probe: what asks for single calls cannot be asked of them. */
static int work_per(struct cli *c, const struct call_filter *f, const char *per) {
    struct per_options o = {.probe = f->probe, .from_ns = f->since_ns, .to_ns = f->until_ns};
    struct err e = {""};
    if (!calls_per_level(per, &o.level))
        return cli_fail("--per %s: minute, hour or day", per);
    if (!cli_format_ok(c, cli_formats))
        return CLI_ERROR;
    if (f->change || f->target || f->outcome || f->lost)
        return cli_fail(
            "--per counts by stage and probe: leave out --change, --target, --outcome and --lost");
    int r = calls_per(c, &o, &e);
    return r < 0 ? cli_fail("%s", e.text) : r;
}

static int run(struct cli *c) {
    static const char *const formats[] = {"table", "json", "yaml", "csv", NULL};
    struct call_filter f = {0};
    struct join_options j = {.format = "auto", .limit = LIMIT_DEFAULT};
    const char *per = NULL;
    const struct cli_option options[] = {
        {"change", 0, CLI_TEXT, &f.change, "ID", "calls that meet this change's window", NULL},
        {"since|from", 0, CLI_TIME, &f.since_ns, "TIME", "calls that ended then or later, RFC 3339", NULL},
        {"until|to", 0, CLI_TIME, &f.until_ns, "TIME", "calls that began then or before, RFC 3339", NULL},
        {"probe", 0, CLI_TEXT, &f.probe, "NAME", "calls of this probe", NULL},
        {"target", 0, CLI_TEXT, &f.target, "NAME", "calls to this target", NULL},
        {"outcome", 0, CLI_TEXT, &f.outcome, "NAME", "calls that ended so: completed, reset, timeout ...",
         NULL},
        {"lost", 0, CLI_FLAG, &f.lost, NULL,
         "calls that did not complete; of a change: that its verdict counts", NULL},
        {"limit", 0, CLI_NUMBER, &j.limit, "N", "the newest N calls, or N differences (1000)", NULL},
        {"per", 0, CLI_TEXT, &per, "minute|hour|day", "how many, by outcome and latency, instead of each",
         NULL},
        {"join", 0, CLI_TEXT, &j.file, "FILE",
         "compare with an access log or a record of executions; - reads it", NULL},
        {"format", 0, CLI_TEXT, &j.format, "FORMAT", "of FILE: auto, haproxy, nginx, jsonl, csv or text",
         NULL},
        {"field", 0, CLI_TEXT, &j.field, "NAME", "jsonl, csv: where a call's id is (call, nonce ...)", NULL},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 0, 0))
        return c->status;
    if (per && !j.file)
        return work_per(c, &f, per);
    if (per)
        return cli_fail("--per and --join are two questions: ask one at a time");
    if (!cli_format_ok(c, j.file ? cli_formats : formats) || (f.outcome && !outcome_known(f.outcome)))
        return CLI_ERROR;
    if (j.limit < 1 || j.limit > LIMIT_MAX)
        return cli_fail("--limit takes 1 to %d", LIMIT_MAX);
    if (f.since_ns && f.until_ns && f.until_ns < f.since_ns)
        return cli_fail("--until is before --since: name a later time");
    if (!j.file && (j.field || strcmp(j.format, "auto") != 0))
        return cli_fail("--format and --field say how to read the log of --join FILE: name one");
    return work(c, &f, &j);
}

const struct cli_command cli_cmd_calls = {
    .name = "calls",
    .summary = "calls one by one, counted, or compared with somebody's log",
    .usage = "[--stage C/NS] [--change ID] [--lost] [OPTIONS] [-o table|json|yaml|csv]\n"
             "--per minute|hour|day [--stage C/NS] [--probe NAME] [--from TIME] [--to TIME] [--at TIME] [-o "
             "table|json|yaml]\n"
             "--join FILE [--format FORMAT] [--field NAME] [OPTIONS] [-o table|json|yaml]",
    .run = run,
};
