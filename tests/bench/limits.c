/* limits: what SQLite and libzmq do alone on this machine, for tests/bench/run to set ours beside. Each
 * prints one number.
 *
 * usage: bench-limits rows keyed|plain FILE SECONDS
 *            row-per-call inserts/s: WAL, synchronous=FULL, 10,000 a transaction; keyed by (stream, number),
 * as one must be to find a duplicate, or without any key bench-limits blocks FILE SECONDS BLOCK inserts/s of
 * the bytes in BLOCK: the same durability, 1 MiB a transaction bench-limits fsync FILE median of 64 appends
 * of 4 KiB with fdatasync, in us bench-limits curve SECONDS BYTES messages/s of so many bytes, DEALER to
 * ROUTER, CURVE, two threads
 *
 * FILE is made, and removed at the end with what SQLite makes beside it. Tables and pragmas favour the limit:
 * nothing else is in the transaction, nothing is checked. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "base/when.h"
#include "wire/curve.h"

#define ROWS_A_TRANSACTION 10000
#define BYTES_A_TRANSACTION (1u << 20)
#define BLOCK_MAX (256u << 10)
#define FSYNCS 64
#define PER_SECOND 50
#define IN_FLIGHT 1000 /* messages that wait at each side, as the collector's socket has it for its peers */

static int fail(const char *what, const char *why) {
    (void)fprintf(stderr, "bench-limits: %s: %s\n", what, why);
    return 2;
}

/* ------------------------------------------------------------------ SQLite */

static sqlite3 *open_fresh(const char *path, const char *table) {
    sqlite3 *db = NULL;
    (void)unlink(path);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", NULL, NULL, NULL) !=
            SQLITE_OK ||
        sqlite3_exec(db, table, NULL, NULL, NULL) != SQLITE_OK) {
        (void)fail(path, sqlite3_errmsg(db));
        exit(2);
    }
    return db;
}

static void close_and_remove(sqlite3 *db, const char *path) {
    char beside[4096];
    (void)sqlite3_close(db);
    (void)unlink(path);
    (void)snprintf(beside, sizeof beside, "%s-wal", path);
    (void)unlink(beside);
    (void)snprintf(beside, sizeof beside, "%s-shm", path);
    (void)unlink(beside);
}

/* Inserts for so many seconds, `each` a transaction; binds by fn. Inserts/s, counted at commits. */
static double insert_for(sqlite3 *db, const char *sql, double seconds, long each,
                         void (*bind)(sqlite3_stmt *, long, const void *), const void *ctx) {
    sqlite3_stmt *st = NULL;
    long done = 0;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
        return -1;
    int64_t began = when_mono_ns(), now = began;
    while ((double)(now - began) < seconds * 1e9) {
        int r = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        for (long i = 0; i < each && r == SQLITE_OK; i++) {
            bind(st, done + i, ctx);
            r = sqlite3_step(st) == SQLITE_DONE ? sqlite3_reset(st) : SQLITE_ERROR;
        }
        if (r != SQLITE_OK || sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
            sqlite3_finalize(st);
            return -1;
        }
        done += each;
        now = when_mono_ns();
    }
    sqlite3_finalize(st);
    return (double)done / ((double)(now - began) / 1e9);
}

static void bind_call(sqlite3_stmt *st, long i, const void *ctx) {
    (void)ctx;
    (void)sqlite3_bind_int64(st, 1, i & 3);                            /* stream */
    (void)sqlite3_bind_int64(st, 2, i);                                /* number */
    (void)sqlite3_bind_int64(st, 3, i & 3);                            /* probe */
    (void)sqlite3_bind_int64(st, 4, 1795000000000000000ll + i * 1000); /* start */
    (void)sqlite3_bind_int64(st, 5, 8000 + (i * 7919) % 40000);        /* duration */
    (void)sqlite3_bind_int64(st, 6, 1);                                /* outcome */
    (void)sqlite3_bind_int64(st, 7, 1 + (i & 3));                      /* connection */
    (void)sqlite3_bind_int64(st, 8, 1);                                /* flags */
}

