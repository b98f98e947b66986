package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
	"grimperium/internal/packed"
)

func stampOf(path string) (stamp, error) {
	st, err := fstatat(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return stamp{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return newStamp(st), nil
}

// fstatat is fstatat(2), which a signal may interrupt on a network file system.
func fstatat(dir int, path string, flags int) (st unix.Stat_t, err error) {
	for again := true; again; again = err == unix.EINTR {
		err = unix.Fstatat(dir, path, &st, flags)
	}
	return st, err
}

// Collected are a target's outputs as a program left them.
type Collected struct {
	Err     error             // a file is something else, or is missing (fs.ErrNotExist)
	outputs map[string]Output // by name
	hashes  hashes
}

// Collect hashes a target's declared files, given by name, in its scratch folder. A link out of the
// folder, or a named pipe on which a reader would wait, is an error before a missing file. So is a
// file of more than most bytes, holes included.
func Collect(scratch string, outputs map[string]string, most int64) *Collected {
	c := &Collected{nil, map[string]Output{}, hashes{}}
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		out := Output{File: outputs[name]}
		a, err := regular(scratch, out.File)
		if err == nil && a.Size > most {
			err = fmt.Errorf("%s has %d bytes, more than max_bytes (%d)", out.File, a.Size, most)
		}
		if err == nil {
			out.Size = a.Size
			out.SHA256, err = c.hashes.of(scratch, out)
		}
		if err != nil && (c.Err == nil || !errors.Is(err, fs.ErrNotExist)) {
			c.Err = fmt.Errorf("output %s: %w", name, err)
		}
		c.outputs[name] = out
	}
	return c
}

// Share gives what a program left in its scratch folder at least the modes of new files and
// folders. A program may have taken them from this process, and from the other users of the group.
// A file with another link may be another's, and so is what is mounted there.
func Share(scratch string) {
	above, err := os.Stat(filepath.Dir(scratch)) // this process has made it
	if err != nil {
		return
	}
	_ = filepath.WalkDir(scratch, func(path string, d fs.DirEntry, _ error) error {
		st, err := fstatat(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW)
		if d == nil || err != nil {
			return nil
		}
		now, least := uint32(st.Mode)&0o7777, uint32(above.Mode().Perm())
		if !d.IsDir() {
			least &= 0o666
		}
		switch {
		case d.IsDir() && durable.IsMountPoint(path):
			return fs.SkipDir
		case now&least != least && (d.IsDir() || d.Type().IsRegular() && st.Nlink == 1):
			_ = unix.Chmod(path, now|least) // called before the folder is read
		}
		return nil
	})
}

// regular is the stamp of a regular file below dir, to which no link leads.
func regular(dir, name string) (a stamp, err error) {
	for part := range strings.SplitSeq(name, "/") {
		dir += "/" + part
		if a, err = stampOf(dir); err != nil || a.Mode&unix.S_IFMT == unix.S_IFLNK {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return a, absent(name)
	}
	kind := a.Mode & unix.S_IFMT
	if err != nil || kind == unix.S_IFREG {
		return a, err
	}
	what := map[uint32]string{unix.S_IFDIR: "a folder", unix.S_IFLNK: "a symbolic link",
		unix.S_IFIFO: "a named pipe"}[kind]
	return a, fmt.Errorf("%s is no regular file but %s", name, cmp.Or(what, "another kind of file"))
}

// absent is the error about a file of this name that a program should have written.
type absent string

func (name absent) Error() string   { return string(name) + " was not written" }
func (absent) Is(target error) bool { return target == fs.ErrNotExist }

// hashes are the SHA-256 of contents by the stamps of their files, which are then not read again.
type hashes map[stamp]string

// of is the hash of an output in a folder. The file may be stored compressed.
func (h hashes) of(dir string, out Output) (string, error) {
	a, err := regular(dir, stored(dir, out.File))
	if err != nil || h[a] != "" {
		return h[a], err
	}
	sum, err := hashOf(packed.Open(filepath.Join(dir, out.File), out.Size))
	if err == nil {
		h[a] = sum
	}
	return sum, err
}

// stored is the name of a file in dir: its own, or with .zst behind it.
func stored(dir, file string) string {
	path := dir + "/" + file
	suffix, here := strings.CutPrefix(packed.Stored(path), path)
	if !here { // it is missing, and an old zip has it
		return file
	}
	return file + suffix
}

// hashOf is the Hash of what was opened, and closes it.
func hashOf(r io.ReadCloser, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer r.Close()
	return Hash(r)
}

// Hash is the SHA-256 of what a reader gives, in hexadecimal.
func Hash(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

// SameContent says whether a file is a regular file with this SHA-256.
func SameContent(path, sha256 string) bool {
	if _, err := regular(filepath.Split(path)); err != nil {
		return false
	}
	sum, err := hashOf(packed.Open(path, 0))
	return err == nil && sum == sha256
}

// tidy removes all but the outputs and what keep means that is not empty, and compresses.
func (c *Collected) tidy(dir string, keep, compress []string) error {
	var files, folders, pack []string
	for _, out := range c.outputs {
		files = append(files, out.File)
	}
	for _, f := range slices.Concat(files, keep) {
		for f = path.Dir(f); f != "."; f = path.Dir(f) {
			folders = append(folders, f)
		}
	}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == "." || e.IsDir() && packed.Matches(folders, name) {
			return err
		}
		info, err := e.Info()
		kept := err == nil && info.Mode().IsRegular() && info.Size() > 0 &&
			packed.Matches(keep, name)
		switch {
		case !kept && !slices.Contains(files, name):
			if err = durable.Remove(filepath.Join(dir, name)); err == nil && e.IsDir() {
				err = fs.SkipDir
			}
		case packed.Matches(compress, name):
			pack = append(pack, name)
		}
		return err
	})
	if errors.Is(err, unix.EBUSY) || errors.Is(err, fs.ErrExist) ||
		errors.Is(err, fs.ErrPermission) {
		return &OutputError{fmt.Errorf("its folder can't be tidied up: %w", err)}
	}
	for _, name := range pack {
		err = errors.Join(err, packed.Pack(filepath.Join(dir, name)))
		if errors.Is(err, fs.ErrExist) {
			return &OutputError{fmt.Errorf("output %s: can't be stored compressed, because "+
				"%[1]s%s is there, too", name, packed.Suffix)}
		}
	}
	return err
}
