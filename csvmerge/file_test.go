package csvmerge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

var done = []Change{{ID: "b", Cells: map[string]string{"status": "OK"}}}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := Read(filepath.Join(dir, "none.csv"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(),
		"none.csv: there is no such table") {
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
		{"a row added, others moved", head + "new,C,\nc,C,\nb,CC,Skip\n", head +
			"new,C,\nc,C,\nb,CC,OK\n", true},
		{"columns moved, another line ending",
			"status,mol_id,x,smiles\r\n,b,1,C\r\n", "status,mol_id,x,smiles\r\nOK,b,1,C\r\n", true},
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
			rerun := []Change{{ID: "a", Cells: map[string]string{"status": "Rerun"}}}
			if _, err := merge(table, rerun); err != nil {
				t.Fatal(err)
			}
			edited(t, path, test.edit)
			written, err := merge(table, done)
			if written != test.written {
				t.Errorf("written %v, error %v", written, err)
			}
			if want := 1; table.Edited() != want && !strings.HasPrefix(test.name, "unreadable") &&
				test.edit != "" {
				t.Errorf("found edited %d times, want %d", table.Edited(), want)
			}
			fails := !test.written && !strings.Contains(test.name, "by hand")
			if (err != nil) != fails {
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

// An edit right after our write, of the same length and in the same file, shows in nothing but the
// time.
func TestEditRightAfterMerge(t *testing.T) {
	path := place(t, head+"a,C,\nb,C,\n")
	table := mustRead(t, path)
	if _, err := merge(table, done); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(head+"a,N,\nb,C,OK\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	skip := []Change{{ID: "a", Cells: map[string]string{"status": "Skip"}}}
	start := time.Now()
	written, err := merge(table, skip)
	if _, is := errors.AsType[*BusyError](err); written || !is || time.Since(start) > time.Second {
		t.Fatalf("written %v, error %v, after %v", written, err, time.Since(start))
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := merge(table, skip); err != nil {
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
	written, err := merge(table, done)
	_, is := errors.AsType[*BusyError](err)
	if written || !is || !strings.HasPrefix(err.Error(), path+": the table is gone") {
		t.Errorf("written %v, error %v", written, err)
	}
	onlyTable(t, filepath.Dir(path))
	edited(t, path, head+"b,CC,\n") // an editor has put it back
	if written, err := merge(table, done); !written || err != nil {
		t.Errorf("written %v, error %v", written, err)
	}
	if got, want := content(t, path), head+"b,CC,OK\n"; got != want {
		t.Errorf("after the merge %q, want %q", got, want)
	}
}

// An edit that comes while we write makes the write void, and leaves nothing behind.
func TestEditDuringWrite(t *testing.T) {
	path := place(t, head+"a,C,\nb,C,\n")
	table := mustRead(t, path)
	next, _ := table.merged(map[int]map[string]string{1: done[0].Cells})
	theirs := head + "a,N,\nb,C,\nz,C,\n"
	edited(t, path, theirs)
	err := table.replace(next)
	if _, is := errors.AsType[*BusyError](err); !is {
		t.Errorf("error %v", err)
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
	if _, err := merge(mustRead(t, link), done); err != nil {
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
	for _, name := range []string{".t.csv12", ".t.csv1234567", ".t.csv.lock", ".t.csv1x", "t.csv1",
		".u.csv1"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(path); err != nil {
		t.Fatal(err)
	}
	onlyTable(t, dir, ".t.csv.lock", ".t.csv1x", ".u.csv1", "t.csv", "t.csv1")
}

// A table that can't be replaced is found before anything is computed.
func TestSweepUnchangeable(t *testing.T) {
	path := place(t, head)
	if err := exec.Command("chattr", "+i", path).Run(); err != nil {
		t.Skip("the file system has no such mark, or not for this user: ", err)
	}
	err := Sweep(path)
	if back := exec.Command("chattr", "-i", path).Run(); back != nil {
		t.Fatal(back)
	}
	want := path + ": the table is marked as unchangeable"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if err := Sweep(path); err != nil {
		t.Error(err)
	}
}

// TestSavedMeanwhile has an editor save the table while it is flushed, which may take seconds. The
// edit stays, and the next merge is made with it.
func TestSavedMeanwhile(t *testing.T) {
	path := place(t, head+"a,C,\nb,C,\n")
	table := mustRead(t, path)
	const edit = head + "a,C,\nb,CC,\n"
	durable.Fault = func(op, path string) error {
		if op == "flush" {
			edited(t, path, edit)
		}
		return nil
	}
	defer func() { durable.Fault = nil }()
	written, err := merge(table, done)
	if _, is := errors.AsType[*BusyError](err); written || !is {
		t.Errorf("written %v, error %v", written, err)
	}
	if got := content(t, path); got != edit {
		t.Errorf("the table is %q", got)
	}
	durable.Fault = nil
	if written, err := merge(table, done); !written || err != nil {
		t.Errorf("again: written %v, error %v", written, err)
	}
}

// TestFaults lets each operation on the disk fail once, and also from then on. The table is the old
// one or the new one, and nothing is left beside it. The next merge works.
func TestFaults(t *testing.T) {
	defer func() { durable.Fault = nil }()
	const before, after = head + "a,C,\nb,C,\n", head + "a,C,\nb,C,OK\n"
	for _, stays := range []bool{false, true} {
		for at := 1; ; at++ {
			path := place(t, before)
			table := mustRead(t, path)
			n := 0
			durable.Fault = func(op, path string) error {
				if n++; n == at || n > at && stays {
					return fmt.Errorf("%s %s: %w", op, path, unix.EIO)
				}
				return nil
			}
			written, err := merge(table, done)
			durable.Fault = nil
			if n < at {
				if !written || err != nil || at < 4 {
					t.Errorf("after %d operations: written %v, error %v", n, written, err)
				}
				break
			}
			got := content(t, path)
			if got != before && got != after || !errors.Is(err, unix.EIO) || written ||
				!strings.HasPrefix(err.Error(), path+": ") {
				t.Errorf("operation %d: written %v, error %v, the table is %q", at, written, err,
					got)
			}
			onlyTable(t, filepath.Dir(path), "t.csv")
			edited(t, path, got) // a while ago
			if again, err := merge(table, done); again != (got == before) || err != nil {
				t.Errorf("operation %d, merged again: written %v, error %v", at, again, err)
			}
			sameAsFile(t, table, []byte(after))
		}
	}
}

func TestReadHeader(t *testing.T) {
	names := []string{"mol_id", "smiles", "status", "x\ny", "x"}
	long := "\ufeff\n,,\nmol_id, smiles,status,\"x\ny\",x\r\n" + strings.Repeat("é,C,\n", 9) +
		"\xff,\"\n"
	if got, err := ReadHeader(place(t, long)); err != nil || !slices.Equal(got, names) {
		t.Errorf("names %q, error %v", got, err)
	}
	path := filepath.Join(t.TempDir(), "t.csv")
	for text, want := range map[string]string{
		"": ": the table is empty; its first line must have mol_id, status, smiles",
		"mol_id,smiles\n": `:1:1: the table has no column "status"; its first line must have mol_id, status, smiles, ` +
			`separated by commas, and is "mol_id,smiles"; the command import makes a table of other files`,
		"mol_id,smiles,\"status\na,C\n": ":1:15: a quote is opened here and never closed before " +
			"a comma " +
			`or the end of a line; a cell with a quote in it is written "1 ""2"" 3"`,
		"mol_id,smiles,status,\xff\n": `:1:1: "mol_id,smiles,status,\xff" is not UTF-8 text; ` +
			"save the table as CSV UTF-8, or restore it from a backup",
		"mol_id,smiles,status,status\na,C,\n": `:1:1: column "status" is there twice, as number 3 and as number 4; ` +
			"rename or delete one of them",
	} {
		want = path + want
		edited(t, path, text)
		if _, err := ReadHeader(path); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
	if _, err := ReadHeader(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
