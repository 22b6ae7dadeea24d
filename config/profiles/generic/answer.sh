# Part of the scripts beside it, and of kubernetes.sh: what Snakemake is told of a job.

# Minutes of silence after which a job counts as failed, and another is submitted: longer than your scheduler is ever
# away. If the lost one runs on after all, the training of the new one waits for it.
patience=60

# answer JOB STATE: print the state; where it is empty, as the scheduler knows nothing or cannot be asked, `running` at
# first, and in the end `failed`. Since when it is silent, the age of a file says.
answer() {
    silence=.snakemake/silence/$(echo "$1" | tr / _)
    if [ "$2" ]; then
        rm -f "$silence"
        echo "$2"
    elif [ "$(find "$silence" -mmin "+$patience" 2>/dev/null)" ]; then
        rm -f "$silence"
        echo failed
    else
        mkdir -p .snakemake/silence
        [ -e "$silence" ] || : >"$silence"
        echo running
    fi
}
