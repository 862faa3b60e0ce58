/* rig: one source over HTTP against fake.h, driven by hand in one thread, so that a test may look into it and
 * shorten its times. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"
#include "caught.h"
#include "fake.h"
#include "kube/kube_priv.h"

#define PHASE(x) PILOTGATE__PHASE__KIND__KIND_##x
#define META(name, uid, rv) \
    "\"metadata\":{\"name\":\"" name "\",\"uid\":\"" uid "\",\"resourceVersion\":\"" rv "\"}"
#define POD(name, uid, rv) "{" META(name, uid, rv) "}"
#define LIST(rv, more, items) \
    "{\"metadata\":{\"resourceVersion\":\"" rv "\",\"continue\":\"" more "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define BOOKMARK(rv) EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"" rv "\"}}")
#define LIST_END(rv)                                             \
    EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"" rv \
                      "\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}")
#define EXPIRED "{\"kind\":\"Status\",\"code\":410,\"message\":\"too old resource version\"}"
#define HOLD .status = 200, .end = FAKE_HOLD

#define BEGIN(steps, name) begin(steps, sizeof(steps) / sizeof *(steps), name)

extern struct caught caught;
extern struct fake *fake;
extern struct kube_http http;
extern struct kube_source source;

typedef bool condition(const void *arg);

/* The source of that name, of an API server at url. */
void open_source(const char *name, const char *url);
/* The same, of a fake with these steps, without TLS. */
void begin(const struct fake_step *steps, size_t n, const char *name);
int tear_down(void **state);
/* Once round the loop of kube.c. */
void turn(void);
/* Fails the test when it does not come to be within 30 s. */
void turn_until(condition *holds, const void *arg);
/* Conditions: so many requests (size_t) came; the watch is open and current; a reason; a pod was told. */
bool was_asked(const void *n);
bool is_current(const void *arg);
bool is_not_ok(const void *words);
bool has_created(const void *subject);
/* The nth request contains the words. */
void asked(size_t nth, const char *words);
/* timeoutSeconds of the nth request. */
unsigned seconds_asked(size_t nth);
/* Of a body of two heads, that many bytes of fill over and over, and a tail. */
size_t make_parts(uint64_t pos, char *out, size_t max, const char *const heads[2], size_t bytes,
                  const char *fill, const char *tail);
