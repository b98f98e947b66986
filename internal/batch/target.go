package batch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// verdict says what is to be done about a target, and why.
type verdict struct {
	action  action
	reason  string
	task    *pipeline.Task // at attempt 0
	lines   []string
	print   string // fingerprint of lines
	reading string
	attempt int // how often the target, as it is now, failed before
}

type action int

const (
	fresh   action = iota
	read           // its values are read again from its files; no program runs
	restore        // an earlier result is brought back
	run
	skip  // it failed before, would do the same again, and its reruns are used up
	leave // it failed before, and the stage may go on without it
)

// judge compares a target with its record. It changes nothing.
func (b *Batch) judge(v *visit, s *pipeline.Stage, i int) (verdict, error) {
	name := s.Instance(i)
	rec := v.man.Targets[name]
	task, err := b.task(v, s, i, 0)
	if err != nil {
		if rec != nil && rec.Fingerprint == undescribed(err.Error()).Fingerprint && b.leaves(v, s, i, rec) {
			return verdict{action: leave, reason: rec.Error}, nil
		}
		return verdict{}, err
	}
	d := verdict{task: task, lines: b.describe(s, task, rec), reading: v.m.Reading(s, i)}
	d.print = fingerprint(d.lines)
	switch {
	case rec == nil:
		d.action, d.reason = run, "never built"
	case rec.Fingerprint != d.print:
		d.action, d.reason = run, strings.Join(Difference(rec.Description, d.lines), "; ")
	case rec.Outcome != store.OK:
		b.judgeFailed(v, s, i, &d, rec)
		return d, nil
	default:
		if !v.trusted {
			d.reason = b.Store.Verify(v.id, name, rec)
		}
		switch {
		case d.reason != "":
			d.action = run
			if b.Store.Has(v.man, name, d.print) { // a batch ended between moving it into the history and recording what took its place
				d.action = restore
			}
		case rec.Reading != d.reading:
			d.action, d.reason = read, "the way its values are read changed, or what they are compared with"
		}
		return d, nil
	}
	if b.Store.Has(v.man, name, d.print) {
		d.action = restore
	}
	return d, nil
}

// judgeFailed decides on a target that failed and would do the same again.
func (b *Batch) judgeFailed(v *visit, s *pipeline.Stage, i int, d *verdict, rec *store.Record) {
	if rec.Reading != d.reading {
		name := s.Instance(i)
		d.action, d.reason = run, "failed last time, and its values are read in another way now"
		if rec.Outputs != nil && b.Store.Verify(v.id, name, rec) == "" {
			d.action = read // the program had succeeded
		}
		return
	}
	d.action, d.reason, d.attempt = run, "failed last time: "+rec.Error, v.attempt(rec)
	more := d.task.Timeout.String()
	if d.task.Timeout == 0 {
		more = "no limit"
	}
	raised := rec.Outcome == store.TimedOut && (d.task.Timeout == 0 || d.task.Timeout.Seconds() > rec.Timeout)
	switch {
	case raised:
		d.reason = fmt.Sprintf("ran out of time last time (%s), and has more now (%s)", seconds(rec.Timeout), more)
	case b.leaves(v, s, i, rec):
		d.action, d.reason = leave, rec.Error
	case v.status == csvmerge.Skip && v.reruns > 0 && final(s, rec): // with 0 the row was edited by hand
		d.action, d.reason = skip, rec.Error
	case v.status == csvmerge.Skip && v.reruns >= b.Pipeline.MaxReruns:
		d.action, d.reason = skip, fmt.Sprintf("failed %d times and would do the same again: %s", v.reruns, rec.Error)
	}
}

