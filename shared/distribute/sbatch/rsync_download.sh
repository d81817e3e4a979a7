# shellcheck shell=sh disable=SC2154 # the variables are set above
set -eu
cd "$(dirname "$0")"
command -v rsync >/dev/null || {
    echo 'rsync_download.sh: there is no rsync here: install it' >&2
    exit 1
}

# A connection may ask for a password, so the first one also has the accounts written.
no_accounts='rsync_download.sh: the cluster gave no accounts (see above): the results come without them'
accounts="(cd $quoted_folder && sh schedule_jobs.sh --accounting) </dev/null >&2 || echo '$no_accounts' >&2"

# What a job left in a run before it was run again would pass for what it left now: it goes to the folder earlier.
# Whatever else the cluster lacks stays here: it may remove old files.
rsync --archive --partial --protect-args --rsync-path="$accounts; rsync" \
    --delete --backup --backup-dir=earlier \
    --filter='P /state' --filter='P /results' --filter='P /results/*' --filter='P /results/*/*' \
    --include=/state --include='/state/*.id' --include='/state/*.json' --include='/results' --include='/results/**' \
    --exclude='*' "$login:$folder/" ./
# Of jobs that SLURM ended, or that run, only what they left and printed.
rsync --archive --partial --protect-args --include=/accounting.txt --include=/state --include='/state/*.log' \
    --include=/running --exclude=/running/build/job --include='/running/*' --include='/running/*/stdout.txt' \
    --include='/running/*/job' --include='/running/*/job/distribute_save' \
    --include='/running/*/job/distribute_save/**' --exclude='*' "$login:$folder/" ./

told=$(find state -name '[0-9]*.json' 2>/dev/null | wc -l)
printf '%s of %s jobs have ended by themselves; what they left is in results/\n' "$told" "$jobs"
echo 'when all are over, distribute slurm --collect OUTDIR brings them into the archive'
