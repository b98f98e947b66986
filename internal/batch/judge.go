package batch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// action is what is to be done about a target.
type action int

const (
	fresh   action = iota
	read           // its values are read again from its files; no program runs
	restore        // an earlier result, or that of a stage with another name, is brought back
	run            // it is computed
	skip           // it failed before, would do the same again, and its reruns are used up
	leave          // it failed before, and the stage may go on without it
	broken         // what it does can't be evaluated
	none           // what it would be made from was left out
	off            // its stage is turned off for this molecule
	wait           // it can't be judged before an earlier stage has run
)

// verdict says what is to be done about a target, and why.
type verdict struct {
	action      action
	reason      string
	task        *pipeline.Task // at attempt 0
	description []string
	fingerprint string
	reading     string
	attempt     int           // how often the target, as it is now, failed before
	earlier     *store.Record // to be restored
}

// target is one stage for one molecule, or for one element of its for_each.
type target struct {
	verdict
	stage   *pipeline.Stage
	i, n    int    // the i-th of n
	name    string // "pm7/2"
	rec     *store.Record
	failure *TargetError
}

// judge compares a target with its record. It changes nothing.
func (t *visit) judge(g *target) (d verdict) {
	last := t.log.Record(g.name)
	task, err := t.task(g.stage, g.i, 0)
	if err != nil {
		return t.cannotEvaluate(g, err)
	}
	d = verdict{task: task, description: t.describe(g.stage, task, last)}
	d.fingerprint, d.reading = fingerprint(d.description), t.m.Reading(g.stage, g.i)
	switch {
	case last == nil:
		d.action, d.reason = run, "never computed"
	case last.Fingerprint != d.fingerprint:
		d.action = run
		d.reason = strings.Join(difference(last.Description, d.description, task.Inputs), "; ")
	case last.Outcome != store.OK:
		t.judgeFailed(g, &d, last)
		return d
	default:
		if d.reason = t.log.Verify(g.name, last); d.reason != "" {
			d.action = run
		} else if last.Reading != d.reading {
			d.action, d.reason = read, "its values are read in another way, or compared with others"
		}
	}
	if d.action == run {
		if d.earlier = t.earlier(g, d.fingerprint); d.earlier != nil {
			d.action = restore
		}
	}
	return d
}

// cannotEvaluate is the verdict on a target of which an expression has an error.
func (t *visit) cannotEvaluate(g *target, err error) verdict {
	d := verdict{action: broken, reason: err.Error(), description: []string{"error = " + err.Error()}}
	d.fingerprint = fingerprint(d.description)
	if last := t.log.Record(g.name); last != nil && last.Fingerprint == d.fingerprint {
		if d.attempt = t.attempt(last); t.leaves(g, last) {
			d.action, d.reason = leave, last.Error
		}
	}
	return d
}

// earlier finds a finished result with this fingerprint: one of the target's own, or of another, as
// after a stage got another name or two changed their names.
func (t *visit) earlier(g *target, fingerprint string) *store.Record {
	if g.stage.Program == "" {
		return nil
	}
	gone := func(stage string) bool { return t.Pipeline.Stage(stage) == nil }
	return t.log.Find(g.name, fingerprint, t.Began, gone)
}

// judgeFailed decides on a target that failed and would do the same again.
func (t *visit) judgeFailed(g *target, d *verdict, last *store.Record) {
	if last.Reading != d.reading {
		d.action, d.reason = run, "failed last time, and its values are read in another way now"
		if last.Outputs != nil && t.log.Verify(g.name, last) == "" {
			d.action = read // the program had succeeded
		}
		return
	}
	d.action, d.reason, d.attempt = run, "failed last time: "+last.Error, t.attempt(last)
	skipped := t.Row.Status == csvmerge.Skip
	switch {
	case last.Outcome == store.TimedOut && moreTime(d.task, last):
		limit := "no limit"
		if d.task.Timeout > 0 {
			limit = d.task.Timeout.String()
		}
		d.reason = fmt.Sprintf("ran out of time last time (%s), and has more now (%s)",
			time.Duration(last.Timeout*float64(time.Second)), limit)
	case t.leaves(g, last):
		d.action, d.reason = leave, last.Error
	case skipped && t.reruns() > 0 && final(g.stage, last): // with 0 the row was edited by hand
		d.action, d.reason = skip, last.Error
	case skipped && t.reruns() >= t.Pipeline.MaxReruns:
		d.action = skip
		d.reason = fmt.Sprintf("failed %d times and would do the same again: %s",
			t.reruns(), last.Error)
	}
}

// moreTime reports whether a task may take longer than the recorded attempt.
func moreTime(task *pipeline.Task, last *store.Record) bool {
	return task.Timeout == 0 || task.Timeout.Seconds() > last.Timeout
}

// reruns is how often the molecule failed. A row that was set back by hand is tried from the start.
func (t *visit) reruns() int {
	if (t.Row.Status != csvmerge.Rerun && t.Row.Status != csvmerge.Skip) || t.Row.Retry {
		return 0
	}
	return t.Row.Reruns
}

// attempt is which attempt comes after one that failed.
func (t *visit) attempt(failed *store.Record) int {
	switch {
	case t.Row.Retry:
		return 0
	case t.Row.Status == csvmerge.OK: // the molecule went on without it
		return failed.Attempt + 1
	}
	return min(failed.Attempt+1, t.reruns())
}

// task is a target's task at an attempt, with the time that it has in this batch. After a time-out
// the salvaged files of the last attempt are at hand.
func (t *visit) task(s *pipeline.Stage, i, attempt int, salvaged ...string) (
	*pipeline.Task, error) {
	task, err := t.m.Task(s, i, attempt, salvaged...)
	if limit, ok := t.Timeouts[s.Name]; ok && err == nil {
		task.Timeout = limit
	}
	return task, err
}

// leaves reports whether a failed target is left out, if enough others of its stage succeed.
func (t *visit) leaves(g *target, last *store.Record) bool {
	return g.stage.AtLeast > 0 && !t.insist && !t.Row.Retry && !t.another(g, last)
}

// another reports whether a failed target has an attempt left that does something else.
func (t *visit) another(g *target, last *store.Record) bool {
	s := g.stage
	if last.Attempt+1 >= t.Pipeline.MaxReruns || s.Program == "" || final(s, last) {
		return false
	}
	if len(t.salvaged(g, last.Fingerprint, last.Attempt+1)) > 0 {
		return true
	}
	before, err := t.task(s, g.i, last.Attempt)
	next, nextErr := t.task(s, g.i, last.Attempt+1)
	return err == nil && nextErr == nil &&
		(last.Outcome == store.TimedOut && moreTime(next, last) || !next.Same(before))
}

// final reports whether a target failed with an exit code that no_retry has.
func final(s *pipeline.Stage, last *store.Record) bool {
	return last.Outcome == store.Failed && slices.Contains(s.NoRetry, last.ExitCode)
}
