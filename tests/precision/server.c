/* precision-server: an MCP tool server of known delays, for tests/precision. One thread and epoll; a call is
 * answered `delay_us` of its arguments after its last byte was read. It notes for each call how long it kept
 * it itself: from the moment when the last byte of the request had been read to the moment before the first
 * byte of the answer was written. Speaks just enough HTTP/1.1 and MCP (2025-11-25) to be called; a fake, as
 * no real server tells these two moments.
 *
 * usage: precision-server LOG        prints its port, serves until SIGTERM, then writes LOG:
 *                                    a line "NUMBER OWN_NS" a call (NUMBER: what follows '-' in its nonce),
 *                                    and "total N" for all calls, also those without such a nonce */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024 /* also the highest descriptor */
#define REQUEST_MAX 8192
#define CALLS_MAX 1000000
#define TEXT_MAX 64

struct connection {
    int fd; /* 0: none */
    char in[REQUEST_MAX + 1];
    size_t len;
    int64_t read_at; /* when the last byte of the request that waits was read */
    int64_t due;     /* when it is to be answered; 0: none waits */
    char id[TEXT_MAX], nonce[TEXT_MAX];
};

struct noted {
    uint64_t number;
    int64_t own_ns;
};

static struct connection connections[CONNECTIONS_MAX];
static struct noted noted[CALLS_MAX];
static size_t n_noted, n_calls;
static int epoll, timer;
static volatile sig_atomic_t ending;

static void on_signal(int signal) {
    (void)signal;
    ending = 1;
}

static int64_t now_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ------------------------------------------------------------------ answers */

static void drop(struct connection *c) {
    (void)close(c->fd);
    *c = (struct connection){.fd = 0};
}

static void reply(struct connection *c, const char *status, const char *body) {
    char out[1024];
    int n = snprintf(out, sizeof out,
                     "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status,
                     strlen(body), body);
    if (send(c->fd, out, (size_t)n, MSG_NOSIGNAL) != n)
        drop(c);
}

static void reply_result(struct connection *c, const char *result) {
    char body[768];
    (void)snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}", c->id, result);
    reply(c, "200 OK", body);
}

static void note(const struct connection *c, int64_t own_ns) {
    const char *dash = strrchr(c->nonce, '-');
    n_calls++;
    if (dash && n_noted < CALLS_MAX)
        noted[n_noted++] = (struct noted){strtoull(dash + 1, NULL, 10), own_ns};
}

static void answer_call(struct connection *c) {
    char result[256];
    (void)snprintf(result, sizeof result, "{\"content\":[{\"type\":\"text\",\"text\":\"%s\"}]}", c->nonce);
    c->due = 0;
    note(c, now_ns() - c->read_at);
    reply_result(c, result);
}

/* Answers what is due, and sets the timer for what is due next. */
static void answer_due(void) {
    int64_t next = 0;
    int64_t now = now_ns();
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &connections[i];
        if (c->due && c->due <= now)
            answer_call(c);
        if (c->due && (!next || c->due < next))
            next = c->due;
    }
    struct itimerspec at = {.it_value = {next / 1000000000, next % 1000000000}};
    (void)timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* ------------------------------------------------------------------ requests */

/* What stands behind "NAME": up to its end; quotes stay when kept. */
static void value_of(const char *body, const char *name, bool quotes, char out[TEXT_MAX]) {
    char key[32];
    (void)snprintf(key, sizeof key, "\"%s\":", name);
    const char *p = strstr(body, key);
    out[0] = 0;
    if (!p)
        return;
    p += strlen(key);
    size_t n = *p == '"' ? strcspn(p + 1, "\"") + 2 : strcspn(p, ",}");
    if (*p == '"' && !quotes) {
        p++;
        n -= 2;
    }
    (void)snprintf(out, TEXT_MAX, "%.*s", (int)(n < TEXT_MAX ? n : TEXT_MAX - 1), p);
}

static void take_call(struct connection *c, const char *body, int64_t at) {
    char delay[TEXT_MAX];
    value_of(body, "nonce", false, c->nonce);
    value_of(body, "delay_us", false, delay);
    c->read_at = at;
    c->due = at + strtoll(delay, NULL, 10) * 1000;
}

static void take_request(struct connection *c, const char *body, int64_t at) {
    value_of(body, "id", true, c->id);
    if (strncmp(c->in, "POST ", 5) != 0)
        reply(c, strncmp(c->in, "DELETE ", 7) == 0 ? "200 OK" : "405 Method Not Allowed", "");
    else if (strstr(body, "\"tools/call\""))
        take_call(c, body, at);
    else if (strstr(body, "\"initialize\""))
        reply_result(c, "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{"
                        "\"name\":\"precision\",\"version\":\"1\"}}");
    else if (strstr(body, "\"tools/list\""))
        reply_result(c, "{\"tools\":[{\"name\":\"wait\",\"inputSchema\":{\"type\":\"object\"}}]}");
    else
        reply(c, "202 Accepted", "");
}

/* Length of the whole request at the start of the buffer; 0: it is not all there. */
static size_t request_length(const struct connection *c, const char **ret_body) {
    const char *end = strstr(c->in, "\r\n\r\n");
    const char *length = end ? strcasestr(c->in, "content-length:") : NULL;
    if (!end)
        return 0;
    size_t body = length && length < end ? strtoul(length + 15, NULL, 10) : 0;
    size_t all = (size_t)(end + 4 - c->in) + body;
    *ret_body = end + 4;
    return all <= c->len ? all : 0;
}

static void on_readable(struct connection *c) {
    const char *body;
    ssize_t n = recv(c->fd, c->in + c->len, REQUEST_MAX - c->len, 0);
    int64_t at = now_ns();
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            drop(c);
        return;
    }
    c->len += (size_t)n;
    c->in[c->len] = 0;
    size_t all = request_length(c, &body);
    if (!all) {
        if (c->len == REQUEST_MAX)
            drop(c);
        return;
    }
    c->len = 0; /* no client of ours sends the next request before the answer */
    take_request(c, body, at);
}

/* ------------------------------------------------------------------ life */

static void on_connection(int listener) {
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (fd >= CONNECTIONS_MAX) {
        (void)close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connections[fd] = (struct connection){.fd = fd};
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
}

static int listen_on_loopback(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 512) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) < 0)
        return -1;
    (void)printf("%d\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    return fd;
}

static int write_log(const char *path) {
    FILE *f = fopen(path, "we");
    if (!f)
        return 1;
    for (size_t i = 0; i < n_noted; i++)
        (void)fprintf(f, "%" PRIu64 " %" PRId64 "\n", noted[i].number, noted[i].own_ns);
    (void)fprintf(f, "total %zu\n", n_calls);
    return fclose(f) == 0 ? 0 : 1;
}

static void serve(int listener) {
    struct epoll_event events[64];
    while (!ending) {
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            uint64_t count;
            if (fd == listener)
                on_connection(listener);
            else if (fd == timer)
                (void)!read(timer, &count, sizeof count);
            else
                on_readable(&connections[fd]);
        }
        answer_due();
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        (void)fprintf(stderr, "usage: precision-server LOG\n");
        return 2;
    }
    struct sigaction act = {.sa_handler = on_signal};
    (void)sigaction(SIGTERM, &act, NULL);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int listener = listen_on_loopback();
    if (epoll < 0 || timer < 0 || listener < 0) {
        perror("precision-server");
        return 1;
    }
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, listener,
                    &(struct epoll_event){.events = EPOLLIN, .data.fd = listener});
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &(struct epoll_event){.events = EPOLLIN, .data.fd = timer});
    serve(listener);
    return write_log(argv[1]);
}
