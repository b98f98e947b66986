package runner

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// markName is the environment variable by which the descendants of a program are known. Its value
// is the random id of this process, a dot, and the number of the program.
const markName = "GRIMPERIUM_TARGET"

// stopGrace is the time between SIGTERM and SIGKILL. mage kills this process five seconds after
// Ctrl-C, and its bookkeeping needs some of those.
const stopGrace = 2 * time.Second

// reapTime bounds the killing of what a program left behind. A program that forks faster than it is
// killed, or that hangs in the kernel, is left to later programs and to the guard.
const reapTime = time.Second

// state is what this process has once, whoever calls Run: its children and its guard. Whoever has
// the mutex can tell leaders and the guard from orphans, and no pid of theirs becomes another's.
type state struct {
	sync.Mutex
	prefix    string // of every mark: name, id and dot; "" before the first program
	count     int    // of marks
	foreign   []int  // children from before the first program
	leaders   map[int]*process
	guard     int      // the pid of the guard, or 0
	guardPipe *os.File // the guard waits for the end of this pipe
	oom       int64    // the part of oomKills that is from before, or the cause of a Result
}

var shared = state{leaders: map[int]*process{}}

// process is a program that was started. It is among the leaders until it has been collected.
type process struct {
	mark    string
	pid     int
	timeout time.Duration
	release func() // ends the watching of context, clock and folder
	cause   error  // why this package ended the program, or nil
}

// fork starts a program as the leader of a new process group.
func (s *state) fork(p *process, c Command, files []*os.File) (err error) {
	s.Lock()
	defer s.Unlock()
	if s.prefix == "" {
		s.prefix = markName + "=" + rand.Text() + "."
		s.foreign, s.oom = children(), oomKills()
		s.prepare()
	}
	s.count++
	p.mark = fmt.Sprint(s.prefix, s.count)
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: environment(c, p.mark), Sys: childAttr()}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	p.pid, err = syscall.ForkExec(c.Path, append([]string{c.Path}, c.Args...), attr)
	if err == nil {
		s.leaders[p.pid] = p
	}
	return err
}

// launch starts a program and the watching of its limits. The thread must live as long as the
// program.
func launch(ctx context.Context, c Command, files []*os.File) (*process, error) {
	p := &process{timeout: c.Timeout}
	err := shared.fork(p, c, files)
	// "Text file busy": if another goroutine forked while this program was written, the other child
	// has it open for writing until its exec.
	for pause := time.Millisecond; err == syscall.ETXTBSY && pause < time.Second; pause *= 2 {
		time.Sleep(pause)
		err = shared.fork(p, c, files)
	}
	if err != nil {
		return nil, err
	}
	ctx, stop := c.Watch(ctx)
	detach := context.AfterFunc(ctx, func() { p.stop(context.Cause(ctx)) })
	p.release = func() { detach(); stop() }
	return p, nil
}

// wait returns when the program and its descendants have ended.
func (p *process) wait() Result {
	status, usage, err := p.collect()
	if err != nil {
		panic(fmt.Sprint("another package has collected a program: ", err))
	}
	p.release()
	for begin := time.Now(); shared.reap(p) && time.Since(begin) < reapTime; {
		time.Sleep(100 * time.Microsecond)
	}
	r := newResult(status, usage)
	r.setCause(p.cause, p.timeout)
	passedOn := r.ExitCode == 128+int(syscall.SIGKILL) // by a shell, whose child was killed
	if (passedOn || r.Signal == "KILL" && p.cause == nil) && shared.ranOut() {
		r.ExitCode, r.Signal, r.OutOfMemory = -1, "KILL", true
	}
	return r
}

// stop ends the group, unless the program has ended.
func (p *process) stop(cause error) {
	shared.Lock()
	defer shared.Unlock()
	// exited: the program ended in time, but this process was stopped (Ctrl-Z) and sees it late.
	if shared.leaders[p.pid] != p || exited(p.pid) {
		return
	}
	p.cause = cause
	_ = syscall.Kill(-p.pid, syscall.SIGTERM) // fails only if nobody is left
	_ = syscall.Kill(-p.pid, syscall.SIGCONT) // a stopped program would not see SIGTERM
	time.AfterFunc(stopGrace, func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.leaders[p.pid] == p {
			_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		}
	})
}
