/* listen: the listening socket; see http_priv.h. */
#include "canary/http_priv.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

/* "127.0.0.1:80", "[::1]:80", "localhost:80" into host and port. */
static int split(const char *where, char *host, size_t size, const char **port, struct err *e) {
    const char *colon = strrchr(where, ':');
    size_t n = colon ? (size_t)(colon - where) : 0;
    if (n >= 2 && where[0] == '[' && where[n - 1] == ']') {
        where++;
        n -= 2;
    }
    if (!n || n >= size || !colon[1])
        return err_set(e, -EINVAL, "listen address \"%s\": give HOST:PORT, as in 127.0.0.1:8090", where);
    memcpy(host, where, n);
    host[n] = 0;
    *port = colon + 1;
    return 0;
}

static int open_socket(const struct addrinfo *a) {
    int one = 1, fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, BACKLOG)) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

static uint16_t port_of(int fd) {
    struct sockaddr_storage s = {0};
    socklen_t len = sizeof s;
    getsockname(fd, (struct sockaddr *)&s, &len);
    return ntohs(s.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&s)->sin6_port
                                         : ((struct sockaddr_in *)&s)->sin_port);
}

int http_listen(const char *where, int *ret_fd, uint16_t *ret_port, struct err *e) {
    char host[256];
    const char *port = NULL;
    int rc = split(where, host, sizeof host, &port, e);
    if (rc)
        return rc;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed)
        return err_set(e, -EINVAL, "listen address \"%s\": %s", where, gai_strerror(failed));
    int fd = open_socket(found);
    freeaddrinfo(found);
    if (fd < 0)
        return err_set(e, fd, "cannot listen on %s: %s", where, strerror(-fd));
    *ret_fd = fd;
    *ret_port = port_of(fd);
    return 0;
}
