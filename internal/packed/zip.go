package packed

import (
	"archive/zip"
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// ZipSuffix ends the name of the file that stands for a whole folder.
const ZipSuffix = ".zip"

// The most that a zip has. What has more stays a folder.
const (
	maxEntries   = 10_000
	maxDirectory = 4 << 20 // bytes of the list of entries
	maxUnpacked  = 4 << 30 // bytes of all contents
)

// RefusedError says that a folder can't be a zip, or that WriteZip can't have made a zip. There is
// too much in it, or a name leads out of the folder.
type RefusedError struct{ error }

func refusedf(format string, args ...any) error {
	return &RefusedError{fmt.Errorf(format, args...)}
}

// Zip is an open zip of a folder, whose entries have been checked by name, kind and size.
type Zip struct {
	*zip.Reader
	file *os.File
}

// OpenZip opens the zip that stands for a folder. A *RefusedError is about what is in it, an
// *fs.PathError about the disk. Any other error says that it is damaged.
func OpenZip(path string) (*Zip, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	z := &Zip{file: f}
	if err = z.read(); err != nil {
		f.Close()
		return nil, err
	}
	return z, nil
}

func (z *Zip) read() error {
	info, err := z.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return refusedf("%s: is no regular file", z.file.Name())
	}
	if err = bounded(z.file, info.Size()); err == nil {
		z.Reader, err = zip.NewReader(z.file, info.Size())
	}
	if err == nil || errors.Is(err, zip.ErrInsecurePath) {
		err = checkEntries(z.File)
	}
	return z.named(err)
}

// named is an error with the name of the file. One of the disk has it already.
func (z *Zip) named(err error) error {
	_, disk := errors.AsType[*fs.PathError](err)
	refused, ok := errors.AsType[*RefusedError](err)
	switch {
	case err == nil || disk:
		return err
	case ok:
		return refusedf("%s: %w", z.file.Name(), refused.error)
	}
	return fmt.Errorf("%s: is damaged: %w", z.file.Name(), err)
}

// bounded reads the end record (APPNOTE.TXT, 4.3.16): zip.NewReader keeps all entries in memory.
func bounded(f io.ReaderAt, size int64) error {
	var end [22]byte
	if _, err := f.ReadAt(end[:], size-int64(len(end))); size < int64(len(end)) {
		return zip.ErrFormat
	} else if err != nil {
		return err
	}
	le := binary.LittleEndian
	length, offset := int64(le.Uint32(end[12:])), int64(le.Uint32(end[16:]))
	switch {
	case le.Uint32(end[:]) != 0x06054b50:
		return zip.ErrFormat
	case le.Uint16(end[10:]) > maxEntries || length > maxDirectory || size > maxUnpacked:
		return refusedf("has more in it than the files of a molecule")
	case offset+length != size-int64(len(end)):
		return zip.ErrFormat
	}
	return nil
}

// checkEntries refuses what could be written outside of a folder, over a file, or without end.
func checkEntries(entries []*zip.File) error {
	files, total := map[string]bool{}, uint64(0)
	for _, f := range entries {
		name, kind := f.Name, fs.FileMode(0)
		if strings.HasSuffix(name, "/") {
			name, kind = strings.TrimSuffix(name, "/"), fs.ModeDir
		}
		if err := checkName(name); err != nil {
			return err
		}
		if f.Mode().Type() != kind {
			return refusedf("its entry %q is no regular file", f.Name)
		}
		if files[name] {
			return refusedf("it has two entries %q", f.Name)
		}
		files[name] = kind == 0
		total += min(f.UncompressedSize64, maxUnpacked+1)
	}
	for _, f := range entries {
		for dir := path.Dir(f.Name); dir != "."; dir = path.Dir(dir) {
			if files[dir] && dir+"/" != f.Name {
				return refusedf("its entry %q is a file and a folder", dir)
			}
		}
	}
	if total > maxUnpacked || len(entries) > maxEntries {
		return refusedf("has more in it than the files of a molecule")
	}
	return nil
}

func checkName(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00") ||
		!utf8.ValidString(name) {
		return refusedf("its entry %q is no name of a file in a folder", name)
	}
	return nil
}

// Close closes the file.
func (z *Zip) Close() error { return z.file.Close() }

