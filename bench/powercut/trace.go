package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// calls are the system calls that change a file or flush it.
const calls = "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir," +
	"truncate,ftruncate,fallocate,copy_file_range,sendfile,splice,ioctl,fsync,fdatasync,sync,syncfs,sync_file_range"

// recorder turns strace's lines into operations on a disk.
type recorder struct {
	*disk
	root    string            // the project's folder
	begun   map[string]begun  // by thread: a call that is under way
	written func(path string) // told after each write
}

type begun struct {
	text string
	ops  int
}

// newRecorder takes a folder as it is.
func newRecorder(root string) (*recorder, error) {
	d := &disk{}
	var load func(path string) error
	load = func(path string) error {
		n := len(d.nodes)
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		d.nodes = append(d.nodes, node{kids: map[string]int{}})
		d.first = append(d.first, node{kids: map[string]int{}})
		for _, e := range entries {
			d.nodes[n].kids[e.Name()], d.first[n].kids[e.Name()] = len(d.nodes), len(d.nodes)
			if e.IsDir() {
				err = load(filepath.Join(path, e.Name()))
			} else {
				var data []byte
				data, err = os.ReadFile(filepath.Join(path, e.Name()))
				d.nodes = append(d.nodes, node{data: data})
				d.first = append(d.first, node{data: data})
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return &recorder{disk: d, root: root, begun: map[string]begun{}, written: func(string) {}}, load(root)
}

// record runs a command in the project's folder and records what it and its programs do there. The error is about the recording, not the command.
func (r *recorder) record(cmd *exec.Cmd) error {
	trace := r.root + ".trace"
	strace, err := exec.LookPath("strace")
	if err != nil {
		return errors.New("strace is needed: apt-get install strace")
	}
	cmd.Args = append([]string{strace, "-f", "-y", "-xx", "-s", "100000000", "--seccomp-bpf", "-qq", "-e", "signal=none", "-e", "trace=" + calls, "-o", trace, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.Dir = strace, r.root
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
	if strings.HasPrefix(text, "+++") || end < 0 || strings.HasPrefix(rest[end+3:], "-1") || strings.HasPrefix(rest[end+3:], "?") {
		return nil
	}
	return r.call(name, strings.Split(strings.TrimRight(rest[:end], " )"), ", "), rest[end+3:], b.ops)
}

// call records a call that succeeded.
func (r *recorder) call(name string, args []string, result string, began int) error {
	switch name {
	case "openat":
		return r.open(args)
	case "mkdirat":
		return r.make(r.at(args[0], args[1]), node{kids: map[string]int{}})
	case "renameat", "renameat2":
		return r.rename(r.at(args[0], args[1]), r.at(args[2], args[3]), args[len(args)-1] == "RENAME_EXCHANGE")
	case "unlinkat":
		return r.rename(r.at(args[0], args[1]), "", false)
	case "write", "pwrite64":
		return r.write(args)
	case "ftruncate":
		if n := r.of(args[0]); n != nowhere {
			size, err := strconv.Atoi(args[1])
			r.add(op{kind: cut, node: n, off: size})
			return err
		}
	case "copy_file_range":
		count, err := strconv.Atoi(strings.Fields(result)[0])
		if n, from := r.of(args[2]), r.of(args[0]); n != nowhere && from != nowhere && count > 0 {
			at := len(r.nodes[n].data) // both from the beginning on, as cp does it
			r.add(op{kind: write, node: n, off: at, data: r.nodes[from].data[at : at+count]})
		}
		return err
	case "fsync", "fdatasync":
		if n := r.of(args[0]); n != nowhere {
			r.add(op{kind: flush, node: n, began: began})
		}
	case "syncfs", "sync":
		r.add(op{kind: flushAll, began: began})
	case "ioctl":
		if strings.Contains(args[1], "FICLONE") && r.of(args[0]) != nowhere {
			r.add(op{kind: write, node: r.of(args[0]), data: r.nodes[r.of(args[2])].data})
		}
	default:
		if strings.Contains(strings.Join(args, " "), hexed(r.root)) {
			return fmt.Errorf("the recorder does not know the call %s", name)
		}
	}
	return nil
}

func (r *recorder) open(args []string) error {
	path := r.at(args[0], args[1])
	if path == "" {
		return nil
	}
	n := r.lookup(path)
	switch {
	case n == nowhere && strings.Contains(args[2], "O_CREAT"):
		return r.make(path, node{})
	case n != nowhere && strings.Contains(args[2], "O_TRUNC") && len(r.nodes[n].data) > 0:
		r.add(op{kind: cut, node: n})
	}
	return nil
}

func (r *recorder) make(path string, n node) error {
	if path == "" {
		return nil
	}
	r.nodes = append(r.nodes, n)
	to, err := r.place(path)
	r.add(op{kind: move, node: len(r.nodes) - 1, from: place{dir: nowhere}, to: to})
	return err
}

func (r *recorder) rename(from, to string, exchange bool) error {
	if from == "" {
		return nil
	}
	source, err := r.place(from)
	target := place{dir: nowhere}
	if err == nil && to != "" {
		target, err = r.place(to)
	}
	if n := r.lookup(from); err == nil && n != nowhere {
		o := op{kind: move, node: n, from: source, to: target}
		if exchange {
			o.back = r.lookup(to)
		}
		r.add(o)
		return nil
	}
	return errors.Join(err, fmt.Errorf("%s is not there", from))
}

func (r *recorder) place(path string) (place, error) {
	dir := r.lookup(filepath.Dir(path))
	if dir == nowhere {
		return place{dir: 0}, fmt.Errorf("%s has no folder", path)
	}
	return place{dir, filepath.Base(path)}, nil
}

func (r *recorder) write(args []string) error {
	n := r.of(args[0])
	if n == nowhere {
		return nil
	}
	data, err := unhex(strings.Trim(args[1], `"`))
	at := len(r.nodes[n].data) // our files are appended to
	if len(args) == 4 && err == nil {
		at, err = strconv.Atoi(args[3])
	}
	r.add(op{kind: write, node: n, off: at, data: data})
	path, _ := opened(args[0])
	r.written(strings.TrimPrefix(path, r.root+"/"))
	return err
}

// at is the path, in the project, of a name relative to an open folder; "" for one elsewhere.
func (r *recorder) at(dir, name string) string {
	path, err := unhex(strings.Trim(name, `"`))
	if err == nil && filepath.IsAbs(string(path)) {
		return r.inside(string(path))
	}
	base, e := opened(dir)
	if err != nil || e != nil {
		return ""
	}
	return r.inside(filepath.Join(base, string(path)))
}

// opened is the path of an open file or folder: "4<" + hex + ">".
func opened(arg string) (string, error) {
	path, err := unhex(strings.TrimSuffix(arg[strings.Index(arg, "<")+1:], ">"))
	return string(path), err
}

// inside is a path in the project, "" for one elsewhere.
func (r *recorder) inside(path string) string {
	rel, ok := strings.CutPrefix(filepath.Clean(path)+"/", r.root+"/")
	if !ok {
		return ""
	}
	return "./" + strings.TrimSuffix(rel, "/")
}

// of is the node of an open file or folder, nowhere for one that is not the project's.
func (r *recorder) of(arg string) int {
	path, err := opened(arg)
	if inside := r.inside(path); err == nil && inside != "" {
		return r.lookup(inside)
	}
	return nowhere
}

func hexed(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

func unhex(s string) ([]byte, error) { return hex.DecodeString(strings.ReplaceAll(s, `\x`, "")) }

// compare is an error if the folder is not what the operations make of it: then one was missed or misunderstood.
func (r *recorder) compare() error {
	now, err := newRecorder(r.root)
	if err != nil {
		return err
	}
	var same func(path string, a, b int) error
	same = func(path string, a, b int) error {
		x, y := r.nodes[a], now.nodes[b]
		if len(x.kids) != len(y.kids) || !bytes.Equal(x.data, y.data) {
			return fmt.Errorf("%s: recorded %v, %q; is %v, %q", path, sorted(x.kids), x.data, sorted(y.kids), y.data)
		}
		for name, kid := range y.kids {
			mine, ok := x.kids[name]
			if !ok {
				return fmt.Errorf("%s/%s was not recorded", path, name)
			}
			if err := same(path+"/"+name, mine, kid); err != nil {
				return err
			}
		}
		return nil
	}
	return same(".", 0, 0)
}
