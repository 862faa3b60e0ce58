# shellcheck shell=bash disable=SC2034
# Paths, messages and small helpers that every script of the lab uses. Sourced, never run.
#
#   PILOTGATE_LAB_CACHE   what is built once        (default ~/.cache/pilotgate-lab)
#   PILOTGATE_LAB_STATE   what a cluster has alive  (default /var/tmp/pilotgate-lab)

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${PILOTGATE_LAB_CACHE:-${HOME:-/root}/.cache/pilotgate-lab}
STATE=${PILOTGATE_LAB_STATE:-/var/tmp/pilotgate-lab}
BIN=$CACHE/bin
IMAGES=$CACHE/images
SEED=$CACHE/seed
PROGRAM=$(basename "$0")
STARTED=$EPOCHREALTIME

die() {
  echo "$PROGRAM: $*" >&2
  exit 1
}

usage_error() {
  echo "$PROGRAM: $*" >&2
  exit 2
}

seconds_since() { bc <<<"$EPOCHREALTIME - $1"; }

# One line a step: who, seconds since the script began, what.
say() { printf '[%s %6.1fs] %s\n' "${SAY_AS:-$PROGRAM}" "$(seconds_since "$STARTED")" "$*"; }

# Prints the header comment of a script as its help text.
usage_from_header() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"; }

# wait_until WHAT SECONDS COMMAND... : tries the command until it succeeds.
wait_until() {
  local what=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "timeout: $what"
    sleep .1
  done
}

# Waits for the given background jobs; fails when one of them failed.
wait_all() {
  local pid failed=0
  for pid; do wait "$pid" || failed=1; done
  return $failed
}

# Nodes mount private directories over these, and the kubelet must still see cache and state.
check_visible_in_nodes() {
  case $1/ in
    /run/* | /var/lib/* | /var/log/* | /opt/* | /srv/* | /mnt/*) usage_error "$1: nodes hide this path; choose another" ;;
  esac
}
