package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
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
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
	"grimperium/internal/packed"
)

// stamp is what the system says of a file without a look into it. The same stamp means the same
// content, if the file was not written to within a step of the clock. The number of the device is
// not in it: another host may give another one.
type stamp struct {
	mode         uint32
	size         int64 // bytes
	mtime, ctime int64 // nanoseconds
	ino          uint64
}

func (a stamp) kind() uint32 { return a.mode & unix.S_IFMT }

func stampOf(path string) (stamp, error) { return stampBy(unix.Lstat, path) }

func stampBy(stat func(string, *unix.Stat_t) error, path string) (stamp, error) {
	var st unix.Stat_t
	if err := stat(path, &st); err != nil {
		return stamp{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return newStamp(&st), nil
}

func newStamp(st *unix.Stat_t) stamp {
	return stamp{uint32(st.Mode), st.Size, st.Mtim.Nano(), st.Ctim.Nano(), st.Ino}
}

// lstat looks at a file below dir, or at the first link on the way to the file.
func lstat(dir, name string) (a stamp, err error) {
	for part := range strings.SplitSeq(name, "/") {
		dir += "/" + part
		if a, err = stampOf(dir); err != nil || a.kind() == unix.S_IFLNK {
			return a, err
		}
	}
	return a, nil
}

// digest is one number for many stamps, and when the newest of the files was written.
func digest(stamps []stamp) (d [16]byte, newest time.Time) {
	buf := make([]byte, 0, 1024)
	var last int64
	for _, a := range stamps {
		for _, n := range [...]int64{int64(a.mode), a.size, a.mtime, a.ctime, int64(a.ino)} {
			buf = binary.LittleEndian.AppendUint64(buf, uint64(n))
		}
		last = max(last, a.mtime, a.ctime)
	}
	sum := sha256.Sum256(buf)
	return [16]byte(sum[:16]), time.Unix(0, last)
}

// Collected are a target's outputs as a program left them.
type Collected struct {
	outputs map[string]Output // by name
	err     error
}

// Collect hashes a target's declared files, given by name, in its scratch folder. It changes
// nothing, so that others may read the files at the same time.
func Collect(scratch string, outputs map[string]string) *Collected {
	c := &Collected{outputs: map[string]Output{}}
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		out, err := hashFile(scratch, outputs[name])
		if err != nil {
			c.err = &OutputError{fmt.Errorf("output %s: %w", name, err)}
			break
		}
		c.outputs[name] = out
	}
	return c
}

// regular is the stamp of a regular file below dir. A missing file is fs.ErrNotExist.
func regular(dir, name string) (stamp, error) {
	a, err := lstat(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return a, absent(name)
	}
	what := "another kind of file"
	switch a.kind() {
	case unix.S_IFREG:
		return a, err
	case unix.S_IFDIR:
		what = "a folder"
	case unix.S_IFLNK:
		what = "a symbolic link"
	case unix.S_IFIFO:
		what = "a named pipe"
	}
	return a, cmp.Or(err, fmt.Errorf("%s is no regular file but %s", name, what))
}

// absent is the error about a file of this name that a program should have written.
type absent string

func (name absent) Error() string   { return string(name) + " was not written" }
func (absent) Is(target error) bool { return target == fs.ErrNotExist }

// hashFile hashes a regular file below dir without following links.
func hashFile(dir, name string) (Output, error) {
	a, err := regular(dir, name)
	if err != nil {
		return Output{}, err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return Output{}, err
	}
	defer f.Close()
	sum, err := Hash(f)
	return Output{name, sum, a.size, a}, err
}

// hashAgain hashes a recorded output, which may be stored compressed, unless its stamp is the
// verified one. A hash of "" means another size.
func hashAgain(dir string, out Output) (Output, error) {
	name := stored(dir, out.File)
	a, err := lstat(dir, name)
	switch {
	case err != nil:
		return Output{}, err
	case a == out.stamp:
		return out, nil
	case name == out.File && a.kind() == unix.S_IFREG && a.size != out.Size:
		return Output{}, nil
	case name == out.File:
		return hashFile(dir, name)
	}
	r, err := packed.Open(filepath.Join(dir, out.File), out.Size)
	if err != nil {
		return Output{}, err
	}
	defer r.Close()
	sum, err := Hash(r)
	return Output{out.File, sum, out.Size, a}, err
}

// stored is the name of a file in dir: its own, or with .zst behind it.
func stored(dir, file string) string {
	path := dir + "/" + file
	return file + strings.TrimPrefix(packed.Stored(path), path)
}

// SameContent says whether a file is a regular file with this SHA-256.
func SameContent(path, sha256 string) bool {
	out, err := hashFile(filepath.Dir(path), filepath.Base(path))
	return err == nil && out.SHA256 == sha256
}

// Regular is an error if one of the files that a program should have written is missing
// (fs.ErrNotExist), or is something else: a link out of its folder, a named pipe on which a reader
// would wait.
func Regular(dir string, outputs map[string]string) (missing error) {
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		_, err := regular(dir, outputs[name])
		if err != nil {
			err = fmt.Errorf("output %s: %w", name, err)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = cmp.Or(err, missing)
	}
	return missing
}

// Hash is the SHA-256 of what a reader gives, in hexadecimal.
func Hash(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

// tidy removes everything from a scratch folder but the outputs and the files that keep means and
// that are not empty. It compresses what compress means, and notes the stamps of the outputs.
func (c *Collected) tidy(dir string, keep, compress []string) error {
	var files, folders, pack []string
	for name, out := range c.outputs {
		if a, err := lstat(dir, out.File); err != nil || a != out.stamp {
			return &OutputError{fmt.Errorf("output %s: %s was changed while it was read", name, out.File)}
		}
		files = append(files, out.File)
	}
	for _, f := range slices.Concat(files, keep) {
		for f = path.Dir(f); f != "."; f = path.Dir(f) {
			folders = append(folders, f)
		}
	}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || name == "." || e.IsDir() && packed.Matches(folders, name):
			return err
		case slices.Contains(files, name),
			e.Type().IsRegular() && packed.Matches(keep, name) && filled(e):
			if packed.Matches(compress, name) {
				pack = append(pack, name)
			}
			return nil
		}
		if err := durable.Remove(filepath.Join(dir, name)); err != nil || !e.IsDir() {
			return err
		}
		return fs.SkipDir
	})
	if err != nil && inUse(err) {
		return &OutputError{fmt.Errorf("its folder can't be tidied up: %w", err)}
	}
	for _, name := range pack {
		err = errors.Join(err, packed.Pack(filepath.Join(dir, name)))
		if errors.Is(err, fs.ErrExist) {
			return &OutputError{fmt.Errorf("output %s: can't be stored compressed, because %[1]s%s "+
				"is there, too", name, packed.Suffix)}
		}
	}
	if err != nil {
		return err
	}
	for name, out := range c.outputs {
		if out.stamp, err = stampOf(packed.Stored(filepath.Join(dir, out.File))); err != nil {
			return err
		}
		c.outputs[name] = out
	}
	return nil
}

func filled(e fs.DirEntry) bool {
	info, err := e.Info()
	return err == nil && info.Size() > 0
}
