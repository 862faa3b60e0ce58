/* config: see config.h. The tables first, then the checks across keys; those of probes are in
 * config_probes.c. */
#include "config_priv.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/when.h"
#include "wire/wire.h"

#define LIST_MAX 64 /* WIRE_BLOCK_PROBES_MAX: a coverage record names every probe */
#define HEADERS_MAX 32
#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"

static const char *const kinds[] = {"mcp", "arcade", "worker", NULL};
static const char *const eras[] = {"auto", "legacy", "modern", NULL};
static const char *const https[] = {"1.1", "2", NULL};
static const char *const connections[] = {"reused", "new", "both", NULL};
static const char *const levels[] = {"error", "warn", "info", "debug", NULL};

#define AT(member) .offset = offsetof(struct config_target, member)
static const struct conf_key target_keys[] = {
    {"name", CONF_STRING, AT(name), .required = true, .doc = "Name of the target; probes refer to it."},
    {"kind", CONF_ENUM, AT(kind), .fallback = "mcp", .choices = kinds,
     .doc = "What speaks at the URL: mcp, an MCP endpoint; arcade, Arcade's REST API (tools are executed by "
            "/v1/tools/execute); worker, the /worker endpoints of a self-hosted custom server."},
    {"url", CONF_STRING, AT(url), .required = true,
     .doc = "Endpoint, http(s)://host:port/path, without user and password; of arcade and worker what stands "
            "before /v1 and /worker."},
    {"era", CONF_ENUM, AT(era), .fallback = "auto", .choices = eras,
     .doc = "Protocol era of mcp: legacy has sessions (up to 2025-11-25), modern is stateless (2026-07-28); "
            "auto "
            "asks the server, and again when it stops understanding."},
    {"http", CONF_ENUM, AT(http), .fallback = "1.1", .choices = https,
     .doc = "Version of HTTP. With 1.1 every call in flight has a connection of its own."},
    {"streams", CONF_INT, AT(streams), .fallback = "10", .min = 1, .max = 1000,
     .doc = "With HTTP/2: calls on one connection at most; calls that share one count as one unit."},
    {"control", CONF_BOOL, AT(control), .fallback = "false",
     .doc = "The target lies past the gateway, straight at the tool server: its calls tell a drop of the "
            "gateway "
            "from one of the tool server."},
    {"catalogue_interval", CONF_DURATION, AT(catalogue_interval), .fallback = "1s", .max = 86400 * WHEN_S,
     .doc = "Time between two readings of the tool catalogue; 0s: never."},
    {"headers", CONF_STRINGS, AT(headers), .max = HEADERS_MAX,
     .doc = "Further request headers, `Name: value`; not for secrets."},
    {"bearer_file", CONF_PATH, AT(bearer_file), .secret = true,
     .doc = "File with a bearer token; read again when it changes."},
    {"ca_file", CONF_PATH, AT(ca_file),
     .doc = "File with the CA certificates to trust, PEM; default: the system's."},
    {"header_files", CONF_STRINGS, AT(header_files), .max = HEADERS_MAX,
     .doc = "Headers whose values are secret, `Name: /path`: the first line of the file is the value, read "
            "again when "
            "it changes."},
    {"client_cert_file", CONF_PATH, AT(client_cert_file), .doc = "File with a client certificate, PEM."},
    {"client_key_file", CONF_PATH, AT(client_key_file), .secret = true, .doc = "File with its key, PEM."},
    {"secret_file", CONF_PATH, AT(secret_file), .secret = true,
     .doc = "Of worker: file with the secret that signs its tokens (ARCADE_WORKER_SECRET), one line; read "
            "again when it changes."},
    {"user_id", CONF_STRING, AT(user_id), .doc = "Of arcade and worker: the user in whose name tools run."},
    {"notices", CONF_BOOL, AT(notices), .fallback = "true",
     .doc =
         "Listen for the server's notices of a changed tool catalogue, beside reading it: where the "
         "server gives them, one stream on each path, renewed every minute. A gateway that drains may wait "
         "for it so long."},
    {"replicas", CONF_STRING, AT(replicas),
     .doc =
         "Service of the stage whose pods are called one by one as well, by their addresses: NAME, or "
         "NAME:PORT "
         "with the pods' port by number or by the Service's name for it. Scheme, host and path stay those of "
         "`url`. Needs the Kubernetes API and `list`, `watch` on endpoints of that name."},
    {"custom_server", CONF_BOOL, AT(custom_server), .fallback = "false",
     .doc = "Calls to this target reach the custom server that is deployed in the stage: the first completed "
            "one "
            "ends the deployment."},
    {0},
};
#undef AT

