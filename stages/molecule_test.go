package stages

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withCoords is a frame with other coordinates.
func withCoords(f Frame, change func(coords []float64)) Frame {
	f.Coords = slices.Clone(f.Coords)
	change(f.Coords)
	return f
}

const bonds = "bond 1.30, across 1.15, across-C 1.10, shared-H 1.50"

func frameOf(t *testing.T, file string) Frame {
	t.Helper()
	frame, err := firstFrame("testdata/mol/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// changed is what SameMolecule finds, "" where a geometry is still the molecule.
func changed(t *testing.T, path string, from, to Frame) string {
	t.Helper()
	ok, err := SameMolecule(path, from, to, bonds)
	if ok {
		return ""
	}
	words, found := strings.CutPrefix(err.Error(), "the molecule became another: ")
	if !found {
		t.Error(err)
	}
	return words
}

func TestParseReach(t *testing.T) {
	r, err := ParseReach(bonds)
	if want := (Reach{1.3, 1.15, 1.1, 1.5}); err != nil || r != want {
		t.Errorf("%v, %v", r, err)
	}
	for _, text := range []string{"", "bond 1.3", bonds + ", bond 1.3",
		strings.Replace(bonds, "across-C", "carbon", 1),
		strings.Replace(bonds, "1.30", "one", 1), strings.Replace(bonds, "1.30", "13", 1)} {
		_, err := ParseReach(text)
		wantError(t, err, "reach")
	}
}

func TestBondChanges(t *testing.T) {
	ethanol := frameOf(t, "ethanol_opt.xyz")
	pulled := withCoords(ethanol, func(x []float64) {
		for i := range 3 { // the hydroxyl, O3 and H9, away from the rest
			along := x[6+i] - x[3+i]
			x[6+i] += along
			x[24+i] += along
		}
	})
	near := withCoords(ethanol, func(x []float64) {
		for i := range 3 { // H4 on the far side of C2's H8
			x[9+i] = x[21+i]*1.5 - x[3+i]*0.5
		}
	})
	helium := Frame{Symbols: []string{"He"}, Coords: []float64{0, 0, 0}}
	pair := func(a, b string, d float64) Frame {
		return Frame{Symbols: []string{a, b}, Coords: []float64{0, 0, 0, d, 0, 0}}
	}
	triangle := func(symbol string, across float64) Frame { // two atoms on one carbon
		return Frame{Symbols: []string{"C", symbol, symbol},
			Coords: []float64{0, 0, 0, 1.5, across / 2, 0, 1.5, -across / 2, 0}}
	}
	hydride := func(across float64) Frame {
		f := triangle("H", across)
		f.Symbols[0] = "Al"
		return f
	}
	bridge := func(a, b string, d1, d2 float64) Frame { // a–H…b
		return Frame{Symbols: []string{a, "H", b}, Coords: []float64{0, 0, 0, d1, 0, 0, d1 + d2, 0,
			0}}
	}
	held := func(metal string, d float64) Frame { // by one oxygen, and by another at d
		return Frame{Symbols: []string{"O", metal, "O"}, Coords: []float64{0, 0, 0, 1.9, 0, 0,
			1.9 + d, 0, 0}}
	}
	bonded := func(f Frame, bonds ...Bond) Molecule {
		return Molecule{Symbols: f.Symbols, Bonds: bonds}
	}
	ofFile := func(name string) Molecule {
		m, err := ReadMolecule("testdata/mol/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, test := range []struct {
		name     string
		molecule Molecule
		from, to Frame
		want     string
	}{
		{"the same", ofFile("ethanol.json"), ethanol, ethanol, ""},
		{"an atom", ofFile("helium.json"), helium, helium, ""},
		{"two fragments", bonded(pair("Xe", "Cl", 9)), pair("Xe", "Cl", 9), pair("Xe", "Cl", 8),
			""},
		{"glycine's zwitterion in GFN2-xTB", ofFile("zwitterion.json"),
			withCoords(frameOf(t, "zwitterion_opt.xyz"), func(x []float64) {
				for i := range 3 { // H8 back to N1
					x[21+i] = x[i] - 0.6
				}
			}), frameOf(t, "zwitterion_opt.xyz"), "H8 moved from N1 to O4"},
		{"broken", ofFile("ethanol.json"), ethanol, pulled, "the bond C2–O3 broke (2.82 Å)"},
		{"moved", ofFile("ethanol.json"), ethanol, near, "H4 moved from C1 to H8"},
		{"new", bonded(pair("Xe", "Cl", 9)), pair("Xe", "Cl", 9), pair("Xe", "Cl", 2.5),
			"the bond Xe1–Cl2 formed (2.50 Å)"},
		{"as near before", bonded(pair("Xe", "Cl", 9)), pair("Xe", "Cl", 2.6),
			pair("Xe", "Cl", 2.5), ""},
		{"sodium goes where the charge is", bonded(held("Na", 2.2), Bond{0, 1}), held("Na", 5),
			held("Na", 2.2), ""},
		{"zinc is held by both oxygen atoms", bonded(held("Zn", 2), Bond{0, 1}), held("Zn", 5),
			held("Zn", 2), ""},
		{"boron binds another oxygen atom", bonded(held("B", 1.5), Bond{0, 1}), held("B", 5),
			held("B", 1.5), "the bond B2–O3 formed (1.50 Å)"},
		{"a hydrogen gone from oxygen to zinc", bonded(bridge("O", "Zn", 1, 3), Bond{0, 1}),
			bridge("O", "Zn", 1, 3), bridge("O", "Zn", 2.2, 1.5), "H2 moved from O1 to Zn3"},
		{"across a ring of four or a carbon with two iodines",
			bonded(triangle("I", 3.6), Bond{0, 1}, Bond{0, 2}), triangle("I", 4),
			triangle("I", 3.55), ""},
		{"hydrogen of 0.79 Å on aluminium, as in AlH4⁻ by PM7", bonded(hydride(2.4), Bond{0, 1},
			Bond{0, 2}), hydride(2.4), hydride(0.79), "the bond H2–H3 formed (0.79 Å)"},
		{"a new ring of three", bonded(triangle("O", 2.2), Bond{0, 1}, Bond{0, 2}),
			triangle("O", 2.2), triangle("O", 1.45), "the bond O2–O3 formed (1.45 Å)"},
		{"a proton between two oxygen atoms", bonded(bridge("O", "O", 1, 1.5), Bond{0, 1}),
			bridge("O", "O", 1, 1.5), bridge("O", "O", 1.2, 1.2), ""},
		{"a proton nearer to the other oxygen", bonded(bridge("O", "O", 1, 1.5), Bond{0, 1}),
			bridge("O", "O", 1, 1.5), bridge("O", "O", 1.4, 1.05), ""},
		{"a proton gone to the other oxygen", bonded(bridge("O", "O", 1, 1.5), Bond{0, 1}),
			bridge("O", "O", 1, 1.5), bridge("O", "O", 1.6, 1), "H2 moved from O1 to O3"},
		{"a proton gone from nitrogen to oxygen", bonded(bridge("N", "O", 1, 1.6), Bond{0, 1}),
			bridge("N", "O", 1, 1.6), bridge("N", "O", 1.5, 1), "H2 moved from N1 to O3"},
		{"a strong hydrogen bond", bonded(bridge("N", "O", 1, 1.6), Bond{0, 1}),
			bridge("N", "O", 1, 1.6), bridge("N", "O", 1.2, 1.2), ""},
	} {
		reach, _ := ParseReach(bonds)
		if got, err := test.molecule.BondChanges(test.from, test.to, reach); err != nil ||
			got != test.want {
			t.Errorf("%s: %q, %v, want %q", test.name, got, err, test.want)
		}
	}
}

func TestSameMoleculeRefuses(t *testing.T) {
	ethanol := frameOf(t, "ethanol_opt.xyz")
	swapped := Frame{Symbols: slices.Clone(ethanol.Symbols), Coords: ethanol.Coords}
	swapped.Symbols[2], swapped.Symbols[3] = swapped.Symbols[3], swapped.Symbols[2]
	missing := filepath.Join(t.TempDir(), "no.mol")
	for _, test := range []struct {
		molecule string
		frame    Frame
		words    string
	}{
		{"testdata/mol/glycine.json", ethanol,
			"glycine.json: the geometry before: the molecule has 10 atoms, the geometry 9"},
		{"testdata/mol/ethanol.json", swapped, "atom 3 is O in the molecule, H in the geometry"},
		{"testdata/mol/ethanol.json", Frame{Symbols: ethanol.Symbols},
			"9 atoms have 0 coordinates"},
		{missing, ethanol, missing + ": no such file"},
		{"testdata/mol/ethanol_opt.xyz", ethanol, "ethanol_opt.xyz: "},
	} {
		_, err := SameMolecule(test.molecule, test.frame, test.frame, bonds)
		wantError(t, err, test.words)
	}
	_, err := SameMolecule("testdata/mol/ethanol.json", ethanol, swapped, bonds)
	wantError(t, err, "ethanol.json: atom 3 is O")
}

// chfclbr is bromochlorofluoromethane; hand is 1 or -1.
func chfclbr(hand float64) Frame {
	return Frame{Symbols: []string{"C", "H", "F", "Cl", "Br"},
		Coords: []float64{0, 0, 0, 0, 0, 1.09, 1.3, 0, -0.45, -0.8, hand * 1.45, -0.6, -0.9,
			hand * -1.6, -0.65}}
}

const butene = `12

C  -1.9280000000   0.2330000000   0.0000000000
C  -0.5460000000  -0.3830000000   0.0000000000
C   0.5460000000   0.3830000000   0.0000000000
C   1.9280000000  -0.2330000000   0.0000000000
H  -1.8600000000   1.3230000000   0.0000000000
H  -2.4900000000  -0.0850000000   0.8820000000
H  -2.4900000000  -0.0850000000  -0.8820000000
H  -0.4650000000  -1.4680000000   0.0000000000
H   0.4650000000   1.4680000000   0.0000000000
H   1.8600000000  -1.3230000000   0.0000000000
H   2.4900000000   0.0850000000   0.8820000000
H   2.4900000000   0.0850000000  -0.8820000000
`

func TestStereoChanges(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	trans := frameFrom(t, butene)
	cis := withCoords(trans, func(x []float64) {
		Frame{Symbols: trans.Symbols, Coords: x}.turn(Bond{1, 2}, []int{3, 8, 9, 10, 11}, 180)
	})
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "molecule.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hand := `{"symbols": ["C", "H", "F", "Cl", "Br"], "bonds": [[0, 1], [0, 2], [0, 3], [0, 4]], "stereo": [{"kind": "centre", "atoms": [0, 1, 2, 3, 4], "stated": STATED}]}`
	double := `{"symbols": ["C", "C", "C", "C", "H", "H", "H", "H", "H", "H", "H", "H"],
		"bonds": [[0, 1], [1, 2], [2, 3], [0, 4], [0, 5], [0, 6], [1, 7], [2, 8], [3, 9], [3, 10], [3, 11]],
		"stereo": [{"kind": "double bond", "atoms": [0, 1, 2, 3], "stated": STATED}]}`
	replace := func(text, stated string) string {
		return string(slices.Concat([]byte(text[:len(text)-len("STATED}]}")]),
			[]byte(stated+"}]}")))
	}
	for _, test := range []struct {
		name, molecule string
		from, to       Frame
		want, ifOpen   string
	}{
		{"nothing happened", hand, chfclbr(1), chfclbr(1), "", ""},
		{"moved as a whole", hand, chfclbr(1), moved(chfclbr(1), random, false), "", ""},
		{"inverted", hand, chfclbr(1), chfclbr(-1), "C1 turned inside out", ""},
		{"bonds come first", hand, chfclbr(-1), withCoords(chfclbr(1),
			func(x []float64) { x[5] = 2.5 }), "the bond C1–H2 broke (2.50 Å)",
			"the bond C1–H2 broke (2.50 Å)"},
		{"trans and cis", double, trans, cis, "the double bond C2–C3 turned over", ""},
		{"trans", double, trans, moved(trans, random, false), "", ""},
	} {
		for stated, want := range map[string]string{"true": test.want, "false": test.ifOpen} {
			got := changed(t, file(replace(test.molecule, stated)), test.from, test.to)
			if got != want {
				t.Errorf("%s, stated: %s: %q, want %q", test.name, stated, got, want)
			}
		}
	}
	path := file(replace(hand, "true"))
	ok, err := AnySameMolecule(path, chfclbr(1), []Frame{chfclbr(-1), chfclbr(1)}, bonds)
	if !ok || err != nil {
		t.Errorf("one of two is the molecule: %v, %v", ok, err)
	}
	_, err = AnySameMolecule(path, chfclbr(1), []Frame{chfclbr(-1), chfclbr(-1)}, bonds)
	wantError(t, err, "each of 2 geometries is another molecule: in the first C1 turned inside out")
	for text, words := range map[string]string{
		`{}`:                                    "there is no atom",
		`{"symbols": ["C", "Xx"]}`:              `there is no element "Xx"`,
		`{"symbols": ["C"], "bonds": [[0, 1]]}`: "does not join two of the 1 atoms",
		`{"symbols": ["C", "C"], "bonds": [[1, 1]]}`:                                           "does not join two",
		`{"symbols": ["C", "C"], "stereo": [{"kind": "centre", "atoms": [0, 1]}]}`:             "can't be of 2 atoms",
		`{"symbols": ["C", "C"], "stereo": [{"kind": "double bond", "atoms": [0, 1, -1, 0]}]}`: "can't be of 2 atoms",
		`{"symbols": 1}`: "it is no description of a molecule",
	} {
		_, err := ReadMolecule(file(text))
		wantError(t, err, words)
	}
}

func FuzzMolecule(f *testing.F) {
	f.Add([]byte(`{"symbols": ["C", "H"], "bonds": [[0, 1]], "rotors": [[0, 1]],
		"stereo": [{"kind": "centre", "atoms": [0, 1, 2, 3], "stated": true}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMolecule(data)
		if err != nil || len(m.Symbols) > 100 {
			return
		}
		frame := Frame{Symbols: m.Symbols, Coords: make([]float64, 3*len(m.Symbols))}
		if _, err := m.BondChanges(frame, frame, Reach{1.3, 1.15, 1.1, 1.5}); err != nil {
			t.Fatal(err)
		}
		m.turnedOver(frame, frame, false)
		for _, r := range m.Rotors {
			side(m.neighbours(), r)
		}
	})
}

func TestPerturbed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "molecule.json")
	if err := os.WriteFile(path, []byte(`{"symbols": ["C", "C", "C", "C", "H", "H", "H", "H", "H", "H", "H", "H"],
		"bonds": [[0, 1], [1, 2], [2, 3], [0, 4], [0, 5], [0, 6], [1, 7], [2, 8], [3, 9], [3, 10], [3, 11]], "rotors": [[0, 1], [2, 3]]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	trans := frameFrom(t, butene)
	m, err := ReadMolecule(path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := Perturbed(path, trans, "0.1Å 20° 80° 100%", 1)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Perturbed(path, trans, "0.1Å 20° 80° 100%", 1)
	other, _ := Perturbed(path, trans, "0.1Å 20° 80° 100%", 2)
	if !slices.Equal(first.Coords, again.Coords) || slices.Equal(first.Coords, other.Coords) {
		t.Error("a seed must give one geometry, another seed another")
	}
	for _, b := range m.Bonds {
		if d := first.distance(b[0], b[1]) - trans.distance(b[0], b[1]); math.Abs(d) > 1e-3 {
			t.Errorf("the bond %v is longer by %.4f Å", b, d)
		}
	}
	turned, err := Perturbed(path, trans, "0.000001Å 20° 80° 100%", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, torsion := range [][4]int{{4, 0, 1, 2}, {1, 2, 3, 9}} {
		before := math.Acos(trans.cosTorsion(torsion[0], torsion[1], torsion[2], torsion[3]))
		after := math.Acos(turned.cosTorsion(torsion[0], torsion[1], torsion[2], torsion[3]))
		if degrees := math.Abs(after-before) * 180 / math.Pi; math.Abs(degrees-20) > 0.1 {
			t.Errorf("the torsion %v turned by %.1f degrees, want 20", torsion, degrees)
		}
	}
	if _, err := Perturbed(path, trans, "NaNÅ 20° 80° 100%", 1); err == nil {
		t.Error("NaN Å are taken")
	}
	_, err = Perturbed(path, chfclbr(1), "0.1Å 20° 80° 100%", 1)
	wantError(t, err, "the molecule has 12 atoms, the geometry 5")
}

// TestPerturbedChain checks that five rotors turn by 80 degrees in all.
func TestPerturbedChain(t *testing.T) {
	chain, text := Frame{}, `{"symbols": ["C", "C", "C", "C", "C", "C", "C", "C"], "bonds": [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6], [6, 7]],
		"rotors": [[1, 2], [2, 3], [3, 4], [4, 5], [5, 6]]}`
	for i := range 8 {
		chain.Symbols = append(chain.Symbols, "C")
		chain.Coords = append(chain.Coords, 1.25*float64(i), 0.8*float64(i%2), 0)
	}
	long := filepath.Join(t.TempDir(), "chain.json")
	if err := os.WriteFile(long, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	turned, err := Perturbed(long, chain, "0.000001Å 20° 80° 100%", 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		degrees := math.Acos(turned.cosTorsion(i, i+1, i+2, i+3)) * 180 / math.Pi
		if math.Abs(degrees-164) > 0.1 {
			t.Errorf("the rotor %d of five turned from 180 to %.1f degrees, want 164", i+1, degrees)
		}
	}
}
