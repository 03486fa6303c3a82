{{/* What values.schema.json cannot say: values against each other. Each refusal begins with the value to change. */}}
{{- define "carillon.rules" -}}
{{- $values := .Values -}}
{{- range $name := list "existingSecret" "ownerSecret" "publicUrl" "blobs" "trustedProxies" -}}
{{- if not (get $values $name) -}}{{- fail (printf "%s: required; values.yaml says what it is" $name) -}}{{- end -}}
{{- end -}}
{{- if eq $values.image.tag "latest" -}}
{{- fail "image.tag: latest is another image tomorrow; name a version, or give image.digest" -}}
{{- end -}}
{{- /* Between them these two have every setting that the chart makes. */ -}}
{{- $own := include "carillon.settings" (dict "root" . "part" "test" "owner" true) | fromYamlArray -}}
{{- $own = concat $own (include "carillon.settings" (dict "root" . "part" "worker") | fromYamlArray) -}}
{{- if $values.inbound.enabled -}}
{{- $own = concat $own (include "carillon.settings" (dict "root" . "part" "inbound") | fromYamlArray) -}}
{{- end -}}
{{- range $given := $values.extraEnv -}}
{{- range $own -}}
{{- if eq .name $given.name -}}{{- fail (printf "extraEnv: %s is what other values make it" .name) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq $values.ownerSecret $values.existingSecret -}}
{{- fail "ownerSecret: give the owner's login a Secret of its own, apart from what every pod holds" -}}
{{- end -}}
{{- if and $values.ingress.enabled $values.httpRoute.enabled -}}
{{- fail "httpRoute.enabled: there is an Ingress already (ingress.enabled); one of them leads to publicUrl" -}}
{{- end -}}
{{- if and (or $values.ingress.enabled $values.httpRoute.enabled) (eq $values.trustedProxies "none") -}}
{{- fail "trustedProxies: name the proxies; behind one that is not named all users share one rate limit" -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: name the Gateway that the route belongs to" -}}
{{- end -}}
{{- if hasPrefix "file:" $values.blobs -}}
{{- with $values.bucket -}}
{{- if or .endpoint .region .keyInSecret (ne .style "path") -}}
{{- fail "bucket: blobs is a path; a bucket is s3://" -}}
{{- end -}}
{{- end -}}
{{- $path := trimPrefix "file:" $values.blobs -}}
{{- $is_mounted := false -}}
{{- range $values.extraVolumeMounts -}}
{{- $folder := printf "%s/" (trimSuffix "/" .mountPath) -}}
{{- $is_mounted = or $is_mounted (hasPrefix $folder (printf "%s/" $path)) -}}
{{- end -}}
{{- if not $is_mounted -}}
{{- fail (printf "blobs: no extraVolumeMounts holds %s; pods have no disk of their own" $path) -}}
{{- end -}}
{{- end -}}
{{- if and $values.inbound.enabled (not $values.bounceDomain) -}}
{{- fail "bounceDomain: name the domain whose mail inbound takes" -}}
{{- end -}}
{{- with $values.gateway.autoscaling -}}
{{- if .enabled -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail "gateway.autoscaling.minReplicas: is more than maxReplicas" -}}
{{- end -}}
{{- if not (dig "requests" "cpu" "" $values.gateway.resources) -}}
{{- fail "gateway.resources.requests.cpu: autoscaling counts in parts of it" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $values.worker.autoscaling -}}
{{- if .enabled -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail "worker.autoscaling.minReplicas: is more than maxReplicas" -}}
{{- end -}}
{{- if not .prometheus -}}
{{- fail "worker.autoscaling.prometheus: name the Prometheus that knows how long work waits" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $values.tracing.headersInSecret (not $values.tracing.endpoint) -}}
{{- fail "tracing.endpoint: name the collector that tracing.headersInSecret is for" -}}
{{- end -}}
{{- with $values.networkPolicy -}}
{{- /* Networks in which clouds answer with credentials: at a link-local address or one of their own. */ -}}
{{- $metadata := "^169\\.254\\.|^169\\..*/([89]|1[0-5])$|^fe[89a-f]|^fd00:+(/|ec2:)|^fd20:+(/|ce:)" -}}
{{- range $name := list "dns" "postgres" "redis" "smtp" "webhooks" "objectStore" "collector" -}}
{{- range (get $values.networkPolicy $name).to -}}
{{- if regexMatch $metadata (dig "ipBlock" "cidr" "" . | lower) -}}
{{- fail (printf "networkPolicy.%s.to: %s holds a metadata address, which stays closed" $name .ipBlock.cidr) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .enabled -}}
{{- if not .clients -}}
{{- fail "networkPolicy.clients: name who may call the pods, the proxies' namespace for example" -}}
{{- end -}}
{{- if and $values.inbound.enabled (not .mailServers) -}}
{{- fail "networkPolicy.mailServers: name who brings bounces; nobody else may" -}}
{{- end -}}
{{- if and $values.monitoring.podMonitor.enabled (not .scrapers) -}}
{{- fail "networkPolicy.scrapers: name Prometheus; it could not read the metrics" -}}
{{- end -}}
{{- if and $values.worker.autoscaling.enabled (not $values.worker.autoscaling.query) (not .scrapers) -}}
{{- fail "networkPolicy.scrapers: name Prometheus; worker.autoscaling asks it how long work waits" -}}
{{- end -}}
{{- $needed := list "dns" "postgres" "redis" "smtp" -}}
{{- if hasPrefix "s3:" $values.blobs -}}{{- $needed = append $needed "objectStore" -}}{{- end -}}
{{- if $values.tracing.endpoint -}}{{- $needed = append $needed "collector" -}}{{- end -}}
{{- range $name := $needed -}}
{{- if not (get $values.networkPolicy $name).to -}}
{{- fail (printf "networkPolicy.%s.to: name where it is; pods could not reach it" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
