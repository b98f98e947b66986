package store

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const row = 0xfeedface

var key = Key("pipeline", "cells")

// indexed is a store with the molecule mol_1 in its index.
func indexed(t testing.TB) *Store {
	t.Helper()
	s := inMemory(t)
	build(t, molecule(t, s, "mol_1"), "a", print1, "hello")
	note(t, s, s.Index())
	return s
}

// note notes mol_1 when its files are old enough to be believed.
func note(t testing.TB, s *Store, x *Index) {
	t.Helper()
	m := molecule(t, s, "mol_1")
	if _, where := m.find("a", print1); where != Here {
		t.Fatal("the result is not there")
	}
	seen := m.Seen([]string{"a"})
	time.Sleep(time.Until(seen.Newest.Add(25 * time.Millisecond)))
	check(t, x.Note("mol_1", key, row, seen))
	check(t, x.Close())
}

// fresh says whether the index has mol_1 with its key, and its files untouched.
func fresh(s *Store) bool {
	e, ok := s.Index().Entry("mol_1")
	return ok && e.Key == key && e.Row == row && s.Untouched("mol_1", e)
}

func TestIndex(t *testing.T) {
	s := indexed(t)
	if !fresh(s) {
		t.Fatal("what was noted is not known")
	}
	if Key("ab", "c") == Key("a", "bc") {
		t.Error("keys run together")
	}
	x := s.Index()
	other := Key("others")
	check(t, renote(x, "mol_1", other, 7))
	check(t, renote(x, "mol_2", other, 7))
	check(t, x.Close())
	x = s.Index()
	if e, ok := x.Entry("mol_1"); !ok || e.Key != other || e.Row != 7 || !s.Untouched("mol_1", e) {
		t.Errorf("renoted: %+v, %t", e, ok)
	}
	if _, ok := x.Entry("mol_2"); ok {
		t.Error("a molecule that was never noted is known")
	}
	x.Forget("mol_1")
	if _, ok := x.Entry("mol_1"); ok {
		t.Error("forgotten, but known")
	}
}

// Every change of a file is seen, whatever its size and time stamp are.
func TestUntouched(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"touched": func(p string) error { return os.Chtimes(p, time.Now(), time.Now()) },
		"another content, size and time as before": func(p string) error {
			info, err := os.Stat(p)
			check(t, err)
			check(t, os.WriteFile(p, []byte("hellO"), 0o666))
			return os.Chtimes(p, info.ModTime(), info.ModTime())
		},
		"removed": os.Remove,
	} {
		s := indexed(t)
		check(t, change(filepath.Join(s.TargetDir("mol_1", "a"), "out")))
		if fresh(s) {
			t.Errorf("%s: not seen", name)
		}
		e, _ := s.Index().Entry("mol_1")
		m := molecule(t, s, "mol_1")
		if m.Vouch(e) || len(m.Unflushed()) == 0 {
			t.Errorf("%s: vouched for", name)
		}
	}
}

func BenchmarkUntouched(b *testing.B) {
	s := indexed(b)
	e, _ := s.Index().Entry("mol_1")
	for range b.N {
		if !s.Untouched("mol_1", e) {
			b.Fatal("touched")
		}
	}
}

func TestVouch(t *testing.T) {
	s := indexed(t)
	e, _ := s.Index().Entry("mol_1")
	m := molecule(t, s, "mol_1")
	if !m.Vouch(e) || len(m.Unflushed()) > 0 {
		t.Fatalf("not vouched for; %v", m.Unflushed())
	}
	if out := m.Record("a").Outputs["text"]; out.stamp == (stamp{}) {
		t.Error("its files are not taken as verified")
	}
	check(t, m.PutRow(Row{Status: "OK"}))
	if m.Vouch(e) || len(m.Unflushed()) == 0 {
		t.Error("a changed molecule is vouched for")
	}
}

// A file that is younger than the clock's step is not believed; a file that was changed between the
// look at it and the note is not taken for the verified one.
func TestNote(t *testing.T) {
	at := time.Unix(1000, 123456789)
	for _, c := range []struct {
		name        string
		newest, now time.Time
		want        bool
	}{
		{"young", at, at.Add(10 * time.Millisecond), false},
		{"old enough", at, at.Add(30 * time.Millisecond), true},
		{"whole seconds, young", time.Unix(1000, 0), time.Unix(1001, 5e8), false},
		{"whole seconds, old enough", time.Unix(1000, 0), time.Unix(1003, 0), true},
		{"from the future", at.Add(time.Hour), at, false},
	} {
		if got := settled(c.newest, c.now); got != c.want {
			t.Errorf("%s: believed %t, want %t", c.name, got, c.want)
		}
	}
	s := inMemory(t)
	m := molecule(t, s, "mol_1")
	build(t, m, "a", print1, "hello")
	seen := m.Seen([]string{"a", "never recorded"})
	if data, err := json.Marshal(seen); err != nil || len(seen.Files) != 2 {
		t.Errorf("%s, %v", data, err)
	}
	x := s.Index()
	early := seen
	early.Newest = time.Now().Add(time.Second) // too young when seen, settled at the second look
	time.Sleep(30 * time.Millisecond)
	check(t, x.Note("mol_1", key, row, early))
	if _, ok := x.Entry("mol_1"); !ok {
		t.Error("the second look is not believed")
	}
	x.Forget("mol_1")
	path := filepath.Join(s.TargetDir("mol_1", "a"), "out")
	check(t, os.WriteFile(path, []byte("hellO"), 0o666))
	check(t, x.Note("mol_1", key, row, early))
	check(t, x.Note("mol_1", key, row, m.Seen([]string{"a"})))
	check(t, x.Note("mol_1", key, row, Seen{}))
	if _, ok := x.Entry("mol_1"); ok {
		t.Error("an edit was taken for verified")
	}
	check(t, os.WriteFile(path, []byte("hello"), 0o666))
	if why := m.Verify("a", m.Record("a")); why != "" || len(m.Seen([]string{"a"}).Files) != 2 {
		t.Errorf("the edit taken back: %s", why)
	}
	check(t, os.Chtimes(m.path(logName), at, at))
	if len(m.Seen([]string{"a"}).Files) > 0 {
		t.Error("a log that another process touched is taken for verified")
	}
}

