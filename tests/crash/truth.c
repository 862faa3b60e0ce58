/* truth: see truth.h. The functions __wrap_X stand where the journal calls X. */
#include "truth.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/when.h"
#include "uplink/uplink_priv.h"

#define LINE_MAX_BYTES 1024

int __real_spool_append(struct spool *s, const void *record, size_t len, uint64_t *ret_seq);
int __wrap_spool_append(struct spool *s, const void *record, size_t len, uint64_t *ret_seq);
int __real_spool_trim(struct spool *s, const uint8_t *boot, uint64_t acked);
int __wrap_spool_trim(struct spool *s, const uint8_t *boot, uint64_t acked);
void __real_keeper_item(struct keeper *k, struct item *item);
void __wrap_keeper_item(struct keeper *k, struct item *item);
void __real_keeper_record(struct keeper *k, Pilotgate__Record *r);
void __wrap_keeper_record(struct keeper *k, Pilotgate__Record *r);

static int file = -1;

/* The journal's thread: the item on its way, and what became of it. Its own Loss records do not end it. */
static _Thread_local struct {
    uint64_t content; /* 0: the journal's own record */
    size_t len;
    int error, kept;
} now;

PRINTF_LIKE(1, 2)
static void say(const char *fmt, ...) {
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof line - 1)
        abort(); /* a truth that says less than it knows is none */
    line[n++] = '\n';
    if (write(file, line, (size_t)n) != n)
        abort();
}

/* FNV-1a (draft-eastlake-fnv), 64 bits; never 0. */
static uint64_t digest(const uint8_t *p, size_t n) {
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3;
    return h ? h : 1;
}

static void hex_boot(const uint8_t *boot, char out[2 * WIRE_BOOT_BYTES + 1]) {
    for (size_t i = 0; i < WIRE_BOOT_BYTES; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", boot[i]);
}

int truth_open(const char *path, const uint8_t boot[WIRE_BOOT_BYTES], const char *stage, const char *node) {
    char hex[2 * WIRE_BOOT_BYTES + 1];
    file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0)
        return -errno;
    hex_boot(boot, hex);
    say("L %s %s %s %" PRId64, hex, stage, node, when_wall_ns());
    return 0;
}

void truth_emits(unsigned thread, const Pilotgate__Record *r) {
    size_t len = pilotgate__record__get_packed_size(r);
    uint8_t *data = malloc(len);
    if (!data)
        abort();
    (void)pilotgate__record__pack(r, data);
    say("E %u %016" PRIx64 " %s %" PRId64 " %zu", thread, digest(data, len), wire_family_name(wire_family(r)),
        r->wall_ns, len);
    free(data);
}

void truth_ends(int over) {
    say("%s", over ? "Z" : "S");
}

/* ---- where the journal passes */

static const char *speaks(const Pilotgate__Record *r) {
    if (r->body_case != PILOTGATE__RECORD__BODY_COVERAGE)
        return "-";
    return r->coverage->bye ? "bye" : r->coverage->n_probes ? "calls" : "sources";
}

/* The record as any reader of protobuf sees it: a later field replaces an earlier one. The seq follows the
 * content of an item. True: it is the one under way, and no Loss that the journal slips in. */
static bool say_intent(const struct spool *s, const uint8_t *data, size_t len) {
    Pilotgate__Record *r = pilotgate__record__unpack(NULL, len, data);
    char content[17] = "-";
    if (!r)
        abort();
    bool item = now.content && len >= now.len && digest(data, now.len) == now.content;
    bool own = !now.content && r->body_case != PILOTGATE__RECORD__BODY_LOSS;
    if (item)
        (void)snprintf(content, sizeof content, "%016" PRIx64, now.content);
    say("A %" PRIu64 " %016" PRIx64 " %s %s %" PRId64 " %s", spool_next_seq(s), digest(data, len), content,
        wire_family_name(wire_family(r)), r->wall_ns, speaks(r));
    pilotgate__record__free_unpacked(r, NULL);
    return item || own;
}

int __wrap_spool_append(struct spool *s, const void *record, size_t len, uint64_t *ret_seq) {
    uint64_t seq = spool_next_seq(s);
    bool under_way = say_intent(s, record, len);
    int r = __real_spool_append(s, record, len, ret_seq);
    if (r < 0) {
        say("- %" PRIu64 " %d", seq, -r);
        if (under_way)
            now.error = -r;
        return r;
    }
    say("+ %" PRIu64, *ret_seq);
    now.kept += under_way;
    return r;
}

int __wrap_spool_trim(struct spool *s, const uint8_t *boot, uint64_t acked) {
    char hex[2 * WIRE_BOOT_BYTES + 1];
    hex_boot(boot, hex);
    say("T %s %" PRIu64, hex, acked);
    return __real_spool_trim(s, boot, acked);
}

void __wrap_keeper_item(struct keeper *k, struct item *item) {
    int64_t wall_ns = item->wall_ns;
    enum wire_family f = (enum wire_family)item->family;
    now.content = digest((const uint8_t *)(item + 1), item->len);
    now.len = item->len;
    now.error = now.kept = 0;
    __real_keeper_item(k, item);
    if (!now.kept)
        say("F %016" PRIx64 " %s %" PRId64 " %d", now.content, wire_family_name(f), wall_ns, now.error);
    now.content = 0;
}

void __wrap_keeper_record(struct keeper *k, Pilotgate__Record *r) {
    now.error = now.kept = 0;
    __real_keeper_record(k, r);
    if (!now.kept)
        say("F - %s %" PRId64 " %d", wire_family_name(wire_family(r)), r->wall_ns, now.error);
}
