/* reply: see reply.h. */
#include "canary/reply.h"

#include <stdlib.h>
#include <string.h>

#include "base/when.h"

void reply_set(struct reply *r, int status, char *body) {
    free(r->body);
    r->status = body ? status : 500;
    r->body = body;
}

void reply_message(struct reply *r, int status, const char *text) {
    json_t *o = json_pack("{s:s}", "message", text);
    reply_set(r, status, o ? json_dumps(o, JSON_COMPACT) : NULL);
    json_decref(o);
}

void reply_finish(struct reply *r, int64_t started_ns, int64_t now_ns) {
    if (!r->stamp)
        return;
    char at[WHEN_TEXT_MAX];
    json_object_set_new(r->stamp, "finished_at", json_string(when_format(now_ns, 6, at)));
    json_object_set_new(r->stamp, "duration", json_real((double)(now_ns - started_ns) / 1e6));
    reply_set(r, r->status, json_dumps(r->stamp, JSON_COMPACT));
    json_decref(r->stamp);
    r->stamp = NULL;
}

void reply_free(struct reply *r) {
    free(r->body);
    json_decref(r->stamp);
    memset(r, 0, sizeof *r);
}
