package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

// earlierResults is how many earlier results of a target stay, for edits that are taken back.
const earlierResults = 3

// flushAfter is how many seconds a target takes that is flushed at once, not with the molecule.
const flushAfter = 1

// Put makes a scratch folder a target's result and fills r.Outputs. It removes what is neither an
// output nor meant by keep, and compresses what compress means. An *OutputError says that the
// folder has not what it should have; then nothing is recorded.
func (m *Molecule) Put(r *Record, scratch string, c *Collected, keep, compress []string) error {
	if c.err != nil {
		return c.err
	}
	if err := c.tidy(scratch, keep, compress); err != nil {
		return err
	}
	r.Outputs = c.outputs
	if err := m.arrive(r, scratch); err != nil {
		return err
	}
	if err := m.clearFailed(r.Target); err != nil || r.Seconds <= flushAfter {
		return err
	}
	return m.Flush()
}

// Append records what moves no files: a failure, values that were read again, a stage of values. A
// failure with another fingerprint than the present result moves that result to the history.
func (m *Molecule) Append(r *Record) error {
	again := *r
	if err := m.record(&again); err != nil || r.Outcome == OK {
		return err
	}
	if now := m.owner(r.Target); now != nil && now.Fingerprint != r.Fingerprint {
		return m.retire(r.Target, "")
	}
	return nil
}

// Restore brings the result that Find gave into the place of r.Target, and records it.
// r may be a copy with another target, reading or values. The present result of another target is
// copied: that target may still need it.
func (m *Molecule) Restore(r *Record) error {
	again, from := *r, r.found
	again.flushed, again.shared = false, false
	if _, err := stampOf(from); r.shared && err == nil {
		if from, err = m.s.Scratch(m.id + "." + r.Target); err == nil {
			err = os.CopyFS(from, os.DirFS(r.found))
		}
		if err != nil {
			return err
		}
	}
	err := m.arrive(&again, from)
	durable.RemoveEmpty(filepath.Dir(r.found))
	return err
}

// arrive records a result and moves its folder into place. It retires what is there, and results
// whose folders lie in that place or around it: of a stage that has got, or lost, its for_each.
func (m *Molecule) arrive(r *Record, from string) error {
	if err := m.record(r); err != nil {
		return err
	}
	_, err := stampOf(from)
	if from == m.place(r.Target) || len(r.Outputs) == 0 && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, other := range m.Targets() {
		nested := strings.HasPrefix(other, r.Target+"/") || strings.HasPrefix(r.Target, other+"/")
		if !nested || m.owner(other) == nil {
			continue
		}
		if err := m.retire(other, ""); err != nil {
			return err
		}
	}
	if err := m.retire(r.Target, from); err != nil {
		return err
	}
	if err := durable.Rename(from, m.place(r.Target)); err != nil {
		return err
	}
	if why := m.Verify(r.Target, r); why != "" {
		return fmt.Errorf("%s: is not what was put there: %s", m.place(r.Target), why)
	}
	return nil
}

// owner is the newest record whose files are in a target's place, nil if there is none: of those
// with the most outputs, since another result may have made some of the same files.
func (m *Molecule) owner(target string) (owner *Record) {
	most := 0
	for _, r := range slices.Backward(m.records[target]) {
		if r.Outcome == OK && len(r.Outputs) > most && m.Verify(target, r) == "" {
			owner, most = r, len(r.Outputs)
		}
	}
	return owner
}

// retire moves what is in a target's place to the history, or puts aside what was edited by hand.
// It removes the oldest earlier results. The folder source is about to be moved and stays.
func (m *Molecule) retire(target, source string) error {
	dir := m.place(target)
	switch a, err := stampOf(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && a.kind() != unix.S_IFDIR:
		return durable.Remove(dir) // a link: not what it names
	}
	m.flushed = false
	r := m.owner(target)
	if r == nil {
		return m.aside(target)
	}
	past := filepath.Join(m.historyDir(target), r.contentID())
	if verify(past, r) == "" {
		return durable.Remove(dir)
	}
	if err := m.makeHistory(target); err != nil {
		return err
	}
	if err := cmp.Or(durable.Remove(past), durable.Rename(dir, past)); err != nil {
		return err
	}
	m.earlier = append(m.earlier, past)
	return m.trim(target, source)
}

// makeHistory makes the folders of all targets in the history, and flushes their names: a result that
// is moved into a folder without a name on the disk could be lost with it.
func (m *Molecule) makeHistory(target string) error {
	if _, err := os.Lstat(m.historyDir(target)); err == nil && m.history {
		return nil
	}
	for _, t := range append(m.Targets(), target) {
		if r := m.Record(t); t != target && (r.Outcome != OK || len(r.Outputs) == 0) {
			continue
		}
		if err := os.MkdirAll(m.historyDir(t), 0o777); err != nil {
			return err
		}
	}
	m.history = true
	return durable.Sync(m.path(historyName), m.path())
}

