# shellcheck shell=bash disable=SC2004,SC2034,SC2154 # the parts share their variables
# The clusters of the demo: two of the lab's own (tests/cluster), or two of the user's. Sourced by tools/demo.

lab=$top/tests/cluster
lab_begun=
made_namespaces=()

# ---- the lab's own

# One line at once when this machine cannot do it.
check_lab() {
  local why
  if [ "$(id -u)" = 0 ] && ! command -v ip >/dev/null; then "$lab/install"; fi
  why=$("$lab/can-host" 2>&1) ||
    wrong "$why; use clusters of yours (--context A --context B), or none (--quick)"
}

lab_up() {
  local name
  for name in east west; do
    ! "$lab/cluster" ls | grep -q "^$name " ||
      fail "the lab's cluster $name is up already; tests/cluster/both down ends it"
  done
  step "clusters east and west: two nodes each"
  lab_begun=yes
  run_shown clusters "$lab/both" up
  PATH=${PILOTGATE_LAB_CACHE:-$HOME/.cache/pilotgate-lab}/bin:$PATH
  clusters=(east west)
  for name in east west; do
    kubeconfig_of[$name]=$("$lab/cluster" kubeconfig "$name")
    context_of[$name]=$(kubectl --kubeconfig "${kubeconfig_of[$name]}" config current-context)
  done
}

lab_images() {
  image=([agent]=localhost/pilotgate-agent:dev [canary]=localhost/pilotgate-canary:dev
    [gateway]=localhost/lab-gateway:1 [everything]=localhost/lab-everything:1)
  step "images of agent and canary, onto every node"
  run images "$top/tools/images" --build "$build" agent canary
  run load "$lab/both" load "$build/images/agent.tar" "$build/images/canary.tar"
}

# ---- the user's

# stage_name CONTEXT: as pilotgate may call the cluster.
stage_name() { tr -c 'A-Za-z0-9._\n-' - <<<"$1" | sed 's/^[^A-Za-z0-9]*//; s/[^A-Za-z0-9]*$//' | cut -c 1-40; }

check_contexts() {
  local context name needed
  [ ${#contexts[@]} -eq 2 ] || wrong "--context must be given twice, once for each cluster"
  for needed in kubectl helm; do
    command -v $needed >/dev/null || wrong "$needed is not on PATH"
  done
  [[ $endpoint =~ ^tcp://[^/:]+:[0-9]+$ ]] ||
    wrong "--collector-endpoint tcp://HOST:PORT is needed: where pods of both clusters reach this machine"
  [[ $namespace =~ ^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$ ]] || wrong "--namespace '$namespace' is no name of a namespace"
  for name in agent canary gateway everything; do
    [ -n "${image[$name]:-}" ] || wrong "--$name-image is needed: an image that both clusters can pull"
  done
  for context in "${contexts[@]}"; do check_context "$context"; done
  [ "$(stage_name "${contexts[0]}")" != "$(stage_name "${contexts[1]}")" ] ||
    wrong "the two contexts must be two clusters with names of their own"
}

check_context() {
  local name why
  name=$(stage_name "$1")
  why=$(kubectl --context "$1" --request-timeout 10s get namespaces -o name 2>&1) ||
    wrong "context '$1': $(tail -n 1 <<<"$why")"
  ! grep -qx "namespace/$namespace" <<<"$why" ||
    wrong "context '$1': the namespace $namespace exists already; name another with --namespace"
  clusters+=("$name")
  context_of[$name]=$1
  kubeconfig_of[$name]=
}

# ---- the end

leave_clusters() {
  local cluster
  if [ "$mode" = contexts ]; then
    for cluster in "${made_namespaces[@]}"; do
      kube "$cluster" delete namespace "$namespace" --wait=false >>"$logs/$cluster-namespace.log" 2>&1 || true
    done
  elif [ -n "$lab_begun" ] && [ -n "$keep" ]; then
    echo "clusters east and west stay up; tests/cluster/both down ends them"
  elif [ -n "$lab_begun" ]; then
    step "clusters down"
    "$lab/both" down >"$logs/down.log" 2>&1 || echo "demo: tests/cluster/both down failed" >&2
  fi
}
