package csvmerge

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"grimperium/internal/durable"
)

// BusyError says that another program is writing the table or has taken it away: try again later.
type BusyError struct {
	Err  error
	Away bool // the table is on a server that does not answer: it may take minutes
}

func (e *BusyError) Error() string { return e.Err.Error() }

func (e *BusyError) Unwrap() error { return e.Err }

// busyError is the error of a table that another program is writing.
func busyError(path string) error {
	return &BusyError{Err: fmt.Errorf("%s: another program is writing the table; close it there "+
		"and run again", path)}
}

// missingError is the path of a table that is not there. It is fs.ErrNotExist.
type missingError string

func (path missingError) Error() string {
	text := string(path) + ": there is no such table"
	if target, err := os.Readlink(string(path)); err == nil {
		text += "; that is a link to " + target
	}
	return text
}
func (path missingError) Is(err error) bool { return err == fs.ErrNotExist }

// Read loads a table and checks its form: UTF-8, the quotes, the columns. Check tells what is wrong
// within rows. Read waits up to a second for a program that is writing.
func Read(path string) (*Table, error) { return read(path, math.MaxInt, 5) }

// ReadHeader returns the Columns of a table. It looks at no rows. The errors are those of Read.
func ReadHeader(path string) ([]string, error) {
	t, err := read(path, 0, 5)
	if err != nil {
		return nil, err
	}
	return t.Columns(), nil
}

// read reads at most so many rows, and tries so often again while the file changes.
func read(path string, most, tries int) (*Table, error) {
	before, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, missingError(path)
	case err == nil && !before.Mode().IsRegular(): // to open a named pipe would wait for ever
		return nil, fmt.Errorf("%s: not a file; give the path of a CSV file", path)
	}
	buf, readErr := os.ReadFile(path)
	after, statErr := os.Stat(path)
	if err = cmp.Or(err, readErr, statErr); err != nil {
		return nil, fmt.Errorf("can't read the table: %w", err)
	}
	if !sameFile(before, after) || int64(len(buf)) != after.Size() {
		if tries == 0 {
			return nil, busyError(path)
		}
		time.Sleep(200 * time.Millisecond)
		return read(path, most, tries-1)
	}
	t, err := parse(path, buf, most)
	if err == nil {
		t.info = after
	}
	return t, err
}

// sameFile reports whether a file is still the one that was looked at, by inode, size and time.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// refresh reads the table again if the file is not what we read or last wrote.
func (t *Table) refresh() error {
	info, err := os.Stat(t.path)
	if err == nil && sameFile(info, t.info) {
		return nil
	}
	// An editor may be half way through a young file: the other half would be lost.
	if err == nil && time.Since(info.ModTime()).Abs() < 2*time.Second {
		return busyError(t.path)
	}
	fresh, err := read(t.path, math.MaxInt, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &BusyError{Err: fmt.Errorf("%s: the table is gone; nothing was written; restore "+
			"it and run again", t.path)}
	case err != nil:
		return fmt.Errorf("%w (the table changed during the run; nothing was written)", err)
	}
	fresh.edits = t.edits + 1
	*t = *fresh
	return nil
}

// Write writes the table as the file has it.
func (t *Table) Write(w io.Writer) error {
	_, err := w.Write(t.Header())
	for _, r := range t.rows {
		_, rowErr := w.Write(r.text)
		err = cmp.Or(err, rowErr)
	}
	return err
}

// replace puts the next table in the place of the file, and of t.
func (t *Table) replace(next *Table) error {
	ready := func(temp *os.File) error {
		old, err := os.Stat(t.path)
		if err != nil || !sameFile(old, t.info) {
			return busyError(t.path)
		}
		next.info, err = temp.Stat()
		return err
	}
	target, err := filepath.EvalSymlinks(t.path) // a link stays a link
	if err == nil {
		err = durable.WriteFile(durable.File{Path: target, Write: next.Write, Ready: ready})
	}
	if err != nil {
		return fmt.Errorf("%s: can't write the table: %w", t.path, err)
	}
	*t = *next
	return nil
}

// Sweep prepares the place of a table for Merge. It removes the temporary files that a killed
// process left. A table that can't be replaced is an error. No other process may write the table.
func Sweep(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err == nil && durable.IsMountPoint(target) {
		err = fmt.Errorf("%s: the table is a mount point, which stays; mount its folder instead",
			path)
	}
	if err == nil && durable.IsUnchangeable(target) {
		err = fmt.Errorf("%s: the table is marked as unchangeable; take the mark away: chattr -i "+
			"-a '%[1]s'", path)
	}
	if err != nil {
		return err
	}
	dir := filepath.Dir(target)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.Type().IsRegular() && durable.TempName(e.Name(), filepath.Base(target)) {
			err = cmp.Or(err, durable.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
