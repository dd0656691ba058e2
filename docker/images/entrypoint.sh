#!/usr/bin/env bash
# What a container of the job image starts.
#   job [ARGUMENTS]       the JobManager with the job (application mode); ARGUMENTS go to the job, such as --settings FILE
#   taskmanager           a TaskManager
#   create-topics [...]   create the topics that are missing, and end
#   anything else         is run as it is: the Kubernetes operator starts its processes so, and people streamgauge
# Environment: FLINK_PROPERTIES has one option of Flink a line (key: value); JOB_MANAGER_RPC_ADDRESS is the JobManager's host;
# STREAMGAUGE_SAVEPOINT is a savepoint to start from; with `latest`, it is the newest checkpoint or savepoint in STREAMGAUGE_HOME.
set -euo pipefail

options=()
if [ -n "${JOB_MANAGER_RPC_ADDRESS:-}" ]; then
  options+=("-D" "jobmanager.rpc.address=$JOB_MANAGER_RPC_ADDRESS")
fi
while IFS= read -r line; do
  key=$(xargs -r <<<"${line%%:*}")
  value=$(sed 's/^[[:space:]]*//; s/[[:space:]]*$//' <<<"${line#*:}")
  if [ -n "$key" ]; then
    options+=("-D" "$key=$value")
  fi
done <<<"${FLINK_PROPERTIES:-}"

newest() { # the folder of the newest checkpoint or savepoint that is complete; nothing if there is none
  find "$STREAMGAUGE_HOME" -path '*points/*' -name _metadata -printf '%T@ %h\n' 2>/dev/null | sort -n | tail -n 1 | cut -d ' ' -f 2-
}

case ${1:-} in
  job)
    shift
    start=()
    from=${STREAMGAUGE_SAVEPOINT:-}
    if [ "$from" = latest ]; then
      from=$(newest)
    fi
    if [ -n "$from" ]; then
      echo "starting from $from"
      start=(--fromSavepoint "$from")
    fi
    script=$(python -c 'from streamgauge.jobs.cluster.resources import job_script; print(job_script())')
    exec "$FLINK_HOME/bin/standalone-job.sh" start-foreground "${options[@]}" \
      --job-classname org.apache.flink.client.python.PythonDriver "${start[@]}" -py "$script" "$@"
    ;;
  taskmanager)
    exec "$FLINK_HOME/bin/taskmanager.sh" start-foreground "${options[@]}"
    ;;
  create-topics)
    shift
    exec python /opt/streamgauge/images/create_topics.py "$@"
    ;;
  "")
    sed -n '2,8s/^# //p' "$0"
    ;;
  *)
    exec "$@"
    ;;
esac
