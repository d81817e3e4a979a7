# shellcheck shell=bash
# What the scripts of a batch have in common. They run in the folder that schedule_jobs.sh is in, and need bash,
# coreutils, findutils, sed and setsid (util-linux). A job's part is in scripts/N.sh, which uses and sets variables of
# these.
# shellcheck disable=SC2034,SC2154

top=$PWD
state=$top/state

now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

say() { printf 'distribute: %s\n' "$*" >&2; }

# Writes how the unit ended, at once or not at all: exit code, signal, reason (a text without quotes, or nothing).
record() {
    local reason=null
    # schedule_jobs.sh took the last job back, because it has to run after others once more.
    [ "$(cat "$state/$unit.id" 2>/dev/null)" = "$own_id" ] || return 0
    [ -z "$3" ] || reason="\"$3\""
    printf '{"v": 1, "exit_code": %s, "signal": %s, "reason": %s, "started_at": "%s", "finished_at": "%s", "node": "%s", "attempt": %s, "slurm_job_id": "%s", "left": %s}\n' \
        "$1" "$2" "$reason" "$started" "$(now)" "$node" "$attempt" "$own_id" "$left" >"$state/$unit.json.new" &&
        mv -f -- "$state/$unit.json.new" "$state/$unit.json"
}

# Ends the unit, which could not run. What it printed tells why.
broken() {
    say "$*"
    printf 'distribute: %s\n' "$*" >>"$work/stdout.txt"
    record null null "$1"
    exit 1
}

# Sets what the unit may use of this node, and leaves if there is nothing to do.
begin() {
    unit=$1
    own_id=${SLURM_JOB_ID:-}
    [ -z "${SLURM_ARRAY_JOB_ID:-}" ] || own_id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    case $(cat "$state/$unit.json" 2>/dev/null) in
    '') ;;
    *'"exit_code": 0,'*)
        say "$unit has succeeded already: see state/$unit.json"
        exit 0
        ;;
    *"\"slurm_job_id\": \"$own_id\""*) # scontrol requeue, after it failed
        rm -f -- "$state/$unit.json"
        ;;
    *)
        say "$unit has failed already: see state/$unit.json; to run it again, 'scontrol requeue' that job of SLURM," \
            "or run 'sh schedule_jobs.sh --again'"
        exit 0
        ;;
    esac
    if [ "$(cat "$state/$unit.before" 2>/dev/null)" = "$own_id" ]; then
        say "$unit is scheduled anew: there is nothing to do for $own_id"
        exit 0
    fi
    # schedule_jobs.sh may have been stopped before it could write this down, and have scheduled the unit twice.
    if ! (set -o noclobber && printf '%s\n' "$own_id" >"$state/$unit.id") 2>/dev/null &&
        [ "$(cat "$state/$unit.id")" != "$own_id" ]; then
        say "$unit is the job $(cat "$state/$unit.id") of SLURM: there is nothing to do for $own_id"
        exit 0
    fi
    started=$(now)
    node=${SLURMD_NODENAME:-$(uname -n)}
    attempt=$((${SLURM_RESTART_COUNT:-0} + 1))
    cores=${SLURM_CPUS_ON_NODE:-1}
    local tasks=${SLURM_TASKS_PER_NODE:-1}
    if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
        cores=$((${tasks%%[!0-9]*} * SLURM_CPUS_PER_TASK))
    elif [ -n "${SLURM_NTASKS:-}" ]; then
        cores=${tasks%%[!0-9]*}
    fi
    gpus=${SLURM_GPUS_ON_NODE:-0}
    memory=0
    if [ -n "${SLURM_MEM_PER_NODE:-}" ]; then
        memory=$((SLURM_MEM_PER_NODE * 1048576))
    elif [ -n "${SLURM_MEM_PER_CPU:-}" ]; then
        memory=$((SLURM_MEM_PER_CPU * 1048576 * ${SLURM_CPUS_ON_NODE:-1}))
    fi
    work=$top/running/$unit
    folder=$work/job
    rm -rf -- "$work" # of an earlier try, if SLURM runs the unit again
    mkdir -p -- "$folder" "$top/results" || exit 1
    build=''
    left=true
    timeout=''
    grace=5
    save_seen=$folder/distribute_save
    is_prepared=''
}

# Sets the folder of the job's results. What an earlier run left there would pass for what this one leaves.
results_in() {
    results=$1
    rm -rf -- "$top/results/${results:?}" || broken 'results of an earlier run could not be removed'
    printf %s "$results" >"$work/results_in" # for the last job, if SLURM ends this one
}

# One line that the settings for this cluster have, such as: module load apptainer.
prepare() {
    eval "$1" || broken 'a line of the settings for the cluster failed' "$1"
}

# The folder as the build left it, but for its results.
copy_build() {
    [ -z "$build" ] && return
    case $(cat "$state/build.json" 2>/dev/null) in
    *'"exit_code": 0,'*) ;;
    *) broken 'the build failed' ;;
    esac
    cp -a -- "$top/running/build/job/." "$folder/" || broken 'the built folder could not be copied'
    rm -rf -- "$folder/distribute_save"
}

