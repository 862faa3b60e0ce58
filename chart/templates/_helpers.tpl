{{/* Names. Objects of a component carry its name; the collector, being the one people type, has none. */}}
{{- define "pilotgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "pilotgate.serviceAccount" -}}
{{- .Values.agent.serviceAccount.name | default (printf "%s-agent" (include "pilotgate.fullname" .)) -}}
{{- end }}

{{/* Labels that select the pods of one component: (dict "root" . "component" "agent"). */}}
{{- define "pilotgate.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of every object of one component. */}}
{{- define "pilotgate.labels" -}}
{{ include "pilotgate.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels of one component's pods: no chart version, which would replace the pods for nothing. */}}
{{- define "pilotgate.podLabels" -}}
{{ include "pilotgate.selector" . }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
{{- with (index .root.Values .component).podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Both fit the "restricted" level of the Pod Security Standards. */}}
{{- define "pilotgate.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "pilotgate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What the pods of every component have in common: (dict "root" . "component" "agent"). Service links
are off because a Service "pilotgate-agent" would make variables that look like the agent's settings. */}}
{{- define "pilotgate.podCommon" -}}
enableServiceLinks: false
{{- $own := index .root.Values .component }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "pilotgate.podSecurity" .root | nindent 2 }}
{{- end }}

{{/* The collector's address: as given, or that of the collector in this release. */}}
{{- define "pilotgate.endpoint" -}}
{{- if .Values.agent.config.collector.endpoint -}}
{{- .Values.agent.config.collector.endpoint -}}
{{- else if .Values.collector.enabled -}}
{{- printf "tcp://%s.%s.svc:%v" (include "pilotgate.fullname" .) .Release.Namespace .Values.collector.service.port -}}
{{- else -}}
{{- fail "agent.config.collector.endpoint is empty: give the collector's address, tcp://host:port" -}}
{{- end -}}
{{- end }}

{{/* Name of the Lease whose holder does the stage's work; empty: every agent does it. */}}
{{- define "pilotgate.lease" -}}
{{- $kube := .Values.agent.config.kube | default dict -}}
{{- if hasKey $kube "lease" }}{{ $kube.lease }}{{ else }}{{ include "pilotgate.fullname" . }}-agent{{ end -}}
{{- end }}

{{/* The agent's configuration file: what the chart knows, and agent.config. */}}
{{- define "pilotgate.agentConfig" -}}
{{- $keys := "/etc/pilotgate/keys" -}}
{{- $known := dict
  "collector" (dict "endpoint" (include "pilotgate.endpoint" .) "key_file" (printf "%s/agent.key" $keys)
    "server_key_file" (printf "%s/server.pub" $keys) "hash_key_file" (printf "%s/pilot.hash" $keys))
  "stage" (dict "cluster" (required "agent.cluster is empty: give this cluster's name" .Values.agent.cluster)
    "namespace" .Release.Namespace)
  "kube" (dict "enabled" true "secrets" .Values.agent.rbac.secrets "gitops" .Values.agent.rbac.gitops
    "gitops_namespaces" (ternary .Values.agent.rbac.gitopsNamespaces list .Values.agent.rbac.gitops)
    "own_release" .Release.Name "lease" (include "pilotgate.lease" .))
  "spool" (dict "dir" "/var/spool/pilotgate/agent" "quota" .Values.agent.spool.quota "grace" .Values.agent.spool.grace)
  "metrics" (dict "listen" (printf "0.0.0.0:%d" (int .Values.agent.metrics.port))) -}}
{{- if not .Values.agent.metrics.enabled }}{{ $_ := unset $known "metrics" }}{{ end -}}
{{- $given := deepCopy .Values.agent.config -}}
{{- $_ := unset $given.collector "endpoint" -}}
{{- if $given.kube }}{{ $_ := unset $given.kube "lease" }}{{ end -}}
{{- range $list := list "targets" "probes" "documents" -}}
{{- if not (index $given $list) }}{{ $_ := unset $given $list }}{{ end -}}
{{- end -}}
{{- mergeOverwrite $known $given | toYaml -}}
{{- end }}

{{/* The agent's container, for DaemonSet and test; its command's arguments are added by the caller. */}}
{{- define "pilotgate.agentContainer" -}}
name: agent
image: {{ .Values.agent.image }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
env:
  - {name: PILOTGATE_AGENT_CONFIG, value: /etc/pilotgate/agent/agent.yaml}
  - name: PILOTGATE_AGENT_STAGE_NODE
    valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
  # Its DaemonSet tells how many agents there should be.
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
resources: {{- toYaml .Values.agent.resources | nindent 2 }}
securityContext: {{- include "pilotgate.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: config, mountPath: /etc/pilotgate/agent, readOnly: true}
  - {name: keys, mountPath: /etc/pilotgate/keys, readOnly: true}
  - {name: spool, mountPath: /var/spool/pilotgate}
  {{- range $index, $name := .Values.agent.secretMounts }}
  - {name: secret-{{ $index }}, mountPath: {{ printf "/etc/pilotgate/secrets/%s" $name }}, readOnly: true}
  {{- end }}
  {{- range $index, $name := .Values.agent.configMapMounts }}
  - {name: file-{{ $index }}, mountPath: {{ printf "/etc/pilotgate/files/%s" $name }}, readOnly: true}
  {{- end }}
{{- end }}

{{- define "pilotgate.agentVolumes" -}}
- name: config
  configMap: {name: {{ include "pilotgate.fullname" . }}-agent}
- name: keys
  secret:
    secretName: {{ .Values.agent.existingSecret }}
    defaultMode: 0440
{{- range $index, $name := .Values.agent.secretMounts }}
- name: secret-{{ $index }}
  secret: {secretName: {{ $name }}, defaultMode: 0440}
{{- end }}
{{- range $index, $name := .Values.agent.configMapMounts }}
- name: file-{{ $index }}
  configMap: {name: {{ $name }}}
{{- end }}
{{- end }}

{{- define "pilotgate.agentSpool" -}}
- name: spool
  {{- with .Values.agent.spool }}
  {{- if .existingClaim }}
  persistentVolumeClaim: {claimName: {{ .existingClaim }}}
  {{- else if .ephemeral.enabled }}
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .ephemeral.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests: {storage: {{ .sizeLimit }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .sizeLimit }}}
  {{- end }}
  {{- end }}
{{- end }}

{{/* Ports that the URLs of targets and documents, the collector's endpoint and the proxy name, as JSON. */}}
{{- define "pilotgate.egressPorts" -}}
{{- $config := .Values.agent.config -}}
{{- $ports := list -}}
{{- range concat (list (dict "url" (include "pilotgate.endpoint" .))) ($config.targets | default list) ($config.documents | default list) -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .url).host | trimPrefix ":" -}}
{{- $ports = append $ports (int ($port | default (hasPrefix "https:" .url | ternary 443 80))) -}}
{{- end -}}
{{- with $config.collector.socks_proxy -}}
{{- $ports = append $ports (int (regexFind "[0-9]+$" .)) -}}
{{- end -}}
{{- range .Values.agent.networkPolicy.apiServerPorts -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | toJson -}}
{{- end }}

{{/* Reading what Flux and Argo CD keep in a namespace. */}}
{{- define "pilotgate.gitopsRules" -}}
- apiGroups: [helm.toolkit.fluxcd.io]
  resources: [helmreleases]
  verbs: [list, watch]
- apiGroups: [kustomize.toolkit.fluxcd.io]
  resources: [kustomizations]
  verbs: [list, watch]
- apiGroups: [source.toolkit.fluxcd.io]
  resources: [gitrepositories, helmrepositories, ocirepositories, helmcharts, buckets]
  verbs: [list, watch]
- apiGroups: [argoproj.io]
  resources: [applications]
  verbs: [list, watch]
{{- end }}
