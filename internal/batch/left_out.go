package batch

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// targets builds the targets of a stage in order: up to the first failure, or, where the stage has
// at_least, all of them. Then the failed ones that would only fail again are left out, if enough
// succeeded: their results are null and the molecule goes on.
func (b *Batch) targets(ctx context.Context, v *visit, s *pipeline.Stage, n int) ([]pipeline.Result, error) {
	results, failures := make([]pipeline.Result, n), make([]*failure, n)
	reruns := v.reruns // of the molecule, without what failed in this stage
	build := func(i int) error {
		v.reruns = reruns
		rec, err := b.target(ctx, v, s, i, n)
		if err != nil || ctx.Err() != nil {
			return err
		}
		results[i], failures[i], v.failure = b.result(v, s, i, rec), v.failure, nil
		if results[i].Status == pipeline.StatusOK {
			v.warnings = append(v.warnings, rec.Warnings...)
		}
		reruns = min(reruns, v.reruns) // an edit may have set them back
		return nil
	}
	v.insist = false
	for i := range n {
		if v.m.LeftOut(s, i) {
			results[i].Status = pipeline.StatusLeftOut
			continue
		}
		if err := build(i); err != nil || ctx.Err() != nil {
			return nil, err
		}
		if failures[i] != nil && s.AtLeast == 0 {
			v.failure = failures[i]
			return results[:i+1], nil
		}
	}
	if v.insist = succeeded(results) < s.AtLeast; v.insist {
		for i, f := range failures {
			if f != nil && f.skipped {
				if err := build(i); err != nil || ctx.Err() != nil {
					return nil, err
				}
			}
		}
	}
	v.reruns = reruns
	if v.failure = b.stops(v, s, results, failures); v.failure != nil {
		v.reruns = v.failure.attempts
	} else {
		v.leaveOut(s, results, failures)
	}
	return results, nil
}

func succeeded(results []pipeline.Result) (n int) {
	for _, r := range results {
		if r.Status == pipeline.StatusOK {
			n++
		}
	}
	return n
}

// stops returns the failure that ends the molecule's batch, with the most attempts of all; nil
// where the stage may go on: enough targets succeeded, and none that failed has an attempt left.
func (b *Batch) stops(v *visit, s *pipeline.Stage, results []pipeline.Result, failures []*failure) *failure {
	tooFew := succeeded(results) < s.AtLeast
	var told *failure
	attempts := 0
	for i, f := range failures {
		if f == nil || (!tooFew && (f.skipped || !b.another(v, s, i, v.man.Targets[s.Instance(i)]))) {
			continue
		}
		if attempts = max(attempts, f.attempts); told == nil || (told.skipped && !f.skipped) {
			told = f
		}
	}
	if told != nil {
		told.attempts = attempts
	}
	return told
}

// leaveOut marks the failed targets of a stage and says what the molecule's result is without.
func (v *visit) leaveOut(s *pipeline.Stage, results []pipeline.Result, failures []*failure) {
	var messages []string
	for i, f := range failures {
		if f != nil {
			results[i].Status = pipeline.StatusLeftOut
			messages = append(messages, f.message)
			_, reason := Reason(f.message)
			v.warnings = append(v.warnings, fmt.Sprintf("a target of %s failed and was left out: %s", s.Name, reason))
		}
	}
	if len(messages) > 0 {
		v.lost = append(v.lost, fmt.Sprintf("%s; the result is of the other %d of %s", strings.Join(messages, "; "), succeeded(results), s.Name))
	}
}

// leaves reports whether a failed target is to be left out if enough others succeed, and not tried
// again.
func (b *Batch) leaves(v *visit, s *pipeline.Stage, i int, rec *store.Record) bool {
	return s.AtLeast > 0 && !v.insist && !v.retried && rec.Outcome != store.OK && !b.another(v, s, i, rec)
}

// another reports whether a failed target has an attempt left that does something else than the one
// that failed.
func (b *Batch) another(v *visit, s *pipeline.Stage, i int, rec *store.Record) bool {
	if rec.Attempt+1 >= b.Pipeline.MaxReruns || s.Program == "" || final(s, rec) {
		return false
	}
	if len(b.salvaged(v, s.Instance(i), s, rec.Fingerprint, rec.Attempt+1)) > 0 {
		return true
	}
	last, err := b.task(v, s, i, rec.Attempt)
	if err != nil {
		return false
	}
	next, err := b.task(v, s, i, rec.Attempt+1)
	if err != nil {
		return false
	}
	moreTime := next.Timeout == 0 || next.Timeout.Seconds() > rec.Timeout
	return (rec.Outcome == store.TimedOut && moreTime) || !next.Same(last)
}

// final reports whether a target failed with an exit code after which another attempt can only fail
// the same way.
func final(s *pipeline.Stage, rec *store.Record) bool {
	return rec.Outcome == store.Failed && slices.Contains(s.NoRetry, rec.ExitCode)
}

// judgeAll judges the targets of a stage, as targets would build them.
func (b *Batch) judgeAll(v *visit, s *pipeline.Stage, n int) ([]verdict, []error) {
	all, errs := make([]verdict, n), make([]error, n)
	judge := func() (succeed int) {
		for i := range n {
			if v.m.LeftOut(s, i) {
				all[i] = verdict{action: leave, reason: "what it would be made from was left out"}
				continue
			}
			if all[i], errs[i] = b.judge(v, s, i); errs[i] == nil && all[i].action != leave {
				succeed++
			}
		}
		return succeed
	}
	v.insist = false
	if v.insist = judge() < s.AtLeast; v.insist {
		judge()
	}
	return all, errs
}
