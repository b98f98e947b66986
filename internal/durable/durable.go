// Package durable writes what must survive a crash: the logs of molecules, their results, the
// journal, the index and the table. It has five operations, Append, WriteFile, Rename, Remove and
// Sync; every other package that changes such a file calls them.
//
// No operation writes over a file that a reader may have open: a file grows by Append, or another
// one takes its name. New files and folders have the modes 0666 and 0777 less the umask. Errors are
// those of the operating system, with the path in them.
//
// Fault is the one seam at which a test has an operation fail.
package durable

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Append adds whole lines to a file by one write(2). The file is made if it is missing. A last line
// that a crash has torn is ended first, so that it spoils no other. A symbolic link is an error.
func Append(path string, lines []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o666)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err = f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			lines = append([]byte{'\n'}, lines...)
		}
	}
	if err == nil {
		err = fault("append", path)
		if torn, ok := errors.AsType[*Torn](err); ok {
			_, _ = f.Write(lines[:len(lines)/2])
			err = torn.Then()
		}
	}
	if err == nil {
		_, err = f.Write(lines)
	}
	return errors.Join(err, f.Close())
}

// File is a file for WriteFile.
type File struct {
	Path  string
	Temp  string                    // the folder of the temporary file; "" is that of Path
	Write func(io.Writer) error     // writes the content
	Ready func(temp *os.File) error // nil, or called before the rename, which an error stops
}

// WriteFile puts a file in place by one step: temporary file, fsync, rename, fsync of the folder,
// which is made if it is missing.
// The file keeps the mode of the one that it replaces, which must be a regular file. A symbolic
// link is replaced, too.
func WriteFile(f File) error {
	old, missing := os.Stat(f.Path)
	if missing == nil && !old.Mode().IsRegular() { // a device, such as /dev/null
		return &fs.PathError{Op: "replace", Path: f.Path, Err: errors.New("is no regular file")}
	}
	dir := filepath.Dir(f.Path)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	to, err := renameio.NewPendingFile(f.Path, renameio.WithTempDir(cmp.Or(f.Temp, dir)), renameio.WithPermissions(0o666))
	if err != nil {
		return err
	}
	defer func() { _ = to.Cleanup() }()
	if missing == nil {
		_ = to.Chmod(old.Mode().Perm()) // some file systems have no modes
	}
	err = fault("write", f.Path)
	if err == nil {
		w := bufio.NewWriterSize(to, 1<<16)
		err = cmp.Or(f.Write(w), w.Flush())
	}
	if err == nil {
		err = syncFile(to.File)
	}
	if err == nil && f.Ready != nil {
		err = f.Ready(to.File)
	}
	if err == nil {
		err = fault("rename", f.Path)
	}
	if err == nil {
		err = to.CloseAtomicallyReplace()
	}
	if err == nil {
		err = Sync(dir)
	}
	return err
}

// TempName says whether name is that of a temporary file which a killed WriteFile left for the file
// base.
func TempName(name, base string) bool {
	number, ok := strings.CutPrefix(name, "."+base)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// Rename moves a file or a folder to a name that is free, or a file onto another file. It makes the
// folders above. On another file system, and where an overlay refuses to move a folder, it copies
// and removes.
func Rename(from, to string) error {
	if err := fault("rename", to); err != nil {
		return err
	}
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(to), 0o777); err == nil {
			err = os.Rename(from, to)
		}
	}
	if errors.Is(err, unix.EXDEV) {
		err = copyOver(from, to)
	}
	return err
}

// copyOver is Rename by a copy beside the new name, which is flushed before it gets that name.
func copyOver(from, to string) error {
	temp := filepath.Join(filepath.Dir(to), "."+filepath.Base(to)+".copy")
	if err := removeAll(temp); err != nil {
		return err
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(from, path)
		copied := filepath.Join(temp, rel)
		switch {
		case err != nil:
			return err
		case d.IsDir():
			err = os.Mkdir(copied, 0o777)
		case d.Type().IsRegular():
			err = copyFile(path, copied)
		}
		return cmp.Or(err, Sync(copied))
	})
	if err == nil {
		err = os.Rename(temp, to)
	}
	if err != nil {
		return errors.Join(err, removeAll(temp))
	}
	return removeAll(from)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Remove removes a file, or a folder with all that is in it, also folders that a program left
// without the permission to look into them. It follows no link, and removes nothing from a folder
// with a mount point in it, which is EBUSY: what is mounted there is another's. What is not there
// is no error.
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
		if d != nil && d.IsDir() && IsMountPoint(path) {
			return &fs.PathError{Op: "remove", Path: path, Err: unix.EBUSY}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = os.RemoveAll(path)
	if errors.Is(err, fs.ErrPermission) {
		_ = filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() {
				return os.Chmod(path, 0o700) // called before the folder is read
			}
			return nil
		})
		err = os.RemoveAll(path)
	}
	return err
}

// Sync flushes files and folders onto the disk, all at once: the file system then writes its own
// journal once or twice, not for each of them. A file system that can't flush a folder is no error.
func Sync(paths ...string) error {
	var group errgroup.Group
	group.SetLimit(32)
	for _, path := range paths {
		group.Go(func() error {
			f, err := os.Open(path)
			if errors.Is(err, fs.ErrPermission) {
				return nil // a folder that may be written but not read
			}
			if err != nil {
				return err
			}
			defer f.Close()
			return syncFile(f)
		})
	}
	return group.Wait()
}

func syncFile(f *os.File) error {
	err := fault("sync", f.Name())
	if err == nil {
		err = f.Sync()
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// SyncAll flushes the whole file system of a folder: for many files, that is quicker than Sync. If
// the system can't, the error is errors.ErrUnsupported.
func SyncAll(dir string) error {
	if err := fault("sync", dir); err != nil {
		return err
	}
	return syncFS(dir)
}