// attempt is which attempt at a target comes after one that failed; the row's reruns may have been set back by hand.
func (v *visit) attempt(failed *store.Record) int {
	switch {
	case v.retried:
		return 0
	case v.status == csvmerge.OK: // the molecule went on without it
		return failed.Attempt + 1
	}
	return min(failed.Attempt+1, v.reruns)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// target brings one target up to date. The record is nil only when the batch is being interrupted or the molecule failed before the
// target could be described.
func (b *Batch) target(ctx context.Context, v *visit, s *pipeline.Stage, i, n int) (*store.Record, error) {
	name := s.Instance(i)
	d, err := b.judge(v, s, i)
	if err != nil {
		return nil, b.fail(v, s, i, nil, err.Error())
	}
	old := v.man.Targets[name]
	if old != nil && old.Outcome != store.OK && (old.Fingerprint != d.print || old.Reading != d.reading) {
		v.reruns = 0 // what failed is not what would run now
	}
	if b.died[v.id] == name && d.action == run && v.status == csvmerge.Skip {
		rec := &store.Record{Fingerprint: d.print, Description: d.lines, Reading: d.reading, Outcome: store.Failed}
		v.reruns-- // it was counted when this batch began
		return rec, b.fail(v, s, i, rec, diedMessage)
	}
	switch d.action {
	case fresh:
		return old, nil
	case skip, leave:
		v.failure = &failure{target: name, message: old.Error, skipped: true, attempts: v.reruns}
		return old, nil
	}
	if !v.ran && !b.admit() {
		return nil, errEnough
	}
	reruns := v.reruns
	for { // while the next attempt does something else
		rec, err := b.try(ctx, v, s, i, n, d, old)
		if err != nil || rec == nil || v.failure == nil || d.action != run || !b.another(v, s, i, rec) {
			return rec, err // of a result that is read in another way now the program does not run at once: the edit may be a slip
		}
		v.failure, v.reruns = nil, reruns
		d.attempt = rec.Attempt + 1
	}
}

// try makes one attempt at a target, with its lines in the journal; rec is nil when the batch is being interrupted.
func (b *Batch) try(ctx context.Context, v *visit, s *pipeline.Stage, i, n int, d verdict, old *store.Record) (*store.Record, error) {
	if d.action == run && s.Program != "" {
		release, err := b.cores.take(ctx, s.Cores)
		if err != nil {
			return nil, nil // interrupted
		}
		defer release()
	}
	b.Index.Forget(v.id)
	v.ran, v.trusted = true, false
	e := journal.Event{Event: journal.TargetStart, Mol: v.id, Stage: s.Name, Size: b.sizes[v.id]}
	if s.ForEach {
		e.Instance, e.Instances = i+1, n
	}
	if err := b.log(e); err != nil {
		return nil, err
	}
	rec, outcome, err := b.perform(ctx, v, s, i, d, old)
	if err != nil {
		return nil, err
	}
	e.Event, e.Size, e.Outcome = journal.TargetEnd, nil, outcome
	if rec != nil {
		e.Seconds, e.Error = rec.Seconds, rec.Error
	}
	b.mu.Lock()
	b.sum.Targets[s.Name+" "+outcome]++
	if outcome == store.OK || outcome == store.Failed || outcome == store.TimedOut {
		b.sum.Seconds[s.Name] += e.Seconds
	}
	b.mu.Unlock()
	return rec, b.log(e)
}

// perform does what the verdict says and records it; rec is nil when the batch is being interrupted.
func (b *Batch) perform(ctx context.Context, v *visit, s *pipeline.Stage, i int, d verdict, old *store.Record) (rec *store.Record, outcome string, err error) {
	name := s.Instance(i)
	switch d.action {
	case read:
		rec := *old
		rec.Outcome, rec.Error = store.OK, ""
		if err := b.readAgain(v, s, i, d, &rec); err == nil || rec.Outcome != store.OK {
			return &rec, readOutcome(&rec), err
		}
	case restore:
		rec, err := b.Store.Restore(v.man, name, d.print)
		if err != nil {
			return nil, "", err
		}
		if rec != nil {
			if rec.Reading != d.reading {
				err = b.readAgain(v, s, i, d, rec)
			}
			v.man.Put(name, rec)
			if rec.Outcome != store.OK {
				return rec, rec.Outcome, err
			}
			return rec, journal.Restored, b.save(v, err)
		}
	}
	rec, err = b.build(ctx, v, s, i, d)
	if err != nil || rec == nil {
		return nil, journal.Interrupted, err
	}
	if s.Program == "" {
		return rec, rec.Outcome, nil // the next target's manifest, or the molecule's last, has it: killed before, it is evaluated again
	}
	return rec, rec.Outcome, b.save(v, nil)
}

// Read is the outcome of a target whose values were read again.
const Read = "read"

func readOutcome(rec *store.Record) string {
	if rec.Outcome == store.OK {
		return Read
	}
	return rec.Outcome
}

func (b *Batch) save(v *visit, err error) error {
	if err != nil {
		return err
	}
	return b.Store.Save(v.man)
}

// readAgain evaluates a stored target's values anew. A target whose files no longer pass fails as if it had just run.
func (b *Batch) readAgain(v *visit, s *pipeline.Stage, i int, d verdict, rec *store.Record) error {
	values, warnings, err := readOutputs(v, s, i, paths(b.Store.TargetDir(v.id, s.Instance(i)), s.Outputs))
	if err != nil {
		rec.Outcome, rec.Values, rec.Warnings, rec.Reading = store.Failed, nil, nil, d.reading
		return b.fail(v, s, i, rec, err.Error()+" ("+shown(b.Store.TargetDir(v.id, s.Instance(i)))+")")
	}
	rec.Values, rec.Warnings, rec.Reading = values, warnings, d.reading
	v.man.Put(s.Instance(i), rec)
	return b.Store.Save(v.man)
}

func paths(dir string, outputs map[string]string) map[string]string {
	out := map[string]string{}
	for name, file := range outputs {
		out[name] = dir + "/" + file
	}
	return out
}

// fail records that a target failed, counts the rerun and ends the molecule's batch. rec is nil where the target could not even be described.
func (b *Batch) fail(v *visit, s *pipeline.Stage, i int, rec *store.Record, message string) error {
	name := s.Instance(i)
	if rec == nil {
		rec = undescribed(message)
	}
	v.reruns = max(v.reruns, rec.Attempt) + 1
	v.failure = &failure{target: name, message: fmt.Sprintf("%s/%s: %s", v.id, name, oneLine(message)), attempts: v.reruns, final: final(s, rec)}
	if v.failure.final {
		v.failure.message += "; not tried again, because it can only fail the same way"
	}
	v.ran = true
	rec.Error = v.failure.message
	if old := v.man.Targets[name]; old != nil && old.Fingerprint != rec.Fingerprint {
		if err := b.Store.Retire(v.man, name); err != nil { // what it made before may be wanted again
			return err
		}
	}
	v.man.Put(name, rec)
	return nil
}

// undescribed is the record of a target whose task can't be evaluated. It depends on nothing that was hashed; tried again, it would fail the same way.
func undescribed(message string) *store.Record {
	return &store.Record{Fingerprint: fingerprint([]string{message}), Description: []string{"error = " + message}, Outcome: store.Failed}
}

// oneLine makes a text fit for a cell and a terminal: whatever a program wrote, it is one line of printable characters, not too long.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return ' '
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 500 {
		text = string(r[:500]) + "..."
	}
	return text
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
