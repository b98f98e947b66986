package cli

import (
	"os"
	"strings"
	"testing"
)

func TestArguments(t *testing.T) {
	source, err := os.ReadFile("../../magefile.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ args, want string }{
		{"", ""},
		{"-l", "-l"},
		{"batch", "batch"},
		{"-v -t 5s batch -jobs 2", "-v -t 5s batch -jobs=2"},
		{"batch --jobs=2 -dry-run --max-reruns 3", "batch -jobs=2 -dryRun -maxReruns=3"},
		{"batch -dryRun=false", "batch -dryRun=false"},
		{"batch m1 -dryRun m2 -set x=1", "batch -dryRun -set=x=1 m1 m2"},
		{"Batch validate", "Batch validate"}, // two commands
		{"batch m1 validate", "batch m1 validate"},
		{"setup batch -jobs 2", "setup batch -jobs=2"},
		{"why -set=x=1 m1", "why m1 -set=x=1"},
		{"history m1 m2 -table t.csv", "history -table=t.csv m1 m2"},
		{"why m1 info -count", "why m1 info -count"},
		{"export -format jsonl -out -", "export -format=jsonl -out=-"},
		{"batch -jobs 2 --help", "-h batch"},
		{"bacth", `mage has no command "bacth"; did you mean mage batch? (mage -l lists all)`},
		{"xyzzy", `mage has no command "xyzzy" (mage -l lists all)`},
		{"batch -jbos=2", "mage batch has no flag -jbos; did you mean -jobs? (mage -h batch lists all)"},
		{"info -dryRun", "mage info has no flag -dryRun (mage -h info lists all)"},
		{"batch -jobs", "mage batch: -jobs has no value; write -jobs=VALUE"},
	} {
		out, _, err := arguments(strings.Fields(test.args), string(source))
		got := strings.Join(out, " ")
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("mage %s: %s, want %s", test.args, got, test.want)
		}
	}
}
