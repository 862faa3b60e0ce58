/* frames: newline-delimited watch lines out of what arrives in pieces. See kube_priv.h. */
#include <string.h>

#include "kube/kube_priv.h"

#define LINE_KEEP (64u << 10) /* memory that is kept from one line to the next */

void kube_frames_clear(struct kube_frames *f) {
    if (f->rest.cap > LINE_KEEP)
        buf_free(&f->rest);
    buf_clear(&f->rest);
    f->over = false;
}

static int hand_over(struct kube_frames *f, kube_line_fn *fn, void *ctx, struct err *e) {
    int r = f->rest.len > 0 ? fn(ctx, f->rest.data, f->rest.len, !f->over, e) : 0;
    kube_frames_clear(f);
    return r;
}

static int keep(struct kube_frames *f, const char *data, size_t len, struct err *e) {
    size_t room = f->rest.max - f->rest.len;
    if (len > room)
        f->over = true;
    return buf_add(&f->rest, data, len < room ? len : room) < 0 ? err_oom(e) : 0;
}

int kube_frames_feed(struct kube_frames *f, const char *data, size_t len, kube_line_fn *fn, void *ctx,
                     struct err *e) {
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t n = end ? (size_t)(end - data) : len;
        int r = keep(f, data, n, e);
        if (r == 0 && end)
            r = hand_over(f, fn, ctx, e);
        if (r < 0)
            return r;
        n += end ? 1 : 0;
        data += n;
        len -= n;
    }
    return 0;
}
