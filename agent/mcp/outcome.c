/* outcome: see outcome.h. The order of the questions is the meaning:
 *   1. an answer decides, or what is none in its place, however the connection ended after it;
 *   2. then that libcurl was kept from sending again, and what we did ourselves;
 *   3. then a status other than 2xx, as it says more than how its body ended;
 *   4. then how the connection failed;
 *   5. then a complete 2xx that holds no answer. */
#include "mcp/outcome.h"

#include <stdio.h>
#include <string.h>

#define SAY(...) ((void)snprintf(detail, MCP_DETAIL_MAX, __VA_ARGS__))
#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name

static const char *kind_of(const struct mcp_seen *s) {
    return s->reused ? "reused" : "new";
}

static Pilotgate__Outcome by_answer(const struct mcp_seen *s, char *detail) {
    if (s->answer == MCP_ANSWER_ERROR) {
        SAY("JSON-RPC error %lld", (long long)s->rpc_code);
        return OUT(RPC_ERROR);
    }
    if (s->asks) {
        SAY("the tool asks for input, which nobody is here to give");
        return OUT(TOOL_ERROR);
    }
    if (s->is_error && s->error_kind && *s->error_kind) {
        SAY("the tool failed: %s", s->error_kind);
        return OUT(TOOL_ERROR);
    }
    if (s->is_error || !s->expected) {
        SAY("%s", s->is_error ? "the tool said isError" : "an answer other than the expected one");
        return OUT(TOOL_ERROR);
    }
    SAY("%s", s->late ? "the expected answer, after the limit" : "");
    return s->late ? OUT(COMPLETED_LATE) : OUT(COMPLETED);
}

static Pilotgate__Outcome by_status(const struct mcp_seen *s, char *detail) {
    SAY("HTTP %ld", s->status);
    if (s->status == 429)
        return OUT(RATE_LIMITED);
    if (s->had_session && (s->status == 404 || s->status == 400)) {
        SAY("HTTP %ld to a request of our session", s->status);
        return OUT(SESSION_LOST);
    }
    return OUT(HTTP_ERROR);
}

/* RFC 9113, 7. */
static const char *h2_name(uint32_t code) {
    static const char *const names[] = {"NO_ERROR",
                                        "PROTOCOL_ERROR",
                                        "INTERNAL_ERROR",
                                        "FLOW_CONTROL_ERROR",
                                        "SETTINGS_TIMEOUT",
                                        "STREAM_CLOSED",
                                        "FRAME_SIZE_ERROR",
                                        "REFUSED_STREAM",
                                        "CANCEL",
                                        "COMPRESSION_ERROR",
                                        "CONNECT_ERROR",
                                        "ENHANCE_YOUR_CALM",
                                        "INADEQUATE_SECURITY",
                                        "HTTP_1_1_REQUIRED"};
    return code < sizeof names / sizeof *names ? names[code] : "an unknown code";
}

/* How HTTP/2 says that it ended, "" when it did not. */
static void h2_words(const struct mcp_seen *s, char *out, size_t size) {
    out[0] = 0;
    if (s->goaway)
        (void)snprintf(out, size, "HTTP/2 GOAWAY (%s): ", h2_name(s->goaway_error));
    else if (s->refused)
        (void)snprintf(out, size, "HTTP/2 REFUSED_STREAM: ");
    else if (s->stream_reset)
        (void)snprintf(out, size, "HTTP/2 RST_STREAM (%s): ", h2_name(s->stream_error));
}

/* The connection, or the stream, ended without the answer; rst: not in an orderly way. */
static Pilotgate__Outcome by_end(const struct mcp_seen *s, bool rst, char *detail) {
    char h2[64];
    const char *how = rst ? "broken" : "closed";
    const char *what = s->http2 ? "stream" : "connection";
    h2_words(s, h2, sizeof h2);
    if (s->status < 200) { /* interim answers are none */
        SAY("%sa %s %s was %s %s", h2, kind_of(s), what, how,
            s->sent ? "with zero bytes of answer" : "before the whole request was sent");
        return rst || s->reused ? OUT(RESET) : OUT(CLOSED);
    }
    SAY("%sthe %s was %s after %llu bytes of an answer%s", h2, what, how, (unsigned long long)s->received,
        s->sse     ? ", inside the event stream"
        : !s->head ? ", inside its head"
                   : "");
    if (s->sse)
        return OUT(STREAM_ENDED);
    return rst ? OUT(RESET) : OUT(TRUNCATED);
}

