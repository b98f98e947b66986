package crash

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// calls are the system calls that change a file or flush it. The recorder refuses those that
// neither the batch nor its programs use today.
const calls = "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,rename,renameat," +
	"renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,truncate," +
	"ftruncate,fallocate,copy_file_range,sendfile,splice,fsync,fdatasync,sync,syncfs," +
	"sync_file_range"

// recorder turns the lines of strace into operations on a disk.
type recorder struct {
	*disk
	root    string            // the project's folder
	begun   map[string]begun  // by thread: a call that is under way
	late    []call            // calls whose folder or file is not there yet
	written func(path string) // told after each write and rename
}

type begun struct {
	text string
	ops  int
}

// call is a system call that succeeded; ops were complete when it began.
type call struct {
	name string
	args []string
	ops  int
}

// missingError is of a call on a folder or a file that is not there yet. If two threads work in one
// folder, strace may show the call that makes the folder after a call that needs it.
type missingError struct{ path string }

func (e *missingError) Error() string { return e.path + " is missing" }

// newRecorder takes a folder as it is.
func newRecorder(root string) (*recorder, error) {
	r := &recorder{disk: &disk{}, root: root, begun: map[string]begun{}, written: func(string) {}}
	return r, r.load(root)
}

// load adds a folder, and all that is in it, behind the nodes.
func (r *recorder) load(path string) error {
	n := len(r.nodes)
	entries, err := os.ReadDir(path)
	r.nodes = append(r.nodes, node{kids: map[string]int{}})
	r.first = append(r.first, node{kids: map[string]int{}})
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		r.nodes[n].kids[e.Name()], r.first[n].kids[e.Name()] = len(r.nodes), len(r.nodes)
		if e.IsDir() {
			err = errors.Join(err, r.load(name))
			continue
		}
		var data []byte
		if !unmodelled(name) && e.Type().IsRegular() {
			var e error
			data, e = os.ReadFile(name)
			err = errors.Join(err, e)
		}
		r.nodes = append(r.nodes, node{data: data})
		r.first = append(r.first, node{data: data})
	}
	return err
}

// unmodelled files have no content in the model: locks, which mean nothing after a power cut.
func unmodelled(path string) bool { return strings.HasSuffix(path, "lock") }

