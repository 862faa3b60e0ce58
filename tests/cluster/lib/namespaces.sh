# shellcheck shell=bash disable=SC2034
# Machines made of namespaces. Sourced by `cluster`; uses $DIR and $BIN.
#
# The control plane ("cp") is pid 1 of mount, uts, ipc, net, pid and cgroup namespaces of its own.
# Every node is the same, nested in cp's pid namespace: one SIGKILL to cp's pid 1 ends the cluster
# with its mounts and its networks.

pid_of() { cat "$DIR/$1/pid"; }

# inside NODE COMMAND... : runs a command in a node's namespaces and cgroups.
inside() {
  local node=$1
  shift
  (cgroup_exec "$node" nsenter -t "$(pid_of "$node")" -m -u -i -n -p -C -- "$@")
}

# Starts a node's pid 1 and waits until it has its mounts.
boot() {
  local node=$1 in_cluster=()
  mkdir -p "$DIR/$node/pids" "$DIR/$node/log"
  rm -f "$DIR/$node/pid"
  cgroup_create "$node"
  [ "$node" = cp ] || in_cluster=(nsenter -t "$(pid_of cp)" -p --)
  (cgroup_exec "$node" setsid "${in_cluster[@]}" \
    unshare -m -u -i -n -p -C --fork --kill-child=KILL --propagation private \
    bash "$LAB_DIR/lib/node-init" "$DIR" "$node" "$BIN/pause" \
    >>"$DIR/$node/log/init" 2>&1 </dev/null &)
  wait_until "$node: init (see $DIR/$node/log/init)" 10 test -s "$DIR/$node/pid"
}

# spawn NODE NAME COMMAND... : starts a program as a child of the node's pid 1, with log and pid file.
# A clean environment: no proxies, and the kubelet's built-in AWS credential provider, which would
# look for its metadata service for 4 s, stays off.
spawn() {
  local node=$1 component=$2
  shift 2
  # shellcheck disable=SC2016
  inside "$node" bash -c '
    component=$1 dir=$2
    shift 2
    {
      echo $BASHPID >"$dir/pids/$component"
      exec env -i PATH="$PATH" HOME=/root AWS_EC2_METADATA_DISABLED=true "$@" \
        >>"$dir/log/$component" 2>&1 </dev/null
    } &' _ "$component" "$DIR/$node" "$@"
}
