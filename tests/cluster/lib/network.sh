# shellcheck shell=bash disable=SC2034
# Addresses and links. Sourced by `cluster`; uses $NAME, $INDEX, $NET, $NODES.
#
#   NET.0.1      API server and DNS          NET.96.0/24       Services
#   NET.0.1K     node nK                     NET.(16+K).0/24   pods of node nK
#   NET.255.1    the host                    10.200.0.1        the host, in every cluster
#
# with NET = 10.(200+INDEX). A bridge in cp's namespace joins the nodes; one veth pair leads to the
# host. There is no default route beyond the host: a pod reaches this machine and nothing else.

HOST_ADDRESS=10.200.0.1

link_name() { echo "pglab$INDEX"; }
node_number() { echo "${1#n}"; }
node_address() { echo "$NET.0.$((10 + $(node_number "$1")))"; }
pod_network() { echo "$NET.$((16 + $(node_number "$1"))).0/24"; }

in_net() {
  local node=$1
  shift
  nsenter -t "$(pid_of "$node")" -n "$@"
}

# The host's own addresses, except those of the labs.
host_addresses() {
  ip -4 -o addr show scope global | awk '$2 !~ /^pglab/ { sub("/.*", "", $4); print $4 }' | sort -u
}

# Routes to the pods of all nodes, as seen from one of them.
pod_routes() {
  local self=$1 node
  for node in $NODES; do
    [ "$node" = "$self" ] || echo "route add $(pod_network "$node") via $(node_address "$node")"
  done
}

connect_control_plane() {
  local link address
  link=$(link_name)
  ip link add "$link" type veth peer name host0 netns "$(pid_of cp)"
  ip link set "$link" alias "pilotgate-lab $NAME" up
  ip addr add "$HOST_ADDRESS/32" dev "$link"
  ip addr add "$NET.255.1/30" dev "$link"
  ip route add "$NET.0.0/16" via "$NET.255.2"
  {
    echo "addr add $NET.255.2/30 dev host0"
    echo "link set host0 up"
    echo "link add br0 type bridge"
    echo "addr add $NET.0.1/24 dev br0"
    echo "link set br0 up"
    for address in $HOST_ADDRESS $(host_addresses); do
      echo "route replace $address via $NET.255.1"
    done
    pod_routes cp
    echo "route add $NET.96.0/24 via $(node_address n1)"
  } | in_net cp ip -batch -
}

connect_node() {
  local node=$1
  in_net cp ip link del "to-$node" 2>/dev/null || true # of a node that was stopped a moment ago
  in_net cp ip link add "to-$node" type veth peer name eth0 netns "$(pid_of "$node")"
  in_net cp ip link set "to-$node" master br0 up
  {
    echo "addr add $(node_address "$node")/24 dev eth0"
    echo "link set eth0 up"
    echo "route add default via $NET.0.1"
    pod_routes "$node"
    service_routes
  } | in_net "$node" ip -batch -
}

# What a pod sends to a Service is rewritten before it is routed. What is not, since kube-proxy has no rule for it
# yet, must go nowhere: otherwise it would run in circles, and the kernel would remember the connection as one that
# is not rewritten, also for a later one from the same port.
service_routes() {
  echo "rule add iif cni0 lookup 100"
  echo "route add unreachable $NET.96.0/24 table 100"
}

# Removes the host's end of the link, which is known by its alias.
disconnect_host() {
  local alias
  for alias in /sys/class/net/pglab*/ifalias; do
    [ -e "$alias" ] && [ "$(cat "$alias")" = "pilotgate-lab $NAME" ] || continue
    ip link del "$(basename "$(dirname "$alias")")" 2>/dev/null || true
  done
  # A start killed between `link add` and `link set alias` leaves a link without a name of its owner.
  [ -z "${INDEX:-}" ] || [ ! -e "/sys/class/net/$(link_name)" ] ||
    ip link del "$(link_name)" 2>/dev/null || true
}
