package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"grimperium/bench/internal/measure"
	"grimperium/internal/journal"
)

const firstStage = `
stage "s1" {
  file "in" { content = "${mol.smiles}\n" }
  command = ["cp", "in", "out"]
  outputs = { f = "out" }
}
`

// smiles are those of the molecules, in turns.
func smiles(n int) string { return strings.Repeat("C", 1+n%models) }

// models are the molecules that are computed for a finished build; the others are copies of them.
const models = 7

// grimperium measures a batch of Grimperium, on the compiled binary and through go tool mage.
func (b *bench) grimperium() {
	dir := b.path("grimperium")
	b.writeProject()
	cold := -1.0
	if !b.built {
		cold = measure.Run(dir, b.program, "batch").Wall
	}
	b.measure("grimperium", dir, cold, b.edit, b.program, "batch")
	through := []string{"go", "tool", "mage", "batch",
		"-pipeline=" + b.path("grimperium/pipeline.hcl"),
		"-table=" + b.path("grimperium/data/thermo_pm7.csv"),
		"-artefacts=" + b.path("grimperium/artefacts")}
	b.measure("grimperium by go tool mage", "", -1, func(i int) { b.edit(mostRounds + i) },
		through...)
}

// lost measures a batch without its index, and until the first program starts when only the last
// molecule is stale.
func (b *bench) lost() {
	dir := b.path("grimperium")
	measure.Check(os.Remove(b.path("grimperium/artefacts/.index")))
	lost := measure.Run(dir, b.program, "batch").Wall
	settled(dir, b.program, "batch")
	b.edit(b.n - 1)
	start := time.Now()
	measure.Run(dir, b.program, "batch")
	fmt.Printf("| grimperium, index lost | – | %.3f | | |\n", lost)
	fmt.Printf("| grimperium, the last molecule stale: until its program starts | – | | %.3f | |\n",
		b.firstStart().Sub(start).Seconds())
}

// edit changes the SMILES of a molecule.
func (b *bench) edit(i int) {
	path := b.path("grimperium/data/thermo_pm7.csv")
	data := measure.Must(os.ReadFile(path))
	row := fmt.Appendf(nil, "%s,OK,0,%s,", measure.ID(i), smiles(i))
	edited := fmt.Appendf(nil, "%s,OK,0,%sO,", measure.ID(i), smiles(i))
	if !bytes.Contains(data, row) {
		measure.Check(fmt.Errorf("%s: no row %s", path, row))
	}
	measure.Check(os.WriteFile(path, bytes.Replace(data, row, edited, 1), 0o644))
}

// firstStart is when the last batch started its first program.
func (b *bench) firstStart() (at time.Time) {
	r := journal.Open(b.path("grimperium/artefacts/journal.jsonl"))
	measure.Check(r.Each(func(e journal.Event) {
		switch {
		case e.Event == journal.BatchStart:
			at = time.Time{}
		case e.Event == journal.TargetStart && at.IsZero():
			at = e.Time
		}
	}))
	return at
}

// writeProject writes the pipeline and the table, and the artefacts too if the build is to be
// finished.
func (b *bench) writeProject() {
	text := firstStage
	for s := 2; s <= 5; s++ {
		text += fmt.Sprintf("stage \"s%d\" {\n  command = [\"cp\", stage.s%d.f, \"out\"]\n  "+
			"outputs = { f = \"out\" }\n}\n", s, s-1)
	}
	measure.Write(b.path("grimperium/pipeline.hcl"), text)
	table := b.path("grimperium/data/thermo_pm7.csv")
	if !b.built {
		measure.Pending(table, b.n, smiles)
		return
	}
	measure.Pending(table, models, smiles)
	measure.Run(b.path("grimperium"), b.program, "batch")
	lines := strings.SplitAfter(string(measure.Must(os.ReadFile(table))), "\n")
	var all strings.Builder
	all.WriteString(strings.Join(lines[:1+models], ""))
	for i := models; i < b.n; i++ {
		from := i % models
		all.WriteString(strings.Replace(lines[1+from], measure.ID(from), measure.ID(i), 1))
		measure.CopyMolecule(b.path("grimperium/artefacts"), measure.ID(from), measure.ID(i))
	}
	measure.Write(table, all.String())
	took := measure.Run(b.path("grimperium"), b.program, "batch").Wall
	if took > 1+float64(b.n)/1000 {
		measure.Check(fmt.Errorf("%s: the copies were not taken for finished", table))
	}
}
