{{- define "carillon.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Selectors never change between versions; call with (dict "root" $ "part" "gateway"). */}}
{{- define "carillon.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "carillon.labels" -}}
{{ include "carillon.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* Name and labels of a part's object. */}}
{{- define "carillon.metadata" -}}
name: {{ include "carillon.name" .root }}-{{ .part }}
labels:
  {{- include "carillon.labels" . | nindent 2 }}
{{- end -}}

{{/* The parts that run all the time, a list. */}}
{{- define "carillon.running" -}}
{{- $parts := list "gateway" "recipient" "worker" -}}
{{- if .Values.inbound.enabled -}}{{- $parts = append $parts "inbound" -}}{{- end -}}
{{- toJson $parts -}}
{{- end -}}

{{/* The host of publicUrl, without a port. */}}
{{- define "carillon.host" -}}
{{- (urlParse .Values.publicUrl).hostname -}}
{{- end -}}

{{/* Paths of the recipients' links: api/src/http/recipient.rs and clicks.rs. Each is a whole first segment. */}}
{{- define "carillon.recipientPaths" -}}
[/u, /unsubscribe, /c, /o]
{{- end -}}

{{- define "carillon.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The keys of existingSecret that each part holds, and no others: api/src/config/needs.rs. `test` asks for all of them. */}}
{{- define "carillon.secrets" -}}
gateway: [DATABASE_URL, DATABASE_IDENTITY_URL, REDIS_URL, CARILLON_KEYS, CARILLON_JWT_KEYS]
recipient: [DATABASE_URL, CARILLON_KEYS]
inbound: [DATABASE_URL, CARILLON_KEYS]
worker: [DATABASE_URL, DATABASE_IDENTITY_URL, DATABASE_DISPATCH_URL, REDIS_URL, SMTP_URL, CARILLON_KEYS]
migrate: [DATABASE_URL, DATABASE_IDENTITY_URL, DATABASE_DISPATCH_URL]
maintain: []
test: [DATABASE_URL, DATABASE_IDENTITY_URL, DATABASE_DISPATCH_URL, REDIS_URL, SMTP_URL, CARILLON_KEYS, CARILLON_JWT_KEYS]
{{- end -}}

{{/* What the chart sets; the owner's login is added only where DDL runs (L1). */}}
{{- define "carillon.settings" -}}
{{- $values := .root.Values -}}
{{- $serves := has .part (list "gateway" "recipient" "test") -}}
{{- $keeps_files := has .part (list "gateway" "worker" "test") -}}
{{- $secrets := get (include "carillon.secrets" .root | fromYaml) .part -}}
- name: CARILLON_MODE
  value: production
{{- $runs := or $serves $keeps_files (eq .part "inbound") -}}
{{- if $runs }}
- name: CARILLON_PUBLIC_URL
  value: {{ $values.publicUrl | quote }}
{{- end }}
{{- if and $runs $values.bounceDomain }}
- name: CARILLON_BOUNCE_DOMAIN
  value: {{ $values.bounceDomain }}
{{- end }}
{{- if eq .part "inbound" }}
- name: CARILLON_INBOUND_BIND
  value: 0.0.0.0:2525
{{- end }}
{{- if $serves }}
- name: CARILLON_BIND
  value: 0.0.0.0:8080
{{- end }}
{{- if $keeps_files }}
- name: CARILLON_BLOBS
  value: {{ $values.blobs | quote }}
{{- with $values.bucket }}
{{- if .endpoint }}
- name: CARILLON_BLOBS_ENDPOINT
  value: {{ .endpoint | quote }}
{{- end }}
{{- if .region }}
- name: CARILLON_BLOBS_REGION
  value: {{ .region | quote }}
{{- end }}
{{- if ne .style "path" }}
- name: CARILLON_BLOBS_STYLE
  value: {{ .style }}
{{- end }}
{{- if .keyInSecret }}
{{- $secrets = concat $secrets (list "CARILLON_BLOBS_ACCESS_KEY_ID" "CARILLON_BLOBS_SECRET_ACCESS_KEY") }}
{{- end }}
{{- end }}
{{- end }}
{{- if $serves }}
- name: CARILLON_TRUSTED_PROXIES
  value: {{ $values.trustedProxies | quote }}
{{- end }}
{{- if $runs }}
- name: CARILLON_DRAIN_SECONDS
  value: {{ $values.drainSeconds | quote }}
{{- end }}
{{- if has .part (list "gateway" "recipient" "worker" "inbound") }}
- name: CARILLON_METRICS_BIND
  value: 0.0.0.0:9090
{{- end }}
{{- if and $values.tracing.endpoint (has .part (list "gateway" "recipient" "worker" "test")) }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $values.tracing.endpoint | quote }}
- name: OTEL_SERVICE_NAME
  value: {{ printf "%s-%s" .root.Chart.Name .part }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ $values.tracing.sampled | quote }}
{{- if ne $values.tracing.callers "link" }}
- name: CARILLON_TRACE_CALLERS
  value: {{ $values.tracing.callers }}
{{- end }}
{{- if $values.tracing.headersInSecret }}
{{- $secrets = append $secrets "OTEL_EXPORTER_OTLP_HEADERS" }}
{{- end }}
{{- end }}
{{- with (get $values .part | default dict).databasePool }}
- name: DATABASE_POOL
  value: {{ . | quote }}
{{- end }}
{{- range $secrets }}
- name: {{ . }}
  valueFrom:
    secretKeyRef: { name: {{ $values.existingSecret }}, key: {{ . }} }
{{- end }}
{{- if .owner }}
- name: DATABASE_OWNER_URL
  valueFrom:
    secretKeyRef: { name: {{ $values.ownerSecret }}, key: DATABASE_OWNER_URL }
{{- end }}
{{- end -}}

{{/* The most pods a part has, but for one more while it is rolled out; call with its values. */}}
{{- define "carillon.pods" -}}
{{- if dig "autoscaling" "enabled" false . -}}{{- .autoscaling.maxReplicas -}}{{- else -}}{{- .replicas -}}{{- end -}}
{{- end -}}

{{/* Pod fields that every pod of the chart shares. */}}
{{- define "carillon.pod" -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ include "carillon.name" .root }}-{{ .part }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- range $field := list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" }}
{{- with get $values $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 1Gi
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Container fields that every container shares: the root file system is read-only, /tmp is scratch. */}}
{{- define "carillon.container" -}}
name: {{ .part }}
image: {{ include "carillon.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
env:
  {{- include "carillon.settings" . | nindent 2 }}
  {{- with .root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- with .root.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
