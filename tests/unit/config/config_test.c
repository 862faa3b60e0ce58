/* Tests of the agent's configuration: defaults, what surrounds it, and each check across keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"
#include "config.h"

#define STAGE "stage: {cluster: west, namespace: shop, node: n1}\n"
#define OUTSIDE STAGE "kube: {enabled: false}\n"
#define TARGET OUTSIDE "targets: [{name: gw, url: 'http://gateway:8080/mcp'}]\n"
#define PROBE(keys) TARGET "probes: [{name: p, target: gw, tool: echo, " keys "}]\n"

static const struct config nothing;

static int load(const char *yaml, struct config *c, struct err *e) {
    char path[] = "/tmp/config-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
    (void)close(fd);
    char flag[64];
    (void)snprintf(flag, sizeof flag, "--config=%s", path);
    char *argv[] = {flag};
    int rest = 0;
    int r = config_load(1, argv, c, &rest, e);
    (void)unlink(path);
    return r;
}

static void expect_good(const char *yaml, struct config *c) {
    struct err e = {0};
    if (load(yaml, c, &e) < 0)
        fail_msg("%s", e.text);
}

static void expect_taken(const char *yaml) {
    struct config c = {0};
    expect_good(yaml, &c);
    config_free(&c);
}

static void expect_error(const char *yaml, const char *why) {
    struct config c = {0};
    struct err e = {0};
    assert_int_equal(load(yaml, &c, &e), -EINVAL);
    assert_memory_equal(&c, &nothing, sizeof c);
    if (!strstr(e.text, why))
        fail_msg("'%s' does not say '%s'", e.text, why);
}

static int leave_cluster(void **state) {
    (void)state;
    (void)unsetenv("KUBERNETES_SERVICE_HOST");
    (void)unsetenv("KUBERNETES_SERVICE_PORT");
    (void)unsetenv("NODE_NAME");
    return 0;
}

static void defaults(void **state) {
    (void)state;
    struct config c = {0};
    expect_good(OUTSIDE, &c);
    assert_string_equal(c.collector.endpoint, "tcp://pilotgate:5670");
    assert_string_equal(c.collector.server_key_file, "/etc/pilotgate/keys/server.pub");
    assert_string_equal(c.collector.key_file, "/etc/pilotgate/keys/agent.key");
    assert_string_equal(c.collector.hash_key_file, "/etc/pilotgate/keys/pilot.hash");
    assert_null(c.collector.socks_proxy);
    assert_string_equal(c.kube.token_file, "/var/run/secrets/kubernetes.io/serviceaccount/token");
    assert_string_equal(c.kube.ca_file, "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
    assert_true(c.kube.secrets);
    assert_true(c.kube.stage_scoped);
    assert_string_equal(c.kube.lease, "");
    assert_string_equal(c.spool.dir, "/var/lib/pilotgate/spool");
    assert_int_equal(c.spool.quota, 256 << 20);
    assert_int_equal(c.max_in_flight, 1000);
    assert_int_equal(c.log_level, 2);
    config_free(&c);
    assert_memory_equal(&c, &nothing, sizeof c);
    config_free(NULL);
}

static void lists(void **state) {
    (void)state;
    struct config c = {0};
    expect_good(
        TARGET
        "probes:\n"
        "  - {name: slow, target: gw, tool: hold, arguments: {seconds: 5, nonce: '{nonce}'}, in_flight: 4}\n"
        "documents: [{name: gateways, url: 'https://engine/v1/gateways'}]\n",
        &c);
    const struct config_target *t = c.targets.items;
    const struct config_probe *p = c.probes.items;
    const struct config_document *d = c.documents.items;
    assert_int_equal(t->era, CONFIG_ERA_AUTO);
    assert_int_equal(t->catalogue_interval, WHEN_S);
    assert_false(t->control);
    assert_string_equal(p->arguments, "{\"nonce\":\"{nonce}\",\"seconds\":5}");
    assert_string_equal(p->expect, "{nonce}");
    assert_int_equal(p->in_flight, 4);
    assert_int_equal(p->timeout, 60 * WHEN_S);
    assert_int_equal(p->limit, 30 * WHEN_S);
    assert_int_equal(p->connection, CONFIG_CONNECTION_BOTH);
    assert_int_equal(d->interval, WHEN_S);
    config_free(&c);
}

static void surroundings(void **state) {
    (void)state;
    struct config c = {0};
    expect_error(STAGE, "kube.api: not in a cluster");
    assert_int_equal(setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1), 0);
    expect_error(STAGE, "kube.api: not in a cluster");
    assert_int_equal(setenv("KUBERNETES_SERVICE_PORT", "443", 1), 0);
    assert_int_equal(setenv("NODE_NAME", "worker-3", 1), 0);
    expect_good("stage: {cluster: west, namespace: shop}\n", &c);
    assert_string_equal(c.kube.api, "https://[fd00::1]:443");
    assert_string_equal(c.stage.node, "worker-3");
    config_free(&c);
    assert_int_equal(setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1), 0);
    expect_good(STAGE "kube: {api: }\n", &c);
    assert_string_equal(c.kube.api, "https://10.0.0.1:443");
    assert_string_equal(c.stage.node, "n1");
    config_free(&c);
    assert_int_equal(unsetenv("NODE_NAME"), 0);
    char host[256] = "";
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    expect_good("stage: {cluster: west, namespace: shop}\nkube: {enabled: no}\n", &c);
    assert_string_equal(c.stage.node, host);
    config_free(&c);
}

static void collector_and_stage(void **state) {
    (void)state;
    expect_error(OUTSIDE "collector: {endpoint: 'pilotgate:5670'}\n", "collector.endpoint: 'pilotgate:5670'");
    expect_error(OUTSIDE "collector: {endpoint: 'tcp://pilotgate'}\n", "write tcp://host:port");
    expect_error(OUTSIDE "collector: {endpoint: 'tcp://:5670'}\n", "write tcp://host:port");
    expect_error(OUTSIDE "collector: {endpoint: 'tcp://x:0'}\n", "write tcp://host:port");
    expect_error(OUTSIDE "collector: {endpoint: 'tcp://x:65536'}\n", "write tcp://host:port");
    expect_error(OUTSIDE "collector: {endpoint: 'tcp://fd00::1:5670'}\n", "write tcp://host:port");
    expect_taken(OUTSIDE "collector: {endpoint: 'tcp://[fd00::1]:5670', socks_proxy: 'proxy:1080'}\n");
    expect_taken(OUTSIDE "collector: {socks_proxy: ''}\n");
    expect_error(OUTSIDE "collector: {socks_proxy: 'proxy'}\n", "collector.socks_proxy");
    expect_error("stage: {cluster: 'a/b', namespace: x}\n", "stage.cluster: 'a/b'");
    expect_error("stage: {cluster: a, namespace: '-x'}\n", "stage.namespace: '-x'");
    expect_error("stage: {cluster: a, namespace: x, node: 'a b'}\n", "stage.node: 'a b'");
    expect_error("stage: {cluster: a}\n", "'stage.namespace' is missing");
    expect_error("collector:\n  endpont: x\n", ":2:3: unknown key 'collector.endpont'; did you mean "
                                               "'collector.endpoint'?");
}

static void kube(void **state) {
    (void)state;
    expect_error(STAGE "kube: {api: 'http://10.0.0.1:8080'}\n", "token in clear");
    expect_error(STAGE "kube: {api: 'http://127.example.org'}\n", "token in clear");
    expect_error(STAGE "kube: {api: 'ftp://10.0.0.1'}\n", "is no URL");
    expect_error(STAGE "kube: {api: '10.0.0.1:443'}\n", "is no URL");
    expect_taken(STAGE "kube: {api: 'http://127.0.0.1:8080'}\n");
    expect_taken(STAGE "kube: {api: 'http://[::1]:8080', lease: pilotgate}\n");
    expect_error(STAGE "kube: {api: 'https://x', lease: 'a/b'}\n", "kube.lease");
    expect_taken(STAGE "kube: {api: 'https://x', gitops_namespaces: []}\n");
    expect_taken(STAGE "kube: {api: 'https://x', resources: [widgets.example.com, jobs.batch]}\n");
    static const char *const bad[] = {"widgets",
                                      "Widgets.example.com",
                                      "widgets.example.com/status",
                                      "-a.b",
                                      "a..b",
                                      "a.b.",
                                      ".a.b",
                                      "a.b-",
                                      "a b.c"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, STAGE "kube: {api: 'https://x', resources: ['%s']}\n", bad[i]);
        expect_error(text, "write RESOURCE.GROUP");
    }
    expect_error(STAGE "kube: {api: 'https://x', resources: [a.b, c.d, a.b]}\n", "'a.b' is there twice");
    expect_taken(STAGE "kube: {api: 'https://x', gitops_namespaces: [flux-system, argocd]}\n");
    expect_error(STAGE "kube: {api: 'https://x', gitops_namespaces: ['a/b']}\n", "'a/b' is no name");
    expect_error(STAGE "kube: {api: 'https://x', gitops_namespaces: [a, b, c, d, e]}\n", "gitops_namespaces");
    expect_error(
        "stage: {cluster: east, namespace: shop}\nkube: {api: 'https://x', gitops_namespaces: [shop]}\n",
        "the stage's own namespace");
}

static void targets(void **state) {
    (void)state;
#define T(keys) OUTSIDE "targets: [{name: gw, url: 'http://g/mcp', " keys "}]\n"
    expect_error(OUTSIDE "targets: [{name: a, url: 'http://g'}, {name: a, url: 'http://h'}]\n",
                 "targets[1].name: 'a' is");
    expect_error(OUTSIDE "targets: [{name: 'a b', url: 'http://g'}]\n", "targets[0].name: 'a b'");
    expect_error(OUTSIDE "targets: [{name: a}]\n", "targets[0]: 'url' is missing");
    expect_error(OUTSIDE "targets: [{name: a, url: 'gateway:80'}]\n", "targets[0].url");
    expect_error(OUTSIDE "targets: [{name: a, url: 'file:///etc/passwd'}]\n", "targets[0].url");
    expect_error(OUTSIDE "targets: [{name: a, url: 'https://me:pw@g/'}]\n", "holds a user");
    expect_error(T("headers: ['Authorization: Bearer x']"),
                 "header Authorization is secret: use bearer_file");
    expect_error(T("headers: ['cookie: x']"), "is secret");
    expect_error(T("headers: ['Mcp-Session-Id: x']"), "prober's own");
    expect_error(T("headers: ['content-length: 5']"), "prober's own");
    expect_error(T("headers: [\"X: a\\r\\nY: b\"]"), "must be written");
    expect_error(T("headers: ['no colon']"), "must be written");
    expect_taken(T("headers: ['Arcade-User-ID: probe@example.org', 'X-Empty:'], era: modern, control: true"));
    expect_error(T("era: ancient"), "is none of: auto, legacy, modern");
#undef T
}

#define TLS(keys) OUTSIDE "targets: [{name: gw, url: 'https://g/mcp', " keys "}]\n"

/* Secret headers come from files only; certificates come with their keys. */
static void target_credentials(void **state) {
    (void)state;
    struct config c = {0};
    expect_good(TLS("header_files: ['Authorization: /k', 'X-Api-Key:  /a b'], client_cert_file: /c, "
                    "client_key_file: /k, http: 2, streams: 4"),
                &c);
    const struct config_target *t = c.targets.items;
    assert_int_equal(t->header_files.n, 2);
    assert_string_equal(t->header_files.items[1], "X-Api-Key:  /a b");
    assert_int_equal(t->http, CONFIG_HTTP_2);
    assert_int_equal(t->streams, 4);
    config_free(&c);
    expect_taken(TLS("header_files: ['cookie: /k']"));
    expect_error(TLS("header_files: ['X-Api-Key']"), "'Name: /path");
    expect_error(TLS("header_files: ['X-Api-Key: ']"), "'Name: /path");
    expect_error(TLS("header_files: ['X-Api-Key: relative']"), "'Name: /path");
    expect_error(TLS("header_files: ['X Api: /k']"), "'Name: /path");
    expect_error(TLS("header_files: [\"X: /a\\r\\nY: b\"]"), "'Name: /path");
    expect_error(TLS("header_files: ['Mcp-Session-Id: /k']"), "header Mcp-Session-Id is the prober's own");
    expect_error(TLS("header_files: ['accept: /k']"), "prober's own");
    expect_error(TLS("header_files: ['X: /a', 'x: /b']"), "header x is there twice");
    expect_error(TLS("headers: ['X: a'], header_files: ['x: /b']"), "header x is there twice");
    expect_error(TLS("bearer_file: /b, header_files: ['authorization: /k']"),
                 "both header_files and bearer_file");
    expect_error(TLS("client_cert_file: /c"), "or none of them");
    expect_error(TLS("client_key_file: /k"), "or none of them");
    expect_error(OUTSIDE
                 "targets: [{name: gw, url: 'http://g/', client_cert_file: /c, client_key_file: /k}]\n",
                 "needs a url with https");
    expect_error(TLS("streams: 0"), "streams");
    expect_error(TLS("http: 3"), "is none of: 1.1, 2");
    expect_error(TLS("headers: ['X-Pilotgate-Call: x']"), "prober's own");
}

