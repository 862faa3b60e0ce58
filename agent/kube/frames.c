/* frames: newline-delimited watch lines out of what arrives in pieces. See kube_priv.h. */
#include <errno.h>
#include <string.h>

#include "kube/kube_priv.h"

static int hand_over(struct buf *rest, kube_line_fn *fn, void *ctx, struct err *e) {
    int r = rest->len > 0 ? fn(ctx, rest->data, rest->len, e) : 0;
    buf_clear(rest);
    return r;
}

static int keep(struct buf *rest, const char *data, size_t len, struct err *e) {
    int r = buf_add(rest, data, len);
    if (r == -EMSGSIZE)
        return err_set(e, r, "a watch line is longer than %zu bytes", rest->max);
    return r < 0 ? err_oom(e) : 0;
}

int kube_frames_feed(struct buf *rest, const char *data, size_t len, kube_line_fn *fn, void *ctx,
                     struct err *e) {
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t n = end ? (size_t)(end - data) : len;
        int r = keep(rest, data, n, e);
        if (r == 0 && end)
            r = hand_over(rest, fn, ctx, e);
        if (r < 0)
            return r;
        n += end ? 1 : 0;
        data += n;
        len -= n;
    }
    return 0;
}
