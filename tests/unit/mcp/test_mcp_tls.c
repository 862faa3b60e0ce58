/* The transport over TLS: an own CA, certificates of clients, HTTP/2 by ALPN, files that change, and errors
 * in one clear line. Certificates are made by openssl(1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/when.h"
#include "h2_server.h"
#include "shot.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name

static char folder[] = "/tmp/pilotgate-tls-XXXXXX";

struct scene {
    struct h2_server server;
    struct mcp_transport transport;
    struct shot shot;
};

static char *in_folder(const char *name) {
    static char paths[8][128];
    static int next;
    char *p = paths[next++ % 8];
    (void)snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

static void shell(const char *format, ...) {
    char command[1024];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    if (system(command) != 0) /* NOLINT(cert-env33-c): commands of ours */
        fail_msg("%s", command);
}

/* NAME.pem and NAME.key, signed by the CA of that name; subject CN=NAME. */
static void make_cert(const char *name, const char *ca) {
    shell(
        "cd %s && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key -subj /CN=%s "
        "-out %s.csr 2>/dev/null && printf 'subjectAltName=DNS:localhost' > ext && "
        "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 2 -extfile ext "
        "-out %s.pem 2>/dev/null",
        folder, name, name, name, name, ca, ca, name);
}

static void make_ca(const char *name) {
    shell("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key "
          "-subj /CN=%s -days 2 -out %s.pem 2>/dev/null",
          folder, name, name, name);
}

static int make_all(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    make_ca("ca");
    make_ca("other-ca");
    make_cert("server", "ca");
    make_cert("alice", "ca");
    make_cert("bob", "ca");
    return 0;
}

static int remove_all(void **state) {
    (void)state;
    shell("rm -rf %s", folder);
    return 0;
}

static struct scene *begin(const char *client_ca) {
    struct scene *s = calloc(1, sizeof *s);
    struct err e;
    h2_start(&s->server, in_folder("server.pem"), in_folder("server.key"), client_ca);
    if (mcp_transport_open(&s->transport, 20, &e) < 0)
        fail_msg("%s", e.text);
    return s;
}

static void end(struct scene *s) {
    shot_clear(&s->shot, 1);
    mcp_transport_close(&s->transport);
    h2_stop(&s->server);
    free(s);
}

static void call(struct scene *s, const char *ca, const char *cert, const char *key, bool fresh) {
    struct mcp_request r = shot_request(s->server.url, "n-1");
    r.ca_file = ca;
    r.client_cert_file = cert;
    r.client_key_file = key;
    r.streams = 10;
    r.fresh = fresh;
    shot_fire(&s->shot, &s->transport, &r);
    shot_wait(&s->transport, &s->shot, 1);
}

static void assert_outcome(const struct scene *s, Pilotgate__Outcome outcome) {
    if (s->shot.outcome != outcome)
        fail_msg("%s: %s", wire_outcome_name((int)s->shot.outcome), s->shot.detail);
    assert_null(strchr(s->shot.detail, '\n'));
}

static void test_own_ca_and_alpn(void **state) {
    (void)state;
    struct scene *s = begin(NULL);
    call(s, in_folder("ca.pem"), NULL, NULL, false);
    assert_outcome(s, OUT(COMPLETED));
    assert_true(s->shot.seen.http2);
    call(s, in_folder("ca.pem"), NULL, NULL, false);
    assert_outcome(s, OUT(COMPLETED));
    assert_true(s->shot.seen.reused);
    end(s);
}

#define SHARED 12

/* Streams share connections over TLS as they do without. */
static void test_streams(void **state) {
    (void)state;
    struct scene *s = begin(NULL);
    static struct shot shots[SHARED];
    char nonces[SHARED][8];
    uint32_t newest = 0;
    h2_set(&s->server, H2_NONE, 200);
    for (size_t i = 0; i < SHARED; i++) {
        (void)snprintf(nonces[i], sizeof nonces[i], "n-%zu", i);
        struct mcp_request r = shot_request(s->server.url, nonces[i]);
        r.ca_file = in_folder("ca.pem");
        r.streams = 4;
        shot_fire(&shots[i], &s->transport, &r);
    }
    shot_wait(&s->transport, shots, SHARED);
    for (size_t i = 0; i < SHARED; i++) {
        assert_int_equal(shots[i].outcome, OUT(COMPLETED));
        newest = shots[i].connection > newest ? shots[i].connection : newest;
    }
    assert_int_equal(newest, s->transport.last_connection);
    assert_int_equal(h2_get(&s->server, &s->server.connections), 3);
    assert_int_equal(h2_get(&s->server, &s->server.most_open), 4);
    end(s);
}

