/* fake: see fake.h. One thread a connection, so that held answers block nobody. */
#include "fake.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/conf.h"
#include "base/when.h"

#define REQUESTS_MAX 256

struct fake {
    struct MHD_Daemon *daemon;
    const struct fake_step *steps;
    size_t n;
    bool by_url, streams;
    bool used[REQUESTS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    struct fake_request requests[REQUESTS_MAX];
    size_t n_requests;
    char dir[64];
    char url[64];
    char ca[128], other_ca[128], token[128];
    char *key_pem, *cert_pem;
};

struct answer {
    struct fake *fake;
    const struct fake_step *step;
};

static size_t body_bytes(const struct fake_step *step, uint64_t pos, char *out, size_t max) {
    size_t piece = step->piece ? step->piece : 37;
    piece = piece < max ? piece : max;
    if (step->make)
        return step->make(pos, out, piece);
    size_t len = strlen(step->body);
    size_t n = pos >= len ? 0 : len - (size_t)pos < piece ? len - (size_t)pos : piece;
    memcpy(out, step->body + (n ? pos : 0), n);
    return n;
}

static ssize_t read_answer(void *ctx, uint64_t pos, char *out, size_t max) {
    struct answer *a = ctx;
    size_t n = body_bytes(a->step, pos, out, max);
    if (n > 0)
        return (ssize_t)n;
    if (a->step->end == FAKE_CUT)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    pthread_mutex_lock(&a->fake->lock);
    while (a->step->end == FAKE_HOLD && !a->fake->stopping)
        pthread_cond_wait(&a->fake->changed, &a->fake->lock);
    pthread_mutex_unlock(&a->fake->lock);
    return MHD_CONTENT_READER_END_OF_STREAM;
}

static enum MHD_Result add_argument(void *ctx, enum MHD_ValueKind kind, const char *key, const char *value) {
    char *url = ctx;
    (void)kind;
    snprintf(url + strlen(url), 1024 - strlen(url), "%c%s=%s", strchr(url, '?') ? '&' : '?', key,
             value ? value : "");
    return MHD_YES;
}

/* The first step, not yet used, that the request is meant for; the last when there is none. */
static const struct fake_step *find_step(struct fake *f, const char *url) {
    for (size_t i = 0; i < f->n; i++)
        if (!f->used[i] && (f->steps[i].whole ? strcmp(url, f->steps[i].expect) == 0
                                              : strstr(url, f->steps[i].expect) != NULL)) {
            f->used[i] = true;
            return &f->steps[i];
        }
    return &f->steps[f->n - 1];
}

static const struct fake_step *note(struct fake *f, struct MHD_Connection *c, const char *path) {
    pthread_mutex_lock(&f->lock);
    size_t i = f->n_requests < REQUESTS_MAX ? f->n_requests : REQUESTS_MAX - 1;
    const struct fake_step *step = &f->steps[i < f->n ? i : f->n - 1];
    struct fake_request *r = &f->requests[i];
    const char *authorization = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
    snprintf(r->url, sizeof r->url, "%s", path);
    (void)MHD_get_connection_values(c, MHD_GET_ARGUMENT_KIND, add_argument, r->url);
    snprintf(r->authorization, sizeof r->authorization, "%s", authorization ? authorization : "");
    r->mono_ns = when_mono_ns();
    if (f->by_url)
        step = find_step(f, r->url);
    r->expected = strstr(r->url, step->expect) != NULL;
    f->n_requests = i + 1;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return step;
}

/* As kube-apiserver before 1.34: validation of ListOptions. */
static enum MHD_Result refuse_stream(struct MHD_Connection *c) {
    static char words[] = "{\"kind\":\"Status\",\"code\":422,\"message\":\"sendInitialEvents: Forbidden\"}";
    struct MHD_Response *r = MHD_create_response_from_buffer(sizeof words - 1, words, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result q = MHD_queue_response(c, 422, r);
    MHD_destroy_response(r);
    return q;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *path, const char *method,
                                  const char *version, const char *upload, size_t *upload_size,
                                  void **state) {
    static int seen;
    (void)method;
    (void)version;
    (void)upload;
    (void)upload_size;
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    if (!((struct fake *)ctx)->streams &&
        MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "sendInitialEvents"))
        return refuse_stream(c);
    struct answer *a = malloc(sizeof *a);
    a->fake = ctx;
    a->step = note(ctx, c, path);
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 65536, read_answer, a, free);
    if (a->step->retry_after)
        (void)MHD_add_response_header(r, "Retry-After", a->step->retry_after);
    enum MHD_Result q = MHD_queue_response(c, (unsigned)a->step->status, r);
    MHD_destroy_response(r);
    return q;
}

