// Package main_test runs the real command line, compiled from the magefile, by the scripts in
// testdata/script. RDKit, xTB and MOPAC are the real programs, except where a script stages a fault
// and says so.
package main_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"grimperium/internal/cluster/slurmtest"
	"grimperium/internal/tables/pgtest"

	// All that the command line is made of. Without this import go test takes an earlier run of the
	// scripts for this one's although the command line changed.
	_ "grimperium/internal/cli"
)

// command is the compiled magefile.
var command string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "grimperium-e2e-")
	if err != nil {
		panic(err)
	}
	command = filepath.Join(dir, "mage")
	code := 1
	if err := compile(); err == nil {
		code = m.Run()
	}
	if server != nil {
		server.Remove()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// compile makes the command. It is tried again: mage writes its main function into this folder,
// where another mage may do the same.
func compile() (err error) {
	for range 5 {
		build := exec.Command("go", "tool", "mage", "-f", "-compile", command)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		switch {
		case raceEnabled:
			build.Env = append(os.Environ(), "GOFLAGS=-race")
		// the statements that the scripts reach: go tool covdata
		case os.Getenv("GOCOVERDIR") != "":
			build.Env = append(os.Environ(),
				"GOFLAGS=-cover -coverpkg=command-line-arguments,grimperium/...")
		}
		if err = build.Run(); err == nil {
			break
		}
	}
	return err
}

func TestScripts(t *testing.T) {
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(command)+":"+env.Getenv("PATH"))
			env.Setenv("ROOT", root)
			env.Setenv("HOME", env.WorkDir)
			// tells a script's programs from another checkout's
			env.Setenv("PID", strconv.Itoa(os.Getpid()))
			// Without these xTB and MOPAC go wrong on processors that are newer than their
			// OpenBLAS.
			for _, name := range []string{"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "GOCOVERDIR",
				"GORACE"} {
				if value, ok := os.LookupEnv(name); ok {
					env.Setenv(name, value)
				}
			}
			env.Values["root"] = root
			env.Values["server"] = new(*pgtest.Server)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"project":   project,
			"database":  database,
			"exits":     exits,
			"ran":       ran,
			"cell":      cell,
			"edit":      edit,
			"snapshot":  snapshot,
			"unchanged": unchanged,
			"slurm":     slurm,
		},
	})
}

// project ID... makes a project of the shipped pipeline with these rows of testdata/molecules.csv.
func project(ts *testscript.TestScript, neg bool, ids []string) {
	root := ts.Value("root").(string)
	copyFile(ts, filepath.Join(root, "pipeline.hcl"), ts.MkAbs("pipeline.hcl"))
	copyFile(ts, filepath.Join(root, "stages/embed.py"), ts.MkAbs("stages/embed.py"))
	rows := strings.SplitAfter(ts.ReadFile(filepath.Join(root, "testdata/molecules.csv")), "\n")
	table := rows[0]
	for _, row := range rows[1:] {
		if id, _, _ := strings.Cut(row, ","); slices.Contains(ids, id) {
			table += row
		}
	}
	write(ts, ts.MkAbs("data/thermo_pm7.csv"), table)
}

func copyFile(ts *testscript.TestScript, from, to string) { write(ts, to, ts.ReadFile(from)) }

func write(ts *testscript.TestScript, path, text string) {
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(os.WriteFile(path, []byte(text), 0o644))
}

// server is the PostgreSQL of all scripts.
var (
	server     *pgtest.Server
	startOnce  sync.Once
	startError error
)

// database NAME sets NAME to the URL of a table that is not there yet, on a server that the scripts
// share. database own starts a server for this script alone, and sets DATABASE to the URL of a
// table there. database stop takes that server away, and database start brings it back.
func database(ts *testscript.TestScript, neg bool, args []string) {
	own, _ := ts.Value("server").(**pgtest.Server)
	switch args[0] {
	case "own":
		s, err := pgtest.Start()
		ts.Check(err)
		ts.Defer(s.Remove)
		*own = s
		ts.Setenv("DATABASE", s.URL("thermo_pm7"))
	case "stop":
		(*own).Kill()
	case "start":
		ts.Check((*own).Launch())
	default:
		startOnce.Do(func() { server, startError = pgtest.Start() })
		ts.Check(startError)
		ts.Setenv(args[0], server.URL(fmt.Sprintf("%s_%d", args[0], time.Now().UnixNano())))
	}
}

