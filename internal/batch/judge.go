package batch

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/packed"
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
	leave          // it failed, and the stage goes on without it
	broken         // it fails before it runs: what it does can't be evaluated
	none           // its input was left out
	off            // its stage is turned off for this molecule, or an earlier one failed
	wait           // it can't be judged before an earlier stage has run
)

// target is a stage for a molecule, or for one element of its for_each, with the judgement on it.
type target struct {
	stage       *pipeline.Stage
	i, n        int    // the i-th of n
	name        string // "pm7/2"
	action      action
	reason      string         // for the action
	last        *store.Record  // before this visit, nil: none
	task        *pipeline.Task // at attempt 0, or at that which runs
	description []string       // of the task
	fingerprint string
	reading     string
	attempt     int           // how often the target, as it is now, failed before
	earlier     *store.Record // to be restored
	rec         *store.Record // its result, or failure, by now
	failure     *TargetError
	repeats     bool // it runs as it did when it failed

	// While it runs.
	dir   string // the scratch folder
	parts *store.Parts
	limit time.Duration
	reply reply // of a worker
}

// undecided reports whether nothing is known yet of what the target gives.
func (g *target) undecided() bool {
	return g.rec == nil && g.failure == nil &&
		!slices.Contains([]action{none, leave, off}, g.action)
}

// walk judges the targets of a molecule in the order in which they run, and calls act for each. act
// sets rec and failure to what became of the target. No target after a failure is reached.
func (t *visit) walk(act func(*target) error) error {
	for _, s := range t.Pipeline.Stages {
		all := []*target{{stage: s, n: 1, name: s.Name, action: off, reason: "turned off"}}
		if t.Failure != nil {
			all[0].reason = "not reached, because an earlier stage failed"
		} else if n := slices.IndexFunc(s.Decides, t.open); n >= 0 {
			all = t.waiting(s, s.Decides[n])
		} else if on, err := t.m.Enabled(s); err != nil || on {
			if all, err = t.targetsOf(s, err, act); err != nil {
				return err
			}
		}
		t.targets = append(t.targets, all...)
		t.decided[s.Name] = !slices.ContainsFunc(all, (*target).undecided)
	}
	return nil
}

// open reports whether the results of a stage are not known yet.
func (t *visit) open(stage string) bool { return !t.decided[stage] }

// targetsOf deals with the targets of a stage up to the first failure. It deals with all of them if
// the stage has at_least or is optional. If too few succeed then, those that failed before are
// tried again. If broke is set, or for_each has an error, the stage counts as one target.
func (t *visit) targetsOf(s *pipeline.Stage, broke error, act func(*target) error) (
	[]*target, error) {
	if n := slices.IndexFunc(s.DependsOn, t.open); n >= 0 {
		return t.waiting(s, s.DependsOn[n]), nil
	}
	n := 1
	if broke == nil {
		n, broke = t.m.Instances(s)
	}
	if broke != nil {
		n = 1
	}
	all := make([]*target, n)
	take := func(i int) error {
		all[i] = &target{stage: s, i: i, n: n, name: s.Instance(i)}
		if broke != nil {
			all[i].name = s.Name
		}
		t.judge(all[i], broke)
		return act(all[i])
	}
	t.insist = false
	for i := range all {
		if err := take(i); err != nil {
			return nil, err
		}
		if all[i].failure != nil && !s.Spares() {
			all = all[:i+1]
			break
		}
	}
	t.insist = good(all) < s.AtLeast
	for i := range all {
		if t.insist && all[i].action == leave {
			if err := take(i); err != nil {
				return nil, err
			}
		}
	}
	t.settle(s, all)
	if slices.ContainsFunc(all, (*target).undecided) {
		return all, nil
	}
	t.m.Set(s, t.results(all))
	if !t.writes || t.Failure != nil {
		return all, nil
	}
	return all, t.dropOthers(s, all)
}

// waiting are the targets of a stage that comes after another that has to run.
func (t *visit) waiting(s *pipeline.Stage, after string) (all []*target) {
	names, n := t.log.TargetsOf(s.Name), 0 // n: how many there will be, 0: that is not known yet
	if !slices.ContainsFunc(s.Decides, t.open) {
		if now, err := t.m.Instances(s); err == nil {
			names, n = nil, now
		}
	}
	for i := range n {
		names = append(names, s.Instance(i))
	}
	if len(names) == 0 {
		names = []string{s.Name}
	}
	for _, name := range names {
		g := &target{stage: s, n: n, name: name, action: wait, last: t.log.Record(name),
			reason: "not decided yet: runs only if the result of " + after + " changes"}
		if g.last == nil {
			g.reason = "never computed; runs after " + after
		}
		all = append(all, g)
	}
	return all
}

// good counts the targets that have a result, or will have one.
func good(all []*target) (n int) {
	for _, g := range all {
		if g.failure == nil && g.action != none && g.action != leave {
			n++
		}
	}
	return n
}

