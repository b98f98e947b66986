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
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _ := imported(t, test.text, test.from)
			if !strings.Contains(got, test.want) {
				t.Errorf("%s\nwant\n%s", got, test.want)
			}
		})
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
