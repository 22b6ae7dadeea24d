#!/bin/sh
# LSF: submit QUEUE CPUS MEGABYTES MINUTES GPUS SCRIPT prints the job's number; status JOB its state.
. "$(dirname "$0")/answer.sh"

case $1 in
submit)
    [ "$6" = 0 ] || gpus="-gpu num=$6"
    # -M is the limit of a job or of a process, in a unit that the cluster chooses: adapt it. Without a number, it failed.
    bsub -q "$2" -n "$3" -R "span[hosts=1]" -R "rusage[mem=$4]" -M "$4" -W "$5" $gpus \
        -o .snakemake/lsf-%J.log sh "$7" | sed -n 's/^Job <\([0-9]*\)>.*/\1/p' | grep .
    ;;
status)
    case $(bjobs -noheader -o stat "$2") in
    DONE) state=success ;;
    EXIT) state=failed ;;
    "" | UNKWN) state= ;; # UNKWN: the job's host is silent
    *) state=running ;;
    esac
    answer "$2" "$state"
    ;;
esac
