/* export: a spool's records as a file, for a site that cannot connect; FORMAT.md draws it. The file is sealed
 * with the agent's key for the collector's, chunk by chunk, and each chunk is a frame as it would go over the
 * wire. */
#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "uplink_priv.h"

#define VERSION 1
#define KEY_BYTES 32
#define NAMED_BYTES (8 + 4 + 2 * KEY_BYTES) /* magic, version, public keys */
#define SEAL_BYTES crypto_secretstream_xchacha20poly1305_ABYTES

static const char magic[8] = {'P', 'G', 'E', 'X', 'P', 'R', 'T', '\n'};

_Static_assert(crypto_box_PUBLICKEYBYTES == KEY_BYTES && crypto_box_BEFORENMBYTES == KEY_BYTES &&
                   crypto_secretstream_xchacha20poly1305_KEYBYTES == KEY_BYTES,
               "FORMAT.md draws it so");

struct export {
    FILE *out; /* borrowed */
    struct spool *spool;
    crypto_secretstream_xchacha20poly1305_state seal;
    struct buf batch;
    ProtobufCBinaryData records[WIRE_BATCH_RECORDS_MAX];
    size_t n; /* of these */
    uint64_t batches, total, unreadable;
};

static int put(struct export *x, const void *data, size_t len) {
    return fwrite(data, 1, len, x->out) == len ? 0 : -EIO;
}

/* The key of the chunks, from both sides' keys and the head of the file that names them. */
static int chunk_key(const uint8_t head[NAMED_BYTES], const uint8_t *theirs, const char *secret_z85,
                     uint8_t ret[KEY_BYTES]) {
    uint8_t secret[KEY_BYTES];
    uint8_t shared[KEY_BYTES];
    bool ok = zmq_z85_decode(secret, secret_z85) && crypto_box_beforenm(shared, theirs, secret) == 0 &&
              crypto_generichash(ret, KEY_BYTES, head, NAMED_BYTES, shared, sizeof shared) == 0;
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(shared, sizeof shared);
    return ok ? 0 : -EINVAL;
}

static int begin(struct export *x, const struct curve_key *own, const char *server_z85) {
    uint8_t head[NAMED_BYTES];
    uint8_t key[KEY_BYTES];
    uint8_t stream[crypto_secretstream_xchacha20poly1305_HEADERBYTES];
    uint32_t version = htole32(VERSION);
    memcpy(head, magic, sizeof magic);
    memcpy(head + 8, &version, sizeof version);
    if (!zmq_z85_decode(head + 12, own->public_z85) || !zmq_z85_decode(head + 12 + KEY_BYTES, server_z85))
        return -EINVAL;
    int r = chunk_key(head, head + 12 + KEY_BYTES, own->secret_z85, key);
    if (r == 0)
        (void)crypto_secretstream_xchacha20poly1305_init_push(&x->seal, stream, key);
    sodium_memzero(key, sizeof key);
    if (r == 0)
        r = put(x, head, sizeof head);
    return r == 0 ? put(x, stream, sizeof stream) : r;
}

static int put_chunk(struct export *x, const uint8_t *data, size_t len, uint8_t tag) {
    uint8_t *sealed = malloc(len + SEAL_BYTES);
    uint32_t size = htole32((uint32_t)(len + SEAL_BYTES));
    if (!sealed)
        return -ENOMEM;
    (void)crypto_secretstream_xchacha20poly1305_push(&x->seal, sealed, NULL, data, len, NULL, 0, tag);
    int r = put(x, &size, sizeof size);
    if (r == 0)
        r = put(x, sealed, len + SEAL_BYTES);
    free(sealed);
    return r;
}

