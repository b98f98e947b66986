package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"grimperium/internal/packed"
)

// Collected are a target's outputs as a program left them: what will be recorded of them and, of small ones that will be stored compressed, that content.
type Collected struct {
	outputs    map[string]Output // by name
	compressed map[string][]byte // by file
	err        error
}

// maxAtOnce is up to which size (bytes) a file is compressed in memory.
const maxAtOnce = 4 << 20

// Collect reads a target's declared files in its scratch folder; compress are patterns of files that will be stored compressed. It changes nothing, so that
// others may read them meanwhile.
func Collect(scratch string, outputs map[string]string, compress []string) *Collected {
	found := &Collected{map[string]Output{}, map[string][]byte{}, nil}
	for name, file := range outputs {
		out, err := fingerprintFile(scratch, file)
		if err == nil && out.Size <= maxAtOnce && packed.Matches(compress, file) {
			found.compressed[file], err = compressFile(filepath.Join(scratch, filepath.FromSlash(file)))
		}
		if err != nil {
			found.err = &OutputError{name, err}
		}
		found.outputs[name] = out
	}
	return found
}

// OutputError says that a program did not write what it should have: the disk is not at fault.
type OutputError struct {
	Output string
	Err    error
}

func (e *OutputError) Error() string { return fmt.Sprintf("output %s: %v", e.Output, e.Err) }
func (e *OutputError) Unwrap() error { return e.Err }

// compressFile is what a file will be stored as; nil where it has grown meanwhile.
func compressFile(path string) ([]byte, error) {
	f, err := openPlain(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxAtOnce+1))
	if err != nil || len(content) > maxAtOnce {
		return nil, err
	}
	return packed.Compress(content), nil
}

// fingerprintFile hashes a regular file below dir, without following links.
func fingerprintFile(dir, name string) (Output, error) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	info, err := lstat(dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Output{}, fmt.Errorf("%s was not written%w", name, silent{err})
	case err != nil:
		return Output{}, err
	case !info.Mode().IsRegular():
		return Output{}, notRegular(name, info)
	}
	sum, err := hashFile(path, min(info.Size()+1, 32<<10))
	return Output{File: name, SHA256: sum, Size: info.Size()}, err
}

// same hashes a recorded output, which may be stored compressed: its record is of what it unpacks to.
func same(dir string, out Output) (now Output, err error) {
	now, err = fingerprintFile(dir, out.File)
	path := filepath.Join(dir, filepath.FromSlash(out.File))
	if !errors.Is(err, fs.ErrNotExist) || packed.Stored(path) == path {
		return now, err
	}
	r, err := packed.Open(path, out.Size)
	if err != nil {
		return now, err
	}
	defer r.Close()
	now.SHA256, err = Hash(r)
	return now, err
}

// SameContent says whether the file still has this SHA-256 and is a regular file.
func SameContent(path, sha256 string) bool {
	out, err := fingerprintFile(filepath.Dir(path), filepath.Base(path))
	return err == nil && out.SHA256 == sha256
}

// Regular is an error if one of the files that a program should have written is something else, such as a link out of its folder or a named pipe that a
// reader would wait for, or is missing (fs.ErrNotExist).
func Regular(dir string, outputs map[string]string) error {
	var missing error
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		switch info, err := lstat(dir, outputs[name]); {
		case errors.Is(err, fs.ErrNotExist):
			missing = fmt.Errorf("output %s: %s was not written%w", name, outputs[name], silent{err})
		case err == nil && !info.Mode().IsRegular():
			return fmt.Errorf("output %s: %w", name, notRegular(outputs[name], info))
		}
	}
	return missing
}

// lstat looks at a file below dir, or at the first link on the way to it.
func lstat(dir, name string) (info fs.FileInfo, err error) {
	path := dir
	for _, part := range strings.Split(name, "/") {
		path = filepath.Join(path, part)
		if info, err = os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink != 0 {
			return info, err
		}
	}
	return info, nil
}

func notRegular(name string, info fs.FileInfo) error {
	what := "another kind of file"
	switch mode := info.Mode(); {
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeSymlink != 0:
		what = "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	}
	return fmt.Errorf("%s is no regular file but %s", name, what)
}

// silent carries an error for errors.Is without showing it.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// openPlain opens a file for reading that is no link.
func openPlain(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
}

func hashFile(path string, buffer int64) (string, error) {
	f, err := openPlain(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return hash(f, buffer)
}

// Hash is the SHA-256 of what a reader gives, in hexadecimal.
func Hash(r io.Reader) (string, error) {
	return hash(r, 32<<10)
}

// hash reads by a buffer of so many bytes: most files are small, and one of the usual size for each would be most of what a batch allocates.
func hash(r io.Reader, buffer int64) (string, error) {
	h := sha256.New()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{r}, make([]byte, buffer)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
