/* rig: see rig.h. */
#include "rig.h"

struct caught caught;
struct fake *fake;
struct kube_http http;
struct kube_source source;
static struct norm_key key;
static struct config config;
static struct kube_scope scope;
static CURLM *multi;

void open_source(const char *name, const char *url) {
    const struct kube_kind *k = kube_kinds;
    struct err e;
    while (k->source && strcmp(k->source, name) != 0)
        k++;
    assert_non_null(k->source);
    caught_init(&caught);
    config = (struct config){.kube = {.api = (char *)url}};
    assert_int_equal(kube_http_open(&config, &http, &e), 0);
    scope =
        (struct kube_scope){.own_release = "", .namespace_name = "mcp", .key = &key, .emit = &caught.emit};
    multi = curl_multi_init();
    kube_source_init(&source, k, &scope, &http, multi, "n1");
}

void begin(const struct fake_step *steps, size_t n, const char *name) {
    fake = fake_start(steps, n, false);
    open_source(name, fake_url(fake));
}
int tear_down(void **state) {
    (void)state;
    kube_source_free(&source);
    (void)curl_multi_cleanup(multi);
    kube_http_close(&http);
    if (fake)
        fake_stop(&fake);
    caught_free(&caught);
    return 0;
}

void turn(void) {
    int running, left;
    CURLMsg *m;
    (void)curl_multi_perform(multi, &running);
    while ((m = curl_multi_info_read(multi, &left)))
        if (m->msg == CURLMSG_DONE)
            kube_source_done(&source, m->data.result);
    (void)kube_source_run(&source, when_mono_ns());
    (void)curl_multi_poll(multi, NULL, 0, 5, NULL);
}

static bool turn_until_for(condition *holds, const void *arg, int64_t limit) {
    int64_t end = when_mono_ns() + limit;
    while (!holds(arg))
        if (when_mono_ns() >= end)
            return false;
        else
            turn();
    return true;
}

void turn_until(condition *holds, const void *arg) {
    if (!turn_until_for(holds, arg, 30 * WHEN_S))
        fail_msg("it did not come to be; the source says: %s", source.reason);
}

bool was_asked(const void *n) {
    return fake_requests(fake) >= *(const size_t *)n;
}

bool is_current(const void *arg) {
    (void)arg;
    return source.ok && source.established && source.watch.state == KUBE_WATCH;
}

bool is_not_ok(const void *words) {
    return !source.ok && strstr(source.reason, words);
}

bool has_created(const void *subject) {
    const Pilotgate__Phase *p;
    for (size_t i = 0; (p = caught_phase(&caught, PHASE(POD_CREATED), i)); i++)
        if (strcmp(p->subject, subject) == 0)
            return true;
    return false;
}

void asked(size_t nth, const char *words) {
    struct fake_request r;
    assert_true(fake_request(fake, nth, &r));
    if (!strstr(r.url, words))
        fail_msg("request %zu was %s", nth, r.url);
}

unsigned seconds_asked(size_t nth) {
    struct fake_request r;
    assert_true(fake_request(fake, nth, &r));
    const char *at = strstr(r.url, "timeoutSeconds=");
    assert_non_null(at);
    return (unsigned)atoi(at + strlen("timeoutSeconds="));
}

/* heads, that many bytes of fill over and over, tail */
size_t make_parts(uint64_t pos, char *out, size_t max, const char *const heads[2], size_t bytes,
                  const char *fill, const char *tail) {
    size_t n = 0;
    for (; n < max; n++, pos++) {
        size_t a = strlen(heads[0]);
        size_t b = a + strlen(heads[1]);
        if (pos < a)
            out[n] = heads[0][pos];
        else if (pos < b)
            out[n] = heads[1][pos - a];
        else if (pos < b + bytes)
            out[n] = fill[(pos - b) % strlen(fill)];
        else if (pos < b + bytes + strlen(tail))
            out[n] = tail[pos - b - bytes];
        else
            break;
    }
    return n;
}
