package fault

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// where faults stand: the packages that write what must not be lost.
var where = []string{"../store", "../journal", "../batch", "../../csvmerge"}

// TestSteps finds every Around in the source, and every call there that changes what is on the disk for good and has none.
func TestSteps(t *testing.T) {
	durable := []string{"Rename", "Sync", "Syncfs", "CloseAtomicallyReplace", "WriteFile", "moveDir", "syncAll"}
	used := map[string]bool{"store.move": true, "store.manifest": true} // by way of moveDir
	for _, dir := range where {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			var within []ast.Node
			ast.Inspect(parsed, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				switch name := called(call); {
				case name == "fault.Around":
					within = append(within, call)
					if text, ok := call.Args[0].(*ast.BasicLit); ok {
						step, _ := strconv.Unquote(text.Value)
						used[step] = true
					}
				case slices.Contains(durable, name[strings.LastIndex(name, ".")+1:]) && !covered(within, call) && !excused(file, name):
					t.Errorf("%s: %s is not within fault.Around", set.Position(call.Pos()), name)
				}
				return true
			})
		}
	}
	if got := slices.Sorted(maps.Keys(used)); !slices.Equal(got, Steps) {
		t.Errorf("steps in the source:\n%v\nSteps:\n%v", got, Steps)
	}
}

// excused calls do not write what must not be lost, or are made of calls that are looked at.
func excused(file, name string) bool {
	switch filepath.Base(filepath.Dir(file)) + " " + name {
	case "store moveDir", "store s.Sync", "batch b.Store.Sync": // made of others
		return true
	case "store unix.Syncfs": // called by syncAll, which stands within one
		return true
	case "batch os.WriteFile": // a program's files, in scratch
		return true
	}
	return false
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return path(f.X) + f.Sel.Name
	}
	return ""
}

func path(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name + "."
	case *ast.SelectorExpr:
		return path(x.X) + x.Sel.Name + "."
	}
	return ""
}

func covered(within []ast.Node, n ast.Node) bool {
	return slices.ContainsFunc(within, func(w ast.Node) bool { return w.Pos() <= n.Pos() && n.End() <= w.End() })
}

func TestPass(t *testing.T) {
	for _, c := range []struct {
		fault string
		fails []bool // at which passings of store.move, before and after
		want  error
	}{
		{"store.move.before:2:EIO", []bool{false, true, false}, syscall.EIO},
		{"store.move.after:2:ENOSPC+", []bool{false, true, true}, syscall.ENOSPC},
		{"store.flush.after:1:EROFS", []bool{false, false, false}, nil},
		{"", []bool{false, false}, nil},
	} {
		plan = parse(c.fault)
		for n, fails := range c.fails {
			done := 0
			err := Around("store.move", func() error { done++; return nil })
			if fails != (err != nil) || fails && !errors.Is(err, c.want) {
				t.Errorf("%s, passing %d: %v", c.fault, n+1, err)
			}
			if want := !fails || strings.Contains(c.fault, ".after:"); want != (done == 1) {
				t.Errorf("%s, passing %d: done %d times", c.fault, n+1, done)
			}
		}
	}
	plan = nil
}

// TestKill runs itself with a fault that kills.
func TestKill(t *testing.T) {
	if os.Getenv(Variable) != "" {
		for range 3 {
			_ = Around("store.move", func() error { os.Stdout.WriteString("done\n"); return nil })
		}
		t.Fatal("lives on")
	}
	for fault, want := range map[string]int{"store.move.before:2": 1, "store.move.after:2": 2, "@:5": 2, "@:1": 0} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), Variable+"="+fault)
		out, err := cmd.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || strings.Count(string(out), "done") != want {
			t.Errorf("%s: %v: %s", fault, err, out)
		}
	}
	for _, wrong := range []string{"store.move:1", "nowhere.before:1", "store.move.before", "store.move.before:0", "store.move.before:1:EFUN"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), Variable+"="+wrong)
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "no such fault") {
			t.Errorf("%s: %s", wrong, out)
		}
	}
}

func BenchmarkUnarmed(b *testing.B) {
	for b.Loop() {
		_ = Around("store.move", func() error { return nil })
	}
}
