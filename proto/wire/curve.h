/* curve: CURVE keys on disk, and the socket settings of both sides.
 *
 * Key file, written by `pilotgate keygen`, mode 0600, text:
 *     # pilotgate CURVE key
 *     public: <40 characters Z85>
 *     secret: <40 characters Z85>
 * A public file has the first two lines only; the collector's may have several `public:` lines. Z85: ZeroMQ
 * RFC 32; CURVE: RFC 25 and 26, zmq_curve(7).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define CURVE_Z85_MAX 41

struct curve_key {
    char public_z85[CURVE_Z85_MAX];
    char secret_z85[CURVE_Z85_MAX]; /* "" when only the public half is known */
};

int curve_generate(struct curve_key *ret, struct err *e) MUST_CHECK;

/* Never overwrites (-EEXIST); write, fsync, rename. with_secret: mode 0600, else 0644. */
int curve_save(const char *path, const struct curve_key *k, bool with_secret, struct err *e) MUST_CHECK;

/* need_secret: -EINVAL when the file holds only the public half. */
int curve_load(const char *path, bool need_secret, struct curve_key *ret, struct err *e) MUST_CHECK;

/* The collector's public keys: a file with one or several `public:` lines, in the order of the file, while
 * the collector's key is being changed. *ret_n is 1 .. CURVE_SERVER_KEYS_MAX. */
#define CURVE_SERVER_KEYS_MAX 4
int curve_load_servers(const char *path, char ret[CURVE_SERVER_KEYS_MAX][CURVE_Z85_MAX], size_t *ret_n,
                       struct err *e) MUST_CHECK;

/* True for 40 characters of the Z85 alphabet. */
bool curve_z85_ok(const char *s);

/* Before connect: keys, heartbeats (5 s, 15 s), TCP_MAXRT 15 s, linger 0, HWM, MAXMSGSIZE, IPv6,
 * and a SOCKS proxy when not NULL. `socket` is a void * of libzmq. */
int curve_setup_agent(void *socket, const struct curve_key *own, const char *server_public_z85,
                      const char *socks_proxy, struct err *e) MUST_CHECK;
/* Before bind: the same for the ROUTER, without heartbeats of its own; ZAP domain "pilotgate". libzmq lets
 * every CURVE peer in while nothing is bound to inproc://zeromq.zap.01: bind the ZAP handler first. */
int curve_setup_collector(void *socket, const struct curve_key *own, struct err *e) MUST_CHECK;
