{{/* The RayCluster's name: what the operator takes, with room for the names of its pods and Services. */}}
{{- define "ray-cluster.fullname" -}}
{{- $name := .Values.fullnameOverride | default (ternary (printf "%s-%s" .Release.Name .Values.nameOverride) .Release.Name (not (empty .Values.nameOverride))) -}}
{{- if gt (len $name) 53 -}}
{{- fail (printf "the RayCluster's name %q is longer than 53 characters: use a shorter release name, or set fullnameOverride" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* Labels of the resources of this chart, not of pods: those must not change with the chart's version. */}}
{{- define "ray-cluster.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "ray-cluster.redisSecret" -}}
{{- .Values.gcsFaultTolerance.secretName | default (printf "%s-raycluster-redis" (include "ray-cluster.fullname" .)) -}}
{{- end -}}

{{/* The version that the tag of the head's image begins with: 2.60.0 of 2.60.0-py311-gpu. */}}
{{- define "ray-cluster.tagVersion" -}}
{{- $tag := get (.Values.head.image | default dict) "tag" | default .Values.image.tag -}}
{{- regexFind "^[0-9]+\\.[0-9]+\\.[0-9]+" (toString $tag) -}}
{{- end -}}