static const char *table_of_calls(const char *which) {
    return strcmp(which, "keyed") == 0
               ? "CREATE TABLE call(stream INTEGER, number INTEGER, probe INTEGER, start INTEGER, duration "
                 "INTEGER, "
                 "outcome INTEGER, connection INTEGER, flags INTEGER, PRIMARY KEY(stream, number)) WITHOUT "
                 "ROWID"
               : "CREATE TABLE call(stream, number, probe, start, duration, outcome, connection, flags)";
}

static int run_rows(const char *which, const char *path, double seconds) {
    sqlite3 *db = open_fresh(path, table_of_calls(which));
    double rate = insert_for(db, "INSERT INTO call VALUES(?, ?, ?, ?, ?, ?, ?, ?)", seconds,
                             ROWS_A_TRANSACTION, bind_call, NULL);
    int r = rate < 0 ? fail(path, sqlite3_errmsg(db)) : 0;
    close_and_remove(db, path);
    (void)printf("%.1f\n", rate);
    return r;
}

struct block {
    size_t len;
    uint8_t data[BLOCK_MAX];
};

static void bind_block(sqlite3_stmt *st, long i, const void *ctx) {
    const struct block *b = ctx;
    (void)sqlite3_bind_int64(st, 1, i & 3);
    (void)sqlite3_bind_int64(st, 2, i >> 2);
    (void)sqlite3_bind_blob64(st, 3, b->data, b->len, SQLITE_STATIC);
}

static int read_block(const char *path, struct block *b) {
    FILE *f = fopen(path, "r");
    if (!f)
        return fail(path, strerror(errno));
    b->len = fread(b->data, 1, sizeof b->data, f);
    (void)fclose(f);
    return b->len ? 0 : fail(path, "is empty");
}

static int run_blocks(const char *path, double seconds, const char *block) {
    static struct block b;
    int r = read_block(block, &b);
    if (r)
        return r;
    sqlite3 *db = open_fresh(path, "CREATE TABLE block(stream INTEGER, seq INTEGER, payload BLOB)");
    long each = (long)(BYTES_A_TRANSACTION / b.len) + 1;
    double rate = insert_for(db, "INSERT INTO block VALUES(?, ?, ?)", seconds, each, bind_block, &b);
    r = rate < 0 ? fail(path, sqlite3_errmsg(db)) : 0;
    close_and_remove(db, path);
    (void)printf("%.1f\n", rate);
    return r;
}

/* ------------------------------------------------------------------ fsync */

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double quantile_us(int64_t *ns, size_t n, double q) {
    qsort(ns, n, sizeof *ns, by_value);
    return (double)ns[(size_t)((double)(n - 1) * q)] / 1e3;
}

/* Appends n times, `apart` ns after one another. */
static int append(const char *path, size_t n, int64_t apart, int64_t *ret_took, int64_t *ret_late) {
    static const char page[4096];
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(path, strerror(errno));
    for (size_t i = 0; i < n; i++) {
        int64_t before = when_mono_ns();
        struct timespec rest = {.tv_nsec = apart};
        if (apart)
            (void)nanosleep(&rest, NULL);
        int64_t began = when_mono_ns();
        if (write(fd, page, sizeof page) != (ssize_t)sizeof page || fdatasync(fd) < 0)
            return fail(path, strerror(errno));
        ret_took[i] = when_mono_ns() - began;
        ret_late[i] = began - before - apart;
    }
    (void)close(fd);
    (void)unlink(path);
    return 0;
}

static int run_fsync(const char *path) {
    int64_t took[FSYNCS], late[FSYNCS];
    int r = append(path, FSYNCS, 0, took, late);
    if (r == 0)
        (void)printf("%.1f\n", quantile_us(took, FSYNCS, 0.5));
    return r;
}

static int run_meanwhile(const char *path, double seconds) {
    size_t n = (size_t)(seconds * PER_SECOND) + 1;
    int64_t *took = calloc(n, sizeof *took), *late = calloc(n, sizeof *late);
    int r = took && late ? append(path, n, WHEN_S / PER_SECOND, took, late) : fail(path, "out of memory");
    if (r == 0)
        (void)printf("%.1f %.1f %.1f\n", quantile_us(took, n, 0.5), quantile_us(took, n, 0.99),
                     quantile_us(late, n, 0.99));
    free(took);
    free(late);
    return r;
}

