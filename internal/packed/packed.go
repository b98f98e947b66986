// Package packed reads files that may be stored compressed: NAME, or NAME.zst in its place, as zstd writes it and zstdcat reads it. Whoever names a file
// names it without .zst; which of the two is there may change at any time, by hand too, and is the same content.
package packed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"

	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"grimperium/internal/inplace"
)

// Suffix is what the name of a compressed file has behind its own.
const Suffix = ".zst"

// maxWindow is the memory that a file may ask of the decoder, that of zstd's own.
const maxWindow = 128 << 20

// A coder's tables are a megabyte, more than most files: the next file has them again. For files of ten kilobytes the fastest level is as good as
// the default one.
var (
	encoders = sync.Pool{New: func() any {
		return must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<18)))
	}}
	decoders = sync.Pool{New: func() any {
		return must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow)))
	}}
)

// must is for options that are constants.
func must[C any](coder C, err error) C {
	if err != nil {
		panic(err)
	}
	return coder
}

// Stored is the file under which a content lies: path itself or, where that isn't there, path.zst if that is a regular file.
func Stored(path string) string {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if info, err := os.Lstat(path + Suffix); err == nil && info.Mode().IsRegular() {
			return path + Suffix
		}
	}
	return path
}

// Matches says whether one of the patterns is a file's name, or means it as path.Match does: "*.log", "sub/*". Names are relative, with slashes.
func Matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok || p == name
	})
}

// Open reads a file's content, at most limit bytes of it where it is compressed: beyond that is an error. It follows links like os.Open does.
func Open(path string, limit int64) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	z, zerr := os.OpenFile(path+Suffix, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if zerr != nil {
		return nil, err // of the name that was asked for
	}
	r := decoders.Get().(*zstd.Decoder)
	if zerr := r.Reset(z); zerr != nil {
		z.Close()
		return nil, zerr
	}
	return &content{path + Suffix, z, r, limit}, nil
}

// content is what a compressed file unpacks to.
type content struct {
	path string
	file *os.File
	zstd *zstd.Decoder
	left int64
}

func (c *content) Read(p []byte) (int, error) {
	n, err := c.zstd.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, fmt.Errorf("%s: unpacks to more than it should", c.path)
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: is damaged: %w", c.path, err)
	}
	return n, err
}

func (c *content) Close() error {
	if c.zstd != nil && c.zstd.Reset(nil) == nil {
		decoders.Put(c.zstd)
	}
	c.zstd = nil
	return c.file.Close()
}

// ReadFile reads a whole file, at most limit bytes of it where it is compressed.
func ReadFile(path string, limit int64) ([]byte, error) {
	data, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	r, err := Open(path, limit)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Compress is what path.zst holds of a file with this content.
func Compress(content []byte) []byte {
	w := encoders.Get().(*zstd.Encoder)
	defer encoders.Put(w)
	return w.EncodeAll(content, nil)
}

// Pack puts path.zst in the place of a regular file. There must be none.
func Pack(path string) error {
	return replace(path, func(to io.Writer) error {
		from, err := os.Open(path)
		if err != nil {
			return err
		}
		defer from.Close()
		w := encoders.Get().(*zstd.Encoder)
		w.Reset(to)
		_, err = io.Copy(w, from)
		if err = errors.Join(err, w.Close()); err == nil {
			encoders.Put(w)
		}
		return err
	})
}

// Put is Pack for a file whose compressed content is at hand: where it can, it writes that over the file. Nobody may read it meanwhile.
func Put(path string, compressed []byte) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path + Suffix); errors.Is(err, fs.ErrNotExist) && inplace.Ours(info) {
		if err := inplace.Overwrite(path, compressed); err != nil {
			return err
		}
		return os.Rename(path, path+Suffix)
	}
	return replace(path, func(to io.Writer) error {
		_, err := to.Write(compressed)
		return err
	})
}

func replace(path string, write func(io.Writer) error) error {
	to, err := os.OpenFile(path+Suffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(write(to), to.Close()); err != nil {
		return err
	}
	return os.Remove(path)
}

// Unpack puts a file in the place of path.zst, for a program that reads it; nothing is done where it isn't compressed. It is written to the folder tmp
// first, on the same disk.
func Unpack(path, tmp string, limit int64) error {
	if Stored(path) == path {
		return nil
	}
	r, err := Open(path, limit)
	if err != nil {
		return err
	}
	defer r.Close()
	to, err := renameio.NewPendingFile(path, renameio.WithTempDir(tmp), renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer func() { _ = to.Cleanup() }()
	if _, err := io.Copy(to, r); err != nil {
		return err
	}
	if err := to.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return os.Remove(path + Suffix)
}