// Content reads a file, which Pack may have compressed. More than limit bytes are an error.
func (z *Zip) Content(name string, limit int64) (io.ReadCloser, error) {
	for _, stored := range []string{name, name + Suffix} {
		i := slices.IndexFunc(z.File, func(f *zip.File) bool { return f.Name == stored })
		if i < 0 {
			continue
		}
		r, err := z.File[i].Open()
		if err != nil {
			return nil, z.named(err)
		}
		c := &content{file: r, name: z.file.Name() + "/" + stored, from: r, left: limit}
		if stored != name {
			err = c.unpack()
		}
		return c, err
	}
	return nil, &fs.PathError{Op: "open", Path: z.file.Name() + "/" + name, Err: fs.ErrNotExist}
}

// Unpack writes the files into a new folder. A damaged one is left out.
func (z *Zip) Unpack(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, f := range z.File {
		folder, file := path.Split(f.Name)
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o777); err != nil {
			return err
		}
		if file == "" {
			continue
		}
		err := create(filepath.Join(dir, f.Name), func(to io.Writer) error {
			from, err := f.Open()
			if err != nil {
				return err
			}
			defer from.Close()
			_, err = io.Copy(to, from)
			return err
		})
		if _, disk := errors.AsType[*fs.PathError](err); disk {
			return err
		}
	}
	return nil
}

// CreateZip makes a new file of what WriteZip writes. It is not flushed.
func CreateZip(path, dir string) error {
	return create(path, func(to io.Writer) error {
		w := bufio.NewWriter(to)
		return cmp.Or(WriteZip(w, dir), w.Flush()) // the second error may be the first
	})
}

// WriteZip writes the regular files of a folder as a zip. Links are left out: a failed attempt has
// some to its inputs. A *RefusedError says that OpenZip would refuse the zip.
func WriteZip(to io.Writer, dir string) error {
	z := zip.NewWriter(to)
	n, total := 0, int64(0)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: filepath.ToSlash(name[len(dir)+1:]), Method: zip.Deflate,
			Modified: info.ModTime().Truncate(time.Second)}
		if slices.Contains(compressed, path.Ext(h.Name)) {
			h.Method = zip.Store
		}
		n, total = n+1, total+info.Size()
		if err = checkName(h.Name); err != nil {
			return err
		}
		if n > maxEntries || total > maxUnpacked {
			return refusedf("%s: has more in it than the files of a molecule", dir)
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		from, err := os.Open(name)
		if err != nil {
			return err
		}
		defer from.Close()
		_, err = io.Copy(w, from)
		return err
	})
	if err != nil {
		return err
	}
	return z.Close()
}

// compressed are endings of names of files that are not compressed again.
var compressed = []string{Suffix, ".gz", ".xz", ".bz2", ".zip", ".png"}

// zipOf is the zip that stands for a folder above a path, and the name in it; "" for none.
func zipOf(name string) (file, inside string) {
	for dir := filepath.Dir(name); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if info, err := os.Lstat(dir + ZipSuffix); err == nil && info.Mode().IsRegular() {
			return dir + ZipSuffix, filepath.ToSlash(name[len(dir)+1:])
		}
	}
	return "", ""
}

// openZipped opens a file of a folder that is stored as a zip.
func openZipped(name string, limit int64) (io.ReadCloser, error) {
	file, inside := zipOf(name)
	if file == "" {
		return nil, fs.ErrNotExist
	}
	return OpenIn(file, inside, limit)
}

// OpenIn opens a file of the folder that a zip stands for, as Content does.
func OpenIn(file, name string, limit int64) (io.ReadCloser, error) {
	z, err := OpenZip(file)
	if err != nil {
		return nil, err
	}
	r, err := z.Content(name, limit)
	if err != nil {
		z.Close()
		return nil, err
	}
	return &zipped{r, z}, nil
}

// zipped is a content with the zip that it is in.
type zipped struct {
	io.ReadCloser
	zip *Zip
}

func (z *zipped) Close() error { return errors.Join(z.ReadCloser.Close(), z.zip.Close()) }

// ReadDir lists the names in a folder, also one in a zip. The name of a folder ends with a slash.
func ReadDir(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		entries, err = ReadZip(dir)
	}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	return names, err
}

// ReadZip lists a folder that is stored as a zip or lies in one, whatever else has its name.
func ReadZip(dir string) ([]fs.DirEntry, error) {
	file, inside := zipOf(filepath.Join(dir, "x"))
	if file == "" {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
	}
	z, err := OpenZip(file)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return fs.ReadDir(z, path.Dir(inside))
}
