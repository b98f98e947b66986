package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/magefile/mage/mg"

	"grimperium/csvmerge"
)

func TestWords(t *testing.T) {
	c := shipped(t)
	for _, test := range []struct{ args, words string }{
		{"mage", ""},
		{"mage batch", ""},
		{"batch -only=m1", ""}, // a program of this name
		{"mage batch -dryRun -only=m1", ""},
		{"mage batch m1 m2", "m1 m2"},
		{"mage -v -t 5s Batch -jobs=2 m1", "m1"},
		{"mage batch validate", ""},
		{"mage validate batch Info m1", ""},
		{"mage batch m1 validate", "m1 validate"}, // no molecule, as the table tells
	} {
		_, got, _ := c.arguments(strings.Fields(test.args)[1:]) // Info m1 is an error
		if strings.Join(got, " ") != test.words {
			t.Errorf("%s: %q", test.args, got)
		}
	}
}

func TestSelection(t *testing.T) {
	const rows = "mol_id,status,error_message,smiles\nmol_01,OK,a warning,C\nmol_02,Rerun,bad " +
		"luck,C\nmol_11,Skip,,C\n\"2,4-dimethylpentane\",,old,C\nx[1],,,C\n@home,,,C\n" +
		"by_hand,Running,old,C\n"
	read := func(rows string) *csvmerge.Table {
		path := filepath.Join(t.TempDir(), "t.csv")
		if err := os.WriteFile(path, []byte(rows), 0o644); err != nil {
			t.Fatal(err)
		}
		table, err := csvmerge.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	table := read(rows)
	file := filepath.Join(t.TempDir(), "list.txt")
	text := "\ufeffmol_11\r\n\n\"2,4-dimethylpentane\"\r\n2,4-dimethylpentane\r\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"mol_01":                        "mol_01",
		" mol_11 ,mol_01,mol_11,":       "mol_11 mol_01 mol_11",
		"2,4-dimethylpentane":           "2,4-dimethylpentane",
		`"2,4-dimethylpentane", mol_02`: "2,4-dimethylpentane mol_02",
		"mol_01,2,4-dimethylpentane":    "mol_01 2,4-dimethylpentane",
		"mol_0*":                        "mol_01 mol_02",
		"mol_?1,x[1]":                   "mol_01 mol_11 x[1]",
		"@" + file:                      "mol_11 2,4-dimethylpentane 2,4-dimethylpentane",
		"mol_01,@" + file:               "mol_01 mol_11 2,4-dimethylpentane 2,4-dimethylpentane",
		"@home":                         "@home",
		"failed":                        "mol_02",
		"failed,mol_01":                 "mol_02 mol_01",
		"mol_1":                         `!the table has no molecule "mol_1"; did you mean mol_01?`,
		"MOL_02":                        `!the table has no molecule "MOL_02"; did you mean mol_02?`,
		`"2,4-dimethylpentan"`: `!the table has no molecule "2,4-dimethylpentan"; ` +
			`did you mean 2,4-dimethylpentane?`,
		"entirely different":             `!the table has no molecule "entirely different"`,
		"z*":                             `!the table has no molecule "z*"`,
		"[":                              `!the table has no molecule "["`,
		",":                              "!names no molecule",
		"":                               "!names no molecule", // -only=$NONE
		"@" + filepath.Dir(file) + "/no": "!open ",
	} {
		got, err := selection(text, table)
		shown := strings.Join(got, " ")
		if err != nil {
			shown = "!" + strings.Replace(err.Error(), table.Path()+" ", "", 1)
		}
		if shown != want && !(want == "!open " && strings.HasPrefix(shown, want)) {
			t.Errorf("%s: %s, want %s", text, shown, want)
		}
	}
	_, err := selection("failed", read("mol_id,status,error_message,smiles\na,Skip,,C\n"))
	if err == nil {
		t.Error("failed without a failure: no error")
	}
}

// A missing permission is named with the way out.
func TestPermission(t *testing.T) {
	err := ended(&os.PathError{Op: "open", Path: "pipeline.hcl", Err: syscall.EACCES})
	want := "open pipeline.hcl: permission denied (this user lacks the permission; change that by " +
		"chmod or chown; finished results are safe: fix this and run again)"
	if err.Error() != want || mg.ExitStatus(err) != exitMistake {
		t.Errorf("%d, %v", mg.ExitStatus(err), err)
	}
}
