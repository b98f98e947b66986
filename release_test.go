package main_test

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"grimperium/internal/cli"
)

// TestRelease builds the program of this machine. The program is static, does not name this
// checkout, and works outside of it. The sums and the list of modules are right.
func TestRelease(t *testing.T) {
	out := t.TempDir()
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if err := cli.Release(t.Context(), out, "1.2.3", platform); err != nil {
		t.Fatal(err)
	}
	name := "grimperium-1.2.3-" + runtime.GOOS + "-" + runtime.GOARCH
	program, modules := filepath.Join(out, name), filepath.Join(out, name+".cdx.json")
	sums := ""
	for _, path := range []string{program, modules} {
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(read(t, path)), filepath.Base(path))
	}
	if got := string(read(t, filepath.Join(out, "SHA256SUMS"))); got != sums {
		t.Errorf("SHA256SUMS:\n%swant:\n%s", got, sums)
	}
	if files, _ := os.ReadDir(out); len(files) != 3 {
		t.Errorf("files: %v", files)
	}
	checkModules(t, program, modules, sums[:64])
	root, _ := os.Getwd()
	if bytes.Contains(read(t, program), []byte(root)) {
		t.Errorf("the program has the name of the folder %s in it", root)
	}
	if runtime.GOOS == "linux" {
		f, err := elf.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if libraries, err := f.ImportedLibraries(); err != nil || f.Section(".interp") != nil {
			t.Errorf("not static: %v, %v", libraries, err)
		}
	}
	useRelease(t, program)
}

// checkModules compares the list of modules with what the go command reads from the program.
func checkModules(t *testing.T, program, path, sum string) {
	var list struct {
		BOMFormat, SpecVersion string
		Metadata               struct {
			Component struct {
				Name, Version string
				Hashes        []struct{ Alg, Content string }
			}
		}
		Components []struct{ Type, Name, Version, PURL string }
	}
	if err := json.Unmarshal(read(t, path), &list); err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprint(list.BOMFormat, list.SpecVersion, list.Metadata.Component)
	if want := "CycloneDX1.6{grimperium 1.2.3 [{SHA-256 " + sum + "}]}"; head != want {
		t.Errorf("head: %s, want %s", head, want)
	}
	info, err := exec.Command("go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, goVersion, _ := strings.Cut(strings.SplitN(string(info), "\n", 2)[0], ": go")
	want := []string{"std " + goVersion}
	for line := range strings.Lines(string(info)) {
		if f := strings.Fields(line); f[0] == "dep" && f[1] != "grimperium" {
			want = append(want, f[1]+" "+f[2])
		}
	}
	var got []string
	for _, c := range list.Components {
		got = append(got, c.Name+" "+c.Version)
		purl := "pkg:golang/" + strings.ToLower(c.Name) + "@" + c.Version
		if c.Type != "library" || c.PURL != purl {
			t.Errorf("%s: %s %s, want library %s", c.Name, c.Type, c.PURL, purl)
		}
	}
	if !slices.Equal(got, want) || len(got) < 10 {
		t.Errorf("modules: %q\nwant %q", got, want)
	}
}

// useRelease runs the program in a folder that has a pipeline and a table only.
func useRelease(t *testing.T, program string) {
	dir := t.TempDir()
	for _, name := range []string{"pipeline.hcl", "stages/embed.py", "data/thermo_pm7.csv"} {
		path := filepath.Join(dir, name)
		data := read(t, strings.Replace(name, "data/thermo_pm7", "testdata/reproduce/molecules", 1))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	version := strings.TrimSpace(string(read(t, "VERSION")))
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"-version", 0, "grimperium " + version + "\n"},
		{"--version", 0, "grimperium " + version + "\n"},
		{"-l", 0, "batch "},
		{"-h batch", 0, "grimperium batch"},
		{"batch -h", 0, "grimperium batch"},
		{"bacth", 2, `no command "bacth"; did you mean mage batch?`},
		{"release", 2, "magefile.go: no such file or directory; release builds a checkout"},
		{"setup -check", 0, "grimperium " + version + " for "},
		{"batch -jobs 2 mol_00007", 0, "1 OK"},
		{"batch -jobs=2 -only=mol_00007", 0, "up to date"},
	} {
		cmd := exec.Command(program, strings.Fields(test.args)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
		got, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		code := cmd.ProcessState.ExitCode()
		if code != test.code || !strings.Contains(string(got), test.want) {
			t.Errorf("%s: exit code %d, want %d; no %q in:\n%s", test.args, code, test.code,
				test.want, got)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "dist")); err == nil {
		t.Error("release made dist/ outside of a checkout")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
