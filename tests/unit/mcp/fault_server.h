/* fault_server: a scripted fault-maker for the tests of the prober. A real HTTP server (libmicrohttpd)
 * on a loopback port that speaks just enough MCP to be called, and fails calls in one chosen way. It
 * stands for what a gateway does while it is changed; it is no model of any product. Thread-safe. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#define FAULT_NONCES_MAX 4096

enum fault {
    FAULT_NONE,         /* the expected answer, as JSON */
    FAULT_SSE,          /* the same in an event stream, after a notification and a request */
    FAULT_SSE_OPEN,     /* the same, and the stream stays open */
    FAULT_SSE_ENDED,    /* a notification, then an orderly end */
    FAULT_SSE_CUT,      /* a notification, then the connection closes inside the chunked body */
    FAULT_CLOSE,        /* closes without a byte */
    FAULT_CLOSE_REUSED, /* the same from the second call of a connection on */
    FAULT_RST,          /* resets without a byte */
    FAULT_TRUNCATED,    /* half a JSON answer */
    FAULT_429,
    FAULT_503,
    FAULT_401,
    FAULT_IS_ERROR,      /* isError with the expected text */
    FAULT_IS_ERROR_TEXT, /* the same, but isError is a text */
    FAULT_OTHER_NONCE,
    FAULT_RPC_ERROR,
    FAULT_GARBAGE, /* 200 that is no JSON */
    FAULT_WRONG_ID,
    FAULT_EMPTY,  /* 202 to a call */
    FAULT_FORGET, /* the server has forgotten every session: 404 until the next initialize */
    FAULT_HUGE,   /* three MiB of an answer, and the connection stays open */
    FAULT_TWICE,  /* the expected answer, which says that it was executed twice */
    FAULT_LATE,   /* the expected answer, after hold_ms */
};

struct fault_server {
    void *daemon;
    int port;
    char url[64];      /* of the MCP endpoint */
    char document[64]; /* of a JSON document that holds `version` and a secret */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* script; change with fault_set or under the lock */
    enum fault fault;
    int hold_ms; /* each call takes so long */
    bool sessions;
    int tools;        /* version of the catalogue: 0 {echo, hold}, 1 {echo, hold, added} */
    bool broken_list; /* tools/list fails with 503 */
    /* seen */
    int initializes, lists, deletes, calls, open, most_open, bad;
    int session; /* number of the living session, 0: none */
    char nonces[FAULT_NONCES_MAX][40];
    char bearer[64]; /* of the newest request */
    bool ending;
    int hung; /* the listening socket of fault_hang_new, 0: none */
};

void fault_start(struct fault_server *s);
void fault_stop(struct fault_server *s);
void fault_set(struct fault_server *s, enum fault fault, int hold_ms);
/* The value of a counter, read under the lock. */
int fault_get(struct fault_server *s, const int *counter);
/* True when the newest request carried this Authorization. */
bool fault_saw_bearer(struct fault_server *s, const char *value);
/* From now on new connections are refused; those that are open go on. */
void fault_stop_listening(struct fault_server *s);
/* From now on new connections are neither accepted nor refused: they hang, but for one or two. To be called
 * once. */
void fault_hang_new(struct fault_server *s);
/* How often a call with this nonce was executed. */
int fault_executions(struct fault_server *s, const char *nonce);
/* A loopback port on which nothing listens. */
int fault_free_port(void);
