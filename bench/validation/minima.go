package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"grimperium/internal/cli"
	"grimperium/internal/store"
	"grimperium/stages"
)

const (
	displacement = 0.03 // Å, at most, of each coordinate
	fallen       = 0.05 // kcal/mol: a result that falls by more is no minimum
	tripleBond   = 12   // kcal/mol: MOPAC before 23.2 counts C≡C in the geometry that it starts from
)

// writeMinima displaces the final geometry of each lowest conformer, optimises it again three
// times, and names what falls.
func writeMinima(out io.Writer, sets ...set) {
	tried := 0
	var rows strings.Builder
	for _, s := range sets {
		st, err := store.Open(s.folder)
		check(err)
		for _, r := range s.results {
			geometry, hof, ok := lowest(st, r)
			if !ok || len(geometry.Symbols) < 2 {
				continue
			}
			tried++
			for seed := range uint64(3) {
				again, err := optimised(displaced(geometry, seed), r)
				steps := math.Round((hof - again) / tripleBond)
				if err == nil && math.Abs(hof-again-tripleBond*steps) > fallen && again < hof {
					fmt.Fprintf(&rows, "- `%s` falls from %.3f to %.3f\n", r.smiles, hof, again)
					break
				}
			}
		}
	}
	if rows.Len() == 0 {
		rows.WriteString("None falls.\n")
	}
	fmt.Fprintf(out, `
## Are they minima?

The final geometry of the lowest conformer of each of the %d molecules above was displaced by at most %.2f Å in each coordinate and optimised again
by PM7, three times. A fall of more than %.2f kcal/mol means that the result is no minimum. A step of 12 kcal/mol
is none: MOPAC before 23.2 counts the C≡C bonds of the geometry that it starts from.

%s`, tried, displacement, fallen, rows.String())
}

// lowest is the final geometry of a molecule's lowest conformer and its heat of formation,
// kcal/mol.
func lowest(st *store.Store, r result) (geometry stages.Frame, hof float64, ok bool) {
	if r.status != "OK" {
		return geometry, 0, false
	}
	man, err := st.Manifest(r.id)
	check(err)
	rank, _ := man.Targets["lowest"].Values["rank"].(float64)
	target := cli.FinalTarget(man, int(rank)-1)
	geometry, err = stages.MOPACGeometry(filepath.Join(st.TargetDir(r.id, target), man.Targets[target].Outputs["aux"].File))
	check(err)
	return geometry, r.hof, true
}

func displaced(f stages.Frame, seed uint64) stages.Frame {
	random := rand.New(rand.NewPCG(seed, 1))
	f.Coords = append([]float64(nil), f.Coords...)
	for i := range f.Coords {
		f.Coords[i] += displacement * (2*random.Float64() - 1)
	}
	return f
}

// optimised is the heat of formation, kcal/mol, that MOPAC ends at from a geometry.
func optimised(f stages.Frame, r result) (float64, error) {
	dir, err := os.MkdirTemp("", "grimperium-minimum-")
	check(err)
	defer os.RemoveAll(dir)
	charge, err := strconv.Atoi(r.charge)
	check(err)
	multiplicity, err := strconv.Atoi(r.multiplicity)
	check(err)
	state, err := stages.MOPACState(charge, multiplicity)
	check(err)
	lines, err := stages.MOPACCartesian(f)
	check(err)
	text := "PM7 PRECISE EF THREADS=1 AUX(PRECISION=9,XP,XS,XW) " + state + "\n" + r.id + "\n\n" + lines + "\n"
	check(os.WriteFile(filepath.Join(dir, "again.mop"), []byte(text), 0o644))
	cmd := exec.Command("mopac", "again.mop")
	cmd.Dir = dir
	_ = cmd.Run() // its exit status says nothing
	run, err := stages.ReadMOPAC(filepath.Join(dir, "again.out"), filepath.Join(dir, "again.aux"))
	return run.HOF, err
}

// writeCost says which share of the CPU time each stage took.
func writeCost(out io.Writer, s set) {
	st, err := store.Open(s.folder)
	check(err)
	seconds, total := map[string]float64{}, 0.0
	for _, r := range s.results {
		man, err := st.Manifest(r.id)
		check(err)
		for target, rec := range man.Targets {
			stage, _, _ := strings.Cut(target, "/")
			seconds[stage] += rec.CPU
			total += rec.CPU
		}
	}
	var parts []string
	for _, stage := range []string{"rdkit", "search", "isomers", "pm7", "minimum", "pm7_check"} {
		parts = append(parts, fmt.Sprintf("%s %.0f %%", stage, math.Round(100*seconds[stage]/total)))
	}
	fmt.Fprintf(out, "\nCPU time of the programs: %.0f s; %s.\n", total, strings.Join(parts, ", "))
}
