package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"grimperium/internal/durable"
	"grimperium/internal/packed"
)

// mostBytes is how long a journal may be when a batch begins: some 20,000 molecules.
const mostBytes = 64 << 20

// Rotate moves a journal of more than 64 MB to .journal/TIME.jsonl. The file that was moved there
// last stays as it is, since estimates begin with its end; the earlier ones are compressed. No
// batch may be running.
func Rotate(path string) error { return rotate(path, mostBytes) }

func rotate(path string, most int64) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() <= most {
		return nil
	}
	earlier, listErr := earlierFiles(path)
	if err = errors.Join(err, listErr); err != nil {
		return err
	}
	for _, name := range earlier {
		if packed.Stored(name) != name {
			continue
		}
		write := func(to io.Writer) error { return packed.Compress(to, name) }
		if err := durable.WriteFile(durable.File{Path: name + packed.Suffix,
			Write: write}); err != nil {
			return err
		}
		if err := durable.Remove(name); err != nil {
			return err
		}
	}
	stamp := time.Now().UTC().Format("20060102T150405.000000000Z")
	return durable.Rename(path, filepath.Join(earlierFolder(path), stamp+".jsonl"))
}

func earlierFolder(path string) string { return filepath.Join(filepath.Dir(path), ".journal") }

// earlierFiles are the files that Rotate moved away, the oldest first, without .zst.
func earlierFiles(path string) (names []string, err error) {
	entries, err := os.ReadDir(earlierFolder(path))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), packed.Suffix)
		if strings.HasSuffix(name, ".jsonl") && !strings.HasPrefix(name, ".") {
			names = append(names, filepath.Join(earlierFolder(path), name))
		}
	}
	return slices.Compact(names), err
}

// Each gives the events of all files of a journal from its beginning.
func Each(path string, see func(Event)) error {
	earlier, err := earlierFiles(path)
	for _, name := range earlier {
		f, openErr := packed.Open(name, 1<<40)
		if err = errors.Join(err, openErr); err != nil {
			return err
		}
		if err = errors.Join(lines(f, events(see)), f.Close()); err != nil {
			return err
		}
	}
	return errors.Join(err, Open(path).Each(see))
}
