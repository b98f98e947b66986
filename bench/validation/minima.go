package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"grimperium/bench/internal/measure"
	"grimperium/stages"
)

const (
	displacement = 0.03 // Å, at most, of each coordinate
	fall         = 0.05 // kcal/mol: a result that falls by more is no minimum
	// kcal/mol: MOPAC before 23.2 counts C≡C in the geometry that it starts from
	tripleBond = 12
)

// minima displaces the final geometry of each lowest conformer, optimises it again three times, and
// names what falls. tried is the number of molecules.
func minima(sets ...*set) (tried int, falls []string) {
	for _, s := range sets {
		final := s.final()
		for _, r := range s.Results {
			geometry := final[r.Row["mol_id"]]
			if r.Row["status"] != "OK" || len(geometry.Symbols) < 2 {
				continue
			}
			tried++
			for seed := range uint64(3) {
				again, err := optimised(displaced(geometry, seed), r.Row)
				steps := math.Round((r.HOF - again) / tripleBond)
				if err == nil && math.Abs(r.HOF-again-tripleBond*steps) > fall && again < r.HOF {
					falls = append(falls, fmt.Sprintf("`%s` falls from %.3f to %.3f",
						r.Row["smiles"], r.HOF, again))
					break
				}
			}
		}
	}
	return tried, falls
}

// final are the geometries of the lowest conformers, by mol_id.
func (s *set) final() map[string]stages.Frame {
	least, geometries := map[string]float64{}, map[string]stages.Frame{}
	for id, record := range s.Records() {
		hof := measure.HOF(record)
		of := strings.HasPrefix(record.Target, "pm7/") || record.Target == "minimum"
		if before, ok := least[id]; of && !math.IsNaN(hof) && (!ok || hof < before) {
			least[id] = hof
			geometries[id] = measure.Must(stages.MOPACGeometry(s.Path(filepath.Join("artefacts", id,
				record.Target, record.Outputs["aux"].File))))
		}
	}
	return geometries
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
func optimised(f stages.Frame, row map[string]string) (float64, error) {
	dir := measure.Must(os.MkdirTemp("", "grimperium-minimum-"))
	defer os.RemoveAll(dir)
	charge := measure.Must(strconv.Atoi(row["charge"]))
	multiplicity := measure.Must(strconv.Atoi(row["multiplicity"]))
	state := measure.Must(stages.MOPACState(charge, multiplicity))
	lines := measure.Must(stages.MOPACCartesian(f))
	const keywords = "PM7 PRECISE EF THREADS=1 AUX(PRECISION=9,XP,XS,XW)"
	text := keywords + " " + state + "\n" + row["mol_id"] + "\n\n" + lines + "\n"
	measure.Write(filepath.Join(dir, "again.mop"), text)
	cmd := exec.Command("mopac", "again.mop")
	cmd.Dir = dir
	_ = cmd.Run() // its exit status says nothing
	run, err := stages.ReadMOPAC(filepath.Join(dir, "again.out"), filepath.Join(dir, "again.aux"),
		0.5)
	return run.HOF, err
}
