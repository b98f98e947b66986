package pipeline

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// frame is a geometry, of the form that the functions of real pipelines give.
type frame struct {
	Comment string    `cty:"comment"`
	Energy  *float64  `cty:"energy"`
	Symbols []string  `cty:"symbols"`
	X       []float64 `cty:"x"`
}

// result is what a parser gives.
type result struct {
	HOF          *float64 `cty:"hof"`
	GradientNorm *float64 `cty:"gradient_norm"`
	Method       string   `cty:"method"`
}

func number64(x float64) *float64 { return &x }

func frames(path string) ([]frame, error) {
	out := make([]frame, 3)
	for i := range out {
		out[i] = frame{Comment: fmt.Sprintf("%s %d", path, i),
			Energy: number64(-5.25 + float64(i)/8), Symbols: strings.Split("CCOHHHHHH", "")}
		for k := range 27 {
			out[i].X = append(out[i].X, float64(k)*0.12345678+float64(i))
		}
	}
	return out, nil
}

func firstFrame(path string) (frame, error) {
	f, err := frames(path)
	if err != nil {
		return frame{}, err
	}
	return f[0], nil
}

// testBuiltins stand for the commands that run inside the batch.
var testBuiltins = map[string]func([]string) error{"conformers": func(words []string) error {
	if i := slices.Index(words, "--gfn"); i >= 0 && words[i+1] != "2" {
		return fmt.Errorf("--gfn %q: want 2", words[i+1])
	}
	return nil
}}

// testFunctions stand for the chemistry that a real pipeline brings: the same names and forms, no
// chemistry.
var testFunctions = []Function{
	{"xyz", firstFrame, 1, nil, 1},
	{"conformers", frames, 1, nil, 1},
	{"ensemble", frames, 1, nil, 1},
	{"mopac", func(out, aux string) (result, error) {
		if strings.Contains(out, "bad") {
			return result{}, errors.New("SCF did not converge")
		}
		return result{number64(-17.5), nil, "PM7"}, nil
	}, 1, nil, 2},
	{"mopac_geometry", firstFrame, 1, nil, 1},
	{"mopac_state", func(charge, multiplicity int) (string, error) {
		return fmt.Sprintf("CHARGE=%d MULTIPLICITY=%d", charge, multiplicity), nil
	}, 1, nil, 0},
	{"mopac_cartesian", func(f frame) string { return strings.Join(f.Symbols, "\n") }, 1, nil, 0},
	{"xtb", func(log string) (result, error) { return result{Method: "GFN2"}, nil }, 1, nil, 1},
	{"same_bonds", func(mol string, f frame) (bool, error) {
		return !strings.Contains(mol, "broken"), nil
	}, 1, []string{"molecule", "frame"}, 1},
	{"bond_changes", func(mol string, f frame) (string, error) { return "C1–O2 is broken", nil },
		1, nil, 1},
	{"electrons", func(smiles string, charge int) *int { n := 10 - charge; return &n }, 1, nil, 0},
	{"spin_fits", func(smiles string, charge, multiplicity int) bool {
		return (10-charge+multiplicity)%2 == 1
	}, 1, nil, 0},
	{"text_of", func(path string) (string, error) {
		data, err := os.ReadFile(path)
		return string(data), err
	}, 1, nil, 1},
}
