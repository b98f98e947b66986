package store

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestSpares has programs leave files: what is not kept is used again, empty. What is an output, or has another name that someone gave it, or other
// permissions, is not.
func TestSpares(t *testing.T) {
	s := open(t)
	m := empty("m")
	for n, c := range []struct {
		outputs map[string]string
		leave   func(path string) error // beside the stream
		spare   int
	}{
		{nil, func(string) error { return nil }, 1},
		{map[string]string{"log": "stdout"}, func(string) error { return nil }, 0},
		{nil, func(path string) error { return os.WriteFile(path, []byte("some text"), 0o644) }, 2},
		{map[string]string{"other": "left"}, func(path string) error { return os.Link(filepath.Join(filepath.Dir(path), "stdout"), path) }, 0},
		{nil, func(path string) error { return os.WriteFile(path, nil, 0o400) }, 1},
		{nil, func(path string) error { return os.Symlink("stdout", path) }, 1},
	} {
		s.spares.empty = nil
		target := fmt.Sprint("t", n)
		dir, err := s.Scratch("m", target)
		check(t, err)
		f, err := s.Create(filepath.Join(dir, "stdout"), 0o644)
		check(t, err)
		check(t, f.Close())
		check(t, c.leave(filepath.Join(dir, "left")))
		check(t, s.Commit(m, target, dir, Collect(dir, c.outputs, nil), nil, nil, &Record{Fingerprint: print1, Outcome: OK}))
		if got := len(s.spares.empty); got != c.spare {
			t.Errorf("%s: %d spare files, not %d", target, got, c.spare)
		}
		if got := list(t, s.TargetDir("m", target)); len(got) != len(c.outputs) {
			t.Errorf("%s: %v is left", target, got)
		}
		into := filepath.Join(t.TempDir(), "new")
		check(t, s.Reuse(into))
		info, err := os.Lstat(into)
		if (err == nil) != (c.spare > 0) || err == nil && info.Size() > 0 {
			t.Errorf("%s, used again: %v, %v", target, info, err)
		}
	}
}

// TestMostSpare has a program leave more than will be needed.
func TestMostSpare(t *testing.T) {
	s := open(t)
	dir, err := s.Scratch("m", "a")
	check(t, err)
	for n := range mostSpare + 5 {
		check(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), nil, 0o644))
	}
	check(t, s.Commit(empty("m"), "a", dir, Collect(dir, nil, nil), nil, nil, &Record{Fingerprint: print1, Outcome: OK}))
	if got := len(list(t, s.Path(scratchName))); got != mostSpare {
		t.Errorf("%d files are left, not %d", got, mostSpare)
	}
	check(t, s.Sweep())
	check(t, s.Reuse(s.Path("new")))
	if _, err := os.Lstat(s.Path("new")); err == nil || s.spares.empty != nil {
		t.Errorf("after a sweep: %v, %v", err, s.spares.empty)
	}
	s.spares.empty = []string{s.Path("gone")}
	check(t, s.Reuse(s.Path("new")))
}

// TestSpareManifests writes manifests over those that they replaced, shorter ones over longer ones, and over none that a backup holds.
func TestSpareManifests(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("names are exchanged on Linux alone")
	}
	s := open(t)
	path, backup := s.Path("file"), s.Path("backup")
	check(t, os.MkdirAll(s.Root(), 0o755))
	files := map[uint64]bool{}
	for _, text := range []string{"", "the longest of them", "short", "longer"} {
		check(t, s.put(path, []byte(text)))
		got, err := os.ReadFile(path)
		check(t, err)
		if string(got) != text {
			t.Errorf("%q reads as %q", text, got)
		}
		info, err := os.Lstat(path)
		check(t, err)
		files[info.Sys().(*syscall.Stat_t).Ino] = true
	}
	if len(files) > 2 {
		t.Errorf("four writes took %d files", len(files))
	}
	check(t, os.Link(path, backup))
	for _, text := range []string{"one", "two", "three"} {
		check(t, s.put(path, []byte(text)))
	}
	if got, err := os.ReadFile(backup); err != nil || string(got) != "longer" {
		t.Errorf("the backup has %q, %v", got, err)
	}
}
