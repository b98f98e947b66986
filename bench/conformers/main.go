// Conformers measures the conformer search of the shipped pipeline, and prints the tables of
// docs/evidence/conformers.md. It compares with recorded runs of CREST, or measures the molecules
// of a file of SMILES and names. What follows -- goes to mage batch.
//
//	go run ./bench/conformers [-smi=testdata/druglike.smi] [-- -only=serine,glycerol]
//
// It needs xtb, mopac and a Python with RDKit, and runs everything one after the other, on one
// thread.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"grimperium/bench/internal/measure"
	"grimperium/internal/store"
	"grimperium/stages"
)

const recorded = "stages/testdata/crest/"

// script is what the batch starts in place of xTB. Each run adds three lines to a file: its folder,
// the CPU times of the script itself, and those of xTB.
const script = `#!/bin/bash
%s "$@"
code=$?
{ pwd; times; } >> %s
exit $code
`

// searchRun finds these lines for the search of a molecule.
var searchRun = regexp.MustCompile(`/([^/\n]+)\.search/(.+)\n(.+)\n(.+)\n`)

// cost is CPU seconds, user and system, of each of columns.
type cost [8]float64

const (
	rdkit = iota
	gfnff
	point
	first // gfn2:loose, or gfn2:crude after GFN-FF
	normal
	last
	sorting
	pm7
)

var columns = []string{"RDKit", "GFN-FF", "single points", "loose or crude", "normal", "tight",
	"sorting", "PM7"}

// result is one molecule's line of the tables. crestLow are CREST's conformers within 3 kcal/mol,
// recall those of them that our search finds.
type result struct {
	row              map[string]string // of the table, H298_cbs as CREST's conformers have it
	crestLow, recall int
	count, starts    int                // conformers found, starting conformers
	hofs             map[string]float64 // by target
	cost             cost
}

func main() {
	file := flag.String("smi", recorded+"reference.csv", "measure the molecules of this file")
	flag.Parse()
	top, remove := measure.Compile()
	defer remove()
	imports := []string{top.Program, "import", *file, "-out=" + top.Path("table.csv")}
	edits := []string{measure.Worker, ""}
	hasCREST := strings.HasPrefix(*file, recorded)
	if hasCREST { // whose PM7 values are of GFN2's geometries as they are
		imports = append(imports, "-id=name", "-reference=most_stable_hof")
		edits = append(edits, "0.15Å 20° 80°", "1e-6Å 1e-6° 1e-6°")
	}
	measure.Run("", imports...)
	p := top.New("shipped", measure.Shipped(edits...), measure.Read(top.Path("table.csv")))
	runs, xtb := p.Path("xtb.runs"), p.Path("bin/xtb")
	measure.Write(xtb, fmt.Sprintf(script, measure.Must(exec.LookPath("xtb")), runs))
	measure.Check(os.Chmod(xtb, 0o755))
	measure.Check(os.Setenv("PATH", filepath.Dir(xtb)+":"+os.Getenv("PATH")))
	p.Batch(append([]string{"-jobs=1"}, flag.Args()...)...)

	var results []*result
	byID := map[string]*result{}
	for _, row := range measure.ReadCSV(p.Table()) {
		r := &result{row: row, hofs: map[string]float64{}}
		results, byID[row["mol_id"]] = append(results, r), r
		if row["error_message"] != "" {
			log.Print(row["error_message"])
		}
	}
	for id, record := range p.Records() {
		byID[id].add(record)
	}
	for _, run := range searchRun.FindAllStringSubmatch(measure.Read(runs), -1) {
		byID[run[1]].addRun(run[2], cpu(run[3]), cpu(run[4]))
	}
	results = slices.DeleteFunc(results, func(r *result) bool { return len(r.hofs) == 0 })
	for _, r := range results {
		dir := p.Path("artefacts/" + r.row["mol_id"])
		found := measure.Must(stages.ReadXYZ(dir + "/search/conformers.xyz"))
		r.count = len(found)
		r.starts = len(measure.Must(stages.ReadXYZ(dir + "/rdkit/pool.xyz")))
		if hasCREST {
			r.compare(found, dir+"/rdkit/molecule.json")
		}
	}
	if hasCREST {
		report(results)
	}
	costs(results)
}

// add notes what a target took, and its heat of formation, kcal/mol.
func (r *result) add(record *store.Record) {
	stage := map[string]int{"rdkit": rdkit, "search": sorting}
	at, ok := stage[store.StageOf(record.Target)]
	if !ok {
		at = pm7
	}
	r.cost[at] += record.CPU
	if hof := measure.HOF(record); !math.IsNaN(hof) {
		r.hofs[record.Target] = hof
	}
}

