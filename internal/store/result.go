package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"grimperium/internal/durable"
	"grimperium/internal/packed"
)

// earlierResults is how many earlier results of a target stay, for edits that are taken back.
const earlierResults = 3

// flushAfter is how many seconds a target takes that is flushed at once, not with the molecule.
const flushAfter = 1

// do takes steps up to the first error, which stays: nothing more is done about the molecule.
func (m *Molecule) do(steps ...func() error) {
	_ = m.Unpack() // the error stays
	for _, step := range steps {
		if m.err == nil {
			m.err = step()
		}
	}
}

func (m *Molecule) remove(path string) {
	m.do(func() error { return durable.Remove(path) })
}

func (m *Molecule) rename(from, to string) {
	m.do(func() error { return durable.Rename(from, to) })
}

// Put makes a scratch folder a target's result and fills r.Outputs. It removes what is neither an
// output nor meant by keep, and compresses what compress means. An *OutputError says that the
// folder has not what it should have; then nothing is recorded.
func (m *Molecule) Put(r *Record, scratch string, c *Collected, keep, compress []string) error {
	maps.Copy(m.hashes, c.hashes)
	r.Outputs = c.outputs
	if c.Err != nil {
		return &OutputError{c.Err}
	}
	if why := m.verify(scratch, r); why != "" {
		return &OutputError{errors.New(why + " while it was read")}
	}
	if err := c.tidy(scratch, keep, compress); err != nil {
		return err
	}
	m.arrive(r, scratch)
	m.clearParts(r.Target)
	m.clearFailed(r.Target)
	if r.Seconds > flushAfter {
		return m.Flush()
	}
	return m.err
}

// Append records what moves no files: a failure, values that were read again, a stage of values. A
// failure with another fingerprint than the present result moves that result to the history.
func (m *Molecule) Append(r *Record) error {
	again := *r
	m.record(&again)
	now := m.owner(r.Target)
	if r.Outcome != OK && now != nil && now.Fingerprint != r.Fingerprint {
		m.retire(r.Target, "")
	}
	return m.err
}

// Restore brings the result that Find gave into the place of r.Target, and records it. r may be a
// copy with another target, reading or values. Files that another target may need are copied.
func (m *Molecule) Restore(r *Record) error {
	again, from := *r, r.Found
	if r.shared && len(r.Outputs) > 0 {
		from = m.s.fresh("copy")
		m.do(func() error { return os.CopyFS(from, os.DirFS(r.Found)) })
	}
	m.arrive(&again, from)
	durable.RemoveEmpty(filepath.Dir(r.Found))
	return m.err
}

// arrive records a result and moves its folder into place. It retires what is there.
func (m *Molecule) arrive(r *Record, from string) {
	m.record(r)
	place := m.place(r.Target)
	_, err := os.Lstat(from)
	if from == place || len(r.Outputs) == 0 && errors.Is(err, fs.ErrNotExist) {
		return
	}
	for _, other := range m.neighbours(r.Target) {
		m.retire(other, "")
	}
	m.retire(r.Target, from)
	for _, out := range r.Outputs {
		durable.Touch(packed.Stored(filepath.Join(from, out.File)))
	}
	m.dirty[place] = true
	m.rename(from, place)
	if why := m.Verify(r.Target, r); m.err == nil && why != "" {
		m.err = fmt.Errorf("%s: is not what was put there: %s", place, why)
	}
}

// neighbours have results in a target's folder or around it: the stage got, or lost, its for_each.
func (m *Molecule) neighbours(target string) []string {
	return slices.DeleteFunc(m.Targets(), func(other string) bool {
		nested := strings.HasPrefix(other, target+"/") || strings.HasPrefix(target, other+"/")
		return !nested || m.owner(other) == nil
	})
}

// owner is the newest record with the most outputs that are all in a target's place, nil for none.
func (m *Molecule) owner(target string) (owner *Record) {
	most := 0
	for _, r := range slices.Backward(m.log) {
		if r.Target == target && r.Outcome == OK && len(r.Outputs) > most &&
			m.Verify(target, r) == "" {
			owner, most = r, len(r.Outputs)
		}
	}
	return owner
}

// retire moves what is in a target's place to the history, or puts aside what was edited by hand.
// It removes the oldest earlier results. The folder source is about to be moved and stays.
func (m *Molecule) retire(target, source string) {
	dir := m.place(target)
	r, past := m.owner(target), ""
	switch info, err := os.Lstat(dir); {
	case errors.Is(err, fs.ErrNotExist) || r == nil && len(m.neighbours(target)) > 0:
		return
	case err == nil && info.IsDir() && r == nil:
		m.aside(target)
	case err == nil && info.IsDir():
		past = filepath.Join(m.historyDir(target), r.contentID())
	}
	m.dirty[dir] = true
	if past == "" || m.verify(past, r) == "" {
		m.remove(dir) // of a link: not what it names
		return
	}
	// A result that is moved into a folder without a name on the disk could be lost with it.
	m.do(func() error { return os.MkdirAll(m.historyDir(target), 0o777) },
		func() error { return durable.Sync(m.path(historyName), m.path()) })
	m.remove(past)
	m.rename(dir, past)
	m.dirty[past] = true
	m.trim(target, source)
}

