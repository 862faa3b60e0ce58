/* rollup_gather: the calls of the open transaction, counted in memory by series and minute.
 *
 *   block ─ runs of one entry ─► series (cached by its text) ─► cell (series, minute) ─ commit ─► rollup rows
 *
 * This is the hot path of ingest: per call a comparison, two additions and a bucket. Cells are found again by
 * open addressing, at most half full, and only when a run's minute changes. */
#include "store/rollup_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_US 1000LL

/* ---- series: found by their text; never more than a bound between two transactions */

static uint64_t hash_bytes(const char *p, size_t n) {
    uint64_t h = 0xcbf29ce484222325ull; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)p[i]) * 0x100000001b3ull;
    return h ^ h >> 32;
}

static size_t series_place(const struct rollup_series *all, const uint32_t *slots, size_t n_slots,
                           const struct rollup_series *key) {
    size_t i = key->hash & (n_slots - 1);
    for (; slots[i]; i = (i + 1) & (n_slots - 1)) {
        const struct rollup_series *s = &all[slots[i] - 1];
        if (s->hash == key->hash && s->len == key->len && memcmp(s->text, key->text, key->len) == 0)
            break;
    }
    return i;
}

static int grow_series(struct rollup *r) {
    size_t cap = r->cap_series ? 2 * r->cap_series : 64, n_slots = 2 * cap;
    struct rollup_series *all = realloc(r->series, cap * sizeof *all);
    if (!all)
        return -ENOMEM;
    r->series = all;
    uint32_t *slots = calloc(n_slots, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < r->n_series; i++)
        slots[series_place(all, slots, n_slots, &all[i])] = (uint32_t)i + 1;
    free(r->series_slots);
    r->series_slots = slots;
    r->n_series_slots = n_slots;
    r->cap_series = cap;
    return 0;
}

static size_t put_text(char *out, size_t at, const char *s) {
    size_t n = strlen(s) + 1;
    memcpy(out + at, s, n);
    return at + n;
}

/* The index of the series; its texts lie one after the other: cluster, namespace, probe, target, path. */
static int find_series(struct rollup *r, const struct rollup_name *name, uint32_t *ret) {
    char text[ROLLUP_TEXT_MAX];
    const char *const parts[] = {name->cluster, name->namespace_name, name->probe, name->target, name->path};
    struct rollup_series key = {.text = text};
    for (size_t i = 0; i < 5; i++) {
        if (key.len + strlen(parts[i]) + 2 > sizeof text)
            return -EINVAL;
        key.len = put_text(text, key.len, parts[i]);
    }
    text[key.len++] = name->control ? 1 : 0;
    key.hash = hash_bytes(text, key.len);
    if (r->n_series == r->cap_series && grow_series(r) < 0)
        return -ENOMEM;
    size_t at = series_place(r->series, r->series_slots, r->n_series_slots, &key);
    if (!r->series_slots[at]) {
        char *copy = malloc(key.len);
        if (!copy)
            return -ENOMEM;
        memcpy(copy, text, key.len);
        key.text = copy;
        r->series[r->n_series++] = key;
        r->series_slots[at] = (uint32_t)r->n_series;
    }
    *ret = r->series_slots[at] - 1;
    return 0;
}

void rollup_forget_series(struct rollup *r) {
    for (size_t i = 0; i < r->n_series; i++)
        free(r->series[i].text);
    r->n_series = 0;
    if (r->series_slots)
        memset(r->series_slots, 0, r->n_series_slots * sizeof *r->series_slots);
}

/* ---- cells */

static size_t cell_place(const struct rollup_cell *cells, const uint32_t *slots, size_t n_slots,
                         uint32_t series, int64_t minute_ns) {
    uint64_t h = ((uint64_t)minute_ns / ROLLUP_MINUTE_NS * 31 + series) * 0x9e3779b97f4a7c15ull;
    size_t i = (size_t)(h >> 32) & (n_slots - 1);
    while (slots[i] && (cells[slots[i] - 1].series != series || cells[slots[i] - 1].from_ns != minute_ns))
        i = (i + 1) & (n_slots - 1);
    return i;
}

