/* optional: the kinds that need not be served: rows of kinds.c with several versions, and custom resources
 * that the configuration names (extra.c). Before each list the version to list is chosen by what the API
 * server says that it serves; what is not served is absent, costs no request, and is looked for again. See
 * kube_priv.h. */
#include <string.h>

#include "base/when.h"
#include "kube/extra.h"

#define ASK_WHETHER_SERVED (250 * WHEN_MS) /* while the answer is on its way */
#define ASK_AGAIN (30 * WHEN_S)  /* what is not served: /apis is looked at, which costs no request */
#define TRY_AGAIN (600 * WHEN_S) /* its group is there, but it is not in it: that costs one */

/* It is not there, so what was known of it is gone. */
static void be_absent(struct kube_source *s, int64_t now) {
    struct kube_sight sight = {
        .recv_wall = when_wall_ns(), .previous_wall = s->previous_wall, .listed = true};
    kube_take_gap(s, sight.recv_wall);
    if (s->view.known.n) {
        kube_view_begin(&s->view);
        kube_view_end(&s->view, &sight);
    }
    s->absent = s->unserved = true;
    s->covered_wall = s->refused ? sight.recv_wall : s->scope->served->known_wall;
    s->told[0] = 0;
    kube_watch_answered(&s->watch);
    s->watch.due_mono = now + (s->refused ? TRY_AGAIN : ASK_AGAIN);
    s->refused = NULL;
}

/* Rows of kinds.c: the newest version that is served, and was not refused. */
static bool choose_row(struct kube_source *s, int64_t now) {
    const struct kube_kind *from = s->refused ? s->refused + 1 : s->newest;
    const struct kube_kind *k =
        from == s->newest || from->older ? kube_served_choose(s->scope->served, from) : NULL;
    if (!k) {
        be_absent(s, now);
        return false;
    }
    s->kind = s->view.kind = k;
    return true;
}

/* It may be there, and cannot be read: that is no absence. */
static void be_unreadable(struct kube_source *s, const char *reason) {
    s->absent = s->unserved = false;
    kube_source_not_ok(s, reason);
}

/* It is not where it was: it may be gone, or be served in another version, which discovery is asked anew.
 * Where it is not there although discovery has just said so, it counts as gone. */
static bool doubt_extra(struct kube_source *s, int64_t now) {
    bool again = s->absent;
    s->refused = NULL;
    kube_extra_forget(s->newest->extra);
    if (again) {
        be_absent(s, now);
        return false;
    }
    s->absent = true;
    kube_served_expire(s->scope->served);
    s->watch.due_mono = now + ASK_WHETHER_SERVED;
    return false;
}

/* One that the configuration names. What was known of it under another kind is gone first. */
static bool choose_extra(struct kube_source *s, int64_t now) {
    struct kube_extra *x = s->newest->extra;
    if (s->refused)
        return doubt_extra(s, now);
    enum kube_extra_answer answer = kube_extra_ask(x, s->scope->served);
    bool renamed = answer == KUBE_EXTRA_FOUND && s->view.known.n > 0 && kube_extra_renamed(x);
    if (answer == KUBE_EXTRA_UNSERVED || renamed) {
        be_absent(s, now);
        return false;
    }
    if (answer == KUBE_EXTRA_FOUND) {
        kube_extra_take(x);
        return true;
    }
    if (*x->reason)
        be_unreadable(s, x->reason);
    if (answer == KUBE_EXTRA_UNFIT)
        kube_source_unreadable(s);
    s->watch.due_mono = now + (answer == KUBE_EXTRA_UNFIT ? ASK_AGAIN : ASK_WHETHER_SERVED);
    return false;
}

bool kube_source_choose(struct kube_source *s, int64_t now) {
    bool lists = s->watch.state == KUBE_LIST || s->watch.state == KUBE_PAUSE_LIST;
    struct kube_served *served = s->scope->served;
    if (!s->newest->optional || !lists || s->more || !served)
        return true;
    if (kube_served_known(served, now))
        return s->newest->extra ? choose_extra(s, now) : choose_row(s, now);
    s->watch.due_mono = now + ASK_WHETHER_SERVED;
    return false;
}
