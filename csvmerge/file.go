package csvmerge

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

// BusyError says that another program is writing the table or has taken it away, as some editors do
// for a moment. Nothing was written. The same Merge may succeed later.
type BusyError struct{ Path, Problem string }

func (e *BusyError) Error() string { return e.Path + ": " + e.Problem }

func busy(path string) error {
	return &BusyError{path, "another program is writing the table; close it there and run again"}
}

// Read loads a table and checks its form. An error means that the table can't be used at all: there
// is no such file, it is not UTF-8, a required column (mol_id, smiles, status) is missing, one of
// our columns is there twice, or the quotes of a row are wrong. The error names file, line and
// character. Check tells what is wrong within rows. Read waits up to a second for a program that is
// writing.
func Read(path string) (*Table, error) {
	for n := 0; ; n++ {
		t, err := load(path)
		if _, is := errors.AsType[*BusyError](err); !is || n == 5 {
			return t, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// load is Read without waiting.
func load(path string) (*Table, error) {
	before, err := stat(path)
	if err != nil {
		return nil, err
	}
	buf, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: can't read the table: %w", path, reason(err))
	}
	after, err := os.Stat(path)
	if err != nil || !sameFile(before, after) || int64(len(buf)) != after.Size() {
		return nil, busy(path)
	}
	t, err := parse(path, buf, math.MaxInt)
	if err == nil {
		t.info = after
	}
	return t, err
}

// reason takes the paths off an error of the operating system: our messages have one in front.
func reason(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
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
	// An editor or pandas may be half way through a young file: to merge into half a table and
	// replace the file would lose the other half.
	const young = 2 * time.Second
	if err == nil && time.Since(info.ModTime()).Abs() < young {
		return busy(t.path)
	}
	fresh, err := load(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &BusyError{t.path, "the table is gone; nothing was written; restore it and run again"}
	case err != nil:
		return fmt.Errorf("%w (the table changed during the run; nothing was written)", err)
	}
	fresh.edited = t.edited + 1
	*t = *fresh
	return nil
}

// Writable returns an error if Merge could not replace the file: because it is a mount point, or
// because its folder can't be written. It writes nothing.
func (t *Table) Writable() error {
	target, err := filepath.EvalSymlinks(t.path)
	if err != nil {
		return fmt.Errorf("%s: can't find the table: %w", t.path, reason(err))
	}
	if durable.IsMountPoint(target) {
		return fmt.Errorf("%s: the table is a mount point and can't be replaced; "+
			"mount its folder instead", t.path)
	}
	dir := filepath.Dir(target)
	err = unix.Access(dir, unix.W_OK|unix.X_OK)
	if err == nil && sticky(dir, target) {
		err = errors.New("its sticky bit (chmod +t) lets only the owner of the table replace it")
	}
	if err != nil {
		return fmt.Errorf("%s: the folder of the table can't be written: %w; change its permissions, "+
			"or copy the table to another folder and name it by -table=FILE", t.path, err)
	}
	return nil
}

// sticky reports whether a folder lets this user replace only files of the user's own, and this
// file is not.
func sticky(dir, file string) bool {
	var d, f unix.Stat_t
	uid := uint32(os.Geteuid())
	return uid != 0 && unix.Stat(dir, &d) == nil && unix.Stat(file, &f) == nil &&
		d.Mode&unix.S_ISVTX != 0 && d.Uid != uid && f.Uid != uid
}

// replace puts the next table in the place of the file. done says whether it is there: it may be
// without the disk's word for it. A *BusyError says that someone changed the file meanwhile.
func (t *Table) replace(next *Table) (done bool, err error) {
	target, err := filepath.EvalSymlinks(t.path) // a link stays a link
	next.info = nil
	ready := func(temp *os.File) (err error) {
		// A time of our own with all its nanoseconds: the kernel's clock is coarse, and an edit by
		// someone else within its next few milliseconds would show the time of our write.
		now := time.Now()
		_ = os.Chtimes(temp.Name(), now, now) // some file systems let nobody set it
		if next.info, err = temp.Stat(); err != nil {
			return err
		}
		if info, err := os.Stat(t.path); err != nil || !sameFile(info, t.info) {
			return busy(t.path)
		}
		return nil
	}
	write := func(w io.Writer) error {
		_, err := w.Write(next.buf)
		return err
	}
	if err == nil {
		err = durable.WriteFile(durable.File{Path: target, Write: write, Ready: ready})
	}
	if err == nil {
		return true, nil
	}
	if info, e := os.Stat(t.path); next.info != nil && e == nil && os.SameFile(info, next.info) {
		return true, fmt.Errorf("%s: the table is written, but the disk did not confirm it: %w",
			t.path, reason(err))
	}
	return false, fmt.Errorf("%s: can't write the table; the old one is untouched: %w",
		t.path, reason(err))
}

// Sweep removes the temporary files that a killed process left beside a table. No other process may
// be writing the table: the caller holds the batch's lock.
func Sweep(path string) error {
	target, err := filepath.EvalSymlinks(path)
	dir, base := filepath.Split(target)
	var entries []fs.DirEntry
	if err == nil {
		entries, err = os.ReadDir(filepath.Clean(dir))
	}
	for _, e := range entries {
		if err == nil && e.Type().IsRegular() && durable.TempName(e.Name(), base) {
			err = durable.Remove(dir + e.Name())
		}
	}
	if err != nil {
		return fmt.Errorf("%s: can't remove left-over temporary files beside it: %w", path, err)
	}
	return nil
}

// stat looks at a table before it is opened: to open a named pipe would wait for ever.
func stat(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%s: there is no such table; pipeline.hcl names it, -table=FILE names another: %w",
			path, fs.ErrNotExist)
	case err != nil:
		err = fmt.Errorf("%s: can't read the table: %w", path, reason(err))
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s: not a file; give the path of a CSV file", path)
	}
	return info, err
}
