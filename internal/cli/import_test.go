package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"grimperium/internal/formats"
)

// TestImportChoice checks what import says of a file, and what it refuses.
func TestImportChoice(t *testing.T) {
	for _, test := range []struct {
		name, text string
		from       From
		want       string // a part of the error or of the notes
	}{
		{"decimal comma", "smiles,name,H298_cbs\nO,water,-57\nCC,ethane,-20,04\nC,methane,-17,5\n",
			From{}, "error: line 3: the row has 4 cells, but the table 3 columns (2 such rows)."},
		{"no header", "O,water,-57\nCC,ethane,-20,04\n", From{}, "error: line 2: the row has 4 "},
		{"row names", "smiles,name\n1,O,water\n2,C,x\n", From{},
			"name the missing columns in the header"},
		{"blank cells", "smiles,name\nO,water,, ,\n", From{}, "columns smiles, name\n"},
		{"point and comma", "name;smiles;H298_cbs\na;C;-57,8\nb;CC;-1.132\n", From{},
			"error: line 3: column H298_cbs: \"-1.132\" may be -1132 or -1,132, because other cells " +
				"have decimal commas, as -57,8; write it in one of these ways"},
		{"decimal point", "name;smiles;H298_cbs\na;C;-57,8\nb;CC;-11.2\n", From{},
			"-57,8 is written as -57.8"},
		{"letter case", "name,smiles,Multiplicity,multiplicity\na,[CH2],1,3\n", From{},
			"columns Multiplicity, multiplicity have one name: the exact spelling is read, or else " +
				"the first column; the others stay"},
		{"isomers", "canonical_smiles,isomeric_smiles\nCC=CC,C/C=C/C\nCC=CC,C/C=C\\C\n", From{},
			"smiles from the column isomeric_smiles"},
		{"own", "name,smiles,Delta_1,nheavy,status,most_stable_hof,charge\na,C,1,1,ok,-17,0\n", From{},
			"taken as Grimperium's own columns: status, delta_1, most_stable_hof. If another"},
		{"foreign status", "name,smiles,status,reruns\na,C,active,1\n", From{},
			"taken as Grimperium's own columns: reruns. If another"},
		{"kJ", "name,smiles,HF (kJ/mol)\na,C,-74.5\n", From{Reference: "HF (kJ/mol)"},
			"error: column HF (kJ/mol) is not in kcal/mol by its name: convert it first (divide by " +
				"4.184), and name the new column in kcal/mol by -reference"},
		{"eV", "name,smiles,Hf_eV\na,C,-0.8\n", From{Reference: "hf_ev"}, "(multiply by 23.0605)"},
		{"a.u.", "name,smiles,E [a.u.]\na,C,-40\n", From{Reference: "E [a.u.]"},
			"(multiply by 627.5095)"},
		{"hartree", "name,smiles,Hartree\na,C,-40\n", From{Reference: "Hartree"},
			"(multiply by 627.5095)"},
		{"units", "name,smiles,H298_cbs,Units\na,C,-74.5,kJ/mol\n", From{},
			"error: line 2: column Units says kJ/mol, and H298_cbs must be in kcal/mol: convert it " +
				"first (divide by 4.184). If the unit is of another column, rename the column Units"},
		{"kcal", "name,smiles,HF kcal (from kJ),unit\na,C,-17.8,kcal/mol\nb,CC,,kJ\n",
			From{Reference: "HF kcal (from kJ)"}, "columns name, "},
		{"no unit", "name,smiles,Head evaluation,unit\na,C,-17.8,\n",
			From{Reference: "Head evaluation"}, "columns name, "},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _ := imported(t, test.text, test.from)
			if !strings.Contains(got, test.want) {
				t.Errorf("%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// Of columns of one name, the exact spelling is read, and no column is lost.
func TestImportSameNames(t *testing.T) {
	_, im := imported(t, "name,smiles,Multiplicity,multiplicity,x,X,H298_cbs,H298_cbs\n"+
		"a,[CH2],1,3,4,5,6,7\n", From{})
	rows := im.records()
	const header = "mol_id,status,reruns,smiles,multiplicity,charge,nheavy,timestamp_added," +
		"H298_cbs,batch_id,Multiplicity_source,x,X_2,H298_cbs_source"
	if got := strings.Join(rows[0], ","); got != header {
		t.Errorf("%s\nwant\n%s", got, header)
	}
	rows[1][7] = "NOW"
	if got := strings.Join(rows[1], ","); got != "a,Pending,0,[CH2],3,0,1,NOW,6,,1,4,5,7" {
		t.Error(got)
	}
}

// imported is the table of a file, and its error or its columns and notes.
func imported(t *testing.T, text string, from From) (string, *importing) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "theirs.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := formats.Read(t.Context(), path)
	im := &importing{Table: table}
	if err == nil {
		err = im.readHeader()
	}
	if err == nil {
		err = im.choose(from)
	}
	if err != nil {
		return "error: " + strings.TrimPrefix(err.Error(), path), im
	}
	columns := "columns " + strings.Join(im.Names, ", ")
	return columns + "\n" + strings.Join(im.Notes, "\n"), im
}
