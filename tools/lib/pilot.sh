# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# The pilot on two clusters, from a clean namespace to the verdicts. Sourced by tools/demo.

collector_port=5670
drill_lines='^drill\|^change\|^  replicas\|^config-safety\|^rollback' # not what helm says

play_pilot() {
  if [ "$mode" = lab ]; then
    install_packages build demo lab
    build_programs
    lab_up
    lab_images
    free_port
    endpoint=tcp://host.lab.internal:$port
  else
    install_packages build demo
    build_programs
  fi
  begin_pilot
  deploy
  change_and_roll_back
  do_harm "${clusters[1]}"
  end_pilot "${clusters[@]}"
}

begin_pilot() {
  collector_port=${endpoint##*:}
  free_port
  http_port=$port
  make_keys "${clusters[0]}/$namespace" "${clusters[1]}/$namespace"
  sed -e "s#@FIRST@#${clusters[0]}/$namespace#; s#@SECOND@#${clusters[1]}/$namespace#" \
    -e "s/@NODES_FIRST@/$(count_nodes "${clusters[0]}")/; s/@NODES_SECOND@/$(count_nodes "${clusters[1]}")/" \
    "$data/pilot.yaml" >"$demo/pilot.yaml"
  declare_pilot "$demo/pilot.yaml"
  start_collector "tcp://0.0.0.0:$collector_port"
  step "collector up on port $collector_port"
}

all_agents_connected() {
  local cluster
  for cluster in "${clusters[@]}"; do
    agents_connected "$cluster/$namespace" "$(count_nodes "$cluster")" || return 1
  done
}

all_deployed() {
  local cluster
  for cluster in "${clusters[@]}"; do
    has_verdict helm-deployment "$cluster/$namespace" PASS || return 1
  done
}

deploy() {
  local cluster
  for cluster in "${clusters[@]}"; do make_namespace "$cluster"; done
  step "clean namespace $namespace on ${clusters[*]}"
  on_each agents agent_words
  wait_until "an agent of every node is connected" 60 all_agents_connected
  step "agents witness every node"
  on_each install product_words
  step "helm install shop: done"
  wait_until "the first successful tool call in each stage" 90 all_deployed
  step "first successful tool call in each stage"
}

change_and_roll_back() {
  step "drill: add a tool, remove it, add it again, with $(in_flight) calls in flight in each stage"
  drill_each change change_words
  step "drill: helm rollback"
  drill_each rollback rollback_words
  step "rolled back, and the change's window is closed"
}

in_flight() {
  local each
  each=$(grep -o 'drill_in_flight: [0-9]*' "$data/agent.yaml" | awk '{ n += $2 } END { print n }')
  echo $((each * $(count_nodes "${clusters[0]}")))
}

# drill_each NAME FUNCTION: as on_each; what they say is shown. The status of a drill says its verdict, and
# only 2 that it could not be done; the demo reads the verdicts at its end.
drill_each() {
  local name=$1 make_words=$2 cluster
  local -A pids=()
  for cluster in "${clusters[@]}"; do
    "$make_words" "$cluster"
    start "$cluster-$name" "${words[@]}"
    pids[$cluster]=$started
    show_while "$cluster-$name" "$started" "$cluster: " "$drill_lines"
  done
  for cluster in "${clusters[@]}"; do finish_drill "${pids[$cluster]}" "$cluster-$name"; done
}

# The harmful variant does its harm at the reload after the one that brought it. The load is held for so long
# that the first one's window is closed, and the calls that began in it have ended, before the second comes: the
# lost calls belong to one change.
do_harm() {
  step "the harmful variant on $1: one line of configuration"
  upgrade_words "$1"
  run "$1-harmful" "${words[@]}" "$data/values/harmful.yaml"
  follow_logs "$1"
  harm_since=$EPOCHREALTIME
  step "drill: add a tool there"
  drill_options=(--for 32s)
  drill_words "$1" harmful-with-sum
  start "$1-harm" "${words[@]}"
  show_while "$1-harm" "$started" "$1: " "$drill_lines"
  finish_drill "$started" "$1-harm"
}

# end_pilot GOOD HARMED
end_pilot() {
  local status=0
  keep_store
  keep_logs "$1"
  keep_logs "$2"
  compare_logs "$2/$namespace" "$logs/$2-gateway-followed.log" "$logs/$2-canary-followed.log" "$harm_since" canary ||
    status=1
  show_lost "$2/$namespace" "$harm_since"
  show_verdicts
  check_verdicts "helm-deployment $1/$namespace PASS" "helm-deployment $2/$namespace PASS" \
    "config-safety $1/$namespace PASS" "config-safety $2/$namespace FAIL" \
    "rollback $1/$namespace PASS" "rollback $2/$namespace PASS" || status=1
  show_further "$2/$namespace"
  return $status
}
