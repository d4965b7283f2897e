{{/*
A pod template. Takes a dict: root, group (values of head or of a worker group), container (its name), env (more of
its environment).
*/}}
{{- define "ray-cluster.podTemplate" -}}
{{- $group := .group -}}
{{- $image := merge (deepCopy ($group.image | default dict)) .root.Values.image -}}
{{- $container := dict "name" .container "image" (printf "%s:%s" $image.repository (toString $image.tag)) "imagePullPolicy" $image.pullPolicy -}}
{{- with concat .env (.root.Values.common.containerEnv | default list) ($group.containerEnv | default list) -}}
{{- $_ := set $container "env" . -}}
{{- end -}}
{{- range $key := list "command" "args" "envFrom" "ports" "resources" "volumeMounts" "lifecycle" "securityContext" "livenessProbe" "readinessProbe" "startupProbe" -}}
{{- with get $group $key -}}{{- $_ := set $container $key . -}}{{- end -}}
{{- end -}}
{{- $pod := dict "containers" (concat (list $container) ($group.sidecarContainers | default list)) -}}
{{- range $key := list "initContainers" "volumes" "serviceAccountName" "restartPolicy" "runtimeClassName" "priorityClassName" "priority" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "dnsConfig" "resourceClaims" "schedulerName" "terminationGracePeriodSeconds" -}}
{{- with get $group $key -}}{{- $_ := set $pod $key . -}}{{- end -}}
{{- end -}}
{{- with $group.podSecurityContext -}}{{- $_ := set $pod "securityContext" . -}}{{- end -}}
{{- with .root.Values.imagePullSecrets -}}{{- $_ := set $pod "imagePullSecrets" . -}}{{- end -}}
{{- $template := dict "spec" $pod -}}
{{- $metadata := dict -}}
{{- with $group.labels -}}{{- $_ := set $metadata "labels" . -}}{{- end -}}
{{- with $group.annotations -}}{{- $_ := set $metadata "annotations" . -}}{{- end -}}
{{- with $metadata -}}{{- $_ := set $template "metadata" . -}}{{- end -}}
{{- toYaml $template -}}
{{- end -}}

{{/* Flags of `ray start`: all of them texts, also where a values file has numbers. Takes a dict. */}}
{{- define "ray-cluster.rayStartParams" -}}
{{- $params := dict -}}
{{- range $key, $value := . -}}{{- $_ := set $params $key (toString $value) -}}{{- end -}}
{{- toYaml $params -}}
{{- end -}}

{{/* A worker group. Takes a dict: root, name, group (its values). */}}
{{- define "ray-cluster.workerGroup" -}}
{{- $group := .group -}}
{{- $spec := dict "groupName" .name "replicas" (int ($group.replicas | default 0)) "minReplicas" (int ($group.minReplicas | default 0)) -}}
{{- range $key := list "maxReplicas" "numOfHosts" "idleTimeoutSeconds" -}}
{{- if hasKey $group $key -}}{{- $_ := set $spec $key (int (get $group $key)) -}}{{- end -}}
{{- end -}}
{{- with $group.groupPriority -}}{{- $_ := set $spec "priority" (int .) -}}{{- end -}}
{{- $_ := set $spec "rayStartParams" (include "ray-cluster.rayStartParams" (merge dict ($group.rayStartParams | default dict) ($group.initArgs | default dict)) | fromYaml) -}}
{{- $pod := dict "root" .root "group" $group "container" "ray-worker" "env" list -}}
{{- $_ := set $spec "template" (include "ray-cluster.podTemplate" $pod | fromYaml) -}}
{{- toYaml $spec -}}
{{- end -}}
