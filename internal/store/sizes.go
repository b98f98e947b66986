package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Size is what files take.
type Size struct {
	Files int
	Bytes int64 // that they hold
	Disk  int64 // bytes that the disk gives to them and their folders, in whole blocks
}

// add counts a file, or all below a folder.
func (z *Size) add(path string) error { return filepath.WalkDir(path, z.count) }

// count counts a file or a folder. What a batch moves away meanwhile is not counted.
func (z *Size) count(path string, d fs.DirEntry, err error) error {
	var st unix.Stat_t
	if err == nil {
		err = unix.Lstat(path, &st)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	z.Disk += 512 * st.Blocks
	if d.Type().IsRegular() {
		z.Files++
		z.Bytes += st.Size
	}
	return nil
}

// What Sizes calls the files that are no stage's results.
const (
	SizeManifests = "manifests"
	SizeHistory   = "earlier results"
	SizeFailed    = "failed attempts"
	SizeAside     = "put aside"
	SizeShared    = "journal, index"
)

// Sizes counts the files of each stage's results, and the others by the names above. It looks at every file.
func (s *Store) Sizes() (map[string]*Size, error) {
	out := map[string]*Size{}
	of := func(what string) *Size {
		if out[what] == nil {
			out[what] = &Size{}
		}
		return out[what]
	}
	entries, err := os.ReadDir(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			err = errors.Join(err, of(SizeShared).add(s.Path(e.Name())))
			continue
		}
		inside, e2 := os.ReadDir(s.Path(e.Name()))
		err = errors.Join(err, e2, of(SizeManifests).count(s.Path(e.Name()), e, nil)) // the folder itself
		for _, f := range inside {
			err = errors.Join(err, of(kind(f)).add(s.Path(e.Name(), f.Name())))
		}
	}
	return out, err
}

func kind(f fs.DirEntry) string {
	switch name := f.Name(); {
	case name == historyName:
		return SizeHistory
	case strings.HasSuffix(name, failedMark):
		return SizeFailed
	case f.IsDir():
		return name
	case strings.HasPrefix(name, "manifest.json"):
		return SizeManifests
	}
	return SizeAside
}
