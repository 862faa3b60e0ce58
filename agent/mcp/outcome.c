/* outcome: see outcome.h. The order of the questions is the meaning:
 *   1. a classified answer decides, however the connection ended after it;
 *   2. then what we did ourselves (abort, refusing to send twice);
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

/* The connection ended without the answer; rst: not in an orderly way. */
static Pilotgate__Outcome by_end(const struct mcp_seen *s, bool rst, char *detail) {
    const char *how = rst ? "broken" : "closed";
    if (s->received == 0) {
        SAY("a %s connection was %s %s", kind_of(s), how,
            s->sent ? "with zero bytes of answer" : "before the whole request was sent");
        return rst || s->reused ? OUT(RESET) : OUT(CLOSED);
    }
    SAY("the connection was %s after %llu bytes of an answer%s", how, (unsigned long long)s->received,
        s->sse ? ", inside the event stream" : "");
    if (s->sse)
        return OUT(STREAM_ENDED);
    return rst ? OUT(RESET) : OUT(TRUNCATED);
}

static Pilotgate__Outcome by_timeout(const struct mcp_seen *s, char *detail) {
    if (!s->sent)
        SAY("hard maximum reached before the request was sent");
    else
        SAY("hard maximum reached after %llu bytes of an answer", (unsigned long long)s->received);
    return OUT(TIMEOUT);
}

static Pilotgate__Outcome by_curl(const struct mcp_seen *s, char *detail) {
    SAY("%s", curl_easy_strerror(s->curl));
    switch (s->curl) {
    case CURLE_OPERATION_TIMEDOUT:
        return by_timeout(s, detail);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return OUT(DNS);
    case CURLE_COULDNT_CONNECT:
        if (s->os_error)
            SAY("cannot connect: %s", strerror((int)s->os_error));
        return OUT(REFUSED);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
        return OUT(TLS);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return by_end(s, false, detail);
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return by_end(s, !s->orderly, detail);
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
        SAY("%s", s->overflow ? "an answer over the limit" : "an answer that is no MCP message");
        return OUT(MALFORMED);
    default: /* out of memory, a bad URL: we never got to call */
        return OUT(ABORTED);
    }
}

static Pilotgate__Outcome by_absence(const struct mcp_seen *s, char *detail) {
    if (s->answer == MCP_ANSWER_NONE && s->sse) {
        SAY("the event stream ended after %llu bytes without the answer", (unsigned long long)s->received);
        return OUT(STREAM_ENDED);
    }
    SAY("HTTP %ld whose body is no answer to the request", s->status);
    return OUT(MALFORMED);
}

Pilotgate__Outcome mcp_outcome(const struct mcp_seen *s, char detail[MCP_DETAIL_MAX]) {
    bool success = s->status >= 200 && s->status < 300;
    if (success && (s->answer == MCP_ANSWER_RESULT || s->answer == MCP_ANSWER_ERROR))
        return by_answer(s, detail);
    if (s->resend) {
        SAY("a reused connection closed with zero bytes of answer; the request was not sent again");
        return OUT(RESET);
    }
    if (s->aborted) {
        SAY("%s", s->sent ? "given up by the agent, which is ending" : "never sent: the agent is ending");
        return OUT(ABORTED);
    }
    if (s->status >= 200 && !success)
        return by_status(s, detail);
    if (s->curl != CURLE_OK)
        return by_curl(s, detail);
    return by_absence(s, detail);
}