#define AT(member) .offset = offsetof(struct config_probe, member)
static const struct conf_key probe_keys[] = {
    {"name", CONF_STRING, AT(name), .required = true, .doc = "Name of the probe, as verdicts show it."},
    {"target", CONF_STRING, AT(target), .required = true, .doc = "Name of the target to call."},
    {"tool", CONF_STRING, AT(tool), .required = true, .doc = "Name of the tool to call."},
    {"arguments", CONF_JSON, AT(arguments), .fallback = "{}",
     .doc = "Arguments, a section; the text {nonce} anywhere in them becomes the call's nonce."},
    {"expect", CONF_STRING, AT(expect), .fallback = "{nonce}",
     .doc = "Text that the answer must contain to count as completed; {nonce} becomes the call's nonce."},
    {"interval", CONF_DURATION, AT(interval), .fallback = "0s", .max = 86400 * WHEN_S,
     .doc = "Time between the starts of two calls, whatever earlier calls do; at least 10ms. 0s: in_flight "
            "alone "
            "counts."},
    {"in_flight", CONF_INT, AT(in_flight), .fallback = "0", .max = WIRE_BLOCK_CALLS_MAX,
     .doc = "Calls that are kept open at once; a new one starts as an old one ends."},
    {"drill_in_flight", CONF_INT, AT(drill_in_flight), .fallback = "0", .max = WIRE_BLOCK_CALLS_MAX,
     .doc = "The same while a drill raises the load; 0: the probe takes no part in drills."},
    {"replica_in_flight", CONF_INT, AT(replica_in_flight), .fallback = "0", .max = WIRE_BLOCK_CALLS_MAX,
     .doc = "Calls that are kept open to each replica of the target by its address; the target needs "
            "`replicas`. Where there are too many replicas for `max_in_flight`, each gets an equal share of "
            "what "
            "the calls by URL leave."},
    {"replica_drill_in_flight", CONF_INT, AT(replica_drill_in_flight), .fallback = "0",
     .max = WIRE_BLOCK_CALLS_MAX, .doc = "The same while a drill raises the load."},
    {"timeout", CONF_DURATION, AT(timeout), .fallback = "60s", .min = 10 * WHEN_MS, .max = 86400 * WHEN_S,
     .doc = "Hard maximum of a call: it is given up then."},
    {"limit", CONF_DURATION, AT(limit), .fallback = "30s", .min = WHEN_MS, .max = 86400 * WHEN_S,
     .doc = "An answer after this time counts as late; at most `timeout`."},
    {"connection", CONF_ENUM, AT(connection), .fallback = "both", .choices = connections,
     .doc = "Connections that are asked for: kept open, new for every call, or both in turn."},
    {0},
};
#undef AT

#define AT(member) .offset = offsetof(struct config_document, member)
static const struct conf_key document_keys[] = {
    {"name", CONF_STRING, AT(name), .required = true, .doc = "Name of the document."},
    {"url", CONF_STRING, AT(url), .required = true, .doc = "Where it is read, http(s)."},
    {"bearer_file", CONF_PATH, AT(bearer_file), .secret = true, .doc = "File with a bearer token."},
    {"ca_file", CONF_PATH, AT(ca_file), .doc = "File with the CA certificates to trust, PEM."},
    {"interval", CONF_DURATION, AT(interval), .fallback = "1s", .min = 100 * WHEN_MS, .max = 86400 * WHEN_S,
     .doc = "Time between two readings."},
    {0},
};
#undef AT

