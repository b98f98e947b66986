package runner

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

type cause int

const (
	causeNone cause = iota
	causeTimeout
	causeContext
	causeSize
)

// stopper ends one running program before its time. It costs no goroutine until it has something to do.
type stopper struct {
	pgid    int
	command Command

	mu     sync.Mutex
	cause  cause         // the first one counts
	ended  bool          // the leader has ended: from here on, its pid may be another's
	told   bool          // the guard knows of the group
	timers []*time.Timer // timeout, grace, guard
	off    func() bool   // detaches from the context
	size   *time.Timer   // measures the folder, again and again
	pause  time.Duration // until its next measurement
}

// arm starts to watch the context, the clock and the size of the folder.
func (s *stopper) arm(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off = context.AfterFunc(ctx, func() { s.stop(causeContext) })
	s.timers = append(s.timers, time.AfterFunc(guardAfter, s.tellGuard))
	if shared.guard.Load() == nil {
		s.timers = append(s.timers, time.AfterFunc(guardFrom, shared.protect))
	}
	if s.command.Timeout > 0 {
		s.timers = append(s.timers, time.AfterFunc(s.command.Timeout, func() { s.stop(causeTimeout) }))
	}
	if s.command.MaxBytes > 0 || s.command.MaxFiles > 0 {
		s.pause = firstMeasure
		s.size = time.AfterFunc(s.pause, s.measure)
	}
}

// disarm is called when the leader has ended, before its pid is given back: no signal is sent after it.
func (s *stopper) disarm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.off()
	if s.size != nil {
		s.size.Stop()
	}
	for _, t := range s.timers {
		t.Stop()
	}
}

// stop ends the group, at once or after the grace, unless it has ended or is being ended.
func (s *stopper) stop(why cause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.cause != causeNone || exited(s.pgid) { // exited: it was in time, but we were stopped (Ctrl-Z) and saw it late
		return
	}
	s.cause = why
	_ = syscall.Kill(-s.pgid, syscall.SIGTERM) // fails only if there is no one left
	_ = syscall.Kill(-s.pgid, syscall.SIGCONT) // a stopped program would not see the other signal
	s.timers = append(s.timers, time.AfterFunc(stopGrace, s.kill))
}

// guardAfter is the age at which the guard hears of a program. Most programs that are over sooner, such as cp, start no
// other, and waking the guard twice would cost a fifth of what such a program does. On Linux the guard finds by its
// mark what it has not been told of.
const guardAfter = 20 * time.Millisecond

// guardFrom is the age of a program at which there is a guard, which takes as long to start as two such programs. Where none gets
// so old, the system ends the one that runs when the batch dies, and none that it has started will live for long.
const guardFrom = 5 * time.Millisecond

func (s *stopper) tellGuard() {
	shared.protect()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		shared.guard.Load().tell('+', s.pgid)
		s.told = true
	}
}

// release takes the group off the guard's list. It is called when the group is gone and before its number is free.
func (s *stopper) release() {
	if s.told {
		shared.guard.Load().tell('-', s.pgid)
	}
}

func (s *stopper) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		_ = syscall.Kill(-s.pgid, syscall.SIGKILL)
	}
}

const (
	firstMeasure = 100 * time.Millisecond
	lastMeasure  = 500 * time.Millisecond
)

// measure stops the program if its folder is too large, else sets the clock for the next time.
func (s *stopper) measure() {
	if tooLarge(s.command) {
		s.stop(causeSize)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.pause = min(s.pause+firstMeasure, lastMeasure)
		s.size.Reset(s.pause)
	}
}

// tooLarge says whether the command's folder and output files hold more than it allows.
func tooLarge(c Command) bool {
	u := usage{maxBytes: c.MaxBytes, maxFiles: c.MaxFiles}
	for i, path := range []string{c.Stdout, c.Stderr} {
		if path == "" || i == 1 && path == c.Stdout || strings.HasPrefix(path, filepath.Clean(c.Dir)+string(filepath.Separator)) {
			continue // counted already, or found by the walk
		}
		if info, err := os.Stat(path); err == nil {
			u.bytes += info.Size()
		}
	}
	if c.Dir != "" {
		u.walk(c.Dir)
	}
	return u.over()
}

// usage adds up apparent sizes and entries. Links are counted, not followed.
type usage struct {
	bytes, maxBytes int64
	files, maxFiles int
}

func (u *usage) over() bool {
	return u.maxBytes > 0 && u.bytes > u.maxBytes || u.maxFiles > 0 && u.files > u.maxFiles
}

// walk stops as soon as a limit is passed, and reads folders in parts: a runaway program can make millions of files.
// What vanishes meanwhile is passed over.
func (u *usage) walk(dir string) {
	f, err := os.Open(dir)
	if err != nil {
		return
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(256)
		for _, e := range entries {
			u.files++
			if e.IsDir() {
				u.walk(filepath.Join(dir, e.Name()))
			} else if info, err := e.Info(); err == nil {
				u.bytes += info.Size()
			}
			if u.over() {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
