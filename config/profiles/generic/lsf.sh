#!/bin/sh
# LSF: submit QUEUE CPUS MEGABYTES MINUTES GPUS SCRIPT prints the job's number; status JOB its state.
case $1 in
submit)
    [ "$6" = 0 ] || gpus="-gpu num=$6"
    # -M is the limit of a job or of a process, in a unit that the cluster chooses: adapt it.
    bsub -q "$2" -n "$3" -R "span[hosts=1]" -R "rusage[mem=$4]" -M "$4" -W "$5" $gpus \
        -o .snakemake/lsf-%J.log sh "$7" | sed -n 's/^Job <\([0-9]*\)>.*/\1/p'
    ;;
status)
    case $(bjobs -noheader -o stat "$2") in
    DONE) echo success ;;
    EXIT) echo failed ;;
    *) echo running ;;
    esac
    ;;
esac
