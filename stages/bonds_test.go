package stages

import (
	"fmt"
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
