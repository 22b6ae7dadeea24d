#!/bin/sh
# Kubernetes: submit CPUS MEGABYTES MINUTES GPUS SCRIPT prints the job's name; status JOB its state; JOB... ends them.
# What belongs to your cluster: the image (any that has the python of your environment), the claim of a volume that many
# pods may write to (ReadWriteMany), and the folder at which pods and this machine see it. The project and its
# environment are in that folder.
image=python:3.11
claim=mipnerf
folder=/mipnerf

. "$(dirname "$0")/../generic/answer.sh"

case $1 in
submit)
    kubectl create -o name -f - <<JOB
apiVersion: batch/v1
kind: Job
metadata:
  generateName: mipnerf-
spec:
  backoffLimit: 0
  activeDeadlineSeconds: $(($4 * 60))
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: job
          image: $image
          command: [sh, "$6"]
          workingDir: "$PWD"
          resources:
            requests: {cpu: "$2", memory: ${3}M}
            limits: {memory: ${3}M, nvidia.com/gpu: "$5"}
          volumeMounts:
            - {name: project, mountPath: $folder}
      volumes:
        - name: project
          persistentVolumeClaim: {claimName: $claim}
JOB
    ;;
status)
    # Nothing is true yet of a job that waits or runs.
    state=
    conditions=$(kubectl get "$2" -o 'jsonpath={.status.conditions[?(@.status=="True")].type}') && state=running
    case $conditions in
    *Complete*) state=success ;;
    *Failed*) state=failed ;;
    esac
    answer "$2" "$state"
    ;;
*)
    kubectl delete "$@"
    ;;
esac
