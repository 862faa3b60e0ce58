# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# The demo's collector on this machine: keys, pilot, daemon, questions to it. Sourced by tools/demo.

store_url=sqlite:$demo/store/pilot.db
export PILOTGATE_STORE=$store_url

# ask SUBCOMMAND...: the collector's CLI on the demo's store.
ask() { "$pilotgate" "$@"; }

# make_keys STAGE...: into $keys: the collector's pair, the pilot's key for hashes, a pair for each stage
# (CLUSTER-NAMESPACE.key), and the allow-list of these.
make_keys() {
  local stage name public
  run keygen-server "$pilotgate" keygen server --out "$keys"
  run keygen-pilot "$pilotgate" keygen pilot --out "$keys"
  for stage; do
    name=${stage/\//-}
    run "keygen-$name" "$pilotgate" keygen agent --out "$keys" --name "$name"
    public=$(sed -n 's/^public: *//p' "$keys/$name.pub")
    echo "$public ${stage/\// }" >>"$keys/agents.allow"
  done
}

# declare_pilot FILE
declare_pilot() { run pilot-init "$pilotgate" pilot init --file "$1"; }

# start_collector BIND: BIND is tcp://ADDRESS:PORT.
start_collector() {
  start collector "$pilotgate" serve --bind "$1" --http "127.0.0.1:$http_port" \
    --key-file "$keys/server.key" --allow-file "$keys/agents.allow"
  collector_pid=$started
  wait_until "the collector is ready" 20 curl -fsS "http://127.0.0.1:$http_port/readyz"
}

# gates_json: the verdicts, whatever they are.
gates_json() {
  local status=0
  ask gates -o json || status=$?
  [ $status -ne 2 ]
}

# stage_of GATE STAGE FIELD: reads the verdicts from standard input.
stage_of() {
  jq -r --arg gate "$1" --arg stage "$2" --arg field "$3" \
    '.gates[] | select(.id == $gate) | .stages[]? | select(.stage == $stage) | .[$field]'
}

has_verdict() {
  local verdict
  verdict=$(gates_json | stage_of "$1" "$2" verdict) && [ "$verdict" = "$3" ]
}

# agents_connected STAGE NUMBER
agents_connected() {
  [ "$(ask agents -o json | jq --arg stage "$1" '.stages[] | select(.stage == $stage).connected')" = "$2" ]
}
