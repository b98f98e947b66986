package stages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func embedded(t *testing.T, smiles string, words ...string) string {
	t.Helper()
	dir, stderr := embedIn(t, smiles, words...)
	if stderr != "" {
		t.Fatalf("embed.py %s: %s", smiles, stderr)
	}
	return dir
}

func embedIn(t *testing.T, smiles string, words ...string) (dir, stderr string) {
	t.Helper()
	script, err := filepath.Abs("embed.py")
	if err != nil {
		t.Fatal(err)
	}
	shipped := []string{"-I", script, "--smiles", smiles, "--charge", "0", "--multiplicity", "1",
		"--seed", "61453", "--open-stereo", "lowest",
		"--isomers", "16", "--embeddings", "300", "--all-embeddings", "1200", "--window",
		"18kcal/mol", "--same", "0.06Å", "--few", "20 0.20Å 100kcal/mol",
		"--displace", "0.05Å", "--time", "300s"} // a later word counts
	cmd := exec.Command(python, append(shipped, words...)...)
	var said bytes.Buffer
	cmd.Dir, cmd.Stderr = t.TempDir(), &said
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1")
	if err := cmd.Run(); err != nil && said.Len() == 0 {
		t.Fatal(err)
	}
	return cmd.Dir, said.String()
}

func TestEmbedHard(t *testing.T) {
	for _, test := range []struct {
		smiles  string
		words   []string
		isomers int
		first   string
	}{
		{"C1C2CC1C2", nil, 1, ""},
		{"C1CC2C1CC2", nil, 1, "C1C[C@H]2CC[C@@H]12"},
		{"C1C2OOC12", nil, 1, ""}, // RDKit's minimiser gives up on some seeds
		{"C1C2C3C1N23", nil, 1, ""},
		{"C12C3C4C1C5C2C3C45", nil, 1, ""},
		{"OC1CCC(O)CC1", nil, 2, ""},
		{"CC(O)C(O)C", nil, 2, ""},
		{"CC(O)C", nil, 1, "CC(C)O"},
		{"CCC(C)O", nil, 1, ""}, // two mirror images
		{"C[C@H](F)C(Cl)Br", nil, 2, ""},
		{"C1CCC/C=C/CC1", nil, 1, "C1=C/CCCCCC/1"},
		{"C1CCC/C=C\\CC1", nil, 1, "C1=C\\CCCCCC/1"},
		{"F/C=C/C=CF", nil, 2, ""},
		{"F[P@](Cl)Br", nil, 1, "F[P@](Cl)Br"},
		{"C[S@](=O)CC", nil, 1, "CC[S@](C)=O"},
		{"C[S@@](=O)CC", nil, 1, "CC[S@@](C)=O"},
		{"FS(F)(F)(F)(F)F", nil, 1, ""},
		{"F[P-](F)(F)(F)(F)F", []string{"--charge", "-1"}, 1, ""},
		{"FP(F)(F)(F)F", nil, 1, ""},
		{"FBr(F)(F)(F)F", nil, 1, ""},
		{"OC1CCC(O)CC1", []string{"--open-stereo", "first"}, 1, ""},
		{"C[N@@]1C[C@H]1C", nil, 1, "C[C@@H]1C[N@]1C"},
		{"C[N@@]1OC1", nil, 1, "C[N@]1CO1"},
		{"C[Sb](C)(C)(C)C", nil, 1, ""},
		{"C[W](C)(C)(C)(C)C", nil, 1, ""},
		{"O=C=[Cr](=C=O)(=C=O)(=C=O)(=C=O)=C=O", nil, 1, ""},
		{"CP=NC", nil, 2, ""},
	} {
		dir := embedded(t, test.smiles, test.words...)
		pool, err := ReadXYZ(filepath.Join(dir, "pool.xyz"))
		if err != nil {
			t.Fatal(err)
		}
		isomers := map[string]bool{}
		for _, f := range pool {
			isomers[f.Isomer] = true
			for i := range f.Symbols {
				for j := range i {
					if f.relative(i, j) < 0.5 {
						t.Errorf("%s: atoms %d and %d lie in one place", test.smiles, j+1, i+1)
					}
				}
			}
		}
		if len(isomers) != test.isomers || test.first != "" && pool[0].Isomer != test.first {
			t.Errorf("%s: %v, want %d, the first %q", test.smiles, isomers, test.isomers,
				test.first)
		}
	}
}

