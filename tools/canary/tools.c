/* tools: the table of tools, their arguments and answers; see tools.h. */
#include "canary/tools.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/js.h"

struct parameter {
    const char *name;
    const char *type; /* JSON Schema's and Arcade's words agree: string, number, boolean */
    const char *doc;
    bool required;
};

#define PARAMETERS_MAX 4

struct definition {
    const char *name;
    const char *arcade; /* Arcade's spelling */
    const char *doc;
    struct parameter parameters[PARAMETERS_MAX]; /* ends with name == NULL or is full */
};

#define NONCE \
    { "nonce", "string", "Text that comes back in the answer: 1 to 128 of A-Z a-z 0-9 . _ : -", false }

static const struct definition definitions[TOOL_COUNT] = {
    [TOOL_ECHO] = {"echo",
                   "Echo",
                   "Answers at once with the given text or nonce.",
                   {{"text", "string", "Text to send back, at most 16 KiB", false}, NONCE}},
    [TOOL_HOLD] = {"hold",
                   "Hold",
                   "Answers after the given number of seconds.",
                   {{"seconds", "number", "How long to wait, 0 to 120", true},
                    NONCE,
                    {"stream", "boolean", "true: answer as an event stream; false: as JSON", false}}},
    [TOOL_WHOAMI] = {"whoami",
                     "Whoami",
                     "Answers which process this is: host, pid, start, version.",
                     {NONCE}},
    [TOOL_SUM] = {"sum",
                  "Sum",
                  "Answers with a + b.",
                  {{"a", "number", "First number", true}, {"b", "number", "Second number", true}, NONCE}},
    [TOOL_SUITE_TEXT] = {"test_simple_text",
                         "TestSimpleText",
                         "Answers with a text: for the MCP conformance suite.",
                         {NONCE}},
    [TOOL_SUITE_ERROR] = {"test_error_handling",
                          "TestErrorHandling",
                          "Always fails: for the MCP conformance suite.",
                          {NONCE}},
};

void tool_identify(struct tool_identity *ret) {
    unsigned char random[8];
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(ret->start, sizeof ret->start, random, sizeof random);
    if (gethostname(ret->host, sizeof ret->host) || !*ret->host)
        snprintf(ret->host, sizeof ret->host, "unknown");
    ret->host[sizeof ret->host - 1] = 0;
    ret->pid = (int)getpid();
}

bool tool_nonce_ok(const char *s) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    size_t n = strspn(s, allowed);
    return n > 0 && n < TOOL_NONCE_MAX && !s[n];
}

const char *tool_name(enum tool t) {
    return definitions[t].name;
}

int tool_find(const char *name) {
    for (int t = 0; t < TOOL_COUNT; t++)
        if (!strcmp(definitions[t].name, name) || !strcasecmp(definitions[t].arcade, name))
            return t;
    return -1;
}

static bool has_type(const json_t *v, const char *type) {
    switch (*type) {
    case 's':
        return json_is_string(v);
    case 'n':
        return json_is_number(v);
    default:
        return json_is_boolean(v);
    }
}

static int check_types(const struct definition *d, const json_t *arguments, struct err *e) {
    for (size_t i = 0; i < PARAMETERS_MAX && d->parameters[i].name; i++) {
        const struct parameter *p = &d->parameters[i];
        const json_t *v = json_object_get(arguments, p->name);
        if (!v && p->required)
            return err_set(e, -EINVAL, "%s: argument \"%s\" is missing, give a %s", d->name, p->name,
                           p->type);
        if (v && !has_type(v, p->type))
            return err_set(e, -EINVAL, "%s: argument \"%s\" must be a %s", d->name, p->name, p->type);
    }
    return 0;
}

static int take_nonce(const json_t *arguments, struct tool_call *call, struct err *e) {
    const json_t *v = json_object_get(arguments, "nonce");
    if (!v)
        return 0;
    const char *s = json_string_value(v);
    if (strlen(s) != json_string_length(v) || !tool_nonce_ok(s))
        return err_set(e, -EINVAL, "nonce must be 1 to 128 of A-Z a-z 0-9 . _ : -");
    memcpy(call->nonce, s, strlen(s) + 1);
    return 0;
}

static int answer_echo(const json_t *arguments, const struct tool_call *call, struct buf *text,
                       struct err *e) {
    const json_t *v = json_object_get(arguments, "text");
    if (!v && !*call->nonce)
        return err_set(e, -EINVAL, "echo: give \"text\" or \"nonce\"");
    if (json_string_length(v) > TOOL_TEXT_MAX)
        return err_set(e, -EINVAL, "echo: text is over the limit of %d bytes", TOOL_TEXT_MAX);
    if (!v)
        return 0;
    return buf_add(text, json_string_value(v), json_string_length(v));
}

