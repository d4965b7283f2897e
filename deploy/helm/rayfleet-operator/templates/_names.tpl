{{/* The release's name, with the chart's where that says more. */}}
{{- define "rayfleet-operator.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* What the operator's pods are found by: never changes in the life of a release. */}}
{{- define "rayfleet-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rayfleet-operator.labels" -}}
{{ include "rayfleet-operator.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "rayfleet-operator.account" -}}
{{- .Values.serviceAccount.name | default (ternary (include "rayfleet-operator.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "rayfleet-operator.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion | toString) -}}
{{- end -}}

{{/* The namespaces that are looked after, as a list in YAML; none: all. */}}
{{- define "rayfleet-operator.namespaces" -}}
{{- $own := ternary (list .Release.Namespace) list .Values.singleNamespaceInstall -}}
{{- .Values.watchNamespace | default $own | uniq | toYaml -}}
{{- end -}}