// addRun moves the CPU time of a run of xTB to its level. What the script took is nobody's.
func (r *result) addRun(dir string, script, run float64) {
	level := first
	for name, at := range map[string]int{"gfnff": gfnff, "point": point, "normal": normal,
		"tight": last} {
		if strings.Contains(dir, name) {
			level = at
		}
	}
	r.cost[level] += run
	r.cost[sorting] -= run + script
}

// cpu is the sum of two times of the shell, as "0m0.020s 0m0.004s", seconds.
func cpu(line string) (sum float64) {
	for _, word := range strings.Fields(line) {
		sum += measure.Must(time.ParseDuration(word)).Seconds()
	}
	return sum
}

// search is the CPU time of RDKit, xTB and sorting, seconds.
func (c cost) search() (sum float64) {
	for _, x := range c[:pm7] {
		sum += x
	}
	return sum
}

// compare counts which of CREST's low conformers the search has found.
func (r *result) compare(found []stages.Frame, moleculePath string) {
	name := strings.ReplaceAll(r.row["mol_id"], ",", "_")
	files := measure.Must(filepath.Glob(recorded + name + ".xyz*"))
	data := measure.Must(exec.Command("zcat", "-f", files[0]).Output())
	theirs := measure.Must(stages.ParseXYZ(data))
	molecule := measure.Must(stages.ReadMolecule(moleculePath))
	matcher := stages.NewMatcher(molecule.Symbols, molecule.Bonds)
	lowest := math.Inf(1)
	for _, t := range theirs {
		lowest = min(lowest, *t.Energy)
	}
	for i, t := range theirs {
		above := (*t.Energy - lowest) * 627.5095 // kcal/mol
		if above > 3 {
			continue
		}
		r.crestLow++
		same := func(o stages.Frame) bool { return matcher.RMSD(t, o, 0.25) < 0.25 }
		if slices.ContainsFunc(found, same) {
			r.recall++
		} else {
			log.Printf("%s: no conformer like CREST's %d (%.2f kcal/mol)", name, i+1, above)
		}
	}
}

func report(done []*result) {
	measure.Head("molecule", "conformers", "CREST", "within 3 kcal/mol, found", "PM7 1", "2", "3",
		"lowest − CREST's", "CPU s", "CREST CPU s", "ratio")
	ratios := []float64{}
	low, have := 0, 0
	for _, r := range done {
		var cells [3]string
		lowest := math.Inf(1)
		for i := range cells {
			if hof, ok := r.hofs["pm7/"+strconv.Itoa(i+1)]; ok {
				cells[i], lowest = fmt.Sprintf("%.3f", hof), min(lowest, hof)
			}
		}
		crest := measure.Number(r.row["crest_cpu_s"])
		ratio := crest / r.cost.search()
		if crest > 0 { // CREST does nothing for two atoms
			ratios = append(ratios, ratio)
		}
		low, have = low+r.crestLow, have+r.recall
		fmt.Printf("| %s | %d | %s | %d of %d | %s | %+.3f | %.2f | %.1f | %.1f |\n",
			r.row["mol_id"], r.count, r.row["crest_conformers"], r.recall, r.crestLow,
			strings.Join(cells[:], " | "), lowest-measure.Number(r.row["H298_cbs"]),
			r.cost.search(), crest, ratio)
	}
	if len(ratios) > 0 {
		fmt.Printf("\nMedian ratio %.1f, least %.1f, where CREST took any time. Recall %d of %d.\n",
			measure.Median(ratios), ratios[0], have, low)
	}
}

// costs prints where the time goes, and the lowest PM7 value.
func costs(done []*result) {
	measure.Head(slices.Concat([]string{"molecule", "to start from", "conformers"}, columns,
		[]string{"lowest PM7"})...)
	var sum cost
	for _, r := range done {
		fmt.Printf("| %s | %d | %d | %s | %.3f |\n", r.row["mol_id"], r.starts, r.count, r.cost,
			measure.Number(r.row["most_stable_hof"]))
		for i, x := range r.cost {
			sum[i] += x
		}
	}
	fmt.Printf("| all | | | %s | |\n", sum)
}

func (c cost) String() string {
	words := make([]string, len(c))
	for i, x := range c {
		words[i] = strconv.FormatFloat(x, 'f', 2, 64)
	}
	return strings.Join(words, " | ")
}
