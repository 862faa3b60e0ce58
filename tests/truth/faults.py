"""The table of faults: what the proxy does to a call, and the class that the agent must give it.

It comes from the definitions of `enum Outcome` in proto/pilotgate.proto, not from what the agent says, and a run does
not change it. A row has one class, unless `why` says what makes two indistinguishable; UNTOLD, SHARED and LEAVING are
limits of libcurl that runs have shown. A row is healthy, a fault of HTTP/1.1, or one of HTTP/2:

  through   the tool server executes the call; otherwise it never learns of it
  message   what becomes of the answer's JSON (answers.py, MESSAGES)
  form      how the answer is framed: json, chunked, sse, bare (ended by the connection's end), or a status
  cut       where the answer breaks off: zero (not one byte), first-line, head, after-head, body
  end       what happens then: keep, fin (orderly), rst, stall (nothing, until the client leaves); http2.py has
            those of HTTP/2
  pace      drip (piece by piece), late (after the probe's limit, before its timeout), forever
  classes   what `enum Outcome` calls it; on_reused where a connection that had served a call differs
  why       why more than one class is right, where that is so
"""
import dataclasses

COMPLETED, LATE, TOOL, RPC, HTTP = "COMPLETED", "COMPLETED_LATE", "TOOL_ERROR", "RPC_ERROR", "HTTP_ERROR"
REFUSED, RESET, CLOSED, TRUNCATED, ENDED = "REFUSED", "RESET", "CLOSED", "TRUNCATED", "STREAM_ENDED"
SESSION, TIMEOUT, ABORTED, LIMITED, MALFORMED = "SESSION_LOST", "TIMEOUT", "ABORTED", "RATE_LIMITED", "MALFORMED"

RACE = "an RST discards what the client has not read yet, so it sees a reset of a stream, or of nothing"
PARTIAL = "a head broken off is bytes, but neither an answer nor one that announced a length"
UNTOLD = PARTIAL + "; and libcurl does not tell bytes of a first line that never ended from none"
NOT_TAKEN = "GOAWAY below the stream: the connection ends in order, the stream as if refused (6.8)"
SHARED = "which call began the connection is the client's to know; one gets the RST, others hear that it ended"
LEAVING = "on a connection with a GOAWAY libcurl tells a reset of the last stream as its end, with or without bytes"
OTHER = "another request's answer is no expected answer and no answer to this request: no class is only that"


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    classes: tuple
    through: bool = True
    message: str = "as-is"
    form: str = "json"
    cut: str = ""
    end: str = "keep"
    pace: str = ""
    on_reused: tuple = ()
    why: str = ""

    def allowed(self, reused):
        return self.on_reused if reused and self.on_reused else self.classes


def row(name, *classes, **how):
    return Fault(name, classes, **how)


def status(number, *classes, through=False):
    return row(f"status-{number}{'-executed' * through}", *classes, form=f"status {number}", through=through)


# Framings that a healthy server may choose, and oddities that are no fault: all COMPLETED.
HEALTHY = [
    row("json", COMPLETED),
    row("chunked", COMPLETED, form="chunked"),
    row("sse", COMPLETED, form="sse"),
    row("then-closed", COMPLETED, form="json-close", end="fin"),
    row("until-closed", COMPLETED, form="bare", end="fin"),
    row("drip", COMPLETED, pace="drip"),
    row("drip-sse", COMPLETED, form="sse", pace="drip"),
    row("notification-first", COMPLETED, form="sse", message="after-notification"),
    row("answered-twice", COMPLETED, form="sse", message="twice"),
    row("early-hints", COMPLETED, form="hinted"),
]

FAULTS = [
    # The connection ends before, in and after the head.
    row("rst", RESET, cut="zero", end="rst", through=False),
    row("rst-executed", RESET, cut="zero", end="rst"),
    row("rst-in-head", RESET, cut="head", end="rst"),
    row("rst-after-head", RESET, cut="after-head", end="rst"),
    row("rst-in-body", RESET, cut="body", end="rst"),
    row("rst-in-chunked", RESET, form="chunked", cut="body", end="rst"),
    row("rst-in-sse", ENDED, RESET, form="sse", cut="body", end="rst", why=RACE),
    row("fin", CLOSED, cut="zero", end="fin", through=False, on_reused=(RESET,)),
    row("fin-executed", CLOSED, cut="zero", end="fin", on_reused=(RESET,)),
    row("fin-in-first-line", CLOSED, TRUNCATED, cut="first-line", end="fin", on_reused=(CLOSED, TRUNCATED, RESET),
        why=UNTOLD),
    row("fin-in-head", CLOSED, TRUNCATED, cut="head", end="fin", why=PARTIAL),
    row("fin-after-head", TRUNCATED, cut="after-head", end="fin"),
    row("fin-in-body", TRUNCATED, cut="body", end="fin"),
    row("fin-in-chunked", TRUNCATED, form="chunked", cut="body", end="fin"),
    row("fin-unannounced", MALFORMED, form="bare", cut="body", end="fin"),
    row("sse-cut", ENDED, form="sse", cut="body", end="fin"),
    row("sse-cut-after-head", ENDED, form="sse", cut="after-head", end="fin"),
    row("sse-without-answer", ENDED, form="sse", message="notification-only"),
    row("sse-empty", ENDED, form="sse", message="nothing"),
    # Statuses, with bodies as gateways write them.
    status(500, HTTP), status(502, HTTP), status(502, HTTP, through=True), status(503, HTTP),
    status(504, HTTP, through=True), status(403, HTTP), status(307, HTTP), status(429, LIMITED),
    status(204, MALFORMED),
    # Time.
    row("stall", TIMEOUT, cut="zero", end="stall", through=False),
    row("stall-executed", TIMEOUT, cut="zero", end="stall"),
    row("stall-in-head", TIMEOUT, cut="head", end="stall"),
    row("stall-in-body", TIMEOUT, cut="body", end="stall"),
    row("stall-in-sse", TIMEOUT, form="sse", cut="body", end="stall"),
    row("sse-forever", TIMEOUT, form="sse", message="nothing", pace="forever"),
    row("late", LATE, pace="late"),
    row("late-sse", LATE, form="sse", pace="late"),
    # Failures inside a 200.
    row("is-error", TOOL, message="is-error"),
    row("is-error-sse", TOOL, form="sse", message="is-error"),
    row("success-false", TOOL, message="success-false"),
    row("success-false-bare", MALFORMED, message="success-false-bare"),
    row("other-nonce", TOOL, message="other-nonce"),
    row("no-content", TOOL, message="no-content"),
    row("rpc-error", RPC, message="rpc-error"),
    row("rpc-error-sse", RPC, form="sse", message="rpc-error"),
    row("other-id", MALFORMED, TOOL, message="other-id", why=OTHER),
    row("garbage", MALFORMED, message="garbage", through=False),
    row("half-json", MALFORMED, message="half-json"),
    row("batch", MALFORMED, message="batch"),
    row("html", MALFORMED, message="html", form="html", through=False),
    # A server must answer with application/json or text/event-stream (MCP 2025-11-25, basic/transports, "Sending
    # Messages to the Server", 5): a client that follows the specification takes nothing else for an MCP message.
    row("wrong-type", MALFORMED, form="html"),
    row("answer-doubled", COMPLETED, form="doubled"),
]

