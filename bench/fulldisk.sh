#!/bin/sh
# A file system that is full, one without free inodes, and one that is read only, under a batch: what it says, and what the next batch has to do again when
# there is room. Needs root, for mount; works in a temporary folder on small file systems in memory.
# Usage: sh bench/fulldisk.sh path/to/compiled/mage
set -u
mage=$(realpath "${1:?the compiled magefile}")
t=$(mktemp -d); cd $t
cat > pipeline.hcl <<'END'
pipeline {
  table = "table.csv"
  artefacts = "full/artefacts"
}
stage "a" {
  command = ["sh", "-c", "head -c 20000 /dev/zero; echo $0", mol.smiles]
  outputs = { out = "stdout" }
}
stage "b" {
  command = ["cp", stage.a.out, "copy"]
  outputs = { copy = "copy" }
}
END
(echo mol_id,status,smiles; for n in $(seq 40); do echo m$n,Pending,C; done) > table.csv
cp table.csv start.csv
for o in size=400k nr_inodes=60,size=50m; do
  mkdir -p full; mount -t tmpfs -o $o tmpfs full
  cp start.csv table.csv
  HOME=$t $mage batch > log 2>&1; echo "$o: exit $?"; tail -n 1 log; echo "rows: $(wc -l < table.csv), OK: $(grep -c ,OK, table.csv), Rerun: $(grep -c ,Rerun, table.csv)"
  mount -o remount,size=50m,nr_inodes=10000 full
  HOME=$t $mage batch > log 2>&1; echo "then: exit $?"; echo "rows: $(wc -l < table.csv), OK: $(grep -c ,OK, table.csv) computed in all, of 80: $(grep -c '"outcome":"ok"' full/artefacts/journal.jsonl)"
  umount full
done
mkdir -p full; HOME=$t mount -t tmpfs tmpfs full; mkdir full/artefacts; mount -o remount,ro full; cp start.csv table.csv; HOME=$t $mage batch > log 2>&1; echo "ro: exit $?"; tail -n1 log; umount full
cd /; rm -rf $t
