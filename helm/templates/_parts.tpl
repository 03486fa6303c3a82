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

{{- define "carillon.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The whole configuration; the owner's login is added only where DDL runs (L1). */}}
{{- define "carillon.env" -}}
{{- $secret := .root.Values.existingSecret -}}
- name: CARILLON_MODE
  value: production
- name: CARILLON_PUBLIC_URL
  value: {{ .root.Values.publicUrl | quote }}
- name: CARILLON_BIND
  value: 0.0.0.0:8080
- name: CARILLON_BLOBS
  value: {{ .root.Values.blobs | quote }}
- name: CARILLON_TRUSTED_PROXIES
  value: {{ .root.Values.trustedProxies | quote }}
- name: CARILLON_DRAIN_SECONDS
  value: {{ .root.Values.drainSeconds | quote }}
{{- $keys := list "DATABASE_URL" "DATABASE_IDENTITY_URL" "DATABASE_DISPATCH_URL" "REDIS_URL" "SMTP_URL" "CARILLON_KEYS" "CARILLON_JWT_KEYS" -}}
{{- if .owner }}{{ $keys = append $keys "DATABASE_OWNER_URL" }}{{ end }}
{{- range $key := $keys }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ $key }}
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Pod fields that every pod of the chart shares. */}}
{{- define "carillon.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 1Gi
{{- end -}}

{{/* Container fields that every container shares: the root file system is read-only, /tmp is scratch. */}}
{{- define "carillon.container" -}}
image: {{ include "carillon.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: tmp
    mountPath: /tmp
{{- end -}}
