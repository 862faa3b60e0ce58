/* Tests of curve: key files, and two real sockets that meet only with the right keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "wire/curve.h"
#include "wire/wire.h"

static char folder[32];
static char path[64];

static int make_folder(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/curve-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/key", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    (void)unlink(path);
    return rmdir(folder); /* fails when a temporary file was left behind */
}

static struct curve_key fresh(void) {
    struct curve_key k;
    struct err e;
    assert_int_equal(curve_generate(&k, &e), 0);
    return k;
}

static void keys_go_through_files(void **state) {
    (void)state;
    struct curve_key k = fresh();
    struct curve_key got = {{0}, {0}};
    struct err e;
    struct stat st;
    assert_true(curve_z85_ok(k.public_z85));
    assert_int_equal(curve_save(path, &k, true, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(curve_load(path, true, &got, &e), 0);
    assert_string_equal(got.public_z85, k.public_z85);
    assert_string_equal(got.secret_z85, k.secret_z85);
    assert_int_equal(curve_save(path, &k, true, &e), -EEXIST);
    assert_non_null(strstr(e.text, "never overwritten"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(curve_save(path, &k, false, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_int_equal(curve_load(path, true, &got, &e), -EINVAL);
    assert_non_null(strstr(e.text, "only a public key"));
    assert_int_equal(curve_load(path, false, &got, &e), 0);
    assert_string_equal(got.secret_z85, "");
    struct curve_key half = {{0}, {0}};
    assert_int_equal(curve_save(folder, &half, false, &e), -EINVAL);
    assert_int_equal(curve_save("/nowhere/key", &k, false, &e), -ENOENT);
}

static void expect_bad(const char *text, const char *why) {
    struct curve_key k = {{0}, {0}};
    struct err e;
    FILE *f = fopen(path, "w");
    (void)fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(curve_load(path, false, &k, &e), -EINVAL);
    assert_string_equal(k.public_z85, "");
    if (!strstr(e.text, why))
        fail_msg("'%s' does not say '%s'", e.text, why);
}

static int write_servers(size_t n, const struct curve_key *k, size_t *ret_n,
                         char ret[CURVE_SERVER_KEYS_MAX][CURVE_Z85_MAX], struct err *e) {
    FILE *f = fopen(path, "w");
    (void)fputs("# both until every agent has the new one\r\n\n", f);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(f, "public: %s\r\n", k[i % 2].public_z85);
    assert_int_equal(fclose(f), 0);
    return curve_load_servers(path, ret, ret_n, e);
}

static void several_keys_of_the_collector(void **state) {
    (void)state;
    struct curve_key k[] = {fresh(), fresh()};
    char got[CURVE_SERVER_KEYS_MAX][CURVE_Z85_MAX];
    struct err e;
    size_t n = 77;
    assert_int_equal(write_servers(2, k, &n, got, &e), 0);
    assert_int_equal(n, 2);
    assert_string_equal(got[0], k[0].public_z85);
    assert_string_equal(got[1], k[1].public_z85);
    n = 77;
    assert_int_equal(write_servers(CURVE_SERVER_KEYS_MAX + 1, k, &n, got, &e), -EINVAL);
    assert_non_null(strstr(e.text, "more than 4 keys"));
    assert_int_equal(write_servers(0, k, &n, got, &e), -EINVAL);
    assert_non_null(strstr(e.text, "no public key"));
    k[0].public_z85[39] = ' ';
    assert_int_equal(write_servers(1, k, &n, got, &e), -EINVAL);
    assert_int_equal(n, 77);
}

static void bad_key_files(void **state) {
    (void)state;
    struct curve_key k = fresh();
    char text[256];
    expect_bad("", "no public key");
    expect_bad("# pilotgate CURVE key\n", "no public key");
    expect_bad("hello\n", ":1: not a key file");
    expect_bad("public: short\n", ":1: public key is not 40 of Z85");
    (void)snprintf(text, sizeof text, "public: %s\npublic: %s\n", k.public_z85, k.public_z85);
    expect_bad(text, ":2: public key is there twice");
    (void)snprintf(text, sizeof text, "public: %s \n", k.public_z85);
    expect_bad(text, "not 40 of Z85");
    (void)snprintf(text, sizeof text, "public: %s\nsecret: %.39s~\n", k.public_z85, k.secret_z85);
    expect_bad(text, ":2: secret key is not 40");
    struct err e;
    assert_int_equal(curve_load(path, false, &k, &e), -EINVAL);
    assert_null(strstr(e.text, k.secret_z85)); /* a key is never quoted */
    (void)unlink(path);
    assert_int_equal(curve_load(path, false, &k, &e), -ENOENT);
}

static int int_option(void *s, int option) {
    int v = -99;
    size_t n = sizeof v;
    assert_int_equal(zmq_getsockopt(s, option, &v, &n), 0);
    return v;
}

/* Sends one message from agent to collector; true when it came within the time. A peer whose handshake was
 * refused already has nowhere to send to. */
static bool delivered(void *agent, void *collector, int wait_ms) {
    assert_int_equal(zmq_setsockopt(agent, ZMQ_SNDTIMEO, &wait_ms, sizeof wait_ms), 0);
    if (zmq_send(agent, "hi", 2, 0) < 0)
        return false;
    assert_int_equal(zmq_setsockopt(collector, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms), 0);
    char id[256];
    char text[8];
    if (zmq_recv(collector, id, sizeof id, 0) < 0)
        return false;
    assert_int_equal(zmq_recv(collector, text, sizeof text, 0), 2);
    return true;
}

static void sockets_meet_with_the_right_keys_only(void **state) {
    (void)state;
    struct curve_key server = fresh();
    struct curve_key other = fresh();
    struct curve_key own = fresh();
    struct err e;
    char address[128];
    size_t n = sizeof address;
    void *context = zmq_ctx_new();
    void *collector = zmq_socket(context, ZMQ_ROUTER);
    void *agent = zmq_socket(context, ZMQ_DEALER);
    void *stranger = zmq_socket(context, ZMQ_DEALER);
    void *naked = zmq_socket(context, ZMQ_DEALER);
    int zero = 0;
    assert_int_equal(zmq_setsockopt(naked, ZMQ_LINGER, &zero, sizeof zero), 0);
    assert_int_equal(curve_setup_collector(collector, &server, &e), 0);
    assert_int_equal(zmq_bind(collector, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(collector, ZMQ_LAST_ENDPOINT, address, &n), 0);
    assert_int_equal(curve_setup_agent(agent, &own, server.public_z85, NULL, &e), 0);
    assert_int_equal(curve_setup_agent(stranger, &own, other.public_z85, "", &e), 0);
    assert_int_equal(zmq_connect(agent, address), 0);
    assert_int_equal(zmq_connect(stranger, address), 0);
    assert_int_equal(zmq_connect(naked, address), 0);
    assert_true(delivered(agent, collector, 10000));
    assert_false(delivered(stranger, collector, 300)); /* believes in another collector */
    assert_false(delivered(naked, collector, 300));    /* no CURVE at all */
    assert_int_equal(int_option(agent, ZMQ_HEARTBEAT_IVL), 5000);
    assert_int_equal(int_option(agent, ZMQ_HEARTBEAT_TIMEOUT), 15000);
    assert_int_equal(int_option(agent, ZMQ_TCP_MAXRT), 15000);
    assert_int_equal(int_option(agent, ZMQ_LINGER), 0);
    assert_int_equal(int_option(collector, ZMQ_CURVE_SERVER), 1);
    (void)zmq_close(naked);
    (void)zmq_close(stranger);
    (void)zmq_close(agent);
    (void)zmq_close(collector);
    (void)zmq_ctx_term(context);
}

static void too_long_messages_do_not_arrive(void **state) {
    (void)state;
    struct curve_key server = fresh();
    struct curve_key own = fresh();
    struct err e;
    char address[128];
    size_t n = sizeof address;
    void *context = zmq_ctx_new();
    void *collector = zmq_socket(context, ZMQ_ROUTER);
    void *agent = zmq_socket(context, ZMQ_DEALER);
    assert_int_equal(curve_setup_collector(collector, &server, &e), 0);
    assert_int_equal(zmq_bind(collector, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(collector, ZMQ_LAST_ENDPOINT, address, &n), 0);
    assert_int_equal(curve_setup_agent(agent, &own, server.public_z85, NULL, &e), 0);
    assert_int_equal(zmq_connect(agent, address), 0);
    assert_true(delivered(agent, collector, 10000));
    size_t len = WIRE_FRAME_MAX + (128u << 10); /* past what is let in only to be answered with a reason */
    char *big = calloc(1, len);
    assert_int_equal(zmq_send(agent, big, len, 0), (int)len);
    int wait_ms = 300;
    assert_int_equal(zmq_setsockopt(collector, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms), 0);
    assert_int_equal(zmq_recv(collector, big, len, 0), -1);
    free(big);
    (void)zmq_close(agent);
    (void)zmq_close(collector);
    (void)zmq_ctx_term(context);
}

static void incomplete_keys_are_refused(void **state) {
    (void)state;
    struct curve_key k = fresh();
    struct curve_key half = k;
    struct err e;
    half.secret_z85[0] = 0;
    void *context = zmq_ctx_new();
    void *s = zmq_socket(context, ZMQ_DEALER);
    assert_int_equal(curve_setup_agent(s, &half, k.public_z85, NULL, &e), -EINVAL);
    assert_int_equal(curve_setup_agent(s, &k, "x", NULL, &e), -EINVAL);
    assert_int_equal(curve_setup_agent(s, &k, NULL, NULL, &e), -EINVAL);
    assert_int_equal(curve_setup_collector(s, &half, &e), -EINVAL);
    (void)zmq_close(s);
    (void)zmq_ctx_term(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_go_through_files, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(several_keys_of_the_collector, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(bad_key_files, make_folder, remove_folder),
        cmocka_unit_test(sockets_meet_with_the_right_keys_only),
        cmocka_unit_test(too_long_messages_do_not_arrive),
        cmocka_unit_test(incomplete_keys_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
