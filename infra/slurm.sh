#!/bin/sh
# A real SLURM with accounting on one computer, for the tests. Needs root, on Debian or a relative of it.
#
#     sh infra/slurm.sh        installs it, and rsync
#     sh infra/slurm.sh DIR    runs it, until its standard input ends: all its files are in the folder DIR
#
# It prints a line when it is ready: the setting by which sbatch, squeue and sacct find it. It has its own munge daemon,
# database and ports, so several may run at once, also beside a SLURM that this computer really has.
# Its one node says that it has 8 cores, 16 GB and 2 GPUs, whatever the computer has. Nothing holds jobs to their share.
set -eu

say() { printf '%s\n' "$*" >&2; }

packages='slurmctld slurmd slurm-client slurmdbd munge mariadb-server-core mariadb-client-core rsync'
soon='-o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Acquire::Retries=1 -o DPkg::Lock::Timeout=120'

is_installed() {
    for program in slurmctld slurmd sbatch slurmdbd munged mariadbd mariadb rsync; do
        command -v "$program" >/dev/null || return 1
    done
}

PATH="$PATH:/usr/sbin:/sbin"

[ "$(id -u)" -eq 0 ] || {
    say 'this needs root'
    exit 1
}

if [ $# -eq 0 ]; then
    ! is_installed || exit 0
    command -v apt-get >/dev/null || {
        say 'this needs Debian or a relative of it'
        exit 1
    }
    say 'installing SLURM, for the tests'
    log=$(mktemp)
    # shellcheck disable=SC2086 # several words
    { apt-get $soon update -q && DEBIAN_FRONTEND=noninteractive apt-get $soon install -q -y --no-install-recommends $packages; } >"$log" 2>&1 || {
        tail -3 "$log" >&2
        rm -f "$log"
        exit 1
    }
    rm -f "$log"
    is_installed
    exit
fi

mkdir -p "$1"
dir=$(cd "$1" && pwd)
host=$(hostname -s)
daemons=''

is_running() { kill -0 "$1" 2>/dev/null; }

# Starts a daemon in the foreground, but not in ours: Ctrl-C must not reach it before its jobs have ended.
start() {
    name=$1
    shift
    setsid "$@" </dev/null >"$dir/$name.out" 2>&1 &
    daemon=$!
    daemons="$daemon $daemons"
}

# Waits until the command succeeds, while the daemon that was started last runs.
await() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if ! is_running "$daemon" || [ "$tries" -gt 600 ]; then
            say "SLURM can't run: $name did not start; the end of its log is:"
            tail -5 "$dir/$name.out" "$dir/$name.log" >&2 2>/dev/null || true
            exit 1
        fi
        sleep 0.1
    done
}

finish() {
    trap '' HUP INT TERM
    if [ -n "$is_ready" ]; then
        # First the jobs, which would outlive slurmd.
        squeue --noheader --format=%A | sort -u | xargs -r scancel 2>/dev/null || true
        tries=0
        while [ -n "$(squeue --noheader 2>/dev/null)" ] && [ "$tries" -lt 600 ]; do
            tries=$((tries + 1))
            sleep 0.1
        done
    fi
    for pid in $daemons; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

is_ready=''
trap finish EXIT
trap 'exit 1' HUP INT TERM # dash runs no EXIT trap when a signal ends it

# Three ports that are free, and that the kernel gives to nobody who connects.
ports=$(python3 - <<'PYTHON'
import random, socket

held = []
while len(held) < 3:
    try:
        held.append(socket.create_server(("127.0.0.1", random.randrange(20000, 32000))))
    except OSError:
        continue
print(*(one.getsockname()[1] for one in held))
PYTHON
)
# shellcheck disable=SC2086 # several words
set -- $ports

umask 022
mkdir -p "$dir/state" "$dir/spool"
munge=$dir/munge.socket

cat >"$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$1
SlurmdPort=$2
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$munge
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$3
AccountingStoragePass=$munge
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=10
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
MinJobAge=86400
InactiveLimit=0
MaxArraySize=1001
GresTypes=gpu
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,default_queue_depth=10000,partition_job_depth=10000
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000 Gres=gpu:2 State=UNKNOWN
PartitionName=debug Nodes=$host Default=YES MaxTime=7-00:00:00 State=UP
CONF

# What stands for its GPUs.
printf 'Name=gpu File=/dev/zero\nName=gpu File=/dev/full\n' >"$dir/gres.conf"

cat >"$dir/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$munge
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$3
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
LogFile=$dir/slurmdbd.log
PidFile=$dir/slurmdbd.pid
CONF
chmod 600 "$dir/slurmdbd.conf"
export SLURM_CONF="$dir/slurm.conf"

(umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
start munged munged --foreground --force --key-file="$dir/munge.key" --socket="$munge" \
    --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munge.seed"
await munge --socket="$munge" --no-input

[ -d "$dir/mysql/mysql" ] || mariadb-install-db --no-defaults --user=root --datadir="$dir/mysql" \
    --auth-root-authentication-method=socket --skip-test-db --innodb-log-file-size=4M >"$dir/mariadb-install.out" 2>&1 || {
    tail -5 "$dir/mariadb-install.out" >&2
    exit 1
}
start mariadbd mariadbd --no-defaults --user=root --datadir="$dir/mysql" --socket="$dir/mysql.socket" \
    --pid-file="$dir/mariadbd.pid" --skip-networking --innodb-buffer-pool-size=64M --innodb-log-file-size=4M \
    --innodb-flush-log-at-trx-commit=0
await mariadb --no-defaults --socket="$dir/mysql.socket" --execute='create database if not exists slurm'

MYSQL_UNIX_PORT=$dir/mysql.socket start slurmdbd slurmdbd -D
await sacctmgr --noheader show cluster
sacctmgr --immediate add cluster test >/dev/null 2>&1 || true # it may be there from an earlier run

start slurmctld slurmctld -D -f "$SLURM_CONF"
await scontrol ping
start slurmd slurmd -D -f "$SLURM_CONF"
is_idle() { [ "$(sinfo --noheader --format=%T)" = idle ]; }
await is_idle
is_ready=yes

printf 'SLURM_CONF=%s\n' "$SLURM_CONF"
# A shell that waits for a program in the foreground would obey no signal.
exec 3<&0
cat <&3 >/dev/null &
wait $!