#define AT(member) .offset = offsetof(struct config, member)
static const struct conf_key keys[] = {
    {"collector.endpoint", CONF_STRING, AT(collector.endpoint), .fallback = "tcp://pilotgate:5670",
     .doc = "Address of the collector, tcp://host:port."},
    {"collector.server_key_file", CONF_PATH, AT(collector.server_key_file),
     .fallback = "/etc/pilotgate/keys/server.pub",
     .doc = "File with the collector's public key; with several `public:` lines, while that key is changed, "
            "they are "
            "tried in turn. Read again for each session, like `key_file`."},
    {"collector.key_file", CONF_PATH, AT(collector.key_file), .fallback = "/etc/pilotgate/keys/agent.key",
     .secret = true, .doc = "File with the agent's own key pair, from `pilotgate keygen`."},
    {"collector.hash_key_file", CONF_PATH, AT(collector.hash_key_file),
     .fallback = "/etc/pilotgate/keys/pilot.hash", .secret = true,
     .doc = "File with the pilot's key for keyed hashes; the same for every agent of the pilot."},
    {"collector.socks_proxy", CONF_STRING, AT(collector.socks_proxy),
     .doc = "SOCKS5 proxy on the way to the collector, host:port."},
    {"stage.cluster", CONF_STRING, AT(stage.cluster), .required = true,
     .doc = "Name of the cluster, as the pilot declares it."},
    {"stage.namespace", CONF_STRING, AT(stage.namespace_name), .required = true,
     .doc = "The staged namespace that is witnessed."},
    {"stage.node", CONF_STRING, AT(stage.node),
     .doc = "Name of the node; default: the variable NODE_NAME, else the host's name."},
    {"kube.enabled", CONF_BOOL, AT(kube.enabled), .fallback = "true", .doc = "Witness the Kubernetes API."},
    {"kube.api", CONF_STRING, AT(kube.api),
     .doc = "Kubernetes API, https://host:port; default: from KUBERNETES_SERVICE_HOST and _PORT."},
    {"kube.token_file", CONF_PATH, AT(kube.token_file), .fallback = ACCOUNT "token", .secret = true,
     .doc = "File with the service account's token; read again as it rotates."},
    {"kube.ca_file", CONF_PATH, AT(kube.ca_file), .fallback = ACCOUNT "ca.crt",
     .doc = "File with the cluster's CA certificate."},
    {"kube.secrets", CONF_BOOL, AT(kube.secrets), .fallback = "true",
     .doc = "Read Helm's release Secrets; needs list and watch on secrets in the namespace. No value of a "
            "Secret "
            "leaves the agent."},
    {"kube.gitops", CONF_BOOL, AT(kube.gitops), .fallback = "true",
     .doc = "Read the objects of Flux and Argo CD in the namespace, where the cluster serves them."},
    {"kube.gitops_namespaces", CONF_STRINGS, AT(kube.gitops_namespaces), .max = CONFIG_GITOPS_NAMESPACES_MAX,
     .doc =
         "Other namespaces in which those are read that apply to the stage, as flux-system or argocd: their "
         "state and revisions, not their configuration. Needs list and watch on them there."},
    {"kube.resources", CONF_STRINGS, AT(kube.resources), .max = CONFIG_RESOURCES_MAX,
     .doc = "Custom resources of the stage that are read besides, as kubectl names them: "
            "widgets.example.com. Their "
            "changes are changes of the configuration, and a reference can name them. Needs list and watch "
            "on them; "
            "one that is not there, or not yet, is no error."},
    {"kube.stage_scoped", CONF_BOOL, AT(kube.stage_scoped), .fallback = "true",
     .doc = "Witness the stage's releases, workloads and configuration; false: only the pods of this node."},
    {"kube.own_release", CONF_STRING, AT(kube.own_release), .fallback = "pilotgate",
     .doc = "Helm release of pilotgate itself, which is left out of every comparison."},
    {"kube.lease", CONF_STRING, AT(kube.lease), .fallback = "",
     .doc = "Name of the Lease, in the stage, whose holder does the stage-scoped work for all agents; empty: "
            "every "
            "agent does it. Where the Lease may not be read or written, every agent does it, too."},
    {"spool.dir", CONF_PATH, AT(spool.dir), .fallback = "/var/lib/pilotgate/spool",
     .doc = "Folder for records that the collector does not have yet."},
    {"spool.quota", CONF_BYTES, AT(spool.quota), .fallback = "256MiB", .min = 16 << 20, .max = 1ll << 40,
     .doc = "Most bytes that the spool takes; beyond it records are lost, and the loss is recorded."},
    {"spool.grace", CONF_DURATION, AT(spool.grace), .fallback = "48h", .max = 366 * 86400 * WHEN_S,
     .doc = "Time for which records stay in the spool after the collector has them, so that a collector that "
            "comes "
            "back from an older backup gets them again. They give way when the quota needs their room. 0s: "
            "no time."},
    {"metrics.listen", CONF_STRING, AT(metrics.listen), .fallback = "",
     .doc = "Address for /healthz, /readyz and /metrics, a numeric host and a port (0.0.0.0:5673); empty: "
            "none."},
    {"targets", CONF_LIST, AT(targets), .items = target_keys, .item_size = sizeof(struct config_target),
     .max = LIST_MAX, .doc = "What is called: gateway endpoints, and tool servers past them."},
    {"probes", CONF_LIST, AT(probes), .items = probe_keys, .item_size = sizeof(struct config_probe),
     .max = LIST_MAX, .doc = "Schedules of calls, each to one tool of a target."},
    {"documents", CONF_LIST, AT(documents), .items = document_keys,
     .item_size = sizeof(struct config_document), .max = LIST_MAX,
     .doc = "Documents of the product's own configuration, read and compared by digest."},
    {"max_in_flight", CONF_INT, AT(max_in_flight), .fallback = "1000", .min = 1, .max = WIRE_BLOCK_CALLS_MAX,
     .doc = "Most calls that all probes together may have open."},
    {"max_rate", CONF_INT, AT(max_rate), .fallback = "500", .max = 100000,
     .doc = "Most calls that all probes together may begin in a second; what is over it is counted as "
            "unsent. 0: no "
            "limit."},
    {"log_level", CONF_ENUM, AT(log_level), .fallback = "info", .choices = levels,
     .doc = "Least severity of lines on stderr."},
    {0},
};
#undef AT