// settle decides on the failures of a stage. They end the visit in most stages. They are left out
// if the stage is optional, or enough targets succeeded for at_least. In both cases no failed
// target may have an attempt left.
func (t *visit) settle(s *pipeline.Stage, all []*target) {
	failed := slices.DeleteFunc(slices.Clone(all), func(g *target) bool { return g.failure == nil })
	if len(failed) == 0 {
		return
	}
	first, reruns := failed[0].failure, 0 // the one to be told of: with another attempt, or tried
	for _, g := range failed {
		reruns = max(reruns, g.failure.Reruns)
		isTried := first.Prospect == NotTried && g.failure.Prospect != NotTried
		if isTried || g.failure.again() && !first.again() {
			first = g.failure
		}
	}
	if !s.Spares() || good(all) < s.AtLeast || first.again() {
		t.Failure, first.Reruns = first, reruns
		return
	}
	var messages []string
	for _, g := range failed {
		t.untried = t.untried || g.rec != nil && t.another(g, g.rec)
		g.action = leave
		_, reason := Reason(g.failure.Message)
		messages = append(messages, t.placed(s, g.failure.Message, t.log.BecomesZip(t.Form)))
		t.Warnings = append(t.Warnings,
			fmt.Sprintf("a target of %s failed and was left out: %s", s.Name, reason))
	}
	rest := fmt.Sprintf("of the other %d of %s", good(all), s.Name)
	if s.Optional {
		rest = "without it"
	}
	t.leftOut = append(t.leftOut, strings.Join(messages, "; ")+"; the result is "+rest)
}

// placed is the message of a failed target. The message names a file in the folder of the attempt,
// which lies in the zip if the molecule is kept as one.
func (t *visit) placed(s *pipeline.Stage, message string, zip bool) string {
	if !zip {
		return message
	}
	name := filepath.Base(t.Store.FailedDir(t.Row.ID, s.Name))
	return strings.ReplaceAll(message, "/"+t.Row.ID+"/"+name+"/",
		"/"+t.Row.ID+packed.ZipSuffix+": "+name+"/")
}

// results are the targets of a stage as expressions see them.
func (t *visit) results(all []*target) []pipeline.Result {
	out := make([]pipeline.Result, len(all))
	for i, g := range all {
		r := &out[i]
		*r = pipeline.Result{Status: pipeline.StatusFailed, Outputs: map[string]pipeline.Input{}}
		if g.rec != nil {
			r.Seconds = g.rec.Seconds
		}
		switch {
		case g.action == none || g.action == leave:
			r.Status = pipeline.StatusLeftOut
		case g.rec != nil && g.rec.Outcome == store.OK:
			r.Status, r.Values = pipeline.StatusOK, g.rec.Values
			dir := t.Store.TargetDir(t.Row.ID, g.name)
			if g.rec == g.earlier { // a forecast brings nothing back
				dir = g.earlier.Found
			}
			for name, o := range g.rec.Outputs {
				path := dir + "/" + o.File
				r.Outputs[name] = pipeline.Input{Path: path, SHA256: o.SHA256, Size: o.Size}
			}
			t.Warnings = append(t.Warnings, g.rec.Warnings...)
		}
	}
	return out
}

// judge compares a target with its record. broke is why the stage can't be evaluated.
func (t *visit) judge(g *target, broke error) {
	g.last, g.action = t.log.Record(g.name), run
	if broke == nil && t.m.LeftOut(g.stage, g.i) {
		g.action, g.reason = none, "its input was left out"
		return
	}
	if broke == nil {
		g.task, broke = t.m.Task(g.stage, g.i, 0)
	}
	if broke == nil {
		g.description, g.reading = t.describe(g.stage, g.task, g.last), t.m.Reading(g.stage, g.i)
	} else {
		g.action, g.reason, g.task = broken, broke.Error(), cmp.Or(g.task, &pipeline.Task{})
		g.description = []string{"error = " + g.reason}
	}
	last, failed := g.last, false
	g.fingerprint = fingerprint(g.description)
	if last != nil && last.Fingerprint != g.fingerprint &&
		sameLines(last.Description, g.description) {
		g.description, g.fingerprint = last.Description, last.Fingerprint
	}
	switch {
	case last != nil && last.Fingerprint == g.fingerprint && last.Outcome != store.OK:
		failed = true
		t.judgeFailed(g)
	case g.action == broken:
	case last == nil:
		g.reason = "never computed"
	case last.Fingerprint != g.fingerprint:
		g.reason = strings.Join(difference(last.Description, g.description, g.task.Inputs), "; ")
	default:
		if g.reason = t.log.Verify(g.name, last); g.reason == "" && last.Reading == g.reading {
			g.action, g.rec = fresh, last
		} else if g.reason == "" {
			g.action, g.reason = read, "how its values are read or checked changed"
		}
	}
	switch {
	case g.action != run:
	case t.Row.Died == g.name && t.Row.Status == csvmerge.Skip: // counted when this batch began
		g.action, g.reason, g.attempt = broken, cmp.Or(t.Row.Cause, diedMessage), t.Row.Reruns-1
	case !failed && g.stage.Program != "":
		use := func(other string) store.Use { return t.use(g, other) }
		if g.earlier = t.log.Find(g.name, g.fingerprint, t.Began, use); g.earlier != nil {
			g.action = restore
		}
	}
}

