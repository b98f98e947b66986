package runner

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Worker is a program that stays. It reads requests from its standard input and writes replies to
// its standard output, each a line of JSON, one reply to a request. What takes a second to start
// (Python with RDKit) is then started once. One goroutine at a time may use a worker.
type Worker struct {
	name   string
	in     *os.File
	lines  *bufio.Reader
	cancel context.CancelFunc
	ended  chan struct{} // closed when result is set
	result Result
}

// maxReply is the longest reply that is read, in bytes.
const maxReply = 1 << 20

// StartWorker starts a program as a worker. The command's Stdout must be empty; its limits and its
// TMPDIR are for the worker's whole life. The error is a *StartError, or the cause of the end of
// ctx.
func StartWorker(ctx context.Context, c Command) (*Worker, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	files, err := openStreams(c)
	defer closeAll(files)
	childIn, in, errIn := os.Pipe()
	out, childOut, errOut := os.Pipe()
	defer closeAll([]*os.File{childIn, childOut}) // else the pipes would not end with the worker
	if err := cmp.Or(err, errIn, errOut); err != nil {
		closeAll([]*os.File{in, out})
		return nil, startError(c, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &Worker{name: filepath.Base(c.Path), in: in, lines: bufio.NewReaderSize(out, maxReply),
		cancel: cancel, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer out.Close() // a read that waits for a reply ends
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		p, err := launch(ctx, c, []*os.File{childIn, childOut, files[2]})
		started <- err
		if err == nil {
			w.result = p.wait()
			close(w.ended)
		}
	}()
	if err := <-started; err != nil {
		in.Close()
		cancel()
		return nil, startError(c, err)
	}
	return w, nil
}

// Call sends a request and waits for the reply within the limits of c, see Watch. With an error the
// worker has ended: it died, wrote no reply, or passed a limit. Result says which. If ctx ended,
// Result is Interrupted, and the error is the cause of that end.
func (w *Worker) Call(ctx context.Context, c Command, request, reply any) (Result, error) {
	line, err := json.Marshal(request)
	if err != nil {
		return Result{}, err
	}
	ctx, stop := c.Watch(ctx)
	defer stop()
	replies := make(chan []byte, 1)
	go func() {
		_, _ = w.in.Write(append(line, '\n')) // a worker that can't be written to gives no reply
		if text, err := w.lines.ReadSlice('\n'); err == nil {
			replies <- text
		}
		close(replies)
	}()
	select {
	case text := <-replies:
		if json.Unmarshal(text, reply) == nil {
			return Result{}, nil
		}
	case <-ctx.Done():
	}
	r := w.end(50 * time.Millisecond)
	switch cause := context.Cause(ctx); {
	case cause != nil:
		if r.setCause(cause, c.Timeout); r.Interrupted {
			return r, cause
		}
	case r.OK() || r.Interrupted: // ended by us because of its reply
		r.Interrupted = false
		return r, fmt.Errorf("%s gave no reply that can be read", w.name)
	}
	return r, fmt.Errorf("%s %s", w.name, r)
}

// end closes the worker's input and waits for its end. After the grace, the worker is ended.
func (w *Worker) end(grace time.Duration) Result {
	w.in.Close()
	defer time.AfterFunc(grace, w.cancel).Stop()
	<-w.ended
	w.cancel()
	return w.result
}

// Close has the worker end by itself, and ends it after a second. It may be called again.
func (w *Worker) Close() { w.end(time.Second) }
