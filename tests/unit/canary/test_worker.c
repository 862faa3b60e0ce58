/* Arcade's interface: tokens, catalogue, calls. */
#include "check.h"

#include <errno.h>

#include "canary/worker.h"

#define NOW (1800000000 * WHEN_S)
#define SECRET "a worker secret"
#define HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS "{\"aud\":\"worker\",\"ver\":\"1\",\"exp\":1800000060,\"nbf\":1799999940}"

static const struct tool_identity who = {.host = "h", .start = "0123456789abcdef", .pid = 7};
static struct tools *tools;
static struct worker *worker, *closed;
static struct reply reply;
static json_t *body;

static int set_up(void **state) {
    char path[64];
    struct err e;
    (void)state;
    if (sodium_init() < 0 || tools_open(NULL, NULL, NULL, &tools, &e))
        return -1;
    write_temp(path, SECRET "\n");
    int rc = worker_new(path, tools, &who, &worker, &e);
    unlink(path);
    return rc ? rc : worker_new(NULL, tools, &who, &closed, &e);
}

static int tear_down(void **state) {
    (void)state;
    reply_free(&reply);
    json_decref(body);
    worker_free(&worker);
    worker_free(&closed);
    tools_close(&tools);
    return 0;
}

static size_t add_part(char *at, const void *data, size_t len) {
    sodium_bin2base64(at, 1024, data, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return strlen(at);
}

/* A token as the engine makes it; lives until the next one. */
static char *token(const char *secret, const char *header, const char *claims) {
    static char text[4096];
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state s;
    size_t n = add_part(text, header, strlen(header));
    text[n++] = '.';
    n += add_part(text + n, claims, strlen(claims));
    crypto_auth_hmacsha256_init(&s, (const unsigned char *)secret, strlen(secret));
    crypto_auth_hmacsha256_update(&s, (const unsigned char *)text, n);
    crypto_auth_hmacsha256_final(&s, mac);
    text[n++] = '.';
    add_part(text + n, mac, sizeof mac);
    return text;
}

/* RFC 7515, appendix A.1: the signature of a published example, under its published key. */
static void known_signature(void **state) {
    char path[64];
    struct err e;
    struct worker *w;
    unsigned char key[64];
    size_t n;
    assert_int_equal(
        sodium_base642bin(key, sizeof key,
                          "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZ"
                          "r1Z9CAow",
                          86, NULL, &n, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
        0);
    snprintf(path, sizeof path, "/tmp/canary-test-XXXXXX");
    int fd = mkstemp(path);
    assert_int_equal(write(fd, key, n), (ssize_t)n);
    close(fd);
    assert_int_equal(worker_new(path, tools, &who, &w, &e), 0);
    unlink(path);
    assert_int_equal(
        worker_check_token(w,
                           "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4"
                           "MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K"
                           "27uhbUJU1p1r_wW1gFWFOEjXk",
                           NOW, &e),
        -EACCES);
    assert_non_null(strstr(e.text, "aud")); /* the signature was right; the claims are not for a worker */
    worker_free(&w);
    (void)state;
}

static void good_tokens(void **state) {
    struct err e;
    assert_int_equal(worker_check_token(worker, token(SECRET, HS256, CLAIMS), NOW, &e), 0);
    assert_int_equal(worker_check_token(
                         worker, token(SECRET, HS256, "{\"aud\":[\"x\",\"worker\"],\"ver\":\"1\"}"), NOW, &e),
                     0);
    (void)state;
}

static void bad_tokens(void **state) {
    struct err e;
    static const struct {
        const char *secret, *header, *claims;
    } cases[] = {{"another secret", HS256, CLAIMS},
                 {SECRET, "{\"alg\":\"none\"}", CLAIMS},
                 {SECRET, "{\"alg\":\"HS512\"}", CLAIMS},
                 {SECRET, "[]", CLAIMS},
                 {SECRET, HS256, "{}"},
                 {SECRET, HS256, "7"},
                 {SECRET, HS256, "not json"},
                 {SECRET, HS256, "{\"aud\":\"worker\"}"},
                 {SECRET, HS256, "{\"aud\":\"worker\",\"ver\":1}"},
                 {SECRET, HS256, "{\"aud\":\"workers\",\"ver\":\"1\"}"},
                 {SECRET, HS256, "{\"aud\":[[]],\"ver\":\"1\"}"},
                 {SECRET, HS256, "{\"aud\":\"worker\",\"ver\":\"1\",\"exp\":\"9999999999\"}"},
                 {SECRET, HS256, "{\"aud\":\"worker\",\"ver\":\"1\",\"exp\":1800000000}"},
                 {SECRET, HS256, "{\"aud\":\"worker\",\"ver\":\"1\",\"nbf\":1800000001}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            worker_check_token(worker, token(cases[i].secret, cases[i].header, cases[i].claims), NOW, &e),
            -EACCES);
    static const char *const texts[] = {"", ".", "..", "a.b", "a.b.c", "eyJhbGciOiJub25lIn0.e30."};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(worker_check_token(worker, texts[i], NOW, &e), -EACCES);
    char *t = token(SECRET, HS256, CLAIMS);
    t[strlen(HS256) + 20] ^= 1;
    assert_int_equal(worker_check_token(worker, t, NOW, &e), -EACCES);
    assert_int_equal(worker_check_token(closed, token("", HS256, CLAIMS), NOW, &e), -EACCES);
    assert_non_null(strstr(e.text, "--worker-secret-file"));
    (void)state;
}

static void request(struct worker *w, const char *method, const char *path, bool signed_in,
                    const char *text) {
    char authorization[4200];
    snprintf(authorization, sizeof authorization, "Bearer %s", token(SECRET, HS256, CLAIMS));
    struct worker_request q = {.http_method = method,
                               .path = path,
                               .authorization = signed_in ? authorization : NULL,
                               .body = text,
                               .len = strlen(text),
                               .wall_ns = NOW};
    reply_free(&reply);
    json_decref(body);
    worker_handle(w, &q, &reply);
    uint32_t executions = reply.executes && *reply.call.nonce ? 2 : 0;
    reply_finish(&reply, &(struct reply_end){NOW, NOW + 1500 * WHEN_MS, executions});
    body = parse(reply.body);
}

static void paths(void **state) {
    request(closed, "GET", "/health", false, "");
    assert_int_equal(reply.status, 200);
    assert_string_equal(js_str(body, "status", ""), "ok");
    assert_string_equal(js_str(body, "tool_count", ""), "4");
    request(worker, "GET", "/tools", false, "");
    assert_int_equal(reply.status, 401);
    request(closed, "GET", "/tools", true, "");
    assert_int_equal(reply.status, 401);
    request(worker, "GET", "/tools", true, "");
    assert_int_equal(reply.status, 200);
    assert_int_equal(json_array_size(body), 4);
    assert_string_equal(js_str(body, "1.fully_qualified_name", ""), "Canary.Hold");
    request(worker, "POST", "/tools", true, "");
    assert_int_equal(reply.status, 405);
    request(worker, "GET", "/nothing", true, "");
    assert_int_equal(reply.status, 404);
    request(worker, "POST", "/tools/invoke", false, "{}");
    assert_int_equal(reply.status, 401);
    (void)state;
}

static void invokes(void **state) {
    request(worker, "POST", "/tools/invoke", true,
            "{\"execution_id\":\"e1\",\"tool\":{\"name\":\"Hold\",\"toolkit\":\"Canary\",\"version\":null},"
            "\"inputs\":{\"seconds\":1.5,\"nonce\":\"n1\"},\"context\":{}}");
    assert_int_equal(reply.status, 200);
    assert_true(reply.executes && reply.call.seconds == 1.5);
    assert_true(js_bool(body, "success", false));
    assert_string_equal(js_str(body, "execution_id", ""), "e1");
    assert_string_equal(js_str(body, "output.value", ""), "held 1.5 s n1");
    assert_int_equal(js_int(body, "duration", 0), 1500);
    assert_int_equal(js_int(body, "executions", 0), 2);
    assert_string_equal(js_str(body, "finished_at", ""), "2027-01-15T08:00:01.500000Z");
    request(worker, "POST", "/tools/invoke", true,
            "{\"tool\":{\"name\":\"Hold\",\"toolkit\":\"Canary\"},\"inputs\":null}");
    assert_int_equal(reply.status, 200);
    assert_false(reply.executes);
    assert_false(js_bool(body, "success", true));
    assert_null(js_at(body, "executions"));
    assert_string_equal(js_str(body, "output.error.kind", ""), "TOOL_RUNTIME_BAD_INPUT_VALUE");
    static const struct {
        const char *text;
        int status;
    } cases[] = {{"", 400},
                 {"[]", 404},
                 {"{\"tool\":\"Hold\"}", 404},
                 {"{\"tool\":{\"name\":\"Hold\",\"toolkit\":\"Other\"}}", 404},
                 {"{\"tool\":{\"name\":\"Nope\",\"toolkit\":\"Canary\"}}", 404},
                 {"{\"tool\":{\"name\":\"Hold\",\"toolkit\":\"Canary\"},\"inputs\":[]}", 400}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        request(worker, "POST", "/tools/invoke", true, cases[i].text);
        assert_int_equal(reply.status, cases[i].status);
        assert_false(reply.executes);
    }
    (void)state;
}

static void secret_files(void **state) {
    struct worker *w = NULL;
    struct err e;
    char path[64];
    assert_int_equal(worker_new("/nonexistent/secret", tools, &who, &w, &e), -EINVAL);
    write_temp(path, "\n");
    assert_int_equal(worker_new(path, tools, &who, &w, &e), -EINVAL);
    unlink(path);
    assert_null(w);
    (void)state;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_signature), cmocka_unit_test(good_tokens),
                                       cmocka_unit_test(bad_tokens),      cmocka_unit_test(paths),
                                       cmocka_unit_test(invokes),         cmocka_unit_test(secret_files)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
