package runner

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Worker is a program that stays: it reads requests from its standard input and writes replies to its standard output, each a
// line of JSON, one reply to a request. What costs a second to start (Python with RDKit) is then started once.
type Worker struct {
	name   string
	in     *os.File
	out    *os.File
	lines  *bufio.Reader
	cancel context.CancelCauseFunc
	ended  chan Result // once
}

// maxReply is the longest reply that is read, in bytes.
const maxReply = 1 << 20

// errCall ends a worker in the middle of a call.
var errCall = errors.New("the call was given up")

// StartWorker starts a program as a worker. Command's Stdout must be empty; its Timeout bounds the worker's whole life.
func StartWorker(ctx context.Context, c Command) (*Worker, error) {
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer childIn.Close()
	out, childOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer childOut.Close()
	c.stdin, c.stdout = childIn, childOut
	ctx, cancel := context.WithCancelCause(ctx)
	w := &Worker{name: filepath.Base(c.Path), in: in, out: out, lines: bufio.NewReaderSize(out, maxReply), cancel: cancel, ended: make(chan Result, 1)}
	started := make(chan error, 1)
	c.started = func() { started <- nil }
	go func() {
		r, err := Run(ctx, c)
		if err != nil || r.Wall == 0 { // not started
			if err == nil {
				err = context.Cause(ctx)
			}
			started <- err
		}
		w.ended <- r
		out.Close() // a read that waits for a reply ends
	}()
	if err := <-started; err != nil {
		in.Close()
		cancel(nil)
		return nil, err
	}
	return w, nil
}

// Call sends a request and waits for its reply. An error means that the worker is of no further use: it has been ended, because it died, gave
// no sense, or took longer than timeout (0: none); Result says which.
func (w *Worker) Call(ctx context.Context, timeout time.Duration, request, reply any) (Result, error) {
	begin := time.Now()
	line, err := json.Marshal(request)
	if err != nil {
		return Result{}, err
	}
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		if _, err := w.in.Write(append(line, '\n')); err != nil {
			answers <- answer{nil, err}
			return
		}
		text, err := w.lines.ReadSlice('\n')
		answers <- answer{text, err}
	}()
	var clock <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		clock = timer.C
	}
	select {
	case a := <-answers:
		if a.err == nil {
			a.err = json.Unmarshal(a.line, reply)
		}
		if a.err == nil {
			return Result{Wall: time.Since(begin)}, nil
		}
		r := w.end()
		if r.OK() || r.Interrupted { // it wrote something that is no reply, or went away in silence
			r.Interrupted = false // by us, but not for the batch's end
			return r, fmt.Errorf("%s gave no reply that can be read", w.name)
		}
		return r, fmt.Errorf("%s %s", w.name, r)
	case <-clock:
		r := w.end()
		r.TimedOut, r.Interrupted, r.timeout = true, false, timeout
		return r, fmt.Errorf("%s %s", w.name, r)
	case <-ctx.Done():
		r := w.end()
		r.Interrupted = true
		return r, context.Cause(ctx)
	}
}

// end kills the worker with all that it started, and waits for that.
func (w *Worker) end() Result {
	select {
	case r := <-w.ended: // it died by itself
		w.in.Close()
		return r
	case <-time.After(50 * time.Millisecond):
	}
	w.cancel(errCall)
	w.in.Close()
	return <-w.ended
}

// Close lets the worker end by itself, at the end of its input, and ends it if it doesn't within a second.
func (w *Worker) Close() {
	w.in.Close()
	select {
	case <-w.ended:
	case <-time.After(time.Second):
		w.cancel(errCall)
		<-w.ended
	}
	w.cancel(nil)
}
