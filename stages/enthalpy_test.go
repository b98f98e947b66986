package stages

import (
	"encoding/csv"
	"os"
	"strconv"
	"testing"
)

// Heats of formation, kcal/mol at 298.15 K: NIST-JANAF and ATcT; the strongest and the weakest
// bonds, and the ions.
func TestEnthalpyRange(t *testing.T) {
	for _, test := range []struct {
		smiles string
		charge int
		hof    float64
	}{
		{"F", 0, -65.3}, {"FC(F)(F)F", 0, -223.3}, {"FS(F)(F)(F)(F)F", 0, -291.7},
		{"F[Si](F)(F)F", 0, -386.0}, {"FB(F)F", 0, -271.4}, {"O=S(=O)(O)O", 0, -175.7},
		{"O=C=O", 0, -94.05}, {"O", 0, -57.8}, {"[C-]#[O+]", 0, -26.4}, {"N#N", 0, 0},
		{"[H][H]", 0, 0}, {"FF", 0, 0}, {"OO", 0, -32.5}, {"I", 0, 6.3}, {"II", 0, 14.9},
		{"[NH]", 0, 85.3}, {"[CH]", 0, 142.4}, {"[C]#[C]", 0, 200.2}, {"[CH]=O", 0, 10.0},
		{"[O]O", 0, 2.9}, {"[OH]", 0, 8.9}, {"[H]", 0, 52.1}, {"N#CC#N", 0, 73.8},
		{"[N]=[N+]=[N-]", 0, 99},
		{"C12C3C4C1C5C2C3C45", 0, 144}, {"[NH4+]", 1, 150}, {"[H+]", 1, 365.7},
		{"[Cl-]", -1, -54.4}, {"[F-]", -1, -59.4}, {"[OH-]", -1, -32.7}, {"C", 0, -17.8},
		{"FP(F)(F)(F)F", 0, -381.1},
	} {
		low, high, ok := enthalpyRange(test.smiles, test.charge)
		if !ok || test.hof < low || test.hof > high {
			t.Errorf("%s: %g is not in %g to %g (%v)", test.smiles, test.hof, low, high, ok)
		}
	}
	for _, test := range []struct {
		smiles string
		hof    float64
	}{{"C", -7230}, {"C", 7230}, {"CCO", -7230}, {"CCCCCCCCCC", 7230}, {"CCCCCCCCCC", -7230},
		{"c1ccccc1", 7230}, {"C", -25400}, {"CC(=O)O", 5000}} {
		if low, high, ok := enthalpyRange(test.smiles, 0); !ok || test.hof >= low &&
			test.hof <= high {
			t.Errorf("%s: %g is in %g to %g (%v)", test.smiles, test.hof, low, high, ok)
		}
	}
	for _, smiles := range []string{"[Fe]", "not a smiles", "", "C("} {
		if _, _, ok := enthalpyRange(smiles, 0); ok {
			t.Errorf("%q has bounds", smiles)
		}
	}
}

func enthalpyRange(smiles string, charge int) (low, high float64, ok bool) {
	m, err := ReadSMILES(smiles)
	if err != nil {
		return 0, 0, false
	}
	return m.EnthalpyRange(charge)
}

// The 57 molecules of the shipped table: heavy atoms counted rightly, references within the bounds.
func TestShippedMolecules(t *testing.T) {
	f, err := os.Open("../testdata/molecules.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 58 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, r := range rows[1:] {
		charge, _ := strconv.Atoi(r[5])
		hof, err := strconv.ParseFloat(r[8], 64)
		if err != nil {
			t.Fatal(err)
		}
		if low, high, ok := enthalpyRange(r[3], charge); !ok || hof < low || hof > high {
			t.Errorf("%s: %g is not in %g to %g", r[3], hof, low, high)
		}
		if m, err := ReadSMILES(r[3]); err != nil || strconv.Itoa(m.Heavy()) != r[6] {
			t.Errorf("%s: %d heavy atoms, want %s", r[3], m.Heavy(), r[6])
		}
	}
}

func TestMultiplicity(t *testing.T) {
	for smiles, want := range map[string]int{"C": 1, "[CH3]": 2, "[NH4+]": 1, "O=O": 3, "S=O": 3,
		"OO": 1, "C=O": 1,
		"[O-][N+]=O": 2, "[C-]#N": 1, "O=C=O": 1} {
		m, err := ReadSMILES(smiles)
		if err != nil || m.Multiplicity() != want {
			t.Errorf("%s: %d, %v, want %d", smiles, m.Multiplicity(), err, want)
		}
	}
}