/* ------------------------------------------------------------------ CURVE */

struct sender {
    char endpoint[256];
    struct curve_key server;
    size_t bytes;
    _Atomic int over;
};

/* A context of its own: one I/O thread for each side, as two processes have. */
static void *send_all(void *arg) {
    struct sender *s = arg;
    struct curve_key own;
    struct err e;
    void *zmq = zmq_ctx_new(), *socket = zmq_socket(zmq, ZMQ_DEALER);
    int wait_ms = 200, hwm = IN_FLIGHT;
    char *data = calloc(1, s->bytes);
    if (socket && data && curve_generate(&own, &e) == 0 &&
        curve_setup_agent(socket, &own, s->server.public_z85, NULL, &e) == 0) {
        (void)zmq_setsockopt(socket, ZMQ_SNDTIMEO, &wait_ms, sizeof wait_ms);
        (void)zmq_setsockopt(socket, ZMQ_SNDHWM, &hwm, sizeof hwm);
        (void)zmq_connect(socket, s->endpoint);
        while (!s->over)
            (void)zmq_send(socket, data, s->bytes, 0);
    }
    free(data);
    (void)zmq_close(socket);
    (void)zmq_ctx_term(zmq);
    return NULL;
}

/* Messages/s from a second after the first one. */
static double count_messages(void *router, double seconds) {
    int64_t first = 0, from = 0, now = 0;
    long n = 0;
    while (!from || (double)(now - from) < seconds * 1e9) {
        zmq_msg_t m;
        (void)zmq_msg_init(&m);
        int r = zmq_msg_recv(&m, router, 0);
        bool more = zmq_msg_more(&m);
        (void)zmq_msg_close(&m);
        if (r < 0)
            return -1;
        if (more) /* the routing id */
            continue;
        now = when_mono_ns();
        first = first ? first : now;
        if (!from && now - first > WHEN_S)
            from = now;
        n += from != 0;
    }
    return (double)n / ((double)(now - from) / 1e9);
}

static int run_curve(double seconds, size_t bytes) {
    struct sender s = {.bytes = bytes};
    struct err e = {""};
    pthread_t thread;
    size_t size = sizeof s.endpoint;
    int wait_ms = 10000, hwm = IN_FLIGHT;
    void *zmq = zmq_ctx_new(), *router = zmq_socket(zmq, ZMQ_ROUTER);
    if (!router || curve_generate(&s.server, &e) < 0 || curve_setup_collector(router, &s.server, &e) < 0)
        return fail("curve", e.text);
    (void)zmq_setsockopt(router, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    (void)zmq_setsockopt(router, ZMQ_RCVHWM, &hwm, sizeof hwm);
    if (zmq_bind(router, "tcp://127.0.0.1:*") < 0 ||
        zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, s.endpoint, &size) < 0 ||
        pthread_create(&thread, NULL, send_all, &s) != 0)
        return fail("curve", zmq_strerror(errno));
    double rate = count_messages(router, seconds);
    s.over = 1;
    (void)pthread_join(thread, NULL);
    (void)zmq_close(router);
    (void)zmq_ctx_term(zmq);
    (void)printf("%.1f\n", rate);
    return rate < 0 ? fail("curve", "nothing came") : 0;
}

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "rows") == 0)
        return run_rows(argv[2], argv[3], atof(argv[4]));
    if (argc == 5 && strcmp(argv[1], "blocks") == 0)
        return run_blocks(argv[2], atof(argv[3]), argv[4]);
    if (argc == 3 && strcmp(argv[1], "fsync") == 0)
        return run_fsync(argv[2]);
    if (argc == 4 && strcmp(argv[1], "meanwhile") == 0 && atof(argv[3]) > 0)
        return run_meanwhile(argv[2], atof(argv[3]));
    if (argc == 4 && strcmp(argv[1], "curve") == 0 && atol(argv[3]) > 0)
        return run_curve(atof(argv[2]), (size_t)atol(argv[3]));
    return fail("usage", "rows keyed|plain FILE SECONDS | blocks FILE SECONDS BLOCK | fsync FILE | "
                         "meanwhile FILE SECONDS | curve SECONDS BYTES");
}
