#!/bin/sh
# PBS: submit QUEUE CPUS MEGABYTES MINUTES GPUS SCRIPT prints the job's number; status JOB its state.
. "$(dirname "$0")/answer.sh"

case $1 in
submit)
    [ "$6" = 0 ] || gpus=":ngpus=$6"
    qsub -q "$2" -l "select=1:ncpus=$3:mem=$4mb$gpus" -l "walltime=$(($5 * 60))" -j oe -o .snakemake/ "$7"
    ;;
status)
    case $(qstat -x -f "$2") in
    *"job_state = F"*"Exit_status = 0"*) state=success ;;
    *"job_state = F"*) state=failed ;;
    *"job_state = "*) state=running ;;
    *) state= ;;
    esac
    answer "$2" "$state"
    ;;
esac
