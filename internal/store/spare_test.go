package store

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
)

// TestSpareStreams has programs that are silent: what they did not write is the next one's, unless it is an output, or has another name that someone gave it.
func TestSpareStreams(t *testing.T) {
	s := open(t)
	m := empty("m")
	run := func(target string, outputs map[string]string, link string) (scratch string) {
		t.Helper()
		dir, err := s.Scratch("m", target)
		check(t, err)
		stdout := filepath.Join(dir, StdoutName)
		check(t, s.Streams(stdout))
		f, err := os.OpenFile(stdout, os.O_CREATE|os.O_WRONLY, 0o644)
		check(t, err)
		check(t, f.Close())
		if link != "" {
			check(t, os.Link(stdout, filepath.Join(dir, link)))
		}
		check(t, s.Commit(m, target, dir, Collect(dir, outputs, nil), nil, nil, &Record{Fingerprint: print1, Outcome: OK}))
		return dir
	}
	spare := func() []string { return slices.Clone(s.spares.empty) }

	run("a", nil, "")
	first := spare()
	if len(first) != 1 {
		t.Fatalf("%d spare files after a silent program", len(first))
	}
	run("b", map[string]string{"log": StdoutName}, "")
	if left := spare(); len(left) != 0 {
		t.Errorf("%v is spare, and should be the output of b", left)
	}
	if info, err := os.Lstat(filepath.Join(s.TargetDir("m", "b"), StdoutName)); err != nil || info.Size() != 0 {
		t.Errorf("the empty output: %v", err)
	}
	run("c", map[string]string{"other": "name"}, "name")
	if left := spare(); len(left) != 0 {
		t.Errorf("%v is spare, and an output too", left)
	}
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
