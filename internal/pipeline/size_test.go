package pipeline

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestSize(t *testing.T) {
	load := func(size string) (*Pipeline, error) {
		return loadText("pipeline.hcl",
			[]byte("pipeline {\n  order = \"smallest_first\"\n}\nmolecule {\n"+size+
				"\n}\nstage \"a\" {\n  values = { x = 1 }\n}\n"), testOptions())
	}
	for _, test := range []struct {
		size string
		want []float64
	}{
		{"size = [mol.H298_cbs, 2]", []float64{-56.12, 2}},
		{"size = [mol.nheavy, 2]", nil}, // the cell is empty
		{"size = [1 / mol.charge]", nil},
		{"size = [electrons(mol.smiles, 0)]", []float64{10}},
	} {
		p, err := load(test.size)
		if err != nil {
			t.Errorf("%s: %v", test.size, found(t, err))
			continue
		}
		m, err := p.Molecule(cells)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Size(); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.size, got, test.want)
		}
	}
	for size, want := range map[string]string{
		"":                           "needs the molecule block's size",
		"size = []":                  "size is a list of 1 to 4 numbers",
		"size = [1, 2, 3, 4, 5]":     "size is a list of 1 to 4 numbers",
		"size = 3":                   "size is a list",
		"size = null":                "size is a list",
		"size = [stage.a.x]":         `"stage" can't be used in the molecule block`,
		"size = [mol.nheavyy]":       `Did you mean "nheavy"?`,
		`size = [mol.smiles == "C"]`: "size has true or false in it",
	} {
		_, err := load(size)
		var mistakes *Errors
		if !errors.As(err, &mistakes) {
			t.Errorf("%s: %v", size, err)
			continue
		}
		var text strings.Builder
		if err := mistakes.Print(&text, 0, false); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s: %s, want %s", size, text.String(), want)
		}
	}
}
