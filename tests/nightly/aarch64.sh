#!/usr/bin/env bash
# The whole package on the Jetson's architecture: a Debian 12 root for arm64, run by QEMU, in which the source
# distribution is built and installed, `doctor` is green and the bundled engine answers as it does here.
# Needs root, mmdebstrap, qemu-user-static and 3 GB; takes ten minutes, and an hour more for the answer. `make nightly-aarch64`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PYTHON=${PYTHON:-.venv/bin/python}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/aarch64.XXXXXX")
ROOT=$WORK/root
# What is mounted below the root is this system's own: it goes first, mmdebstrap's mounts too where it was killed, and
# nothing is removed while any is left.
clear_up() {
  awk -v root="$ROOT/" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mounted; do
    umount -q "$mounted" || umount -q --lazy "$mounted" || true
  done
  if grep -qF " $ROOT/" /proc/mounts; then
    echo "$WORK is left: something is still mounted below it" >&2
  else
    rm -rf --one-file-system "$WORK"
  fi
}
trap clear_up EXIT

# A step is a process group of its own, so that an interruption ends all of it at once: mmdebstrap by itself would go on
# until what it configures in the root is done.
step() {
  setsid "$@" &
  group=$!
  wait "$group"
}
interrupted() {
  trap '' INT TERM
  [ -z "$group" ] || kill -TERM -- "-$group" 2>/dev/null || true
  for _ in 1 2 3 4 5; do
    kill -0 -- "-$group" 2>/dev/null || break
    sleep 1
  done
  kill -KILL -- "-$group" 2>/dev/null || true
  exit 130
}
group=
trap interrupted INT TERM

for tool in mmdebstrap qemu-aarch64-static; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt install mmdebstrap qemu-user-static" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "this needs root, to make and enter another system's root" >&2; exit 1; }

# Tells the kernel which program runs arm64 files; F opens it now, so that it is found from inside the root too.
if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
  [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:F' \
    >/proc/sys/fs/binfmt_misc/register
fi

echo "== a Debian 12 root for arm64"
TMPDIR=$WORK step mmdebstrap --quiet --arch=arm64 --variant=minbase --include=python3,python3-venv,python3-dev,g++,ca-certificates \
  bookworm "$ROOT"
mount --bind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
cp /etc/resolv.conf "$ROOT/etc/resolv.conf"
mkdir -p "$ROOT/etc/pip" "$ROOT/src"
for config in /etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"; do
  [ -e "$config" ] && cp "$config" "$ROOT/etc/pip.conf"
done
for variable in PIP_INDEX_URL PIP_CERT SSL_CERT_FILE https_proxy http_proxy no_proxy; do
  [ -n "${!variable:-}" ] && export "${variable?}"
done
[ -n "${SSL_CERT_FILE:-}" ] && [ -e "$SSL_CERT_FILE" ] && install -D "$SSL_CERT_FILE" "$ROOT$SSL_CERT_FILE"

echo "== the source distribution, built and installed there"
step "$PYTHON" -m venv "$WORK/tools"
step "$WORK/tools/bin/pip" install --quiet build
step "$WORK/tools/bin/python" -m build --sdist --outdir "$WORK" . >/dev/null
cp "$WORK"/geopixel_edge-*.tar.gz "$ROOT/src/sdist.tar.gz"
cp examples/scene.png "$ROOT/src/"
inside() { step chroot "$ROOT" /usr/bin/env -i PATH=/src/venv/bin:/usr/bin:/bin HOME=/root \
  ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} ${SSL_CERT_FILE:+SSL_CERT_FILE="$SSL_CERT_FILE"} \
  ${https_proxy:+https_proxy="$https_proxy"} "$@"; }
inside python3 -m venv /src/venv
inside pip install --quiet --disable-pip-version-check /src/sdist.tar.gz

echo "== doctor, and an answer compared"
inside geopixel-edge doctor
QUESTION="Describe this image with interleaved segmentation masks."
inside geopixel-edge ask /src/scene.png "$QUESTION" --threads 1 --json >"$WORK/there.json"
step "$PYTHON" -m geopixel_edge ask examples/scene.png "$QUESTION" --json >"$WORK/here.json"
"$PYTHON" -m tests.nightly.compare_answers "$WORK/here.json" "$WORK/there.json"
inside geopixel-edge verify --threads 1  # threads that wait for each other take for ever under QEMU
