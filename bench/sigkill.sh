#!/bin/sh
# A program builds one file by a command, and everything is killed by SIGKILL half way through. Shows what is left, and
# what the next run makes of it. The programs are make, ninja and snakemake of Debian, and the compiled magefile of this
# project (go tool mage -compile bench/mage.out). Needs: apt-get install make ninja-build snakemake.
# Usage: sh bench/sigkill.sh path/to/compiled/mage
set -u
mage=$(realpath "${1:?the compiled magefile}")
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT

# The command: half of the file, a pause in which the axe falls, the other half.
cat > "$top/slow.sh" <<'END'
echo half > "$1"
touch "$2"
test -e "$3" || sleep 30
echo whole >> "$1"
END

# round NAME RESULT COMMAND...: starts it in a session of its own, kills the session half way, looks, runs it again.
round() {
  name=$1 result=$2
  shift 2
  setsid "$@" > first.log 2>&1 &
  pid=$!
  n=0
  until test -e started || test $n -gt 300; do sleep 0.1; n=$((n + 1)); done
  sleep 0.3
  pkill -KILL -s "$pid" # this session, which we started
  wait "$pid" 2> /dev/null
  sleep 1
  if test -e "$result"; then left="half a file"; else left="nothing"; fi
  touch quick # the next run does not wait
  timeout 60 "$@" > second.log 2>&1
  code=$?
  if test "$(cat "$result" 2> /dev/null)" = "half
whole"; then then_="builds it again (exit $code)"
  elif test -e "$result"; then then_="half a file stays (exit $code)"
  else then_="no file (exit $code)"; fi
  printf '| %s | %s | %s |\n' "$name" "$left" "$then_"
}

echo '| program | in the place of the result after SIGKILL | the next run |'
echo '| --- | --- | --- |'
mkdir "$top/make" "$top/ninja" "$top/snakemake" "$top/grimperium"
cd "$top/make"
printf 'out:\n\tsh ../slow.sh out started quick\n' > Makefile
round "$(make --version | head -n 1)" out make
cd "$top/ninja"
printf 'rule slow\n  command = sh ../slow.sh out started quick\nbuild out: slow\n' > build.ninja
round "ninja $(ninja --version)" out ninja
cd "$top/snakemake"
printf 'rule out:\n    output: "out"\n    shell: "sh ../slow.sh out started quick"\n' > Snakefile
round "snakemake $(snakemake --version)" out snakemake -j1
cd "$top/grimperium"
cat > pipeline.hcl <<END
pipeline {
  table = "table.csv"
}
stage "a" {
  command = ["sh", "$top/slow.sh", "out", "$top/grimperium/started", "$top/grimperium/quick"]
  outputs = { out = "out" }
}
END
printf 'mol_id,status,smiles\nm,Pending,C\n' > table.csv
GRIMPERIUM_HOME="$top/home" round grimperium artefacts/m/a/out "$mage" batch
