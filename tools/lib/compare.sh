# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# Compares the calls that pilotgate calls lost with what gateway and tool server logged themselves, call by
# call: every call carries its number in the header X-Pilotgate-Call, which both log. Sourced by tools/demo.

# lost_calls STAGE: "CALL TARGET" of each call that a change of the stage dropped or interrupted.
lost_calls() {
  ask changes --stage "$1" -o json | jq -r --arg stage "$1" '
    .[] | select(.stage == $stage) | .lost[] | select(.reading == "dropped" or .reading == "interrupted")
    | "\(.call) \(.target)"' | sort -u
}

# gateway_failures LOG SINCE: the calls that caddy answered with 502 since then (seconds since the epoch).
gateway_failures() {
  jq -rR --argjson since "$2" '
    fromjson? | select(.ts? >= $since and .msg == "handled request" and .status >= 500)
    | .request.headers["X-Pilotgate-Call"][0] // "a call of somebody else"' "$1" | sort -u
}

# gateway_broken LOG SINCE: how many answers that had begun it broke off; caddy does not say which.
gateway_broken() {
  jq -rR --argjson since "$2" '
    fromjson? | select(.ts? >= $since and .msg == "aborting with incomplete response") | .msg' "$1" | wc -l
}

# server_log LOG SINCE EVENT: the calls of which the canary logged that. gone: the connection ended before the
# answer; end: the answer was handed over whole.
server_log() {
  jq -rR --argjson since "$2" --arg event "$3" '
    fromjson? | select(.event? == $event)
    | select((.t | sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601) >= ($since | floor))
    | .call // "a call of somebody else"' "$1" | sort -u
}

count_lines() { grep -c . "$1" || true; }

# compare_logs STAGE GATEWAY_LOG CANARY_LOG SINCE TARGET: false when they disagree. TARGET is the name of the
# canary behind the gateway; calls to other targets are known to the gateway's log only.
compare_logs() {
  local stage=$1 gateway=$2 canary=$3 since=$4 target=$5 dir=$demo/compare
  local lost by_canary failed broken gone discarded
  mkdir -p "$dir"
  lost_calls "$stage" >"$dir/lost"
  awk -v target="$target" '$2 == target { print $1 }' "$dir/lost" >"$dir/lost-canary"
  awk '{ print $1 }' "$dir/lost" >"$dir/lost-all"
  gateway_failures "$gateway" "$since" >"$dir/gateway-failed"
  server_log "$canary" "$since" gone >"$dir/canary-gone"
  server_log "$canary" "$since" end >"$dir/canary-end"
  comm -23 "$dir/lost-canary" "$dir/canary-gone" | comm -12 - "$dir/canary-end" >"$dir/canary-discarded"
  lost=$(count_lines "$dir/lost")
  by_canary=$(count_lines "$dir/lost-canary")
  failed=$(count_lines "$dir/gateway-failed")
  broken=$(gateway_broken "$gateway" "$since")
  gone=$(count_lines "$dir/canary-gone")
  discarded=$(count_lines "$dir/canary-discarded")

  headline "The lost calls of $stage, in three logs"
  printf '  %-34s %5d   %d to the canary, %d to others\n' "pilotgate: dropped or interrupted" \
    "$lost" "$by_canary" $((lost - by_canary))
  printf '  %-34s %5d   %d answered with 502, %d answers broken off\n' "the gateway's log: ended calls" \
    $((failed + broken)) "$failed" "$broken"
  printf '  %-34s %5d   %d with the caller gone, %d answered in the moment of the reload, not passed on\n' \
    "the canary's log: no answer taken" $((gone + discarded)) "$gone" "$discarded"
  agree "$dir" "$lost" $((failed + broken))
}

# agree DIR LOST ENDED
agree() {
  sort -u "$1/canary-gone" "$1/canary-discarded" >"$1/canary-lost"
  if [ "$2" -gt 0 ] && [ "$2" -eq "$3" ] && cmp -s "$1/lost-canary" "$1/canary-lost" &&
    [ -z "$(comm -13 "$1/lost-all" "$1/gateway-failed")" ]; then
    echo "  They agree, call by call."
    return 0
  fi
  echo "  THEY DISAGREE: compare the files in $(shown "$1")"
  return 1
}

# show_lost STAGE: some of the lost calls, as `explain` names each.
show_lost() {
  headline "The first of the lost calls of $1"
  ask changes --stage "$1" -o json | jq -r '
    [.[].lost[] | select(.reading == "dropped" or .reading == "interrupted")] | sort_by(.start) | .[:3][]
    | "  \(.call)  \(.probe), started \(.start), \(.reading) after \(.seconds) s: \(.how_far)\n    \(.why)"'
}