static void make_certificate(const char *dir, const char *name) {
    char cmd[512];
    snprintf(cmd, sizeof cmd,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s/%s.key "
             "-out %s/%s.crt -days 2 -subj /CN=%s -addext subjectAltName=IP:127.0.0.1 2>/dev/null",
             dir, name, dir, name, name);
    assert_int_equal(system(cmd), 0);
}

static void make_files(struct fake *f) {
    char path[128];
    size_t len;
    snprintf(f->dir, sizeof f->dir, "/tmp/test-kube-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    make_certificate(f->dir, "server");
    make_certificate(f->dir, "other");
    snprintf(f->ca, sizeof f->ca, "%s/server.crt", f->dir);
    snprintf(f->other_ca, sizeof f->other_ca, "%s/other.crt", f->dir);
    snprintf(f->token, sizeof f->token, "%s/token", f->dir);
    snprintf(path, sizeof path, "%s/server.key", f->dir);
    assert_int_equal(conf_read_file(path, 65536, &f->key_pem, &len, NULL), 0);
    assert_int_equal(conf_read_file(f->ca, 65536, &f->cert_pem, &len, NULL), 0);
    fake_write_token(f, "token-1");
}

void fake_write_token(struct fake *f, const char *token) {
    FILE *to = fopen(f->token, "w");
    assert_non_null(to);
    fprintf(to, "%s\n", token);
    assert_int_equal(fclose(to), 0);
}

struct fake *fake_start(const struct fake_step *steps, size_t n, bool tls) {
    struct fake *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->steps = steps;
    f->n = n;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    make_files(f);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct MHD_OptionItem with_tls[] = {{MHD_OPTION_HTTPS_MEM_KEY, 0, f->key_pem},
                                        {MHD_OPTION_HTTPS_MEM_CERT, 0, f->cert_pem},
                                        {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem without[] = {{MHD_OPTION_END, 0, NULL}};
    f->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                                     (tls ? MHD_USE_TLS : 0),
                                 0, NULL, NULL, on_request, f, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at,
                                 MHD_OPTION_ARRAY, tls ? with_tls : without, MHD_OPTION_END);
    assert_non_null(f->daemon);
    snprintf(f->url, sizeof f->url, "http%s://127.0.0.1:%u", tls ? "s" : "",
             (unsigned)MHD_get_daemon_info(f->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    return f;
}

void fake_by_url(struct fake *f) {
    f->by_url = true;
}

void fake_streams(struct fake *f) {
    f->streams = true;
}

void fake_stop(struct fake **fp) {
    static const char *const names[] = {"server.key", "server.crt", "other.key", "other.crt", "token"};
    struct fake *f = *fp;
    *fp = NULL;
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    MHD_stop_daemon(f->daemon);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->dir);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f->key_pem);
    free(f->cert_pem);
    free(f);
}

const char *fake_url(const struct fake *f) {
    return f->url;
}

const char *fake_ca_file(const struct fake *f) {
    return f->ca;
}

const char *fake_other_ca_file(const struct fake *f) {
    return f->other_ca;
}

const char *fake_token_file(const struct fake *f) {
    return f->token;
}

bool fake_request(struct fake *f, size_t nth, struct fake_request *ret) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&f->lock);
    int r = 0;
    while (f->n_requests <= nth && r == 0)
        r = pthread_cond_timedwait(&f->changed, &f->lock, &until);
    bool came = f->n_requests > nth;
    if (came)
        *ret = f->requests[nth];
    pthread_mutex_unlock(&f->lock);
    return came;
}

size_t fake_requests(struct fake *f) {
    pthread_mutex_lock(&f->lock);
    size_t n = f->n_requests;
    pthread_mutex_unlock(&f->lock);
    return n;
}
