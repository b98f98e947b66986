package stages

import (
	"encoding/csv"
	"fmt"
	"os"
	"testing"
)

// TestSMILESAgainstRDKit compares with what RDKit 2022.09.3 counted: the molecules of the sample table, the inputs of the
// recorded CREST runs, and others written in several ways.
func TestSMILESAgainstRDKit(t *testing.T) {
	file, err := os.Open("testdata/smiles_rdkit.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil || len(rows) < 500 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows[1:] {
		smiles, want := row[0], fmt.Sprint(row[1:])
		charge := SMILESCharge(smiles)
		if charge == nil {
			t.Errorf("%s can't be read, RDKit has %s", smiles, want)
			continue
		}
		if got := fmt.Sprint([]any{*Electrons(smiles, *charge), *charge, *Formula(smiles), *HeavyAtoms(smiles), *RotatableBonds(smiles)}); got != want {
			t.Errorf("%s has %s, RDKit %s", smiles, got, want)
		}
	}
}

func TestUnreadableSMILES(t *testing.T) {
	for _, smiles := range []string{
		"", " ", "C C", "C(", "C)", "(C)", "C()C)", "C1", "C11", "C1CC2", "C=1CC#1", "C%1", "C%(1", "C=", "=C", "C==C", ".C", "C.", "C..C", "C(.C)",
		"[", "[]", "[C", "C]", "[CH3", "[Q]", "[U]", "[C++2]", "[C+-]", "[CHx]", "[c1]", "Q", "*", "C~C", "C>>C", "C->[Fe]", "C(C)(C)(C)(C)C", "F=C=F=F", "c1=cc=cc=c1",
		"CCé", "\xff", "[C\xff]", "%", "[13]", "[C:]", "O=Cl=O", "C=(C)C", "C(C=)C", "C1.CC=",
	} {
		if e, q, f := Electrons(smiles, 0), SMILESCharge(smiles), Formula(smiles); e != nil || q != nil || f != nil {
			t.Errorf("%q was read: %v electrons", smiles, *e)
		}
		if !SpinFits(smiles, 0, 2) {
			t.Errorf("%q: an unreadable SMILES fits everything", smiles)
		}
	}
}

func TestSpinFits(t *testing.T) {
	for _, test := range []struct {
		smiles               string
		charge, multiplicity int
		want                 bool
	}{
		{"C", 0, 1, true}, {"C", 0, 2, false}, {"C", 0, 3, true}, {"C", 1, 2, true}, {"C", 1, 1, false}, {"[CH3]", 0, 2, true}, {"[CH3]", 0, 1, false},
		{"O=O", 0, 3, true}, {"CC(=O)[O-]", -1, 1, true}, {"CC(=O)[O-]", 0, 1, false}, {"[H+]", 1, 1, true}, {"[H+]", 2, 1, false}, {"[H]", 0, 2, true},
		{"[H]", 0, 4, false}, {"C", 0, 0, false}, {"C", 0, -1, false},
	} {
		if got := SpinFits(test.smiles, test.charge, test.multiplicity); got != test.want {
			t.Errorf("%s, charge %d, multiplicity %d: %v", test.smiles, test.charge, test.multiplicity, got)
		}
	}
}

func FuzzSMILES(f *testing.F) {
	for _, smiles := range []string{"CC(=O)[O-]", "c1ccc2[nH]ccc2c1", "C%(10)CC%10", "[13C@TH1H2+2:7]/C=C\\F", "[Na+].[Cl-]", "C[N+](=O)[O-]"} {
		f.Add(smiles)
	}
	f.Fuzz(func(t *testing.T, smiles string) {
		electrons, charge, formula := Electrons(smiles, 0), SMILESCharge(smiles), Formula(smiles)
		if (RotatableBonds(smiles) == nil) != (electrons == nil) || (electrons == nil) != (charge == nil) || (charge == nil) != (formula == nil) {
			t.Fatal("read by one and not by the other")
		}
		if electrons != nil && (*electrons < 1 || *formula == "") {
			t.Fatalf("%d electrons, formula %q", *electrons, *formula)
		}
	})
}
