/* check: `pilotgate-agent check` for targets, probes and documents: the same sessions, calls and polls as
 * the prober's, driven one after the other, without its schedule and without records. */
#include <stdio.h>
#include <string.h>

#include "base/when.h"
#include "mcp/mcp_priv.h"

#define CALL_CAP_NS (15 * WHEN_S)
#define STEP_NS (10 * WHEN_MS)

struct check {
    struct mcp *m;
    check_say *say;
    void *ctx;
    int failures;
};

static void drop_record(void *ctx, Pilotgate__Record *record) {
    (void)ctx;
    (void)record;
}

static void say(struct check *k, bool ok, const char *advice, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void say(struct check *k, bool ok, const char *advice, const char *fmt, ...) {
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    k->failures += !ok;
    k->say(k->ctx, ok, what, ok ? "" : advice);
}

static const char *advice_by_status(long status) {
    if (status == 401 || status == 403)
        return "the gateway does not accept our credentials: look at bearer_file and headers";
    if (status == 404 || status == 405)
        return "no MCP endpoint there: look at the path of url";
    if (status == 406)
        return "the server does not speak Streamable HTTP: look at the path of url";
    return "look at the logs of the gateway";
}

static const char *advice_for(const struct mcp_failure *f) {
    switch (f->outcome) {
    case PILOTGATE__OUTCOME__OUTCOME_DNS:
        return "the name does not resolve here: look at url and at the cluster's DNS";
    case PILOTGATE__OUTCOME__OUTCOME_REFUSED:
        return "nothing listens there, or a network policy is in the way: look at url";
    case PILOTGATE__OUTCOME__OUTCOME_TLS:
        return "the certificate is not trusted: set ca_file to the CA that signed it";
    case PILOTGATE__OUTCOME__OUTCOME_HTTP_ERROR:
        return advice_by_status(f->status);
    case PILOTGATE__OUTCOME__OUTCOME_RATE_LIMITED:
        return "the gateway limits our rate: raise its limit or the probes' interval";
    case PILOTGATE__OUTCOME__OUTCOME_TIMEOUT:
        return "no answer in time: look at the gateway, or raise the probe's timeout";
    case PILOTGATE__OUTCOME__OUTCOME_TOOL_ERROR:
        return "the tool did not give the expected answer: look at the probe's arguments and expect";
    case PILOTGATE__OUTCOME__OUTCOME_RPC_ERROR:
        return "the server refuses the request: look at the probe's tool and arguments";
    case PILOTGATE__OUTCOME__OUTCOME_ABORTED:
        return "look at the configuration of the target";
    default:
        return "what answers there is no MCP server that we can talk to: look at url";
    }
}

static void say_failure(struct check *k, const struct mcp_failure *f, const char *what) {
    char text[MCP_REASON_MAX];
    mcp_failure_text(f, text);
    say(k, false, advice_for(f), "%s: %s", what, text);
}

static bool check_session(struct check *k, struct mcp_path *t) {
    char what[WIRE_NAME_MAX + 64];
    (void)snprintf(what, sizeof what, "target %s: open", t->target->c->name);
    peer_turn(t->peer, when_mono_ns());
    while (!peer_tried(t->peer))
        mcp_turn(k->m, STEP_NS);
    if (peer_state(t->peer) != PEER_UP) {
        say_failure(k, peer_failure(t->peer), what);
        return false;
    }
    if (t->target->c->kind != CONFIG_TARGET_MCP) {
        const char *reason;
        int64_t wall;
        bool healthy = peer_health(t->peer, &wall, &reason);
        say(k, true, "", "%s, %s%s", what,
            healthy ? "healthy" : "answers, but is not healthy: ", healthy ? "" : reason);
        return true;
    }
    say(k, true, "", "%s, revision %s, %s", what, peer_revision(t->peer),
        peer_has_session(t->peer) ? "with a session" : "without sessions");
    return true;
}

static void check_tools(struct check *k, struct mcp_path *t) {
    mcp_catalogue_start(t);
    while (peer_list_running(&t->poll))
        mcp_turn(k->m, STEP_NS);
    if (t->configuration.failures)
        say(k, false, "the credentials may not list workers: a change of them will not be seen",
            "target %s: workers: %s", t->target->c->name, t->configuration.reason);
    if (t->watch.failures)
        say(k, false, "look at the logs of the gateway", "target %s: tools/list: %s", t->target->c->name,
            t->watch.reason);
    else
        say(k, true, "", "target %s: tools/list, %zu tools", t->target->c->name, json_array_size(t->names));
}

static bool lists_tool(const struct mcp_path *t, const char *tool) {
    size_t i;
    json_t *name;
    json_array_foreach(t->names, i, name) {
        if (strcmp(json_string_value(name), tool) == 0)
            return true;
    }
    return false;
}

static void check_probe(struct check *k, struct mcp_probe *p) {
    char what[2 * WIRE_NAME_MAX + 64];
    char took[WHEN_TEXT_MAX];
    if (peer_state(p->path->peer) != PEER_UP)
        return; /* said already */
    if (p->path->names && !lists_tool(p->path, p->c->tool)) {
        say(k, true, NULL, "probe %s: waits until target %s lists tool %s, which it does not yet", p->c->name,
            p->c->target, p->c->tool); /* no error: a change may be about to add it */
        return;
    }
    int64_t timeout = p->c->timeout < CALL_CAP_NS ? p->c->timeout : CALL_CAP_NS;
    (void)snprintf(what, sizeof what, "probe %s: one call of %s", p->c->name, p->c->tool);
    (void)mcp_call_begin(p, true, false, timeout);
    while (p->open)
        mcp_turn(k->m, STEP_NS);
    bool ok = p->last.outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED ||
              p->last.outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED_LATE;
    if (!ok)
        say_failure(k, &p->last, what);
    else
        say(k, true, "", "%s, %s%s", what, when_format_duration(p->takes, took),
            p->last.outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED ? "" : ", later than its limit");
}

static void check_document(struct check *k, struct mcp_document *d) {
    mcp_document_start(d);
    while (mcp_xfer_running(&d->poll))
        mcp_turn(k->m, STEP_NS);
    if (d->watch.failures)
        say(k, false, "look at url, bearer_file and ca_file of the document", "document %s: %s", d->c->name,
            d->watch.reason);
    else
        say(k, true, "", "document %s: read", d->c->name);
}

int mcp_check(const struct config *c, check_say *say_fn, void *ctx) {
    static const struct norm_key no_key = {{0}}; /* digests stay here */
    static const uint8_t boot[16] = {'c', 'h', 'e', 'k'};
    static const struct emit nowhere = {.fn = drop_record};
    struct check k = {.say = say_fn, .ctx = ctx};
    struct err e;
    if (mcp_open(c, &no_key, boot, &nowhere, &k.m, &e) < 0) {
        say(&k, false, "correct the configuration", "prober: %s", e.text);
        return k.failures;
    }
    k.m->scheduling = false;
    for (struct mcp_path *t = k.m->paths; t; t = t->next)
        if (check_session(&k, t))
            check_tools(&k, t);
    for (struct mcp_path *t = k.m->paths; t; t = t->next)
        for (size_t i = 0; i < t->n_probes; i++)
            check_probe(&k, &t->probes[i]);
    for (size_t i = 0; i < c->documents.n; i++)
        check_document(&k, &k.m->documents[i]);
    mcp_goodbye(k.m);
    mcp_close(&k.m);
    return k.failures;
}
