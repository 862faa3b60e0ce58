/* test_http: health and metrics over real sockets on loopback, also when other sockets took all low numbers.
 */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/http.h"
#include "serve/metrics.h"

#define MANY 1100 /* more than FD_SETSIZE */

static bool ready_now;

static bool is_ready(void *ctx) {
    (void)ctx;
    return ready_now;
}

static int write_metrics(void *ctx, struct buf *out) {
    (void)ctx;
    return metric_single(out, "pilotgate_x", "gauge", "A number.", 7);
}

static bool healthy_now = true;

static bool is_healthy(void *ctx) {
    (void)ctx;
    return healthy_now;
}

static const struct http_source source = {.ready = is_ready, .healthy = is_healthy, .metrics = write_metrics};

static struct http *start(void) {
    struct http *h = NULL;
    struct err e = {""};
    if (http_start("127.0.0.1:0", &source, &h, &e) < 0)
        fail_msg("%s", e.text);
    return h;
}

/* The whole answer, "" when there is none within 10 s. */
static const char *ask(const struct http *h, const char *request) {
    static char answer[4096];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)http_port(h))};
    struct timeval patience = {.tv_sec = 10};
    size_t len = 0;
    ssize_t n;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    while (len + 1 < sizeof answer && (n = recv(fd, answer + len, sizeof answer - 1 - len, 0)) > 0)
        len += (size_t)n;
    answer[len] = 0;
    close(fd);
    return answer;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void test_answers(void **state) {
    (void)state;
    struct http *h = start();
    assert_non_null(strstr(ask(h, GET("/healthz")), " 200 "));
    healthy_now = false;
    assert_non_null(strstr(ask(h, GET("/healthz")), " 503 "));
    healthy_now = true;
    ready_now = false;
    assert_non_null(strstr(ask(h, GET("/readyz")), " 503 "));
    ready_now = true;
    assert_non_null(strstr(ask(h, GET("/readyz")), " 200 "));
    assert_non_null(strstr(ask(h, GET("/metrics")), "\npilotgate_x 7\n"));
    assert_non_null(strstr(ask(h, GET("/other")), " 404 "));
    assert_non_null(
        strstr(ask(h, "DELETE /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), " 405 "));
    http_stop(&h);
    assert_null(h);
}

static void test_answers_beyond_a_thousand_sockets(void **state) {
    (void)state;
    static int fds[MANY];
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &l), 0);
    if (l.rlim_max < MANY + 100)
        skip();
    l.rlim_cur = MANY + 100;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
    struct http *h = start();
    for (size_t i = 0; i < MANY; i++)
        assert_true((fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
    assert_non_null(strstr(ask(h, GET("/healthz")), " 200 "));
    for (size_t i = 0; i < MANY; i++)
        close(fds[i]);
    http_stop(&h);
}

static void test_addresses(void **state) {
    (void)state;
    static const char *const bad[] = {"", ":80", "localhost:80", "127.0.0.1", "127.0.0.1:http", "[::1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct http *h = NULL;
        struct err e;
        assert_int_equal(http_start(bad[i], &source, &h, &e), -EINVAL);
        assert_null(h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_answers_beyond_a_thousand_sockets),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
