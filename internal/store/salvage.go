package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"grimperium/internal/fault"
)

// interruptedName is the file in a failed attempt's folder that says of which target the files are
// that an interrupted attempt left there.
const interruptedName = "interrupted.txt"

const interruptedText = "The batch was interrupted. The next attempt starts from %s.\nfingerprint %s\n"

// KeepInterrupted moves files of an interrupted attempt from its scratch folder to where failed
// attempts lie. The attempt itself never happened; an earlier failed one's other files stay.
func (s *Store) KeepInterrupted(mol, target, scratch string, files []string, fingerprint string) error {
	dir := s.FailedDir(mol, target)
	note := filepath.Join(dir, interruptedName)
	if err := removeAll(note); err != nil { // killed in between, nothing is said of the files
		return err
	}
	for _, f := range files {
		to := filepath.Join(dir, f)
		if info, err := os.Lstat(to); err == nil && info.IsDir() {
			if err := removeAll(to); err != nil {
				return err
			}
		}
		if err := moveDir("store.move", filepath.Join(scratch, f), to); err != nil {
			return err
		}
	}
	return fault.Around("store.write", func() error {
		return os.WriteFile(note, fmt.Appendf(nil, interruptedText, strings.Join(files, ", "), fingerprint), 0o644)
	})
}

// Interrupted says whether the files of an interrupted attempt lie with a target's failed ones, if
// it had this fingerprint.
func (s *Store) Interrupted(mol, target, fingerprint string) bool {
	path := filepath.Join(s.FailedDir(mol, target), interruptedName)
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	data, err := os.ReadFile(path)
	return err == nil && strings.HasSuffix(string(data), "\nfingerprint "+fingerprint+"\n")
}