static int answer_hold(const json_t *arguments, struct tool_call *call, struct buf *text, struct err *e) {
    const json_t *stream = json_object_get(arguments, "stream");
    call->seconds = json_number_value(json_object_get(arguments, "seconds"));
    call->stream_set = stream != NULL;
    call->stream = json_is_true(stream);
    if (!(call->seconds >= 0 && call->seconds <= TOOL_HOLD_MAX_S))
        return err_set(e, -EINVAL, "hold: seconds must be from 0 to %g", TOOL_HOLD_MAX_S);
    return buf_addf(text, "held %g s", call->seconds);
}

static int answer_sum(const json_t *arguments, struct buf *text, struct err *e) {
    const json_t *a = json_object_get(arguments, "a"), *b = json_object_get(arguments, "b");
    json_int_t sum;
    if (json_is_integer(a) && json_is_integer(b) &&
        !__builtin_add_overflow(json_integer_value(a), json_integer_value(b), &sum))
        return buf_addf(text, "%" JSON_INTEGER_FORMAT, sum);
    double real = json_number_value(a) + json_number_value(b);
    if (!isfinite(real))
        return err_set(e, -EINVAL, "sum: the result is out of range");
    return buf_addf(text, "%.17g", real);
}

static int answer(enum tool t, const json_t *arguments, const struct tool_identity *who,
                  struct tool_call *call, struct buf *text, struct err *e) {
    switch (t) {
    case TOOL_ECHO:
        return answer_echo(arguments, call, text, e);
    case TOOL_HOLD:
        return answer_hold(arguments, call, text, e);
    case TOOL_WHOAMI:
        return buf_addf(text, "pilotgate-canary %s host %s pid %d start %s", PILOTGATE_VERSION, who->host,
                        who->pid, who->start);
    case TOOL_SUM:
        return answer_sum(arguments, text, e);
    case TOOL_SUITE_TEXT:
        return buf_adds(text, "This is a simple text response for testing.");
    case TOOL_SUITE_ERROR:
        return err_set(e, -EINVAL, "This tool intentionally returns an error for testing");
    }
    return -EINVAL;
}

int tool_prepare(enum tool t, const json_t *arguments, const struct tool_identity *who, struct tool_call *ret,
                 char **ret_text, struct err *e) {
    struct tool_call call = {.tool = t};
    struct buf text = BUF_INIT(TOOL_TEXT_MAX + 512);
    int rc = check_types(&definitions[t], arguments, e);
    if (!rc)
        rc = take_nonce(arguments, &call, e);
    if (!rc && (rc = answer(t, arguments, who, &call, &text, e)) == -ENOMEM)
        err_oom(e);
    if (!rc && *call.nonce && buf_addf(&text, "%s%s", text.len ? " " : "", call.nonce))
        rc = err_oom(e);
    if (!rc && !text.len && buf_adds(&text, ""))
        rc = err_oom(e);
    if (rc) {
        buf_free(&text);
        return rc;
    }
    *ret = call;
    *ret_text = text.data;
    return 0;
}

json_t *tool_describe(enum tool t) {
    const struct definition *d = &definitions[t];
    json_t *properties = json_object(), *required = json_array();
    for (size_t i = 0; i < PARAMETERS_MAX && d->parameters[i].name; i++) {
        const struct parameter *p = &d->parameters[i];
        json_object_set_new(properties, p->name,
                            json_pack("{s:s,s:s}", "type", p->type, "description", p->doc));
        if (p->required)
            json_array_append_new(required, json_string(p->name));
    }
    return json_pack("{s:s,s:s,s:{s:s,s:o,s:o}}", "name", d->name, "description", d->doc, "inputSchema",
                     "type", "object", "properties", properties, "required", required);
}

static json_t *arcade_parameter(const struct parameter *p) {
    return json_pack("{s:s,s:b,s:s,s:{s:s},s:b}", "name", p->name, "required", p->required, "description",
                     p->doc, "value_schema", "val_type", p->type, "inferrable", 1);
}

json_t *tool_describe_arcade(enum tool t) {
    const struct definition *d = &definitions[t];
    json_t *parameters = json_array();
    for (size_t i = 0; i < PARAMETERS_MAX && d->parameters[i].name; i++)
        json_array_append_new(parameters, arcade_parameter(&d->parameters[i]));
    char full[64];
    snprintf(full, sizeof full, "Canary.%s", d->arcade);
    return json_pack("{s:s,s:s,s:s,s:{s:s,s:s,s:s},s:{s:o},s:{s:s,s:[s,s],s:{s:s}},s:{s:n,s:n,s:n},s:n}",
                     "name", d->arcade, "fully_qualified_name", full, "description", d->doc, "toolkit",
                     "name", "Canary", "description", "pilotgate's deterministic tools", "version",
                     PILOTGATE_VERSION, "input", "parameters", parameters, "output", "description",
                     "The answer's text", "available_modes", "value", "error", "value_schema", "val_type",
                     "string", "requirements", "authorization", "secrets", "metadata", "deprecation_message");
}
