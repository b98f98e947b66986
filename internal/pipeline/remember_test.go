package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// counted is a pipeline whose stages each call size_of several times for the same file.
const counted = `
pipeline {
  table = "t.csv"
}
stage "a" {
  command = ["true"]
  outputs = { out = "o" }
  values  = { x = size_of(output.out), y = size_of(output.out) + 1 }
  postcondition {
    condition     = size_of(output.out) < 3
    error_message = "it has ${size_of(output.out)} bytes"
  }
}
stage "b" {
  command = ["true", size_of(stage.a.out), size_of(stage.a.out)]
}
`

// A file is parsed once however often a stage's expressions name it, and again when it may have
// changed.
func TestReadersCalledOnce(t *testing.T) {
	calls := 0
	o := Options{Functions: []Function{{Name: "size_of", Version: 1,
		Fn: func(path string) (int, error) {
			calls++
			data, err := os.ReadFile(path)
			return len(data), err
		}}}}
	p := mustLoad(t, counted, o)
	m, err := p.Molecule(nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "o")
	read := func(content, want string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		calls = 0
		values, err := m.Read(p.Stage("a"), 0, map[string]string{"out": path})
		switch {
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("got %v, want %s", err, want)
		case want == "" && (err != nil || string(values) != fmt.Sprintf(`{"x":%d,"y":%d}`,
			len(content), len(content)+1)):
			t.Errorf("got %s, %v", values, err)
		case calls != 1:
			t.Errorf("called %d times", calls)
		}
	}
	read("1", "")
	read("12", "")
	read("123", "it has 3 bytes")
	read("12", "")
	used := func(content string, want int) {
		t.Helper()
		calls = 0
		task, err := m.Task(p.Stage("b"), 0, 0)
		if err != nil || calls != want || task.Argv[1] != content || task.Argv[2] != content {
			t.Errorf("got %v, %v after %d calls", task, err, calls)
		}
	}
	// Committed, the file is where the next stage finds it: it was read already.
	to := filepath.Join(t.TempDir(), "a")
	if err := os.Rename(filepath.Dir(path), to); err != nil {
		t.Fatal(err)
	}
	m.Set(p.Stage("a"), []Result{{Status: StatusOK,
		Outputs: map[string]Input{"out": {Path: to + "/o"}}}})
	used("2", 0)
	// Another folder in its place: what was read there holds no more.
	for _, err := range []error{os.RemoveAll(to), os.Mkdir(to, 0o755),
		os.WriteFile(to+"/o", []byte("1234"), 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	used("4", 1)
}
