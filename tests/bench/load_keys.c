/* load_keys: a key pair for each agent, and the allow-list that names them all; kept in a folder, so that the
 * collector can be started with the list before the agents come. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

static FILE *open_in(const char *folder, const char *name, const char *mode, struct err *e) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, mode);
    if (!f)
        (void)err_set(e, -errno, "%s: %s", path, strerror(errno));
    return f;
}

static int make_agents(struct load *l, struct err *e) {
    FILE *keys = open_in(l->o.keys, "agents.keys", "w", e);
    FILE *allow = keys ? open_in(l->o.keys, "allow", "w", e) : NULL;
    int r = allow ? 0 : -EIO;
    for (unsigned i = 0; r == 0 && i < l->o.agents; i++) {
        struct curve_key k;
        r = curve_generate(&k, e);
        if (r == 0 && (fprintf(keys, "%s %s\n", k.public_z85, k.secret_z85) < 0 ||
                       fprintf(allow, "%s %s stage-%u\n", k.public_z85, l->o.cluster, i % l->o.stages) < 0))
            r = err_set(e, -EIO, "cannot write the keys");
    }
    if (allow && fclose(allow) != 0 && r == 0)
        r = err_set(e, -EIO, "cannot write the allow-list");
    if (keys && fclose(keys) != 0 && r == 0)
        r = err_set(e, -EIO, "cannot write the keys");
    return r;
}

static int make_server(const struct load *l, struct err *e) {
    struct curve_key k;
    char path[4096];
    int r = curve_generate(&k, e);
    (void)snprintf(path, sizeof path, "%s/server.key", l->o.keys);
    if (r == 0)
        r = curve_save(path, &k, true, e);
    (void)snprintf(path, sizeof path, "%s/server.pub", l->o.keys);
    return r < 0 ? r : curve_save(path, &k, false, e);
}

static int read_agents(struct load *l, struct err *e) {
    FILE *f = open_in(l->o.keys, "agents.keys", "r", e);
    int r = 0;
    if (!f)
        return -EIO;
    for (unsigned i = 0; r == 0 && i < l->o.agents; i++) {
        struct load_agent *a = &l->agents[i];
        if (fscanf(f, "%40s %40s", a->key.public_z85, a->key.secret_z85) != 2)
            r = err_set(e, -EINVAL, "%s/agents.keys has fewer than %u keys: remove the folder", l->o.keys,
                        l->o.agents);
        if (r == 0 && getrandom(a->boot, sizeof a->boot, 0) != (ssize_t)sizeof a->boot)
            r = err_set(e, -EIO, "the system gives no random numbers");
    }
    (void)fclose(f);
    return r;
}

int load_keys(struct load *l, struct err *e) {
    char path[4096];
    struct stat st;
    struct curve_key server;
    int r = 0;
    (void)snprintf(path, sizeof path, "%s/server.pub", l->o.keys);
    if (stat(path, &st) < 0) {
        (void)mkdir(l->o.keys, 0700);
        r = make_agents(l, e);
        if (r == 0)
            r = make_server(l, e);
    }
    if (r == 0)
        r = curve_load(path, false, &server, e);
    if (r < 0)
        return r;
    memcpy(l->server_z85, server.public_z85, sizeof l->server_z85);
    return read_agents(l, e);
}
