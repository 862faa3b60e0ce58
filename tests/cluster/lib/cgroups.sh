# shellcheck shell=bash disable=SC2034
# The cgroup tree of one cluster. Sourced by `cluster`; uses $NAME and $DIR.
#
# Every cgroup v1 hierarchy gets a directory pilotgate-lab-NAME below the caller's own cgroup, with
# one child a node. Every process of the cluster is put there before it does anything, so the tree
# is the register of all of them: `down` trusts nothing else, and works after a killed start.

# Prints the tree's directory in each hierarchy.
cgroup_roots() {
  local controllers path
  while IFS=: read -r _ controllers path; do
    case $controllers in
      '') controllers=unified ;;
      name=*) controllers=${controllers#name=} ;;
    esac
    [ ! -d "/sys/fs/cgroup/$controllers$path" ] ||
      echo "/sys/fs/cgroup/$controllers${path%/}/pilotgate-lab-$NAME"
  done </proc/self/cgroup
}

# cpuset v1: no process may enter a group whose cpus or mems are empty.
cgroup_copy_cpuset() {
  local file
  for file in cpuset.cpus cpuset.mems; do
    [ -e "$1/$file" ] || continue
    [ -n "$(cat "$1/$file")" ] || cat "$(dirname "$1")/$file" >"$1/$file"
  done
}

# A cluster stands for several machines: beside other work of this one it must not weigh as one process.
cgroup_weigh() { [ ! -e "$1/cpu.shares" ] || echo 20480 >"$1/cpu.shares"; }

cgroup_create() {
  local node=$1 root dir
  while read -r root; do
    for dir in "$root" "$root/$node"; do
      mkdir -p "$dir"
      cgroup_copy_cpuset "$dir"
    done
    cgroup_weigh "$root"
  done <"$DIR/cgroups"
}

# Runs a command in a node's cgroups, and without the lock that `up` and `down` hold.
cgroup_exec() {
  local node=$1 root
  shift
  while read -r root; do echo $BASHPID >"$root/$node/cgroup.procs"; done <"$DIR/cgroups"
  exec 9>&-
  exec "$@"
}

# The cluster's directories, found by name: also those of which no file tells any more.
cgroup_find() { find /sys/fs/cgroup -type d -name "pilotgate-lab-$NAME" -prune 2>/dev/null || true; }

cgroup_pids() { find "$@" -name cgroup.procs -exec cat {} + 2>/dev/null | grep -vx 0 | sort -un || true; }

cgroup_kill() {
  local pids attempt
  for attempt in $(seq 100); do
    pids=$(cgroup_pids "$@")
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep .05
  done
  die "processes survive SIGKILL: $pids"
}

# A group stays busy for a moment after its last process.
cgroup_remove() {
  local attempt
  for attempt in $(seq 50); do
    find "$@" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    ls -d "$@" >/dev/null 2>&1 || return 0
    sleep .02
  done
  die "cgroups cannot be removed: $*"
}

cgroup_clear() {
  [ $# -gt 0 ] || return 0
  cgroup_kill "$@"
  cgroup_remove "$@"
}
