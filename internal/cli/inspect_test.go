package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"grimperium/internal/store"
)

func TestFmtKeepsLink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.hcl"), filepath.Join(dir, "pipeline.hcl")
	if err := os.WriteFile(real, []byte("a   = 1\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.hcl", link); err != nil {
		t.Fatal(err)
	}
	if err := Fmt(link, true); err == nil {
		t.Error("-check: no error")
	}
	if err := Fmt(link, false); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(real)
	if err != nil || string(text) != "a = 1\n" {
		t.Errorf("%q, %v", text, err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link: %v, %v", info, err)
	}
	if info, err := os.Stat(real); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file: %v, %v", info, err)
	}
}

func TestStop(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	const pipeline = "pipeline {\n  table = \"t.csv\"\n  artefacts = \"a\"\n}\nstage \"s\" {\n  " +
		"command = [\"true\"]\n}\n"
	for name, text := range map[string]string{"pipeline.hcl": pipeline,
		"t.csv": "mol_id,smiles,status\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	answer := func() string {
		var out strings.Builder
		if err := stop(&out, Options{}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := answer(); got != "No batch runs on a.\n" {
		t.Error(got)
	}
	if _, err := os.Stat("a"); err == nil {
		t.Error("the folder was made")
	}
	st, err := store.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	l, err := store.TakeLock(st.Path(store.LockName), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Announce(); err != nil {
		t.Fatal(err)
	}
	if got := answer(); !strings.HasPrefix(got, "Process ") {
		t.Error(got)
	}
	if _, err := os.Stat(st.Path(store.StopName)); err != nil {
		t.Error(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if got := answer(); got != "No batch runs on a.\n" {
		t.Error(got)
	}
}

// A device and a pipe are written to, not replaced.
func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		data, _ := os.ReadFile(pipe)
		got <- string(data)
	}()
	write := func(w io.Writer) error { _, err := io.WriteString(w, "text"); return err }
	if err := replaceFile(pipe, write); err != nil || <-got != "text" {
		t.Errorf("pipe: %v", err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().IsRegular() {
		t.Errorf("the pipe: %v, %v", info, err)
	}
	if err := replaceFile(filepath.Join(dir, "new"), write); err != nil {
		t.Error(err)
	}
	if err := replaceFile(dir, write); err == nil {
		t.Error("a folder was replaced")
	}
}
