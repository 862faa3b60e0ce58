/* test_cli: the program as scripts see it: exit status, one line of error that says what to do, keys that are
 * never overwritten, pilots checked, a daemon that ends in order. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/js.h"
#include "cli_fixture.h"

static struct run r; /* large */

static const char pilot_yaml[] =
    "name: demo\nend: 2100-01-01T00:00:00Z\nstages:\n"
    "  - {stage: east/shop, agents: 2, gateway: Deployment/gateway, release: shop}\n";

static int setup(void **state) {
    (void)dir_setup(state);
    write_text(*state, "p.yaml", pilot_yaml);
    (void)setenv("PILOTGATE_STORE", "sqlite:p.db", 1);
    return 0;
}

static void test_usage(void **state) {
    const char *dir = *state;
    static const struct {
        const char *line, *part;
    } bad[] = {
        {"agents", "pilot init"}, /* there is no store yet */
        {"serv", "did you mean 'serve'"},
        {"xyzzyxyzzy", "pilotgate help"},
        {"--nonsense agents", "--nonsense"},
        {"agents --nonsense", "help agents"},
        {"agents surplus", "too many arguments"},
        {"agents -o xml", "table, json, yaml"},
        {"agents --store", "needs a value"},
        {"agents --store postgresql://x", "sqlite:PATH"},
        {"agents --at yesterday", "2026-"},
        {"agents --stage nowhere", "CLUSTER/NAMESPACE"},
        {"agents --stage a/../b", "CLUSTER/NAMESPACE"},
        {"agents --help=yes", "takes no value"},
        {"pilot", "missing arguments"},
        {"pilot destroy", "init and status"},
        {"pilot init", "--file"},
        {"mark --name t0 --by me", "--stage"},
        {"mark --stage a/b --name 't 0' --by me", "--name"},
        {"attest --name x --by me", "--link"},
        {"drill explode --stage a/b -- true", "config-change or rollback"},
        {"drill rollback --stage a/b", "after --"},
        {"drill rollback --stage a/b --repeat 0 -- true", "--repeat"},
        {"drill rollback --stage a/b --repeat -1 -- true", "--repeat"},
        {"drill rollback --stage a/b --settle soon -- true", "--settle"},
        {"drill rollback --stage a/b --load-ttl 1s -- true", "--load-ttl"},
        {"drill rollback --stage a/b --suspend-flux shop -- true", "HelmRelease/shop"},
        {"drill rollback --stage a/b --suspend-flux Deployment/shop -- true", "no kind 'Deployment'"},
        {"drill rollback --stage a/b --suspend-flux HelmRelease/-n -- true", "no name"},
        {"drill rollback --stage a/b --suspend-flux '' -- true", "name the objects"},
        {"drill rollback --stage a/b --kube-context east -- true", "--suspend-flux"},
        {"serve", "keygen all"},
        {"serve --key nokey --allow noallow", "nokey"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        run_cli(&r, dir, "%s", bad[i].line);
        said_error(&r, bad[i].part);
    }
    run_cli(&r, dir, "--version");
    assert_int_equal(r.status, 0);
    assert_int_equal(strncmp(r.out, "pilotgate ", 10), 0);
    run_cli(&r, dir, "help drill");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "--settle"));
    run_cli(&r, dir, "drill --help");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "--settle"));
    run_cli(&r, dir, "help");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "exit status"));
    run_cli(&r, dir, "agents 'bad\033[31margument\n'");
    said_error(&r, "too many"); /* and no control character on the terminal */
}

/* The script asks the program for its words. */
static void test_completion(void **state) {
    const char *dir = *state;
    static const struct {
        const char *words, *expected;
    } cases[] = {
        {"pilotgate ga", "gates"},
        {"pilotgate --stage a/b drill --suspend", "--suspend-flux"},
        {"pilotgate help pl", "plan"},
        {"pilotgate gates -o ya", "yaml"},
        {"pilotgate --stage a/b calls --output c", "csv"},
        {"pilotgate drill -- --suspend", ""}, /* the words of a command of the user's */
    };
    run_cli(&r, dir, "completion csh");
    said_error(&r, "bash, zsh and fish");
    write_text(dir, "ask.sh",
               "pilotgate() { " PILOTGATE_BIN " \"$@\"; }\nsource <(pilotgate completion bash)\n"
               "COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1))\n_pilotgate\necho \"${COMPREPLY[*]}\" >words\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[512], words[256], line[128];
        (void)snprintf(command, sizeof command, "cd %s && bash ask.sh %s", dir, cases[i].words);
        (void)snprintf(line, sizeof line, "%s\n", cases[i].expected);
        assert_int_equal(system(command), 0);
        assert_true(wait_text(dir, "words", "\n", words, sizeof words));
        assert_string_equal(words, line);
    }
}

