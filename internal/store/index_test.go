package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var files = []string{"manifest.json", "a/out"}

func indexed(t *testing.T) (*Store, [16]byte) {
	t.Helper()
	s := open(t)
	build(t, s, empty("mol_1"), "a", print1, "hello")
	key := Key("pipeline", "cells", "row")
	note(t, s, s.Index(), key)
	return s, key
}

// note notes mol_1 when its files are old enough to be trusted.
func note(t *testing.T, s *Store, x *Index, key [16]byte) {
	t.Helper()
	seen := x.Digest("mol_1", files)
	time.Sleep(time.Until(seen.trusted))
	check(t, x.Note("mol_1", key, "row", files, seen))
	check(t, x.Close())
}

// What was changed between the look at it and the note is not taken for what was verified.
func TestIndexChangedMeanwhile(t *testing.T) {
	s := open(t)
	build(t, s, empty("mol_1"), "a", print1, "hello")
	x, key := s.Index(), Key("pipeline", "cells")
	seen := x.Digest("mol_1", files)
	time.Sleep(time.Until(seen.trusted))
	check(t, os.WriteFile(filepath.Join(s.TargetDir("mol_1", "a"), "out"), []byte("hellO"), 0o644))
	check(t, x.Note("mol_1", key, "row", files, seen))
	check(t, x.Close())
	if s.Index().Fresh("mol_1", key) {
		t.Error("the edit was taken for verified")
	}
}

// Files that are too young when the batch ends are left out, and cost the next batch a look.
func TestIndexTooYoung(t *testing.T) {
	s := open(t)
	build(t, s, empty("mol_1"), "a", print1, "hello")
	x, key := s.Index(), Key("pipeline", "cells")
	seen := x.Digest("mol_1", files)
	seen.trusted = time.Now().Add(time.Second)
	check(t, x.Note("mol_1", key, "row", files, seen))
	check(t, x.Close())
	if s.Index().Fresh("mol_1", key) {
		t.Error("a young file is trusted")
	}
}

// What can be trusted does not wait behind a molecule that was built a moment ago.
func TestIndexYoungAndOld(t *testing.T) {
	s := open(t)
	build(t, s, empty("mol_1"), "a", print1, "hello")
	build(t, s, empty("mol_2"), "a", print1, "hello")
	x, key := s.Index(), Key("pipeline", "cells")
	young, old := x.Digest("mol_2", files), x.Digest("mol_1", files)
	time.Sleep(time.Until(old.trusted))
	young.trusted = time.Now().Add(time.Second)
	check(t, x.Note("mol_2", key, "row", files, young))
	check(t, x.Note("mol_1", key, "row", files, old))
	check(t, x.Close())
	if again := s.Index(); !again.Fresh("mol_1", key) || again.Fresh("mol_2", key) {
		t.Errorf("fresh is mol_1: %t, want true; mol_2: %t, want false", again.Fresh("mol_1", key), again.Fresh("mol_2", key))
	}
}

func TestIndex(t *testing.T) {
	s, key := indexed(t)
	if !s.Index().Fresh("mol_1", key) {
		t.Fatal("what was noted is not fresh")
	}
	if s.Index().Fresh("mol_1", Key("pipeline", "other cells")) || s.Index().Fresh("mol_2", key) {
		t.Error("another key or molecule is fresh")
	}
	if Key("ab", "c") == Key("a", "bc") {
		t.Error("keys run together")
	}
	path := filepath.Join(s.TargetDir("mol_1", "a"), "out")
	now := time.Now()
	check(t, os.Chtimes(path, now, now))
	if s.Index().Fresh("mol_1", key) {
		t.Error("a touched file is fresh without a look")
	}
}

