// Package durable writes what must survive a crash: the logs of molecules, their results, the
// journal, the index and the table. It has five operations, Append, WriteFile, Rename, Remove and
// Sync; every other package that changes such a file calls them. Open and ReadFile read such files.
//
// No operation writes over a file that a reader may have open: a file grows by Append, or another
// one takes its name. New files and folders have the modes 0666 and 0777 less the umask. Errors are
// those of the operating system, with the path in them. Tests have an operation fail by Fault.
package durable

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Append adds whole lines to a file by one write(2). The file is made if it is missing. A last line
// that a crash has torn is ended first, so that it spoils no other. A symbolic link is an error.
func Append(path string, lines []byte) error {
	const flags = os.O_RDWR | os.O_CREATE | os.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, err := Regular(os.OpenFile(path, flags, 0o666))
	if err != nil {
		return err
	}
	last := []byte{'\n'}
	if _, empty := f.Seek(-1, io.SeekEnd); empty == nil {
		_, err = f.Read(last)
	}
	if last[0] != '\n' {
		lines = append([]byte{'\n'}, lines...)
	}
	err = cmp.Or(err, fault("append", path))
	if torn, ok := errors.AsType[*Torn](err); ok {
		_, _ = f.Write(lines[:len(lines)/2])
		err = torn.Then()
	}
	if err == nil {
		_, err = f.Write(lines)
	}
	Touch(path)
	return errors.Join(err, f.Close())
}

// Passing reports whether an error is of the moment and not of a file. This process can open no
// more files, memory ran out, or a file server was restarted.
func Passing(err error) bool {
	return slices.ContainsFunc([]error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ESTALE},
		func(cause error) bool { return errors.Is(err, cause) })
}

// Regular passes an opened file on if it is a regular one. Whoever opens with O_NONBLOCK and reads
// no other kind never waits for the other end of a named pipe.
func Regular(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is no regular file; remove it")
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: err}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Open opens a regular file for reading.
func Open(path string) (*os.File, error) {
	return Regular(os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0))
}

// ReadFile returns the content of a regular file.
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var content bytes.Buffer
	if info, err := f.Stat(); err == nil {
		content.Grow(int(info.Size()) + bytes.MinRead) // an index may have 100 MB
	}
	_, err = content.ReadFrom(f)
	return content.Bytes(), err
}

// Touch gives a file a time stamp with all its nanoseconds. That of the kernel is coarse: an edit
// by another program within its next milliseconds would not show.
func Touch(path string) {
	now := time.Now()
	_ = os.Chtimes(path, now, now) // some file systems let nobody set it
}

// Renew sets the time stamp of a file to now, by the clock of the file system. A server may have
// another clock than this host. Tests set it.
var Renew = func(path string) error { return unix.Utimes(path, nil) }

// Now is the time by the clock of a folder's file system: that which time stamps compare with.
func Now(dir string) (now time.Time, err error) {
	f, err := os.CreateTemp(dir, ".clock-")
	if err != nil {
		return now, err
	}
	defer os.Remove(f.Name())
	if err = f.Close(); err != nil {
		return now, err
	}
	_ = Renew(f.Name()) // else it has the time at which it was made
	info, err := os.Stat(f.Name())
	if err == nil {
		now = info.ModTime()
	}
	return now, err
}

// File is a file for WriteFile.
type File struct {
	Path  string
	Temp  string                    // the folder of the temporary file; "" is that of Path
	Write func(io.Writer) error     // writes the content
	Ready func(temp *os.File) error // nil, or called just before the rename, which an error stops
}

// Bytes writes a content that is there already; for File.Write.
func Bytes(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// WriteFile puts a file in place by one step: temporary file, fsync, rename, fsync of the folder.
// Folders are made. The file keeps the mode of the one that it replaces, which must be regular. It
// keeps its group and owner as far as this process may give a file away. It replaces a link.
func WriteFile(f File) error {
	old, missing := os.Stat(f.Path)
	if missing == nil && !old.Mode().IsRegular() { // a device, such as /dev/null
		return &fs.PathError{Op: "replace", Path: f.Path, Err: errors.New("is no regular file")}
	}
	dir := filepath.Dir(f.Path)
	temp := cmp.Or(f.Temp, dir)
	if err := cmp.Or(os.MkdirAll(dir, 0o777), os.MkdirAll(temp, 0o777)); err != nil {
		return err
	}
	to, err := renameio.NewPendingFile(f.Path, renameio.WithTempDir(temp),
		renameio.WithPermissions(0o666))
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		failed.Path = f.Path // not the temporary file, of which nobody knows
	}
	if err != nil {
		return err
	}
	defer func() { _ = to.Cleanup() }()
	if missing == nil {
		keepOwner(to.File, old)
		_ = to.Chmod(old.Mode().Perm()) // some file systems have no modes
	}
	if f.Ready == nil {
		f.Ready = func(*os.File) error { return nil }
	}
	w := bufio.NewWriterSize(to, 1<<16)
	err = InOrder(
		func() error { return fault("write", f.Path) },
		func() error { return f.Write(w) },
		w.Flush,
		func() error { Touch(to.Name()); return fault("flush", f.Path) },
		to.Sync,
		func() error { return f.Ready(to.File) }, // so late, because a flush may take seconds
		func() error { return fault("rename", f.Path) },
		func() error { return os.Rename(to.Name(), f.Path) },
		func() error { return Sync(dir) })
	if errors.Is(err, unix.EXDEV) && temp != dir { // it is mounted from elsewhere
		f.Temp = ""
		return WriteFile(f)
	}
	return err
}

