package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"grimperium/internal/fault"
)

// Streams of a program, as files in its folder.
const (
	StdoutName = "stdout"
	StderrName = "stderr"
)

// spares are files in the scratch folder that nothing needs any more: empty streams, and manifests that newer ones took the place of. They are used again,
// for a rename costs less than one file removed and another made, most of all on an ext4 without a journal: looking for an inode, it passes over each that
// was freed in the last minutes.
type spares struct {
	mu             sync.Mutex
	empty, written []string
}

func (s *spares) keep(list *[]string, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, path)
}

// take returns one of a list, "" when there is none.
func (s *spares) take(list *[]string) (path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(*list) - 1; n >= 0 {
		path, *list = (*list)[n], (*list)[:n]
	}
	return path
}

// reusable says whether a file, not to be followed if it is a link, is ours alone to write: a backup may have hard links to it.
func reusable(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 1 && info.Mode().IsRegular() && info.Mode().Perm()&0o600 == 0o600
}

// temporary is a new name in the scratch folder; killed, it is swept.
func (s *Store) temporary() string { return s.Path(scratchName, fmt.Sprintf(".put.%d", s.puts.Add(1))) }

// Streams lays empty files, as far as there are some, where a program's streams will be written: whoever opens them makes the others.
func (s *Store) Streams(paths ...string) error {
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			continue // written for the program, perhaps as a folder
		}
		empty := s.spares.take(&s.spares.empty)
		if empty == "" {
			break
		}
		if err := fault.Around("store.spare", func() error { return os.Rename(empty, path) }); err != nil {
			return err
		}
	}
	return nil
}

// spareStream takes a stream out of a target's scratch folder, if it is empty, and says whether it has. Nothing writes to it any more: the runner leaves no
// process.
func (s *Store) spareStream(path string) (bool, error) {
	info, err := os.Lstat(path)
	if err != nil || info.Size() > 0 || !reusable(info) {
		return false, err
	}
	to := s.temporary()
	err = fault.Around("store.spare", func() error { return os.Rename(path, to) })
	if err == nil {
		s.spares.keep(&s.spares.empty, to)
	}
	return true, err
}

// writeTemporary writes a file in the scratch folder, over a spare one where there is one, and returns its path.
func (s *Store) writeTemporary(data []byte) (path string, err error) {
	if path = s.spares.take(&s.spares.written); path != "" {
		if info, err := os.Lstat(path); err == nil && reusable(info) {
			return path, fault.Around("store.write", func() error { return overwrite(path, data, info.Size()) })
		}
	}
	path = s.temporary()
	return path, fault.Around("store.write", func() error { return os.WriteFile(path, data, 0o644) })
}

// overwrite does not empty the file first: ext4 would write it to the disk as soon as it is closed (mount option auto_da_alloc).
func overwrite(path string, data []byte, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil && size > int64(len(data)) {
		err = f.Truncate(int64(len(data)))
	}
	return errors.Join(err, f.Close())
}