static void test_untrusted(void **state) {
    (void)state;
    struct scene *s = begin(NULL);
    call(s, in_folder("other-ca.pem"), NULL, NULL, false);
    assert_outcome(s, OUT(TLS));
    assert_non_null(strstr(s->shot.detail, "certificate"));
    assert_false(s->shot.seen.sent);
    assert_int_equal(h2_get(&s->server, &s->server.requests), 0);
    end(s);
}

/* A CA file that changes counts for the next new connection, though libcurl keeps parsed ones. */
static void test_ca_changes(void **state) {
    (void)state;
    struct scene *s = begin(NULL);
    char *now = in_folder("now.pem");
    shell("cp %s/ca.pem %s", folder, now);
    call(s, now, NULL, NULL, true);
    assert_outcome(s, OUT(COMPLETED));
    shell("cp %s/other-ca.pem %s/next.pem && mv %s/next.pem %s", folder, folder, folder, now);
    call(s, now, NULL, NULL, true);
    assert_outcome(s, OUT(TLS));
    end(s);
}

static void test_client_certificate(void **state) {
    (void)state;
    struct scene *s = begin(in_folder("ca.pem"));
    call(s, in_folder("ca.pem"), in_folder("alice.pem"), in_folder("alice.key"), false);
    assert_outcome(s, OUT(COMPLETED));
    assert_non_null(strstr(s->server.subject, "CN=alice"));
    assert_int_equal(h2_get(&s->server, &s->server.client_certs), 1);
    end(s);
}

/* New connections use the new certificate; the old connection stays what it was. */
static void test_client_certificate_changes(void **state) {
    (void)state;
    struct scene *s = begin(in_folder("ca.pem"));
    char *cert = in_folder("mine.pem");
    char *key = in_folder("mine.key");
    shell("cp %s/alice.pem %s; cp %s/alice.key %s", folder, cert, folder, key);
    call(s, in_folder("ca.pem"), cert, key, true);
    assert_outcome(s, OUT(COMPLETED));
    assert_non_null(strstr(s->server.subject, "CN=alice"));
    shell("cp %s/bob.pem %s; cp %s/bob.key %s", folder, cert, folder, key);
    call(s, in_folder("ca.pem"), cert, key, true);
    assert_outcome(s, OUT(COMPLETED));
    assert_non_null(strstr(s->server.subject, "CN=bob"));
    end(s);
}

/* TLS 1.3 tells it only after its handshake, when the request may be out already. */
static void test_client_certificate_missing(void **state) {
    (void)state;
    struct scene *s = begin(in_folder("ca.pem"));
    call(s, in_folder("ca.pem"), NULL, NULL, false);
    assert_outcome(s, OUT(TLS));
    assert_non_null(strstr(s->shot.detail, "certificate required"));
    assert_int_equal(h2_get(&s->server, &s->server.requests), 0);
    end(s);
}

/* Files that are not there stop the call before it begins; ones that are no PEM make it our own fault. */
static void test_bad_files(void **state) {
    (void)state;
    struct scene *s = begin(NULL);
    struct err e;
    struct mcp_request r = shot_request(s->server.url, "n-1");
    r.ca_file = in_folder("missing.pem");
    assert_true(mcp_xfer_begin(&s->shot.x, &s->transport, &r, NULL, &e) < 0);
    assert_non_null(strstr(e.text, "missing.pem: No such file or directory; give"));
    shell("echo nonsense > %s/nonsense.pem", folder);
    call(s, in_folder("ca.pem"), in_folder("nonsense.pem"), in_folder("alice.key"), false);
    assert_outcome(s, OUT(ABORTED));
    assert_non_null(strstr(s->shot.detail, "nonsense.pem"));
    call(s, in_folder("ca.pem"), in_folder("alice.pem"), in_folder("bob.key"), false);
    assert_outcome(s, OUT(ABORTED));
    end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_ca_and_alpn),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_untrusted),
        cmocka_unit_test(test_ca_changes),
        cmocka_unit_test(test_client_certificate),
        cmocka_unit_test(test_client_certificate_changes),
        cmocka_unit_test(test_client_certificate_missing),
        cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
