/* calls_join: our calls against somebody else's record of them, by id.
 *
 *   calls asked for ─► table by (boot, number) ◄─ lines of the log, one at a time
 *                            │                         │ of our streams, and not in the table
 *                            ▼                         ▼
 *                       calls_judge          known outside what was asked for? still open? newer? or unknown
 *
 * Memory is bounded by the calls asked for (JOIN_CALLS_MAX), whatever the log's size. */
#include "cli/calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "cli/calls_judge.h"
#include "cli/calls_log.h"

#define JOIN_CALLS_MAX 2000000
#define NAMES_MAX 1024
#define OPEN_SPAN_NS                                                                      \
    (120 * WHEN_S) /* how far around a stream's last call its last coverage is looked for \
                    */

struct joined {
    uint32_t boot, outcome, flags;
    uint16_t probe;
    bool ours;  /* asked for; else only the log has it so far */
    bool known; /* not asked for, but witnessed or still open */
    uint64_t number;
    int64_t start_ns;
    struct calls_there there;
};

struct boot { /* of the stages asked for */
    uint32_t boot;
    uint64_t highest; /* number of a call that the store has */
    int64_t last_ns;
    bool unknown; /* the log has calls of it that were not asked for */
};

struct join {
    struct calls *w;
    const struct join_options *o;
    struct joined *slots; /* open addressing; number 0: free; owned */
    size_t n, cap;
    struct boot *boots; /* owned */
    size_t n_boots;
    char *names[NAMES_MAX]; /* probes; owned */
    size_t n_names;
    uint64_t lines, without, cut, others, ours, lost, outside, counts[CALLS_MATCHES];
    bool tells_ends;
    struct err *e;
};

/* ---- the table */

static size_t place(const struct join *j, uint32_t boot, uint64_t number) {
    uint64_t h = (number ^ (uint64_t)boot << 32) * 0x9e3779b97f4a7c15ull;
    size_t i = (size_t)(h >> 20) & (j->cap - 1);
    while (j->slots[i].number && (j->slots[i].number != number || j->slots[i].boot != boot))
        i = (i + 1) & (j->cap - 1);
    return i;
}

static int grow(struct join *j) {
    struct joined *old = j->slots;
    size_t n = j->cap;
    struct joined *more = calloc(n ? 2 * n : 1024, sizeof *more);
    if (!more)
        return err_oom(j->e);
    j->slots = more;
    j->cap = n ? 2 * n : 1024;
    for (size_t i = 0; i < n; i++)
        if (old[i].number)
            j->slots[place(j, old[i].boot, old[i].number)] = old[i];
    free(old);
    return 0;
}

/* The call's slot, made when it is missing; NULL with the error. */
static struct joined *slot(struct join *j, uint32_t boot, uint64_t number) {
    if (10 * (j->n + 1) > 7 * j->cap && grow(j) < 0)
        return NULL;
    struct joined *x = &j->slots[place(j, boot, number)];
    if (x->number)
        return x;
    if (j->n == JOIN_CALLS_MAX) {
        (void)err_set(j->e, -E2BIG, "more than %d calls: narrow with --stage, --since, --until or --change",
                      JOIN_CALLS_MAX);
        return NULL;
    }
    *x = (struct joined){.boot = boot, .number = number};
    j->n++;
    return x;
}

static struct boot *find_boot(const struct join *j, uint32_t boot) {
    for (size_t i = 0; i < j->n_boots; i++)
        if (j->boots[i].boot == boot)
            return &j->boots[i];
    return NULL;
}

static int take_boots(struct join *j) {
    const struct evidence *ev = &j->w->corr.ev;
    const struct cli *c = j->w->cli;
    j->boots = calloc(ev->n_streams + 1, sizeof *j->boots);
    if (!j->boots)
        return err_oom(j->e);
    for (size_t i = 0; i < ev->n_streams; i++) {
        const struct ev_stream *s = &ev->streams[i];
        if (c->stage &&
            (strcmp(s->cluster, c->cluster) != 0 || strcmp(s->namespace_name, c->namespace_name) != 0))
            continue;
        j->boots[j->n_boots++].boot =
            (uint32_t)s->boot[0] << 24 | (uint32_t)s->boot[1] << 16 | (uint32_t)s->boot[2] << 8 | s->boot[3];
    }
    return 0;
}

/* ---- ours */

