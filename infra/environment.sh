# shellcheck shell=sh
# What quickstart.sh and test.sh have in common; sourced by both, from the root of the checkout:
# a Python that is new enough, `.venv` with distribute in it, and a C compiler for the example batch.

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

may_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

apt_install() {
    say "installing with apt-get: $*"
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# Prints the Python to use: $PYTHON, else the first of the usual names that is new enough.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11 or newer"
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    found=$(python3 --version 2>&1) || found='no python3'
    die "distribute needs Python 3.11 or newer, and here is $found: install one, or name it: PYTHON=/path/to/python3"
}

# Makes .venv, unless a working one is there.
make_venv() {
    if .venv/bin/python -m pip --version >/dev/null 2>&1 && is_new_enough .venv/bin/python; then
        return
    fi
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        may_install || die "$python has no venv module: install it with 'sudo apt-get install $package', then run this again"
        apt_install "$package" || die "apt-get could not install $package (see above): install it, then run this again"
    fi
    [ -w . ] || die "$(pwd) can't be written, and .venv goes in there: copy the checkout to where you may write"
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

# Installs distribute from this checkout into .venv, with the extra $1 ('' for none), unless that was done before.
install_distribute() {
    stamp=".venv/installed${1:+-$1}"
    wanted="$(pwd) $(cksum <pyproject.toml)"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    say "installing distribute${1:+ and what its tests need}"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${1:+[$1]}" ||
        die "pip could not install distribute (see above)"
    printf '%s\n' "$wanted" >"$stamp"
}

has_compiler() {
    command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
        .venv/bin/python -c 'import ziglang' 2>/dev/null
}

# The example batch is a program in C. Without root, the package ziglang holds a compiler.
find_compiler() {
    if has_compiler || { may_install && apt_install gcc libc6-dev; }; then
        return
    fi
    say "no C compiler here: installing the Python package ziglang, which holds one"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check ziglang ||
        die "the example batch needs a C compiler: install gcc or clang, then run this again"
}

# Everything, with the extra $1 ('' for none); then `distribute`, `python3` and the tools are those of .venv.
set_up() {
    make_venv
    install_distribute "$1"
    find_compiler
    PATH="$(pwd)/.venv/bin:$PATH"
    export PATH
}

# Prints what to try next, in any shell, with the virtual environment in the folder $1. Each line is a command and,
# behind two blanks, what it does.
next_steps() {
    script=$(printf '%s' "$1/bin/activate" | sed "s/'/'\\\\''/g")
    case "${SHELL:-}" in
    */fish) activate="source '$script.fish'" ;;
    */csh | */tcsh) activate="source '$script.csh'" ;;
    *) activate=". '$script'" ;;
    esac
    cat <<NEXT

What to try next, here or in a new shell:

  $activate
  distribute up --detach         a cluster on this computer that stays
  mkdir -p ~/pendulum
  cd ~/pendulum
  distribute template python     distribute-jobs.yaml and its scripts: make them a batch of your own
  distribute add                 submits it
  distribute watch               its progress, until it ends
  distribute status last         its jobs; \`distribute nodes\` shows the nodes
  distribute logs last/angle150  what a job printed
  distribute pull                its results, in ~/pendulum/pendulum-python
  distribute down                ends the cluster
NEXT
}
