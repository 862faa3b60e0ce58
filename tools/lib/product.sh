# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# What the demo does to a cluster: namespace, agents, the product and its changes. A cluster is known by its
# name in $clusters; contexts[NAME] and kubeconfigs[NAME] say how to reach it. Sourced by tools/demo.

chart=$top/tests/cluster/product
data=$top/tests/demo
clusters=()
declare -A context_of=() kubeconfig_of=()
drill_options=(--for 12s) # until the calls on kept connections have come round

kube() {
  local cluster=$1
  shift
  kubectl --kubeconfig "${kubeconfig_of[$cluster]}" --context "${context_of[$cluster]}" -n "$namespace" "$@"
}

# helm_words CLUSTER WORD...: the command line of helm for a cluster, to the array $words.
helm_words() {
  local cluster=$1
  shift
  words=(helm --kubeconfig "${kubeconfig_of[$cluster]}" --kube-context "${context_of[$cluster]}" -n "$namespace" "$@")
}

# on_each NAME FUNCTION: FUNCTION CLUSTER makes a command line in $words; those of all clusters run at the
# same time.
on_each() {
  local name=$1 make_words=$2 cluster status=0
  local -A pids=()
  for cluster in "${clusters[@]}"; do
    "$make_words" "$cluster"
    start "$cluster-$name" "${words[@]}"
    pids[$cluster]=$started
  done
  for cluster in "${clusters[@]}"; do
    finish "${pids[$cluster]}" && continue
    tail -n 10 "$logs/$cluster-$name.log" | sed 's/^/    /' >&2
    status=1
  done
  [ $status -eq 0 ] || fail "$name failed (logs: $(shown "$logs"))"
}

# ---- install

make_namespace() {
  kube "$1" create namespace "$namespace" >>"$logs/$1-namespace.log" 2>&1 ||
    fail "cannot make the namespace $namespace in $1: $(tail -n 1 "$logs/$1-namespace.log")"
  made_namespaces+=("$1")
  kube "$1" create secret generic pilotgate-agent --from-file="agent.key=$keys/$1-$namespace.key" \
    --from-file="server.pub=$keys/server.pub" --from-file="pilot.hash=$keys/pilot.hash" >>"$logs/$1-namespace.log"
}

agent_words() {
  helm_words "$1" install pilotgate "$top/chart" --values "$data/agent.yaml" --set "agent.cluster=$1" \
    --set "agent.config.collector.endpoint=$endpoint" --set "agent.image=${image[agent]}" --wait --timeout 3m
}

# The same settings in every revision: Helm begins from the chart's own values each time.
product_settings() {
  settings=(--set "gateway.image=${image[gateway]}" --set "canary.image=${image[canary]}"
    --set "everything.image=${image[everything]}" --set gateway.resources.requests.cpu=500m
    --set canary.resources.requests.cpu=200m)
}

product_words() {
  product_settings
  helm_words "$1" install shop "$chart" "${settings[@]}" --values "$data/values/plain.yaml" --wait --timeout 5m
}

# ---- change

# upgrade_words CLUSTER: all but the file with the values, which comes last.
upgrade_words() {
  product_settings
  helm_words "$1" upgrade shop "$chart" "${settings[@]}" --values
}

# drill_words CLUSTER VALUES...: a drill that upgrades to each of the values in turn.
drill_words() {
  local cluster=$1 files=() name
  shift
  for name; do files+=("$data/values/$name.yaml"); done
  upgrade_words "$cluster"
  words=("$pilotgate" drill config-change --stage "$cluster/$namespace" "${drill_options[@]}" --repeat ${#files[@]} --
    "$top/tools/lib/nth" "${files[@]}" -- "${words[@]}")
}

change_words() { drill_words "$1" with-sum plain with-sum; }

# To the revision before the newest: the configuration that was replaced last.
rollback_words() {
  local previous
  helm_words "$1" history shop -o json
  previous=$("${words[@]}" | jq '.[-2].revision')
  helm_words "$1" rollback shop "$previous"
  words=("$pilotgate" drill rollback --stage "$1/$namespace" -- "${words[@]}")
}

# ---- logs

log_words() {
  words=(kubectl --kubeconfig "${kubeconfig_of[$1]}" --context "${context_of[$1]}" -n "$namespace" logs)
}

# follow_logs CLUSTER: what gateway and tool server log from now on. Nodes turn logs over, and what was logged
# before may be gone at the end.
follow_logs() {
  local what
  log_words "$1"
  for what in gateway canary; do
    start "$1-$what-followed" "${words[@]}" --follow --since=1s "deployment/$what"
  done
}

# keep_logs CLUSTER: for people to read.
keep_logs() {
  local what
  log_words "$1"
  for what in gateway canary; do
    "${words[@]}" "deployment/$what" >"$logs/$1-$what.log" 2>&1 || true
  done
  "${words[@]}" --selector app.kubernetes.io/component=agent --prefix --tail=-1 >"$logs/$1-agents.log" 2>&1 || true
}

count_nodes() { kube "$1" get nodes -o name | wc -l; }