static uint16_t name_of(struct join *j, const char *probe) {
    size_t i = 0;
    while (i < j->n_names && strcmp(j->names[i], probe) != 0)
        i++;
    if (i == j->n_names && (i == NAMES_MAX || !(j->names[j->n_names++] = strdup(probe))))
        return NAMES_MAX - 1;
    return (uint16_t)i;
}

static int take_ours(void *ctx, const struct call_row *r) {
    struct join *j = ctx;
    struct joined *x = slot(j, r->boot, r->number);
    if (!x)
        return -ENOMEM;
    x->ours = true;
    x->outcome = r->outcome;
    x->flags = r->flags;
    x->start_ns = r->start_ns;
    x->probe = name_of(j, r->probe);
    j->ours++;
    j->lost += !calls_completed(r->outcome);
    return 0;
}

/* ---- theirs */

static int count_line(struct join *j, const struct calls_log_entry *x) {
    if (x->number == 0 || !find_boot(j, x->boot)) {
        j->others++;
        return 0;
    }
    struct joined *s = slot(j, x->boot, x->number);
    if (!s)
        return -ENOMEM;
    uint32_t *counts[] = {&s->there.named,  &s->there.answered, &s->there.failed,
                          &s->there.starts, &s->there.ends,     &s->there.gone};
    if (*counts[x->fate] < UINT32_MAX)
        ++*counts[x->fate];
    j->tells_ends |= x->fate == CALLS_LOG_END || x->fate == CALLS_LOG_GONE;
    return 0;
}

/* Reads one line; what is beyond the buffer is skipped and counted. -1 at the end. */
static long next_line(struct join *j, FILE *in, char *line) {
    size_t n = 0;
    int ch;
    bool cut = false;
    while ((ch = getc_unlocked(in)) != EOF && ch != '\n') {
        if (n < CALLS_LOG_LINE_MAX - 1)
            line[n++] = (char)ch;
        else
            cut = true;
    }
    if (ch == EOF && n == 0)
        return -1;
    line[n] = 0;
    j->cut += cut;
    j->lines++;
    return (long)n;
}

static int read_lines(struct join *j, FILE *in, struct calls_log *log) {
    static char line[CALLS_LOG_LINE_MAX];
    struct calls_log_entry x;
    long n;
    while ((n = next_line(j, in, line)) >= 0) {
        int r = calls_log_line(log, line, (size_t)n, &x, j->e);
        if (r > 0)
            r = count_line(j, &x);
        else
            j->without++;
        if (r < 0)
            return r;
    }
    return ferror(in) ? err_set(j->e, -EIO, "cannot read %s: %s", j->o->file, strerror(errno)) : 0;
}

static int read_log(struct join *j) {
    struct calls_log log = {.field = j->o->field};
    int r = calls_log_format_parse(j->o->format, &log.format, j->e);
    if (r < 0)
        return r;
    bool standard = strcmp(j->o->file, "-") == 0;
    FILE *in = standard ? stdin : fopen(j->o->file, "re");
    if (!in)
        return err_set(j->e, -errno, "cannot read %s: %s", j->o->file, strerror(errno));
    r = read_lines(j, in, &log);
    if (!standard)
        (void)fclose(in);
    return r;
}

/* ---- theirs, and not asked for here */

static int take_any(void *ctx, const struct call_row *r) {
    struct join *j = ctx;
    struct boot *b = find_boot(j, r->boot);
    struct joined *x = &j->slots[place(j, r->boot, r->number)];
    if (x->number && !x->ours)
        x->known = true;
    if (b && r->number > b->highest)
        b->highest = r->number;
    if (b && r->start_ns + r->duration_ns > b->last_ns)
        b->last_ns = r->start_ns + r->duration_ns;
    return 0;
}

static void mark_open(struct join *j, uint32_t boot, const Pilotgate__Coverage__Probe *p) {
    uint64_t number = p->first_open;
    for (size_t i = 0; i < p->n_open_number_delta; i++) {
        number += p->open_number_delta[i];
        struct joined *x = &j->slots[place(j, boot, number)];
        if (x->number && !x->ours)
            x->known = true;
    }
}

static int take_open(void *ctx, const struct store_record *r, uint64_t commit) {
    struct join *j = ctx;
    const struct evidence *ev = &j->w->corr.ev;
    Pilotgate__Record *rec = NULL;
    (void)commit;
    int code = wire_record_unpack(r->payload, r->len, &rec, j->e);
    for (size_t i = 0; code == 0 && i < ev->n_streams; i++) {
        const uint8_t *b = ev->streams[i].boot;
        if (ev->streams[i].id != r->stream)
            continue;
        for (size_t k = 0; k < rec->coverage->n_probes; k++)
            mark_open(j, (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3],
                      rec->coverage->probes[k]);
    }
    if (code == 0)
        wire_record_free(&rec);
    return code;
}

