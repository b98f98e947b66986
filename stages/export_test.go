package stages

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readBack has RDKit read an SD file, and gives what it found in each record.
const readBack = `
import json, sys
from rdkit import Chem
out = []
for m in Chem.SDMolSupplier(sys.argv[1], removeHs=False):
    c = m.GetConformer()
    out.append({"name": m.GetProp("_Name"), "smiles": Chem.MolToSmiles(Chem.RemoveHs(m)),
                "charge": Chem.GetFormalCharge(m), "is3D": c.Is3D(),
                "coords": [x for i in range(m.GetNumAtoms()) for x in c.GetAtomPosition(i)],
                "tags": {k: m.GetProp(k) for k in m.GetPropNames()}})
print(json.dumps(out))
`

type record struct {
	Name, Smiles string
	Charge       int
	Is3D         bool
	Coords       []float64
	Tags         map[string]string
}

func rdkit(t *testing.T, script, file string) []byte {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "-c", script, file)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("RDKit: %v", err)
	}
	return out
}

func TestSDF(t *testing.T) {
	tests := []struct{ mol, smiles string }{
		{"ethanol.mol", "CCO"}, {"glycine.mol", "NCC(=O)O"}, {"salt.mol", ""},
		{"methyl.mol", "[CH3]"}, {"zwitterion.mol", "[NH3+]CC(=O)[O-]"}, {"helium.mol", "[He]"},
	}
	path := filepath.Join(t.TempDir(), "all.sdf")
	var text strings.Builder
	var frames []Frame
	for n, test := range tests {
		mol := read(t, "testdata/mol/"+test.mol)
		symbols, err := molfileAtoms(strings.Split(string(mol), "\n"))
		if err != nil {
			t.Fatal(err)
		}
		f := Frame{Symbols: symbols}
		for i := range 3 * len(symbols) {
			f.Coords = append(f.Coords, 1.5*float64(i)-7.00001)
		}
		f.Coords[0] = -1e-7
		frames = append(frames, f)
		record, err := SDF(mol, f, fmt.Sprintf("$$$$ %d\n1", n),
			[]Tag{{"HOF_kcal_mol", -57.858}, {"charge", int64(0)}, {"InChIKey", nil},
				{"SMILES", "C\n>  <x>"}, {"conformer_rank", 1}, {"a>\n<b", "y"},
				{"note", "$$$$"}})
		if err != nil {
			t.Fatalf("%s: %v", test.mol, err)
		}
		if strings.Contains(record, "-0.0000 ") {
			t.Errorf("%s: a negative nothing in %s", test.mol, record)
		}
		text.WriteString(record)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []record
	if err := json.Unmarshal(rdkit(t, readBack, path), &got); err != nil || len(got) != len(tests) {
		t.Fatalf("%d records, %v", len(got), err)
	}
	for n, r := range got {
		if r.Name != fmt.Sprintf(" $$$$ %d 1", n) || !r.Is3D ||
			(tests[n].smiles != "" && r.Smiles != tests[n].smiles) {
			t.Errorf("%s: read back as %+v", tests[n].mol, r)
		}
		if len(r.Tags) != 6 || r.Tags["note"] != " $$$$" || r.Tags["a___b"] != "y" ||
			r.Tags["HOF_kcal_mol"] != "-57.858" ||
			r.Tags["SMILES"] != "C > <x>" || r.Tags["conformer_rank"] != "1" ||
			r.Tags["charge"] != "0" {
			t.Errorf("%s: tags %v", tests[n].mol, r.Tags)
		}
		for i, x := range frames[n].Coords {
			if math.Abs(r.Coords[i]-x) > 1e-4 {
				t.Errorf("%s: coordinate %d is %g, want %g", tests[n].mol, i, r.Coords[i], x)
			}
		}
	}
}

func TestMolfileBonds(t *testing.T) {
	mol := string(read(t, "testdata/mol/ethanol.mol"))
	bonds, err := MolfileBonds([]byte(strings.ReplaceAll(mol, "\n", "\r\n")))
	want := "[[0 1] [1 2] [0 3] [0 4] [0 5] [1 6] [1 7] [2 8]]"
	if fmt.Sprint(bonds) != want || err != nil {
		t.Errorf("%v, %v, want %s", bonds, err, want)
	}
	if bonds, err := MolfileBonds(read(t, "testdata/mol/helium.mol")); len(bonds) > 0 ||
		err != nil {
		t.Errorf("helium: %v, %v", bonds, err)
	}
	for old, now := range map[string]string{"  9  8  0": "  9 99  0", "  3  9  1": "  3 10  1",
		"  1  4  1": "  0  4  1", "  1  5  1  0": "  1"} {
		_, err := MolfileBonds([]byte(strings.Replace(mol, old, now, 1)))
		if err == nil {
			t.Errorf("%q is taken for a bond", now)
		}
	}
}

func TestSDFRefuses(t *testing.T) {
	mol := read(t, "testdata/mol/ethanol.mol")
	symbols, _ := molfileAtoms(strings.Split(string(mol), "\n"))
	swapped := append([]string{"O", "C", "C"}, symbols[3:]...)
	for name, f := range map[string]Frame{
		"empty": {}, "short": {Symbols: []string{"C"}, Coords: []float64{0, 0, 0}},
		"order": {Symbols: swapped, Coords: make([]float64, 27)},
		"far":   {Symbols: symbols, Coords: append([]float64{-50000}, make([]float64, 26)...)},
		"nan": {Symbols: symbols, Coords: append([]float64{math.NaN()},
			make([]float64, 26)...)},
	} {
		if _, err := SDF(mol, f, "", nil); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	f := Frame{Symbols: symbols, Coords: make([]float64, 27)}
	text := string(mol)
	for _, test := range []struct{ text, words string }{
		{"", "not written to its end"},
		{text[:len(text)-8], "not written to its end"},
		{strings.Replace(text, "V2000", "V3000", 1), "no molfile of the form V2000"},
		{strings.Replace(text, "  9  8", " xx  8", 1), "line 4"},
		{strings.Replace(text, "  9  8", "999999", 1), "line 4"},
		{strings.Replace(text, " O ", " Q ", 1), "there is no element"},
	} {
		_, err := SDF([]byte(test.text), f, "", nil)
		wantError(t, err, test.words)
	}
}

func TestExtXYZ(t *testing.T) {
	f := Frame{Comment: "old", Symbols: []string{"O", "H", "H"},
		Coords: []float64{0, 0, 0, 0.96, 0, 0, -0.24, 0.93, 0}}
	got, err := ExtXYZ(f, []Tag{{"energy", -5.07}, {"charge", int64(0)}, {"smiles", `C"\O`},
		{"none", nil}, {"blank", ""}})
	want := "3\nProperties=species:S:1:pos:R:3 energy=-5.07 charge=0 smiles=\"C\\\"\\\\O\"\nO    " +
		"  0.0000000000     0.0000000000     0.0000000000\n"
	if err != nil || !strings.HasPrefix(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	path := filepath.Join(t.TempDir(), "water.xyz")
	if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
		t.Fatal(err)
	}
	atoms := rdkit(t, "import sys\nfrom rdkit import Chem\nm = "+
		"Chem.MolFromXYZFile(sys.argv[1])\nprint(''.join(a.GetSymbol() for a in m.GetAtoms()), "+
		"m.GetConformer().GetAtomPosition(1).x)", path)
	if string(atoms) != "OHH 0.96\n" {
		t.Errorf("RDKit reads %q", atoms)
	}
	if _, err := ExtXYZ(Frame{}, nil); err == nil {
		t.Error("a frame without atoms passes")
	}
}

// FuzzSDF gives foreign molfiles to the exporter: what it writes has the atoms of what it read.
func FuzzSDF(f *testing.F) {
	for _, name := range []string{"ethanol.mol", "salt.mol"} {
		data, err := os.ReadFile("testdata/mol/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, 1.5, "title")
	}
	f.Fuzz(func(t *testing.T, data []byte, x float64, title string) {
		symbols, err := molfileAtoms(strings.Split(string(data), "\n"))
		if err != nil {
			return
		}
		frame := Frame{Symbols: symbols, Coords: make([]float64, 3*len(symbols))}
		for i := range frame.Coords {
			frame.Coords[i] = x
		}
		record, err := SDF(data, frame, title, []Tag{{"title", title}})
		if err != nil {
			return
		}
		again, err := molfileAtoms(strings.Split(record, "\n"))
		if err != nil || !slices.Equal(symbols, again) {
			t.Errorf("%v: %v became %v in\n%s", err, symbols, again, record)
		}
	})
}
