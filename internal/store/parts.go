package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"grimperium/internal/durable"
)

// Parts are what an unfinished target has computed so far, as files in artefacts/MOL/.parts. They
// are of one fingerprint and one command. A result that arrives removes them.
type Parts struct {
	s   *Store
	dir string
	of  string
}

// Parts are those of a target. It is safe for concurrent use.
func (s *Store) Parts(mol, target, fingerprint string, command []string) *Parts {
	return &Parts{s, s.Path(mol, partsName, flat(target)),
		fingerprint + "\x00" + strings.Join(command, "\x00") + "\x00"}
}

func (p *Parts) path(key string) string {
	sum := sha256.Sum256([]byte(p.of + key))
	return filepath.Join(p.dir, hex.EncodeToString(sum[:16]))
}

// Keep records a part: a line with its checksum, and the part.
func (p *Parts) Keep(key string, part []byte) error {
	sum := sha256.Sum256(part)
	return p.s.replace(p.path(key), append([]byte(hex.EncodeToString(sum[:])+"\n"), part...))
}

// Kept is the part that was recorded, nil if there is none or its file was changed.
func (p *Parts) Kept(key string) []byte {
	data, err := durable.ReadFile(p.path(key))
	line, part, _ := bytes.Cut(data, []byte("\n"))
	if sum := sha256.Sum256(part); err != nil || string(line) != hex.EncodeToString(sum[:]) {
		return nil
	}
	return part
}

// clearParts removes the parts of a target that is finished.
func (m *Molecule) clearParts(target string) {
	dir := m.path(partsName, flat(target))
	if _, err := os.Lstat(dir); err == nil {
		m.remove(dir)
		durable.RemoveEmpty(m.path(partsName))
	}
}
