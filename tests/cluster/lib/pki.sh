# shellcheck shell=bash disable=SC2034
# Certificates and kubeconfig files. Sourced by `cluster`; uses $NAME, $DIR, $NET, $NODES.
# P-256 keys: milliseconds where RSA takes seconds. All of it lives only as long as the cluster.

new_key() { openssl ecparam -genkey -name prime256v1 -noout -out "$1"; }

# issue FILE SUBJECT [ALTERNATIVE-NAMES]
issue() {
  local file=$1 subject=$2 names=${3:-}
  new_key "$file.key"
  openssl req -new -key "$file.key" -subj "$subject" -out "$file.csr"
  {
    echo "keyUsage=digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=clientAuth,serverAuth"
    [ -z "$names" ] || echo "subjectAltName=$names"
  } >"$file.ext"
  openssl x509 -req -in "$file.csr" -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 8)" \
    -days 3650 -out "$file.crt" -extfile "$file.ext" 2>/dev/null
  rm "$file.csr" "$file.ext"
}

# write_kubeconfig CERTIFICATE OUT
write_kubeconfig() {
  jq -n --arg name "lab-$NAME" --arg server "https://$NET.0.1:6443" \
    --arg ca "$(base64 -w0 ca.crt)" --arg cert "$(base64 -w0 "$1.crt")" --arg key "$(base64 -w0 "$1.key")" '{
      apiVersion: "v1", kind: "Config", "current-context": $name,
      clusters: [{name: $name, cluster: {server: $server, "certificate-authority-data": $ca}}],
      users: [{name: $name, user: {"client-certificate-data": $cert, "client-key-data": $key}}],
      contexts: [{name: $name, context: {cluster: $name, user: $name}}]}' >"$2"
}

apiserver_names() {
  local name names="DNS:localhost,IP:127.0.0.1,IP:$NET.0.1,IP:$NET.96.1"
  for name in kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local; do
    names+=",DNS:$name"
  done
  echo "$names"
}

create_authority() {
  new_key ca.key
  openssl req -x509 -new -key ca.key -subj "/CN=lab-$NAME-ca" -days 3650 -out ca.crt
  new_key service-accounts.key
  openssl ec -in service-accounts.key -pubout -out service-accounts.pub 2>/dev/null
}

create_pki() (
  umask 077
  mkdir -p "$DIR/pki"
  cd "$DIR/pki" || exit
  create_authority
  issue apiserver /CN=kube-apiserver "$(apiserver_names)"
  issue admin /O=system:masters/CN=lab-admin
  write_kubeconfig admin "$DIR/kubeconfig"
  issue controller-manager /CN=system:kube-controller-manager
  write_kubeconfig controller-manager controller-manager.conf
  issue scheduler /CN=system:kube-scheduler
  write_kubeconfig scheduler scheduler.conf
  issue proxy /CN=system:kube-proxy
  write_kubeconfig proxy proxy.conf
  for node in $NODES; do
    issue "$node" "/O=system:nodes/CN=system:node:$NAME-$node"
    write_kubeconfig "$node" "$node.conf"
  done
)
