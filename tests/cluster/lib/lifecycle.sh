# shellcheck shell=bash disable=SC2034
# Up, down, and what happens in between. Sourced by `cluster`, after the other parts.

START_LIMIT=${PILOTGATE_LAB_TIMEOUT:-60} # seconds that the API server and the nodes may take

check_name() { [[ $1 =~ ^[a-z][a-z0-9-]{0,20}$ ]] || usage_error "NAME: lower-case letters, digits and -, at most 21"; }
check_index() { [[ $1 =~ ^[1-9][0-9]?$ && $1 -le 50 ]] || usage_error "INDEX: 1 to 50"; }
check_count() { [[ $1 =~ ^[1-9]$ ]] || usage_error "--nodes: 1 to 9"; }

select_cluster() {
  check_name "$1"
  NAME=$1 SAY_AS=$1 DIR=$STATE/$1
  if [ -e "$DIR/settings" ]; then
    # shellcheck disable=SC1091
    . "$DIR/settings" # INDEX, NET, NODES
  fi
}

require_cluster() {
  select_cluster "$1"
  [ -e "$DIR/settings" ] || die "no cluster $NAME"
}

require_node() { [[ " cp $NODES " == *" $1 "* ]] || usage_error "$NAME has no $1, only: cp $NODES"; }

# One `up` or `down` of a cluster at a time. What a killed `up` had begun holds the lock till it ends.
lock() {
  mkdir -p "$STATE"
  exec 9>"$STATE/.$NAME.lock"
  flock -w "$1" 9 || die "$NAME: another up or down is running"
}

kube() { "$BIN/kubectl" --kubeconfig "$DIR/kubeconfig" "$@"; }

nodes_ready() {
  local ready='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}'
  [ "$(kube get nodes -o jsonpath="$ready" | grep -c True)" -ge "$1" ]
}

# ---- up

check_free() {
  [ ! -e "$DIR" ] && [ -z "$(cgroup_find)" ] || die "$NAME exists already (cluster down $NAME)"
  [ ! -e "/sys/class/net/$(link_name)" ] || die "index $INDEX is taken by another cluster"
}

check_built() {
  [ -x "$BIN/kube-apiserver" ] || die "Kubernetes is not built; run build-kubernetes first"
  [ -d "$SEED" ] || die "no base images; run build-images first"
  check_visible_in_nodes "$CACHE"
  check_visible_in_nodes "$STATE"
}

after_failure() {
  local status=$?
  trap - EXIT INT TERM HUP
  [ $status -ne 0 ] || exit 0
  say "start failed; the last lines of the logs:"
  tail -n 3 "$DIR"/*/log/* 2>/dev/null | tail -n 60 || true
  [ -n "${PILOTGATE_LAB_KEEP:-}" ] || tear_down
  exit $status
}

start_node() {
  configure_node "$1"
  boot "$1"
  connect_node "$1"
  start_containerd "$1"
}

start_nodes() {
  local node pids=()
  for node in $NODES; do
    start_node "$node" &
    pids+=($!)
  done
  wait_all "${pids[@]}"
}

start_control_plane() {
  boot cp
  connect_control_plane
  create_pki
  start_etcd
  start_apiserver
}

start_the_rest() {
  local node
  start_controller_manager
  start_scheduler
  start_dns
  for node in $NODES; do
    start_kubelet "$node"
    start_proxy "$node"
  done
}

cluster_up() {
  local count=2
  select_cluster "$1"
  INDEX=$2
  if [ "${3:-}" = --nodes ]; then count=${4:-}; fi
  check_index "$INDEX"
  check_count "$count"
  "$LAB_DIR/can-host"
  check_built
  lock 0
  check_free
  NET=10.$((200 + INDEX)) NODES=$(seq -f 'n%g' -s ' ' "$count")
  mkdir -p "$DIR"
  printf 'INDEX=%s NET=%s NODES="%s"\n' "$INDEX" "$NET" "$NODES" >"$DIR/settings"
  cgroup_roots >"$DIR/cgroups"
  trap after_failure EXIT
  trap 'exit 130' INT TERM HUP

  start_control_plane
  start_nodes
  wait_until "API server ready" "$START_LIMIT" kube get --raw /readyz
  say "API server ready"
  start_the_rest
  wait_until "nodes ready" "$START_LIMIT" nodes_ready "$count"
  wait_until "default service account" "$START_LIMIT" kube -n default get serviceaccount default
  say "up: $count nodes ready; KUBECONFIG=$DIR/kubeconfig"
  trap - EXIT
}

# ---- down

tear_down() {
  # shellcheck disable=SC2046
  cgroup_clear $(cgroup_find)
  disconnect_host
  if [ -n "${PILOTGATE_LAB_KEEP_LOGS:-}" ] && [ -d "$DIR" ]; then
    mkdir -p "$PILOTGATE_LAB_KEEP_LOGS"
    (cd "$DIR" && cp -r --parents -- */log "$PILOTGATE_LAB_KEEP_LOGS/") || true
  fi
  rm -rf --one-file-system "${DIR:?}" "$STATE/.$NAME.lock"
  say "down"
}

cluster_down() {
  check_name "$1"
  NAME=$1
  lock 60
  select_cluster "$1"
  tear_down
  rmdir "$STATE" 2>/dev/null || true # other clusters may be there
}

# ---- while it runs

# Every image of the archive, into every node.
cluster_load() {
  local archive node pids
  for archive; do
    [ -r "$archive" ] || die "cannot read $archive"
    pids=()
    for node in $NODES; do
      inside "$node" ctr -n k8s.io images import - <"$archive" >"$DIR/$node/log/load" 2>&1 &
      pids+=($!)
    done
    wait_all "${pids[@]}" || { cat "$DIR"/n*/log/load >&2; die "cannot load $archive"; }
    say "loaded $(basename "$archive")"
  done
}

node_stop() {
  local node=$1
  [ -e "$DIR/$node/pid" ] || die "$node is off"
  kill -KILL "$(pid_of "$node")"
  rm -f "$DIR/$node/pid"
  # shellcheck disable=SC2046
  cgroup_clear $(sed "s#\$#/$node#" "$DIR/cgroups")
  say "$node is off"
}

node_start() {
  [ ! -e "$DIR/$1/pid" ] || die "$1 is on"
  start_node "$1"
  start_kubelet "$1"
  start_proxy "$1"
  say "$1 is on"
}

# kill_component NODE COMPONENT [SIGNAL]
kill_component() {
  [ -e "$DIR/$1/pids/$2" ] || usage_error "no component $2 on $1"
  inside "$1" kill "-${3:-KILL}" "$(cat "$DIR/$1/pids/$2")"
}

list_clusters() {
  local settings
  for settings in "$STATE"/*/settings; do
    [ -e "$settings" ] || continue
    printf '%s %s\n' "$(basename "$(dirname "$settings")")" "$(cat "$settings")"
  done
}
