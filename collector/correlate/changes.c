/* changes: signs that belong together are one change; its switch, window and tools.
 *
 *   begin_lo          switch_lo  switch_hi     last_hi                        window_to
 *      |-- everything old --|--- ? ---|-- all new --|-- longest call + keep-alive --|
 *
 * A new Helm revision begins a change, and so does each command of a drill; other signs join the open change
 * while they follow within the rubric's merge_gap; an edit of what is installed and serves begins one
 * (install.c). What asked for a revision (a mark, a custom resource of Flux or Argo CD) is of its change. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "correlate/correlate_priv.h"

#define DRILL_SILENT_NS (3600 * WHEN_S) /* the longest command of a drill that is believed to go on */

static int by_order(const void *a, const void *b) {
    const struct fact_sign *x = a;
    const struct fact_sign *y = b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* When a drill was over. One that was killed never said so: it did not go on for long after its last word. */
static int64_t end_of_drill(const json_t *d) {
    int64_t said = js_int(d, "said_ns", 0);
    return js_int(d, "end_ns", said > 0 ? said + DRILL_SILENT_NS : INT64_MAX);
}

/* The last moment in (after, until] at which a drill of this stage that went on until `lasted` ran its
 * command; 0: none did. */
static int64_t drilled_between(const struct facts *f, int64_t after, int64_t until, int64_t lasted) {
    size_t i;
    size_t j;
    json_t *d;
    json_t *round;
    int64_t last = 0;
    json_array_foreach(f->ev->drills, i, d) {
        if (strcmp(js_str(d, "stage", ""), f->stage) != 0 || end_of_drill(d) < lasted)
            continue;
        json_array_foreach(json_object_get(d, "iterations"), j, round) {
            int64_t begin = js_int(round, "begin_ns", 0);
            if (begin > after && begin <= until && begin > last)
                last = begin;
        }
    }
    return last;
}

/* What asks somebody for a change: a mark, or a custom resource of Flux or Argo CD, of which the controller
 * makes a Helm revision a little later. */
static bool is_wish(const struct fact_sign *s) {
    static const char flux[] = ".toolkit.fluxcd.io";
    size_t n = strlen(s->object_kind);
    return s->kind == FACT_SIGN_MARK || strcmp(s->object_kind, "Application.argoproj.io") == 0 ||
           (n > sizeof flux && strcmp(s->object_kind + n - (sizeof flux - 1), flux) == 0);
}

static bool is_wished(const struct fact_change *c) {
    for (size_t i = 0; i < c->n_signs; i++)
        if (!is_wish(c->signs[i]))
            return false;
    return true;
}

/* Who asks of Flux or Argo CD in the middle of a change asks for the next one; but watches of two kinds may
 * differ. */
static bool asks_for_next(const struct fact_change *c, const struct fact_sign *s, int64_t lag) {
    return is_wish(s) && s->kind != FACT_SIGN_MARK && !is_wished(c) && s->order - c->signs[0]->order > lag;
}

/* An install is not judged: what a person marks beside it would vanish in it. Whether the product served by
 * then is asked later. */
static bool is_mark_beside_install(const struct fact_change *c, const struct fact_sign *s) {
    for (size_t i = 0; s->kind == FACT_SIGN_MARK && i < c->n_signs; i++) {
        const char *end = strrchr(c->signs[i]->name, '.');
        if (c->signs[i]->kind == FACT_SIGN_RELEASE && end && strcmp(end, ".v1") == 0)
            return true;
    }
    return false;
}

/* A revision never joins what came before it, but what asked for it; an uninstall and a drill's command join
 * nothing, nor does anything that came after the namespace was made again. */
static int joins(const struct facts *f, const struct fact_change *c, const struct fact_sign *s,
                 const struct rubric *rubric) {
    return c && s->kind != FACT_SIGN_UNINSTALL && (s->kind != FACT_SIGN_RELEASE || is_wished(c)) &&
           s->life == c->life && s->order - c->last_hi <= rubric->rules.merge_gap_ns &&
           !is_mark_beside_install(c, s) && !asks_for_next(c, s, rubric->rules.watch_lag_ns) &&
           !drilled_between(f, c->last_hi, s->hi, 0);
}

static int add_to(struct fact_change *c, struct fact_sign *s, struct err *e) {
    struct fact_sign **p = realloc(c->signs, (c->n_signs + 1) * sizeof *p);
    if (!p)
        return err_oom(e);
    c->signs = p;
    c->signs[c->n_signs++] = s;
    if (s->hi > c->last_hi)
        c->last_hi = s->hi;
    return 0;
}

static int group(struct facts *f, const struct rubric *rubric, struct err *e) {
    if (f->n_signs)
        qsort(f->signs, f->n_signs, sizeof *f->signs, by_order);
    struct fact_change *open = NULL;
    for (size_t i = 0; i < f->n_signs; i++) {
        bool join = joins(f, open, &f->signs[i], rubric);
        int64_t over = join ? corr_install_ended(f, open, &f->signs[i]) : 0;
        if (!join || over) {
            open = CORR_PUSH(f->changes, f->n_changes, f->cap_changes);
            if (!open)
                return err_oom(e);
            f->n_changes++;
            open->life = f->signs[i].life;
            open->not_before = over;
        }
        int r = add_to(open, &f->signs[i], e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- what one change is about */

static void link_revision(struct facts *f, struct fact_change *c) {
    for (size_t i = 0; i < c->n_signs; i++) {
        c->uninstall |= c->signs[i]->kind == FACT_SIGN_UNINSTALL;
        if (c->signs[i]->kind != FACT_SIGN_RELEASE)
            continue;
        for (size_t v = 0; v < f->n_revisions; v++) {
            char name[WIRE_NAME_MAX + 32];
            (void)snprintf(name, sizeof name, "%s.v%d", f->revisions[v].release, f->revisions[v].revision);
            if (strcmp(name, c->signs[i]->name) == 0 &&
                f->revisions[v].created_lo == c->signs[i]->after->created_wall_ns)
                c->revision = v + 1;
        }
    }
}

/* Nothing that a revision causes happens before its Secret exists. What a person marked was there when they
 * say so, whatever Helm did later. */
static void set_begin(struct fact_change *c) {
    int64_t release_lo = INT64_MIN;
    for (size_t i = 0; i < c->n_signs; i++)
        if (c->signs[i]->kind == FACT_SIGN_RELEASE || c->signs[i]->kind == FACT_SIGN_UNINSTALL)
            release_lo = c->signs[i]->order;
    c->begin_lo = INT64_MAX;
    for (size_t i = 0; i < c->n_signs; i++) {
        bool own = c->signs[i]->kind == FACT_SIGN_MARK || c->signs[i]->lo > release_lo;
        int64_t lo = own ? c->signs[i]->lo : release_lo;
        if (lo < c->begin_lo)
            c->begin_lo = lo;
    }
    if (c->begin_lo < c->not_before)
        c->begin_lo = c->not_before;
}

static void name_change(struct facts *f, struct fact_change *c) {
    char t[WHEN_TEXT_MAX];
    if (c->revision) {
        const struct fact_revision *v = &f->revisions[c->revision - 1];
        (void)snprintf(c->id, sizeof c->id, "%.60s.v%d", v->release, v->revision);
    } else {
        (void)snprintf(c->id, sizeof c->id, "t%s", when_format(c->begin_lo, 0, t));
    }
    int same = 0;
    for (struct fact_change *o = f->changes; o < c; o++)
        same += strncmp(o->id, c->id, strlen(c->id)) == 0 &&
                (o->id[strlen(c->id)] == 0 || o->id[strlen(c->id)] == '~');
    size_t n = strlen(c->id);
    if (same)
        (void)snprintf(c->id + n, sizeof c->id - n, "~%d", same + 1);
}

/* The moments at which nodes saw the gateway change. Of one replica they all tell the same moment: where they
 * agree it lies in what all of them allow. Of several replicas each may tell another one: it lies anywhere
 * between the first and the last, and so it does where they do not agree. */
static void set_switch(const struct facts *f, struct fact_change *c) {
    int64_t max_lo = INT64_MIN;
    int64_t min_hi = INT64_MAX;
    int64_t min_lo = INT64_MAX;
    int64_t max_hi = INT64_MIN;
    for (size_t i = 0; i < c->n_signs; i++) {
        const struct fact_sign *s = c->signs[i];
        if (!corr_is_product(s->after))
            continue;
        c->has_switch = true;
        max_lo = s->lo > max_lo ? s->lo : max_lo;
        min_lo = s->lo < min_lo ? s->lo : min_lo;
        max_hi = s->hi > max_hi ? s->hi : max_hi;
        min_hi = s->hi < min_hi ? s->hi : min_hi;
    }
    if (!c->has_switch)
        return;
    bool one = max_lo <= min_hi && !corr_several_replicas(f, c);
    c->switch_lo = one ? max_lo : min_lo;
    c->switch_hi = one ? min_hi : max_hi;
}

/* ---- tools that came or went */

/* A replica that lacks a tool, or has one, does not say that the gateway does. */
static bool tells_tools(const struct fact_sign *s) {
    return s->kind == FACT_SIGN_CATALOGUE && !*s->after->path;
}

static json_t *tools_of(struct facts *f, const Pilotgate__Object *o) {
    if (!f->texts)
        f->texts = json_object();
    if (!o || !f->texts)
        return NULL;
    json_t *known = json_object_get(f->texts, o->normal);
    json_t *doc;
    if (!known && js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &doc, NULL) == 0) {
        (void)json_object_set_new(f->texts, o->normal, doc);
        known = doc;
    }
    return js_at(known, "tools");
}

static int has_text(const json_t *list, const char *text) {
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)list, i, v) {
        if (json_is_string(v) && strcmp(json_string_value(v), text) == 0)
            return 1;
    }
    return 0;
}

static int add_tool(struct fact_tool **tools, size_t *n, const char *name, const char *target) {
    for (size_t i = 0; i < *n; i++)
        if (strcmp((*tools)[i].name, name) == 0 && strcmp((*tools)[i].target, target) == 0)
            return 0;
    struct fact_tool *p = realloc(*tools, (*n + 1) * sizeof *p);
    if (!p)
        return -ENOMEM;
    p[(*n)++] = (struct fact_tool){name, target};
    *tools = p;
    return 0;
}

static int missing_names(const json_t *from, const json_t *in, const char *target, struct fact_tool **tools,
                         size_t *n) {
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)from, i, v) {
        if (json_is_string(v) && !has_text(in, json_string_value(v)) &&
            add_tool(tools, n, json_string_value(v), target) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int same_source(const struct facts *f, const struct fact_sign *a, const struct fact_sign *b) {
    return a->kind == b->kind && strcmp(a->name, b->name) == 0 &&
           strcmp(a->after->path, b->after->path) == 0 &&
           strcmp(f->ev->streams[a->ref.stream].node, f->ev->streams[b->ref.stream].node) == 0;
}

/* The last sign of what this one, the first of it, tells of; NULL when this one is not the first. A list
 * that was empty for a moment while the gateway started is no change of the tools. */
static const struct fact_sign *last_of(const struct facts *f, const struct fact_change *c, size_t first) {
    const struct fact_sign *last = c->signs[first];
    for (size_t i = 0; i < c->n_signs; i++) {
        if (!same_source(f, c->signs[i], c->signs[first]))
            continue;
        if (i < first)
            return NULL;
        last = c->signs[i];
    }
    return last;
}

static int compare_tools(struct facts *f, struct fact_change *c, const struct fact_sign *first,
                         const struct fact_sign *last) {
    const json_t *before = tools_of(f, first->before);
    const json_t *after = tools_of(f, last->after);
    if (!json_is_array(before) || !json_is_array(after)) {
        c->tools_unknown = true;
        return 0;
    }
    if (missing_names(after, before, first->name, &c->added, &c->n_added) < 0 ||
        missing_names(before, after, first->name, &c->removed, &c->n_removed) < 0)
        return -ENOMEM;
    return 0;
}

/* Tools that neither the first state nor the last one has. */
static int add_passing(struct facts *f, struct fact_change *c, const struct fact_sign *s,
                       const struct fact_sign *first, const struct fact_sign *last) {
    const json_t *names = tools_of(f, s->after);
    const json_t *before = tools_of(f, first->before);
    const json_t *after = tools_of(f, last->after);
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)names, i, v) {
        const char *name = json_string_value(v);
        if (name && json_is_array(before) && json_is_array(after) && !has_text(before, name) &&
            !has_text(after, name) && add_tool(&c->passing, &c->n_passing, name, s->name) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Tools that the first state and the last one have, and this one between them has not: probes do not call
 * what is not listed, so that nobody saw what other clients met. */
static void find_gone(struct facts *f, struct fact_change *c, const struct fact_sign *s,
                      const struct fact_sign *first, const struct fact_sign *last) {
    const json_t *names = tools_of(f, s->after);
    const json_t *before = tools_of(f, first->before);
    const json_t *after = tools_of(f, last->after);
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)before, i, v) {
        const char *name = json_string_value(v);
        if (name && json_is_array(names) && has_text(after, name) && !has_text(names, name))
            c->gone_tool = name;
    }
}

static int find_passing(struct facts *f, struct fact_change *c, const struct fact_sign *first,
                        const struct fact_sign *last) {
    for (size_t i = 0; tells_tools(first) && i < c->n_signs; i++) {
        if (!same_source(f, c->signs[i], first))
            continue;
        find_gone(f, c, c->signs[i], first, last);
        if (add_passing(f, c, c->signs[i], first, last) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Does some node list this tool in the end (or not list it), by the same target's URL? */
static bool ends_on_some(struct facts *f, const struct fact_change *c, const struct fact_tool *tool,
                         bool listed) {
    for (size_t i = 0; i < c->n_signs; i++) {
        const struct fact_sign *last = tells_tools(c->signs[i]) ? last_of(f, c, i) : NULL;
        const json_t *names = last ? tools_of(f, last->after) : NULL;
        if (json_is_array(names) && strcmp(last->name, tool->target) == 0 &&
            (has_text(names, tool->name) != 0) == listed)
            return true;
    }
    return false;
}

/* What one node still lists is not removed: who cannot call it was interrupted. */
static void find_split(struct facts *f, struct fact_change *c) {
    size_t kept = 0;
    for (size_t i = 0; i < c->n_removed; i++) {
        if (ends_on_some(f, c, &c->removed[i], true))
            c->split_tool = c->removed[i].name;
        else
            c->removed[kept++] = c->removed[i];
    }
    c->n_removed = kept;
    for (size_t i = 0; i < c->n_added; i++)
        if (ends_on_some(f, c, &c->added[i], false))
            c->split_tool = c->added[i].name;
}

static int set_effect(struct facts *f, struct fact_change *c, struct err *e) {
    for (size_t i = 0; i < c->n_signs; i++) {
        const struct fact_sign *first = c->signs[i];
        const struct fact_sign *last = corr_is_product(first->after) ? last_of(f, c, i) : NULL;
        if (last && find_passing(f, c, first, last) < 0)
            return err_oom(e);
        if (!last || strcmp(first->old_digest, last->new_digest) == 0)
            continue;
        c->effective |= !*first->after->path; /* a replica's own word is not the gateway's */
        if (tells_tools(first) && compare_tools(f, c, first, last) < 0)
            return err_oom(e);
    }
    find_split(f, c);
    return 0;
}

/* A drill's command may harm calls before anything shows of its change: the window begins with the command.
 */
static void include_command(const struct facts *f, struct fact_change *c) {
    int64_t before = c > f->changes ? c[-1].last_hi : 0;
    int64_t command = drilled_between(f, before, c->begin_lo, c->begin_lo);
    if (command)
        c->begin_lo = command;
}

static void link_drill(const struct facts *f, struct fact_change *c) {
    size_t i;
    json_t *d;
    json_array_foreach(f->ev->drills, i, d) {
        int64_t begin = js_int(d, "begin_ns", 0);
        int64_t end = end_of_drill(d);
        if (strcmp(js_str(d, "stage", ""), f->stage) == 0 && c->last_hi >= begin && c->begin_lo <= end)
            c->drill = js_str(d, "name", "");
    }
}

/* Once the beginning of each is known: its switches, window and effect. */
static int settle(struct facts *f, struct fact_change *c, struct err *e) {
    c->next_lo = c + 1 < f->changes + f->n_changes ? c[1].begin_lo : INT64_MAX;
    set_switch(f, c);
    corr_include_pods(f, c);
    c->window_to = c->last_hi + f->longest_call_ns + f->keep_alive_ns;
    link_drill(f, c);
    if (corr_switches(f, c) < 0)
        return err_oom(e);
    return set_effect(f, c, e);
}

int corr_changes(struct facts *f, const struct rubric *rubric, struct err *e) {
    int r = group(f, rubric, e);
    for (size_t i = 0; i < f->n_changes && r == 0; i++) {
        link_revision(f, &f->changes[i]);
        set_begin(&f->changes[i]);
        name_change(f, &f->changes[i]);
    }
    for (size_t i = 0; i < f->n_changes && r == 0; i++)
        include_command(f, &f->changes[i]);
    for (size_t i = 0; i < f->n_changes && r == 0; i++)
        r = settle(f, &f->changes[i], e);
    return r;
}
