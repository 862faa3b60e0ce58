/* handover: the positions of the sources as an annotation of the Lease, so that a successor watches on from
 * where the collector has everything. Whoever may write the Lease wrote them: nothing in them is trusted, all
 * of it is bounded, and a wrong one leads to a list at worst. See lease.h.
 *
 *   {"deployments": {"rv": "8812", "wall": 1800000000123456789, "boot": "00ff...",
 *                    "offset": -12, "bound": 7}, ...}
 *
 * wall: when the source was surely current, on the clock of the agent with that boot; offset, bound: what
 * the collector's clock answered that agent, absent when it did not. */
#include <ctype.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "kube/lease.h"

#define CLOCKS_APART (60 * WHEN_S)         /* two clocks of which nothing is known */
#define ENTRY_TEXT_MAX (KUBE_RV_MAX + 192) /* of one entry, without its name */

static struct kube_position *find(const struct kube_positions *p, const char *source) {
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->items[i].source, source) == 0)
            return (struct kube_position *)&p->items[i];
    return NULL;
}

const struct kube_position *kube_positions_find(const struct kube_positions *p, const char *source) {
    return find(p, source);
}

void kube_positions_merge(struct kube_positions *into, const struct kube_positions *newer) {
    for (size_t i = 0; i < newer->n; i++) {
        struct kube_position *mine = find(into, newer->items[i].source);
        if (!mine && into->n < POSITIONS_MAX)
            mine = &into->items[into->n++];
        if (mine)
            *mine = newer->items[i];
    }
}

/* ---- reading */

static bool text_ok(const char *s, size_t max) {
    size_t n = 0;
    for (; s[n]; n++)
        if (n + 1 >= max || !isprint((unsigned char)s[n]))
            return false;
    return n > 0;
}

static bool read_one(const char *source, const json_t *o, struct kube_position *ret) {
    struct kube_position p = {.wall = js_int(o, "wall", 0)};
    const char *rv = js_str(o, "rv", "");
    const char *boot = js_str(o, "boot", "");
    int64_t offset = js_int(o, "offset", 0);
    int64_t bound = js_int(o, "bound", -1);
    size_t n = 0;
    if (!text_ok(source, sizeof p.source) || !text_ok(rv, sizeof p.rv) || p.wall <= 0 ||
        p.wall > WIRE_NS_MAX || strlen(boot) != 2 * sizeof p.boot ||
        sodium_hex2bin(p.boot, sizeof p.boot, boot, strlen(boot), NULL, &n, NULL) != 0 || n != sizeof p.boot)
        return false;
    (void)snprintf(p.source, sizeof p.source, "%s", source);
    (void)snprintf(p.rv, sizeof p.rv, "%s", rv);
    if (bound >= 0 && bound <= WIRE_NS_MAX / 8 && offset >= -WIRE_NS_MAX / 8 && offset <= WIRE_NS_MAX / 8) {
        p.clock_known = true;
        p.offset_ns = offset;
        p.bound_ns = (uint64_t)bound;
    }
    *ret = p;
    return true;
}

void kube_positions_read(const char *text, struct kube_positions *ret) {
    json_t *doc = NULL;
    const char *source;
    json_t *o;
    ret->n = 0;
    if (!*text || js_parse(text, strlen(text), POSITIONS_TEXT, &doc, NULL) < 0)
        return;
    json_object_foreach(doc, source, o) {
        if (ret->n < POSITIONS_MAX && read_one(source, o, &ret->items[ret->n]))
            ret->n++;
    }
    json_decref(doc);
}

/* ---- writing */

static json_t *entry_of(const struct kube_position *p) {
    char boot[2 * sizeof p->boot + 1];
    json_t *o = json_pack("{s:s, s:I, s:s}", "rv", p->rv, "wall", (json_int_t)p->wall, "boot",
                          sodium_bin2hex(boot, sizeof boot, p->boot, sizeof p->boot));
    if (o && p->clock_known &&
        (json_object_set_new(o, "offset", json_integer(p->offset_ns)) < 0 ||
         json_object_set_new(o, "bound", json_integer((json_int_t)p->bound_ns)) < 0)) {
        json_decref(o);
        return NULL;
    }
    return o;
}

char *kube_positions_write(const struct kube_positions *p) {
    json_t *doc = json_object();
    size_t room = POSITIONS_TEXT;
    bool ok = doc != NULL;
    for (size_t i = 0; i < p->n && ok; i++) {
        size_t size = 2 * strlen(p->items[i].source) + ENTRY_TEXT_MAX;
        if (size > room)
            continue;
        room -= size;
        json_t *entry = entry_of(&p->items[i]);
        ok = entry && json_object_set_new(doc, p->items[i].source, entry) == 0;
    }
    char *text = ok ? js_canonical(doc) : NULL;
    json_decref(doc);
    return text;
}

int64_t kube_position_since(const struct kube_position *p, bool clock_known, int64_t offset, uint64_t bound) {
    int64_t t = p->wall - CLOCKS_APART;
    if (p->clock_known && clock_known && bound < WIRE_NS_MAX / 8)
        t = p->wall + (p->offset_ns - (int64_t)p->bound_ns) - (offset + (int64_t)bound);
    return t > 0 ? t : 1;
}
