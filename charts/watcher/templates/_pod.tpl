{{/* The template of the pods, of either kind of workload. */}}
{{- define "watcher.pod" -}}
template:
  metadata:
    labels:
      {{- mergeOverwrite (dict) .Values.podLabels (include "watcher.labels" . | fromYaml) | toYaml | nindent 6 }}
    annotations:
      checksum/config: {{ include "watcher.config" . | sha256sum }}
      {{- with mergeOverwrite (dict) .Values.commonAnnotations .Values.podAnnotations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  spec:
    serviceAccountName: {{ include "watcher.serviceAccount" . }}
    automountServiceAccountToken: false
    enableServiceLinks: false
    terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
    {{- with .Values.priorityClassName }}
    priorityClassName: {{ . }}
    {{- end }}
    {{- with .Values.imagePullSecrets }}
    imagePullSecrets:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- toYaml .Values.podSecurityContext | nindent 6 }}
    {{- with .Values.extraInitContainers }}
    initContainers:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    containers:
      - name: watcher
        image: {{ include "watcher.image" . | quote }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        args: [run, --config, /etc/watcher/watcher.yaml]
        {{- if or .Values.env .Values.postgresql.urlSecret.name }}
        env:
          {{- with .Values.postgresql.urlSecret }}
          {{- if .name }}
          - name: WATCHER_STORE__URL
            valueFrom:
              secretKeyRef:
                name: {{ .name }}
                key: {{ .key }}
          {{- end }}
          {{- end }}
          {{- with .Values.env }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
        {{- end }}
        {{- with .Values.envFrom }}
        envFrom:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        ports:
          - name: telemetry
            containerPort: {{ include "watcher.telemetryPort" . }}
            protocol: TCP
          {{- with include "watcher.apiPort" . }}
          - name: api
            containerPort: {{ . }}
            protocol: TCP
          {{- end }}
        startupProbe:
          {{- include "watcher.probe" (dict "root" . "probe" .Values.startupProbe) | nindent 10 }}
        livenessProbe:
          {{- include "watcher.probe" (dict "root" . "probe" .Values.livenessProbe) | nindent 10 }}
        readinessProbe:
          {{- include "watcher.probe" (dict "root" . "probe" .Values.readinessProbe) | nindent 10 }}
        resources:
          {{- toYaml .Values.resources | nindent 10 }}
        securityContext:
          {{- toYaml .Values.securityContext | nindent 10 }}
        volumeMounts:
          {{- if not (include "watcher.postgresql" .) }}
          - name: state
            mountPath: /var/lib/watcher
          {{- end }}
          - name: config
            mountPath: /etc/watcher
            readOnly: true
          - name: tmp
            mountPath: /tmp
          {{- range .Values.secrets }}
          - name: secret-{{ .name | replace "." "-" }}
            mountPath: /run/secrets/{{ .name }}
            readOnly: true
          {{- end }}
          {{- with .Values.extraVolumeMounts }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
      {{- with .Values.extraContainers }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    volumes:
      - name: config
        configMap:
          name: {{ include "watcher.fullname" . }}
      - name: tmp
        emptyDir: {}
      {{- range .Values.secrets }}
      - name: secret-{{ .name | replace "." "-" }}
        secret:
          secretName: {{ .name }}
          defaultMode: 0440
          {{- with .items }}
          items:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- if .optional }}
          optional: true
          {{- end }}
      {{- end }}
      {{- if include "watcher.postgresql" . }}
      {{- else if not .Values.persistence.enabled }}
      - name: state
        emptyDir: {}
      {{- else if .Values.persistence.existingClaim }}
      - name: state
        persistentVolumeClaim:
          claimName: {{ .Values.persistence.existingClaim }}
      {{- end }}
      {{- with .Values.extraVolumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with .Values.nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.affinity }}
    affinity:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with include "watcher.spread" . }}
    topologySpreadConstraints:
      {{- . | nindent 6 }}
    {{- end }}
{{- end -}}
