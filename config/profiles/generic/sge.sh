#!/bin/sh
# SGE: submit QUEUE CPUS MEGABYTES MINUTES GPUS SCRIPT prints the job's number; status JOB its state.
. "$(dirname "$0")/answer.sh"

case $1 in
submit)
    # The names smp (parallel environment) and gpu are the cluster's: adapt them. Memory is that of a CPU.
    [ "$6" = 0 ] || gpus="-l gpu=$6"
    qsub -terse -q "$2" -pe smp "$3" -l "h_vmem=$(($4 / $3))M" -l "h_rt=$(($5 * 60))" $gpus \
        -cwd -j y -o .snakemake/ -S /bin/sh "$7"
    ;;
status)
    # What has ended is known to qacct, but not at once.
    if qstat -j "$2" >/dev/null 2>&1; then
        state=running
    elif ! record=$(qacct -j "$2" 2>/dev/null); then
        state=
    elif echo "$record" | grep -Eq '^exit_status +0 *$'; then
        state=success
    else
        state=failed
    fi
    answer "$2" "$state"
    ;;
esac
