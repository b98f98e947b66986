// Validation writes docs/evidence/validation.md. It computes the molecules of
// testdata/molecules.csv, molecules_200.csv and random_small.csv from nothing, with the pipeline
// and the programs of this checkout. The page compares the results with the PM7 values that MOPAC's
// authors publish. It says which results are no minima, and which molecules fail.
//
//	go run ./bench/validation
package main

import (
	_ "embed"
	"fmt"
	"math"
	"os"
	"runtime"
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
	Row                              map[string]string // of the table, by column
	Name, Message, Why               string
	HOF, Published, Seed, CBS, Delta float64
}

// set is a table of molecules and what became of them.
type set struct {
	measure.Project
	Results []*result
	Elapsed time.Duration
}

func main() {
	top, remove := measure.Compile()
	defer remove()
	known := compute(top, "molecules.csv")
	for i, p := range measure.ReadCSV("testdata/pm7_published.csv") {
		r := known.Results[i]
		r.Name = strings.ReplaceAll(p["name"], `\u2013`, "-")
		r.Published = measure.Number(p["pm7_hof_published_kcal_mol"])
		r.Seed = measure.Number(p["pm7_hof_from_smiles_kcal_mol"])
	}
	more, random := compute(top, "molecules_200.csv"), compute(top, "random_small.csv")
	displaced, falls := minima(known, more)
	out := measure.Must(os.Create("docs/evidence/validation.md"))
	t := template.New("").Funcs(template.FuncMap{"cell": measure.Cell})
	measure.Check(measure.Must(t.Parse(page)).Execute(out, map[string]any{
		"Known": known, "More": more, "Random": random, "Falls": falls, "Displaced": displaced,
		"Machine": measure.Machine(top.Dir), "Tolerance": tolerance, "Displacement": displacement,
		"Fall": fall}))
	measure.Check(out.Close())
}

// compute runs a batch of a table of testdata.
func compute(top measure.Project, table string) *set {
	why := map[string]string{}
	for _, r := range measure.ReadCSV("bench/validation/reasons.csv") {
		why[r["smiles"]] = r["reason"]
	}
	s := &set{Project: top.New(table, measure.Shipped(), measure.Read("testdata/"+table))}
	cost := s.Batch(fmt.Sprint("-jobs=", runtime.NumCPU()))
	s.Elapsed = time.Duration(math.Round(cost.Wall)) * time.Second
	for _, r := range measure.ReadCSV(s.Table()) {
		message, _, _ := strings.Cut(r["error_message"], " (artefacts/")
		message = strings.TrimPrefix(message, r["mol_id"]+"/")
		s.Results = append(s.Results, &result{Row: r, Name: r["published_as"], Message: message,
			Why: why[r["smiles"]], HOF: measure.Number(r["most_stable_hof"]),
			Published: measure.Number(r["pm7_hof_published_kcal_mol"]), Seed: math.NaN(),
			CBS: measure.Number(r["H298_cbs"]), Delta: measure.Number(r["delta_1"])})
	}
	return s
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
	tries := measure.Number(r.Row["reruns"]) + 1
	switch {
	case r.Row["status"] != "OK":
		return "FAILED " + r.Message
	case math.IsNaN(d):
		return "nothing to compare"
	case math.Abs(d) <= tolerance && tries > 1:
		return fmt.Sprintf("agrees (attempt %g)", tries)
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
	seconds, total := s.Seconds(), 0.0
	for _, x := range seconds {
		total += x
	}
	text := fmt.Sprintf("%.0f s", total)
	for _, stage := range []string{"rdkit", "search", "isomers", "pm7", "minimum"} {
		text += fmt.Sprintf("; %s %.0f %%", stage, math.Round(100*seconds[stage]/total))
	}
	return text
}
