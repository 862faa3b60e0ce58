/* worker: Arcade's interface of a self-hosted server (arcade-serve): GET /worker/health, GET
 * /worker/tools, POST /worker/tools/invoke. All but health need a bearer token: a JWT, HS256 with the
 * worker secret, aud "worker", ver "1", inside its exp and nbf. Without a secret they are refused.
 * No I/O after worker_new; one thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "canary/reply.h"

#define WORKER_BODY_MAX (1u << 20)
#define WORKER_SECRET_MAX 4096
#define WORKER_TOKEN_MAX 8192

struct worker; /* opaque */

struct worker_request {
    const char *http_method;
    const char *path;          /* after "/worker" */
    const char *authorization; /* header, or NULL */
    const char *tools;         /* of the tools header, or NULL */
    const char *body;
    size_t len;
    int64_t wall_ns, mono_ns;
};

/* secret_file: NULL for none; a newline at its end is cut. tools and who are borrowed. */
int worker_new(const char *secret_file, struct tools *tools, const struct tool_identity *who,
               struct worker **ret, struct err *e) MUST_CHECK;
void worker_free(struct worker **w);

/* *ret is zeroed by the caller and freed by it. */
void worker_handle(struct worker *w, const struct worker_request *q, struct reply *ret);

/* 0 when the token (without "Bearer ") is valid at the time; else -EACCES with the reason. */
int worker_check_token(const struct worker *w, const char *token, int64_t wall_ns, struct err *e) MUST_CHECK;
