/* raw_server: a listener on loopback for tests that decide about every byte: each connection gets a thread
 * that runs the test's function. It stands for what no real server can be made to send. Thread-safe. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define RAW_CONNECTIONS_MAX 512
#define RAW_REQUEST_MAX 65536

struct raw_server {
    int listener, port;
    char url[64];
    void (*serve)(struct raw_server *s, int fd); /* the server closes fd afterwards */
    void *ctx;
    pthread_t acceptor;
    pthread_t threads[RAW_CONNECTIONS_MAX];
    size_t n; /* connections so far */
    pthread_mutex_t lock;
    bool ending;
    int requests; /* that raw_request read */
};

void raw_start(struct raw_server *s, void (*serve)(struct raw_server *s, int fd), void *ctx);
/* Connections are shut down; the serving functions must return then. */
void raw_stop(struct raw_server *s);

/* Reads one HTTP/1.1 request with its body, as far as it fits, as text. False: there is none. */
bool raw_request(struct raw_server *s, int fd, char out[RAW_REQUEST_MAX]);
/* The JSON-RPC id of a request, "" when it has none. */
void raw_id(const char *request, char out[64]);
bool raw_send(int fd, const char *bytes, size_t len);
bool raw_say(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One result for the request, as JSON-RPC. */
void raw_result(const char *request, char *out, size_t size);
/* The next close sends RST. */
void raw_reset(int fd);
/* Waits until the peer closes, at most so long. */
void raw_wait_closed(int fd, int ms);
