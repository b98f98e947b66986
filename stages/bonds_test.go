package stages

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseMolfile(t *testing.T) {
	for _, test := range []struct{ file, symbols, bonds string }{ // as RDKit 2022.09.3 writes them
		{"ethanol.mol", "[C C O H H H H H H]", "[[0 1] [0 3] [0 4] [0 5] [1 2] [1 6] [1 7] [2 8]]"},
		{"ethanol.v3.mol", "[C C O H H H H H H]", "[[0 1] [0 3] [0 4] [0 5] [1 2] [1 6] [1 7] [2 8]]"},
		{"isotope.v3.mol", "[H C Cl Br]", "[[0 1] [1 2] [1 3]]"},
		{"salt.mol", "[Na Cl]", "[]"},
		{"helium.mol", "[He]", "[]"},
	} {
		symbols, bonds, err := ParseMolfile(read(t, "testdata/mol/"+test.file))
		if fmt.Sprint(symbols) != test.symbols || fmt.Sprint(bonds) != test.bonds || err != nil {
			t.Errorf("%s: %v %v %v", test.file, symbols, bonds, err)
		}
	}
}

func TestParseMolfileRefuses(t *testing.T) {
	v2, v3 := string(read(t, "testdata/mol/ethanol.mol")), string(read(t, "testdata/mol/ethanol.v3.mol"))
	for _, test := range []struct{ name, text, words string }{
		{"empty", "", "no molfile"},
		{"no version", strings.Replace(v2, "V2000", "V1000", 1), "line 4"},
		{"torn V2000", v2[:len(v2)-8], "not written to its end"},
		{"torn V3000", v3[:len(v3)/2], "not written to its end"},
		{"no counts", strings.Replace(v2, "  9  8", " xx  8", 1), "line 4"},
		{"negative counts", strings.Replace(v2, "  9  8", " -9  8", 1), "line 4"},
		{"huge counts", strings.Replace(v2, "  9  8", "999999", 1), "line 4"},
		{"no atoms", strings.Replace(v2, "  9  8", "  0  0", 1), "no atom"},
		{"unknown element", strings.Replace(v2, " O ", " Q ", 1), "there is no element"},
		{"bond to nothing", strings.Replace(v2, "  1  2  1", "  1 22  1", 1), "the bond does not name two of the 9 atoms"},
		{"bond to itself", strings.Replace(v3, "V30 1 1 1 2", "V30 1 1 1 1", 1), "the bond does not name two"},
		{"atoms out of order", strings.Replace(v3, "V30 2 C", "V30 7 C", 1), "out of order"},
		{"short atom", strings.Replace(v3, "V30 2 C", "V30 2 \nC", 1), "neither an atom nor a bond"},
	} {
		if test.text == v2 || test.text == v3 {
			t.Errorf("%s: the recording is unchanged", test.name)
		}
		_, _, err := ParseMolfile([]byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%s: %v, want %q", test.name, err, test.words)
		}
	}
}

func frameOf(t *testing.T, file string) Frame {
	t.Helper()
	frame, err := firstFrame("testdata/mol/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestBondChanges(t *testing.T) {
	ethanol := frameOf(t, "ethanol_opt.xyz")
	pulled := Frame{Symbols: ethanol.Symbols, Coords: slices.Clone(ethanol.Coords)}
	for i := range 3 { // the hydroxyl, O3 and H9, away from the rest
		along := ethanol.Coords[6+i] - ethanol.Coords[3+i]
		pulled.Coords[6+i] += along
		pulled.Coords[24+i] += along
	}
	near := Frame{Symbols: ethanol.Symbols, Coords: slices.Clone(ethanol.Coords)}
	for i := range 3 { // H4 on the far side of C2's H8
		near.Coords[9+i] = ethanol.Coords[21+i]*1.5 - ethanol.Coords[3+i]*0.5
	}
	helium := Frame{Symbols: []string{"He"}, Coords: []float64{0, 0, 0}}
	salt := Frame{Symbols: []string{"Na", "Cl"}, Coords: []float64{0, 0, 0, 9, 0, 0}}
	for _, test := range []struct {
		name, molfile string
		frame         Frame
		want          string
	}{
		{"the same", "ethanol.mol", ethanol, ""},
		{"the same, V3000", "ethanol.v3.mol", ethanol, ""},
		{"an atom", "helium.mol", helium, ""},
		{"two fragments", "salt.mol", salt, ""},
		{"glycine's zwitterion in GFN2-xTB", "zwitterion.mol", frameOf(t, "zwitterion_opt.xyz"), "H8 moved from N1 to O4"},
		{"broken", "ethanol.mol", pulled, "C2–O3 is broken (2.82 Å)"},
		{"moved", "ethanol.mol", near, "H4 moved from C1 to H8"},
		{"new", "salt.mol", Frame{Symbols: salt.Symbols, Coords: []float64{0, 0, 0, 2.5, 0, 0}}, "Na1–Cl2 is new (2.50 Å)"},
	} {
		got, err := BondChanges("testdata/mol/"+test.molfile, test.frame)
		if err != nil || got != test.want {
			t.Errorf("%s: %q, %v, want %q", test.name, got, err, test.want)
		}
		same, err := SameBonds("testdata/mol/"+test.molfile, test.frame)
		if err != nil || same != (test.want == "") {
			t.Errorf("%s: same bonds %v, %v", test.name, same, err)
		}
	}
}

func TestBondChangesRefuses(t *testing.T) {
	ethanol := frameOf(t, "ethanol_opt.xyz")
	swapped := Frame{Symbols: slices.Clone(ethanol.Symbols), Coords: ethanol.Coords}
	swapped.Symbols[2], swapped.Symbols[3] = swapped.Symbols[3], swapped.Symbols[2]
	missing := filepath.Join(t.TempDir(), "no.mol")
	for _, test := range []struct {
		molfile string
		frame   Frame
		words   string
	}{
		{"testdata/mol/glycine.mol", ethanol, "glycine.mol: the molecule has 10 atoms, the geometry 9"},
		{"testdata/mol/ethanol.mol", swapped, "atom 3 is O in the molecule, H in the geometry"},
		{"testdata/mol/ethanol.mol", Frame{Symbols: ethanol.Symbols}, "9 atoms have 0 coordinates"},
		{missing, ethanol, missing + ": no such file"},
		{"testdata/mol/ethanol_opt.xyz", ethanol, "ethanol_opt.xyz: "},
	} {
		_, err := BondChanges(test.molfile, test.frame)
		wantError(t, err, test.words)
	}
}

func FuzzMolfile(f *testing.F) {
	for _, name := range []string{"ethanol.mol", "ethanol.v3.mol", "isotope.v3.mol", "salt.mol"} {
		f.Add(read(f, "testdata/mol/"+name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		symbols, bonds, err := ParseMolfile(data)
		if err != nil {
			return
		}
		for _, b := range bonds {
			if b[0] < 0 || b[0] >= b[1] || b[1] >= len(symbols) {
				t.Fatalf("%v among %d atoms", b, len(symbols))
			}
		}
		if again := slices.Compact(slices.Clone(bonds)); !reflect.DeepEqual(again, bonds) {
			t.Fatalf("a bond twice: %v", bonds)
		}
	})
}