static Pilotgate__Outcome by_resend(const struct mcp_seen *s, char *detail) {
    char h2[64];
    h2_words(s, h2, sizeof h2);
    if (*h2)
        SAY("%sthe server did not take the call; it was not sent again", h2);
    else
        SAY("a reused connection closed with zero bytes of answer; the request was not sent again");
    return OUT(RESET);
}

static Pilotgate__Outcome by_timeout(const struct mcp_seen *s, char *detail) {
    if (!s->sent)
        SAY("hard maximum reached before the request was sent");
    else
        SAY("hard maximum reached after %llu bytes of an answer", (unsigned long long)s->received);
    return OUT(TIMEOUT);
}

/* libcurl's own words where there are some: they name the certificate's fault, or the file. */
static void say_curl(const struct mcp_seen *s, char *detail) {
    SAY("%s", s->why && *s->why ? s->why : curl_easy_strerror(s->curl));
    detail[strcspn(detail, "\r\n")] = 0;
    for (char *p = detail; *p; p++) /* it may hold a name out of the server's certificate */
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
            *p = '?';
}

/* Only a second attempt, which we stop, makes a connection after the request was out. */
static bool is_second_attempt(const struct mcp_seen *s) {
    switch (s->curl) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return s->sent;
    default:
        return false;
    }
}

static Pilotgate__Outcome by_connect(const struct mcp_seen *s, char *detail) {
    if (is_second_attempt(s))
        return by_resend(s, detail);
    say_curl(s, detail);
    if (s->curl == CURLE_COULDNT_RESOLVE_HOST || s->curl == CURLE_COULDNT_RESOLVE_PROXY)
        return OUT(DNS);
    if (s->curl != CURLE_COULDNT_CONNECT)
        return OUT(TLS);
    if (s->os_error)
        SAY("cannot connect: %s", strerror((int)s->os_error));
    return OUT(REFUSED);
}

static Pilotgate__Outcome by_content(const struct mcp_seen *s, char *detail) {
    if (s->overflow)
        SAY("an answer over the limit");
    else if (s->curl == CURLE_BAD_CONTENT_ENCODING)
        SAY("an answer whose compression cannot be undone");
    else
        SAY("an answer that is no MCP message");
    return OUT(MALFORMED);
}

static Pilotgate__Outcome by_curl(const struct mcp_seen *s, char *detail) {
    switch (s->curl) {
    case CURLE_OPERATION_TIMEDOUT:
        return by_timeout(s, detail);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
        return by_connect(s, detail);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return by_end(s, false, detail);
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        if (s->tls_alert && s->status == 0) { /* TLS 1.3 refuses our certificate after its handshake */
            say_curl(s, detail);
            return OUT(TLS);
        }
        return by_end(s, !s->orderly, detail);
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return by_end(s, !s->orderly, detail);
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
        return by_content(s, detail);
    default: /* out of memory, a bad URL, certificate files of ours: we never got to call */
        say_curl(s, detail);
        return OUT(ABORTED);
    }
}

static Pilotgate__Outcome by_absence(const struct mcp_seen *s, char *detail) {
    if (s->answer == MCP_ANSWER_NONE && s->sse) {
        SAY("the event stream ended after %llu bytes without the answer", (unsigned long long)s->received);
        return OUT(STREAM_ENDED);
    }
    SAY(s->overflow  ? "HTTP %ld with an answer over the limit"
        : s->foreign ? "HTTP %ld with an answer that is neither JSON nor an event stream"
                     : "HTTP %ld whose body is no answer to the request",
        s->status);
    return OUT(MALFORMED);
}

Pilotgate__Outcome mcp_outcome(const struct mcp_seen *s, char detail[MCP_DETAIL_MAX]) {
    bool success = s->status >= 200 && s->status < 300;
    if (success && (s->answer == MCP_ANSWER_RESULT || s->answer == MCP_ANSWER_ERROR))
        return by_answer(s, detail);
    if (success && s->answer == MCP_ANSWER_MALFORMED)
        return by_absence(s, detail);
    if (s->resend || s->refused)
        return by_resend(s, detail);
    if (s->withheld && !s->sent) { /* nothing of the server shows in that */
        SAY("never sent: no connection to its replica was kept, and one that is going gets no new ones");
        return OUT(ABORTED);
    }
    if (s->aborted) {
        SAY("%s", s->sent ? "given up by the agent, which is ending" : "never sent: the agent is ending");
        return OUT(ABORTED);
    }
    if (s->status >= 200 && !success)
        return by_status(s, detail);
    if (s->curl != CURLE_OK)
        return by_curl(s, detail);
    if (!s->head)
        return by_end(s, false, detail);
    return by_absence(s, detail);
}