// UFF takes a halogen with two bonds for linear, and pulls the ring apart.
func TestEmbedHalonium(t *testing.T) {
	for smiles, halogen := range map[string]int{"C1C[Br+]1": 2, "C1C[Cl+]1": 2, "C1C[F+]1": 2} {
		f := goldenFrame(t, filepath.Join(embedded(t, smiles, "--charge", "1"), "pool.xyz"), 0)
		for _, b := range []Bond{{0, 1}, {0, halogen}, {1, halogen}} {
			if length := f.relative(b[0], b[1]); length < 0.75 || length > 1.3 {
				t.Errorf("%s: a bond of %.2f times the sum of the radii", smiles, length)
			}
		}
	}
}

// MMFF94s has one minimum about these bonds, GFN2-xTB two or three.
func TestEmbedYlides(t *testing.T) {
	for smiles, want := range map[string]int{"CS(C)=N": 3, "CN=S=NC": 8, "CN=S=O": 2} {
		pool, err := ReadXYZ(filepath.Join(embedded(t, smiles), "pool.xyz"))
		if err != nil || len(pool) < want {
			t.Errorf("%s: %d starting conformers, %v; want %d", smiles, len(pool), err, want)
		}
	}
}

func TestEmbedMirrorImages(t *testing.T) {
	left, right := embedded(t, "N[C@@H](CO)C(=O)O", "--displace", "0Å"),
		embedded(t, "N[C@H](CO)C(=O)O", "--displace", "0Å")
	one, err := ReadXYZ(filepath.Join(left, "pool.xyz"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ReadXYZ(filepath.Join(right, "pool.xyz"))
	if err != nil || len(other) != len(one) {
		t.Fatalf("%d and %d starting conformers, %v", len(one), len(other), err)
	}
	for i, f := range one {
		for k, x := range f.Coords {
			if k%3 == 0 {
				x = -x
			}
			if math.Abs(x-other[i].Coords[k]) > 1e-6 {
				t.Fatalf("starting conformer %d is no mirror image of the other", i+1)
			}
		}
	}
}

func TestEmbed(t *testing.T) {
	type properties struct {
		Canonical string `json:"canonical_smiles"`
		Isomers   []string
		Formula   string
		Natoms    int
		Nheavy    int
		Field     string `json:"force_field"`
		Pool      int
	}
	for _, test := range []struct {
		smiles string
		words  []string
		want   properties
	}{
		{"OCC", nil, properties{"CCO", []string{"CCO"}, "C2H6O", 9, 3, "MMFF94s", 2}},
		{"C", nil, properties{"C", []string{"C"}, "CH4", 5, 1, "MMFF94s", 1}},
		{"[OH]", []string{"--multiplicity", "2"}, properties{"[OH]", []string{"[OH]"}, "HO", 2, 1,
			"MMFF94s", 1}},
		{"O=O", []string{"--multiplicity", "3"}, properties{"O=O", []string{"O=O"}, "O2", 2, 2,
			"UFF", 1}},
		{"[C-]#N", []string{"--charge", "-1"}, properties{"[C-]#N", []string{"[C-]#N"}, "CN-", 2, 2,
			"MMFF94s", 1}},
		{"C/C=C\\C", nil, properties{"C/C=C\\C", []string{"C/C=C\\C"}, "C4H8", 12, 4, "MMFF94s",
			1}},
		{"C[C@@H](N)C(=O)O", nil, properties{"C[C@@H](N)C(=O)O", []string{"C[C@@H](N)C(=O)O"},
			"C3H7NO2", 13, 6, "MMFF94s", 13}},
	} {
		dir := embedded(t, test.smiles, test.words...)
		data, err := os.ReadFile(filepath.Join(dir, "properties.json"))
		if err != nil {
			t.Fatal(err)
		}
		var got properties
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", test.smiles, got, test.want)
		}
		pool, err := ReadXYZ(filepath.Join(dir, "pool.xyz"))
		if err != nil || len(pool) != test.want.Pool {
			t.Errorf("%s: %d starting conformers, %v", test.smiles, len(pool), err)
		}
		lowest, err := ReadXYZ(filepath.Join(dir, "geometry.xyz"))
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range lowest[0].Coords {
			if d := math.Abs(x - pool[0].Coords[i]); d > 0.05 || d == 0 {
				t.Errorf("%s: a coordinate of the first geometry is moved by %g Å, want up to "+
					"0.05", test.smiles, d)
			}
		}
		for i, f := range pool {
			if words := changed(t, filepath.Join(dir, "molecule.json"), f, f); words != "" {
				t.Errorf("%s, member %d: %s", test.smiles, i+1, words)
			}
		}
	}
}

func TestEmbedRefuses(t *testing.T) {
	for _, test := range []struct {
		smiles string
		words  []string
		want   string
	}{
		{"CCO", []string{"--window", "18"}, "embed.py: argument --window: '18' must be Nkcal/mol"},
		{"CCO", []string{"--few", "20 0.2Å"},
			"embed.py: argument --few: '20 0.2Å' must be N NÅ Nkcal/mol"},
		{"CCO", []string{"--isomers", "0"},
			"embed.py: argument --isomers: '0' must be a whole number from 1 on"},
		{"CCO", []string{"--widnow", "18kcal/mol"},
			"embed.py: unrecognized arguments: --widnow 18kcal/mol"},
		{"CCO", []string{"--open-stereo", "both"}, "embed.py: argument --open-stereo: invalid " +
			"choice: 'both' (choose from 'lowest', 'first', 'refuse')"},
		{"CC(", nil, "RDKit can't read the SMILES 'CC(':"},
		{"CC(C)(C)(C)C", nil, "RDKit can't read the SMILES 'CC(C)(C)(C)C': atom 2 (C) has 5 " +
			"bonds, more than it can have"},
		{"F[Al](F)(F)F[Na]", nil, "atom 5 (F) has 2 bonds, more than it can have; write a " +
			"halogen between two atoms as in F[Al-](F)(F)[F+][Na]"},
		{"", nil, "the SMILES is empty"},
		{"C.C", nil, "2 separate parts"},
		{"CC=CC", []string{"--open-stereo", "refuse"},
			"the SMILES leaves open which of 2 stereoisomers is meant"},
		{"C[C@]12C[C@@]3(C)C[C@](C)(C1)C[C@](C)(C2)C3", nil,
			"RDKit builds no geometry of this molecule with the stereo that the SMILES states"},
		{"*C", nil, "atom of no element"},
		{"[U]", nil, "GFN2-xTB ends at Rn"},
		{"[Rn]", nil, "has Rn, for which PM7 has no parameters"},
		{"[NH4+]", nil,
			"11 electrons can't form a singlet. The SMILES has charge +1; the row says 0"},
		{"CC", []string{"--charge", "-2"}, "the SMILES has charge 0; the row says -2"},
		{"[CH3]", nil, "9 electrons can't form a singlet"},
		{"c1cccn1", nil, "an aromatic N lacks its H; write [nH] for n, as c1cc[nH]c1"},
		{"C1CC", nil, "unclosed ring: the ring closure 1 stands only once"},
		{"CC[Xx]", nil, "[Xx] is no atom of an element"},
		{"CCc", nil, "atom 3 (c) is written as aromatic, in a small letter, and is in no ring"},
		{"c", nil, "atom 1 (c) is written as aromatic, in a small letter, and is in no ring"},
		{"[si].c", nil, "atom 1 (si) is written as aromatic, in a small letter, and is in no ring"},
		{"C~C", nil, "the SMILES 'C~C' has the bond '~', which says no order; write -, = or #"},
		{"[CH2]:[CH2]", nil, "has the bond ':', which says no order; write -, = or #"},
		{"CO>>CC", nil, "'>' stands in reactions, and a row is one molecule"},
		{"64-17-5", nil, "it is a CAS number"},
		{"CC==O", nil, "the sign = has no atom on one of its sides"},
		{"SiC", nil, "'i' is no sign of a SMILES outside of brackets"},
		{"CC O", nil, "the SMILES has U+0020 as character 3"},
		{"C" + strings.Repeat("C", 90), nil, "275 atoms, at most 250"},
	} {
		dir, said := embedIn(t, test.smiles, test.words...)
		if !strings.Contains(said, test.want) || strings.Count(said, "\n") != 1 {
			t.Errorf("%s: %q, want one line with %q", test.smiles, said, test.want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%s: files are left: %v, %v", test.smiles, left, err)
		}
	}
}

func TestEmbedCheck(t *testing.T) {
	script, err := filepath.Abs("embed.py")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		smiles               string
		charge, multiplicity int
		exit                 int
		want                 string // the error, or the warnings
	}{
		{"CCO", 0, 1, 0, ""},
		{"CC(=O)O[Na]", 0, 1, 0, ""},
		{"[Rn]", 0, 1, 3, "has Rn, for which PM7 has no parameters"},
		{"[Yb]", 0, 1, 3, "has Yb, for which PM7 has no parameters"},
		{"[Xe]", 0, 1, 0, ""},
		{"[Na+].[Cl-]", 0, 1, 3, "2 separate parts, and a row is one molecule; give each part a " +
			"row, or write an ion pair with a bond"},

		{"[CH2]", 0, 1, 0, ""}, {"[CH2]", 0, 3, 0, ""}, {"F[C]F", 0, 1, 0, ""},
		{"C[N]", 0, 1, 0, ""}, {"[C]", 0, 5, 0, ""}, {"[O]", 0, 3, 0, ""}, {"O=O", 0, 3, 0, ""},
		{"[O][O]", 0, 3, 0, ""}, {"[N]=O", 0, 2, 0, ""}, {"[O-][O]", -1, 2, 0, ""},
		{"C[Hg]C", 0, 1, 0, ""},
		{"C=C", 0, 3, 0, "the SMILES has no unpaired electrons; multiplicity 3 means 2"},
		{"[CH2]C[CH2]", 0, 1, 0, "the SMILES has 2 unpaired electrons; multiplicity 1 means 0"},
		{"[C:1][C:2][O:3]", 0, 1, 0, "the SMILES has 6 unpaired electrons; multiplicity 1 means " +
			"0; the SMILES has atom-map numbers and no hydrogens, which must be written in " +
			"brackets, as [CH3:1]"},

		{"C1CC/C=C/C1", 0, 1, 0, "the double bond C4=C5 is written as E (trans) in a ring of 6 " +
			"atoms, and RDKit keeps none below 8"},
		{"C1CC/C=C\\C1", 0, 1, 0, ""}, {"C/1=C/CCCC1", 0, 1, 0, ""},
		{"C/1=C\\CCCC1", 0, 1, 0, "the double bond C1=C2 is written as E (trans) in a ring of 6 " +
			"atoms, and RDKit keeps none below 8"},
		{"C1CCC/C=C/CC1", 0, 1, 0, ""},
		{"C/C1=C/CCCC1", 0, 1, 0, ""}, {"C/C1=C\\CCCC1", 0, 1, 0, "the double bond C2=C3 is " +
			"written as E (trans) in a ring of 6 atoms, and RDKit keeps none below 8"},
		{"C/C=C=C=C/C", 0, 1, 0,
			"the stereo of the cumulated double bonds C2=C3=C4=C5 is left out: RDKit keeps none"},
		{"CC=[C@]=CC", 0, 1, 0,
			"the mark @ at atom 3 (C) is left out: RDKit keeps no stereo of allenes"},
		{"C[C@H](C)O", 0, 1, 0,
			"the mark @ at atom 2 (C) is left out: RDKit sees no stereo centre there"},
		{"C[C@H](N)C(=O)O", 0, 1, 0, ""},

		{"CC(O)F", 0, 1, 0, "the SMILES leaves 1 stereo centre open"},
		{"OC1CCC(O)CC1", 0, 1, 0, "the SMILES leaves 2 stereo centres open"},
		{"O=CC=CO", 0, 1, 0, "the SMILES leaves 1 double bond open"},
		{"OC(F)C=CC", 0, 1, 0, "the SMILES leaves 1 stereo centre and 1 double bond open"},
		{"C1C2CC1C2", 0, 1, 0, ""}, {"C12C3C4C1C5C2C3C45", 0, 1, 0, ""},
		{"C1CC2CCC1C2", 0, 1, 0, ""}, {"CC=C=CC", 0, 1, 0, ""},
		{"[AsH3]", 0, 1, 0, ""}, {"[as]1ccccc1", 0, 1, 0, ""},
		{"CC[As](C)F", 0, 1, 0, "the SMILES leaves 1 stereo centre open"},
	}
	var questions, said bytes.Buffer
	for _, c := range cases {
		words := []string{script, "--check", "--smiles=" + c.smiles,
			fmt.Sprintf("--charge=%d", c.charge), fmt.Sprintf("--multiplicity=%d", c.multiplicity)}
		err := json.NewEncoder(&questions).Encode(map[string]any{"dir": t.TempDir(), "args": words})
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(python, "-I", script, "--serve")
	cmd.Stdin, cmd.Stdout = &questions, &said
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	replies := json.NewDecoder(&said)
	for _, c := range cases {
		var r struct {
			Exit     int
			Error    string
			Warnings []string
		}
		if err := replies.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if got := r.Error + strings.Join(r.Warnings, "; "); r.Exit != c.exit ||
			!strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s, charge %d, multiplicity %d: exit %d, %q; want %d, %q", c.smiles, c.charge,
				c.multiplicity, r.Exit, got, c.exit, c.want)
		}
	}
}

