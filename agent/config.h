/* config: the agent's configuration, one table (config.c) for struct, YAML, environment, flags, --help
 * and docs/agent-configuration.md. See base/conf.h for how values are found. Owned by main; the parts
 * get const pointers that live as long as the process. */
#pragma once

#include "base/conf.h"

#define CONFIG_SERVICES_MAX 16         /* different `replicas` among the targets */
#define CONFIG_GITOPS_NAMESPACES_MAX 4 /* besides the stage's own */
#define CONFIG_RESOURCES_MAX 32        /* custom resources that are named */

enum config_target_kind { CONFIG_TARGET_MCP, CONFIG_TARGET_ARCADE, CONFIG_TARGET_WORKER };
enum config_era { CONFIG_ERA_AUTO, CONFIG_ERA_LEGACY, CONFIG_ERA_MODERN };
enum config_http { CONFIG_HTTP_1, CONFIG_HTTP_2 };
enum config_connection { CONFIG_CONNECTION_REUSED, CONFIG_CONNECTION_NEW, CONFIG_CONNECTION_BOTH };

/* What is called: a gateway endpoint, or a tool server past it. */
struct config_target {
    char *name;
    int kind;                    /* enum config_target_kind */
    char *url;                   /* http(s)://host:port/path */
    int era;                     /* enum config_era */
    bool control;                /* past the gateway */
    int64_t catalogue_interval;  /* ns between tools/list polls; 0: never */
    struct conf_strings headers; /* "Name: value", not secret */
    char *bearer_file;           /* file with a bearer token, read again when it changes */
    char *ca_file;
    struct conf_strings
        header_files; /* "Name: path": the value is the file's first line, read as bearer_file */
    char *client_cert_file, *client_key_file; /* PEM, both or none */
    char *secret_file;                        /* kind worker: signs the worker's JWT */
    char *user_id;                            /* kind arcade: in whose name tools run */
    int http;                                 /* enum config_http */
    int64_t streams;                          /* with HTTP/2: calls on one connection at most */
    bool notices;                             /* listen for changes of the catalogue beside polling it */
    char *replicas;                           /* "SERVICE[:PORT]" whose pods are called by address, too */
    bool custom_server; /* this target reaches the custom server deployed in the stage */
};

/* A schedule of calls to one tool of a target. */
struct config_probe {
    char *name;
    char *target;
    char *tool;
    char *arguments;         /* JSON object; the string "{nonce}" anywhere in it becomes the call's nonce */
    char *expect;            /* text that the answer must contain; "{nonce}" becomes the nonce */
    int64_t interval;        /* ns between the starts of calls, open loop; 0: only in_flight counts */
    int64_t in_flight;       /* calls kept open at once; new ones start as old ones end */
    int64_t drill_in_flight; /* the same while a drill raises the load; 0: takes no part */
    int64_t replica_in_flight, replica_drill_in_flight; /* the same for each replica, by its address */
    int64_t timeout; /* hard maximum, ns; an answer after `limit` is late */
    int64_t limit;
    int connection; /* enum config_connection */
};

/* A document of the product's own configuration, read over HTTP(S) and compared by digest. */
struct config_document {
    char *name;
    char *url;
    char *bearer_file;
    char *ca_file;
    int64_t interval;
};

struct config {
    struct {
        char *endpoint;        /* tcp://host:port */
        char *server_key_file; /* the collector's public key */
        char *key_file;        /* our own key pair */
        char *hash_key_file;   /* the pilot's key for keyed hashes */
        char *socks_proxy;     /* host:port or NULL */
    } collector;
    struct {
        char *cluster;
        char *namespace_name;
        char *node;
    } stage;
    struct {
        bool enabled;
        char *api; /* https://host:port; default from KUBERNETES_SERVICE_HOST/PORT */
        char *token_file;
        char *ca_file;
        bool secrets;                          /* ask for Helm's release Secrets */
        bool gitops;                           /* ask for the objects of Flux and Argo CD */
        struct conf_strings gitops_namespaces; /* also in these */
        struct conf_strings resources;         /* custom resources, "RESOURCE.GROUP" */
        bool stage_scoped;                     /* false: node-scoped work only */
        char *own_release; /* Helm release of pilotgate itself, left out of every comparison */
        char *lease;       /* name of the Lease that elects the one that does stage-scoped work */
    } kube;
    struct {
        char *dir;
        int64_t quota;
        int64_t grace; /* ns for which acknowledged records are kept */
    } spool;
    struct {
        char *listen; /* "": no HTTP */
    } metrics;
    struct conf_list targets;   /* struct config_target */
    struct conf_list probes;    /* struct config_probe */
    struct conf_list documents; /* struct config_document */
    int64_t max_in_flight;      /* quota over all probes: calls open at once ... */
    int64_t max_rate;           /* ... and calls begun in a second; 0: no limit */
    int log_level;
};

extern const struct conf_program config_program;

/* conf_load, then what one key alone cannot say: names unique and valid, probes name targets, URLs
 * parse, arguments are JSON objects, in-flight sums within the quota. */
int config_load(int argc, char *const *argv, struct config *ret, int *ret_rest, struct err *e) MUST_CHECK;
void config_free(struct config *c);
