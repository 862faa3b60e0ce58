/* fake: an HTTPS server on loopback that answers requests one after the other by a script, for the faults
 * that a real API server does not show on demand. Not a model of Kubernetes: real API servers are used by
 * the integration tests. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fake_end {
    FAKE_COMPLETE, /* the body, in order */
    FAKE_CUT,      /* the body, then the connection is cut without the last chunk */
    FAKE_HOLD,     /* the body, then open until the server stops */
};

struct fake_step {
    const char *expect; /* the URL with its arguments must contain this */
    int status;
    const char *body;
    enum fake_end end;
    const char *retry_after; /* header, NULL: none */
    bool whole;              /* by URL: expect is the whole of it, not a part */
    size_t piece;            /* bytes sent at once; 0: few, so that lines arrive cut */
    /* Instead of body: writes at most max bytes of the body from pos, returns how many; 0: its end. */
    size_t (*make)(uint64_t pos, char *out, size_t max);
};

struct fake;

/* The last step answers every further request. Fails the test when it cannot start. */
struct fake *fake_start(const struct fake_step *steps, size_t n, bool tls);
/* Before the first request: each request takes the first unused step whose text is in it, so that several
 * sources can ask at once. */
void fake_by_url(struct fake *f);
/* Before the first request: requests for a streaming list are steps, too. Without it they are refused, as an
 * API server before 1.34 does, and are no requests of the script. */
void fake_streams(struct fake *f);
void fake_stop(struct fake **f);

const char *fake_url(const struct fake *f);
const char *fake_ca_file(const struct fake *f);       /* trusts the server */
const char *fake_other_ca_file(const struct fake *f); /* does not */
const char *fake_token_file(const struct fake *f);    /* holds "token-1" */
void fake_write_token(struct fake *f, const char *token);

struct fake_request {
    char url[1024];
    char authorization[128];
    int64_t mono_ns;
    bool expected; /* the step's text was in it */
};
/* Waits for the nth request (0..), at most 20 s. False: it did not come. */
bool fake_request(struct fake *f, size_t nth, struct fake_request *ret);
size_t fake_requests(struct fake *f);
