package stages

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recordings are the recorded runs of CREST 3.0.2: names and frames. kept is how many frames
// CREST's own criteria leave once mirror images and exchanged atoms count as one. In n-octane 19 of
// CREST's frames are another one with equivalent atoms exchanged, 7 of them mirrored too. In
// 1,2-propanediol one is.
var recordings = []struct {
	name         string
	frames, kept int
}{
	{"ethanol", 3, 3}, {"acetic_acid", 1, 1}, {"3-methylfuran", 1, 1}, {"glycine", 5, 5},
	{"n-butane", 2, 2}, {"methyl_radical", 1, 1},
	{"ammonium", 1, 1}, {"acetate", 1, 1}, {"triplet_oxygen", 1, 1}, {"isovaleric_acid", 8, 8},
	{"n-hexane", 16, 16}, {"lactic_acid", 11, 11},
	{"1_2-propanediol", 23, 22}, {"cyclohexanol", 7, 7}, {"alanine", 11, 11},
	{"2-aminoethanol", 15, 15}, {"n-octane", 136, 117},
	{"serine", 35, 35}, {"glycerol", 51, 51},
}

func TestEnsemble(t *testing.T) {
	for _, r := range recordings {
		path := filepath.Join(t.TempDir(), "crest_conformers.xyz")
		if err := os.WriteFile(path, recordedBytes(t, r.name), 0o644); err != nil {
			t.Fatal(err)
		}
		frames, err := Ensemble(path)
		if err != nil || len(frames) != r.frames {
			t.Errorf("%s: %d conformers, %v; want %d", r.name, len(frames), err, r.frames)
			continue
		}
		if !slices.IsSortedFunc(frames, compareEnergy) {
			t.Errorf("%s is not sorted", r.name)
		}
	}
}

func compareEnergy(a, b Frame) int {
	return cmp.Compare(*a.Energy, *b.Energy)
}

// CREST's n-octane is not in order: the test above would mean nothing otherwise.
func TestRecordedEnsembleIsUnsorted(t *testing.T) {
	if slices.IsSortedFunc(recordedFrames(t, "n-octane"), compareEnergy) {
		t.Error("the recorded n-octane is sorted")
	}
}

func TestParseCREST(t *testing.T) {
	const hydrogen = "2\n%\nH 0 0 0\nH 0 0 0.74\n"
	with := func(comments ...string) string {
		var b strings.Builder
		for _, c := range comments {
			b.WriteString(strings.Replace(hydrogen, "%", c, 1))
		}
		return b.String()
	}
	for _, test := range []struct {
		name, text string
		energies   []float64 // of the frames, in order; nil for one frame without energy
		err        string
	}{
		{"3.0", with("        -1.10", "        -1.20"), []float64{-1.2, -1.1}, ""},
		{"2.12", with(" energy: -1.0 gnorm: 0.0002 xtb: 6.5.1 (unknown)",
			" energy: -1.3 gnorm: 0.0001 xtb: 6.5.1 (unknown)"), []float64{-1.3, -1.0}, ""},
		{"2.12 on H2, a blank comment", with(""), nil, ""},
		{"equal energies stay in order", with("-1.0 ! first", "-1.0 ! second"), []float64{-1, -1},
			""},
		{"one of two without energy", with("-1.0", ""), nil, "conformer 2 has no energy"},
		{"energies of nought", with("        0.00000000", "        0.00000000"), nil,
			"conformer 1 has the energy 0 in its comment, which is no total energy"},
		{"memory that nobody wrote", with("-1.0", "6.9E-310"), nil,
			"conformer 2 has the energy 6.9e-310"},
		{"the same with a label", with("energy: -1.0", "energy: 6.9E-310"), nil,
			"conformer 2 has the energy 6.9e-310"},
		{"relative energies", with("-1.0", "0.93"), nil, "conformer 2 has the energy 0.93"},
		{"free energies of CENSO",
			with("G(CENSO)=      -76.40000000  G(xTB)=           0.00300000        !CONF3", "-1.0"),
			nil, "conformer 1 has no energy"},
		{"stars", strings.Replace(with("-1.0"), "0.74", "********", 1), nil, "line 4"},
		{"not a number", strings.Replace(with("-1.0"), "0.74", "NaN", 1), nil, "line 4"},
		{"torn", with("-1.0", "-1.1")[:50], nil, "line"},
		{"empty", "", nil, "empty"},
		{"two molecules", with("-1.0") + "1\n-0.5\nH 0 0 0\n", nil, "other atoms"},
	} {
		t.Run(test.name, func(t *testing.T) {
			frames, err := parseCREST([]byte(test.text))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range test.energies {
				if got := *frames[i].Energy; got != want {
					t.Errorf("energy %d is %g, want %g", i+1, got, want)
				}
			}
			if test.energies == nil && (len(frames) != 1 || frames[0].Energy != nil) {
				t.Errorf("%v, want one frame without energy", frames)
			}
		})
	}
}

func TestEnsembleMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crest_conformers.xyz")
	if _, err := Ensemble(path); err == nil || !strings.HasPrefix(err.Error(),
		path+": no conformers were left") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func FuzzCREST(f *testing.F) {
	for _, name := range []string{"ethanol", "triplet_oxygen"} {
		data, err := os.ReadFile(filepath.Join("testdata", "crest", name+".xyz"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		frames, err := parseCREST(data)
		if (err == nil) != (len(frames) > 0) {
			t.Errorf("%d frames and error %v", len(frames), err)
		}
		if len(frames) > 1 && !slices.IsSortedFunc(frames, compareEnergy) {
			t.Error("not sorted")
		}
	})
}
