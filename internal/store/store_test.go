package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const print1 = "1111111111111111111111111111111111111111111111111111111111111111"

func printN(c string) string { return strings.Repeat(c, 64) }

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "artefacts"))
	check(t, err)
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func molecule(t testing.TB, s *Store, id string) *Molecule {
	t.Helper()
	m, err := s.Molecule(id)
	check(t, err)
	return m
}

// try puts a target with the one output out into a molecule.
func try(m *Molecule, target, print, content string) error {
	dir, err := m.s.Scratch(m.id + "/" + target)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"out": content, "litter": "", "more": "of no use"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	r := &Record{Target: target, Fingerprint: print, Outcome: OK,
		Description: []string{"command = a > b"}}
	return m.Put(r, dir, Collect(dir, map[string]string{"text": "out"}, 1<<30), nil, nil)
}

func build(t testing.TB, m *Molecule, target, print, content string) {
	t.Helper()
	check(t, try(m, target, print, content))
}

// Where says where the files of a result are.
type Where int

const (
	Nowhere Where = iota
	Here          // in the target's place
	Past          // among the earlier results
)

// find is Find with the place of what it finds.
func (m *Molecule) find(target, fingerprint string) (*Record, Where) {
	switch r := m.newest(target, fingerprint); {
	case r == nil:
		return nil, Nowhere
	case r.Found == m.place(target):
		return r, Here
	default:
		return r, Past
	}
}

func list(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestFolderError(t *testing.T) {
	s := open(t)
	var refused *FolderError
	build(t, molecule(t, s, "m"), "a", print1, "one")
	check(t, os.Symlink("a", s.Path("m", "b")))
	if _, err := s.Molecule("m"); !errors.As(err, &refused) ||
		!strings.Contains(err.Error(), "m/b: is a symbolic link") {
		t.Errorf("a link in the folder: %v", err)
	}
	check(t, os.Symlink("m", s.Path("m2")))
	if _, err := s.Molecule("m2"); !errors.As(err, &refused) {
		t.Errorf("a link as the folder: %v", err)
	}
	check(t, os.WriteFile(s.Path("m3"), nil, 0o666))
	if _, err := s.Molecule("m3"); !errors.As(err, &refused) ||
		!strings.Contains(err.Error(), "no folder") {
		t.Errorf("a file as the folder: %v", err)
	}
	check(t, os.MkdirAll(s.Path("m4", logName), 0o777))
	if _, err := s.Molecule("m4"); !errors.As(err, &refused) {
		t.Errorf("a folder as the log: %v", err)
	}
}

func TestSweep(t *testing.T) {
	s := open(t)
	old := time.Now().Add(-31 * 24 * time.Hour)
	for name, stays := range map[string]bool{
		filepath.Base(s.own): false, hostname + "-4194305": false, hostname + "-1": true,
		"other-1": true, "other-2": false, "m1.pm7": true,
	} {
		dir := s.Path(scratchName, name)
		check(t, os.MkdirAll(filepath.Join(dir, "in"), 0o777))
		if name == "other-2" {
			check(t, os.Chtimes(filepath.Join(dir, "in"), old, old))
			check(t, os.Chtimes(dir, old, old))
		}
		check(t, s.Sweep())
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"m.a.1", "m.a.1.2", "m.a.1.3"} {
		dir, err := s.Scratch("m/a/1")
		check(t, err)
		if filepath.Base(dir) != name || list(t, dir) != "" {
			t.Errorf("%s: %s", dir, list(t, dir))
		}
		check(t, os.WriteFile(filepath.Join(dir, "x"), nil, 0o666))
	}
}

// Other users of the machine may not write there, those of the group may.
func TestOursAlone(t *testing.T) {
	s := open(t)
	check(t, os.Mkdir(s.Root(), 0o777))
	for mode, alone := range map[os.FileMode]bool{0o755: true, 0o775: true, 0o777: false,
		os.ModeSticky | 0o777: true} {
		check(t, os.Chmod(s.Root(), mode))
		if err := s.OursAlone(); (err == nil) != alone {
			t.Errorf("%v: %v", mode, err)
		}
	}
}
