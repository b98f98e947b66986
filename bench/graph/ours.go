package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const firstStage = `
stage "s1" {
  file "in" { content = "${mol.smiles}\n" }
  command = ["cp", "in", "out"]
  outputs = { f = "out" }
}
`

// smiles are those of the molecules, in turns.
var smiles = []string{"C", "CC", "CCC", "CCCC", "CCCCC", "CCCCCC", "CCCCCCC"}

// ours measures our own batch, on the compiled binary and through go tool mage.
func (b *bench) ours() {
	dir := filepath.Join(b.dir, "ours")
	b.writeOurs(dir)
	cold := -time.Second
	if !b.built {
		cold = run(dir, b.mage, "batch")
	}
	b.measure("grimperium", dir, cold, func(i int) { b.edit(dir, i) }, b.mage, "batch")
	through := []string{"go", "tool", "mage", "batch", "-pipeline=" + filepath.Join(dir, "pipeline.hcl"), "-table=" + filepath.Join(dir, "data/thermo_pm7.csv"),
		"-artefacts=" + filepath.Join(dir, "artefacts")}
	b.measure("grimperium by go tool mage", "", -time.Second, func(i int) { b.edit(dir, mostRounds+i) }, through...)
}

// lost measures our batch without its index, and until the first program starts when only the last molecule is stale.
func (b bench) lost() {
	dir := filepath.Join(b.dir, "ours")
	check(os.Remove(filepath.Join(dir, "artefacts/.index")))
	lost := run(dir, b.mage, "batch")
	b.settled(dir, b.mage, "batch")
	b.edit(dir, b.n-1)
	start := time.Now()
	run(dir, b.mage, "batch")
	fmt.Printf("| grimperium, index lost | – | %.3f | | |\n", lost.Seconds())
	fmt.Printf("| grimperium, the last molecule stale: until its program starts | – | | %.3f | |\n", firstStart(dir).Sub(start).Seconds())
}

// edit changes the SMILES of a molecule.
func (b bench) edit(dir string, i int) {
	path := filepath.Join(dir, "data/thermo_pm7.csv")
	data, err := os.ReadFile(path)
	check(err)
	row := fmt.Sprintf("mol_%06d,OK,0,%s,", i, smiles[i%len(smiles)])
	if !bytes.Contains(data, []byte(row)) {
		check(fmt.Errorf("%s: no row %s", path, row))
	}
	check(os.WriteFile(path, bytes.Replace(data, []byte(row), []byte(strings.TrimSuffix(row, ",")+"O,"), 1), 0o644))
}

// firstStart is when the last batch started its first program.
func firstStart(dir string) (at time.Time) {
	f, err := os.Open(filepath.Join(dir, "artefacts/journal.jsonl"))
	check(err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e struct {
			Event string
			Time  time.Time
		}
		check(json.Unmarshal(lines.Bytes(), &e))
		switch {
		case e.Event == "batch_start":
			at = time.Time{}
		case e.Event == "target_start" && at.IsZero():
			at = e.Time
		}
	}
	return at
}

// writeOurs writes the pipeline and the table, and the artefacts too where the build is to be finished already.
func (b bench) writeOurs(dir string) {
	text := firstStage
	for s := 2; s <= 5; s++ {
		text += fmt.Sprintf("stage \"s%d\" {\n  command = [\"cp\", stage.s%d.f, \"out\"]\n  outputs = { f = \"out\" }\n}\n", s, s-1)
	}
	write(filepath.Join(dir, "pipeline.hcl"), text)
	rows := b.n
	if b.built {
		rows = len(smiles)
	}
	table := "mol_id,status,reruns,smiles,multiplicity,charge,nheavy,timestamp_added,H298_cbs,batch_id\n"
	for i := range rows {
		table += row(i)
	}
	path := filepath.Join(dir, "data/thermo_pm7.csv")
	write(path, table)
	if b.built {
		run(dir, b.mage, "batch")
		b.multiply(dir, path)
		if took := run(dir, b.mage, "batch"); took > time.Duration(b.n)*time.Millisecond {
			check(fmt.Errorf("%s: the copies were not taken for finished", dir))
		}
	}
}

func row(i int) string {
	return fmt.Sprintf("mol_%06d,Pending,0,%s,1,0,,2026-01-01T00:00:00+00:00,-17.5,\n", i, smiles[i%len(smiles)])
}

// multiply copies the rows and artefacts of the first molecules under the names of all others.
func (b bench) multiply(dir, table string) {
	data, err := os.ReadFile(table)
	check(err)
	lines := strings.SplitAfter(string(data), "\n")
	var all strings.Builder
	all.WriteString(strings.Join(lines[:1+len(smiles)], ""))
	for i := len(smiles); i < b.n; i++ {
		from, to := fmt.Sprintf("mol_%06d", i%len(smiles)), fmt.Sprintf("mol_%06d", i)
		all.WriteString(strings.Replace(lines[1+i%len(smiles)], from, to, 1))
		for _, name := range []string{"manifest.json", "s1/out", "s2/out", "s3/out", "s4/out", "s5/out"} {
			data, err := os.ReadFile(filepath.Join(dir, "artefacts", from, name))
			check(err)
			text := strings.Replace(string(data), from, to, 1)
			if body, _, sealed := strings.Cut(text, ",\n \"sha256\": \""); sealed && name == "manifest.json" { // which is of the other name; none is needed
				text = body + "\n}\n"
			}
			write(filepath.Join(dir, "artefacts", to, name), text)
		}
	}
	write(table, all.String())
}
