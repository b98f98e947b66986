package stages

import (
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"testing"
)

// TestSMILESAgainstRDKit compares with what RDKit 2022.09.3 counted. It has the molecules of the
// sample table, the inputs of the recorded CREST runs, and others written in several ways.
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
		smiles, want := row[0], fmt.Sprint(slices.Delete(row[1:], 2, 3)) // without the formula
		m, err := ReadSMILES(smiles)
		if err != nil {
			t.Errorf("%s can't be read, RDKit has %s", smiles, want)
			continue
		}
		got := fmt.Sprint([]any{m.electrons(m.Charge()), m.Charge(), *HeavyAtoms(smiles),
			*RotatableBonds(smiles)})
		if got != want {
			t.Errorf("%s has %s, RDKit %s", smiles, got, want)
		}
	}
}

func TestUnreadableSMILES(t *testing.T) {
	for _, smiles := range []string{
		"", " ", "C C", "C(", "C)", "(C)", "C()C)", "C1", "C11", "C1CC2", "C=1CC#1", "C%1", "C%(1",
		"C=", "=C", "C==C", ".C", "C.", "C..C", "C(.C)",
		"[", "[]", "[C", "C]", "[CH3", "[Q]", "[U]", "[C++2]", "[C+-]", "[CHx]", "[c1]", "Q", "*",
		"C~C", "C>>C", "C->[Fe]", "C(C)(C)(C)(C)C", "F=C=F=F", "c1=cc=cc=c1",
		// an aromatic atom that lacks its hydrogen or its ring
		"c1cccn1", "c1cccc1", "n1cccc1-c1cccc1", "CCCc", "OCCc1CCCCC1", "C:C", "c1ccccc1.c1cccn1",
		"CCé", "\xff", "[C\xff]", "%", "[13]", "[C:]", "O=Cl=O", "C=(C)C", "C(C=)C", "C1.CC=",
	} {
		if m, err := ReadSMILES(smiles); err == nil {
			t.Errorf("%q was read: %d electrons", smiles, m.electrons(0))
		}
		if ok, err := PossibleState(smiles, 0, 2); !ok || err != nil {
			t.Errorf("%q: an unreadable SMILES fits everything, not %v", smiles, err)
		}
	}
}

func TestPossibleState(t *testing.T) {
	for _, test := range []struct {
		smiles               string
		charge, multiplicity int
		want                 string
	}{
		{"C", 0, 1, ""}, {"C", 0, 3, ""}, {"[CH3]", 0, 2, ""}, {"[NH4+]", 1, 1, ""},
		{"c1cccn1", 0, 1, ""}, {"c1cc[nH]c1", 0, 1, ""}, {"OCCc1CCCCC1", 0, 1, ""},
		{"O=O", 0, 3, ""}, {"[H+]", 1, 1, ""}, {"[H]", 0, 2, ""},
		{"C[N+](C)(C)C", 0, 1,
			"43 electrons can't form a singlet. The SMILES has charge +1; the row says 0"},
		{"[NH3+]CC[NH3+]", 0, 1, "the SMILES has charge +2; the row says 0"},
		{"[O-]C=O", 1, 1, "the SMILES has charge -1; the row says +1"},
		{"C", 1, 2, "the SMILES has charge 0; the row says +1"},
		{"[CH3]", 0, 1, "9 electrons can't form a singlet"},
		{"[H]", 0, 4, "1 electrons can't form a quartet"},
		{"C", 0, 2, "10 electrons can't form a doublet"},
		{"C", 0, 0, "10 electrons can't form a state of multiplicity 0"},
		{"C", 0, 8, "10 electrons can't form an octet"},
		{"C", 0, 12, "10 electrons can't form a state of multiplicity 12"},
	} {
		ok, err := PossibleState(test.smiles, test.charge, test.multiplicity)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != test.want || ok != (test.want == "") {
			t.Errorf("%s, charge %d, multiplicity %d: %q, want %q", test.smiles, test.charge,
				test.multiplicity, got, test.want)
		}
	}
}

func TestAromaticSMILES(t *testing.T) {
	for smiles, want := range map[string]int{ // electrons by RDKit
		"c1ccccc1": 42, "c1:c:c:c:c:c:1": 42, "c1ccc(cc1)-c1ccccc1": 82,
		"c1ccc-2c(c1)-c1ccccc-21": 80, "c1ccn(=O)cc1": 50, "[cH-]1cccc1": 36,
		"[cH+]1cccccc1": 48, "c1cc[o+]cc1": 42, "[c]1ccccc1": 41, "[c-]1ccccc1": 42,
		"O=c1cccc[nH]1": 50, "c1nc[n-]n1": 36, "b1ccccc1": 40, "c1ccsc1": 44,
	} {
		if m, err := ReadSMILES(smiles); err != nil {
			t.Errorf("%s can't be read", smiles)
		} else if got := m.electrons(m.Charge()); got != want {
			t.Errorf("%s has %d electrons, want %d", smiles, got, want)
		}
	}
}

func FuzzSMILES(f *testing.F) {
	for _, smiles := range []string{"CC(=O)[O-]", "c1ccc2[nH]ccc2c1", "C%(10)CC%10",
		"[13C@TH1H2+2:7]/C=C\\F", "[Na+].[Cl-]", "C[N+](=O)[O-]"} {
		f.Add(smiles)
	}
	f.Fuzz(func(t *testing.T, smiles string) {
		m, err := ReadSMILES(smiles)
		if (RotatableBonds(smiles) == nil) != (err != nil) ||
			(HeavyAtoms(smiles) == nil) != (err != nil) {
			t.Fatal("read by one and not by the other")
		}
		if err == nil && m.electrons(0) < 1 {
			t.Fatalf("%d electrons", m.electrons(0))
		}
	})
}