// Random embeddings of a long chain are all curled up. The extended conformer is the lowest by PM7:
// of n-dodecane by 0.4 kcal/mol, of hexadecane by 1.3.
func TestLongChain(t *testing.T) {
	for smiles, extended := range map[string]float64{"CCCCCCCCCCCC": 13.9, "CCCCCCOCCCCCO": 13.9} {
		dir, longest := embedded(t, smiles), 0.0
		pool, err := ReadXYZ(filepath.Join(dir, "pool.xyz"))
		if err != nil {
			t.Fatal(err)
		}
		heavy := strings.Count(smiles, "C") + strings.Count(smiles, "O")
		for _, f := range pool {
			longest = max(longest, f.distance(0, heavy-1))
		}
		if longest < extended {
			t.Errorf("%s: the longest of %d starting conformers measures %.1f Å, want %.1f", smiles,
				len(pool), longest, extended)
		}
	}
}

// Two groups turn against each other about an axis of linear atoms. Cumulated double bonds do not
// turn. A methyl group turns into nothing else.
func TestLinearAxes(t *testing.T) {
	for smiles, want := range map[string]int{"OCC#CCO": 1, "OCC#CC#CCO": 1, "N[Mg]N": 1,
		"C=CC#CC=C": 1, "OCC#CCC#CCO": 2, "CC#CCO": 0, "C#CCO": 0, "FC=C=CF": 0, "O=C=C=C=O": 0,
		"C1CCCC#CCC1": 0} {
		m, err := ReadMolecule(filepath.Join(embedded(t, smiles), "molecule.json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Rotors) != want {
			t.Errorf("%s: rotors %v, want %d", smiles, m.Rotors, want)
		}
	}
}

// TestExhausted checks the warning of starting conformers that are not exhausted.
func TestExhausted(t *testing.T) {
	const missing = "conformers are missing: "
	for smiles, want := range map[string]bool{"CCCCCCCCCCCC": true, "CCCCCC": false,
		"OCC(O)CO": false, "C": false,
		"CC1CC12NN2C": false} {
		text := string(read(t, filepath.Join(embedded(t, smiles), "properties.json")))
		if strings.Contains(text, missing) != want {
			t.Errorf("%s: warned %t, want %t\n%s", smiles, !want, want, text)
		}
	}
}