// keepOwner gives a file the group of another, and as root the owner, too. Else only the user whose
// process replaced a file could write it. Some file systems have no owners.
func keepOwner(f *os.File, old fs.FileInfo) {
	if st, ok := old.Sys().(*syscall.Stat_t); ok && f.Chown(int(st.Uid), int(st.Gid)) != nil {
		_ = f.Chown(-1, int(st.Gid))
	}
}

// InOrder takes steps up to the first error.
func InOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// TempName says whether name is of a temporary file that a killed WriteFile left for the file base.
func TempName(name, base string) bool {
	number, ok := strings.CutPrefix(name, "."+base)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// Rename moves a file or a folder to a name that is free, or a file onto another file. It makes the
// folders above. It copies onto another file system, and where an overlay refuses to move a folder.
func Rename(from, to string) error {
	err := InOrder(
		func() error { return fault("rename", to) },
		func() error { return os.MkdirAll(filepath.Dir(to), 0o777) },
		func() error { return os.Rename(from, to) })
	if errors.Is(err, unix.EXDEV) {
		err = copyOver(from, to)
	}
	return err
}

// copyOver is Rename by a copy beside the new name, which is flushed before it gets that name.
func copyOver(from, to string) error {
	temp := filepath.Join(filepath.Dir(to), "."+filepath.Base(to)+".copy")
	err := InOrder(
		func() error { return removeAll(temp) },
		func() error { return copyAll(temp, from) },
		func() error { return Sync(Below(temp)...) },
		func() error { return os.Rename(temp, to) })
	if err != nil {
		return errors.Join(err, removeAll(temp))
	}
	return removeAll(from)
}

// Copy gives a file another name beside its own, and makes the folders above. Where the file system
// has no hard links, it copies.
func Copy(to, from string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	return copyAll(to, from)
}

// copyAll copies a file, or a folder with all that is in it.
func copyAll(to, from string) error {
	if info, err := os.Stat(from); err != nil || info.IsDir() {
		return cmp.Or(err, os.CopyFS(to, os.DirFS(from)))
	}
	data, err := os.ReadFile(from)
	return cmp.Or(err, os.WriteFile(to, data, 0o666))
}

// Below are the paths of a folder, and of the files and folders in it, for Sync.
func Below(dir string) (paths []string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (d.IsDir() || d.Type().IsRegular()) {
			paths = append(paths, path)
		}
		return nil
	})
	return paths
}

// Remove removes a file, or a folder with all that is in it, whatever the permissions in it. It
// follows no link. A folder with a mount point in it stays whole, which is EBUSY: what is mounted
// there is another's. What is not there is no error.
func Remove(path string) error {
	if err := fault("remove", path); err != nil {
		return err
	}
	return removeAll(path)
}

// RemoveEmpty removes a folder if nothing is in it.
func RemoveEmpty(dir string) { _ = os.Remove(dir) }

func removeAll(path string) error {
	err := filepath.WalkDir(path, func(path string, d fs.DirEntry, _ error) error {
		if d == nil || !d.IsDir() {
			return nil
		}
		if IsMountPoint(path) {
			return &fs.PathError{Op: "remove", Path: path, Err: unix.EBUSY}
		}
		if info, err := d.Info(); err == nil && info.Mode()&0o700 != 0o700 {
			_ = os.Chmod(path, 0o700) // called before the folder is read
		}
		return nil
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// many is how many files are flushed quicker by one flush of the whole file system.
const many = 700

// Sync flushes files and folders of one file system at once: it then writes its journal once or
// twice, not for each of them. A path that is gone is no error, nor that a folder can't be flushed.
func Sync(paths ...string) error {
	if len(paths) > many {
		if err := fault("sync", paths[0]); err != nil || syncFS(paths[0]) == nil {
			return err
		}
	}
	var group errgroup.Group
	group.SetLimit(32)
	for _, path := range paths {
		group.Go(func() error {
			f, err := os.Open(path)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				return nil // a folder that may be written but not read
			}
			if err != nil {
				return err
			}
			defer f.Close()
			err = InOrder(func() error { return fault("sync", path) }, f.Sync)
			if errors.Is(err, unix.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
				return nil
			}
			return err
		})
	}
	return group.Wait()
}
