#!/bin/sh
# Installs the real Apptainer below /opt/apptainer, for the tests. Needs root, on Debian or Ubuntu for x86_64.
#
#     sh infra/apptainer.sh
#
# Debian's stable releases lack Apptainer. So its package comes from sid, with the C library of trixie beside it. They are
# unpacked, not installed: the system's own library stays. apt checks their signatures, in folders of its own.
set -eu

prefix=/opt/apptainer
keys=/usr/share/keyrings/debian-archive-keyring.gpg

# Without a network, say so soon.
soon='-o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Acquire::Retries=1'

say() { printf '%s\n' "$*" >&2; }

# Users mount images by FUSE. udev opens its device to them; where it is closed, we do.
if [ "$(id -u)" -eq 0 ] && [ -c /dev/fuse ] && [ -z "$(find /dev/fuse -perm -666)" ] && ! chmod 666 /dev/fuse; then
    say '/dev/fuse stays closed to users, and the tests of their containers fail'
fi

! command -v apptainer >/dev/null || exit 0
! "$prefix/bin/apptainer" --version >/dev/null 2>&1 || exit 0
[ "$(id -u)" -eq 0 ] && [ "$(uname -m)" = x86_64 ] && command -v apt-get >/dev/null && [ -r "$keys" ] || {
    say 'this needs root, on Debian or a relative of it, for x86_64'
    exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM # dash runs no EXIT trap when a signal ends it
chmod 755 "$work"

say "installing Apptainer in $prefix, for the tests"
{
    # shellcheck disable=SC2086 # several words
    apt-get $soon update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        busybox-static patchelf squashfs-tools squashfuse
} >"$work/log" 2>&1 || {
    tail -3 "$work/log" >&2
    exit 1
}

# An apt that knows only the suites with the two packages, on the mirror that this computer uses.
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/unpacked"
for suite in trixie sid; do
    echo "deb [signed-by=$keys] $mirror $suite main"
done >"$work/apt/sources.list"
apart() {
    # shellcheck disable=SC2086 # several words
    apt-get $soon -o "Dir::State::Lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" \
        -o "Dir::Etc::sourcelist=$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Acquire::Languages=none -o APT::Sandbox::User=root -q "$@"
}
(
    cd "$work"
    apart update && apart download apptainer/sid libc6/trixie
    for package in apptainer libc6; do
        dpkg -x "$package"_*.deb "unpacked/$package"
    done
) >"$work/log" 2>&1 || {
    tail -3 "$work/log" >&2
    exit 1
}

rm -rf "$prefix.new"
mkdir -p "$prefix.new/glibc"
cp -a "$work/unpacked/apptainer/usr/bin" "$work/unpacked/apptainer/usr/lib" "$work/unpacked/apptainer/etc" "$prefix.new"
libraries=$work/unpacked/libc6/usr/lib/x86_64-linux-gnu
for library in ld-linux-x86-64.so.2 libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 libresolv.so.2 librt.so.1; do
    cp -a "$libraries/$library" "$prefix.new/glibc"
done
for program in bin/apptainer lib/x86_64-linux-gnu/apptainer/bin/starter; do
    patchelf --set-interpreter "$prefix/glibc/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$prefix/glibc" \
        "$prefix.new/$program"
done
# The starter looks below lib for what the program looks for above it.
ln -s ../etc "$prefix.new/lib/etc"
mkdir -p "$prefix.new/var/lib/apptainer/mnt/session" "$prefix.new/lib/var/lib/apptainer/mnt/session"
# Where root lacks a capability, as in many virtual machines, a container can't get all of them.
sed -i 's/^root default capabilities = .*/root default capabilities = no/' "$prefix.new/etc/apptainer/apptainer.conf"
rm -rf "$prefix"
mv "$prefix.new" "$prefix"
"$prefix/bin/apptainer" --version >&2
