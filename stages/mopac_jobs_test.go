package stages

import (
	"math"
	"slices"
	"testing"
)

// Of three optimisations of diphosphane one ends as PH3 and PH, and the lowest as P2 and hydrogen.
func TestReached(t *testing.T) {
	const out, molecule = "testdata/mopac/starts.out", "testdata/mol/diphosphane.json"
	start := goldenFrame(t, "testdata/mol/diphosphane.xyz", 0)
	starts := slices.Repeat([]Frame{start}, 3)
	got, err := Reached(out, molecule, starts, bonds)
	if err != nil || got.HOF == nil || math.Abs(*got.HOF+10.5672) > 1e-4 ||
		math.Abs(got.Geometry.distance(0, 1)-2.039) > 0.01 {
		t.Errorf("%v, %v", got, err)
	}
	for _, none := range [][]Frame{nil, {}} {
		if got, err := Reached(out, molecule, none, bonds); err != nil || got.HOF != nil {
			t.Errorf("%v, %v; want none", got, err)
		}
	}
	got, err = Reached("testdata/mopac/single_points.out", molecule, starts, bonds)
	if err != nil || got.HOF != nil || got.Geometry != nil {
		t.Errorf("%v, %v of a file without starts; want none", got, err)
	}
	for _, test := range []struct{ out, molecule, bonds, want string }{
		{"none.out", molecule, bonds, "none.out: no such file"},
		{out, "none.json", bonds, "none.json: no such file"},
		{out, molecule, "1.3", "the reach of bonds"},
		{out, "testdata/mol/helium.json", bonds, "testdata/mol/helium.json: "},
	} {
		_, err := Reached(test.out, test.molecule, starts, test.bonds)
		wantError(t, err, test.want)
	}
}

func FuzzTitledJobs(f *testing.F) {
	for _, name := range []string{"starts", "single_points"} {
		f.Add(string(read(f, "testdata/mopac/"+name+".out")))
	}
	reach, err := ParseReach(bonds)
	if err != nil {
		f.Fatal(err)
	}
	m, err := ReadMolecule("testdata/mol/diphosphane.json")
	if err != nil {
		f.Fatal(err)
	}
	frames, err := ReadXYZ("testdata/mol/diphosphane.xyz")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, out string) {
		got, err := m.reached(out, slices.Repeat(frames, 2), reach)
		if err != nil || (got.HOF == nil) != (got.Geometry == nil) ||
			got.HOF != nil && (math.IsNaN(*got.HOF) || got.Geometry.check() != nil) {
			t.Fatalf("%v, %v", got, err)
		}
	})
}
