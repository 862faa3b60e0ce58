/* export_file: see export_file.h. Names of functions and tags are libsodium's (secretstream, crypto_box). */
#include "ingest/export_file.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define MAGIC "PGEXPRT\n"
#define VERSION 1
#define KEY_BYTES 32u
#define NAMED_BYTES 76u /* magic, version, both public keys: what the key is made of, too */
#define STREAM_HEADER crypto_secretstream_xchacha20poly1305_HEADERBYTES
#define EXTRA crypto_secretstream_xchacha20poly1305_ABYTES
#define FINAL_BYTES 16u /* two u64: batches, records */

struct export_file {
    FILE *in;
    const char *path; /* borrowed */
    char agent[CURVE_Z85_MAX];
    crypto_secretstream_xchacha20poly1305_state state;
    uint64_t batches, records; /* that came so far */
    uint8_t sealed[WIRE_FRAME_MAX + EXTRA], plain[WIRE_FRAME_MAX];
};

static uint64_t little(const uint8_t *p, size_t n) {
    uint64_t v = 0;
    for (size_t k = n; k-- > 0;)
        v = v << 8 | p[k];
    return v;
}

static int damaged(const struct export_file *f, struct err *e) {
    return err_set(e, -EBADMSG,
                   "%s is damaged, incomplete, or was not made by the agent that it names: export again",
                   f->path);
}

static int derive(struct export_file *f, const uint8_t head[NAMED_BYTES], const char *own_secret_z85,
                  uint8_t ret_key[KEY_BYTES]) {
    uint8_t secret[KEY_BYTES], shared[crypto_box_BEFORENMBYTES];
    int r = zmq_z85_decode(secret, own_secret_z85) ? 0 : -EINVAL;
    if (r == 0 && crypto_box_beforenm(shared, head + 12, secret) != 0)
        r = -EBADMSG; /* a public key that is no point to multiply with */
    if (r == 0)
        r = crypto_generichash(ret_key, KEY_BYTES, head, NAMED_BYTES, shared, sizeof shared) == 0 ? 0
                                                                                                  : -EBADMSG;
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(shared, sizeof shared);
    return r == 0 && !zmq_z85_encode(f->agent, head + 12, KEY_BYTES) ? -EBADMSG : r;
}

static int read_head(struct export_file *f, const struct curve_key *own, struct err *e) {
    uint8_t head[NAMED_BYTES + STREAM_HEADER], ours[KEY_BYTES], key[KEY_BYTES];
    if (fread(head, 1, sizeof head, f->in) != sizeof head || memcmp(head, MAGIC, 8) != 0)
        return err_set(e, -EBADMSG, "%s: not a file of `pilotgate-agent spool export`", f->path);
    if (little(head + 8, 4) != VERSION)
        return err_set(e, -ENOTSUP, "%s: version %llu of exported files; this collector reads %d", f->path,
                       (unsigned long long)little(head + 8, 4), VERSION);
    if (!zmq_z85_decode(ours, own->public_z85) || memcmp(head + 44, ours, KEY_BYTES) != 0)
        return err_set(e, -EPERM, "%s was made for another collector: export it with this one's public key",
                       f->path);
    int r = derive(f, head, own->secret_z85, key);
    if (r == 0 && crypto_secretstream_xchacha20poly1305_init_pull(&f->state, head + NAMED_BYTES, key) != 0)
        r = -EBADMSG;
    sodium_memzero(key, sizeof key);
    return r < 0 ? damaged(f, e) : 0;
}

int export_open(const char *path, const struct curve_key *own, struct export_file **ret, struct err *e) {
    if (sodium_init() < 0)
        return err_set(e, -ENOTSUP, "cannot use libsodium");
    struct export_file *f = calloc(1, sizeof *f);
    if (!f)
        return err_oom(e);
    f->path = path;
    f->in = fopen(path, "rbe");
    int r = f->in ? read_head(f, own, e) : err_set(e, -errno, "cannot read %s: %s", path, strerror(errno));
    if (r < 0)
        export_close(&f);
    else
        *ret = f;
    return r;
}

const char *export_agent(const struct export_file *f) {
    return f->agent;
}

/* The last chunk says how much came before it, and nothing comes after it. */
static int check_end(struct export_file *f, size_t len, struct err *e) {
    bool whole = len == FINAL_BYTES && little(f->plain, 8) == f->batches &&
                 little(f->plain + 8, 8) == f->records && fgetc(f->in) == EOF && !ferror(f->in);
    return whole ? 0 : damaged(f, e);
}

int export_next(struct export_file *f, enum export_kind *ret_kind, Pilotgate__Frame **ret, struct err *e) {
    uint8_t size[4], tag = 0;
    unsigned long long len = 0;
    if (fread(size, 1, sizeof size, f->in) != sizeof size)
        return damaged(f, e);
    size_t sealed = (size_t)little(size, 4);
    if (sealed <= EXTRA || sealed > sizeof f->sealed || fread(f->sealed, 1, sealed, f->in) != sealed ||
        crypto_secretstream_xchacha20poly1305_pull(&f->state, f->plain, &len, &tag, f->sealed, sealed, NULL,
                                                   0) != 0)
        return damaged(f, e);
    if (tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL) {
        *ret_kind = EXPORT_END;
        return check_end(f, (size_t)len, e);
    }
    if (tag != crypto_secretstream_xchacha20poly1305_TAG_MESSAGE)
        return damaged(f, e);
    int r = wire_unpack(f->plain, (size_t)len, ret, e);
    if (r < 0)
        return err_prefix(e, r, "%s", f->path);
    *ret_kind = EXPORT_FRAME;
    if ((*ret)->kind_case == PILOTGATE__FRAME__KIND_BATCH) {
        f->batches++;
        f->records += (*ret)->batch->n_records;
    }
    return 0;
}

void export_close(struct export_file **fp) {
    struct export_file *f = fp ? *fp : NULL;
    if (!f)
        return;
    if (f->in)
        (void)fclose(f->in);
    sodium_memzero(f, sizeof *f);
    free(f);
    *fp = NULL;
}