static mode_t mode_of(const char *dir, const char *name) {
    char path[256];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void test_keys(void **state) {
    const char *dir = *state;
    run_cli(&r, dir, "keygen all --out k --stage east/shop,west/shop");
    assert_int_equal(r.status, 0);
    assert_int_equal(mode_of(dir, "k/server.key"), 0600);
    assert_int_equal(mode_of(dir, "k/agent.key"), 0600);
    assert_int_equal(mode_of(dir, "k/pilot.hash"), 0600);
    assert_null(strstr(r.out, "secret"));
    run_cli(&r, dir, "keygen all --out k --stage east/shop");
    said_error(&r, "never overwrites");
    run_cli(&r, dir, "keygen server --out k");
    said_error(&r, "never overwrites");
    run_cli(&r, dir, "keygen agent --out k --name second");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "CLUSTER NAMESPACE"));
    run_cli(&r, dir, "keygen agent --out k --name ../escape");
    said_error(&r, "--name");
    run_cli(&r, dir, "keygen all --out k2");
    said_error(&r, "--stage");
    run_cli(&r, dir, "keygen all --out k3 --stage east");
    said_error(&r, "CLUSTER/NAMESPACE");
    run_cli(&r, dir, "keygen castle --out k");
    said_error(&r, "castle");
}

static void init_text(const char *dir, const char *text) {
    write_text(dir, "bad.yaml", text);
    run_cli(&r, dir, "pilot init -f bad.yaml");
}

static void test_pilot_files(void **state) {
    const char *dir = *state;
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"", "mapping"},
        {"[1]", "mapping"},
        {"name: a b\nstages: [{stage: e/s}]", "name"},
        {"name: a\nstage: []", "did you mean 'stages'"},
        {"name: a\nstages: []", "1 to"},
        {"name: a\nstages: [{stage: es}]", "CLUSTER/NAMESPACE"},
        {"name: a\nstages: [{stage: e/s, agent: 2}]", "did you mean 'agents'"},
        {"name: a\nstages: [{stage: e/s, agents: 0}]", "agents"},
        {"name: a\nstages: [{stage: e/s, agents: two}]", "agents"},
        {"name: a\nstages: [{stage: e/s}, {stage: e/s}]", "twice"},
        {"name: a\nstages: [{stage: e/s, gateway: gateway}]", "Deployment/gateway"},
        {"name: a\nend: soon\nstages: [{stage: e/s}]", "end"},
        {"name: a\nend: 2020-01-01T00:00:00Z\nstages: [{stage: e/s}]", "passed"},
        {"name: a\nbegin: 2026-01-02T00:00:00Z\nend: 2026-01-01T00:00:00Z\nstages: [{stage: e/s}]",
         "after begin"},
        {"name: a\nrubric: {nonsense: 1}\nstages: [{stage: e/s}]", "nonsense"},
        {"name: [", "bad.yaml"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        init_text(dir, bad[i].text);
        said_error(&r, bad[i].part);
    }
    run_cli(&r, dir, "pilot init --file p.yaml");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "declared"));
    run_cli(&r, dir, "pilot init --file p.yaml");
    assert_non_null(strstr(r.out, "as it was"));
    init_text(dir, "name: demo\nstages: [{stage: east/shop}]");
    assert_non_null(strstr(r.out, "new version"));
    init_text(dir, "name: other\nstages: [{stage: east/shop}]");
    said_error(&r, "--replace");
    run_cli(&r, dir, "pilot init -f bad.yaml --replace");
    assert_int_equal(r.status, 0);
    run_cli(&r, dir, "pilot status");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "pilot other"));
    assert_null(strchr(r.out, '\033')); /* no colour off a terminal */
}

static json_t *json_of(const char *text) {
    json_t *doc = NULL;
    struct err e = {""};
    if (js_parse(text, strlen(text), JS_TEXT_MAX, &doc, &e) < 0)
        fail_msg("%s in %s", e.text, text);
    return doc;
}

static void test_status_and_statements(void **state) {
    const char *dir = *state;
    run_cli(&r, dir, "pilot init --file p.yaml");
    run_cli(&r, dir, "pilot status -o json");
    assert_int_equal(r.status, 0);
    json_t *doc = json_of(r.out);
    assert_string_equal(js_str(doc, "pilot.name", ""), "demo");
    const json_t *stage = json_array_get(js_at(doc, "stages"), 0);
    assert_int_equal(js_int(stage, "expected", 0), 2);
    assert_int_equal(js_int(stage, "seen", 9), 0);
    assert_int_equal(js_int(json_array_get(js_at(doc, "missing"), 0), "agents", 0), 2);
    assert_true(json_array_size(js_at(doc, "gates")) > 0);
    json_decref(doc);
    run_cli(&r, dir, "mark --stage east/shop --name t0 --by 'A. Person' --at 2026-01-01T00:00:00Z");
    assert_int_equal(r.status, 0);
    run_cli(&r, dir, "attest --name sla --by me --digest p.yaml");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "BLAKE2b-256"));
    run_cli(&r, dir, "attest --name sla --by me --digest absent.pdf");
    said_error(&r, "absent.pdf");
    run_cli(&r, dir, "mark --stage east/shop --name t0 --by \"$(printf '\\377')\"");
    said_error(&r, "UTF-8");
    run_cli(&r, dir, "drill rollback --stage east/shop -- true");
    said_error(&r, "pilotgate serve");
    run_cli(&r, dir, "pilot status --at 1990-01-01T00:00:00Z");
    said_error(&r, "--at");
}

