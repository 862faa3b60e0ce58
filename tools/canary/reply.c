/* reply: see reply.h. */
#include "canary/reply.h"

#include <stdlib.h>
#include <string.h>

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

void reply_later(struct reply *r, int status, json_t *message,
                 void (*complete)(json_t *message, const struct reply_end *end)) {
    r->status = message ? status : 500;
    r->message = message;
    r->complete = complete;
}

void reply_finish(struct reply *r, const struct reply_end *end) {
    if (!r->message)
        return;
    r->complete(r->message, end);
    reply_set(r, r->status, json_dumps(r->message, JSON_COMPACT));
    json_decref(r->message);
    r->message = NULL;
}

void reply_free(struct reply *r) {
    free(r->body);
    free(r->notice);
    free(r->last);
    json_decref(r->message);
    memset(r, 0, sizeof *r);
}
