package store

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
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

// note notes mol_1.
func note(t testing.TB, s *Store, x *Index) {
	t.Helper()
	m := molecule(t, s, "mol_1")
	if _, where := m.find("a", print1); where != Here {
		t.Fatal("the result is not there")
	}
	seen := m.Seen([]string{"a"})
	check(t, x.Note("mol_1", Entry{Key: key, Row: row, Seen: seen}))
	check(t, x.Close())
}

// known says whether the index has mol_1 with its key, and its files untouched.
func known(s *Store) bool {
	e, ok := s.Index().Entry("mol_1")
	return ok && e.Key == key && e.Row == row && s.Untouched("mol_1", e)
}

func TestIndex(t *testing.T) {
	s := indexed(t)
	if !known(s) {
		t.Fatal("what was noted is not known")
	}
	if Key("ab", "c") == Key("a", "bc") {
		t.Error("keys run together")
	}
	x := s.Index()
	other := Key("others")
	e, _ := x.Entry("mol_1")
	check(t, x.Note("mol_1", Entry{Key: other, Row: 7, Seen: e.Seen}))
	check(t, x.Note("mol_2", Entry{Key: other, Row: 7, Seen: e.Seen}))
	check(t, x.Close())
	x = s.Index()
	if e, ok := x.Entry("mol_1"); !ok || e.Key != other || e.Row != 7 || !s.Untouched("mol_1", e) {
		t.Errorf("noted again: %+v, %t", e, ok)
	}
	if _, ok := x.Entry("mol_2"); ok {
		t.Error("a molecule that has no files is known")
	}
}

// Every change of a file is seen, whatever its size and time stamp are.
func TestUntouched(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"touched": func(p string) error { return os.Chtimes(p, time.Now(), time.Now()) },
		"another content at once, of the same size": func(p string) error {
			return os.WriteFile(p, []byte("hellO"), 0o666)
		},
		"another content, size and time as before": func(p string) error {
			// for another change time, where the kernel's clock is coarse
			time.Sleep(25 * time.Millisecond)
			info, err := os.Stat(p)
			check(t, err)
			check(t, os.WriteFile(p, []byte("hellO"), 0o666))
			return os.Chtimes(p, info.ModTime(), info.ModTime())
		},
		"removed": os.Remove,
	} {
		s := indexed(t)
		check(t, change(filepath.Join(s.TargetDir("mol_1", "a"), "out")))
		if known(s) {
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
	if len(m.hashes) != 2 {
		t.Error("its files are not taken as verified")
	}
	check(t, m.PutRow(Row{Status: "OK"}))
	if m.Vouch(e) || len(m.Unflushed()) == 0 {
		t.Error("a changed molecule is vouched for")
	}
}

// A file that shows whole seconds and is younger than two of them is not believed. A file that was
// changed between the look at it and the note is not taken for the verified one.
func TestNote(t *testing.T) {
	s := inMemory(t)
	m := molecule(t, s, "mol_1")
	build(t, m, "a", print1, "hello")
	seen := m.Seen([]string{"a", "never recorded"})
	if data, err := json.Marshal(seen); err != nil || len(seen.Files) != 2 {
		t.Errorf("%s, %v", data, err)
	}
	x := s.Index()
	path := filepath.Join(s.TargetDir("mol_1", "a"), "out")
	second := time.Now().Truncate(time.Second)
	check(t, os.Chtimes(path, second, second))
	if m.Verify("a", m.Record("a")) != "" || len(m.Seen([]string{"a"}).Files) != 2 {
		t.Error("another time stamp alone is a change")
	}
	check(t, x.Note("mol_1", Entry{Key: key, Row: row, Seen: m.Seen([]string{"a"})}))
	if _, ok := x.Entry("mol_1"); ok {
		t.Error("a young file with whole seconds is believed")
	}
	check(t, os.WriteFile(path, []byte("hellO"), 0o666))
	check(t, x.Note("mol_1", Entry{Key: key, Row: row, Seen: seen}))
	check(t, x.Note("mol_1", Entry{Key: key, Row: row, Seen: m.Seen([]string{"a"})}))
	check(t, x.Note("mol_1", Entry{Key: key, Row: row, Seen: Seen{}}))
	if _, ok := x.Entry("mol_1"); ok {
		t.Error("an edit was taken for verified")
	}
	check(t, os.WriteFile(path, []byte("hello"), 0o666))
	if why := m.Verify("a", m.Record("a")); why != "" || len(m.Seen([]string{"a"}).Files) != 2 {
		t.Errorf("the edit taken back: %s", why)
	}
	check(t, os.Chtimes(m.path(logName), second, second))
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
	m := molecule(t, s, "mol_1")
	if _, where := m.find("a", print1); where != Here {
		t.Fatal("the result is not there")
	}
	seen := m.Seen([]string{"a"})
	for n := range whole {
		for _, data := range [][]byte{whole[:n],
			append(append(bytes.Clone(whole[:n]), whole[n]^0x15), whole[n+1:]...)} {
			check(t, os.WriteFile(s.Path(IndexName), data, 0o666))
			x := s.Index()
			if len(x.content.Molecules)+len(x.content.Programs) > 0 {
				t.Fatalf("byte %d: believed", n)
			}
			if n%10 > 0 {
				continue
			}
			check(t, x.Note("mol_1", Entry{Key: key, Row: row, Seen: seen}))
			check(t, x.Close())
			if !known(s) {
				t.Fatalf("byte %d: not healed:\n%s", n, data)
			}
		}
	}
}

// What a batch that is killed has noted for long is in the file.
func TestIndexWritten(t *testing.T) {
	s := indexed(t)
	x := s.Index()
	e, _ := x.Entry("mol_1")
	check(t, x.Note("mol_1", Entry{Key: key, Row: row + 1, Seen: e.Seen}))
	if !known(s) {
		t.Error("written at once")
	}
	x.next = time.Now()
	check(t, x.Note("mol_1", Entry{Key: key, Row: row + 1, Seen: e.Seen}))
	if now, _ := s.Index().Entry("mol_1"); now.Row != row+1 {
		t.Errorf("not written: %+v", now)
	}
}

func FuzzIndex(f *testing.F) {
	s := indexed(f)
	whole, err := os.ReadFile(s.Path(IndexName))
	check(f, err)
	_, rest, _ := bytes.Cut(whole, []byte("\n"))
	f.Add(rest)
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, rest []byte) {
		data := append([]byte(indexHeader(rest)+"\n"), rest...)
		check(t, os.WriteFile(s.Path(IndexName), data, 0o666))
		x := s.Index()
		e, _ := x.Entry("mol_1")
		s.Untouched("mol_1", e)
		x.Program("x", "/bin/true")
	})
}

func TestProgram(t *testing.T) {
	s := open(t)
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
	written, err := os.Stat(s.Path(IndexName))
	check(t, err)
	// a script is asked each time
	check(t, x.SetProgram("tool", path, "tool 1.0", []string{module}))
	check(t, x.Close())
	if info, err := os.Stat(s.Path(IndexName)); err != nil || !os.SameFile(info, written) {
		t.Errorf("written without a change: %v", err)
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
