package csvmerge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"grimperium/internal/fault"
)

// sameFile reports whether a file is still the one that was looked at, by inode, size and time.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// moment is how long someone else gets to finish writing the table before we look again.
const moment = 200 * time.Millisecond

// refresh reads the table again if the file is not what we read or last wrote.
func (t *Table) refresh() error {
	info, err := os.Stat(t.path)
	for n := 0; n < 5 && errors.Is(err, fs.ErrNotExist); n++ { // some editors take the old file away first
		time.Sleep(moment)
		info, err = os.Stat(t.path)
	}
	if err == nil && sameFile(info, t.info) {
		return nil
	}
	if err == nil {
		err = settle(t.path, info)
	}
	if err == nil {
		var fresh *Table
		if fresh, err = Read(t.path); err == nil {
			*t = *fresh
			return nil
		}
	} else {
		err = fmt.Errorf("%s: %w", t.path, reason(err))
	}
	return fmt.Errorf("%w (the table changed during the run; nothing was written, put it right and run again)", err)
}

// settle waits until nobody has written to a file for a moment: an editor or pandas may be half way
// through it, and to merge into half a table and replace the file would lose the other half.
func settle(path string, info fs.FileInfo) error {
	const (
		young = 2 * time.Second
		limit = 100 // moments
	)
	for range limit {
		if age := time.Since(info.ModTime()); age > young || age < -young {
			return nil
		}
		time.Sleep(moment)
		now, err := os.Stat(path)
		if err != nil {
			return err
		}
		if sameFile(info, now) {
			return nil
		}
		info = now
	}
	return errors.New("another program keeps on writing the table")
}

// replaceFile writes the table with the edits beside the old one, to the disk, and puts it in the place of
// the old one. done is false, and nothing has happened, when someone changed the old one meanwhile.
func (t *Table) replaceFile(edits []edit) (done bool, err error) {
	target, err := filepath.EvalSymlinks(t.path) // a link stays a link
	if err != nil {
		return false, t.writeError(err)
	}
	dir := filepath.Dir(target)
	f, err := renameio.NewPendingFile(target, renameio.WithTempDir(dir), renameio.WithExistingPermissions())
	if err != nil {
		return false, t.writeError(err)
	}
	defer f.Cleanup()
	if err := fault.Around("csvmerge.write", func() error { return t.writeEdited(f, edits) }); err != nil {
		return false, t.writeError(err)
	}
	// A time of our own with all its nanoseconds: the kernel's clock is coarse, and an edit by someone
	// else within its next few milliseconds would otherwise show the time of our write.
	now := time.Now()
	if err := os.Chtimes(f.Name(), now, now); err != nil {
		return false, t.writeError(err)
	}
	if err := fault.Around("csvmerge.flush", f.Sync); err != nil { // the long part, hence before the last look at the old file
		return false, t.writeError(err)
	}
	written, err := f.Stat()
	if err != nil {
		return false, t.writeError(err)
	}
	if info, err := os.Stat(t.path); err != nil || !sameFile(info, t.info) {
		return false, nil // refresh looks into it
	}
	if err := f.File.Close(); err != nil { // CloseAtomicallyReplace would flush once more
		return false, t.writeError(err)
	}
	if err := fault.Around("csvmerge.replace", func() error { return os.Rename(f.Name(), target) }); err != nil {
		return false, t.writeError(err)
	}
	t.info = written
	return true, t.syncDir(dir)
}

// writeEdited writes the bytes of the table with the edits made.
func (t *Table) writeEdited(to io.Writer, edits []edit) error {
	w := bufio.NewWriterSize(to, 1<<16)
	pos := 0
	for _, e := range edits {
		w.Write(t.buf[pos:e.at]) // a bufio.Writer keeps its first error for Flush
		w.WriteString(e.text)
		pos = e.end
	}
	w.Write(t.buf[pos:])
	return w.Flush()
}

// syncDir makes the replacement itself survive a power cut. File systems that can't sync a folder say
// EINVAL or ENOTSUP, and there is nothing more to be done there.
func (t *Table) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil // a folder that may be written but not read
	}
	defer d.Close()
	if err := fault.Around("csvmerge.folder", d.Sync); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%s: the table is written, but the disk did not confirm it: %w", t.path, reason(err))
	}
	return nil
}

func (t *Table) writeError(err error) error {
	return fmt.Errorf("%s: can't write the table; the old one is untouched: %w", t.path, reason(err))
}

// Sweep removes the temporary files that a killed process left beside a table. No other process may be
// writing the table: the caller holds the batch's lock.
func Sweep(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, reason(err))
	}
	dir, prefix := filepath.Dir(target), "."+filepath.Base(target)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%s: can't list the folder: %w", dir, reason(err))
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok || number == "" || strings.Trim(number, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: can't remove a left-over temporary file: %w", filepath.Join(dir, e.Name()), reason(err))
		}
	}
	return nil
}