// aside gives each output in a target's place that was edited by hand a name beside the folder.
func (m *Molecule) aside(target string) {
	dir := m.place(target)
	recorded := map[string]bool{} // by file: one of the records has this content
	for _, r := range m.log {
		for _, out := range r.Outputs {
			if r.Target == target {
				sum, err := m.hashes.of(dir, out)
				recorded[out.File] = recorded[out.File] || err == nil && sum == out.SHA256
			}
		}
	}
	for _, output := range slices.Sorted(maps.Keys(recorded)) {
		file := stored(dir, output)
		if _, err := regular(dir, file); recorded[output] || err != nil { // missing, or no file
			continue
		}
		path := filepath.Join(dir, file)
		sum, err := hashOf(packed.Open(path, 0))
		if err == nil {
			m.rename(path, m.path(flat(target)+"."+file+editedMark+sum[:8]))
		}
	}
}

// trim removes the oldest earlier results of a target, but not the folder source.
func (m *Molecule) trim(target, source string) {
	stay := map[string]bool{m.place(target): true, source: true}
	for _, r := range slices.Backward(m.log) {
		if r.Target == target && r.Outcome == OK && len(stay) < 2+earlierResults {
			if dir := m.locate(r); dir != "" {
				stay[dir] = true
			}
		}
	}
	for _, dir := range m.past(target) {
		if !stay[dir] {
			m.remove(dir)
		}
	}
}

// Fail moves a failed attempt's whole scratch folder to where a user can read it.
func (m *Molecule) Fail(target, scratch string) error {
	m.do()
	m.clearFailed(target)
	m.rename(scratch, m.s.FailedDir(m.id, target))
	return m.err
}

func (m *Molecule) clearFailed(target string) {
	dir := m.s.FailedDir(m.id, target)
	if _, err := os.Lstat(dir); err != nil {
		return
	}
	aside := m.s.fresh("failed")
	m.rename(dir, aside)
	_ = durable.Remove(aside) // a mount, or a file in use over NFS, is swept later
	durable.RemoveEmpty(filepath.Dir(dir))
}

// Drop ends a target that for_each no longer has. Its result moves to the history.
func (m *Molecule) Drop(target string) error {
	m.do()
	m.retire(target, "")
	m.record(&Record{Target: target, Outcome: dropped})
	m.clearFailed(target)
	durable.RemoveEmpty(filepath.Dir(m.place(target)))
	return m.err
}

// Void removes the results of a target with this fingerprint: they are not what their record says.
func (m *Molecule) Void(target, fingerprint string) error {
	r := m.last[target]
	m.record(&Record{Target: target, Fingerprint: fingerprint, Outcome: dropped})
	if r != nil && r.Outcome == OK && r.Fingerprint == fingerprint {
		m.remove(m.place(target))
	}
	return m.Flush()
}

// Clear removes all results of the molecule, earlier ones and parts of unfinished ones too.
func (m *Molecule) Clear() error {
	for _, target := range m.Targets() {
		m.record(&Record{Target: target, Outcome: dropped})
		m.remove(m.place(target))
		m.clearFailed(target)
		durable.RemoveEmpty(filepath.Dir(m.place(target)))
	}
	for _, r := range slices.Clone(m.log) {
		if r.Outcome == OK && len(r.Outputs) == 0 { // no file of it is missing now
			m.record(&Record{Target: r.Target, Fingerprint: r.Fingerprint, Outcome: dropped})
		}
	}
	m.remove(m.path(historyName))
	m.remove(m.path(partsName))
	return m.Flush()
}

// Forget drops the records of targets whose stage is not in the pipeline.
func (m *Molecule) Forget(stage func(name string) bool) error {
	for _, target := range m.Targets() {
		if !stage(StageOf(target)) {
			m.record(&Record{Target: target, Outcome: dropped})
		}
	}
	return m.err
}

// KeepInterrupted moves files of an interrupted attempt from its scratch folder to where failed
// attempts lie. The attempt itself never happened; the other files of an earlier failed one stay.
func (m *Molecule) KeepInterrupted(target, scratch string, files []string, print string) error {
	dir := m.s.FailedDir(m.id, target)
	note := filepath.Join(dir, interruptedName)
	m.remove(note) // if killed before the new one, the files have none
	for _, f := range files {
		m.remove(filepath.Join(dir, f))
		m.rename(filepath.Join(scratch, f), filepath.Join(dir, f))
	}
	const text = "The batch was interrupted. The next attempt starts from %s.\nfingerprint %s\n"
	m.do(func() error {
		return m.s.replace(note, fmt.Appendf(nil, text, strings.Join(files, ", "), print))
	})
	return m.err
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
