package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"grimperium/internal/durable"
)

// files are the names below the folder .journal.
func files(t *testing.T, path string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(filepath.Dir(path), ".journal"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func everything(t *testing.T, path string) string {
	t.Helper()
	var names []string
	if err := Each(path, func(e Event) { names = append(names, e.Event) }); err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func TestRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	if err := rotate(path, 0); err != nil || everything(t, path) != "" {
		t.Fatal("no journal:", err)
	}
	write(t, path, line("a"))
	if err := Rotate(path); err != nil || len(files(t, path)) > 0 {
		t.Fatal("a short journal:", err, files(t, path))
	}
	for n, name := range []string{"b", "c", "d"} {
		if err := rotate(path, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Error("the journal is still there:", err)
		}
		got := files(t, path)
		for k, file := range got {
			if packed := strings.HasSuffix(file, ".jsonl.zst"); packed != (k < n) {
				t.Errorf("after %d rotations: %q", n+1, got)
			}
		}
		if !slices.IsSorted(got) || len(got) != n+1 {
			t.Errorf("after %d rotations: %q", n+1, got)
		}
		write(t, path, line(name)+`{"event":"torn`)
	}
	if got := everything(t, path); got != "a b c d" {
		t.Errorf("%q is left", got)
	}
}

// Whatever operation fails, or is the last before a power cut, no event is lost or there twice.
func TestRotateFaults(t *testing.T) {
	for at := 1; ; at++ {
		path := filepath.Join(t.TempDir(), "journal.jsonl")
		for _, name := range []string{"a", "b", "c"} {
			write(t, path, line(name))
			if name != "c" {
				if err := rotate(path, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		fault, n := errors.New("fault"), 0
		durable.Fault = func(string, string) error {
			if n++; n == at {
				return fault
			}
			return nil
		}
		err := rotate(path, 0)
		durable.Fault = nil
		if got := everything(t, path); got != "a b c" {
			t.Errorf("fault %d (%v): %q", at, err, got)
		}
		if err == nil {
			break
		}
		if err := rotate(path, 0); err != nil || everything(t, path) != "a b c" {
			t.Errorf("after fault %d: %v, %q", at, err, everything(t, path))
		}
	}
}

// Estimates go on from the file that was moved away last.
func TestPastOfRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	end := Event{Event: TargetEnd, Mol: "m", Stage: "a", Outcome: OK, Seconds: 2}
	if err := errors.Join((Writer{Path: path}).Write(end), rotate(path, 0)); err != nil {
		t.Fatal(err)
	}
	if d, ok := Past(path).Target("a", nil); !ok || d.Seconds() != 2 {
		t.Errorf("%v, %v", d, ok)
	}
}

func TestEachDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	write(t, path, line("a"))
	if err := rotate(path, 0); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(filepath.Dir(path), ".journal", files(t, path)[0])
	if err := os.Rename(name, name+".zst"); err != nil {
		t.Fatal(err)
	}
	err := Each(path, func(Event) {})
	if err == nil || !strings.Contains(err.Error(), name+".zst: is damaged") {
		t.Error(err)
	}
}
