# shellcheck shell=sh disable=SC2154 # jobs, arrays, last, same, most_running and not_before are set above
set -eu
cd "$(dirname "$0")"

die() {
    printf 'schedule_jobs.sh: %s\n' "$*" >&2
    exit 1
}

# Everything that was scheduled, one id of SLURM a line.
ids() { find state -name '*.id' -exec cat {} + | sed 's/_.*//' | sort -un; }

account() {
    command -v sacct >/dev/null || die 'there is no sacct here: SLURM keeps no accounts, or this is not its computer'
    header=''
    : >accounting.txt.new
    ids | xargs -r -n 200 | tr ' ' ',' | while read -r some; do
        # shellcheck disable=SC2086 # nothing, or one option
        TZ=UTC SLURM_TIME_FORMAT=%Y-%m-%dT%H:%M:%S sacct $header --parsable2 --duplicates --jobs="$some" \
            --format=JobID,State,ExitCode,Start,End,Elapsed,TotalCPU,MaxRSS,NodeList >>accounting.txt.new || exit 1
        header=--noheader
    done || die 'sacct failed (see above)'
    mv accounting.txt.new accounting.txt
}

is_again=''
case ${1-} in
'') ;;
--again) is_again=yes ;;
--accounting)
    [ -d state ] || die 'nothing was scheduled here yet'
    account
    exit
    ;;
*) die "there is no option $1: use none; --again, which also schedules anew what did not succeed; or --accounting, which writes accounting.txt" ;;
esac

command -v sbatch >/dev/null || die 'there is no sbatch here: run this on the SLURM cluster, in the folder that rsync_upload.sh made'
mkdir -p state running results
while read -r file; do
    [ -e "files/$file" ] || die "files/$file is not here: run rsync_upload.sh again"
done <scripts/files.txt
# Jobs are known by their numbers, so those of another batch must not pass for these.
[ -s state/batch ] || echo "$same" >state/batch
[ "$(cat state/batch)" = "$same" ] ||
    die 'other jobs were scheduled in this folder: upload these to another one, or first remove state, running and results here'

# Notes for each job of the array $1, which was scheduled, which task of it that is.
note_tasks() {
    id=$(cat "state/array-$1.id")
    task=0
    while read -r job; do
        [ -s "state/$job.id" ] || printf '%s\n' "${id}_$task" >"state/$job.id"
        task=$((task + 1))
    done <"scripts/array-$1.txt"
}

# Forgets the units that did not succeed, and that SLURM will not run any more. Prints how many.
forget_failed() {
    squeue --me --noheader --array --format=%i >state/queue.new || die 'squeue failed (see above)'
    {
        sed 's/^/queued /' state/queue.new
        find state -name '*.json' -exec grep -l '"exit_code": 0,' {} + | sed 's/^/good /; s/[.]json$//'
        find state -name '*.id' ! -name 'array-*' -exec grep -H '' {} + | sed 's/^/known /; s/[.]id:/ /'
        find state -name '*.json' | sed 's/^/known /; s/[.]json$//'
    } | awk '
        $1 == "queued" { queued[$2] = 1 }
        $1 == "good" { kept[$2] = 1 }
        $1 == "known" { known[$2] = 1; if ($3 in queued) kept[$2] = 1 }
        END { for (unit in known) if (!(unit in kept)) print unit }' >state/again.new
    # The records first: without an id, but with a record, a unit would never run again.
    sed 's/$/.json/' state/again.new | xargs -r rm -f
    sed 's/$/.id/' state/again.new | xargs -r rm -f
    wc -l <state/again.new
    rm -f state/queue.new state/again.new
}

if [ -n "$is_again" ]; then
    number=0
    while [ "$number" -lt "$arrays" ]; do
        [ ! -s "state/array-$number.id" ] || note_tasks "$number"
        rm -f "state/array-$number.id"
        number=$((number + 1))
    done
    forgotten=$(forget_failed)
    echo "$forgotten did not succeed, and are scheduled anew"
fi