// aside gives each file in a target's place that is an output, but was edited by hand, a name of
// its own beside the folder, and removes the folder.
func (m *Molecule) aside(target string) error {
	dir := m.place(target)
	recorded := map[string]bool{} // by file: one of the records has this content
	for _, r := range m.records[target] {
		for _, out := range r.Outputs {
			now, err := hashAgain(dir, out)
			recorded[out.File] = recorded[out.File] || err == nil && now.SHA256 == out.SHA256
		}
	}
	for _, file := range slices.Sorted(maps.Keys(recorded)) {
		if recorded[file] {
			continue
		}
		path := filepath.Join(dir, stored(dir, file))
		now, err := hashFile(filepath.Dir(path), filepath.Base(path))
		if err != nil {
			continue // missing, or no file
		}
		name := strings.ReplaceAll(target, "/", ".") + "." + now.File + ".edited-" + now.SHA256[:8]
		if err := durable.Rename(path, m.path(name)); err != nil {
			return err
		}
	}
	return durable.Remove(dir)
}

// trim removes the oldest earlier results of a target, but not the folder source.
func (m *Molecule) trim(target, source string) error {
	past := m.historyDir(target)
	stay := map[string]bool{source: true}
	for _, r := range slices.Backward(m.records[target]) {
		if r.Outcome != OK || len(stay) > earlierResults {
			continue
		}
		if dir := m.locate(r, target); filepath.Dir(dir) == past {
			stay[dir] = true
		}
	}
	entries, err := os.ReadDir(past)
	for _, e := range entries {
		if dir := filepath.Join(past, e.Name()); !stay[dir] {
			err = errors.Join(err, durable.Remove(dir))
		}
	}
	return err
}

// Fail moves a failed attempt's whole scratch folder to where a user can read it.
func (m *Molecule) Fail(target, scratch string) error {
	return cmp.Or(m.clearFailed(target), durable.Rename(scratch, m.s.FailedDir(m.id, target)))
}

func (m *Molecule) clearFailed(target string) error {
	dir := m.s.FailedDir(m.id, target)
	if _, err := stampOf(dir); err != nil {
		return nil
	}
	err := m.s.Discard(dir)
	durable.RemoveEmpty(filepath.Dir(dir))
	return err
}

// Drop ends a target that for_each no longer has. Its result moves to the history.
func (m *Molecule) Drop(target string) error {
	if err := m.retire(target, ""); err != nil {
		return err
	}
	if err := m.record(&Record{Target: target, Outcome: dropped}); err != nil {
		return err
	}
	err := m.clearFailed(target)
	durable.RemoveEmpty(filepath.Dir(m.place(target)))
	return err
}

// Void removes the results of a target with this fingerprint: they are not what their record says.
func (m *Molecule) Void(target, fingerprint string) error {
	r := m.Record(target)
	void := &Record{Target: target, Fingerprint: fingerprint, Outcome: dropped}
	if err := m.record(void); err != nil {
		return err
	}
	if r != nil && r.Outcome == OK && r.Fingerprint == fingerprint {
		if err := durable.Remove(m.place(target)); err != nil {
			return err
		}
	}
	return m.Flush()
}

// Forget drops the records of targets whose stage is not in the pipeline.
func (m *Molecule) Forget(stage func(name string) bool) error {
	for _, target := range m.Targets() {
		if name, _, _ := strings.Cut(target, "/"); stage(name) {
			continue
		}
		if err := m.record(&Record{Target: target, Outcome: dropped}); err != nil {
			return err
		}
	}
	return nil
}

// interruptedName is a file that says which fingerprint an interrupted attempt had.
const interruptedName = "interrupted.txt"

// KeepInterrupted moves files of an interrupted attempt from its scratch folder to where failed
// attempts lie. The attempt itself never happened; the other files of an earlier failed one stay.
func (m *Molecule) KeepInterrupted(target, scratch string, files []string, print string) error {
	dir := m.s.FailedDir(m.id, target)
	note := filepath.Join(dir, interruptedName)
	if err := durable.Remove(note); err != nil { // killed in between, nothing is said of the files
		return err
	}
	for _, f := range files {
		to := filepath.Join(dir, f)
		err := cmp.Or(durable.Remove(to), durable.Rename(filepath.Join(scratch, f), to))
		if err != nil {
			return err
		}
	}
	const text = "The batch was interrupted. The next attempt starts from %s.\nfingerprint %s\n"
	return m.s.replace(note, fmt.Appendf(nil, text, strings.Join(files, ", "), print))
}

// Interrupted says whether KeepInterrupted has kept files of an attempt with this fingerprint.
func (m *Molecule) Interrupted(target, fingerprint string) bool {
	dir := m.s.FailedDir(m.id, target)
	if _, err := regular(dir, interruptedName); err != nil {
		return false
	}
	data, err := os.ReadFile(filepath.Join(dir, interruptedName))
	return err == nil && strings.HasSuffix(string(data), "\nfingerprint "+fingerprint+"\n")
}
