package csvmerge

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var done = []Change{{"b", map[string]string{"status": "OK"}}}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(filepath.Join(dir, "none.csv")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.csv: there is no such table") {
		t.Errorf("no file: %v", err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a folder: %v", err)
	}
	path := place(t, "a;b\n")
	if _, err := Read(path); err == nil || !strings.HasPrefix(err.Error(), path+":1:1: ") {
		t.Errorf("no table: %v", err)
	}
}

// What someone else does to the table between two of our merges survives.
func TestEditsFromOutside(t *testing.T) {
	const before = head + "a,C,\nb,C,\nc,C,\n"
	tests := []struct {
		name, edit, after string
		written           bool
	}{
		{"a cell, same size", head + "a,N,\nb,C,\nc,C,\n", head + "a,N,\nb,C,OK\nc,C,\n", true},
		{"a row added, others moved", head + "new,C,\nc,C,\nb,CC,Skip\n", head + "new,C,\nc,C,\nb,CC,OK\n", true},
		{"columns moved, another line ending", "status,mol_id,x,smiles\r\n,b,1,C\r\n", "status,mol_id,x,smiles\r\nOK,b,1,C\r\n", true},
		{"the row deleted", head + "a,C,\n", head + "a,C,\n", false},
		{"the row doubled", head + "b,C,\nb,C,\n", head + "b,C,\nb,C,\n", false},
		{"the same written by hand", head + "b,C,OK\n", head + "b,C,OK\n", false},
		{"unreadable", head + "b,\"C,\n", head + "b,\"C,\n", false},
		{"emptied", "", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := place(t, before)
			table := mustRead(t, path)
			if _, err := table.Merge([]Change{{"a", map[string]string{"status": "Rerun"}}}); err != nil {
				t.Fatal(err)
			}
			edited(t, path, test.edit)
			written, err := table.Merge(done)
			if written != test.written {
				t.Errorf("written %v, error %v", written, err)
			}
			if fails := !test.written && !strings.Contains(test.name, "by hand"); (err != nil) != fails {
				t.Errorf("error %v", err)
			}
			if got := content(t, path); got != test.after {
				t.Errorf("after the merge %q, want %q", got, test.after)
			}
			if err == nil {
				sameAsFile(t, table, []byte(test.after))
			}
		})
	}
}

// An edit right after our write, of the same length and in the same file, shows in nothing but the time.
func TestEditRightAfterMerge(t *testing.T) {
	path := place(t, head+"a,C,\nb,C,\n")
	table := mustRead(t, path)
	if _, err := table.Merge(done); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(head+"a,N,\nb,C,OK\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Merge([]Change{{"a", map[string]string{"status": "Skip"}}}); err != nil {
		t.Fatal(err)
	}
	if got, want := content(t, path), head+"a,N,Skip\nb,C,OK\n"; got != want {
		t.Errorf("after the merge %q, want %q", got, want)
	}
}

func TestTableGone(t *testing.T) {
	path := place(t, head+"b,C,\n")
	table := mustRead(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	written, err := table.Merge(done)
	if written || !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), path) {
		t.Errorf("written %v, error %v", written, err)
	}
	onlyTable(t, filepath.Dir(path))
}

// An edit that comes while we write makes the write void, and leaves nothing behind.
func TestEditDuringWrite(t *testing.T) {
	path := place(t, head+"a,C,\nb,C,\n")
	table := mustRead(t, path)
	_, edits, _, err := table.plan(done)
	if err != nil {
		t.Fatal(err)
	}
	theirs := head + "a,N,\nb,C,\nz,C,\n"
	edited(t, path, theirs)
	if replaced, err := table.replaceFile(edits); replaced || err != nil {
		t.Errorf("replaced %v, error %v", replaced, err)
	}
	if got := content(t, path); got != theirs {
		t.Errorf("the table is now %q", got)
	}
	onlyTable(t, filepath.Dir(path), "t.csv")
}

// onlyTable checks which files a folder has.
func onlyTable(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("the folder has %q, want %q", got, names)
	}
}

func TestMergeKeepsModeAndLink(t *testing.T) {
	real := place(t, head+"b,C,\n")
	if err := os.Chmod(real, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.csv")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if _, err := mustRead(t, link).Merge(done); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is now %v (%v)", info.Mode(), err)
	}
	if info, err := os.Stat(real); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode is now %v (%v)", info.Mode(), err)
	}
	if got, want := content(t, real), head+"b,C,OK\n"; got != want {
		t.Errorf("after the merge %q, want %q", got, want)
	}
	onlyTable(t, filepath.Dir(link), "link.csv")
	onlyTable(t, filepath.Dir(real), "t.csv")
}

func TestSweep(t *testing.T) {
	path := place(t, head)
	dir := filepath.Dir(path)
	for _, name := range []string{".t.csv123", ".t.csv9223372036854775807", ".t.csv", ".t.csv12x", "t.csv1", ".u.csv1"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(path); err != nil {
		t.Fatal(err)
	}
	onlyTable(t, dir, ".t.csv", ".t.csv12x", ".u.csv1", "t.csv", "t.csv1")
}
