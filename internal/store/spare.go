package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"grimperium/internal/fault"
	"grimperium/internal/inplace"
)

// spares are files in the scratch folder that nothing needs any more: what programs left that is not kept, emptied, and manifests that newer ones took the
// place of. They are used again, which costs less than a file removed and another made (see package inplace).
type spares struct {
	mu             sync.Mutex
	empty, written []string
}

// mostSpare is how many empty files are kept: more than a molecule's decks and streams.
const mostSpare = 32

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

// clear forgets what is spare, since it is about to be swept.
func (s *spares) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.empty, s.written = nil, nil
}

// temporary is a new name in the scratch folder; killed, it is swept.
func (s *Store) temporary() string { return s.Path(scratchName, fmt.Sprintf(".put.%d", s.puts.Add(1))) }

// Reuse lays empty files, as far as there are some, where new ones will be written: whoever opens them makes the others.
func (s *Store) Reuse(paths ...string) error {
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			continue // written for the program, perhaps as a folder
		}
		empty := s.spares.take(&s.spares.empty)
		if empty == "" {
			break
		}
		err := fault.Around("store.spare", func() error { return os.Rename(empty, path) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // as where someone has tidied up the scratch folder
			return err
		}
	}
	return nil
}

// Create makes a file in a scratch folder, with this mode if it is a new one.
func (s *Store) Create(path string, mode fs.FileMode) (*os.File, error) {
	if err := s.Reuse(path); err != nil {
		return nil, err
	}
	return inplace.Create(path, mode)
}

// spare takes a file that is to be removed, if it can be used again, and says whether it has. Nobody writes to it any more: the runner leaves no process.
func (s *Store) spare(path string) (bool, error) {
	info, err := os.Lstat(path)
	s.spares.mu.Lock()
	enough := len(s.spares.empty) >= mostSpare
	s.spares.mu.Unlock()
	if err != nil || enough || !inplace.Ours(info) {
		return false, err
	}
	to := s.temporary()
	if err := fault.Around("store.spare", func() error { return os.Rename(path, to) }); err != nil {
		return false, err
	}
	f, err := inplace.Create(to, 0o644) // and empties it
	if err != nil {
		return true, err
	}
	s.spares.keep(&s.spares.empty, to)
	return true, f.Close()
}

// writeTemporary writes a file in the scratch folder, over a spare one where there is one, and returns its path.
func (s *Store) writeTemporary(data []byte) (path string, err error) {
	if path = s.spares.take(&s.spares.written); path != "" {
		if info, err := os.Lstat(path); err == nil && inplace.Ours(info) {
			return path, fault.Around("store.write", func() error { return inplace.Overwrite(path, data) })
		}
	}
	path = s.temporary()
	return path, fault.Around("store.write", func() error { return os.WriteFile(path, data, 0o644) })
}
