package stages

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Ensemble reads the crest_conformers.xyz of a CREST run (2.12 or 3.0) and sorts it by energy,
// which CREST does only nearly. Energies are in hartree; of one conformer alone it may be missing
// (2.12 on H2). It refuses a torn file, a number that is not finite, an energy that is no total
// energy, and frames of different molecules. The error names the file and the line or frame.
func Ensemble(path string) ([]Frame, error) {
	data, err := readFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, noEnsemble(path + ": no conformers were left: the output of the search says " +
			"why")
	}
	if err != nil {
		return nil, err
	}
	frames, err := parseCREST(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return frames, nil
}

// leastBinding is above the energy of any atom in a molecule by GFN2-xTB, hartree, which counts no
// core electrons: sodium has -0.17. What lies above is no total energy.
const leastBinding = -0.1

// noEnsemble is an os.ErrNotExist in a chemist's words.
type noEnsemble string

func (e noEnsemble) Error() string        { return string(e) }
func (e noEnsemble) Is(target error) bool { return target == os.ErrNotExist }

func parseCREST(data []byte) ([]Frame, error) {
	frames, err := ParseXYZ(data)
	if err != nil {
		return nil, err
	}
	for i, f := range frames {
		if !slices.Equal(f.Symbols, frames[0].Symbols) {
			return nil, fmt.Errorf("conformer %d has other atoms than the first", i+1)
		}
		if f.Energy == nil && len(frames) > 1 {
			return nil, fmt.Errorf("conformer %d has no energy in its comment %.40q: the "+
				"ensemble can't be put in order", i+1, f.Comment)
		}
		if most := leastBinding * float64(len(f.Symbols)); f.Energy != nil && len(f.Symbols) > 1 &&
			*f.Energy > most {
			return nil, fmt.Errorf("conformer %d has the energy %g in its comment, which is no "+
				"total energy in hartree: of %d atoms it is below %.1f", i+1, *f.Energy,
				len(f.Symbols), most)
		}
	}
	if len(frames) > 1 {
		slices.SortStableFunc(frames, func(a, b Frame) int {
			return cmp.Compare(*a.Energy, *b.Energy)
		})
	}
	return frames, nil
}

// Isomers are the first conformers of each stereoisomer (Frame.Isomer), in the ensemble's order.
func Isomers(ensemble []Frame) []Frame {
	var out []Frame
	for _, f := range ensemble {
		if !slices.ContainsFunc(out, func(o Frame) bool { return o.Isomer == f.Isomer }) {
			out = append(out, f)
		}
	}
	return out
}

// OfIsomer are the conformers of an ensemble that are of a stereoisomer, in its order.
func OfIsomer(ensemble []Frame, isomer string) []Frame {
	return slices.DeleteFunc(slices.Clone(ensemble), func(f Frame) bool {
		return f.Isomer != isomer
	})
}

// LowestIsomer is the SMILES of the isomer whose first conformer has the lowest heat of formation.
// hofs has one of each of Isomers, nil for one that failed. Without any the first isomer counts.
func LowestIsomer(ensemble []Frame, hofs []*float64) (string, error) {
	isomers := Isomers(ensemble)
	if len(isomers) == 0 {
		return "", errors.New("there is no conformer")
	}
	if len(hofs) == 0 {
		return isomers[0].Isomer, nil
	}
	if len(hofs) != len(isomers) {
		return "", fmt.Errorf("%d heats of formation are given for %d isomers", len(hofs),
			len(isomers))
	}
	at, err := Lowest(hofs)
	return isomers[at].Isomer, err
}