// record runs a command in the project's folder and records what it and its programs do there. The
// error is about the recording, not about the command.
func (r *recorder) record(cmd *exec.Cmd) error {
	trace := r.root + ".trace"
	strace, err := exec.LookPath("strace")
	if err != nil {
		return err
	}
	cmd.Args = append([]string{strace, "-f", "-y", "-xx", "-s", "100000000", "--seccomp-bpf", "-qq",
		"-e", "signal=none", "-e", "trace=" + calls, "-o", trace, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	said, _ := cmd.CombinedOutput()
	data, err := os.ReadFile(trace)
	if err != nil || len(data) == 0 {
		return fmt.Errorf("strace recorded nothing (may processes be traced here?): %s", said)
	}
	for line := range strings.Lines(string(data)) {
		if err := r.line(strings.TrimRight(line, "\n")); err != nil {
			return fmt.Errorf("%.300s: %w", line, err)
		}
	}
	if len(r.late) > 0 {
		return fmt.Errorf("%v: %w", r.late[0], r.call(r.late[0]))
	}
	return r.compare()
}

// line takes one line; a call that another thread interrupted comes in two.
func (r *recorder) line(line string) error {
	thread, text, _ := strings.Cut(line, " ")
	text = strings.TrimLeft(text, " ")
	b := begun{text, len(r.ops)}
	if head, ok := strings.CutSuffix(text, " <unfinished ...>"); ok {
		b.text = head
		r.begun[thread] = b
		return nil
	}
	if strings.HasPrefix(text, "<... ") {
		_, tail, _ := strings.Cut(text, " resumed>")
		b = begun{r.begun[thread].text + tail, r.begun[thread].ops}
	}
	name, rest, _ := strings.Cut(b.text, "(")
	end := strings.LastIndex(rest, " = ")
	if strings.HasPrefix(text, "+++") || end < 0 || strings.ContainsAny(rest[end+3:end+4], "-?") {
		return nil // it ended the process, or failed
	}
	args := strings.Split(strings.TrimRight(rest[:end], " )"), ", ")
	r.late = append(r.late, call{name, args, b.ops})
	return errors.Join(r.catchUp(), r.catchUp()) // the newest may be what the others wait for
}

// catchUp records the late calls that can be recorded now.
func (r *recorder) catchUp() error {
	late := r.late
	r.late = nil
	for _, c := range late {
		var missing *missingError
		if err := r.call(c); errors.As(err, &missing) {
			r.late = append(r.late, c)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) call(c call) error {
	args := c.args
	switch c.name {
	case "openat":
		return r.open(r.at(args[0], args[1]), args[2])
	case "mkdirat":
		return r.make(r.at(args[0], args[1]), node{kids: map[string]int{}})
	case "symlinkat": // of an input, in a scratch folder
		return r.make(r.at(args[1], args[2]), node{})
	case "renameat", "renameat2":
		return r.rename(r.at(args[0], args[1]), r.at(args[2], args[3]))
	case "unlinkat":
		return r.rename(r.at(args[0], args[1]), "")
	case "write":
		return r.write(args)
	case "fsync", "fdatasync":
		if n := r.lookup(r.of(args[0])); r.of(args[0]) != "" && n != nowhere {
			r.add(op{kind: flush, node: n, began: c.ops})
		}
		return nil
	case "syncfs", "sync":
		r.add(op{kind: flushAll, began: c.ops})
		return nil
	}
	for _, path := range []string{r.of(args[0]), r.of(args[min(2, len(args)-1)])} {
		if path != "" && !unmodelled(path) {
			return fmt.Errorf("the recorder does not know the call %s", c.name)
		}
	}
	if strings.Contains(strings.Join(args, " "), `"`+hexed(r.root)) {
		return fmt.Errorf("the recorder does not know the call %s", c.name)
	}
	return nil
}

func (r *recorder) open(path, flags string) error {
	if path == "" {
		return nil
	}
	n := r.lookup(path)
	if n == nowhere && strings.Contains(flags, "O_CREAT") {
		return r.make(path, node{})
	}
	if n != nowhere && strings.Contains(flags, "O_TRUNC") && len(r.nodes[n].data) > 0 {
		return errors.New("a file is written over")
	}
	return nil
}

func (r *recorder) make(path string, n node) error {
	if path == "" {
		return nil
	}
	to, err := r.place(path)
	if err != nil {
		return err
	}
	r.nodes = append(r.nodes, n)
	r.add(op{kind: move, node: len(r.nodes) - 1, from: place{dir: nowhere}, to: to})
	return nil
}

// rename records a rename, or a removal if to is empty.
func (r *recorder) rename(from, to string) error {
	if from == "" {
		return nil
	}
	source, err := r.place(from)
	target := place{dir: nowhere}
	if err == nil && to != "" {
		target, err = r.place(to)
	}
	n := r.lookup(from)
	if err != nil || n == nowhere {
		return errors.Join(err, &missingError{from})
	}
	r.add(op{kind: move, node: n, from: source, to: target})
	r.written(to)
	return nil
}

func (r *recorder) place(path string) (place, error) {
	dir := r.lookup(filepath.Dir(path))
	if dir == nowhere {
		return place{}, &missingError{filepath.Dir(path)}
	}
	return place{dir, filepath.Base(path)}, nil
}

// write records a write; every file is written from its beginning to its end.
func (r *recorder) write(args []string) error {
	path := r.of(args[0])
	n := r.lookup(path)
	if n == nowhere && len(r.late) > 0 && path != "" {
		return &missingError{path}
	}
	if path == "" || n == nowhere || unmodelled(path) {
		return nil
	}
	data, err := unhex(strings.Trim(args[1], `"`))
	r.add(op{kind: write, node: n, data: data})
	r.written(path)
	return err
}

// at is the path, in the project, of a name relative to an open folder; "" for one elsewhere.
func (r *recorder) at(dir, name string) string {
	path, err := unhex(strings.Trim(name, `"`))
	if err != nil || filepath.IsAbs(string(path)) {
		return r.inside(string(path))
	}
	base, err := opened(dir)
	if err != nil {
		return ""
	}
	return r.inside(filepath.Join(base, string(path)))
}

// of is the path, in the project, of an open file or folder; "" for one elsewhere.
func (r *recorder) of(arg string) string {
	path, err := opened(arg)
	if err != nil {
		return ""
	}
	return r.inside(path)
}

// opened is the path of an open file or folder: "4<" + hex + ">".
func opened(arg string) (string, error) {
	path, err := unhex(strings.TrimSuffix(arg[strings.Index(arg, "<")+1:], ">"))
	return string(path), err
}

// inside is a path in the project, "." for the project itself, "" for one elsewhere.
func (r *recorder) inside(path string) string {
	if path = filepath.Clean(path); path == r.root {
		return "."
	}
	rel, ok := strings.CutPrefix(path, r.root+"/")
	if !ok {
		return ""
	}
	return rel
}

func hexed(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

func unhex(s string) ([]byte, error) { return hex.DecodeString(strings.ReplaceAll(s, `\x`, "")) }

// sameLines says whether two files differ in the order of their lines alone: strace shows two
// appends at the same time in any order.
func sameLines(a, b []byte) bool {
	return slices.EqualFunc(lines(a), lines(b), bytes.Equal)
}

func lines(data []byte) [][]byte {
	return slices.SortedFunc(bytes.Lines(data), bytes.Compare)
}

// compare is an error if the folder is not what the operations make of it: then an operation was
// missed or misunderstood.
func (r *recorder) compare() error {
	now, err := newRecorder(r.root)
	if err != nil {
		return err
	}
	var same func(path string, a, b int) error
	same = func(path string, a, b int) error {
		x, y := r.nodes[a], now.nodes[b]
		if len(x.kids) != len(y.kids) || !bytes.Equal(x.data, y.data) &&
			!sameLines(x.data, y.data) {
			return fmt.Errorf("%s: recorded %v, %q; is %v, %q", path, sorted(x.kids), x.data,
				sorted(y.kids), y.data)
		}
		for name, kid := range y.kids {
			recorded, ok := x.kids[name]
			if !ok {
				return fmt.Errorf("%s/%s was not recorded", path, name)
			}
			if err := same(path+"/"+name, recorded, kid); err != nil {
				return err
			}
		}
		return nil
	}
	return same(".", 0, 0)
}