const struct conf_program config_program = {
    .name = "pilotgate-agent",
    .env_prefix = "PILOTGATE_AGENT",
    .file_env = "PILOTGATE_AGENT_CONFIG",
    .summary = "witnesses one stage from one node and reports to the collector",
    .usage =
        "usage: pilotgate-agent [FLAGS]          witness until SIGTERM\n"
        "       pilotgate-agent check [FLAGS]    try configuration, API, targets and collector, then end\n"
        "       pilotgate-agent spool export [--dir DIR] [FLAGS] FILE|-\n"
        "                                        write what the spool holds, for `pilotgate import`\n"
        "       pilotgate-agent help | --help | --version\n",
    .keys = keys,
};

/* ---------------------------------------------------------------- addresses */

/* http or https, a host, no user and password. ret_plain_remote may be NULL: http to another host. */
static int check_url(const char *url, const char *what, bool *ret_plain_remote, struct err *e) {
    CURLU *u = curl_url();
    char *scheme = NULL;
    char *host = NULL;
    char *user = NULL;
    int r = 0;
    if (!u)
        return err_oom(e);
    if (curl_url_set(u, CURLUPART_URL, url, 0) || curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        r = err_set(e, -EINVAL, "%s: '%.200s' is no URL: write http(s)://host:port/path", what, url);
    else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK || strchr(url, '@'))
        r = err_set(e, -EINVAL, "%s: the URL holds a user or '@': use bearer_file, or write %%40", what);
    else if (ret_plain_remote)
        *ret_plain_remote = strcmp(scheme, "http") == 0 && strcmp(host, "localhost") != 0 &&
                            strcmp(host, "127.0.0.1") != 0 && strcmp(host, "[::1]") != 0;
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(u);
    return r;
}

