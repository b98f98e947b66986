package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"grimperium/internal/durable"
)

const (
	logName = "manifest.jsonl"
	format  = "grimperium manifest 2"
	sumMark = `,"sum":"` // stands before the checksum, the last member of a line
	sealed  = len(sumMark + `00000000"}`)
)

// slack is how many lines a log may have beyond four for each target, for its results.
var slack = 20

// Outcome is what became of a target.
type Outcome = string

// The outcomes of a target.
const (
	OK          Outcome = "ok"
	Failed      Outcome = "failed"
	TimedOut    Outcome = "timeout"
	Interrupted Outcome = "interrupted" // never recorded: such a target never happened
	dropped     Outcome = "dropped"     // of a target that is no longer there
)

// Record is what is known of one attempt at a target.
type Record struct {
	Target      string            `json:"target"` // "stage" or "stage/instance"
	Fingerprint string            `json:"fingerprint"`
	Description []string          `json:"description"`       // the lines that were hashed
	Reading     string            `json:"reading,omitempty"` // hash of how values are read
	Outcome     Outcome           `json:"outcome"`
	Error       string            `json:"error,omitempty"`
	Command     []string          `json:"command,omitempty"`
	Programs    map[string]string `json:"programs,omitempty"` // name to identity
	Attempt     int               `json:"attempt,omitempty"`
	Attempts    []string          `json:"attempts,omitempty"` // what those after the first did
	Reruns      int               `json:"reruns,omitempty"`   // of the molecule, this one counted
	Timeout     float64           `json:"timeout,omitempty"`  // seconds
	Started     time.Time         `json:"started,omitzero"`
	Finished    time.Time         `json:"finished,omitzero"`
	Seconds     float64           `json:"seconds"`           // wall time
	CPU         float64           `json:"cpu_seconds"`       // of the program and its children
	MaxRSS      int64             `json:"max_rss,omitempty"` // bytes
	ExitCode    int               `json:"exit_code,omitempty"`
	Outputs     map[string]Output `json:"outputs,omitempty"`
	Values      json.RawMessage   `json:"values,omitempty"`
	Warnings    []string          `json:"warnings,omitempty"`

	Found  string `json:"-"` // the folder in which Find saw the files
	shared bool   // Found is a folder of another target that may need it again
}

// Output is a file that a target produced. Hash and size are of the content, unpacked.
type Output struct {
	File   string `json:"file"` // name in the target's folder, with slashes
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes
}

// Row is what a molecule's row in the table was given last.
type Row struct {
	Status string            `json:"status"`
	Reruns int               `json:"reruns"`
	Error  string            `json:"error,omitempty"`
	Cells  map[string]string `json:"cells,omitempty"` // by column
	Gone   map[string]string `json:"gone,omitempty"`  // columns to be blank, with what they had
	Batch  string            `json:"batch,omitempty"`
	Time   time.Time         `json:"time,omitzero"`
	// Molecule stands for what the row said of the molecule and of the reference; 0: not known.
	Molecule uint64 `json:"molecule,omitempty,string"`
}

// contentID is the name of the folder of a result in the history.
func (r *Record) contentID() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
		fmt.Fprintf(h, "%q %s\n", r.Outputs[name].File, r.Outputs[name].SHA256)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// valid refuses a record that no batch has written: its names could lead out of the folder.
func (r *Record) valid() bool {
	for _, out := range r.Outputs {
		if len(out.SHA256) != 64 || !filepath.IsLocal(out.File) {
			return false
		}
	}
	return filepath.IsLocal(r.Target) && filepath.Clean(r.Target) == r.Target &&
		r.Target[0] != '.' && (len(r.Fingerprint) == 64 || r.Outcome == dropped)
}

// object is what stands in the log for a record.
func (r *Record) object() any {
	if r.Outcome == dropped {
		return map[string]string{"dropped": r.Target, "fingerprint": r.Fingerprint}
	}
	return r
}

// seal makes a line of each object.
func seal(objects ...any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, v := range objects {
		begin := b.Len()
		if err := e.Encode(v); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - len("}\n"))
		fmt.Fprintf(&b, "%s%08x\"}\n", sumMark, crc32.ChecksumIEEE(b.Bytes()[begin:]))
	}
	return b.Bytes(), nil
}

// line is any line of a log.
type line struct {
	Format, Molecule string
	Dropped          string
	Row              *Row
	Record
}

