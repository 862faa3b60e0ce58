/* pilotgate-canary: a small self-hosted MCP tool server with slow, deterministic tools and a log of what
 * it executed: the "self-hosted custom server" of a pilot. Options, wiring and signals. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/conf.h"
#include "base/log.h"
#include "base/when.h"
#include "canary/http.h"

enum answer { ANSWER_JSON, ANSWER_SSE };
static const char *const answers[] = {"json", "sse", NULL};

struct options {
    char *listen, *tools, *tools_file, *tools_header, *origins, *log, *worker_secret_file;
    int answer;
    bool notices;
    int64_t page_size, connections, idle_timeout, drain;
};

#define AT(field) offsetof(struct options, field)

static const struct conf_key keys[] = {
    {.name = "listen",
     .type = CONF_STRING,
     .offset = AT(listen),
     .fallback = "127.0.0.1:8090",
     .doc = "HOST:PORT to listen on; port 0 takes a free one, which is logged."},
    {.name = "tools",
     .type = CONF_STRING,
     .offset = AT(tools),
     .doc =
         "Tools to offer, separated by commas: echo, hold, whoami, sum. These four when not given. The MCP "
         "conformance suite calls test_simple_text and test_error_handling, which are offered only when "
         "named."},
    {.name = "tools-file",
     .type = CONF_STRING,
     .offset = AT(tools_file),
     .doc = "File with one tool's name a line, used instead of the list; a change is seen within 0.2 s."},
    {.name = "tools-header",
     .type = CONF_STRING,
     .offset = AT(tools_header),
     .doc =
         "Name of a request header whose comma-separated list limits the tools for that request; a gateway "
         "sets it."},
    {.name = "answer",
     .type = CONF_ENUM,
     .offset = AT(answer),
     .fallback = "json",
     .choices = answers,
     .doc =
         "How tool calls are answered: one JSON body or an event stream. hold's argument \"stream\" decides "
         "for one call."},
    {.name = "notices",
     .type = CONF_BOOL,
     .offset = AT(notices),
     .fallback = "false",
     .doc = "Tell clients that listen (GET, subscriptions/listen) when tools have changed. Such a stream "
            "stays open, "
            "and may keep the former process of a gateway alive."},
    {.name = "page-size",
     .type = CONF_INT,
     .offset = AT(page_size),
     .fallback = "0",
     .min = 0,
     .max = 1000,
     .doc = "Tools in one page of tools/list; 0 for all."},
    {.name = "origins",
     .type = CONF_STRING,
     .offset = AT(origins),
     .doc = "Origins that are allowed, separated by commas; other requests with an Origin header get 403."},
    {.name = "worker-secret-file",
     .type = CONF_PATH,
     .offset = AT(worker_secret_file),
     .secret = true,
     .doc =
         "File with the secret of Arcade's /worker interface; without it, /worker refuses all but health."},
    {.name = "log",
     .type = CONF_STRING,
     .offset = AT(log),
     .fallback = "-",
     .doc = "File that gets one JSON line for each start and end of an execution; - for standard output."},
    {.name = "connections",
     .type = CONF_INT,
     .offset = AT(connections),
     .fallback = "8192",
     .min = 1,
     .max = 1000000,
     .doc = "Most connections at once; the file limit, raised as far as allowed, may lower it."},
    {.name = "idle-timeout",
     .type = CONF_INT,
     .offset = AT(idle_timeout),
     .fallback = "3900",
     .min = 0,
     .max = 86400,
     .doc = "Seconds after which a connection without a request is closed, 0 for never; longer than gateways "
            "keep "
            "theirs, so that the canary is not the one who closes."},
    {.name = "drain",
     .type = CONF_INT,
     .offset = AT(drain),
     .fallback = "30",
     .min = 0,
     .max = 3600,
     .doc = "Seconds that open calls have to end after SIGTERM."},
    {0}};

static const struct conf_program program = {
    .name = "pilotgate-canary",
    .env_prefix = "PILOTGATE_CANARY",
    .file_env = "PILOTGATE_CANARY_CONFIG",
    .summary = "a small MCP tool server with slow, deterministic tools",
    .usage = "pilotgate-canary [flags]\npilotgate-canary --help | --version\n",
    .keys = keys,
};

/* The parts, in the order they are made. */
struct parts {
    struct tool_identity who;
    struct tools *tools;
    struct mcp *mcp;
    struct worker *worker;
    struct execlog *log;
    struct http *http;
};

static void warn(const char *text) {
    log_warn("%s", text);
}

static int open_parts(const struct options *o, struct parts *p, struct err *e) {
    tool_identify(&p->who);
    int rc = tools_open(o->tools, o->tools_file, warn, &p->tools, e);
    if (rc)
        return rc;
    struct mcp_config mcp = {.tools = p->tools,
                             .who = &p->who,
                             .page_size = (size_t)o->page_size,
                             .notices = o->notices,
                             .stream = o->answer == ANSWER_SSE};
    if (mcp_new(&mcp, &p->mcp))
        return err_oom(e);
    rc = worker_new(o->worker_secret_file, p->tools, &p->who, &p->worker, e);
    if (!rc)
        rc = execlog_open(o->log, &p->log, e);
    if (rc)
        return rc;
    struct http_config http = {.listen = o->listen,
                               .connections = (unsigned)o->connections,
                               .idle_s = (unsigned)o->idle_timeout,
                               .tools_header = o->tools_header,
                               .origins = o->origins,
                               .who = &p->who,
                               .mcp = p->mcp,
                               .worker = p->worker,
                               .log = p->log};
    return http_start(&http, &p->http, e);
}

static void close_parts(struct parts *p) {
    execlog_close(&p->log);
    worker_free(&p->worker);
    mcp_free(&p->mcp);
    tools_close(&p->tools);
}

/* Blocked before threads start, so that only sigwait takes them. */
static void block_signals(sigset_t *set) {
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

/* A second signal during the drain ends it. */
static bool signalled_again(void) {
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, SIGTERM) == 1 || sigismember(&set, SIGINT) == 1;
}

static int run(const struct options *o) {
    struct parts p = {0};
    struct err e;
    sigset_t signals;
    block_signals(&signals);
    int rc = open_parts(o, &p, &e);
    if (rc) {
        fprintf(stderr, "pilotgate-canary: %s\n", e.text);
    } else {
        int which;
        log_info("pilotgate-canary %s listens on port %u, start %s", PILOTGATE_VERSION, http_port(p.http),
                 p.who.start);
        sigwait(&signals, &which);
        log_info("stopping: open calls have %d s to end", (int)o->drain);
        http_stop(&p.http, o->drain * WHEN_S, signalled_again);
    }
    close_parts(&p);
    return rc ? 2 : 0;
}

static int usage_error(const char *text) {
    fprintf(stderr, "pilotgate-canary: %s\n", text);
    return 2;
}

int main(int argc, char **argv) {
    struct options options = {0};
    struct err e;
    int rest = 0;
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        conf_help(&program, stdout);
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "--version")) {
        puts("pilotgate-canary " PILOTGATE_VERSION);
        return 0;
    }
    if (sodium_init() < 0)
        return usage_error("libsodium cannot be initialised");
    if (conf_load(&program, argc - 1, argv + 1, &options, &rest, &e))
        return usage_error(e.text);
    int status =
        rest == argc - 1 ? run(&options) : usage_error("no arguments are taken, only flags: see --help");
    conf_free(&program, &options);
    return status;
}
