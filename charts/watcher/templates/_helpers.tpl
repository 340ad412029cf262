{{- define "watcher.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "watcher.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "watcher.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "watcher.selector" -}}
app.kubernetes.io/name: {{ include "watcher.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "watcher.labels" -}}
{{- $ours := dict
      "app.kubernetes.io/name" (include "watcher.name" .)
      "app.kubernetes.io/instance" .Release.Name
      "app.kubernetes.io/version" .Chart.AppVersion
      "app.kubernetes.io/managed-by" .Release.Service
      "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version) -}}
{{- mergeOverwrite (dict) .Values.commonLabels $ours | toYaml -}}
{{- end -}}

{{/* Metadata of every object: name, namespace, labels, annotations. Takes the root and optionally `suffix`, `labels`, `annotations`. */}}
{{- define "watcher.metadata" -}}
{{- $root := .root -}}
name: {{ include "watcher.fullname" $root }}{{ .suffix }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- mergeOverwrite (dict) (default (dict) .labels) (include "watcher.labels" $root | fromYaml) | toYaml | nindent 2 }}
{{- with mergeOverwrite (dict) $root.Values.commonAnnotations (default (dict) .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "watcher.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "watcher.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "watcher.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The configuration. The store gets nine tenths of the claim that the chart makes for it, unless it has a limit. */}}
{{- define "watcher.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $store := default (dict) $config.store -}}
{{- $claim := .Values.persistence -}}
{{- $isClaimed := and $claim.enabled (not $claim.existingClaim) (not (include "watcher.postgresql" .)) (hasPrefix "sqlite:////var/lib/watcher/" (default "sqlite:////var/lib/watcher/" $store.url)) -}}
{{- if and $isClaimed (not $store.max_size) -}}
{{- $units := dict "" 1 "k" 1e3 "K" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $size := toString $claim.size -}}
{{- $unit := regexFind "[A-Za-z]*$" $size -}}
{{- $bytes := mulf (trimSuffix $unit $size | float64) (get $units $unit) 0.9 | floor | int64 -}}
{{- $_ := set $config "store" (mergeOverwrite (deepCopy $store) (dict "max_size" (max 16777216 $bytes))) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Not empty if the store is PostgreSQL, which any number of pods can share. */}}
{{- define "watcher.postgresql" -}}
{{- if or .Values.postgresql.urlSecret.name (regexMatch "^postgres(ql)?:" (dig "store" "url" "" .Values.config)) -}}
true
{{- end -}}
{{- end -}}

{{/* The spread of several pods: what the values say, else over the nodes. */}}
{{- define "watcher.spread" -}}
{{- if .Values.topologySpreadConstraints -}}
{{- toYaml .Values.topologySpreadConstraints -}}
{{- else if gt (int .Values.replicaCount) 1 -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "watcher.selector" . | nindent 6 }}
{{- end -}}
{{- end -}}

{{/* The API's port if it listens beyond loopback, else empty. */}}
{{- define "watcher.apiPort" -}}
{{- $server := default (dict) .Values.config.server -}}
{{- $host := default "127.0.0.1" $server.host -}}
{{- if not (or (hasPrefix "127." $host) (eq $host "::1") (eq $host "localhost")) -}}
{{- default 8080 $server.port | int -}}
{{- end -}}
{{- end -}}

{{- define "watcher.telemetryPort" -}}
{{- default 9464 .Values.config.telemetry.port | int -}}
{{- end -}}

{{/* A probe: over TLS if the telemetry listener has it. Takes the root and `probe`. */}}
{{- define "watcher.probe" -}}
{{- $probe := .probe -}}
{{- $get := dig "httpGet" (dict) (default (dict) $probe) -}}
{{- if and .root.Values.config.telemetry.tls (eq (toString $get.port) "telemetry") (not $get.scheme) -}}
{{- $probe = mergeOverwrite (deepCopy $probe) (dict "httpGet" (dict "scheme" "HTTPS")) -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}

{{/* Checks that the schema cannot express, or that Helm skips on request. */}}
{{- define "watcher.checked" -}}
{{- if and (gt (int .Values.replicaCount) 1) (not (include "watcher.postgresql" .)) -}}
{{- fail "replicaCount: two watchers cannot share one SQLite file; for more than 1 set postgresql.urlSecret.name" -}}
{{- end -}}
{{- if and .Values.postgresql.urlSecret.name (dig "store" "url" "" .Values.config) -}}
{{- fail "config.store.url: postgresql.urlSecret.name sets the URL already; set one of the two" -}}
{{- end -}}
{{- if not .Values.config.telemetry -}}
{{- fail "config.telemetry: the probes and Prometheus need this listener" -}}
{{- end -}}
{{- if dig "tls" "client_ca_file" "" .Values.config.telemetry -}}
{{- fail "config.telemetry.tls.client_ca_file: the kubelet has no client certificate for the probes" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- fail "podMonitor.enabled: the service monitor scrapes the same pod already; enable one of the two" -}}
{{- end -}}
{{- end -}}
