// Package packed reads files that may be stored compressed: NAME, or NAME.zst in its place, in the
// format of the zstd program. Callers name a file without .zst. Both files stand for the same
// content; a user may change one into the other at any time.
//
// A whole folder may be stored as one file, FOLDER.zip. Callers name its files as if the folder
// were there. A file of the folder itself goes before one of the zip.
//
// No function changes a file that a reader may have open. Errors name the file. A missing file is
// fs.ErrNotExist under the name without .zst.
package packed

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

// Suffix ends the name of a compressed file.
const Suffix = ".zst"

// Stored is the file that has a content: path, or else path.zst, or the zip of a folder above.
func Stored(path string) string {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if info, err := os.Lstat(path + Suffix); err == nil && info.Mode().IsRegular() {
			return path + Suffix
		}
		if r, err := openZipped(path, maxUnpacked); err == nil {
			file, _ := zipOf(path)
			r.Close()
			return file
		}
	}
	return path
}

// Matches says whether a pattern is a file's name or matches it by path.Match: "*.log", "sub/*".
func Matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok || p == name
	})
}

// Open reads a file's content. More than limit bytes of a compressed or zipped file are an error.
func Open(path string, limit int64) (io.ReadCloser, error) {
	r, err := openHere(path, limit)
	if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if r, err := openZipped(path, limit); !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	return openHere(path, limit) // the zip may have been unpacked meanwhile
}

func openHere(path string, limit int64) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	z, packedErr := os.OpenFile(path+Suffix, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if packedErr != nil {
		return nil, err
	}
	c := &content{file: z, name: z.Name(), left: limit}
	return c, c.unpack()
}

// content is the content of a compressed file, or of one in a zip.
type content struct {
	file io.ReadCloser
	name string
	from io.Reader
	zstd *zstd.Decoder // nil if it is not stored by Pack
	left int64         // bytes
}

// unpack has the content come out of the format of zstd.
func (c *content) unpack() (err error) {
	// A file may ask for 128 MB of memory, as with the zstd program.
	c.zstd, err = zstd.NewReader(c.file, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
	c.from = c.zstd
	return err
}

func (c *content) Read(p []byte) (n int, err error) {
	n, err = c.from.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, fmt.Errorf("%s: unpacks to more than it should", c.name)
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: is damaged: %w", c.name, err)
	}
	return n, err
}

func (c *content) Close() error {
	if c.zstd != nil {
		c.zstd.Close()
	}
	return c.file.Close()
}

// ReadFile reads a whole file. More than limit bytes are an error as with Open.
func ReadFile(path string, limit int64) ([]byte, error) {
	var b bytes.Buffer
	err := copyTo(&b, path, limit)
	return b.Bytes(), err
}

// Pack puts path.zst in the place of a regular file. If there is a path.zst, that is fs.ErrExist.
func Pack(path string) error {
	err := create(path+Suffix, func(to io.Writer) error { return Compress(to, path) })
	if err == nil {
		err = durable.Remove(path)
	}
	return err
}

// Compress writes the content of a file as Pack stores it.
func Compress(to io.Writer, path string) error {
	// For files of ten kilobytes the fastest level is as good as the default level.
	w, err := zstd.NewWriter(to, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<18))
	if err != nil {
		return err
	}
	return cmp.Or(copyTo(w, path, 0), w.Close()) // the second error may be the first
}

// Unpack writes a file's content to a new file. There is none if Open has an error.
func Unpack(path, to string, limit int64) error {
	return create(to, func(to io.Writer) error { return copyTo(to, path, limit) })
}

func copyTo(to io.Writer, path string, limit int64) error {
	from, err := Open(path, limit)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	return err
}

// create makes a new file. An error removes it again.
func create(name string, write func(io.Writer) error) error {
	to, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if err = errors.Join(write(to), to.Close()); err != nil {
		err = errors.Join(err, durable.Remove(name))
	}
	return err
}