#define KIND(keys) OUTSIDE "targets: [{name: gw, url: 'http://engine:9099', " keys "}]\n"

static void kinds(void **state) {
    (void)state;
    expect_taken(KIND("kind: arcade, user_id: u, bearer_file: /k"));
    expect_taken(KIND("kind: worker, secret_file: /s, user_id: u"));
    expect_error(KIND("kind: arcade, bearer_file: /k"), "needs user_id");
    expect_error(KIND("kind: arcade, user_id: u, secret_file: /s"), "for kind worker only");
    expect_error(KIND("kind: worker"), "needs secret_file");
    expect_error(KIND("kind: worker, secret_file: /s, bearer_file: /k"), "remove bearer_file");
    expect_error(KIND("user_id: u"), "Arcade-User-ID");
    expect_error(KIND("secret_file: /s"), "for kind worker only");
    expect_error(OUTSIDE "targets: [{name: gw, url: 'http://e/v1/', kind: arcade, user_id: u}]\n",
                 "before /v1");
    expect_error(OUTSIDE "targets: [{name: gw, url: 'http://e/worker', kind: worker, secret_file: /s}]\n",
                 "before /worker");
    expect_error(OUTSIDE "targets: [{name: gw, url: 'http://e/?x=1', kind: arcade, user_id: u}]\n",
                 "before /v1");
}

