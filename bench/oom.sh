#!/bin/sh
# Memory that runs out, in a memory cgroup (version 1 or 2) of 60 MB. The kernel kills a program of a batch that is
# itself outside. It kills a program that a shell has started in a batch that is inside, too. It kills the batch itself.
# Shows the message, whether the table is whole, and what the next batch does again. Needs root.
# Usage: sh bench/oom.sh path/to/compiled/mage
set -u
mage=$(realpath "${1:?the compiled magefile}")
t=$(mktemp -d); cd "$t" || exit 1
if test -e /sys/fs/cgroup/cgroup.controllers; then
  group=/sys/fs/cgroup/grimperium.$$ limit=memory.max swap=memory.swap.max none=0
  echo +memory > /sys/fs/cgroup/cgroup.subtree_control
else
  group=/sys/fs/cgroup/memory/grimperium.$$ limit=memory.limit_in_bytes swap=memory.memsw.limit_in_bytes none=60M
fi
mkdir "$group" && echo 60M > "$group/$limit" || exit 1
echo $none > "$group/$swap" 2> /dev/null # a kernel that doesn't count swap has none of these

# The command of the molecule m20 goes on for as long as it gets memory: tail keeps the last lines of a file without
# line breaks.
cat > pipeline.hcl <<END
pipeline {
  table = "table.csv"
}
stage "a" {
  command = ["sh", "$t/hungry.sh", mol.mol_id]
  outputs = { out = "stdout" }
}
END
cat > hungry.sh <<END
if test \$1 = m20; then
  case \$(cat $t/what) in
  program) echo \$\$ > $group/cgroup.procs; exec tail /dev/zero ;;
  shell) tail /dev/zero; exit \$? ;;
  batch) echo 1000 > /proc/\$PPID/oom_score_adj; exec tail /dev/zero ;; # its parent is the first to go
  esac
fi
echo \$1
END
for what in program shell batch; do
  rm -rf artefacts
  (echo mol_id,status,smiles; for n in $(seq 40); do echo "m$n,Pending,C"; done) > table.csv
  echo $what > what
  (
    test $what = program || sh -c 'echo $PPID' > "$group/cgroup.procs"
    HOME=$t exec "$mage" batch > log 2>&1
  )
  printf '%s: exit %s, rows %s, OK %s\n' $what $? "$(wc -l < table.csv)" "$(grep -c ,OK, table.csv)"
  grep -o 'm20/a: .*' log | tail -n 1
  sleep 1
  left=$(pgrep -c -f 'tail /dev/zero')
  echo enough > what
  HOME=$t "$mage" batch > log 2>&1
  printf 'then: exit %s, programs left %s, rows %s, OK %s, computed in all, of 40: %s\n' $? "$left" \
    "$(wc -l < table.csv)" "$(grep -c ,OK, table.csv)" "$(grep -c '"outcome":"ok"' artefacts/journal.jsonl)"
done
rmdir "$group"
cd / && rm -rf "$t"
