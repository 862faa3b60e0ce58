/* nats: the same blocks to NATS JetStream, as what a user would take instead: a stream on disk, published
 * asynchronously, counted when the server acknowledges. Prints acknowledged messages/s.
 *
 * usage: bench-nats URL SECONDS BLOCK
 *
 * What an acknowledgement of this server is worth: it has written to its file, and syncs it every two minutes
 * (server 2.9 has no setting for it; sync_interval came with 2.10). */
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/when.h"

#define BLOCK_MAX (256u << 10)
#define PENDING 1000
#define STREAM "bench"
#define WARM_UP (1 * WHEN_S)

static atomic_long acknowledged, failed;

static void on_ack(jsCtx *js, natsMsg *msg, jsPubAck *ack, jsPubAckErr *err, void *ctx) {
    (void)js;
    (void)ctx;
    if (ack && !err)
        acknowledged++;
    else
        failed++;
    natsMsg_Destroy(msg);
}

static natsStatus make_stream(natsConnection *nc, jsCtx **js) {
    jsOptions o;
    jsStreamConfig c;
    jsErrCode code = 0;
    const char *subjects[] = {STREAM ".calls"};
    natsStatus s = jsOptions_Init(&o);
    if (s == NATS_OK)
        s = jsStreamConfig_Init(&c);
    if (s != NATS_OK)
        return s;
    o.PublishAsync.MaxPending = PENDING;
    o.PublishAsync.AckHandler = on_ack;
    o.PublishAsync.StallWait = 10000;
    c.Name = STREAM;
    c.Subjects = subjects;
    c.SubjectsLen = 1;
    c.Storage = js_FileStorage;
    s = natsConnection_JetStream(js, nc, &o);
    return s == NATS_OK ? js_AddStream(NULL, *js, &c, NULL, &code) : s;
}

/* Publishes for so many seconds after the warm-up. */
static natsStatus publish(jsCtx *js, double seconds, const char *block, int len, double *ret_rate) {
    int64_t began = when_mono_ns(), from = 0, now = began;
    long before = 0;
    natsStatus s = NATS_OK;
    while (s == NATS_OK && (!from || (double)(now - from) < seconds * 1e9)) {
        s = js_PublishAsync(js, STREAM ".calls", block, len, NULL);
        now = when_mono_ns();
        if (!from && now - began > WARM_UP) {
            from = now;
            before = acknowledged;
        }
    }
    *ret_rate = (double)(acknowledged - before) / ((double)(now - from) / 1e9);
    return s == NATS_OK ? js_PublishAsyncComplete(js, NULL) : s;
}

int main(int argc, char **argv) {
    static char block[BLOCK_MAX];
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    double rate = 0;
    FILE *f = argc == 4 ? fopen(argv[3], "r") : NULL;
    size_t len = f ? fread(block, 1, sizeof block, f) : 0;
    if (!f || !len) {
        (void)fprintf(stderr, "bench-nats: usage: bench-nats URL SECONDS BLOCK\n");
        return 2;
    }
    (void)fclose(f);
    natsStatus s = natsConnection_ConnectTo(&nc, argv[1]);
    if (s == NATS_OK)
        s = make_stream(nc, &js);
    if (s == NATS_OK)
        s = publish(js, atof(argv[2]), block, (int)len, &rate);
    if (s != NATS_OK || failed)
        (void)fprintf(stderr, "bench-nats: %s, %ld failed\n", natsStatus_GetText(s), (long)failed);
    else
        (void)printf("%.1f\n", rate);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    nats_Close();
    return s == NATS_OK && !failed ? 0 : 2;
}
