package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

func TestTidy(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	dir, err := s.Scratch("m/a")
	check(t, err)
	check(t, os.MkdirAll(filepath.Join(dir, "sub", "deep"), 0o777))
	for name, text := range map[string]string{
		"a.out": "the output", "a.log": "some words", "empty.log": "", "a.tmp": "x",
		"sub/b.out": "more", "sub/deep/c": "y", "sub/k": "z",
	} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	c := Collect(dir, map[string]string{"a": "a.out", "b": "sub/b.out"}, 1<<30)
	check(t, m.Put(&Record{Target: "a", Fingerprint: print1, Outcome: OK}, dir, c,
		[]string{"*.log", "sub/k"}, []string{"a.*"}))
	got := list(t, s.TargetDir("m", "a")) + "; " + list(t, s.TargetDir("m", "a/sub"))
	if got != "a.log.zst a.out.zst sub; b.out k" {
		t.Errorf("kept: %s", got)
	}
	m = molecule(t, s, "m")
	if r, where := m.find("a", print1); where != Here ||
		stored(s.TargetDir("m", "a"), "a.out") != "a.out.zst" {
		t.Errorf("found: %+v, %d", r, where)
	}
}

func TestVerify(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	build(t, m, "a", print1, "hello")
	path := filepath.Join(s.TargetDir("m", "a"), "out")
	check(t, os.WriteFile(path, []byte("hellO"), 0o666))
	if why := m.Verify("a", m.Record("a")); why != "output text (out) was changed by another hand" {
		t.Error(why)
	}
	build(t, m, "a", print1, "hello") // the next result puts the edited file aside
	found, err := filepath.Glob(s.Path("m", "a.out.edited-*"))
	check(t, err)
	if len(found) != 1 {
		t.Errorf("the edited file is at %v", found)
	}
	check(t, os.Remove(path))
	if why := m.Verify("a", m.Record("a")); why != "output text (out) is missing" {
		t.Error(why)
	}
}

func TestUnflushed(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	if got := m.Unflushed(); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	build(t, m, "b/1", print1, "one")
	want := []string{".", "m", "m/b", "m/b/1", "m/b/1/out", "m/manifest.jsonl"}
	same := func() {
		t.Helper()
		var got []string
		for _, path := range m.Unflushed() {
			rel, err := filepath.Rel(s.root, path)
			check(t, err)
			got = append(got, rel)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("unflushed: %v, want %v", got, want)
		}
	}
	same()
	check(t, m.Flush())
	if got := m.Unflushed(); got != nil {
		t.Errorf("after Flush: %v", got)
	}
	check(t, m.Append(&Record{Target: "a", Fingerprint: print1, Outcome: Failed}))
	want = []string{".", "m", "m/manifest.jsonl"}
	same()
	m = molecule(t, s, "m") // perhaps of a batch that was killed
	want = []string{".", "m", "m/b", "m/b/1", "m/b/1/out", "m/manifest.jsonl"}
	same()
	check(t, durable.Sync(append(m.Unflushed(), s.Path("gone"))...))
	check(t, durable.Sync(slices.Repeat(m.Unflushed(), 150)...))
}

func TestCollect(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		leave func(path string) error
		want  string // of the error
	}{
		"file":    {func(p string) error { return os.WriteFile(p, []byte("x"), 0o666) }, ""},
		"missing": {func(string) error { return nil }, "output o: missing was not written"},
		"link":    {func(p string) error { return os.Symlink("file", p) }, "a symbolic link"},
		"folder":  {func(p string) error { return os.Mkdir(p, 0o777) }, "a folder"},
		"pipe":    {func(p string) error { return unix.Mkfifo(p, 0o666) }, "a named pipe"},
	} {
		check(t, c.leave(filepath.Join(dir, name)))
		err := Collect(dir, map[string]string{"a": "never", "o": name}, 1<<30).Err
		if name == "missing" || name == "file" {
			err = Collect(dir, map[string]string{"o": name}, 1<<30).Err
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, os.ErrNotExist) != (name == "missing") {
			t.Errorf("%s: missing? %v", name, err)
		}
		sum, err := Hash(strings.NewReader("x"))
		check(t, err)
		if SameContent(filepath.Join(dir, name), sum) != (name == "file") {
			t.Errorf("%s: the same content?", name)
		}
	}
}

// A program hides what it leaves, from this process and from others of the group.
func TestShare(t *testing.T) {
	above := t.TempDir()
	check(t, os.Chmod(above, 0o775))
	dir, others := filepath.Join(above, "m.a"), filepath.Join(above, "others")
	check(t, os.MkdirAll(filepath.Join(dir, "sub/deep"), 0o777))
	files := map[string][2]os.FileMode{ // before and after, in octal
		"none": {0, 0o664}, "own": {0o600, 0o664}, "run": {0o700, 0o764}, "sub/deep/x": {0, 0o664}}
	for name, modes := range files {
		check(t, os.WriteFile(filepath.Join(dir, name), nil, 0o666))
		check(t, os.Chmod(filepath.Join(dir, name), modes[0]))
	}
	check(t, os.WriteFile(others, nil, 0o666))
	check(t, os.Chmod(others, 0o600))
	check(t, os.Link(others, filepath.Join(dir, "linked")))
	check(t, os.Symlink(others, filepath.Join(dir, "link")))
	for _, name := range []string{"sub/deep", "sub", ""} {
		check(t, os.Chmod(filepath.Join(dir, name), 0))
		files[name] = [2]os.FileMode{0, 0o775}
	}
	files["../others"] = [2]os.FileMode{0o600, 0o600}
	Share(dir)
	for name, modes := range files {
		info, err := os.Stat(filepath.Join(dir, name))
		check(t, err)
		if info.Mode().Perm() != modes[1] {
			t.Errorf("%q has the mode %v, want %v", name, info.Mode(), modes[1])
		}
	}
}