static int grow_cells(struct rollup *r) {
    size_t cap = r->cap_cells ? 2 * r->cap_cells : 64, n_slots = 2 * cap;
    struct rollup_cell *cells = realloc(r->cells, cap * sizeof *cells);
    if (!cells)
        return -ENOMEM;
    r->cells = cells;
    uint32_t *slots = calloc(n_slots, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < r->n_cells; i++)
        slots[cell_place(cells, slots, n_slots, cells[i].series, cells[i].from_ns)] = (uint32_t)i + 1;
    free(r->cell_slots);
    r->cell_slots = slots;
    r->n_cell_slots = n_slots;
    r->cap_cells = cap;
    return 0;
}

static struct rollup_cell *find_cell(struct rollup *r, uint32_t series, int64_t minute_ns) {
    if (r->n_cells == r->cap_cells && grow_cells(r) < 0)
        return NULL;
    size_t at = cell_place(r->cells, r->cell_slots, r->n_cell_slots, series, minute_ns);
    if (!r->cell_slots[at]) {
        struct rollup_cell *c = &r->cells[r->n_cells++];
        memset(c, 0, sizeof *c);
        c->series = series;
        c->from_ns = minute_ns;
        r->cell_slots[at] = (uint32_t)r->n_cells;
    }
    return &r->cells[r->cell_slots[at] - 1];
}

void rollup_forget_cells(struct rollup *r) {
    if (r->n_cells)
        memset(r->cell_slots, 0, r->n_cell_slots * sizeof *r->cell_slots);
    r->n_cells = 0;
}

int64_t rollup_floor(int64_t t, int64_t step) {
    int64_t rest = t % step;
    return t - (rest < 0 ? rest + step : rest);
}

/* ---- blocks */

struct run {
    struct rollup *r;
    struct rollup_name name;
    const struct block_calls *calls;
    struct rollup_cell *cell;
    int64_t from_ns; /* of the cell's minute */
    uint32_t control;
};

static int turn_to(struct run *u, int64_t t, uint32_t control) {
    uint32_t series = 0;
    u->name.control = control != 0;
    int r = find_series(u->r, &u->name, &series);
    if (r < 0)
        return r;
    u->from_ns = rollup_floor(t, ROLLUP_MINUTE_NS);
    u->control = control;
    u->cell = find_cell(u->r, series, u->from_ns);
    return u->cell ? 0 : -ENOMEM;
}

/* Calls [i, end) of the block, which are of one entry. */
static int add_run(struct run *u, size_t i, size_t end) {
    const struct block_calls *b = u->calls;
    u->cell = NULL;
    for (; i < end; i++) {
        int64_t t = b->base_wall_ns + b->start_us[i] * NS_PER_US;
        uint32_t flags = b->flags[i], control = flags & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL;
        if (!u->cell || (uint64_t)(t - u->from_ns) >= (uint64_t)ROLLUP_MINUTE_NS || control != u->control) {
            int r = turn_to(u, t, control);
            if (r < 0)
                return r;
        }
        struct rollup_cell *c = u->cell;
        uint32_t unsent = (flags & PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT) != 0, outcome = b->outcome[i];
        c->unsent += unsent;
        c->calls += !unsent;
        c->counts[outcome < STORE_OUTCOMES ? outcome : STORE_OUTCOMES - 1] += !unsent;
        if (!unsent && (outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED ||
                        outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED_LATE))
            c->counts[STORE_OUTCOMES + store_latency_bucket(b->duration_us[i])]++;
    }
    return 0;
}

int rollup_add(struct rollup *r, const char *cluster, const char *ns, const struct store_calls *c) {
    const struct block_calls *b = c->calls;
    size_t end;
    for (size_t i = 0; i < b->n; i = end) {
        uint8_t entry = b->entry[i];
        if (entry >= c->n_entries)
            return -EINVAL;
        for (end = i + 1; end < b->n && b->entry[end] == entry;)
            end++;
        struct run u = {.r = r,
                        .name = {cluster, ns, c->probes[entry], c->targets[entry], c->paths[entry], false},
                        .calls = b};
        int code = add_run(&u, i, end);
        if (code < 0)
            return code;
    }
    return 0;
}

void rollup_free(struct rollup *r) {
    rollup_forget_series(r);
    free(r->series);
    free(r->series_slots);
    free(r->cells);
    free(r->cell_slots);
    *r = (struct rollup){0};
}