# Has the last job seen less than the others leave? It is number $last, so there are as many others.
is_last_outdated() {
    [ "$(find state -name '[0-9]*.id' ! -name "$last.id" | wc -l)" -eq "$last" ] || return 0
    # A person may have requeued others.
    [ -n "$is_again" ] && [ -s "state/$last.json" ] &&
        [ -n "$(find state -name '[0-9]*.json' -newer "state/$last.json")" ]
}

# Takes the last job back, so that it is scheduled again. If it runs, its next run waits until it has ended.
if [ -n "$last" ] && { [ -s "state/$last.id" ] || [ -s "state/$last.json" ]; } && is_last_outdated; then
    if [ -s "state/$last.id" ]; then
        scancel "$(cat "state/$last.id")" || echo "schedule_jobs.sh: the last job may run on, in vain" >&2
        mv "state/$last.id" "state/$last.before"
    fi
    rm -f "state/$last.json"
    echo 'the job that runs last is scheduled anew, behind the others'
fi

# Schedules the script scripts/$1.sbatch, unless state/$1.id says that this was done. $2: an option, or nothing.
schedule() {
    [ ! -s "state/$1.id" ] || return 0
    # shellcheck disable=SC2086 # several words, or none
    id=$(sbatch --parsable ${after:+--dependency=$after --kill-on-invalid-dep=yes} $begin ${2-} "scripts/$1.sbatch") ||
        die "sbatch took no $1 (see above); run this again when that is mended: what is scheduled is not scheduled twice"
    printf '%s\n' "${id%%;*}" >"state/$1.id.new"
    mv "state/$1.id.new" "state/$1.id"
    new=$((new + 1))
}

new=0
after=''
begin=''
if [ -e scripts/build.sbatch ]; then
    case $(cat state/build.json 2>/dev/null || true) in
    *'"exit_code": 0,'*) ;;
    '')
        schedule build
        after=afterok:$(cat state/build.id)
        ;;
    *) die "the build failed, and results/ has what it printed; when that is mended, 'sh schedule_jobs.sh --again' runs it and the jobs anew" ;;
    esac
fi

# sbatch reads a time by the clock of this computer, wherever the folder was written.
if [ -n "$not_before" ] && [ "$(date +%s)" -lt "$not_before" ]; then
    begin=--begin=$(date -d "@$not_before" +%Y-%m-%dT%H:%M:%S)
fi

longest=100000 # no program takes much more as one argument

# The option by which only those tasks of the array $1 run whose jobs were not scheduled yet. Fails if all were.
# Prints nothing if all of the array is to run: tasks of jobs that were scheduled then end at once.
missing_tasks() {
    tasks=''
    is_whole=yes
    task=0
    while [ "${#tasks}" -lt "$longest" ] && read -r job; do
        if [ -s "state/$job.id" ]; then
            is_whole=''
        else
            tasks=$tasks,$task
        fi
        task=$((task + 1))
    done <"scripts/array-$1.txt"
    [ -n "$tasks" ] || return 1
    [ -n "$is_whole" ] || [ "${#tasks}" -ge "$longest" ] || echo "--array=${tasks#,}${most_running:+%$most_running}"
}

number=0
while [ "$number" -lt "$arrays" ]; do
    if [ -s "state/array-$number.id" ]; then
        note_tasks "$number"
    elif option=$(missing_tasks "$number"); then
        schedule "array-$number" "$option"
        note_tasks "$number"
    fi
    number=$((number + 1))
done

number=0
while [ "$arrays" -eq 0 ] && [ "$number" -lt "${last:-$jobs}" ]; do
    schedule "$number"
    number=$((number + 1))
done

if [ -n "$last" ] && [ ! -s "state/$last.id" ]; then
    # Whatever becomes of them. SLURM passes over those that it has forgotten.
    others=$(find state \( -name '[0-9]*.id' ! -name "$last.id" -o -name "$last.before" \) -exec cat {} + |
        sed 's/_.*//' | sort -un | paste -s -d : -)
    [ -z "$others" ] || after=${after:+$after,}afterany:$others
    schedule "$last"
    rm -f "state/$last.before"
fi

[ "$new" -gt 0 ] || echo 'nothing was left to schedule'
echo "all $jobs jobs are scheduled; squeue --me lists those that are not over"
echo 'when it lists none, run rsync_download.sh where you wrote this folder: it brings what they left'
