/* Tests of the program pilotgate-agent from its command line: exit status, one line an error, an orderly
 * end on SIGTERM with nobody at the other end of any connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/when.h"
#include "wire/curve.h"

static char folder[32];
static char text[16384]; /* what the last run wrote, both streams */

/* Runs the agent with these flags; its exit status. */
static PRINTF_LIKE(1, 2) int run(const char *format, ...) {
    char command[512];
    char flags[256];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(flags, sizeof flags, format, ap);
    va_end(ap);
    (void)snprintf(command, sizeof command, "exec %s %s 2>&1", AGENT, flags);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    int status = pclose(f);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int lines(void) {
    int n = 0;
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

static void says(const char *what) {
    if (!strstr(text, what))
        fail_msg("'%s' does not say '%s'", text, what);
}

static void write_file(const char *name, const char *content) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs(content, f);
    assert_int_equal(fclose(f), 0);
}

static int make_folder(void **state) {
    (void)state;
    struct curve_key k;
    struct err e;
    char path[128];
    (void)snprintf(folder, sizeof folder, "/tmp/agent-test-XXXXXX");
    if (!mkdtemp(folder) || curve_generate(&k, &e) < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s/agent.key", folder);
    if (curve_save(path, &k, true, &e) < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s/server.pub", folder);
    if (curve_save(path, &k, false, &e) < 0)
        return -1;
    write_file("pilot.hash", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n");
    write_file(
        "c.yaml",
        "collector: {endpoint: 'tcp://127.0.0.1:9', server_key_file: server.pub, key_file: agent.key,\n"
        "            hash_key_file: pilot.hash}\n"
        "stage: {cluster: west, namespace: shop, node: n1}\nkube: {enabled: false}\nspool: {dir: spool}\n"
        "targets: [{name: gw, url: 'http://127.0.0.1:9/mcp'}]\n"
        "probes: [{name: p, target: gw, tool: echo, arguments: {t: '{nonce}'}, interval: 100ms}]\n");
    write_file("typo.yaml", "collector:\n  endpont: x\n");
    (void)unsetenv("PILOTGATE_AGENT_CONFIG");
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    char command[64];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void words(void **state) {
    (void)state;
    assert_int_equal(run("--version"), 0);
    assert_int_equal(strncmp(text, "pilotgate-agent ", 16), 0);
    assert_int_equal(lines(), 1);
    assert_int_equal(run("help"), 0);
    says("--collector-endpoint TEXT");
    assert_int_equal(run("check --help"), 0);
    says("usage: pilotgate-agent");
    assert_int_equal(run("docs"), 0);
    says("# Configuration of pilotgate-agent");
}

static void errors_are_one_line(void **state) {
    (void)state;
    assert_int_equal(run("chekc"), 2);
    says("unknown subcommand 'chekc': known are check, spool export and help");
    assert_int_equal(lines(), 1);
    assert_int_equal(run("check --config %s/typo.yaml", folder), 2);
    says("typo.yaml:2:3: unknown key 'collector.endpont'; did you mean 'collector.endpoint'?");
    assert_int_equal(strncmp(text, "pilotgate-agent: /tmp/", 22), 0);
    assert_int_equal(lines(), 1);
    assert_int_equal(run("check --config %s/c.yaml extra", folder), 2);
    says("unexpected argument 'extra'");
    assert_int_equal(run("--config %s/c.yaml --collector-key-file=/nowhere/key", folder), 2);
    says("/nowhere/key: cannot open");
    assert_int_equal(lines(), 1);
}

static void check_tells_each_thing(void **state) {
    (void)state;
    assert_int_equal(run("check --config %s/c.yaml", folder), 2);
    assert_int_equal(strncmp(text, "ok   configuration\n", 19), 0); /* and without colour */
    says("\nFAIL target gw: ");
    says("\nFAIL session with the collector: ");
}

/* Reads until the text appears; false when it did not within 10 s. */
static bool wait_for(int fd, const char *what) {
    int64_t end = when_mono_ns() + 10 * WHEN_S;
    size_t n = 0;
    text[0] = 0;
    while (!strstr(text, what) && when_mono_ns() < end && n < sizeof text - 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 100) <= 0)
            continue;
        ssize_t got = read(fd, text + n, sizeof text - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
        text[n] = 0;
    }
    return strstr(text, what) != NULL;
}

static void ends_in_order_on_sigterm(void **state) {
    (void)state;
    int out[2];
    char path[128];
    (void)snprintf(path, sizeof path, "%s/c.yaml", folder);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(out[1], STDERR_FILENO);
        (void)execl(AGENT, AGENT, "--config", path, (char *)NULL);
        _exit(127);
    }
    (void)close(out[1]);
    bool started = wait_for(out[0], "witnesses west/shop from n1");
    assert_int_equal(kill(pid, SIGTERM), 0);
    bool ending = wait_for(out[0], "ending on SIGTERM");
    int status = -1;
    int64_t end = when_mono_ns() + 20 * WHEN_S;
    pid_t got = 0;
    while ((got = waitpid(pid, &status, WNOHANG)) == 0 && when_mono_ns() < end)
        (void)poll(NULL, 0, 20);
    if (got == 0)
        (void)kill(pid, SIGKILL);
    (void)close(out[0]);
    assert_true(started && ending);
    assert_int_equal(got, pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(errors_are_one_line),
        cmocka_unit_test(check_tells_each_thing),
        cmocka_unit_test(ends_in_order_on_sigterm),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
