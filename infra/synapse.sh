#!/bin/sh
# A real Matrix homeserver (Synapse) on one computer, for the tests. Needs a Python with venv, and no rights.
#
#     sh infra/synapse.sh               installs it, in a folder of its own below ~/.cache
#     sh infra/synapse.sh DIR [PORT]    runs it, until its standard input ends: all its files are in the folder DIR
#
# It prints a line when it is ready: where it listens. It knows no other homeserver, limits no login and no message unless
# its admin sets a limit, and lets whoever has the secret below register users. DIR may be that of an earlier run, so that
# it goes on with the users and rooms it had; PORT then makes it the same homeserver for its users.
set -eu

prefix=${XDG_CACHE_HOME:-$HOME/.cache}/distribute-tests/synapse
wanted='matrix-synapse==1.163.*'

say() { printf '%s\n' "$*" >&2; }

is_installed() { [ "$(cat "$prefix/installed" 2>/dev/null)" = "$wanted" ]; }

install() {
    rm -f "$prefix/installed"
    "${PYTHON:-python3}" -m venv --clear "$prefix/venv" &&
        "$prefix/venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 20 "$wanted" &&
        "$prefix/venv/bin/python" -c 'import synapse' &&
        printf '%s\n' "$wanted" >"$prefix/installed"
}

if [ $# -eq 0 ]; then
    mkdir -p "$prefix"
    exec 9>"$prefix/lock"
    flock 9 # several checkouts may run their tests
    ! is_installed || exit 0
    say "installing Synapse in $prefix, for the tests"
    install >"$prefix/log" 2>&1 || {
        tail -3 "$prefix/log" >&2
        exit 1
    }
    exit
fi

is_installed || {
    say "Synapse is not installed: run 'sh infra/synapse.sh'"
    exit 1
}
mkdir -p "$1"
dir=$(cd "$1" && pwd)
python=$prefix/venv/bin/python

# A port that is free, and that the kernel gives to nobody who connects.
port=${2:-$(
    "$python" - <<'PYTHON'
import random, socket

while True:
    try:
        with socket.create_server(("127.0.0.1", random.randrange(20000, 32000))) as held:
            print(held.getsockname()[1])
            break
    except OSError:
        continue
PYTHON
)}

unlimited='{per_second: 10000, burst_count: 10000}'
cat >"$dir/homeserver.yaml" <<YAML
server_name: localhost
report_stats: false
listeners:
  - {port: $port, type: http, bind_addresses: ['127.0.0.1'], resources: [{names: [client]}]}
database: {name: sqlite3, args: {database: '$dir/homeserver.db'}}
signing_key_path: '$dir/signing.key'
media_store_path: '$dir/media'
log_config: '$dir/log.yaml'
registration_shared_secret: of-the-tests
macaroon_secret_key: of-the-tests
form_secret: of-the-tests
bcrypt_rounds: 4
trusted_key_servers: []
federation_domain_whitelist: []
presence: {enabled: false}
rc_message: $unlimited
rc_registration: $unlimited
rc_login: {address: $unlimited, account: $unlimited, failed_attempts: $unlimited}
rc_joins: {local: $unlimited, remote: $unlimited}
rc_joins_per_room: $unlimited
rc_invites: {per_room: $unlimited, per_user: $unlimited, per_issuer: $unlimited}
rc_room_creation: $unlimited
rc_profile: $unlimited
YAML
cat >"$dir/log.yaml" <<YAML
version: 1
formatters: {line: {format: '%(asctime)s %(name)s %(levelname)s %(message)s'}}
handlers: {file: {class: logging.FileHandler, filename: '$dir/synapse.log', formatter: line}}
root: {level: WARNING, handlers: [file]}
YAML

answers() {
    "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' \
        "http://127.0.0.1:$port/_matrix/client/versions" 2>/dev/null
}

[ -s "$dir/signing.key" ] || "$python" -m synapse.app.homeserver --config-path "$dir/homeserver.yaml" --generate-keys >/dev/null

homeserver=''
finish() {
    trap '' HUP INT TERM
    [ -z "$homeserver" ] || kill "$homeserver" 2>/dev/null || true
    [ -z "$homeserver" ] || wait "$homeserver" 2>/dev/null || true
}
trap finish EXIT
trap 'exit 1' HUP INT TERM # dash runs no EXIT trap when a signal ends it

# In a session of its own: Ctrl-C must not reach it before its clients.
setsid "$python" -m synapse.app.homeserver --config-path "$dir/homeserver.yaml" </dev/null >"$dir/synapse.out" 2>&1 &
homeserver=$!
tries=0
until answers; do
    tries=$((tries + 1))
    if ! kill -0 "$homeserver" 2>/dev/null || [ "$tries" -gt 600 ]; then
        say "Synapse can't run; the end of its log is:"
        tail -5 "$dir/synapse.out" "$dir/synapse.log" >&2 2>/dev/null || true
        exit 1
    fi
    sleep 0.1
done

printf 'http://127.0.0.1:%s\n' "$port"
# A shell that waits for a program in the foreground would obey no signal.
exec 3<&0
cat <&3 >/dev/null &
wait $!
