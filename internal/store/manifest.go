package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"grimperium/internal/fault"
)

// Outcomes of a target.
const (
	OK          = "ok"
	Failed      = "failed"
	TimedOut    = "timeout"
	Interrupted = "interrupted" // never recorded: such a target never happened
)

const format = "grimperium manifest 1"

// Manifest is the truth about one molecule's targets: artefacts/MOL/manifest.json.
//
// One that is on the disk, so that a row may rely on it, is replaced by a flushed one only, which is one flush a molecule. Until then, what its targets come to
// stands beside it in manifest.json.new: read by the next batch if this one is killed, and passed over where a power cut has torn it.
type Manifest struct {
	Format   string             `json:"format"`
	Molecule string             `json:"molecule"`
	Targets  map[string]*Record `json:"targets"` // by "stage" or "stage/instance"

	changed bool               // since it was written
	kept    bool               // manifest.json was read, or flushed
	ahead   bool               // manifest.json.new has more than manifest.json
	before  map[string]*Record // the targets of manifest.json, where the other one was read
	history []string           // files and folders of earlier results that are not flushed yet
}

// Record is what is known of one target.
type Record struct {
	Fingerprint string            `json:"fingerprint"`
	Description []string          `json:"description"` // the lines that were hashed
	Reading     string            `json:"reading,omitempty"`
	Outcome     string            `json:"outcome"`
	Error       string            `json:"error,omitempty"`
	Command     []string          `json:"command,omitempty"`
	Programs    map[string]string `json:"programs,omitempty"` // name to identity
	Attempt     int               `json:"attempt,omitempty"`
	Timeout     float64           `json:"timeout,omitempty"` // seconds
	Started     time.Time         `json:"started,omitzero"`
	Finished    time.Time         `json:"finished,omitzero"`
	Seconds     float64           `json:"seconds"`             // wall time
	CPU         float64           `json:"cpu_seconds"`         // of the program and its children
	MaxRSS      int64             `json:"max_rss,omitempty"`   // bytes
	ExitCode    int               `json:"exit_code,omitempty"` //
	Outputs     map[string]Output `json:"outputs,omitempty"`
	Values      map[string]any    `json:"values,omitempty"`
	Warnings    []string          `json:"warnings,omitempty"`

	unsynced bool   // it or its files may not be on the disk yet
	read     bool   // from the file; of a stage that is in the pipeline no more, its files may be gone
	encoded  []byte // its JSON, until it changes: a molecule's manifest is written once for each of its targets
	past     string // where it was in the history, until a manifest that says so is written
}

// Output is a file that a target produced.
type Output struct {
	File   string `json:"file"` // name in the target's folder
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

func (s *Store) manifestPath(mol string) string { return s.Path(mol, "manifest.json") }

func (s *Store) aheadPath(mol string) string { return s.manifestPath(mol) + ".new" }

// Manifest reads a molecule's manifest; an empty one where there is none. One that is damaged is a *DamagedError that names it: its results can't be
// trusted. A folder or a manifest that can't be looked into is a *FolderError: nothing is known of its results.
func (s *Store) Manifest(mol string) (*Manifest, error) {
	if err := s.noLinks(mol); err != nil {
		return empty(mol), &FolderError{err}
	}
	m, err := readManifest(s.manifestPath(mol), mol)
	var unreadable *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return empty(mol), nil
	case errors.As(err, &unreadable):
		return empty(mol), &FolderError{fmt.Errorf("%s: can't be read: %w; mend that, or move it away to have the molecule computed anew", s.manifestPath(mol), unreadable.Err)}
	case err != nil:
		return empty(mol), &DamagedError{Path: s.manifestPath(mol), Err: err}
	}
	if next, err := readManifest(s.aheadPath(mol), mol); err == nil {
		next.before, next.ahead = m.Targets, true
		m = next
	}
	m.kept = true
	for _, r := range m.Targets {
		r.unsynced, r.read = true, true // a batch that was killed may have left it before it was flushed
	}
	return m, nil
}

