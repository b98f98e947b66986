// Validation computes the 57 molecules of testdata/molecules.csv from nothing, with the pipeline and the programs of this checkout,
// and writes docs/validation.md: what came out beside the PM7 values that MOPAC's authors publish.
//
//	go run ./bench/validation
package main

import (
	"encoding/csv"
	"fmt"
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

func main() {
	log.SetFlags(0)
	dir, err := os.MkdirTemp("", "grimperium-validation-")
	check(err)
	defer os.RemoveAll(dir)
	table := filepath.Join(dir, "molecules.csv")
	data, err := os.ReadFile("testdata/molecules.csv")
	check(err)
	check(os.WriteFile(table, data, 0o644))
	start := time.Now()
	batches := 0
	for ok := false; !ok && batches < 4; batches++ { // a failed molecule is tried again by the next batch, another way
		cmd := exec.Command("go", "tool", "mage", "batch", "-table="+table, "-artefacts="+filepath.Join(dir, "artefacts"))
		cmd.Stderr = os.Stderr
		ok = cmd.Run() == nil
	}
	elapsed := time.Since(start)
	results, published := read(table), read("testdata/pm7_published.csv")
	out, err := os.Create("docs/validation.md")
	check(err)
	write(out, results, published, batches, elapsed)
	check(out.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
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

func write(out *os.File, results, published []map[string]string, batches int, elapsed time.Duration) {
	fmt.Fprintf(out, `# Validation

The 57 molecules of `+"`testdata/molecules.csv`"+` (47 closed-shell CHNO molecules, 5 radicals, a triplet, 4 anions), computed from nothing by

    go run ./bench/validation

which writes this page. `+"`published`"+` is the PM7 heat of formation that MOPAC's authors publish (openmopac/mopac, data/normal), each for one geometry;
where they have none, `+"`seed`"+` is the lowest PM7 value from ten RDKit conformers (MOPAC 22.0.6). kcal/mol at 298.15 K.

The rule: a rigid molecule (one conformer) agrees within %.1f; a flexible one is at most %.1f above, and may be below, because the search
found a better conformer.

Machine: %d cores, %s/%s. Elapsed: %s in %d batches (the second takes up what stopped short in the first, see below).

| molecule | SMILES | q | mult. | conformers | PM7 here | published | seed | difference | CBS-QB3 | delta_1 | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|
`, tolerance, tolerance, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, elapsed.Round(time.Second), batches)
	counts := map[string]int{}
	for i, r := range results {
		p := published[i]
		if p["mol_id"] != r["mol_id"] {
			log.Fatalf("%s stands where %s is expected", p["mol_id"], r["mol_id"])
		}
		v, diff := verdict(r, p)
		counts[strings.Fields(v)[0]]++
		fmt.Fprintf(out, "| %s | `%s` | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", p["name"], r["smiles"], r["charge"], r["multiplicity"],
			r["crest_conformers_generated"], r["most_stable_hof"], p["pm7_hof_published_kcal_mol"], p["pm7_hof_from_smiles_kcal_mol"], diff, r["H298_cbs"], r["delta_1"], v)
	}
	fmt.Fprintf(out, "\n%d agree, %d are lower, %d are not as the rule says, %d failed.\n", counts["agrees"], counts["lower"], counts["DIFFERS"], counts["FAILED"])
	if notes, err := os.ReadFile("bench/validation/notes.md"); err == nil {
		fmt.Fprintf(out, "\n%s", notes)
	}
}

// verdict compares a row with the published value.
func verdict(r, p map[string]string) (verdict, diff string) {
	ours, want := number(r["most_stable_hof"]), number(p["pm7_hof_published_kcal_mol"])
	if math.IsNaN(want) {
		want = number(p["pm7_hof_from_smiles_kcal_mol"])
	}
	if r["status"] != "OK" {
		return "FAILED " + r["error_message"], ""
	}
	d := ours - want
	diff = fmt.Sprintf("%+.3f", d)
	switch rigid := r["crest_conformers_generated"] == "1"; {
	case math.Abs(d) <= tolerance:
		return "agrees", diff
	case d < 0 && !rigid:
		return "lower", diff
	case d < 0 && p["pm7_hof_from_smiles_kcal_mol"] != "" && math.Abs(ours-number(p["pm7_hof_from_smiles_kcal_mol"])) <= tolerance:
		return "lower (as the seed)", diff
	}
	return "DIFFERS", diff
}
