#!/usr/bin/env bash
# Installs what Pitwall needs to run on Debian 12 or Ubuntu 24.04, and nothing that is there already.
# Says first what it will install. Uses sudo only for missing system packages. A second run looks and does nothing.
#
#   deploy/local/bootstrap.sh            all of it
#   deploy/local/bootstrap.sh --python   just the Python environment (what `make check` needs)
#   deploy/local/bootstrap.sh --chaos    all of it, and what `make chaos` breaks networks and clocks with
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly MISSING=69 # EX_UNAVAILABLE, as in pitwall/exits.py
readonly STAMP=pitwall-installed
readonly FLINK=flink_jobs/.venv
readonly JAR_FOLDERS=(deploy/local/kafka flink_jobs)
what=${1:---all}

say() { printf '%s\n' "$*" >&2; }
die() { say "bootstrap: $*"; exit "$MISSING"; }
hash_of() { cat "$@" | sha256sum | cut -c1-64; }
have() { command -v "$1" >/dev/null 2>&1; }

# The first interpreter that is 3.11 or 3.12 and can make environments; PYTHON=... chooses another.
find_python() {
  local python
  for python in ${PYTHON:-python3.12 python3.11 python3 /usr/bin/python3}; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
      >/dev/null 2>&1; then
      command -v "$python"
      return
    fi
  done
  return 1
}

has_java() { [ -n "${JAVA_HOME:-}" ] || compgen -G '/usr/lib/jvm/*17*/bin/java' >/dev/null || java17_on_path; }
java17_on_path() { java -version 2>&1 | grep -Eq 'version "(17|21)\b'; }
has_postgres() { compgen -G '/usr/lib/postgresql/1[567]/bin/initdb' >/dev/null; }
has_redis() { have redis-server || have redis-check-rdb; }
has_jars() { sha256sum --check --status < <(sed "s,  ,  $1/target/libs/," "$1/jars.sha256"); }

missing_packages() {
  find_python >/dev/null || echo python3-venv
  [ "$what" = --python ] && return
  has_java || echo openjdk-17-jdk-headless
  has_postgres || echo postgresql
  has_redis || echo redis-tools
  if ! have mvn && ! jars_done; then echo maven; fi
  [ "$what" = --chaos ] || return 0
  have ip || echo iproute2
  have mkfs.ext4 || echo e2fsprogs
  compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || echo libfaketime
}
jars_done() { local folder; for folder in "${JAR_FOLDERS[@]}"; do jars_stamped "$folder" || return 1; done; }
jars_stamped() { [ "$(cat "$1/target/$STAMP" 2>/dev/null)" = "$(jars_hash "$1")" ]; }
# What they come from: named versions, and for the jar of our own its sources and the contract.
jars_hash() {
  local sources=()
  [ -d "$1/src" ] && mapfile -t sources < <(find "$1/src" proto/haul -type f | LC_ALL=C sort)
  hash_of "$1/pom.xml" "$1/jars.sha256" "${sources[@]}"
}

# --- system packages ---------------------------------------------------------------------------------------------

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo; then sudo "$@"
  else die "needs root for: $*; there is no sudo, so become root and run that, then start again"
  fi
}

install_packages() {
  have apt-get || die "missing: $*; there is no apt-get here, so install what these Debian packages hold yourself"
  say "installing the system packages: $*"
  as_root apt-get update -q >&2 || die "apt-get update failed; is there a network?"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends)
  if [[ " $* " == *" postgresql "* ]]; then
    # The package would make a cluster and start it on 5432: not this time, and nothing is left changed.
    as_root "${apt[@]}" postgresql-common </dev/null >&2 || die "apt-get could not install postgresql-common"
    as_root sh -c "mkdir -p $NO_CLUSTER && echo create_main_cluster = false >$NO_CLUSTER/pitwall.conf"
    trap 'as_root rm -f $NO_CLUSTER/pitwall.conf' EXIT
  fi
  as_root "${apt[@]}" "$@" </dev/null >&2 || die "apt-get could not install: $*"
  # Should redis-tools not hold the server's program here, the package that starts a service has to do.
  has_redis || [[ " $* " != *" redis-tools "* ]] || as_root "${apt[@]}" redis-server </dev/null >&2 || die "no Redis"
  local still
  still=$(missing_packages)
  [ -z "$still" ] || die "apt-get has installed $*, and still missing are: $still"
}
readonly NO_CLUSTER=/etc/postgresql-common/createcluster.d

# --- what lives in the checkout ------------------------------------------------------------------------------------

# environment FOLDER HASH: whether the environment is whole and made from these very files.
environment_done() { [ "$(cat "$1/$STAMP" 2>/dev/null)" = "$2" ] && "$1/bin/python" -c '' 2>/dev/null; }
main_hash() { hash_of requirements.lock pyproject.toml; }
flink_hash() { hash_of flink_jobs/build.lock flink_jobs/requirements.lock; }

make_environment() {
  "$1/bin/python" -c '' 2>/dev/null || { rm -rf "$1"; "$(find_python)" -m venv "$1"; }
  rm -f "$1/$STAMP"
}
pip() { "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "${@:2}" >&2; }

install_main() {
  say "Python packages for the services (.venv) ..."
  make_environment .venv
  pip .venv --require-hashes -r requirements.lock || die "pip could not install requirements.lock"
  # The builder is in the lock too, so that this step needs no network of its own.
  pip .venv --no-deps --no-build-isolation -e . || die "pip could not install this checkout"
  main_hash >".venv/$STAMP"
}

install_flink() {
  say "Flink and its Python ($FLINK) ..."
  make_environment "$FLINK"
  pip "$FLINK" --require-hashes -r flink_jobs/build.lock || die "pip could not install flink_jobs/build.lock"
  pip "$FLINK" --require-hashes --no-build-isolation -r flink_jobs/requirements.lock ||
    die "pip could not install flink_jobs/requirements.lock"
  flink_hash >"$FLINK/$STAMP"
}

install_jars() {
  say "Java libraries ($1) ..."
  rm -rf "$1/target"
  local output
  output=$(mvn --quiet --batch-mode -f "$1/pom.xml" 2>&1) ||
    die "Maven could not fetch or build what $1/pom.xml names:"$'\n'"$output"
  has_jars "$1" || die "the libraries in $1/target/libs are not those of $1/jars.sha256; see CONTRIBUTING.md"
  jars_hash "$1" >"$1/target/$STAMP"
}

# --- say, then do --------------------------------------------------------------------------------------------------

steps=()
environment_done .venv "$(main_hash)" || steps+=(install_main)
if [ "$what" != --python ]; then
  environment_done "$FLINK" "$(flink_hash)" || steps+=(install_flink)
  for folder in "${JAR_FOLDERS[@]}"; do jars_stamped "$folder" || steps+=("install_jars $folder"); done
fi
mapfile -t packages < <(missing_packages)
[ ${#steps[@]} = 0 ] && [ ${#packages[@]} = 0 ] && exit 0

say "Pitwall installs what it needs, once. System packages: ${packages[*]:-none missing}. In this folder:"
if [ "$what" != --python ]; then
  say "Python packages, Flink, Kafka: up to 2 GB of disk, 2 to 6 minutes. The next start needs no network."
else
  say "Python packages: 0.5 GB of disk, 1 to 2 minutes. The next time needs no network."
fi
[ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"
for step in "${steps[@]}"; do $step; done
say "installed."
