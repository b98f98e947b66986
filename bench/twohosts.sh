#!/bin/sh
# Two hosts on one folder, as far as one kernel can show it. The second batch has another host name, by a UTS namespace.
# Both work first where they share locks. Then they work on two FUSE mounts of the same folder, which have locks of their
# own, as NFS has with local_lock=all. Shows the message of the second batch, and when it goes ahead after the first host
# has "crashed". Needs root and apt-get install bindfs.
# Usage: sh bench/twohosts.sh path/to/compiled/mage
set -u
mage=$(realpath "${1:?the compiled magefile}")
t=$(mktemp -d); mkdir "$t/disk" "$t/one" "$t/two"; cd "$t/disk" || exit 1
cat > pipeline.hcl <<'END'
pipeline {
  table = "table.csv"
}
stage "a" {
  command = ["sh", "-c", "until test -e $0/go; do sleep 0.1; done; echo done", path]
  outputs = { out = "stdout" }
}
END
sed -i "s|path\]|\"$t\"]|" pipeline.hcl

# on HOST FOLDER: a batch in this folder, on a host of this name.
on() { cd "$2" && HOME=$t exec unshare --uts sh -c 'hostname "$0" && exec "$1" batch' "$1" "$mage"; }

# round FOLDER FOLDER: a batch on the first host, half way through; one on the second; the first is killed; the second
# again, until it may.
round() {
  printf 'mol_id,status,smiles\nm,Pending,C\n' > table.csv; rm -rf artefacts "$t/go"
  (on one "$1" > "$t/log1" 2>&1) & first=$!
  until test -d "$1/artefacts/.scratch/m.a"; do sleep 0.1; done
  (on two "$2" > "$t/log2" 2>&1); echo "second: exit $?: $(cat "$t/log2")"
  kill -KILL $first; wait $first 2> /dev/null; begin=$(date +%s)
  touch "$t/go"
  until (on two "$2" > "$t/log2" 2>&1); do sleep 1; done
  echo "after the crash: goes ahead after $(($(date +%s) - begin)) s: $(grep -c ,OK, table.csv) OK"
}
echo 'One file system, whose locks both see:'
round "$t/disk" "$t/disk"
bindfs "$t/disk" "$t/one" && bindfs "$t/disk" "$t/two" || exit 1
if flock -n "$t/one/table.csv" flock -n "$t/two/table.csv" true; then
  echo 'Two mounts, each with locks of its own:'
  round "$t/one" "$t/two"
else
  echo 'the two mounts share their locks: nothing to be seen here'
fi
umount "$t/one" "$t/two"
cd / && rm -rf "$t"