// unseal reads a line without its newline. It is torn if it is the beginning of one.
func unseal(text []byte) (l line, ok, torn bool) {
	n := len(text) - sealed
	if n < 0 || string(text[n:]) != fmt.Sprintf("%s%08x\"}", sumMark,
		crc32.ChecksumIEEE(text[:n])) {
		text = bytes.TrimRight(text, "\x00")
		whole := bytes.HasPrefix(text[max(0, len(text)-sealed):], []byte(sumMark))
		err := json.NewDecoder(bytes.NewReader(text)).Decode(&struct{}{})
		return l, false, !whole && (err == io.EOF || err == io.ErrUnexpectedEOF)
	}
	err := json.Unmarshal(text, &l)
	if l.Dropped != "" {
		l.Record = Record{Target: l.Dropped, Fingerprint: l.Fingerprint, Outcome: dropped}
	}
	return l, err == nil, false
}

// read takes in the lines of the log. An error means that the log is of no use.
func (m *Molecule) read(data []byte) error {
	for text := range bytes.Lines(data) {
		text, whole := bytes.CutSuffix(text, []byte("\n"))
		text = bytes.TrimSuffix(text, []byte("\r")) // an editor or a copy has added it
		if !whole || len(text) == 0 {
			continue
		}
		m.lines++
		l, ok, torn := unseal(text)
		switch {
		case torn:
		case ok && l.Format != "" && l.Format != format:
			return fmt.Errorf("has the format %q, not %q", l.Format, format)
		case ok && l.Format != "" && l.Molecule != m.id:
			return fmt.Errorf("is of the molecule %q", l.Molecule)
		case ok && l.Format != "":
			m.header = true
		case ok && l.Row != nil:
			m.row = l.Row
		case ok && l.Record.valid():
			m.add(&l.Record)
		default:
			m.damaged++
		}
	}
	if m.damaged > 0 && !m.header && len(m.log) == 0 {
		return errors.New("no line of it is whole")
	}
	m.replace = m.lines > 4*len(m.last)+slack
	return nil
}

func (m *Molecule) add(r *Record) {
	if r.Outcome == dropped { // the results with its fingerprint never were
		m.log = slices.DeleteFunc(m.log, func(o *Record) bool {
			return o.Target == r.Target && o.Fingerprint == r.Fingerprint
		})
	}
	m.log = append(m.log, r)
	m.last[r.Target] = r
}

// append adds an object to the log, or puts a new log in the place of one to be replaced.
func (m *Molecule) append(v any) {
	objects := []any{v}
	if m.replace {
		objects = append(m.living(), v)
	}
	if m.replace || !m.header {
		first := map[string]string{"format": format, "molecule": m.id}
		objects = append([]any{first}, objects...)
	}
	path := m.path(logName)
	if _, gone := stampOf(path); m.header && m.zip == nil && errors.Is(gone, fs.ErrNotExist) {
		m.zip, _, _ = m.s.openZip(m.id) // a task that was believed dead has packed it
	}
	m.do(func() error { return os.MkdirAll(m.path(), 0o777) }, func() error {
		text, err := seal(objects...)
		if err == nil && m.replace {
			return m.s.replace(path, text)
		}
		if err == nil {
			err = durable.Append(path, text)
		}
		return err
	}, func() error {
		now, err := stampOf(path)
		m.hashes[now], m.dirty[path] = logName, true
		m.header, m.replace = true, false
		return err
	})
}

func (m *Molecule) record(r *Record) {
	m.append(r.object())
	if m.err == nil {
		m.add(r)
	}
}

// PutRow records what the molecule's row is given.
func (m *Molecule) PutRow(r Row) error {
	m.append(map[string]Row{"row": r})
	if m.err == nil {
		m.row = &r
	}
	return m.err
}

// living are the row, the newest record of each target, and the records whose files are there.
func (m *Molecule) living() (objects []any) {
	if m.row != nil {
		objects = append(objects, map[string]Row{"row": *m.row})
	}
	has := map[[2]string]bool{} // by target and fingerprint; "" for any
	for _, r := range slices.Backward(m.log) {
		all, this := [2]string{r.Target}, [2]string{r.Target, r.Fingerprint}
		there := r.Outcome == OK && !has[this] && m.locate(r) != ""
		if there || !has[all] {
			objects = append(objects, r.object())
		}
		has[all], has[this] = true, has[this] || there
	}
	slices.Reverse(objects)
	return objects
}