// exits CODE PROGRAM ARG... runs a program that must end with this exit code. Its output is for the
// commands stdout and stderr.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		var failed *exec.ExitError
		if !asExit(err, &failed) {
			ts.Fatalf("%v", err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func asExit(err error, into **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*into = e
	return ok
}

type event struct {
	Event, Mol, Stage, Outcome string
	Instance                   int
}

// ran TARGET... asserts which targets ended since the last ran: these and no others, in this order.
// A target is MOL/STAGE or MOL/STAGE/INSTANCE. Another outcome than ok stands behind a colon.
func ran(ts *testscript.TestScript, neg bool, want []string) {
	path := ts.MkAbs("artefacts/journal.jsonl")
	mark := ts.MkAbs(".journal-seen")
	seen := 0
	if data, err := os.ReadFile(mark); err == nil {
		seen, _ = strconv.Atoi(string(data))
	}
	var got []string
	n := 0
	if f, err := os.Open(path); err == nil {
		defer f.Close()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if n++; n <= seen {
				continue
			}
			var e event
			ts.Check(json.Unmarshal(lines.Bytes(), &e))
			if e.Event != "target_end" {
				continue
			}
			name := e.Mol + "/" + e.Stage
			if e.Instance > 0 {
				name += fmt.Sprintf("/%d", e.Instance)
			}
			if e.Outcome != "ok" {
				name += ":" + e.Outcome
			}
			got = append(got, name)
		}
	}
	ts.Check(os.WriteFile(mark, []byte(strconv.Itoa(n)), 0o644))
	if !slices.Equal(got, want) {
		ts.Fatalf("ran:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// cell MOL COLUMN VALUE asserts a cell of the table. A VALUE like -57.859~0.01 is a number and its
// tolerance.
func cell(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 2 {
		args = append(args, "")
	}
	records, err := csv.NewReader(strings.NewReader(ts.ReadFile("data/thermo_pm7.csv"))).ReadAll()
	ts.Check(err)
	column := slices.Index(records[0], args[1])
	if column < 0 {
		ts.Fatalf("the table has no column %s", args[1])
	}
	for _, r := range records[1:] {
		if r[0] != args[0] {
			continue
		}
		if want, tolerance, ok := strings.Cut(args[2], "~"); ok {
			w, err1 := strconv.ParseFloat(want, 64)
			tol, err2 := strconv.ParseFloat(tolerance, 64)
			got, err3 := strconv.ParseFloat(r[column], 64)
			if err1 != nil || err2 != nil || err3 != nil || got < w-tol || got > w+tol {
				ts.Fatalf("%s %s is %q, want %s", args[0], args[1], r[column], args[2])
			}
		} else if (r[column] == args[2]) == neg {
			ts.Fatalf("%s %s is %q, want %q", args[0], args[1], r[column], args[2])
		}
		return
	}
	ts.Fatalf("the table has no row %s", args[0])
}

// edit FILE OLD NEW replaces the only occurrence of a text; \n in it is a line break.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], `\n`, "\n")
	}
	text := ts.ReadFile(args[0])
	if n := strings.Count(text, args[1]); n != 1 {
		ts.Fatalf("%q stands %d times in %s", args[1], n, args[0])
	}
	write(ts, ts.MkAbs(args[0]), strings.Replace(text, args[1], args[2], 1))
}

// snapshot remembers every file below the work folder. unchanged asserts that since then none was
// made, removed or written.
func snapshot(ts *testscript.TestScript, neg bool, args []string) {
	write(ts, filepath.Join(ts.Getenv("TMPDIR"), "snapshot"), state(ts))
}

func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	was := ts.ReadFile(filepath.Join(ts.Getenv("TMPDIR"), "snapshot"))
	if is := state(ts); is != was {
		ts.Fatalf("files changed; before:\n%s\nnow:\n%s", was, is)
	}
}

// state lists every file with its content's hash and its time stamp.
func state(ts *testscript.TestScript) string {
	var b strings.Builder
	ts.Check(filepath.WalkDir(ts.MkAbs("."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == ts.Getenv("TMPDIR") {
			if d != nil && d.IsDir() && err == nil {
				return fs.SkipDir
			}
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x %s\n", path, sha256.Sum256(data), info.ModTime())
		return err
	}))
	return b.String()
}

// slurm starts a Slurm of two nodes for this script.
func slurm(ts *testscript.TestScript, neg bool, args []string) {
	dir, err := os.MkdirTemp("", "slurm") // the names of sockets must be short
	ts.Check(err)
	s, err := slurmtest.Start(dir)
	ts.Defer(func() {
		s.Stop()
		os.RemoveAll(dir)
	})
	ts.Check(err)
	ts.Setenv("SLURM_CONF", s.Config())
}
