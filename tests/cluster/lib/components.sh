# shellcheck shell=bash disable=SC2034
# The programs of a cluster and their flags. Sourced by `cluster`; uses $NAME, $DIR, $NET, $BIN.
#
#   cp   etcd apiserver controller-manager scheduler dns
#   nK   containerd kubelet proxy

start_etcd() {
  spawn cp etcd etcd --data-dir "$DIR/cp/etcd/data" \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 \
    --auto-compaction-retention=1 --quota-backend-bytes=268435456
}

start_apiserver() {
  local pki=$DIR/pki
  spawn cp apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --advertise-address="$NET.0.1" --secure-port=6443 --service-cluster-ip-range="$NET.96.0/24" \
    --client-ca-file="$pki/ca.crt" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
    --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$pki/service-accounts.pub" \
    --service-account-signing-key-file="$pki/service-accounts.key" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --default-not-ready-toleration-seconds=5 --default-unreachable-toleration-seconds=5 \
    --profiling=false
}

# A lost node is noticed after 6 s and its pods leave 5 s later.
start_controller_manager() {
  local pki=$DIR/pki
  spawn cp controller-manager "$BIN/kube-controller-manager" --kubeconfig="$pki/controller-manager.conf" \
    --leader-elect=false --bind-address=127.0.0.1 --use-service-account-credentials=true \
    --service-account-private-key-file="$pki/service-accounts.key" --root-ca-file="$pki/ca.crt" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --node-monitor-period=1s --node-monitor-grace-period=6s --node-startup-grace-period=20s \
    --node-eviction-rate=10 --secondary-node-eviction-rate=10 --unhealthy-zone-threshold=1 \
    --kube-api-qps=100 --kube-api-burst=200 --profiling=false
}

start_scheduler() {
  spawn cp scheduler "$BIN/kube-scheduler" --kubeconfig="$DIR/pki/scheduler.conf" \
    --leader-elect=false --bind-address=127.0.0.1 --kube-api-qps=100 --kube-api-burst=200 --profiling=false
}

start_dns() {
  spawn cp dns "$BIN/lab-dns" -kubeconfig "$DIR/kubeconfig" -listen "$NET.0.1:53" \
    -host "host.lab.internal=$HOST_ADDRESS"
}

start_containerd() { spawn "$1" containerd containerd --config "$DIR/$1/containerd.toml"; }

start_kubelet() {
  local node=$1
  spawn "$node" kubelet "$BIN/kubelet" --config="$DIR/$node/kubelet.yaml" \
    --kubeconfig="$DIR/pki/$node.conf" --container-runtime=remote \
    --container-runtime-endpoint="unix://$CONTAINERD_SOCKET" --node-ip="$(node_address "$node")" \
    --hostname-override="$NAME-$node" --pod-infra-container-image="$PAUSE_IMAGE" \
    --node-labels="lab/node=$node,lab/cluster=$NAME"
}

start_proxy() { spawn "$1" proxy "$BIN/kube-proxy" --config="$DIR/$1/proxy.yaml"; }

# start_component NODE NAME
start_component() {
  case $1:$2 in
    cp:etcd | cp:apiserver | cp:scheduler | cp:dns) "start_$2" ;;
    cp:controller-manager) start_controller_manager ;;
    n*:containerd | n*:kubelet | n*:proxy) "start_$2" "$1" ;;
    *) usage_error "no component $2 on $1" ;;
  esac
}