static void replicas(void **state) {
    (void)state;
#define K STAGE "kube: {api: 'https://10.0.0.1'}\n"
#define T(text) K "targets: [{name: gw, url: 'http://h/', replicas: " text "}]\n"
#define P(keys) "probes: [{name: p, target: gw, tool: t, expect: x, " keys "}]\n"
    static const char *const wrong[] = {"'-gw'", "'Gw'",  "'gw:'",      "'gw:0'", "'gw:65536'", "'gw:http 1'",
                                        "'a b'", "':80'", "'gw.other'", "'gw/x'", "'gw:80:80'"};
    expect_taken(T("gw") P("replica_in_flight: 2"));
    expect_taken(T("'gw:8080'") P("replica_drill_in_flight: 2"));
    expect_taken(T("'gw:http-1'") P("interval: 1s"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char yaml[256];
        (void)snprintf(yaml, sizeof yaml, K "targets: [{name: gw, url: 'http://h/', replicas: %s}]\n",
                       wrong[i]);
        expect_error(yaml, "NAME or NAME:PORT");
    }
    expect_error(PROBE("replica_in_flight: 2, expect: x"), "needs `replicas` of target 'gw'");
    expect_error(PROBE("in_flight: 2, replica_drill_in_flight: 2, expect: x"),
                 "needs `replicas` of target 'gw'");
    expect_error(OUTSIDE "targets: [{name: gw, url: 'http://h/', replicas: gw}]\n", "set kube.enabled true");
    char many[4096] = K "targets:\n";
    for (int i = 0; i <= CONFIG_SERVICES_MAX; i++) {
        size_t n = strlen(many);
        (void)snprintf(many + n, sizeof many - n, "  - {name: t%d, url: 'http://h/', replicas: s%d}\n", i, i);
    }
    expect_error(many, "more than 16 different");
#undef P
#undef T
#undef K
}

static void probes(void **state) {
    (void)state;
    expect_taken(PROBE("interval: 100ms, expect: pong"));
    expect_taken(PROBE("drill_in_flight: 1000, expect: pong"));
    expect_error(PROBE("expect: pong"), "probe 'p' never calls");
    expect_error(PROBE("interval: 9ms, expect: x"), "interval is below 10ms");
    expect_error(PROBE("in_flight: 1"), "expects {nonce}, but no argument holds {nonce}");
    expect_error(PROBE("in_flight: 1, expect: ''"), "expect is empty");
    expect_error(PROBE("in_flight: 1, expect: x, arguments: [1]"), "arguments must be a section");
    expect_error(PROBE("in_flight: 1, expect: x, limit: 61s"), "limit is over timeout");
    expect_error(PROBE("in_flight: -1, expect: x"), "out of range: 0 to 4096");
    expect_error(PROBE("in_flight: 1001, expect: x"), "over max_in_flight 1000");
    expect_taken(PROBE("in_flight: 1001, expect: x") "max_in_flight: 1001\n");
    expect_error(PROBE("interval: 10ms, expect: x") "max_rate: 99\n",
                 "begin 100 calls a second, over max_rate 99");
    expect_taken(PROBE("interval: 10ms, expect: x") "max_rate: 100\n");
    expect_taken(PROBE("interval: 10ms, expect: x") "max_rate: 0\n");
    expect_error(TARGET
                 "probes: [{name: p, target: gw, tool: t, in_flight: 600, expect: x},\n"
                 "         {name: q, target: gw, tool: t, in_flight: 1, drill_in_flight: 401, expect: x}]\n",
                 "up to 1001 calls open");
    expect_error(TARGET "probes: [{name: p, target: gv, tool: t, in_flight: 1, expect: x}]\n",
                 "target 'gv' is not among targets");
    expect_error(TARGET "probes: [{name: p, target: gw, tool: '', in_flight: 1, expect: x}]\n",
                 "tool must have");
    expect_error(TARGET "documents: [{name: d, url: nonsense}]\n", "documents[0].url");
}

/* The reference in docs/ is what the table says. */
static void reference_is_current(void **state) {
    (void)state;
    char *now = NULL;
    char *kept = NULL;
    size_t n = 0;
    struct err e = {0};
    FILE *f = open_memstream(&now, &n);
    conf_markdown(&config_program, f);
    assert_int_equal(fclose(f), 0);
    if (conf_read_file(PILOTGATE_ROOT "/docs/agent-configuration.md", CONF_FILE_MAX, &kept, &n, &e) < 0)
        fail_msg("%s", e.text);
    if (strcmp(now, kept) != 0)
        fail_msg("run `pilotgate-agent docs >docs/agent-configuration.md`");
    free(kept);
    free(now);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults, leave_cluster),
        cmocka_unit_test_setup(lists, leave_cluster),
        cmocka_unit_test_setup(surroundings, leave_cluster),
        cmocka_unit_test_setup(collector_and_stage, leave_cluster),
        cmocka_unit_test_setup(kube, leave_cluster),
        cmocka_unit_test_setup(targets, leave_cluster),
        cmocka_unit_test_setup(replicas, leave_cluster),
        cmocka_unit_test_setup(probes, leave_cluster),
        cmocka_unit_test(target_credentials),
        cmocka_unit_test(kinds),
        cmocka_unit_test(reference_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
