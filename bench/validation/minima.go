package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"grimperium/bench/internal/measure"
	"grimperium/internal/store"
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
		st := measure.Must(store.Open(s.folder))
		for _, r := range s.Results {
			geometry, ok := lowest(st, r)
			if !ok || len(geometry.Symbols) < 2 {
				continue
			}
			tried++
			for seed := range uint64(3) {
				again, err := optimised(displaced(geometry, seed), r)
				steps := math.Round((r.HOF - again) / tripleBond)
				if err == nil && math.Abs(r.HOF-again-tripleBond*steps) > fall && again < r.HOF {
					falls = append(falls, fmt.Sprintf("`%s` falls from %.3f to %.3f", r.SMILES,
						r.HOF, again))
					break
				}
			}
		}
	}
	return tried, falls
}

// lowest is the final geometry of a molecule's lowest conformer.
func lowest(st *store.Store, r *result) (geometry stages.Frame, ok bool) {
	if r.Status != "OK" {
		return geometry, false
	}
	m := measure.Must(st.Molecule(r.ID))
	least, aux := math.Inf(1), ""
	for _, target := range m.Targets() {
		rec := m.Record(target)
		var values struct{ HOF *float64 }
		_ = json.Unmarshal(rec.Values, &values)
		of := strings.HasPrefix(target, "pm7/") || target == "minimum"
		if of && values.HOF != nil && *values.HOF < least {
			least, aux = *values.HOF, filepath.Join(st.TargetDir(r.ID, target),
				rec.Outputs["aux"].File)
		}
	}
	return measure.Must(stages.MOPACGeometry(aux)), true
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
func optimised(f stages.Frame, r *result) (float64, error) {
	dir := measure.Must(os.MkdirTemp("", "grimperium-minimum-"))
	defer os.RemoveAll(dir)
	charge := measure.Must(strconv.Atoi(r.Charge))
	state := measure.Must(stages.MOPACState(charge, measure.Must(strconv.Atoi(r.Multiplicity))))
	lines := measure.Must(stages.MOPACCartesian(f))
	const keywords = "PM7 PRECISE EF THREADS=1 AUX(PRECISION=9,XP,XS,XW)"
	text := keywords + " " + state + "\n" + r.ID + "\n\n" + lines + "\n"
	measure.Write(filepath.Join(dir, "again.mop"), text)
	cmd := exec.Command("mopac", "again.mop")
	cmd.Dir = dir
	_ = cmd.Run() // its exit status says nothing
	run, err := stages.ReadMOPAC(filepath.Join(dir, "again.out"), filepath.Join(dir, "again.aux"),
		0.5)
	return run.HOF, err
}
