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

{{/* What the chart sets; the owner's login is added only where DDL runs (L1). */}}
{{- define "carillon.settings" -}}
{{- $values := .root.Values -}}
- name: CARILLON_MODE
  value: production
- name: CARILLON_PUBLIC_URL
  value: {{ $values.publicUrl | quote }}
- name: CARILLON_BIND
  value: 0.0.0.0:8080
- name: CARILLON_BLOBS
  value: {{ $values.blobs | quote }}
- name: CARILLON_TRUSTED_PROXIES
  value: {{ $values.trustedProxies | quote }}
- name: CARILLON_DRAIN_SECONDS
  value: {{ $values.drainSeconds | quote }}
{{- if has .part (list "gateway" "recipient" "worker") }}
- name: CARILLON_METRICS_BIND
  value: 0.0.0.0:9090
{{- end }}
{{- with (get $values .part | default dict).databasePool }}
- name: DATABASE_POOL
  value: {{ . | quote }}
{{- end }}
{{- /* No process of production starts without all of these, though links of mails need neither Redis nor relay. */}}
{{- $keys := list "DATABASE_URL" "DATABASE_IDENTITY_URL" "DATABASE_DISPATCH_URL" "REDIS_URL" "SMTP_URL" }}
{{- range concat $keys (list "CARILLON_KEYS" "CARILLON_JWT_KEYS") }}
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
