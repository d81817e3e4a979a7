# shellcheck shell=sh disable=SC2154 # the variables are set above
set -eu
cd "$(dirname "$0")"
command -v rsync >/dev/null || {
    echo 'rsync_upload.sh: there is no rsync here: install it' >&2
    exit 1
}
# What the cluster has made since then stays: nothing is deleted there.
rsync --archive --partial --protect-args --rsync-path="mkdir -p $quoted_folder && rsync" \
    --exclude=/state --exclude=/running --exclude=/results --exclude=/earlier --exclude=/accounting.txt ./ "$login:$folder/"
printf 'uploaded; now schedule the jobs there:\n  %s\n' "$next_step"
