// Validation writes docs/evidence/validation.md. It computes the molecules of
// testdata/molecules.csv, molecules_200.csv and random_small.csv from nothing, with the pipeline
// and the programs of this checkout. The page compares the results with the PM7 values that MOPAC's
// authors publish. It says which results are no minima, and which molecules fail.
//
//	go run ./bench/validation
package main

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/template"
	"time"

	"grimperium/bench/internal/measure"
)

//go:embed page.tmpl
var page string

const tolerance = 0.1 // kcal/mol

// result is a molecule after the run. Heats of formation are in kcal/mol at 298.15 K, NaN if
// missing.
type result struct {
	ID, Name, SMILES, Charge, Multiplicity, Conformers string
	Status, Message, Why                               string
	HOF, Published, Seed, CBS, Delta                   float64
	tries                                              int
}

// set is a table of molecules and what became of them.
type set struct {
	Results []*result
	Elapsed time.Duration
	folder  string // of the artefacts
}

func main() {
	dir, program, remove := measure.Compile()
	defer remove()
	table := func(path string) *set { return compute(program, dir, path) }
	known := table("testdata/molecules.csv")
	for i, p := range read("testdata/pm7_published.csv") {
		r := known.Results[i]
		r.Name = strings.ReplaceAll(p["name"], `\u2013`, "-")
		r.Published = number(p["pm7_hof_published_kcal_mol"])
		r.Seed = number(p["pm7_hof_from_smiles_kcal_mol"])
	}
	more, random := table("testdata/molecules_200.csv"), table("testdata/random_small.csv")
	displaced, falls := minima(known, more)
	out := measure.Must(os.Create("docs/evidence/validation.md"))
	t := template.New("").Funcs(template.FuncMap{"cell": measure.Cell})
	measure.Check(measure.Must(t.Parse(page)).Execute(out, map[string]any{
		"Known": known, "More": more, "Random": random, "Falls": falls, "Displaced": displaced,
		"Machine": measure.Machine(dir), "Tolerance": tolerance, "Displacement": displacement,
		"Fall": fall}))
	measure.Check(out.Close())
}

// compute runs a batch of a table in a folder of its own.
func compute(program, dir, table string) *set {
	why := map[string]string{}
	for _, r := range read("bench/validation/reasons.csv") {
		why[r["smiles"]] = r["reason"]
	}
	work := filepath.Join(dir, filepath.Base(table))
	measure.Write(work, string(measure.Must(os.ReadFile(table))))
	s, start := &set{folder: strings.TrimSuffix(work, ".csv")}, time.Now()
	jobs := "-jobs=" + strconv.Itoa(runtime.NumCPU())
	cmd := exec.Command(program, "batch", jobs, "-table="+work, "-artefacts="+s.folder)
	cmd.Stderr = os.Stderr
	_ = cmd.Run() // what failed stands in the table
	s.Elapsed = time.Since(start).Round(time.Second)
	for _, r := range read(work) {
		tries, _ := strconv.Atoi(r["reruns"])
		message, _, _ := strings.Cut(strings.TrimPrefix(r["error_message"], r["mol_id"]+"/"), " (/")
		s.Results = append(s.Results, &result{ID: r["mol_id"], Name: r["published_as"],
			SMILES: r["smiles"], Charge: r["charge"], Multiplicity: r["multiplicity"],
			Conformers: r["crest_conformers_generated"], Status: r["status"], Message: message,
			Why: why[r["smiles"]], HOF: number(r["most_stable_hof"]),
			Published: number(r["pm7_hof_published_kcal_mol"]), Seed: math.NaN(),
			CBS: number(r["H298_cbs"]), Delta: number(r["delta_1"]), tries: tries + 1})
	}
	return s
}

// read returns a table's rows by column name.
func read(path string) (rows []map[string]string) {
	records := measure.Must(csv.NewReader(measure.Must(os.Open(path))).ReadAll())
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
	if x, err := strconv.ParseFloat(text, 64); err == nil {
		return x
	}
	return math.NaN()
}

// Off is the difference from the published value, or else from the seed's, NaN if there is none.
func (r *result) Off() float64 {
	if math.IsNaN(r.Published) {
		return r.HOF - r.Seed
	}
	return r.HOF - r.Published
}

// Verdict is a word, and the reason for a difference.
func (r *result) Verdict() string {
	d := r.Off()
	switch {
	case r.Status != "OK":
		return "FAILED " + r.Message
	case math.IsNaN(d):
		return "nothing to compare"
	case math.Abs(d) <= tolerance && r.tries > 1:
		return fmt.Sprintf("agrees (attempt %d)", r.tries)
	case math.Abs(d) <= tolerance:
		return "agrees"
	case r.Why == "":
		return "DIFFERS"
	case d < 0:
		return "lower: " + r.Why
	}
	return "higher: " + r.Why
}

// Count is how many verdicts begin with this word; "published" counts the published values.
func (s *set) Count(word string) (n int) {
	for _, r := range s.Results {
		if strings.Fields(r.Verdict())[0] == word || word == "published" &&
			!math.IsNaN(r.Published) {
			n++
		}
	}
	return n
}

// Worst is the largest difference of those that agree, kcal/mol.
func (s *set) Worst() (worst float64) {
	for _, r := range s.Results {
		if r.Verdict() == "agrees" {
			worst = max(worst, math.Abs(r.Off()))
		}
	}
	return worst
}

// Cost says which share of the CPU time of the programs each stage took.
func (s *set) Cost() string {
	seconds, total := measure.Programs(s.folder), 0.0
	for _, x := range seconds {
		total += x
	}
	text := fmt.Sprintf("%.0f s", total)
	for _, stage := range []string{"rdkit", "search", "isomers", "pm7", "minimum"} {
		text += fmt.Sprintf("; %s %.0f %%", stage, math.Round(100*seconds[stage]/total))
	}
	return text
}
