package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is a worker: a shell that answers by its requests.
const script = `while read -r line; do
case "$line" in
*pid*) echo "{\"text\":\"$$\"}" ;;
*die*) exit 3 ;;
*hang*) sleep 1000 & wait ;;
*babble*) echo babble ;;
*twice*) printf '{"text":"one"}\n{"text":"two"}\n' ;;
*later*) echo '{"text":"one"}'; sleep 0.1; echo '{"text":"two"}' ;;
*silent*) exec > /dev/null ;;
*) echo '{"text":"hello"}' ;;
esac
done`

const rule = "; a reply is one line of JSON, and standard output is for replies only"

type message struct {
	Text string `json:"text"`
}

func startScript(t *testing.T, ctx context.Context) *Worker {
	t.Helper()
	w, err := StartWorker(ctx, Command{Path: "/bin/sh", Args: []string{"-c", script},
		Dir: t.TempDir(), Stderr: filepath.Join(t.TempDir(), "stderr"), Env: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWorker(t *testing.T) {
	w := startScript(t, t.Context())
	var first, second message
	for _, reply := range []*message{&first, &second} {
		r, err := w.Call(t.Context(), Command{Timeout: time.Minute}, message{"pid"}, reply)
		if err != nil || !r.OK() {
			t.Fatal(r, err)
		}
	}
	if first.Text == "" || first != second {
		t.Errorf("two calls were answered by %q and %q", first.Text, second.Text)
	}
	w.Close()
}

// A worker that says more than it was asked for, or ends, gets no other request.
func TestWorkerQuiet(t *testing.T) {
	w := startScript(t, t.Context())
	defer w.Close()
	var reply message
	for _, request := range []string{"hello", "later"} {
		if !w.Quiet() {
			t.Error("a worker is not quiet before ", request)
		}
		_, err := w.Call(t.Context(), Command{Timeout: time.Minute}, message{request}, &reply)
		if err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, "the second line", func() bool { return !w.Quiet() })
	w = startScript(t, t.Context())
	w.Close()
	waitUntil(t, "the end", func() bool { return !w.Quiet() })
}

func TestWorkerFails(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "f"), make([]byte, 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	for request, c := range map[string]struct {
		call Command
		want string
	}{
		"die": {Command{Timeout: time.Minute}, "sh ended with exit code 3"},
		"babble": {Command{Timeout: time.Minute}, "sh gave no reply that can be read: " +
			`"babble\n"` + rule},
		"twice": {Command{Timeout: time.Minute}, "sh gave a reply that is not one whole line: " +
			`"{\"text\":\"one\"}\n"` + rule},
		"silent": {Command{Timeout: time.Minute}, "sh gave no reply"},
		"hang":   {Command{Timeout: 100 * time.Millisecond}, "sh did not finish within 100ms"},
		"hang on": {Command{Dir: full, MaxBytes: 1000},
			"sh wrote more than 1000 bytes (max_bytes) to its folder, and was ended"},
		"hang too": {Command{Dir: filepath.Dir(full), MaxFiles: 1},
			"sh wrote more than 1 files (max_files) to its folder, and was ended"},
	} {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			w := startScript(t, t.Context())
			defer w.Close()
			var reply message
			r, err := w.Call(t.Context(), c.call, message{request}, &reply)
			if err == nil || err.Error() != c.want || r.Stop == Interrupted ||
				(r.Stop == TimedOut) != strings.Contains(c.want, "finish") ||
				(r.Stop == TooLarge) != strings.Contains(c.want, "wrote") {
				t.Errorf("%+v, %v; want %q", r, err, c.want)
			}
		})
	}
}

// The end of the batch ends a call, and the worker with it.
func TestWorkerInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := startScript(t, ctx)
	time.AfterFunc(50*time.Millisecond, cancel)
	var reply message
	r, err := w.Call(ctx, Command{}, message{"hang"}, &reply)
	if err == nil || r.Stop != Interrupted {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestWorkerNotStarted(t *testing.T) {
	var start *StartError
	_, err := StartWorker(t.Context(), Command{Path: "/no/such/program"})
	if !errors.As(err, &start) || start.Mine {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartWorker(ctx, Command{Path: "/bin/sh"}); err == nil {
		t.Error("a worker was started after the end of the batch")
	}
}

// input is the standard input of a worker that ends with it.
type input struct{ end func() }

func (input) Write(p []byte) (int, error) { return len(p), nil }

func (i input) Close() error {
	i.end()
	return nil
}

// FuzzReply has a worker answer by foreign bytes: one line is the reply, or the call fails in
// words.
func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"exit": 0, "error": "", "cpu": 0.0123}` + "\n"))
	f.Add([]byte(`{"exit": 1, "error": "can't read the SMILES 'C1CO'", "cpu": 0.01}` + "\n{"))
	f.Add([]byte(`[RDKit] WARNING` + "\n" + `{"exit": 0}` + "\n"))
	f.Add([]byte(`{"exit": 1e99}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorker(Command{Path: "python3"})
		w.cancel = sync.OnceFunc(func() { close(w.ended) })
		w.in = input{w.cancel}
		go w.read(bytes.NewReader(data))
		var got, want struct {
			Exit  int
			Error string
			CPU   float64
		}
		_, err := w.Call(t.Context(), Command{}, message{"embed"}, &got)
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		good := whole && len(rest) == 0 && len(line) < maxReply &&
			json.Unmarshal(line, &want) == nil
		switch {
		case good && (err != nil || got != want):
			t.Errorf("%+v, %v; want %+v", got, err, want)
		case !good && (err == nil || !strings.HasPrefix(err.Error(), "python3 gave ")):
			t.Errorf("%+v, %v", got, err)
		}
	})
}