/* host:port, the host not empty; IPv6 addresses in brackets. */
static bool host_port_ok(const char *s) {
    const char *colon = strrchr(s, ':');
    if (!colon || colon == s || strpbrk(s, " /\t@"))
        return false;
    if (s[0] == '[' ? colon[-1] != ']' : memchr(s, ':', (size_t)(colon - s)) != NULL)
        return false;
    size_t digits = strspn(colon + 1, "0123456789");
    long port = digits >= 1 && digits <= 5 && !colon[1 + digits] ? strtol(colon + 1, NULL, 10) : 0;
    return port >= 1 && port <= 65535;
}

static int check_collector(struct config *c, struct err *e) {
    const char *endpoint = c->collector.endpoint;
    if (strncmp(endpoint, "tcp://", 6) != 0 || !host_port_ok(endpoint + 6))
        return err_set(e, -EINVAL, "collector.endpoint: '%.200s': write tcp://host:port", endpoint);
    if (c->collector.socks_proxy && !*c->collector.socks_proxy) {
        free(c->collector.socks_proxy);
        c->collector.socks_proxy = NULL;
    }
    if (c->collector.socks_proxy && !host_port_ok(c->collector.socks_proxy))
        return err_set(e, -EINVAL, "collector.socks_proxy: '%.200s': write host:port",
                       c->collector.socks_proxy);
    return 0;
}

/* ---------------------------------------------------------------- what the surroundings say */

static int fill_node(struct config *c, struct err *e) {
    char host[256] = "";
    const char *name = getenv("NODE_NAME");
    if (c->stage.node && *c->stage.node)
        return 0;
    if (!name || !*name) {
        (void)gethostname(host, sizeof host - 1);
        name = host;
    }
    free(c->stage.node);
    c->stage.node = strdup(name);
    return c->stage.node ? 0 : err_oom(e);
}

