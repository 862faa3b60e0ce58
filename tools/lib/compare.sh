# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# Compares the calls that pilotgate calls lost with what gateway and tool server logged themselves, call by
# call: every call carries its number in the header X-Pilotgate-Call, which both log. Sourced by tools/demo.

# lost_calls STAGE SINCE: the calls that a change of the stage since then dropped or interrupted, as JSON, the
# first first; SINCE is in seconds since the epoch.
lost_calls() {
  ask changes --stage "$1" -o json | jq -c --argjson since "$2" '
    [.[] | select((.begin | sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601) >= ($since | floor)) | .lost[]
      | select(.reading == "dropped" or .reading == "interrupted")]
    | unique_by(.evidence, .number) | sort_by(.start) | .[]'
}

# gateway_ended LOG SINCE: the calls that HAProxy ended itself since then (seconds since the epoch): K is a
# session that its stop killed, and what follows is what it waited for ("-": nothing, the answer had gone through).
# Requests without a call's number list tools or begin a session.
gateway_ended() {
  jq -rR --arg since "$(date -u -d "@$2" +%FT%TZ)" '
    fromjson? | select(.time? >= $since and (.end | test("^K[^-]")) and .call != "-") | .call' "$1" | sort -u
}

# gateway_broken LOG SINCE: how many calls it broke off without a word on connections that had carried calls before.
# Of those it logs a bad request without a name, and not of every one: a number to show, not one to compare.
gateway_broken() {
  jq -rR --arg since "$(date -u -d "@$2" +%FT%TZ)" '
    fromjson? | select(.time? >= $since and .end == "CR--" and .call == "-") | .end' "$1" | wc -l
}

# gateway_closed LOG: how many connections the last hard stop closed, as HAProxy says when it begins.
gateway_closed() {
  grep -aoE 'Proxy mcp hard-stopped \([0-9]+ remaining' "$1" | tail -n 1 | grep -oE '[0-9]+' || echo 0
}

# gave_up LOG: did its last process end before it had logged every call? It says so.
gave_up() { grep -aq 'Some tasks resisted to hard-stop' "$1"; }

# join_canary STAGE LOG SINCE TARGET: all calls to the target against the canary's log of executions, as JSON. Lost
# here, and "unanswered": the connection ended before the answer; "answer-lost": it was handed over whole.
join_canary() {
  local status=0
  ask calls --stage "$1" --since "$(date -u -d "@$3" +%FT%T.%NZ)" --target "$4" --join "$2" --limit 100000 \
    -o json || status=$?
  [ $status -ne 2 ]
}

# joined FILE WHAT: the calls of which the join says that, by name.
joined() { jq -r --arg what "$2" '.differences[] | select(.what == $what) | .call' "$1" | sort; }

count_lines() { grep -c . "$1" || true; }

# compare_logs STAGE GATEWAY_LOG CANARY_LOG SINCE TARGET: false when they disagree. TARGET is the name of the
# canary behind the gateway; calls to other targets are known to the gateway's log only.
compare_logs() {
  local stage=$1 gateway=$2 canary=$3 since=$4 target=$5 dir=$demo/compare
  local lost by_canary failed broken gone discarded before
  mkdir -p "$dir"
  lost_calls "$stage" "$since" >"$dir/lost"
  jq -r 'select(.outcome == "refused" or .outcome == "dns") | .call' "$dir/lost" | sort >"$dir/lost-before"
  jq -r .call "$dir/lost" | sort | comm -23 - "$dir/lost-before" >"$dir/lost-all"
  jq -r 'select(.connection == "new") | .call' "$dir/lost" | sort | comm -23 - "$dir/lost-before" >"$dir/lost-new"
  jq -r --arg target "$target" 'select(.target == $target) | .call' "$dir/lost" | sort |
    comm -23 - "$dir/lost-before" >"$dir/lost-canary"
  gateway_ended "$gateway" "$since" >"$dir/gateway-failed"
  join_canary "$stage" "$canary" "$since" "$target" >"$dir/canary.json"
  joined "$dir/canary.json" unanswered >"$dir/canary-gone"
  joined "$dir/canary.json" answer-lost >"$dir/canary-discarded"
  lost=$(count_lines "$dir/lost-all")
  before=$(count_lines "$dir/lost-before")
  by_canary=$(count_lines "$dir/lost-canary")
  failed=$(count_lines "$dir/gateway-failed")
  broken=$(gateway_broken "$gateway" "$since")
  gone=$(count_lines "$dir/canary-gone")
  discarded=$(count_lines "$dir/canary-discarded")

  headline "The lost calls of $stage, in three logs"
  printf '  %-34s %5d   %d to the canary, %d to others; %d on new connections\n' \
    "pilotgate: dropped or interrupted" "$lost" "$by_canary" $((lost - by_canary)) "$(count_lines "$dir/lost-new")"
  [ "$before" -eq 0 ] || printf '  %-34s %5d   no connection; in no log\n' "  and before the gateway" "$before"
  printf '  %-34s %5d   %d calls on new connections by name, %d lines without a name for kept ones\n' \
    "the gateway's log: closed by its stop" "$(gateway_closed "$gateway")" "$failed" "$broken"
  ! gave_up "$gateway" || echo "  (the gateway says that its stop ended before it had logged every call)"
  printf '  %-34s %5d   %d with the caller gone, %d answered in the moment of the reload, not passed on\n' \
    "the canary's log: no answer taken" $((gone + discarded)) "$gone" "$discarded"
  agree "$dir" "$gateway"
}

# gateway_agrees DIR LOG: by name about every call on a new connection. Where its log lacks some (it says that its stop
# ended before it had logged every call; or one line in twenty at most: what it writes to a full pipe, it drops), it
# names no other, and it closed no fewer connections than calls were lost.
gateway_agrees() {
  local missing
  cmp -s "$1/lost-new" "$1/gateway-failed" && return
  missing=$(comm -23 "$1/lost-new" "$1/gateway-failed" | wc -l)
  [ -z "$(comm -13 "$1/lost-new" "$1/gateway-failed")" ] &&
    [ "$(count_lines "$1/lost-all")" -le "$(gateway_closed "$2")" ] || return
  gave_up "$2" || { [ $((missing * 20)) -le "$(count_lines "$1/lost-new")" ] &&
    echo "  (the gateway's log lacks $missing of them: it drops lines that its output cannot take)"; }
}

# agree DIR GATEWAY_LOG: the canary by name about every lost call to it, and the gateway; and none that completed was
# broken off, executed twice or not known here. (A log that is followed may begin after the first calls.)
agree() {
  sort -u "$1/canary-gone" "$1/canary-discarded" >"$1/canary-lost"
  if [ -s "$1/lost-all" ] && cmp -s "$1/lost-canary" "$1/canary-lost" && gateway_agrees "$1" "$2" &&
    jq -e '.counts | .broken + .repeated + .unknown == 0' "$1/canary.json" >/dev/null; then
    echo "  They agree, call by call."
    return 0
  fi
  echo "  THEY DISAGREE: compare the files in $(shown "$1")"
  return 1
}

# show_lost STAGE SINCE: the first of the lost calls, as `explain` names each.
show_lost() {
  headline "The first of the lost calls of $1"
  lost_calls "$1" "$2" | jq -r -s '.[:3][]
    | "  \(.call)  \(.probe), started \(.start), \(.reading) after \(.seconds) s: \(.how_far)\n    \(.why)"'
}
