package csvmerge

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestStream reads random tables both ways: every cell must be the same.
func TestStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	for seed := range uint64(300) {
		text, _ := randomTable(rand.New(rand.NewPCG(seed, 7)))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		table := mustParse(t, text)
		s, err := OpenStream(path)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for range 2 {
			i := 0
			for ; ; i++ {
				ok, err := s.Next()
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if !ok {
					break
				}
				for _, name := range table.Columns() {
					if got, want := s.Cell(name), table.Cell(i, name); got != want {
						t.Errorf("seed %d, row %d, %q: %+v, want %+v", seed, i, name, got, want)
					}
				}
			}
			if i != table.Len() {
				t.Errorf("seed %d: %d rows, want %d", seed, i, table.Len())
			}
			if err := s.Rewind(); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
	}
}

func TestStreamErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	for text, want := range map[string]string{
		"":                                     path + ": the table is empty; its first line must name the columns, among them mol_id, status, smiles",
		"mol_id,smiles\n":                      path + `:1:1: the table has no column "status" (needed are mol_id, status, smiles); it has: mol_id, smiles`,
		"mol_id,smiles,status\na,\"C\n":        path + `:2:6: extraneous or missing " in quoted-field; mage validate tells more`,
		"mol_id,smiles,status\na,C,\xff\n":     path + ":2:5: the cell is not UTF-8; save the table as CSV UTF-8",
		"mol_id,smiles,status,status\na,C,,\n": path + `:1:22: column "status" is there twice, as number 3 and as number 4; rename or delete one of them`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := OpenStream(path)
		for ok := err == nil; ok; {
			ok, err = s.Next()
		}
		if err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
	if _, err := OpenStream(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file passes")
	}
}

func TestCellValue(t *testing.T) {
	for _, test := range []struct {
		text string
		typ  Type
		want any
	}{
		{" 3.0 ", Integer, int64(3)}, {"+1e-3", Number, 0.001}, {"nan", Number, nil}, {"", Number, nil}, {"complete", StatusType, "OK"}, {" x ", Text, "x"},
	} {
		if got := (Cell{test.text, classify(test.typ, test.text)}).Value(test.typ); got != test.want {
			t.Errorf("%q: %#v, want %#v", test.text, got, test.want)
		}
	}
}

// FuzzStream gives foreign bytes to both readers: what Read accepts, the stream reads too, with the same cells.
func FuzzStream(f *testing.F) {
	f.Add([]byte("\ufeffmol_id,smiles,status,x,x,\r\na,\"C\n\"\r\n\r\nb,,\"\"\"\",1,2,3,4"))
	f.Add([]byte("status,smiles,mol_id\n,C,\"a\"\r"))
	f.Add([]byte("mol_id,smiles,status\na,\"C,\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "t.csv")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		table, err := Read(path)
		if err != nil {
			table = nil
		}
		s, err := OpenStream(path)
		if err != nil {
			if table != nil {
				t.Fatalf("Read accepts it: %v", err)
			}
			return
		}
		defer s.Close()
		for i := 0; ; i++ {
			ok, err := s.Next()
			if table == nil && err != nil {
				return
			}
			if err != nil || (table != nil && ok != (i < table.Len())) {
				t.Fatalf("row %d: %v, %v", i, ok, err)
			}
			if !ok {
				return
			}
			for _, name := range s.Columns() {
				if got := s.Cell(name); table != nil && got != table.Cell(i, name) {
					t.Fatalf("row %d, %q: %+v, want %+v", i, name, got, table.Cell(i, name))
				}
			}
		}
	})
}
