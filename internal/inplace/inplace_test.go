package inplace

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCreateAndOverwrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write := func(text string) {
		t.Helper()
		f, err := Create(path, 0o644)
		if err == nil {
			_, err = f.WriteString(text)
		}
		if err != nil || f.Close() != nil {
			t.Fatal(err)
		}
	}
	over := func(text string) {
		t.Helper()
		if err := Overwrite(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var first os.FileInfo
	for n, step := range []struct {
		do   func(string)
		text string
	}{{write, ""}, {write, "long content"}, {write, "short"}, {over, "longer than that"}, {over, "less"}, {over, ""}, {write, "again"}} {
		step.do(step.text)
		got, err := os.ReadFile(path)
		info, e := os.Lstat(path)
		if err != nil || e != nil || string(got) != step.text {
			t.Fatalf("step %d: %q, not %q; %v, %v", n, got, step.text, err, e)
		}
		if n == 0 {
			first = info
		} else if !os.SameFile(first, info) {
			t.Errorf("step %d made another file", n)
		}
	}
	if err := Overwrite(filepath.Join(filepath.Dir(path), "none"), nil); !os.IsNotExist(err) {
		t.Errorf("over nothing: %v", err)
	}
	if err := os.Symlink("file", path+".link"); err != nil {
		t.Fatal(err)
	}
	if Overwrite(path+".link", []byte("other")) == nil {
		t.Error("wrote through a link")
	}
}
