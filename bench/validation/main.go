// Validation computes the molecules of testdata/molecules.csv, molecules_200.csv and random_small.csv from nothing, with the pipeline and the
// programs of this checkout, and writes docs/validation.md: what came out beside the PM7 values that MOPAC's authors publish, which results are
// no minima, and which molecules fail.
//
//	go run ./bench/validation
package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const tolerance = 0.1 // kcal/mol

// result is a molecule after the run. Heats of formation are in kcal/mol at 298.15 K, NaN where there is none.
type result struct {
	id, name, smiles, charge, multiplicity, conformers string
	status, message                                    string
	hof, published, seed, cbs, delta                   float64
	tries                                              int // batches it took
	why                                                string
}

// set is a table of molecules and what became of them.
type set struct {
	results []result
	folder  string // of the artefacts
	elapsed time.Duration
	batches int
	first   []string // what failed in the first batch, and why
}

func main() {
	log.SetFlags(0)
	dir, err := os.MkdirTemp("", "grimperium-validation-")
	check(err)
	defer os.RemoveAll(dir)
	why := map[string]string{}
	for _, r := range read("bench/validation/reasons.csv") {
		why[r["smiles"]] = r["reason"]
	}
	known := compute(dir, "testdata/molecules.csv", why)
	for i, p := range read("testdata/pm7_published.csv") {
		r := &known.results[i]
		r.name, r.published, r.seed = p["name"], number(p["pm7_hof_published_kcal_mol"]), number(p["pm7_hof_from_smiles_kcal_mol"])
	}
	more := compute(dir, "testdata/molecules_200.csv", why)
	random := compute(dir, "testdata/random_small.csv", why)
	out, err := os.Create("docs/validation.md")
	check(err)
	write(out, known, more, random)
	check(out.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// compute runs the batches of a table in a folder of its own: a failed molecule is tried again by the next batch, another way.
func compute(dir, table string, why map[string]string) set {
	work := filepath.Join(dir, filepath.Base(table))
	data, err := os.ReadFile(table)
	check(err)
	check(os.WriteFile(work, data, 0o644))
	s, start := set{folder: strings.TrimSuffix(work, ".csv")}, time.Now()
	for ok := false; !ok && s.batches < 3; s.batches++ {
		cmd := exec.Command("go", "tool", "mage", "batch", "-jobs="+strconv.Itoa(runtime.NumCPU()), "-table="+work, "-artefacts="+s.folder)
		cmd.Stderr = os.Stderr
		ok = cmd.Run() == nil
		for _, r := range read(work) {
			if s.batches == 0 && r["status"] != "OK" {
				message, _, _ := strings.Cut(r["error_message"], " (")
				s.first = append(s.first, fmt.Sprintf("`%s` %s", r["smiles"], strings.TrimPrefix(message, r["mol_id"]+"/")))
			}
		}
	}
	s.elapsed = time.Since(start)
	for _, r := range read(work) {
		tries, _ := strconv.Atoi(r["reruns"])
		s.results = append(s.results, result{id: r["mol_id"], name: r["published_as"], smiles: r["smiles"], charge: r["charge"], multiplicity: r["multiplicity"],
			conformers: r["crest_conformers_generated"], status: r["status"], message: r["error_message"], hof: number(r["most_stable_hof"]),
			published: number(r["pm7_hof_published_kcal_mol"]), seed: math.NaN(), cbs: number(r["H298_cbs"]), delta: number(r["delta_1"]),
			tries: tries + 1, why: why[r["smiles"]]})
	}
	return s
}

// read returns a table's rows by column name.
func read(path string) []map[string]string {
	f, err := os.Open(path)
	check(err)
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	check(err)
	var rows []map[string]string
	for _, r := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = r[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func number(text string) float64 {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return x
}

// cell is a number for a reader, blank where there is none.
func cell(x float64, format string) string {
	if math.IsNaN(x) {
		return ""
	}
	return fmt.Sprintf(format, x)
}

func write(out io.Writer, known, more, random set) {
	fmt.Fprintf(out, `# Validation

Made by

    go run ./bench/validation

which computes the molecules of `+"`testdata/molecules.csv`"+` and `+"`testdata/molecules_200.csv`"+` from nothing. Published is the PM7 heat of formation that MOPAC's authors
give (openmopac/mopac, data/normal), each for one geometry; kcal/mol at 298.15 K.

The rule: a molecule agrees within %.1f; one that is further off has its reason beside it (bench/validation/reasons.csv), found by optimising the published geometry with the
same MOPAC. A flexible one may be lower, because the search found a better conformer.

Machine: %d cores, %s/%s, shared with other work.

## %d molecules with CBS-QB3 references

%s, in %d batches: a molecule that failed is tried again by the next, another way. 47 are closed-shell CHNO molecules, 5 radicals, 1 a triplet, 4 anions.
"Seed" is the lowest PM7 value from ten RDKit conformers, the comparison where nothing is published.

| molecule | SMILES | q | mult. | conformers | PM7 here | published | seed | difference | CBS-QB3 | delta_1 | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|
`, tolerance, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, len(known.results), known.elapsed.Round(time.Second), known.batches)
	counts := map[string]int{}
	for _, r := range known.results {
		v, d := r.verdict()
		counts[strings.Fields(v)[0]]++
		fmt.Fprintf(out, "| %s | `%s` | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", strings.ReplaceAll(r.name, `\u2013`, "-"), r.smiles, r.charge, r.multiplicity,
			r.conformers, cell(r.hof, "%.5f"), cell(r.published, "%.3f"), cell(r.seed, "%.3f"), cell(d, "%+.3f"), cell(r.cbs, "%.3f"), cell(r.delta, "%.3f"), v)
	}
	tally(out, counts, known.first)
	writeCost(out, known)
	writeMore(out, more)
	writeCost(out, more)
	writeMinima(out, known, more)
	writeRandom(out, random)
}

// writeRandom names the molecules of a random set that fail, and why.
func writeRandom(out io.Writer, s set) {
	var rows strings.Builder
	failed := 0
	for _, r := range s.results {
		if r.status != "OK" {
			failed++
			message, _, _ := strings.Cut(strings.TrimPrefix(r.message, r.id+"/"), " (/")
			fmt.Fprintf(&rows, "| `%s` | %s | %s |\n", r.smiles, message, r.why)
		}
	}
	fmt.Fprintf(out, `
## %d random molecules

C, H, N, O, 4 to 7 heavy atoms, most of them strained: testdata/random_small.csv. %s in %d batches. %d have no result:

| SMILES | message | reason |
|---|---|---|
%s`, len(s.results), s.elapsed.Round(time.Second), s.batches, failed, rows.String())
}

// writeMore shows of a large set what is worth a look.
func writeMore(out io.Writer, s set) {
	counts, worst, published := map[string]int{}, 0.0, 0
	var rows strings.Builder
	for _, r := range s.results {
		v, d := r.verdict()
		counts[strings.Fields(v)[0]]++
		if !math.IsNaN(r.published) {
			published++
		}
		if v == "agrees" {
			worst = max(worst, math.Abs(d))
		} else if v != "nothing to compare" {
			fmt.Fprintf(&rows, "| `%s` | %s | %s | %s | %s | %s |\n", r.smiles, r.conformers, cell(r.hof, "%.3f"), cell(r.published, "%.3f"), cell(d, "%+.3f"), v)
		}
	}
	fmt.Fprintf(out, `
## %d more

Chosen for variety: rings, cages, acids, amides, nitro, azides, diazo, nitrites, esters, ethers, peroxides, E and Z alkenes, chiral centres, heterocycles; C, H, N, O, F, S, Cl. They are
there for the tests of bonds and stereo, which must raise no false alarm: a molecule that fails is named below. %s in %d batches. For %d there is a published value of the same
molecule (matched by formula and bonds, E and Z by name). Those that agree do so within %.3f; the others:

| SMILES | conformers | PM7 here | published | difference | verdict |
|---|---|---|---|---|---|
%s`, len(s.results), s.elapsed.Round(time.Second), s.batches, published, worst, rows.String())
	tally(out, counts, s.first)
}

func tally(out io.Writer, counts map[string]int, first []string) {
	fmt.Fprintf(out, "\n%d agree, %d are lower and %d higher for the reason given, %d have nothing to compare with, %d differ without a reason, %d failed.\n",
		counts["agrees"], counts["lower:"], counts["higher:"], counts["nothing"], counts["DIFFERS"], counts["FAILED"])
	if len(first) > 0 {
		fmt.Fprintf(out, "\nFailed in the first batch:\n\n- %s\n", strings.Join(first, "\n- "))
	}
}

// verdict compares a molecule with its published value, or else with the seed's.
func (r result) verdict() (string, float64) {
	want := r.published
	if math.IsNaN(want) {
		want = r.seed
	}
	d := r.hof - want
	switch {
	case r.status != "OK":
		return "FAILED " + r.message, math.NaN()
	case math.IsNaN(want):
		return "nothing to compare", d
	case math.Abs(d) <= tolerance && r.tries > 1:
		return fmt.Sprintf("agrees (attempt %d)", r.tries), d
	case math.Abs(d) <= tolerance:
		return "agrees", d
	case r.why == "":
		return "DIFFERS", d
	case d < 0:
		return "lower: " + r.why, d
	}
	return "higher: " + r.why, d
}
