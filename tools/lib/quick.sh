# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# tools/demo --quick: the pilot without Kubernetes. Two stages on loopback, each with an agent, a gateway
# (HAProxy) and a canary, as processes. The stages differ by one line of the gateway's configuration.
# Sourced by tools/demo.

load=950      # calls in flight of each kind of connection, at the good stage, while a drill runs
load_harm=100 # at the harmful one: each of them will be lost

# make_stage NAME LOAD EXTRA: ports and files of a stage; EXTRA is the line that differs.
make_stage() {
  local name=$1 dir=$demo/$1 tools
  mkdir -p "$dir"
  free_port
  canary_port[$name]=$port
  free_port
  gateway_port[$name]=$port
  free_port
  admin_port[$name]=$port
  for tools in plain:echo,hold,whoami added:echo,hold,whoami,sum; do
    fill_gateway "$name" "${tools#*:}" "$3" >"$dir/${tools%%:*}.cfg"
  done
  fill_agent "$name" "$2" >"$dir/agent.yaml"
}

fill_gateway() {
  sed -e "s/@ADMIN@/${admin_port[$1]}/; s/@GATEWAY@/${gateway_port[$1]}/; s/@CANARY@/${canary_port[$1]}/" \
    -e "s/@TOOLS@/$2/; ${3:+s/@EXTRA@/$3/;} /@EXTRA@/d" "$data/quick-gateway.cfg"
}

fill_agent() {
  sed -e "s/@COLLECTOR@/$collector_port/; s/@STAGE@/$1/; s/@NODE@/$1/; s/@LOAD@/$2/" \
    -e "s/@GATEWAY@/${gateway_port[$1]}/; s/@CANARY@/${canary_port[$1]}/; s/@ADMIN@/${admin_port[$1]}/" \
    -e "s#@KEYS@#$keys#; s#@KEY@#local-$1.key#; s#@SPOOL@#$demo/$1/spool#" "$data/quick-agent.yaml"
}

# start_product NAME: the tool server and the gateway before it.
start_product() {
  local name=$1 dir=$demo/$1
  start "$name-canary" "$canary_program" --listen "127.0.0.1:${canary_port[$name]}" \
    --tools-header X-Canary-Tools
  cp "$dir/plain.cfg" "$dir/gateway.cfg"
  start "$name-gateway" haproxy -W -f "$dir/gateway.cfg" -p "$dir/gateway.pid"
  wait_until "the gateway of $name answers" 20 curl -fsS "http://127.0.0.1:${gateway_port[$name]}/healthz"
}

# The agent ends open calls by itself on SIGTERM, so it is ended before the gateway.
start_agent() {
  start "$1-agent" env PILOTGATE_AGENT_CONFIG="$demo/$1/agent.yaml" "$agent_program"
  agent_pids+=("$started")
}

# start_drill NAME CONFIGURATION...: a change to each of the configurations in turn; its number to $started.
start_drill() {
  local name=$1 dir=$demo/$1 words=() word
  shift
  for word; do words+=("$dir/$word.cfg"); done
  start "$name-drill" "$pilotgate" drill config-change --stage "local/$name" --repeat ${#words[@]} -- \
    "$top/tools/lib/nth" "${words[@]}" -- \
    "$top/tools/lib/reload-gateway" "$dir/gateway.pid" "$dir/gateway.cfg"
}

# An agent has read the catalogue, and its slow calls run.
stage_is_witnessed() {
  agents_connected "local/$1" 1 && grep -q '"event":"end","tool":"hold"' "$logs/$1-canary.log"
}

play_quick() {
  declare -gA canary_port gateway_port admin_port
  local good harmful since
  agent_pids=()
  free_port
  collector_port=$port
  free_port
  http_port=$port
  make_keys local/good local/harmful
  make_stage good "$load" ""
  make_stage harmful "$load_harm" "hard-stop-after 1s"
  declare_pilot "$data/quick-pilot.yaml"
  start_collector "tcp://127.0.0.1:$collector_port"
  step "collector up"
  start_product good
  start_product harmful
  step "two gateways and two tool servers up; they differ by one line: hard-stop-after 1s"
  start_agent good
  start_agent harmful
  wait_until "calls of the good stage complete" 30 stage_is_witnessed good
  wait_until "calls of the harmful stage complete" 30 stage_is_witnessed harmful
  step "agents witness both stages"

  since=$EPOCHREALTIME
  step "drill: add a tool at both gateways, with calls in flight; and take it away again at the good one"
  start_drill good added plain
  good=$started
  start_drill harmful added
  harmful=$started
  finish_drill "$harmful" harmful-drill
  step "harmful stage: changed"
  finish_drill "$good" good-drill
  step "good stage: changed, and its window is closed"
  end_quick "$since"
}

end_quick() {
  local status=0
  keep_store
  compare_logs local/harmful "$logs/harmful-gateway.log" "$logs/harmful-canary.log" "$1" canary || status=1
  show_lost local/harmful "$1"
  end_pids "${agent_pids[@]}"
  show_verdicts
  check_verdicts "config-safety local/good PASS" "config-safety local/harmful FAIL" \
    "helm-deployment local/good PENDING|INCONCLUSIVE" "helm-deployment local/harmful PENDING|INCONCLUSIVE" \
    "rollback local/good PENDING|INCONCLUSIVE" "rollback local/harmful PENDING|INCONCLUSIVE" || status=1
  show_further local/harmful
  return $status
}
