package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
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

// slack is how many lines a log may have beyond four for each target: its newest record, and those
// of its earlier results.
var slack = 20

// line is any line of a log: the first one, a record, a row, or a target that was dropped.
type line struct {
	Format, Molecule string
	Dropped          string
	Row              *Row
	Record
}

// dropped is the outcome, here alone, of a target that is no longer there.
const dropped Outcome = "dropped"

// seal makes a line of each object: its last member is the CRC-32 of all before it.
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

// unseal reads a line without its newline.
func unseal(text []byte) (l line, ok bool) {
	n := len(text) - sealed
	if n < 0 || string(text[n:]) != fmt.Sprintf("%s%08x\"}", sumMark, crc32.ChecksumIEEE(text[:n])) {
		return l, false
	}
	err := json.Unmarshal(text, &l)
	if l.Dropped != "" {
		l.Record = Record{Target: l.Dropped, Fingerprint: l.Fingerprint, Outcome: dropped}
	}
	return l, err == nil
}

// torn says whether a line without a good sum is the beginning of one: what a crash leaves.
func torn(text []byte) bool {
	text = bytes.TrimRight(text, "\x00")
	if bytes.HasPrefix(text[max(0, len(text)-sealed):], []byte(sumMark)) {
		return false
	}
	err := json.NewDecoder(bytes.NewReader(text)).Decode(&struct{}{})
	return err == io.EOF || err == io.ErrUnexpectedEOF
}

// read takes in the lines of the log. An error means that the log is of no use.
func (m *Molecule) read(data []byte) error {
	for text := range bytes.Lines(data) {
		text, whole := bytes.CutSuffix(text, []byte("\n"))
		if !whole || len(text) == 0 {
			continue
		}
		m.lines++
		l, ok := unseal(text)
		switch {
		case !ok && torn(text):
		case ok && l.Format != "":
			if l.Format != format {
				return fmt.Errorf("has the format %q, not %q", l.Format, format)
			}
			if l.Molecule != m.id {
				return fmt.Errorf("is of the molecule %q", l.Molecule)
			}
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
	m.replace = m.lines > 4*len(m.records)+slack
	return nil
}

func (m *Molecule) add(r *Record) {
	if r.Outcome == dropped { // the results with its fingerprint never were
		void := func(o *Record) bool { return o.Target == r.Target && o.Fingerprint == r.Fingerprint }
		m.log = slices.DeleteFunc(m.log, void)
		m.records[r.Target] = slices.DeleteFunc(m.records[r.Target], void)
	}
	m.log = append(m.log, r)
	m.records[r.Target] = append(m.records[r.Target], r)
}

// append adds an object to the log, or puts a new log in the place of one to be replaced. The first
// line goes out with the first object.
func (m *Molecule) append(v any) error {
	objects := []any{v}
	if m.replace {
		objects = append(m.living(), v)
	}
	if m.replace || !m.header {
		first := map[string]string{"format": format, "molecule": m.id}
		objects = append([]any{first}, objects...)
	}
	text, err := seal(objects...)
	if err == nil {
		err = os.MkdirAll(m.path(), 0o777)
	}
	if err != nil {
		return err
	}
	m.flushed = false
	path := m.path(logName)
	before, _ := stampOf(path)
	if m.replace {
		before, m.stamp = stamp{}, stamp{}
		err = m.s.replace(path, text)
	} else {
		err = durable.Append(path, text)
	}
	if err != nil {
		return err
	}
	now, err := stampOf(path)
	grown := now.size - before.size - int64(len(text)) // 1 if a torn line was ended
	if before == m.stamp && (grown == 0 || grown == 1) {
		m.stamp = now // else another process wrote, too
	}
	m.header, m.replace = true, false
	return err
}

// record adds a record.
func (m *Molecule) record(r *Record) error {
	if err := m.append(r.object()); err != nil {
		return err
	}
	m.add(r)
	return nil
}

// PutRow records what the molecule's row is given.
func (m *Molecule) PutRow(r Row) error {
	if err := m.append(map[string]Row{"row": r}); err != nil {
		return err
	}
	m.row = &r
	return nil
}

// living are the objects that a log must have: the newest record of each target, the records whose
// files are still there, what was dropped since, and the row.
func (m *Molecule) living() (objects []any) {
	if m.row != nil {
		objects = append(objects, map[string]Row{"row": *m.row})
	}
	has := map[[2]string]bool{} // by target and fingerprint; "" for any
	for _, r := range slices.Backward(m.log) {
		all, this := [2]string{r.Target}, [2]string{r.Target, r.Fingerprint}
		there := r.Outcome == OK && !has[this] && m.locate(r, r.Target) != ""
		if there || !has[all] {
			objects = append(objects, r.object())
		}
		has[all], has[this] = true, has[this] || there
	}
	slices.Reverse(objects)
	return objects
}

// Outcome is what became of a target.
type Outcome = string

// The outcomes of a target.
const (
	OK          Outcome = "ok"
	Failed      Outcome = "failed"
	TimedOut    Outcome = "timeout"
	Interrupted Outcome = "interrupted" // never recorded: such a target never happened
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
	Reruns      int               `json:"reruns,omitempty"`  // of the molecule, this one counted
	Timeout     float64           `json:"timeout,omitempty"` // seconds
	Started     time.Time         `json:"started,omitzero"`
	Finished    time.Time         `json:"finished,omitzero"`
	Seconds     float64           `json:"seconds"`           // wall time
	CPU         float64           `json:"cpu_seconds"`       // of the program and its children
	MaxRSS      int64             `json:"max_rss,omitempty"` // bytes
	ExitCode    int               `json:"exit_code,omitempty"`
	Outputs     map[string]Output `json:"outputs,omitempty"`
	Values      map[string]any    `json:"values,omitempty"`
	Warnings    []string          `json:"warnings,omitempty"`

	found   string // the folder in which Find saw the files
	shared  bool   // found is the place of another target that may need it
	flushed bool   // a power cut can't take the record or its files
}

// Output is a file that a target produced. Hash and size are of the content, not of the compressed
// file.
type Output struct {
	File   string `json:"file"` // name in the target's folder, with slashes
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes

	stamp stamp // of the file when its content was last verified
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
}

// contentID is the same for two results with the same files: the name of a folder in the history.
func (r *Record) contentID() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
		fmt.Fprintf(h, "%q %s\n", r.Outputs[name].File, r.Outputs[name].SHA256)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// object is what stands in the log for a record.
func (r *Record) object() any {
	if r.Outcome == dropped {
		return map[string]string{"dropped": r.Target, "fingerprint": r.Fingerprint}
	}
	return r
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

// FolderError says that a batch can't work in a molecule's folder.
type FolderError struct{ error }

// DamagedError says that a molecule's log can't be used.
type DamagedError struct{ error }

// OutputError says that a program did not leave what it should have. The disk is not at fault.
type OutputError struct{ error }
