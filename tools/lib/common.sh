# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# Steps on the screen, processes that are ended for certain, waits with a bound. Sourced by tools/demo.
#
# Whoever sources this sets: top (the repository), logs (a folder that exists).

begun=$EPOCHREALTIME
started_pids=()
started_names=()

elapsed() {
  local us=$((${EPOCHREALTIME/./} - ${begun/./}))
  printf '%d.%d' $((us / 1000000)) $((us / 100000 % 10))
}

# One line a step, with the seconds since the beginning.
step() { printf '[%6ss] %s\n' "$(elapsed)" "$*"; }

fail() {
  echo "${program:-demo}: $*" >&2
  exit 1
}

wrong() {
  echo "${program:-demo}: $*" >&2
  exit 2
}

# Text for people in colour, on a terminal that wants it.
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' plain=$'\e[0m'
else
  bold='' plain=''
fi
headline() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# ---- processes
#
# Everything that runs for longer than a moment runs in a session of its own, so that a signal to this
# script is answered at once and all of it can be ended by its number, with its children.

# start NAME COMMAND...: in the background; output goes to logs/NAME.log; its number to $started.
start() {
  local name=$1
  shift
  setsid "$@" >"$logs/$name.log" 2>&1 </dev/null 9>&- &
  started=$!
  started_pids+=("$started")
  started_names+=("$name")
}

# finish PID: waits for its end and gives its status.
finish() {
  local status=0
  wait "$1" || status=$?
  forget "$1"
  return $status
}

forget() {
  local i
  for i in "${!started_pids[@]}"; do
    [ "${started_pids[i]}" != "$1" ] || unset "started_pids[i]" "started_names[i]"
  done
}

is_alive() { kill -0 "$1" 2>/dev/null; }

# end_pids PID...: TERM to each with its children, KILL after ten seconds.
end_pids() {
  local pid deadline=$((SECONDS + 10))
  for pid; do kill -TERM -- "-$pid" 2>/dev/null || true; done
  for pid; do
    while is_alive "$pid" && [ $SECONDS -lt $deadline ]; do sleep .05; done
    kill -KILL -- "-$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    forget "$pid"
  done
}

end_all() { end_pids "${started_pids[@]}"; }

# run NAME COMMAND...: to its end; what it says goes to logs/NAME.log and is shown when it fails.
run() {
  local name=$1 pid status=0
  shift
  start "$name" "$@"
  pid=$started
  finish "$pid" || status=$?
  [ $status -eq 0 ] && return
  tail -n 15 "$logs/$name.log" | sed 's/^/    /' >&2
  fail "failed with status $status: $* (log: $(shown "$logs/$name.log"))"
}

# show_while NAME PID PREFIX [PATTERN]: shows the log's lines that match as they come, until that process has ended.
show_while() {
  tail -n +1 -s .2 -f --pid="$2" "$logs/$1.log" 2>/dev/null 9>&- |
    sed -un "\\#${4:-^}# s#^#           $3#p" 9>&- &
  shower=$!
}

# run_shown NAME COMMAND...: the same, and every line of it is also shown while it runs.
run_shown() {
  local name=$1 pid status=0
  shift
  start "$name" "$@"
  pid=$started
  show_while "$name" "$pid" ""
  finish "$pid" || status=$?
  wait "$shower" || true
  [ $status -eq 0 ] || fail "failed with status $status: $* (log: $(shown "$logs/$name.log"))"
}

# A path as people type it from here.
shown() { realpath --relative-to=. "$1"; }

# ---- waits

# wait_until WHAT SECONDS COMMAND...: tries until it succeeds, and fails when something that was started ended.
wait_until() {
  local what=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "gave up waiting: $what (logs: $(shown "$logs"))"
    all_alive
    sleep .2
  done
}

all_alive() {
  local i name
  for i in "${!started_pids[@]}"; do
    is_alive "${started_pids[i]}" && continue
    name=${started_names[i]}
    tail -n 5 "$logs/$name.log" | sed 's/^/    /' >&2
    fail "$name ended before its time (log: $(shown "$logs/$name.log"))"
  done
}

# free_port: a TCP port of this machine that nobody listens on, to $port; never the same twice.
next_port=$((20000 + RANDOM % 10000))
free_port() {
  while :; do
    port=$next_port
    next_port=$((next_port + 1))
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
  done
}