/* Calls that were open when their agent was last heard are listed in its coverage of then. */
static int find_open(struct join *j) {
    const struct cli *c = j->w->cli;
    int r = 0;
    for (size_t i = 0; i < j->n_boots && r == 0; i++) {
        struct store_query q = {.commit = j->w->corr.commit,
                                .cluster = c->stage ? c->cluster : NULL,
                                .namespace_name = c->stage ? c->namespace_name : NULL,
                                .families = 1u << WIRE_FAMILY_COVERAGE,
                                .from_ns = j->boots[i].last_ns - OPEN_SPAN_NS,
                                .to_ns = j->boots[i].last_ns + OPEN_SPAN_NS};
        if (j->boots[i].unknown && j->boots[i].last_ns)
            r = store_records(j->w->store, &q, take_open, j, j->e);
    }
    return r;
}

static int settle_unknown(struct join *j) {
    struct call_filter asked = j->w->filter;
    bool unknown = false;
    for (size_t i = 0; i < j->cap; i++) {
        if (!j->slots[i].number || j->slots[i].ours)
            continue;
        find_boot(j, j->slots[i].boot)->unknown = true; /* lines of other streams are not kept */
        unknown = true;
    }
    if (!unknown)
        return 0;
    j->w->filter = (struct call_filter){0};
    int r = calls_read(j->w, take_any, j, j->e);
    j->w->filter = asked;
    return r == 0 ? find_open(j) : r;
}

/* ---- the comparison */

static enum calls_match judge(const struct join *j, const struct joined *x) {
    const struct boot *b = find_boot(j, x->boot);
    if (x->ours)
        return calls_judge(x->outcome, x->flags, &x->there, j->tells_ends);
    bool newer = b && x->number > b->highest; /* its record is still on its way */
    return x->known || newer ? CALLS_MATCH_AGREES : CALLS_MATCH_UNKNOWN;
}

static int by_start(const void *a, const void *b) {
    const struct joined *x = *(const struct joined *const *)a, *y = *(const struct joined *const *)b;
    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    if (x->boot != y->boot)
        return x->boot < y->boot ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static json_t *difference(const struct join *j, const struct joined *x, enum calls_match m) {
    char nonce[CALLS_NONCE_MAX], at[WHEN_TEXT_MAX];
    const struct calls_there *t = &x->there;
    json_t *o =
        json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I}", "call", calls_nonce(x->boot, x->number, nonce),
                  "what", calls_match_name(m), "agrees", calls_match_agrees(m), "lines",
                  (json_int_t)t->named + t->answered + t->failed + t->starts + t->ends + t->gone,
                  "executions", (json_int_t)t->starts, "answered", (json_int_t)t->answered + t->ends,
                  "broken", (json_int_t)t->failed + t->gone);
    if (!o || !x->ours)
        return o;
    (void)json_object_set_new(o, "probe", json_string(x->probe < j->n_names ? j->names[x->probe] : ""));
    (void)json_object_set_new(o, "start", json_string(when_format(x->start_ns, 6, at)));
    (void)json_object_set_new(o, "outcome", json_string(wire_outcome_name((int)x->outcome)));
    return o;
}

/* Counts all, and lists as many as --limit says, oldest first. */
static json_t *compare(struct join *j, uint64_t *ret_left_out) {
    const struct joined **found = calloc(j->n + 1, sizeof *found);
    json_t *list = found ? json_array() : NULL;
    size_t n = 0;
    for (size_t i = 0; list && i < j->cap; i++) {
        const struct joined *x = &j->slots[i];
        if (!x->number)
            continue;
        enum calls_match m = judge(j, x);
        j->outside += !x->ours && m == CALLS_MATCH_AGREES;
        if (x->ours || m == CALLS_MATCH_UNKNOWN)
            j->counts[m]++;
        if (m != CALLS_MATCH_AGREES)
            found[n++] = x;
    }
    if (n)
        qsort(found, n, sizeof *found, by_start);
    for (size_t i = 0; list && i < n && i < (size_t)j->o->limit; i++)
        (void)json_array_append_new(list, difference(j, found[i], judge(j, found[i])));
    *ret_left_out = n > (size_t)j->o->limit ? n - (size_t)j->o->limit : 0;
    free(found);
    return list;
}

