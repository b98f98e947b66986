package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sh is a shell script as a command, in an empty folder, with its output in stdout and stderr.
func sh(t testing.TB, script string) Command {
	dir := t.TempDir()
	return Command{
		Path: "/bin/sh", Args: []string{"-c", script}, Dir: dir,
		Env: []string{"PATH=/usr/bin:/bin"}, Stdout: filepath.Join(dir, "stdout"),
		Stderr: filepath.Join(dir, "stderr"),
	}
}

func mustRun(t testing.TB, ctx context.Context, c Command) Result {
	t.Helper()
	r, err := Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// waitUntil polls for a condition, and fails the test after a time that only a hang can reach.
func waitUntil(t testing.TB, what string, done func() bool) {
	t.Helper()
	for begin := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Errorf("waited in vain for %s", what)
			return
		}
	}
}

func TestRunEndings(t *testing.T) {
	tests := []struct {
		name, script string
		change       func(*Command)
		want         Result // but for the times
		text         string
	}{
		{"well", "exit 0", nil, Result{}, "ended well"},
		{"exit code", "exit 3", nil, Result{ExitCode: 3}, "ended with exit code 3"},
		{"killed below a shell", "(kill -KILL $(exec sh -c 'echo $PPID'))", nil,
			Result{ExitCode: -1, Signal: "KILL"}, "was killed by signal KILL, probably because " +
				"memory ran out: run fewer jobs at once, or on a machine with more"},
		{"killed", "kill -KILL $$", nil, Result{ExitCode: -1, Signal: "KILL"}, "was killed by " +
			"signal KILL, probably because memory ran out: run fewer jobs at once, or on a " +
			"machine with more"},
		{"crashed", "kill -SEGV $$", nil, Result{ExitCode: -1, Signal: "SEGV"},
			"was killed by signal SEGV"},
		{"timeout", "sleep 100", func(c *Command) { c.Timeout = 50 * time.Millisecond },
			Result{ExitCode: -1, Signal: "TERM", Stop: TimedOut}, "did not finish within 50ms"},
		{"timeout of a polite program", "trap 'exit 0' TERM; sleep 100 & wait",
			func(c *Command) { c.Timeout = time.Second },
			Result{Stop: TimedOut}, "did not finish within 1s"},
		{"timeout of a stopped program", "kill -STOP $$", func(c *Command) {
			c.Timeout = 50 * time.Millisecond
		},
			Result{ExitCode: -1, Signal: "TERM", Stop: TimedOut}, "did not finish within 50ms"},
		{"timeout of a deaf program", "trap '' TERM; while :; do sleep 1; done",
			func(c *Command) { c.Timeout = time.Second },
			Result{ExitCode: -1, Signal: "KILL", Stop: TimedOut}, "did not finish within 1s"},
		{"too many bytes", "while :; do echo 0123456789 >> f; done",
			func(c *Command) { c.MaxBytes = 1000 },
			Result{ExitCode: -1, Signal: "TERM", Stop: TooLarge},
			"wrote more than 1000 bytes (max_bytes) to its folder, and was ended"},
		{"too many bytes in the output", "while :; do echo 0123456789; done",
			func(c *Command) { c.MaxBytes = 1000 },
			Result{ExitCode: -1, Signal: "TERM", Stop: TooLarge},
			"wrote more than 1000 bytes (max_bytes) to its folder, and was ended"},
		{"too many files", "mkdir -p a/b; cd a/b; i=0; while :; do i=$((i+1)); : > $i; done",
			func(c *Command) { c.MaxFiles = 100 },
			Result{ExitCode: -1, Signal: "TERM", Stop: TooLarge},
			"wrote more than 100 files (max_files) to its folder, and was ended"},
		{"links are not followed", "ln -s / root; sleep 0.3",
			func(c *Command) { c.MaxFiles, c.MaxBytes = 5, 1000 }, Result{}, "ended well"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := sh(t, tt.script)
			if tt.change != nil {
				tt.change(&c)
			}
			r := mustRun(t, context.Background(), c)
			if r.MaxRSS <= 0 {
				t.Errorf("memory %d: want above 0", r.MaxRSS)
			}
			if r.String() != tt.text || r.OK() != (tt.text == "ended well") {
				t.Errorf("String %q, OK %v; want %q", r, r.OK(), tt.text)
			}
			r.User, r.System, r.MaxRSS, r.limit = 0, 0, 0, ""
			if r != tt.want {
				t.Errorf("got %+v\nwant %+v", r, tt.want)
			}
		})
	}
}

func TestRunContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := sh(t, "echo started; sleep 100")
	go func() {
		waitUntil(t, "the program's output", func() bool {
			b, _ := os.ReadFile(c.Stdout)
			return len(b) > 0
		})
		cancel()
	}()
	r := mustRun(t, ctx, c)
	if r.Stop != Interrupted || r.Signal != "TERM" || r.OK() ||
		r.String() != "was interrupted" {
		t.Errorf("got %+v (%v)", r, r)
	}
	c.Args[1] = "echo again"
	if r := mustRun(t, ctx, c); r.Stop != Interrupted || read(t, c.Stdout) != "started\n" {
		t.Errorf("a program was started after the end of the context: %+v", r)
	}
}

func TestRunStreams(t *testing.T) {
	c := sh(t, `echo "$1"; echo problem >&2; cat; echo "$GREETING $PWD"`)
	c.Args = append(c.Args, "sh", "C(=O)O; rm -rf $HOME")
	c.Env = append(c.Env, "GREETING=hi", markName+"=outer")
	if err := os.WriteFile(c.Stdout, []byte(strings.Repeat("old", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, context.Background(), c)
	want := "C(=O)O; rm -rf $HOME\nhi " + c.Dir + "\n"
	if got := read(t, c.Stdout); got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	if got := read(t, c.Stderr); got != "problem\n" {
		t.Errorf("stderr %q", got)
	}

	c.Stderr = c.Stdout
	mustRun(t, context.Background(), c)
	if got := read(t, c.Stdout); got != strings.Replace(want, "\n", "\nproblem\n", 1) {
		t.Errorf("both in one file: %q", got)
	}

	c.Stdout, c.Stderr = "", ""
	if r := mustRun(t, context.Background(), c); !r.OK() {
		t.Errorf("without output: %v", r)
	}
}

func TestRunErrors(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	garbage := filepath.Join(dir, "garbage")
	for path, mode := range map[string]os.FileMode{plain: 0o644, garbage: 0o755} {
		if err := os.WriteFile(path, []byte("\x00\x01"), mode); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(plain, link); err != nil {
		t.Fatal(err)
	}
	noInterpreter := filepath.Join(dir, "noInterpreter")
	if err := os.WriteFile(noInterpreter, []byte("#!/no/python\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("C", 1<<22)
	tests := []struct {
		name    string
		command Command
		mine    bool
		want    string
	}{
		{"no such program", Command{Path: dir + "/xtb"}, false,
			dir + "/xtb: cannot be started: no such file or directory; install it again, or what " +
				"its #! line names"},
		{"no interpreter", Command{Path: noInterpreter}, false,
			noInterpreter + ": cannot be started: no such file or directory; install it again, " +
				"or what its #! line names"},
		{"not executable", Command{Path: plain}, false,
			plain + ": cannot be started: permission denied; make it executable (chmod +x), on a " +
				"disk that is not mounted noexec"},
		{"no program", Command{Path: garbage}, false,
			garbage + ": cannot be started: exec format error; it is neither a program for this " +
				"machine nor a script with a #! line"},
		{"no place for output", Command{Path: "/bin/sh", Stdout: dir + "/no/out"}, false,
			"/bin/sh: cannot be started: open " + dir + "/no/out: no such file or directory"},
		{"a link for output", Command{Path: "/bin/sh", Stderr: link}, false,
			"/bin/sh: cannot be started: open " + link + ": too many levels of symbolic links"},
		{"long argument", Command{Path: "/bin/sh", Args: []string{long}}, true,
			"/bin/sh: cannot be started: argument list too long; write words of the command to a " +
				"file"},
		{"zero byte", Command{Path: "/bin/sh", Args: []string{"a\x00b"}}, true,
			"/bin/sh: cannot be started: invalid argument; a word has a zero byte"},
		{"zero byte in the environment", Command{Path: "/bin/sh", Env: []string{"A=a\x00b"}}, true,
			"/bin/sh: cannot be started: exec: environment variable contains NUL; a word of the " +
				"environment has a zero byte"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Run(context.Background(), tt.command)
			var start *StartError
			mine := errors.As(err, &start) && start.Mine
			if err == nil || err.Error() != tt.want || mine != tt.mine {
				t.Errorf("got %+v, %v\nwant %s", r, err, tt.want)
			}
		})
	}
}

// What the machine has no more of is not the command's fault.
func TestRunOnExhaustedMachine(t *testing.T) {
	var was, few unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	few = was
	for few.Cur = 3; few.Cur < 40; few.Cur++ {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
			t.Fatal(err)
		}
		_, err := Run(context.Background(), sh(t, "exit 0"))
		w, errWorker := StartWorker(context.Background(), Command{Path: "/bin/sh",
			Args: []string{"-c", script}})
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &was)
		if errWorker == nil {
			w.Close()
		}
		for _, err := range []error{err, errWorker} {
			var start *StartError
			if err != nil && (errors.As(err, &start) || !errors.Is(err, syscall.EMFILE)) {
				t.Errorf("%d files: %v", few.Cur, err)
			}
		}
	}
}

// Temporary files of a program lie in its folder.
func TestRunTempDir(t *testing.T) {
	for _, own := range []string{"", "/elsewhere"} {
		c := sh(t, "echo $TMPDIR")
		want := c.Dir
		if own != "" {
			c.Env, want = append(c.Env, "TMPDIR="+own), own
		}
		mustRun(t, context.Background(), c)
		if got := read(t, c.Stdout); got != want+"\n" {
			t.Errorf("TMPDIR is %q, want %q", got, want)
		}
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a/b/c"), make([]byte, 1000), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		bytes int64
		files int
		want  bool
	}{{999, 0, true}, {1000, 3, false}, {0, 2, true}, {0, 0, false}} {
		ctx, stop := Command{Dir: dir, MaxBytes: tt.bytes, MaxFiles: tt.files}.Watch(t.Context())
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
		if got := stop().Stop == TooLarge; got != tt.want || ctx.Err() == nil {
			t.Errorf("%+v: %v", tt, got)
		}
	}
	parent, cancel := context.WithCancel(t.Context())
	_, stop := Command{Dir: dir, MaxBytes: 1}.Watch(parent)
	cancel()
	if time.Sleep(300 * time.Millisecond); stop().Stop == TooLarge {
		t.Error("too large after the end of the context")
	}
}

func TestRunTimes(t *testing.T) {
	r := mustRun(t, context.Background(),
		sh(t, "(i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done)"))
	if r.User+r.System <= 0 {
		t.Error("no CPU time: the child's time is part of it")
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"mopac": 0o755, "xtb": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	mopac, xtb := filepath.Join(dir, "mopac"), filepath.Join(dir, "xtb")
	const chmod = " is not executable: make it executable (chmod +x), on a disk that is not " +
		"mounted noexec"
	for name, want := range map[string]string{
		"mopac":               mopac,
		mopac:                 mopac,
		"crest":               "crest is not there",
		"bin/crest":           "bin/crest is not there",
		"xtb":                 xtb + chmod,
		xtb:                   xtb + chmod,
		dir:                   dir + " is a folder",
		"../runner/runner.go": "../runner/runner.go is a relative path: give its absolute path",
	} {
		got, err := Find(name)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("Find(%q) = %q, want %q", name, got, want)
		}
	}
}