func readManifest(path, mol string) (*Manifest, error) {
	m := &Manifest{}
	err := readJSON(path, m)
	switch {
	case err != nil:
		return nil, err
	case m.Format != format:
		return nil, fmt.Errorf("has the format %q, not %q", m.Format, format)
	case m.Molecule != mol:
		return nil, fmt.Errorf("is of the molecule %q", m.Molecule)
	}
	return m, m.check()
}

// Vouched says that a manifest which was read, and its files, are on the disk: the index has them, which it has of no other.
func (m *Manifest) Vouched() {
	for _, r := range m.Targets {
		r.unsynced = false
	}
}

// Unsynced reports whether a power cut could take something of the manifest or its files; of no manifest, nothing.
func (m *Manifest) Unsynced() bool {
	if m == nil {
		return false
	}
	for _, r := range m.Targets {
		if r.unsynced {
			return true
		}
	}
	return m.changed || m.ahead
}

// noLinks refuses a molecule's folder that is a symbolic link, or has links among its folders: what a batch moves and removes there would be someone else's.
func (s *Store) noLinks(mol string) error {
	refuse := func(path string) error {
		return fmt.Errorf("%s: is a symbolic link, which a batch does not follow; remove it, or put the folder itself there (the whole artefacts folder may be a link)", path)
	}
	info, err := os.Lstat(s.Path(mol))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		return refuse(s.Path(mol))
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s: is no folder; move the file away", s.Path(mol))
	}
	entries, err := os.ReadDir(s.Path(mol))
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 {
			return refuse(s.Path(mol, e.Name()))
		}
	}
	return err
}

func empty(mol string) *Manifest {
	return &Manifest{Format: format, Molecule: mol, Targets: map[string]*Record{}}
}

// FolderError says that a batch can't work in a molecule's folder.
type FolderError struct{ Err error }

func (e *FolderError) Error() string { return e.Err.Error() }
func (e *FolderError) Unwrap() error { return e.Err }

// DamagedError says that a manifest can't be used; the molecule is built anew.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s: can't be read, so that the molecule is computed anew: %v", e.Path, e.Err)
}
func (e *DamagedError) Unwrap() error { return e.Err }

func (m *Manifest) check() error {
	if m.Targets == nil {
		m.Targets = map[string]*Record{}
	}
	for name, r := range m.Targets {
		switch {
		case r == nil || len(r.Fingerprint) != 64:
			return fmt.Errorf("target %s has no fingerprint", name)
		case !filepath.IsLocal(name):
			return fmt.Errorf("target %q is no path in the molecule's folder", name)
		}
		for o, out := range r.Outputs {
			if len(out.SHA256) != 64 || !filepath.IsLocal(out.File) {
				return fmt.Errorf("target %s: output %s is damaged", name, o)
			}
		}
	}
	return nil
}

// worth is how long a target must have taken for its manifest to be flushed to the disk at once: what is quicker than that is flushed
// with the molecule, and costs little to compute again after a power cut.
const worth = time.Second

// Save writes the molecule's manifest by one atomic step. A killed process loses none of it; a power cut may, until Sync, unless one of the
// targets was worth the time.
func (s *Store) Save(m *Manifest) error {
	m.changed = true
	for _, r := range m.Targets {
		if r.unsynced && r.Seconds > worth.Seconds() {
			return s.Sync(m)
		}
	}
	if err := s.write(m); err != nil || m.ahead {
		return err
	}
	return s.forget(m)
}

// write puts a manifest in the place of one that is not flushed either.
func (s *Store) write(m *Manifest) error {
	data, err := m.encode()
	if err != nil {
		return err
	}
	path := s.manifestPath(m.Molecule)
	if m.kept {
		path = s.aheadPath(m.Molecule)
	}
	if err := s.put(path, data); err != nil {
		return err
	}
	m.changed, m.ahead = false, m.kept
	return nil
}

