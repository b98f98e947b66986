package stages

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func hofs(values ...float64) (out []*float64) {
	for _, v := range values {
		out = append(out, &v)
	}
	return out
}

func TestSummarise(t *testing.T) {
	for _, test := range []struct {
		name      string
		hofs      []*float64
		tolerance float64
		want      Summary
	}{
		{"one", hofs(-14.4), 0.02, Summary{MostStableHOF: -14.4, Rank: 1, Unique: 1}},
		{"the second is the lowest", hofs(-67.53, -67.68, -67.50), 0.02, Summary{MostStableHOF: -67.68, Spread: 0.18, Rank: 2, Unique: 3}},
		{"two in one minimum", hofs(-117.406, -117.758, -117.407), 0.02, Summary{MostStableHOF: -117.758, Spread: 0.352, Rank: 2, Unique: 2}},
		{"equal ones: the first", hofs(1, 1, 1), 0, Summary{MostStableHOF: 1, Rank: 1, Unique: 1}},
		{"a chain is not one", hofs(0, 0.75, 1.5), 1, Summary{MostStableHOF: 0, Spread: 1.5, Rank: 1, Unique: 2}},
		{"one was left out", []*float64{nil, hofs(-67.53)[0], nil, hofs(-67.68)[0]}, 0.02, Summary{MostStableHOF: -67.68, Spread: 0.15, Rank: 4, Unique: 2}},
		{"at the tolerance", hofs(0, 0.5), 0.5, Summary{MostStableHOF: 0, Spread: 0.5, Rank: 1, Unique: 1}},
	} {
		got, err := Summarise(test.hofs, test.tolerance)
		if err != nil || !slices.Equal(got.HOF, test.hofs) || got.MostStableHOF != test.want.MostStableHOF ||
			math.Abs(got.Spread-test.want.Spread) > 1e-9 || got.Rank != test.want.Rank || got.Unique != test.want.Unique {
			t.Errorf("%s: %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
	for _, bad := range []struct {
		hofs      []*float64
		tolerance float64
	}{{nil, 0.02}, {[]*float64{nil, nil}, 0.02}, {hofs(1), -1}, {hofs(1), math.NaN()}} {
		if got, err := Summarise(bad.hofs, bad.tolerance); err == nil {
			t.Errorf("%v, %g: %+v, want an error", bad.hofs, bad.tolerance, got)
		}
	}
}

func carbons(distances ...float64) Frame {
	f := Frame{Symbols: []string{"C"}, Coords: []float64{0, 0, 0}}
	x := 0.0
	for _, d := range distances {
		x += d
		f.Symbols, f.Coords = append(f.Symbols, "C"), append(f.Coords, x, 0, 0)
	}
	return f
}

func TestTripleBonds(t *testing.T) {
	nitrile := carbons(1.16)
	nitrile.Symbols[1] = "N"
	for _, test := range []struct {
		name  string
		frame Frame
		want  int
	}{
		{"2-butyne", carbons(1.43, 1.21, 1.43), 1},
		{"butadiyne", carbons(1.21, 1.36, 1.21), 2},
		{"butatriene", carbons(1.31, 1.265, 1.31), 1},
		{"allene", carbons(1.31, 1.31), 0},
		{"a nitrile", nitrile, 0},
		{"one atom", carbons(), 0},
	} {
		if got, err := TripleBonds(test.frame); err != nil || got != test.want {
			t.Errorf("%s: %d, %v, want %d", test.name, got, err, test.want)
		}
	}
	if _, err := TripleBonds(Frame{}); err == nil {
		t.Error("a geometry without atoms is taken")
	}
}

func TestScaled(t *testing.T) {
	energy, start := -5.0, carbons(1.2)
	start.Energy = &energy
	got, err := Scaled(start, 1.5)
	if err != nil || math.Abs(got.distance(0, 1)-1.8) > 1e-12 || got.Energy != nil || start.Coords[3] != 1.2 {
		t.Errorf("%v, %v", got, err)
	}
	for _, factor := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := Scaled(start, factor); err == nil {
			t.Errorf("the factor %g is taken", factor)
		}
	}
}

// chfclbr is bromochlorofluoromethane; hand is 1 or -1.
func chfclbr(hand float64) Frame {
	return Frame{Symbols: []string{"C", "H", "F", "Cl", "Br"}, Coords: []float64{0, 0, 0, 0, 0, 1.09, 1.3, 0, -0.45, -0.8, hand * 1.45, -0.6, -0.9, hand * -1.6, -0.65}}
}

func TestMoleculeChanges(t *testing.T) {
	molfile := filepath.Join(t.TempDir(), "molecule.mol")
	text := "CHFClBr\n\n\n  5  4  0  0  0  0  0  0  0  0999 V2000\n"
	for _, symbol := range chfclbr(1).Symbols {
		text += "    0.0000    0.0000    0.0000 " + (symbol + "  ")[:3] + " 0  0\n"
	}
	text += "  1  2  1  0\n  1  3  1  0\n  1  4  1  0\n  1  5  1  0\nM  END\n"
	if err := os.WriteFile(molfile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	pulled := chfclbr(1)
	pulled.Coords[5] = 2.5
	for _, test := range []struct {
		name     string
		from, to Frame
		want     string
	}{
		{"nothing happened", chfclbr(1), chfclbr(1), ""},
		{"inverted", chfclbr(1), chfclbr(-1), "C1 is turned inside out"},
		{"bonds come first", chfclbr(-1), pulled, "C1–H2 is broken (2.50 Å)"},
	} {
		if got, err := MoleculeChanges(molfile, test.from, test.to); err != nil || got != test.want {
			t.Errorf("%s: %q, %v, want %q", test.name, got, err, test.want)
		}
	}
	if _, err := MoleculeChanges(molfile, chfclbr(1), carbons(1.5)); err == nil || !strings.Contains(err.Error(), "the molecule has 5 atoms, the geometry 2") {
		t.Errorf("another molecule: %v", err)
	}
	if _, err := MoleculeChanges(molfile, carbons(1.5), chfclbr(1)); err == nil || !strings.Contains(err.Error(), "the geometry before") {
		t.Errorf("another start: %v", err)
	}
	if _, err := MoleculeChanges(molfile+".not", chfclbr(1), chfclbr(1)); err == nil {
		t.Error("a missing molfile is taken")
	}
}