static bool agrees(const struct join *j) {
    for (int m = 0; m < CALLS_MATCHES; m++)
        if (!calls_match_agrees((enum calls_match)m) && j->counts[m])
            return false;
    return true;
}

static json_t *document(struct join *j) {
    uint64_t left_out = 0;
    json_t *list = compare(j, &left_out);
    json_t *counts = json_object();
    for (int m = 0; counts && m < CALLS_MATCHES; m++)
        (void)json_object_set_new(counts, calls_match_name((enum calls_match)m),
                                  json_integer((json_int_t)j->counts[m]));
    return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:I}", "file", j->o->file,
                     "agree", agrees(j), "calls", (json_int_t)j->ours, "lost", (json_int_t)j->lost, "lines",
                     (json_int_t)j->lines, "lines_without_call", (json_int_t)j->without, "lines_cut",
                     (json_int_t)j->cut, "lines_of_others", (json_int_t)j->others, "calls_not_asked_for",
                     (json_int_t)j->outside, "counts", counts, "differences", list, "differences_left_out",
                     (json_int_t)left_out);
}

static void show_differences(const struct cli *c, const json_t *doc) {
    json_t *rows = json_pack("[[s,s,s,s,s]]", "CALL", "START", "PROBE", "OUTCOME", "DIFFERENCE"), *o;
    size_t i;
    json_array_foreach(json_object_get(doc, "differences"), i, o) {
        int m = 0;
        while (m + 1 < CALLS_MATCHES && strcmp(calls_match_name((enum calls_match)m),
                                               json_string_value(json_object_get(o, "what"))) != 0)
            m++;
        const char *texts[] = {"call", "start", "probe", "outcome"};
        json_t *row = json_array();
        for (size_t k = 0; k < 4; k++) {
            const char *text = json_string_value(json_object_get(o, texts[k]));
            (void)json_array_append_new(row, json_string(text ? text : "-"));
        }
        (void)json_array_append_new(row, json_string(calls_match_text((enum calls_match)m)));
        (void)json_array_append_new(rows, row);
    }
    cli_table(c, stdout, rows);
    json_decref(rows);
}

static void show(const struct join *j, const json_t *doc) {
    show_differences(j->w->cli, doc);
    json_int_t left_out = json_integer_value(json_object_get(doc, "differences_left_out"));
    if (left_out)
        (void)printf("... and %lld more; see --limit\n", (long long)left_out);
    (void)printf(
        "%s%llu calls asked for, %llu of them not completed; %llu lines in %s, %llu without a call, %llu of "
        "others, %llu calls not asked for\n",
        json_array_size(json_object_get(doc, "differences")) ? "\n" : "", (unsigned long long)j->ours,
        (unsigned long long)j->lost, (unsigned long long)j->lines, j->o->file, (unsigned long long)j->without,
        (unsigned long long)j->others, (unsigned long long)j->outside);
    for (int m = 0; m < CALLS_MATCHES; m++)
        if (j->counts[m])
            (void)printf("  %8llu  %s\n", (unsigned long long)j->counts[m],
                         calls_match_text((enum calls_match)m));
    (void)printf(agrees(j) ? "they agree\n" : "they disagree\n");
}

static int work(struct join *j) {
    int r = grow(j);
    if (r == 0)
        r = take_boots(j);
    if (r == 0)
        r = calls_read(j->w, take_ours, j, j->e);
    if (r == 0)
        r = read_log(j);
    return r == 0 ? settle_unknown(j) : r;
}

int calls_join(struct calls *w, const struct join_options *o, struct err *e) {
    struct join *j = calloc(1, sizeof *j);
    if (!j)
        return err_oom(e);
    *j = (struct join){.w = w, .o = o, .e = e};
    int r = work(j);
    if (r == 0 && j->ours == 0)
        r = err_set(e, -ENOENT, "no call is asked for: widen --since and --until, or see `pilotgate calls`");
    json_t *doc = r == 0 ? document(j) : NULL;
    if (r == 0 && !doc)
        r = err_oom(e);
    bool wanted = doc && cli_wants_document(w->cli);
    if (doc && !wanted)
        show(j, doc);
    if (wanted)
        r = cli_document(w->cli, doc);
    if (r == 0)
        r = agrees(j) ? CLI_OK : CLI_FAIL;
    json_decref(doc);
    for (size_t i = 0; i < j->n_names; i++)
        free(j->names[i]);
    free(j->boots);
    free(j->slots);
    free(j);
    return r;
}