// A file rewritten with its size and its modification time kept is noticed by its change time.
func TestIndexSameSizeAndTime(t *testing.T) {
	s, key := indexed(t)
	path := filepath.Join(s.TargetDir("mol_1", "a"), "out")
	info, err := os.Stat(path)
	check(t, err)
	check(t, os.WriteFile(path, []byte("hellO"), 0o644))
	check(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	if s.Index().Fresh("mol_1", key) {
		t.Error("the edit is not seen")
	}
}

// Where the file system tells writes apart, none that follows a look goes unseen, however soon.
func TestTellsApart(t *testing.T) {
	s := open(t)
	if !tellsApart(s.root) {
		t.Skip("this file system has a coarse clock")
	}
	x := s.Index()
	m := empty("mol_1")
	build(t, s, m, "a", print1, "hello")
	path := filepath.Join(s.TargetDir("mol_1", "a"), "out")
	for n := range 1000 {
		seen := x.Digest("mol_1", files)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		check(t, err)
		_, err = f.WriteAt([]byte("hellO"), 0)
		check(t, err)
		check(t, f.Close())
		if x.Digest("mol_1", files) == seen {
			t.Fatalf("write %d goes unseen", n)
		}
	}
}

// A file that is younger than the clock's step is not trusted: its molecule is looked at again.
func TestSettled(t *testing.T) {
	at := time.Unix(1000, 123456789)
	for _, c := range []struct {
		name   string
		newest time.Time
		coarse bool
		now    time.Time
		want   bool
	}{
		{"young", at, false, at.Add(10 * time.Millisecond), false},
		{"old enough", at, false, at.Add(30 * time.Millisecond), true},
		{"whole seconds, young", time.Unix(1000, 0), true, time.Unix(1001, 5e8), false},
		{"whole seconds, old enough", time.Unix(1000, 0), true, time.Unix(1003, 0), true},
		{"from the future", at.Add(time.Hour), false, at, false},
	} {
		if got := trustedFrom(c.newest, c.coarse).Before(c.now); got != c.want {
			t.Errorf("%s: trusted %t, want %t", c.name, got, c.want)
		}
	}
}

// The cache heals by itself: cut at any byte, or with any byte changed, it gives a slow answer, not a wrong one.
func TestIndexDamaged(t *testing.T) {
	s, key := indexed(t)
	whole, err := os.ReadFile(s.Path(IndexName))
	check(t, err)
	for n := range whole {
		for _, data := range [][]byte{whole[:n], append(append(bytes.Clone(whole[:n]), whole[n]^0x15), whole[n+1:]...)} {
			check(t, os.WriteFile(s.Path(IndexName), data, 0o644))
			x := s.Index()
			_ = x.Fresh("mol_1", key)
			if row := x.Row("mol_1"); row != "row" && x.Fresh("mol_1", Key("pipeline", "cells", row)) {
				t.Fatalf("byte %d: fresh with a row that was never noted: %q", n, row)
			}
			if x.Fresh("mol_1", Key("never noted")) {
				t.Fatalf("byte %d: fresh with a key that was never noted", n)
			}
			note(t, s, x, key)
			if !s.Index().Fresh("mol_1", key) {
				t.Fatalf("byte %d: not healed:\n%s", n, data)
			}
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(indexHeader + "\nfiles\t0\tmanifest.json\tx/../../y\nmol\tm\t00112233445566778899aabbccddeeff\t00112233445566778899aabbccddeeff\t0\nprogram\tx\t{}\n"))
	f.Add([]byte("mol\t\t\t\t"))
	s := &Store{root: f.TempDir()}
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, os.WriteFile(s.Path(IndexName), data, 0o644))
		x := s.Index()
		x.Fresh("m", Key("k"))
		x.Untouched("m")
		x.Program("x", "/bin/true")
	})
}

func TestProgram(t *testing.T) {
	s := open(t)
	path := filepath.Join(t.TempDir(), "tool")
	module := filepath.Join(t.TempDir(), "module")
	check(t, os.WriteFile(path, []byte("1"), 0o755))
	check(t, os.WriteFile(module, []byte("1"), 0o644))
	x := s.Index()
	check(t, x.SetProgram("tool", path, "tool 1.0", []string{module}))
	check(t, x.Close())
	if id, ok := s.Index().Program("tool", path); !ok || id != "tool 1.0" {
		t.Errorf("identity %q, %t", id, ok)
	}
	check(t, os.WriteFile(module, []byte("22"), 0o644))
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