make_folder() {
    if [ -L "$folder/$1" ] || [ ! -d "$folder/$1" ]; then
        { rm -rf -- "${folder:?}/$1" && mkdir -p -- "$folder/$1"; } || broken 'a folder could not be made'
    fi
    chmod 755 -- "$folder/$1"
}

# put SHA256 PATH MODE TIME [keep]: a file of its input. With keep, one that the build left there stays.
put() {
    local target=$folder/$2
    if [ -e "$target" ] || [ -L "$target" ]; then
        [ -z "${5:-}" ] || return 0
        rm -rf -- "$target"
    fi
    { cp -- "$top/files/$1" "$target" && chmod "$3" "$target"; } || broken 'an input file could not be copied'
    [ -z "$4" ] || touch -d "@$4" -- "$target"
}

# put_folder NAME PATH [keep]: a folder of its input, or what lies in one at its top. With keep, as in put.
put_folder() {
    local target=$folder/$2
    if [ -e "$target" ] || [ -L "$target" ]; then
        [ -z "${3:-}" ] || return 0
        rm -rf -- "$target"
    fi
    cp -a -- "$top/files/$1" "$target" || broken 'an input folder could not be copied'
}

# put_matches SHA256 PATH [keep]: what a glob matched: all that lies in a folder, each as put_folder does it.
put_matches() {
    local name
    for name in "$top/files/$1"/* "$top/files/$1"/.[!.]* "$top/files/$1"/..?*; do
        if [ -e "$name" ] || [ -L "$name" ]; then
            put_folder "$1/${name##*/}" "$2/${name##*/}" "${3:-}"
        fi
    done
}