static int put_frame(void *export, const Pilotgate__Frame *f) {
    uint8_t *bytes = NULL;
    size_t len = 0;
    int r = wire_pack(f, &bytes, &len);
    if (r == 0)
        r = put_chunk(export, bytes, len, crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
    free(bytes);
    return r;
}

static int collect(void *ctx, uint64_t seq, const uint8_t *data, size_t len) {
    struct export *x = ctx;
    (void)seq;
    int r = buf_add(&x->batch, data, len);
    if (r == 0)
        x->records[x->n++].len = len;
    return r;
}

static int put_batch(struct export *x, const uint8_t *boot, uint64_t first_seq) {
    Pilotgate__Batch b = PILOTGATE__BATCH__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    uint8_t *at = (uint8_t *)x->batch.data;
    for (size_t i = 0; i < x->n; at += x->records[i++].len)
        x->records[i].data = at;
    b.boot = (ProtobufCBinaryData){.len = WIRE_BOOT_BYTES, .data = (uint8_t *)(uintptr_t)boot};
    b.first_seq = first_seq;
    b.n_records = x->n;
    b.records = x->records;
    f.kind_case = PILOTGATE__FRAME__KIND_BATCH;
    f.batch = &b;
    x->batches++;
    x->total += x->n;
    return put_frame(x, &f);
}

/* Everything of one stream that can be read; what cannot is a gap between two batches. */
static int put_stream(struct export *x, const struct spool_stream *st) {
    int r = 0;
    for (uint64_t next = st->first_seq; next < st->next_seq && r >= 0;) {
        x->n = 0;
        buf_clear(&x->batch);
        r = spool_read(x->spool, st->boot, next, WIRE_BATCH_RECORDS_MAX, WIRE_FRAME_MAX / 2, collect, x);
        if (r > 0) {
            r = put_batch(x, st->boot, next);
            next += x->n;
        } else if (r == -EBADMSG) {
            uint64_t held = next;
            r = spool_next_held(x->spool, st->boot, next, &held);
            x->unreadable += held - next;
            next = held;
        } else if (r == 0) {
            r = -ENOMEM; /* collect could not take the record */
        }
    }
    return r;
}

static int put_groups(struct export *x, const struct config *c) {
    static const struct journal_identity nobody;
    struct spool_stream group[WIRE_STREAMS_MAX];
    struct session_streams said = {.items = group};
    size_t at = 0;
    int r = 0;
    spool_store(x->spool, said.store_id, &said.restore_epoch);
    while (r == 0 && (said.n = spool_held(x->spool, at, group, WIRE_STREAMS_MAX)) > 0) {
        r = session_make_hello(c, &nobody, &said, put_frame, x);
        for (size_t i = 0; i < said.n && r == 0; i++)
            r = put_stream(x, &group[i]);
        at += said.n;
    }
    return r;
}

static int finish(struct export *x) {
    const uint64_t counts[] = {htole64(x->batches), htole64(x->total)};
    int r =
        put_chunk(x, (const uint8_t *)counts, sizeof counts, crypto_secretstream_xchacha20poly1305_TAG_FINAL);
    return r == 0 && fflush(x->out) != 0 ? -EIO : r;
}

static int export_all(struct export *x, const struct config *c, struct err *e) {
    struct curve_key own;
    char servers[CURVE_SERVER_KEYS_MAX][CURVE_Z85_MAX];
    size_t n = 0;
    int r = curve_load(c->collector.key_file, true, &own, e);
    if (r == 0)
        r = curve_load_servers(c->collector.server_key_file, servers, &n, e);
    if (r == 0)
        r = spool_open_readonly(c->spool.dir, &x->spool, e);
    if (r == 0)
        r = journal_claim(x->spool, c, e);
    if (r == 0) {
        r = begin(x, &own, servers[0]);
        if (r == 0)
            r = put_groups(x, c);
        if (r == 0)
            r = finish(x);
        if (r == -ESTALE)
            (void)err_set(e, r, "the agent changed %s meanwhile: export again", c->spool.dir);
        else if (r < 0)
            (void)err_set(e, r, "cannot export %s: %s", c->spool.dir, strerror(-r));
    }
    sodium_memzero(&own, sizeof own);
    return r;
}

int journal_export(const struct config *c, FILE *out, struct journal_exported *ret, struct err *e) {
    struct export *x = calloc(1, sizeof *x);
    if (!x)
        return err_oom(e);
    x->out = out;
    x->batch = BUF_INIT(WIRE_FRAME_MAX);
    int r = sodium_init() < 0 ? err_set(e, -ENOTSUP, "libsodium does not work here") : export_all(x, c, e);
    if (r == 0)
        *ret = (struct journal_exported){.records = x->total, .unreadable = x->unreadable};
    spool_close(&x->spool);
    buf_free(&x->batch);
    sodium_memzero(x, sizeof *x);
    free(x);
    return r;
}
