{{- define "streamgauge.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Short, because Flink's operator allows 45 characters for the name of a deployment. */}}
{{- define "streamgauge.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 35 | trimSuffix "-" -}}
{{- else if contains (include "streamgauge.name" .) .Release.Name -}}
{{- .Release.Name | trunc 35 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "streamgauge.name" .) | trunc 35 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "streamgauge.job" -}}
{{ include "streamgauge.fullname" . }}-job
{{- end -}}

{{/* Labels of an object. Call it with (dict "top" . "component" "trainer"). */}}
{{- define "streamgauge.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .top.Chart.Name .top.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .top.Release.Service }}
{{ include "streamgauge.selector" . }}
{{- end -}}

{{- define "streamgauge.selector" -}}
app.kubernetes.io/name: {{ include "streamgauge.name" .top }}
app.kubernetes.io/instance: {{ .top.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* An image. Call it with (dict "top" . "name" .Values.job.image). */}}
{{- define "streamgauge.image" -}}
{{- $name := printf "%s:%s" .name (default .top.Chart.AppVersion .top.Values.image.tag) -}}
{{- if .top.Values.image.registry }}{{ .top.Values.image.registry }}/{{ $name }}{{ else }}{{ $name }}{{ end -}}
{{- end -}}

{{/* The settings as YAML. */}}
{{- define "streamgauge.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- $registry := dig "models" "registry" "" $settings | default .Values.trainer.registry -}}
{{- $given := dict "job" (dict "parallelism" (int .Values.job.parallelism)) -}}
{{- if .Values.trainer.enabled -}}
{{- $given = mergeOverwrite $given (dict "models" (dict "registry" $registry)) -}}
{{- end -}}
{{- mergeOverwrite $settings $given | toYaml -}}
{{- end -}}

{{/* The files of kafka.security, for every process that reaches Kafka. */}}
{{- define "streamgauge.kafkaMount" -}}
{{- if .Values.kafkaFiles.existingSecret }}
- {name: kafka, mountPath: /etc/kafka, readOnly: true}
{{- end }}
{{- end -}}

{{- define "streamgauge.kafkaVolume" -}}
{{- with .Values.kafkaFiles.existingSecret }}
- name: kafka
  secret: {secretName: {{ . }}}
{{- end }}
{{- end -}}

{{- define "streamgauge.claim" -}}
{{- default (printf "%s-flink" (include "streamgauge.fullname" .)) .Values.storage.claim.existing -}}
{{- end -}}

{{/* What a container may do: nothing more than its work. The root file system stays writable, because numba and Flink write beside their files. */}}
{{- define "streamgauge.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
{{- end -}}