# put_results BATCH: what all other jobs left, for the one that runs last.
put_results() {
    local all=$folder/input/results left=true from of
    rm -rf -- "$all"
    make_folder input/results
    mkdir -p -- "$top/results/$1" &&
        find "$top/results/$1" -mindepth 1 -maxdepth 1 -type d -exec cp -a -t "$all" -- {} + ||
        broken 'the results of the other jobs could not be copied'
    # SLURM ended these jobs before their scripts could keep what they left.
    for from in "$top"/running/*/results_in; do
        from=${from%/results_in}
        of=$(cat -- "$from/results_in" 2>/dev/null && printf x)
        of=${of%x}
        of=$all/${of#"$1/"}
        if [ "$from" = "$work" ] || [ ! -e "$from/results_in" ] || [ -e "$of" ]; then
            continue
        fi
        mkdir -- "$of" || broken 'the results of the other jobs could not be copied'
        if [ -d "$from/job/distribute_save" ] && [ ! -L "$from/job/distribute_save" ]; then
            cp -a -- "$from/job/distribute_save/." "$of/" || broken 'the results of the other jobs could not be copied'
        fi
        complete_results "$of" "$from/stdout.txt" "$from/job/distribute_save/"
    done
}

# The processes of the job, each with its parent: all of its session.
processes() {
    local file line
    for file in /proc/[0-9]*/stat; do
        read -r line 2>/dev/null <"$file" || continue
        # shellcheck disable=SC2086 # several words
        set -- ${line##*) } "${line%% *}"
        [ "$4" != "$child" ] || [ "$1" = Z ] || printf '%s %s\n' "${!#}" "$2"
    done
}

signal_all() {
    processes | while read -r pid _; do kill -s "$1" "$pid" 2>/dev/null; done
}

# Warns the programs of the job, and not the shells that started them unless these handle the signal.
warn() {
    local found pid mask
    found=$(processes)
    while read -r pid _; do
        mask=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null) || continue
        if [[ $found$'\n' == *" $pid"$'\n'* ]] && ((!(16#${mask:-0} >> ($(kill -l "$1") - 1) & 1))); then
            continue
        fi
        kill -s "$1" "$pid" 2>/dev/null
    done <<<"$found"
}

# Waits for the job. Signals that SLURM sends meanwhile interrupt only the waiting.
await() {
    status=''
    while :; do
        interrupted=''
        wait "$child"
        local code=$?
        [ -n "$status" ] && [ "$code" -eq 127 ] || status=$code
        [ -n "$interrupted" ] || return 0
    done
}

# Runs the command in its folder, in a session of its own, until it has ended, with all that it started.
execute() {
    local setsid timer=''
    setsid=$(type -P setsid)
    [ -z "$is_prepared" ] || : >"$folder/.distribute_setup"
    stopped=''
    trap 'stopped=yes interrupted=yes' TERM
    if [ -n "$signal" ]; then
        # shellcheck disable=SC2064 # the name of the signal, as it is now
        trap "interrupted=yes; warn $signal" "$signal"
    fi
    (
        trap - TERM
        [ -z "$signal" ] || trap - "$signal"
        cd -- "$folder" && export "${environment[@]}" && exec "$setsid" -- "${command[@]}"
    ) </dev/null >"$work/stdout.txt" 2>&1 &
    child=$!
    if [ -n "$timeout" ]; then
        set -m # so that the timer is a process group, which ends as one
        (
            sleep "$timeout"
            : >"$work/timed_out"
            signal_all TERM
            sleep "$grace"
            signal_all KILL
        ) </dev/null >/dev/null 2>&1 &
        timer=$!
        set +m
        disown "$timer" # else bash would tell how it ended
    fi
    await
    end_rest
    [ -z "$timer" ] || kill -KILL -- "-$timer" 2>/dev/null
    # SLURM ended it, and tells the reason by itself. It may also run the unit again.
    [ -z "$stopped" ] || exit 143
}

# Ends what the first process left running: two seconds after SIGTERM, by SIGKILL.
end_rest() {
    local tries
    for tries in $(seq 21); do
        [ -n "$(processes)" ] || return 0
        [ "$tries" -gt 1 ] || signal_all TERM
        sleep 0.1
    done
    signal_all KILL
}

# Puts what the unit left to the results, at once: its folder $1 of the results holds it, and what it printed.
keep_results() {
    local save new=$work/results target=$top/results/$1
    save=$(realpath -e -- "$folder/distribute_save" 2>/dev/null)
    case $save in
    "$(realpath -- "$work")"/*) [ -d "$save" ] && chmod u+rwx -- "$save" && mv -T -- "$save" "$new" ;;
    esac
    mkdir -p -- "$new"
    complete_results "$new" "$work/stdout.txt" "$folder/distribute_save/" "$save_seen/" &&
        mkdir -p -- "${target%/*}" && rm -rf -- "$target" && mv -T -- "$new" "$target" || {
        say "the results could not be kept: they are in $work"
        exit 1
    }
}

# Adds what the job printed, the file $2, to what was in distribute_save, the folder $1. Sets `left` if there is nothing.
# The other arguments are the paths by which links of the job may lead to distribute_save.
complete_results() {
    local new=$1 printed=$2 aside=distribute_save number=1
    shift 2
    relative_links "$new" "$@"
    find "$new" '(' -type p -o -type s ')' -delete
    if [ -e "$new/stdout.txt" ] || [ -L "$new/stdout.txt" ]; then
        while [ -e "$new/$aside" ] || [ -L "$new/$aside" ]; do
            number=$((number + 1))
            aside=distribute_save-$number
        done
        mkdir -- "$new/$aside" && mv -- "$new/stdout.txt" "$new/$aside/"
    fi
    # As a cluster of distribute has it: of a job that printed nothing and left nothing there is no file.
    if [ ! -s "$printed" ] && [ -z "$(ls -A -- "$new")" ]; then
        left=false
    else
        cp -- "$printed" "$new/stdout.txt"
    fi
}

# Links with absolute paths to the results themselves, in the folder $1: the other arguments are its paths before.
relative_links() {
    local new=$1 link target before
    shift
    find "$new" -type l -print0 | while IFS= read -r -d '' link; do
        target=$(readlink -- "$link" && printf x)
        target=${target%$'\n'x}
        for before in "$@"; do
            case $target in
            "$before"*)
                ln -sfnT -- "$(realpath -ms --relative-to="${link%/*}" -- "$new/${target#"$before"}")" "$link"
                break
                ;;
            esac
        done
    done
}

# How it ended, for the record and for SLURM.
end() {
    local reason=''
    [ ! -e "$work/timed_out" ] || reason='its timeout'
    if [ -n "$is_prepared" ] && [ -e "$folder/.distribute_setup" ]; then
        printf 'distribute: the setup line failed: %s\n' "$(cat "$folder/.distribute_setup")" >>"$work/stdout.txt"
        reason='a line of its setup failed, or ended the shell'
        [ "$status" -ne 0 ] || status=1
    fi
    end_reason=$reason
}

finish() {
    if [ "$status" -gt 128 ] && [ "$status" -le 192 ]; then
        record null $((status - 128)) "$end_reason"
    else
        record "$status" null "$end_reason"
    fi || exit 1
}

# Runs the job N.
run_job() {
    begin "$1"
    # shellcheck source=/dev/null
    . "$top/scripts/$1.sh"
    execute
    end
    [ -z "$is_copied" ] || cat -- "$work/stdout.txt"
    keep_results "$results"
    finish
    rm -rf -- "$work"
    local log=$state/slurm-$own_id.log # of 100,000 jobs that say nothing, as many empty files
    [ -s "$log" ] || rm -f -- "$log"
    exit "$status"
}

# Runs the build. Its folder stays: jobs start in copies of it.
run_build() {
    begin build
    # shellcheck source=/dev/null
    . "$top/scripts/build.sh"
    execute
    end
    local file=${build_output_before}${node}.txt
    [ "$(printf %s "$file" | wc -c)" -le 255 ] || file=${build_output_short}${node}.txt
    mkdir -p -- "$top/results/$results" && cp -- "$work/stdout.txt" "$top/results/$results/$file" || exit 1
    finish
    exit "$status"
}
