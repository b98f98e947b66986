package pipeline

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withThreads loads a pipeline with a variable threads.
func withThreads(t *testing.T, text, set string) (*Pipeline, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipeline.hcl")
	data := []byte("variable \"threads\" { default = 1 }\n" + text)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(path, Options{Set: set})
}

func TestIgnoreChanges(t *testing.T) {
	const good = `
stage "a" {
  file "input" { content = "nproc ${ignore_changes(var.threads)}\ncharge 0\n" }
  command = ["crest", "input", "-T", ignore_changes(var.threads), "--threads=${ignore_changes(var.threads)}x"]
  env     = { N = ignore_changes(var.threads), M = "m" }
  cores   = var.threads
}
`
	var seen []*Task
	for _, set := range []string{"", "threads=4"} {
		p, err := withThreads(t, good, set)
		if err != nil {
			t.Fatal(err)
		}
		m, err := p.Molecule(nil)
		if err != nil {
			t.Fatal(err)
		}
		task, err := m.Task(p.Stage("a"), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, task)
	}
	one, four := seen[0], seen[1]
	want := []string{"crest", "input", "-T", "4", "--threads=4x"}
	if !slices.Equal(four.Argv, want) {
		t.Errorf("the program gets %q, want %q", four.Argv, want)
	}
	want = []string{"crest", "input", "-T", "(any)", "--threads=(any)x"}
	if !slices.Equal(four.HashedArgv, want) {
		t.Errorf("the fingerprint has %q, want %q", four.HashedArgv, want)
	}
	if want := []string{"M=m", "N=4"}; !slices.Equal(four.Env, want) {
		t.Errorf("the environment is %q, want %q", four.Env, want)
	}
	if got := string(four.Files[0].Content); got != "nproc 4\ncharge 0\n" {
		t.Errorf("the file is %q", got)
	}
	if !slices.Equal(one.HashedArgv, four.HashedArgv) ||
		!slices.Equal(one.HashedEnv, four.HashedEnv) ||
		one.Files[0].SHA256 != four.Files[0].SHA256 {
		t.Error("another number of threads is another fingerprint")
	}

	for _, wrong := range []struct{ name, text, words string }{
		{"the program", `stage "a" { command = [ignore_changes("crest")] }`, "Unsuitable command"},
		{"a value", `stage "a" { values = { n = ignore_changes(1) } }`, "Function out of place"},
		{"a local value", "locals { n = ignore_changes(1) }\nstage \"a\" { command = [\"true\"] }",
			"Function out of place"},
		{"an output", `stage "a" { command = ["true"]` + "\n" +
			` outputs = { o = ignore_changes("o") } }`, "Function out of place"},
		{"nothing", `stage "a" { command = ["true", ignore_changes(null)] }`,
			"Error in function call"},
		{"a list", `stage "a" { command = ["true", ignore_changes([1])] }`,
			"Invalid function argument"},
	} {
		text := strings.ReplaceAll(strings.ReplaceAll(wrong.text, "{ command", "{\n command"),
			"] }", "]\n}")
		text = strings.ReplaceAll(text, `("o") } }`, "(\"o\") }\n}")
		text = strings.ReplaceAll(text, "{ values = { n = ignore_changes(1) } }",
			"{\n values = { n = ignore_changes(1) }\n}")
		_, err := withThreads(t, text, "")
		if err == nil || !strings.Contains(err.Error(), wrong.words) {
			t.Errorf("%s: %v, want %q", wrong.name, err, wrong.words)
		}
	}
}