// use says whether another target claims the result that g is to have. A target whose inputs are
// not known yet claims nothing: it gets a copy if it turns out to be the same.
func (t *visit) use(g *target, other string) store.Use {
	s, n := t.Pipeline.Stage(store.StageOf(other)), g.n
	switch {
	case s == nil:
		return store.Gone
	case s != g.stage:
		if slices.ContainsFunc(s.DependsOn, t.open) {
			return store.Free
		}
		on, err := t.m.Enabled(s)
		if n, _ = t.m.Instances(s); err != nil || !on {
			return store.Free
		}
	}
	for i := range n {
		if s.Instance(i) != other || t.m.LeftOut(s, i) {
			continue
		}
		task, err := t.m.Task(s, i, 0)
		if err == nil && fingerprint(t.describe(s, task, g.last)) == g.fingerprint {
			return store.Claimed
		}
	}
	return store.Free
}

// judgeFailed decides on a target that failed and would do the same again.
func (t *visit) judgeFailed(g *target) {
	last := g.last
	if last.Reading != g.reading {
		g.reason = "failed last time, and how its values are read or checked changed"
		if last.Outputs != nil && t.log.Verify(g.name, last) == "" {
			g.action = read // the program had succeeded
		}
		return
	}
	for n, was := range last.Attempts {
		if t.does(g, n+1) != was {
			g.attempt = n + 1
			g.reason = fmt.Sprintf("failed last time, and attempt %d does something else now", n+2)
			return
		}
	}
	g.attempt = min(last.Attempt+1, t.reruns())
	if t.Row.Status == csvmerge.OK && !t.Row.Retry { // the molecule went on without it
		g.attempt = last.Attempt + 1
	}
	if g.action == run {
		g.reason, g.repeats = failedBefore+t.placed(g.stage, last.Error, t.log.IsZip()), true
	}
	limit, skipped := t.timeout(g.stage, g.task), t.Row.Status == csvmerge.Skip
	switch {
	case last.Outcome == store.TimedOut && (limit == 0 || limit.Seconds() > last.Timeout):
		g.reason += "; it has more time now"
	case g.stage.Spares() && !t.insist && !t.Row.Retry && !t.another(g, last):
		g.action, g.reason = leave, t.placed(g.stage, last.Error, t.log.BecomesZip(t.Form))
	case skipped && t.reruns() > 0 && final(g.stage, last): // with 0 the row was edited by hand
		g.action, g.reason = skip, last.Error
	case skipped && t.reruns() >= t.Pipeline.MaxReruns:
		g.action = skip
		g.reason = fmt.Sprintf("failed %d times and would do the same again: %s", t.reruns(),
			last.Error)
	}
}

// does stands for what a target does at an attempt.
func (t *visit) does(g *target, attempt int) string {
	task, err := t.m.Task(g.stage, g.i, attempt)
	if err != nil {
		return err.Error()
	}
	return fingerprint(t.describe(g.stage, task, g.last))
}

// timeout is the time of an attempt that does not follow a time-out; 0 is no limit.
func (t *visit) timeout(s *pipeline.Stage, task *pipeline.Task) time.Duration {
	if limit, ok := t.Timeouts[s.Name]; ok {
		return limit
	}
	return task.Timeout
}

// reruns is how often the molecule failed. A row that was set back by hand is tried from the start.
func (t *visit) reruns() int {
	if (t.Row.Status != csvmerge.Rerun && t.Row.Status != csvmerge.Skip) || t.Row.Retry {
		return 0
	}
	return t.Row.Reruns
}

// another reports whether a failed target has an attempt left that does something else. More time
// after a time-out is something else.
func (t *visit) another(g *target, failed *store.Record) bool {
	s := g.stage
	if failed.Attempt+1 >= t.Pipeline.MaxReruns || s.Program == "" || final(s, failed) {
		return false
	}
	before, err := t.m.Task(s, g.i, failed.Attempt)
	next, nextErr := t.m.Task(s, g.i, failed.Attempt+1)
	return failed.Outcome == store.TimedOut || err == nil && nextErr == nil && !next.Same(before)
}

// final reports whether a target failed with an exit code that no_retry has.
func final(s *pipeline.Stage, failed *store.Record) bool {
	return failed.Outcome == store.Failed && slices.Contains(s.NoRetry, failed.ExitCode)
}