static int fill_api(struct config *c, struct err *e) {
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    if (c->kube.api && *c->kube.api)
        return 0;
    if (!host || !*host || !port || !*port)
        return err_set(e, -EINVAL,
                       "kube.api: not in a cluster: name the Kubernetes API, or set kube.enabled false");
    bool v6 = strchr(host, ':') != NULL;
    char *api = NULL;
    if (asprintf(&api, "https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port) < 0)
        return err_oom(e);
    free(c->kube.api);
    c->kube.api = api;
    return 0;
}

/* Labels of lower case letters, digits and '-', joined by '.': at least two, "RESOURCE.GROUP". */
static bool is_resource(const char *text) {
    static const char inner[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    size_t labels = 0;
    for (const char *p = text; strlen(text) <= WIRE_NAME_MAX; p++) {
        size_t n = strspn(p, inner);
        if (n == 0 || n > 63 || *p == '-' || p[n - 1] == '-')
            return false;
        labels++;
        p += n;
        if (*p != '.')
            return *p == 0 && labels > 1;
    }
    return false;
}

static int check_resources(const struct conf_strings *all, struct err *e) {
    for (size_t i = 0; i < all->n; i++) {
        if (!is_resource(all->items[i]))
            return err_set(e, -EINVAL,
                           "kube.resources: '%.200s': write RESOURCE.GROUP, as widgets.example.com (kubectl "
                           "api-resources -o name)",
                           all->items[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(all->items[j], all->items[i]) == 0)
                return err_set(e, -EINVAL, "kube.resources: '%.200s' is there twice", all->items[i]);
    }
    return 0;
}

static int check_kube(struct config *c, struct err *e) {
    bool plain_remote = false;
    if (!c->kube.enabled)
        return 0;
    int r = fill_api(c, e);
    if (r == 0)
        r = check_url(c->kube.api, "kube.api", &plain_remote, e);
    if (r == 0 && plain_remote)
        return err_set(e, -EINVAL, "kube.api: http would send the token in clear: use https");
    if (r == 0 && *c->kube.lease && !wire_name_ok(c->kube.lease))
        return err_set(e, -EINVAL, "kube.lease: '%.200s' is no name of an object", c->kube.lease);
    for (size_t i = 0; r == 0 && i < c->kube.gitops_namespaces.n; i++) {
        const char *ns = c->kube.gitops_namespaces.items[i];
        if (!wire_name_ok(ns) || strcmp(ns, c->stage.namespace_name) == 0)
            return err_set(e, -EINVAL, "kube.gitops_namespaces: '%.200s' is %s", ns,
                           wire_name_ok(ns) ? "the stage's own namespace: leave it out" : "no name");
    }
    return r == 0 ? check_resources(&c->kube.resources, e) : r;
}

static int check_name(const char *what, const char *name, struct err *e) {
    if (wire_name_ok(name))
        return 0;
    return err_set(e, -EINVAL,
                   "%s: '%.100s': write 1 to %d letters, digits, '.', '_' or '-', the ends alphanumeric",
                   what, name, WIRE_NAME_MAX);
}

static int check_stage(struct config *c, struct err *e) {
    int r = fill_node(c, e);
    if (r == 0)
        r = check_name("stage.cluster", c->stage.cluster, e);
    if (r == 0)
        r = check_name("stage.namespace", c->stage.namespace_name, e);
    if (r == 0)
        r = check_name("stage.node", c->stage.node, e);
    return r;
}

/* ---------------------------------------------------------------- lists */

/* The name is the first member of every item. */
static const char *name_at(const struct conf_list *l, size_t size, size_t i) {
    return *(char *const *)((const char *)l->items + i * size);
}

_Static_assert(offsetof(struct config_target, name) == 0, "name_at");
_Static_assert(offsetof(struct config_probe, name) == 0, "name_at");
_Static_assert(offsetof(struct config_document, name) == 0, "name_at");

static int check_names(const char *list, const struct conf_list *l, size_t size, struct err *e) {
    for (size_t i = 0; i < l->n; i++) {
        char what[64];
        (void)snprintf(what, sizeof what, "%s[%zu].name", list, i);
        int r = check_name(what, name_at(l, size, i), e);
        if (r < 0)
            return r;
        for (size_t j = 0; j < i; j++)
            if (strcmp(name_at(l, size, j), name_at(l, size, i)) == 0)
                return err_set(e, -EINVAL, "%s: '%s' is there twice", what, name_at(l, size, i));
    }
    return 0;
}

static int check_targets(const struct config *c, struct err *e) {
    const struct config_target *t = c->targets.items;
    int r = check_names("targets", &c->targets, sizeof *t, e);
    for (size_t i = 0; r == 0 && i < c->targets.n; i++) {
        char what[64];
        (void)snprintf(what, sizeof what, "targets[%zu].url", i);
        r = check_url(t[i].url, what, NULL, e);
        if (r == 0)
            r = config_check_target(&t[i], e);
    }
    return r;
}

static int check_documents(const struct config *c, struct err *e) {
    const struct config_document *d = c->documents.items;
    int r = check_names("documents", &c->documents, sizeof *d, e);
    for (size_t i = 0; r == 0 && i < c->documents.n; i++) {
        char what[64];
        (void)snprintf(what, sizeof what, "documents[%zu].url", i);
        r = check_url(d[i].url, what, NULL, e);
    }
    return r;
}

/* ---------------------------------------------------------------- the contract */

static int check(struct config *c, struct err *e) {
    int r = check_collector(c, e);
    if (r == 0)
        r = check_stage(c, e);
    if (r == 0)
        r = check_kube(c, e);
    if (r == 0)
        r = check_targets(c, e);
    if (r == 0)
        r = config_check_replicas(c, e);
    if (r == 0)
        r = check_names("probes", &c->probes, sizeof(struct config_probe), e);
    if (r == 0)
        r = config_check_probes(c, e);
    if (r == 0)
        r = check_documents(c, e);
    return r;
}

int config_load(int argc, char *const *argv, struct config *ret, int *ret_rest, struct err *e) {
    struct config c = {0};
    int rest = 0;
    int r = conf_load(&config_program, argc, argv, &c, &rest, e);
    if (r < 0)
        return r;
    r = check(&c, e);
    if (r < 0) {
        config_free(&c);
        return r;
    }
    *ret = c;
    *ret_rest = rest;
    return 0;
}

void config_free(struct config *c) {
    if (c)
        conf_free(&config_program, c);
}