# Only where the request carried a session id. The statuses are the specification's for a lost session, and what
# servers of the older SDKs say.
SESSIONS = [status(404, SESSION), status(400, SESSION)]

# HTTP/2: rows that mean the same there, and what a stream and its connection can suffer (RFC 9113).
HTTP2_HEALTHY = [
    *(f for f in HEALTHY if f.form == "json" or f.form == "sse" and f.pace != "drip"),
    row("goaway-answered", COMPLETED, end="goaway-answered"),
    row("no-error", COMPLETED, end="no-error"),
]
SAME = [f for f in FAULTS if f.end in ("keep", "stall") and f.cut in ("", "zero", "body")
        and f.form.split()[0] in ("json", "sse", "html", "status")]
HTTP2_FAULTS = [
    row("refused-stream", RESET, cut="zero", end="stream REFUSED_STREAM", through=False),
    row("rst-stream", RESET, CLOSED, cut="zero", end="stream INTERNAL_ERROR", through=False, why=LEAVING),
    row("rst-stream-executed", RESET, CLOSED, cut="zero", end="stream CANCEL", why=LEAVING),
    row("rst-stream-after-head", RESET, TRUNCATED, cut="after-head", end="stream INTERNAL_ERROR", why=LEAVING),
    row("rst-stream-in-body", RESET, TRUNCATED, cut="body", end="stream INTERNAL_ERROR", why=LEAVING),
    row("rst-stream-in-sse", ENDED, RESET, form="sse", cut="body", end="stream CANCEL", why=RACE),
    row("short", TRUNCATED, RESET, cut="body", end="stream-end",
        why="a body that ends short of its length is a stream error that the client raises itself (8.1.1)"),
    row("sse-ended-early", ENDED, form="sse", cut="body", end="stream-end"),
    row("goaway", RESET, CLOSED, cut="zero", end="goaway", through=False, why=NOT_TAKEN),
    row("goaway-error", RESET, CLOSED, cut="zero", end="goaway INTERNAL_ERROR", through=False, why=NOT_TAKEN),
    row("connection-fin", CLOSED, RESET, cut="zero", end="fin", why=SHARED),
    row("connection-rst", RESET, CLOSED, cut="zero", end="rst", why=SHARED),
]
# A request that crossed a GOAWAY, or the connection's end, on the way: nobody takes it.
CROSSED = row("goaway-crossed", RESET, CLOSED, cut="zero", through=False, why=NOT_TAKEN)
# What else was open on a connection that was ended: how far its answer had come decides.
FELLOW = row("fellow", RESET, CLOSED, TRUNCATED, ENDED, why=RACE)

# A connection that gave its client two answers to one request: its next request would find an answer to another.
STALE = row("stale", MALFORMED, TOOL, why=OTHER)

# Calls begun when the count was reached: healthy, and the agent that ends may give them up.
TAIL = row("tail", COMPLETED, ABORTED)

# Arcade's REST interface: as over HTTP/1.1, without event streams, and a failure in a 200 is success:false. No document
# says which content types its clients refuse, so that row is left out.
ARCADE_HEALTHY = [f for f in HEALTHY if f.form != "sse"]
ARCADE_MESSAGES = ("as-is", "is-error", "other-nonce", "no-content", "garbage", "half-json", "html")
ARCADE_FAULTS = [
    *(f for f in FAULTS if f.form != "sse" and f.message in ARCADE_MESSAGES and f.name != "wrong-type"),
    row("success-false-alone", TOOL, message="success-false-bare"),
]

# What a kind of door chooses from.
CHOICE = {"plain": (HEALTHY, FAULTS), "session": (HEALTHY, SESSIONS), "shaky": (HEALTHY[:1], []),
          "quiet": (HEALTHY[:1], []), "arcade": (ARCADE_HEALTHY, ARCADE_FAULTS),
          "http2": (HTTP2_HEALTHY, SAME + 3 * HTTP2_FAULTS)}

BY_NAME = {f.name: f for f in [*HEALTHY, *FAULTS, *SESSIONS, *HTTP2_HEALTHY, *HTTP2_FAULTS,
                              *ARCADE_FAULTS, FELLOW, CROSSED,
                              STALE, TAIL]}