static pid_t serve(const char *dir) {
    static char *argv[] = {(char *)"pilotgate",          (char *)"serve",
                           (char *)"--listen",           (char *)"tcp://127.0.0.1:*",
                           (char *)"--http=127.0.0.1:0", (char *)"--key",
                           (char *)"k/server.key",       (char *)"--allow-file",
                           (char *)"k/agents.allow",     NULL};
    char log[4096];
    pid_t pid = start_cli(dir, "serve.log", argv);
    if (!wait_text(dir, "serve.log", "takes records on", log, sizeof log))
        fail_msg("serve did not start: %s", log);
    return pid;
}

static void test_serve(void **state) {
    const char *dir = *state;
    char log[4096], command[256];
    run_cli(&r, dir, "keygen all --out k --stage east/shop");
    run_cli(&r, dir, "pilot init --file p.yaml");
    pid_t pid = serve(dir);
    (void)setenv("TMPDIR", dir, 1);
    run_cli(&r, dir,
            "serve --listen tcp://127.0.0.1:* --http 127.0.0.1:0 --key k/server.key --allow k/agents.allow");
    said_error(&r, "another `pilotgate serve`");
    run_cli(&r, dir, "mark --stage east/shop --name t0 --by me"); /* beside the daemon */
    assert_int_equal(r.status, 0);
    run_cli(&r, dir, "backup b.db");
    assert_int_equal(r.status, 0);
    run_cli(&r, dir, "backup b.db");
    said_error(&r, "never overwrites");
    run_cli(&r, dir, "backup - | head -c 100 >head.db; ls | grep -c pilotgate-backup"); /* nothing is left */
    assert_string_equal(r.out, "0\n");
    write_text(dir, "c.db.partial", "");
    run_cli(&r, dir, "backup c.db");
    said_error(&r, "remove it if none does");
    run_cli(&r, dir, "--store sqlite:b.db pilot status");
    assert_int_equal(r.status, 0);
    (void)snprintf(command, sizeof command, "cp %s/p.db %s/bare.db", dir, dir);
    assert_int_equal(system(command), 0);
    run_cli(&r, dir, "agents --store sqlite:bare.db");
    said_error(&r, "pilotgate backup");
    assert_int_equal(stop_cli(pid, SIGTERM), 0);
    assert_true(wait_text(dir, "serve.log", "ended in order", log, sizeof log));
    run_cli(&r, dir, "agents");
    assert_int_equal(r.status, 0);
    pid = serve(dir);
    assert_int_equal(stop_cli(pid, SIGKILL), 128 + SIGKILL);
    run_cli(&r, dir, "agents");
    said_error(&r, "pilotgate serve");
    run_cli(&r, dir, "pilot init --file p.yaml"); /* what an init container does before the daemon returns */
    assert_int_equal(r.status, 0);
    pid = serve(dir);
    run_cli(&r, dir, "pilot status");
    assert_int_equal(r.status, 0);
    assert_int_equal(stop_cli(pid, SIGINT), 0);
}

/* One request of libmicrohttpd's server, as text. */
static void http_get(const char *dir, const char *method, const char *path, unsigned port) {
    char command[512];
    (void)snprintf(
        command, sizeof command,
        "cd %s && bash -c 'exec 3<>/dev/tcp/127.0.0.1/%u; printf \"%s %s HTTP/1.0\\r\\n\\r\\n\" >&3; "
        "cat <&3' >http.out",
        dir, port, method, path);
    assert_int_equal(system(command), 0);
    assert_true(wait_text(dir, "http.out", "HTTP/1.", r.out, sizeof r.out));
}

static void test_http(void **state) {
    const char *dir = *state;
    char log[4096];
    run_cli(&r, dir, "keygen all --out k --stage east/shop");
    pid_t pid = serve(dir);
    assert_true(wait_text(dir, "serve.log", "health on port", log, sizeof log));
    unsigned port = (unsigned)strtoul(strstr(log, "health on port") + strlen("health on port"), NULL, 10);
    http_get(dir, "GET", "/healthz", port);
    assert_non_null(strstr(r.out, " 200 "));
    http_get(dir, "GET", "/metrics", port);
    assert_non_null(strstr(r.out, "pilotgate_build_info{version="));
    assert_non_null(strstr(r.out, "# TYPE pilotgate_records_total counter"));
    http_get(dir, "POST", "/metrics", port);
    assert_non_null(strstr(r.out, " 405 "));
    http_get(dir, "GET", "/../etc/passwd", port);
    assert_non_null(strstr(r.out, " 404 "));
    assert_int_equal(stop_cli(pid, SIGTERM), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, dir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_usage),
        CASE(test_completion),
        CASE(test_keys),
        CASE(test_pilot_files),
        CASE(test_status_and_statements),
        CASE(test_serve),
        CASE(test_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
