#!/usr/bin/env bash
# Tries the packages as a stranger would: in a fresh Debian root that has no Rust. Needs root, and a mirror of Debian.
#
#   packaging/check.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=packaging/common.sh
source packaging/common.sh

[[ $EUID -eq 0 ]] || fail 'a fresh root can be made, and entered, by root only'
ls "$out"/*.deb >/dev/null || fail 'first packaging/all.sh'
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

root=$(mktemp -d)
chmod 755 "$root"
clean_up() {
  local place
  for place in sys dev proc; do
    ! mountpoint -q "$root/$place" || umount "$root/$place"
  done
  # Never through a mount that could not be taken away.
  ! grep -q " $root/" /proc/mounts || fail "mounts are left under $root"
  rm -rf --one-file-system "$root"
}
trap clean_up EXIT

section "A fresh Debian ($suite)"
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" >"$out/work/debootstrap.log" 2>&1 ||
  fail "debootstrap: $(tail -n 5 "$out/work/debootstrap.log")"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t sysfs sys "$root/sys"

mkdir -p "$root/try"
cp -r "$out"/*.deb "$out"/*.tar.gz tests/install tests/c packaging/stranger.sh "$root/try/"
chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
  bash /try/stranger.sh "$version" </dev/null