// put writes a file by one atomic step, without a flush.
func (s *Store) put(path string, data []byte) error {
	if err := os.MkdirAll(s.Path(scratchName), 0o755); err != nil {
		return err
	}
	tmp, err := s.writeTemporary(data)
	if err == nil {
		err = s.moveInto("store.manifest", tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// forget removes the records of earlier results that were brought back, when a manifest says so.
func (s *Store) forget(m *Manifest) error {
	for _, r := range m.Targets {
		if r.past == "" {
			continue
		}
		if err := fault.Around("store.forget", func() error { return os.Remove(r.past + ".json") }); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.past = ""
	}
	return nil
}

// encode is the manifest as JSON, laid out for reading. Only the records that changed are encoded anew.
func (m *Manifest) encode() ([]byte, error) {
	head, err := json.MarshalIndent(struct {
		Format   string `json:"format"`
		Molecule string `json:"molecule"`
	}{m.Format, m.Molecule}, "", " ")
	if err != nil {
		return nil, err
	}
	out := append(bytes.TrimSuffix(head, []byte("\n}")), ",\n \"targets\": {"...)
	for n, name := range slices.Sorted(maps.Keys(m.Targets)) {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		r := m.Targets[name]
		if r.encoded == nil {
			if r.encoded, err = json.MarshalIndent(r, "  ", " "); err != nil {
				return nil, err
			}
		}
		if n > 0 {
			out = append(out, ',')
		}
		out = append(append(append(append(out, "\n  "...), key...), ": "...), r.encoded...)
	}
	return seal(append(out, "\n }\n}"...)), nil
}

// writeRecord keeps the record of an earlier result in the history. It need not be flushed before the manifest that has it too is replaced.
func (s *Store) writeRecord(m *Manifest, path string, r *Record) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	m.history = append(m.history, path, filepath.Dir(path), filepath.Dir(filepath.Dir(path)))
	return s.put(path, seal(data))
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return err
	}
	return sealed(data)
}

// sealMark stands before the last member of a sealed JSON text: the SHA-256 of all that stands before the mark, so that a damage that leaves good JSON, such
// as another digit in a value, is seen. A line break is never within a JSON string, and one blank behind it is the outermost object.
const sealMark = ",\n \"sha256\": "

func seal(data []byte) []byte {
	body := data[:len(data)-len("\n}")]
	return fmt.Appendf(body, "%s\"%x\"\n}\n", sealMark, sha256.Sum256(body))
}

// sealed is an error if a text is not as seal made it. One without the mark passes: earlier versions wrote none.
func sealed(data []byte) error {
	i := bytes.LastIndex(data, []byte(sealMark))
	if i >= 0 && string(data[i+len(sealMark):]) != fmt.Sprintf("\"%x\"\n}\n", sha256.Sum256(data[:i])) {
		return errors.New("its content is not what was written, by the SHA-256 at its end")
	}
	return nil
}

// Put records what became of a target.
func (m *Manifest) Put(target string, r *Record) {
	r.unsynced, r.encoded = true, nil
	m.Targets[target], m.changed = r, true
}

// Targets of a stage, in order of their instances.
func (m *Manifest) Instances(stage string) []string {
	var out []string
	for name := range m.Targets {
		if s, _, ok := strings.Cut(name, "/"); ok && s == stage {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return out
}

// Verify hashes a target's files and says why they are not the recorded ones, "" when they are.
func (s *Store) Verify(mol, target string, r *Record) string {
	dir := s.TargetDir(mol, target)
	for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
		out := r.Outputs[name]
		now, err := same(dir, out)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Sprintf("output %s (%s) is missing", name, out.File)
		case err != nil:
			return fmt.Sprintf("output %s can't be read: %v", name, err)
		case now.SHA256 != out.SHA256:
			return fmt.Sprintf("output %s (%s) was changed by another hand", name, out.File)
		}
	}
	return ""
}