// The cache heals by itself: cut at any byte, or with any byte changed, it gives a slow answer,
// not a wrong one.
func TestIndexDamaged(t *testing.T) {
	s := indexed(t)
	path := filepath.Join(t.TempDir(), "tool")
	check(t, os.WriteFile(path, nil, 0o777))
	x := s.Index()
	check(t, x.SetProgram("tool", path, "tool 1.0", nil))
	check(t, x.Close())
	whole, err := os.ReadFile(s.Path(IndexName))
	check(t, err)
	e, _ := s.Index().Entry("mol_1")
	m := molecule(t, s, "mol_1")
	if _, where := m.find("a", print1); where != Here {
		t.Fatal("the result is not there")
	}
	seen := m.Seen([]string{"a"})
	for n := range whole {
		for _, data := range [][]byte{whole[:n], append(append(bytes.Clone(whole[:n]), whole[n]^0x15), whole[n+1:]...)} {
			check(t, os.WriteFile(s.Path(IndexName), data, 0o666))
			x := s.Index()
			for name := range x.values {
				mol, ok := strings.CutPrefix(name, "mol\t")
				if got, _ := x.Entry(mol); ok && (mol != "mol_1" || !reflect.DeepEqual(got, e)) {
					t.Fatalf("byte %d: %q is %+v", n, mol, got)
				}
			}
			if id, ok := x.Program("tool", path); ok && id != "tool 1.0" {
				t.Fatalf("byte %d: program %q", n, id)
			}
			check(t, x.Note("mol_1", key, row, seen))
			check(t, renote(x, "mol_1", key, row+1))
			check(t, renote(x, "mol_1", key, row))
			check(t, x.Close())
			if !fresh(s) || s.Index().replace {
				t.Fatalf("byte %d: not healed:\n%s", n, data)
			}
		}
	}
}

func TestIndexRewritten(t *testing.T) {
	s := indexed(t)
	x := s.Index()
	for n := range uint64(500) {
		check(t, renote(x, "mol_1", key, n))
	}
	check(t, renote(x, "mol_1", key, row))
	check(t, x.Close())
	lines := func() int {
		data, err := os.ReadFile(s.Path(IndexName))
		check(t, err)
		return bytes.Count(data, []byte("\n"))
	}
	if lines() < 500 {
		t.Fatalf("%d lines", lines())
	}
	x = s.Index()
	check(t, renote(x, "mol_1", key, 1))
	check(t, renote(x, "mol_1", key, row))
	check(t, x.Close())
	if lines() > 10 || !fresh(s) {
		t.Errorf("rewritten to %d lines", lines())
	}
}

func FuzzIndex(f *testing.F) {
	f.Add("x", "mol\tm\t00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566ff\tx/../../y")
	f.Add("program\t{}\t{}", "mol\t\t\t\t")
	s := inMemory(f)
	f.Fuzz(func(t *testing.T, a, b string) {
		data := []byte(indexHeader + checked(a) + checked(b))
		check(t, os.WriteFile(s.Path(IndexName), data, 0o666))
		x := s.Index()
		e, _ := x.Entry("m")
		s.Untouched("m", e)
		x.Program("x", "/bin/true")
	})
}

func TestProgram(t *testing.T) {
	s := open(t)
	check(t, s.Make())
	path := filepath.Join(t.TempDir(), "tool")
	module := filepath.Join(t.TempDir(), "module")
	check(t, os.WriteFile(path, []byte("1"), 0o777))
	check(t, os.WriteFile(module, []byte("1"), 0o666))
	x := s.Index()
	check(t, x.SetProgram("tool", path, "tool 1.0", []string{module}))
	check(t, x.Close())
	if id, ok := s.Index().Program("tool", path); !ok || id != "tool 1.0" {
		t.Errorf("identity %q, %t", id, ok)
	}
	check(t, os.WriteFile(module, []byte("22"), 0o666))
	if _, ok := s.Index().Program("tool", path); ok {
		t.Error("a changed module goes unseen")
	}
	readOnly := s.Index()
	readOnly.ReadOnly = true
	before, err := os.ReadFile(s.Path(IndexName))
	check(t, err)
	check(t, readOnly.SetProgram("tool", path, "tool 2.0", nil))
	check(t, readOnly.Close())
	if after, _ := os.ReadFile(s.Path(IndexName)); !bytes.Equal(before, after) {
		t.Error("a read-only index was written")
	}
}

// renote gives a molecule whose files are as they were noted another key and row.
func renote(x *Index, mol string, key [16]byte, row uint64) error {
	e, ok := x.Entry(mol)
	if !ok {
		return nil
	}
	return x.note(mol, Entry{key, row, e.Digest, e.Files})
}
