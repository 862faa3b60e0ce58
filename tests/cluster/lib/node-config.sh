# shellcheck shell=bash disable=SC2034
# Configuration files of a node's programs. Sourced by `cluster`; uses $NAME, $DIR, $NET, $SEED.

CONTAINERD_SOCKET=/run/containerd/containerd.sock
PAUSE_IMAGE=localhost/lab-pause:1

# A node starts from the seed, which holds the base images. Blobs and layers are never written, so
# hard links will do; the two databases are really copied.
plant_seed() {
  local root=$DIR/$1/fs/var/lib/containerd database
  [ -d "$SEED" ] || die "no base images; run build-images first"
  [ -d "$root" ] && return
  mkdir -p "$(dirname "$root")"
  if ! cp -al "$SEED" "$root" 2>/dev/null; then # another file system
    rm -rf "$root"
    cp -a "$SEED" "$root"
  fi
  for database in io.containerd.metadata.v1.bolt/meta.db io.containerd.snapshotter.v1.overlayfs/metadata.db; do
    cp --remove-destination "$SEED/$database" "$root/$database"
  done
}

containerd_config() {
  cat <<END
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "$CONTAINERD_SOCKET"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true # the machine may lack CAP_SYS_RESOURCE
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$1/cni"
END
}

cni_config() {
  cat <<END
{"cniVersion": "0.4.0", "name": "lab", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$1"}]], "dataDir": "/run/cni-ipam"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
}

# syncFrequency: how soon a changed ConfigMap shows in a mounted volume.
# Get: with Watch the kubelet asks before the node authorizer knows the pod, is refused, and backs off.
kubelet_config() {
  cat <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $DIR/pki/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failSwapOn: false
clusterDNS: [$NET.0.1]
clusterDomain: cluster.local
resolvConf: $1/resolv.conf
nodeLeaseDurationSeconds: 4
nodeStatusUpdateFrequency: 2s
syncFrequency: 2s
configMapAndSecretChangeDetectionStrategy: Get
kubeAPIQPS: 50
kubeAPIBurst: 100
serializeImagePulls: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {}
enforceNodeAllocatable: []
oomScoreAdj: 0
maxPods: 60
containerLogMaxSize: 200Mi
END
}

# bindAddress: without it the proxy asks for its Node object first, and backs off 1, 2, 4 s.
# conntrack: those sysctls are the host's, and read-only in a network namespace.
proxy_config() {
  local node=$1
  cat <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $DIR/pki/proxy.conf}
mode: iptables
clusterCIDR: $NET.16.0/20
hostnameOverride: $NAME-$node
bindAddress: $(node_address "$node")
healthzBindAddress: 0.0.0.0:10256
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {minSyncPeriod: 100ms, syncPeriod: 30s}
END
}

configure_node() {
  local node=$1 dir=$DIR/$1
  mkdir -p "$dir/cni"
  plant_seed "$node"
  containerd_config "$dir" >"$dir/containerd.toml"
  cni_config "$(pod_network "$node")" >"$dir/cni/10-lab.conflist"
  echo "nameserver $NET.0.1" >"$dir/resolv.conf"
  kubelet_config "$dir" >"$dir/kubelet.yaml"
  proxy_config "$node" >"$dir/proxy.yaml"
}
