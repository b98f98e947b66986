package batch

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"grimperium/csvmerge"
	"grimperium/internal/pipeline"
)

// RetryAll is the Config.Retry that takes every skipped molecule.
const RetryAll = "all"

// checkFlags refuses what Config says of stages that are not there.
func (b *Batch) checkFlags() error {
	var names []string
	for _, s := range b.Pipeline.Stages {
		names = append(names, s.Name)
	}
	for _, name := range sortedNames(b.Timeouts) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("-timeout: there is no stage %q; the stages are %s", name, strings.Join(names, ", "))
		}
	}
	if b.Limit < 0 {
		return fmt.Errorf("-limit=%d: at least 0, which is no limit", b.Limit)
	}
	return nil
}

// again reports whether a row is to be looked at although nothing about it changed: it is to be tried again, or may have more time now.
func (b *Batch) again(i int) bool {
	return b.retried(i) || (b.gaveUp(i) && len(b.Timeouts) > 0)
}

// gaveUp reports whether a row's molecule has a target that failed and is not tried again by itself: it is skipped, or its result is without that target.
func (b *Batch) gaveUp(i int) bool {
	status := b.Table.Status(i)
	return status == csvmerge.Skip || (status == csvmerge.OK && b.Table.Cell(i, "error_message").Text != "")
}

// retried reports whether a row is one that Config.Retry means: of those that gave up a target, all, the ones that failed in a stage, or the ones with a
// text in their error message, in any letter case.
func (b *Batch) retried(i int) bool {
	if b.Retry == "" || !b.gaveUp(i) {
		return false
	}
	message := b.Table.Cell(i, "error_message").Text
	if b.Retry == RetryAll {
		return true
	}
	if b.Pipeline.Stage(b.Retry) != nil {
		stage, _ := Reason(message)
		return stage == b.Retry
	}
	return strings.Contains(strings.ToLower(message), strings.ToLower(b.Retry))
}

// errEnough ends a batch that has taken up as many molecules as it may.
var errEnough = errors.New("the limit of molecules is reached")

// admit counts a molecule in which something is about to run; false when the limit is reached.
func (b *Batch) admit() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Limit > 0 && b.admitted == b.Limit {
		return false
	}
	b.admitted++
	return true
}

// task is a target's task at an attempt, with the time that it has in this batch.
func (b *Batch) task(v *visit, s *pipeline.Stage, i, attempt int, salvaged ...string) (*pipeline.Task, error) {
	task, err := v.m.Task(s, i, attempt, salvaged...)
	if limit, ok := b.Timeouts[s.Name]; ok && err == nil {
		task.Timeout = limit
	}
	return task, err
}
