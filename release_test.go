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
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"grimperium/internal/cli"
)

// TestRelease builds the archive of this machine. Its program is static, does not name this
// checkout, and works outside of it. The sums and the list of modules are right.
func TestRelease(t *testing.T) {
	out := t.TempDir()
	platform := runtime.GOOS + "/" + runtime.GOARCH
	source := string(read(t, "magefile.go"))
	if err := cli.Release(t.Context(), out, "1.2.3", source, platform); err != nil {
		t.Fatal(err)
	}
	name := "grimperium-1.2.3-" + runtime.GOOS + "-" + runtime.GOARCH
	archive, modules := filepath.Join(out, name+".tar.gz"), filepath.Join(out, name+".cdx.json")
	sums := ""
	for _, path := range []string{archive, modules} {
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(read(t, path)), filepath.Base(path))
	}
	if got := string(read(t, filepath.Join(out, "SHA256SUMS"))); got != sums {
		t.Errorf("SHA256SUMS:\n%swant:\n%s", got, sums)
	}
	if files, _ := os.ReadDir(out); len(files) != 3 {
		t.Errorf("files: %v", files)
	}
	dir := t.TempDir()
	if text, err := exec.Command("tar", "-xzf", archive, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	dir = filepath.Join(dir, name)
	program := filepath.Join(dir, "grimperium")
	checkArchive(t, dir)
	checkModules(t, program, modules, fmt.Sprintf("%x", sha256.Sum256(read(t, program))))
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
	useRelease(t, dir)
}

// checkArchive looks at what is in an archive besides the program.
func checkArchive(t *testing.T, dir string) {
	for name, want := range map[string]string{
		"LICENSE":                     "MIT License",
		"grimperium.1":                ".TH GRIMPERIUM 1 \"\" \"grimperium 1.2.3\"",
		"completions/grimperium.bash": "complete -o default -F _grimperium grimperium",
		"completions/grimperium.fish": "complete -c grimperium ",
		"completions/_grimperium":     "#compdef grimperium\n",
		"pipeline.hcl":                string(read(t, "pipeline.hcl")),
		"stages/embed.py":             string(read(t, "stages/embed.py")),
	} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o644 {
			t.Errorf("%s: %v", name, err)
		} else if !strings.Contains(string(read(t, path)), want) {
			t.Errorf("%s: no %q", name, want)
		}
	}
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

// useRelease runs the program in the folder of the archive, with a table. Its messages name it by
// the name that the user calls it by.
func useRelease(t *testing.T, dir string) {
	program, table := filepath.Join(dir, "grimperium"), filepath.Join(dir, "data/thermo_pm7.csv")
	if err := os.Mkdir(filepath.Dir(table), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(table, read(t, "testdata/reproduce/molecules.csv"), 0o644); err != nil {
		t.Fatal(err)
	}
	version := strings.TrimSpace(string(read(t, "VERSION")))
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"-version", 0, "grimperium " + version + "\n"},
		{"--version", 0, "grimperium " + version + "\n"},
		{"version", 0, "grimperium " + version + "\n"},
		{"", 0, "Usage: grimperium COMMAND"},
		{"-l", 0, "Usage: grimperium COMMAND"},
		{"help", 0, "Usage: grimperium COMMAND"},
		{"help batch", 0, "Usage: grimperium batch [MOL_ID ...] [FLAGS]"},
		{"-h batch", 0, "Usage: grimperium batch [MOL_ID ...] [FLAGS]"},
		{"batch -h", 0, "grimperium stop; the next batch"},
		{"man", 0, ".B grimperium\n"},
		{"completion bash", 0, "complete -o default -F _grimperium grimperium"},
		{"completion tcsh", 2, `the shell must be bash, fish or zsh, not "tcsh"`},
		{"bacth", 2,
			`grimperium has no command "bacth"; did you mean grimperium batch? (grimperium help `},
		{"release", 2, "magefile.go: no such file or directory; this is for a checkout"},
		{"setup -check", 0, "grimperium " + version + " for "},
		{"batch -dryRun", 0, "grimperium batch -dryRun -v lists the molecules"},
		{"batch -jobs 2 mol_00007", 0, "1 OK"},
		{"batch -jobs=2 -only=mol_00007", 0, "up to date"},
		{"history", 2, "name a molecule, as grimperium history mol_00001"},
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
		if regexp.MustCompile(`\bmage\b`).Match(got) {
			t.Errorf("%s: mage is named:\n%s", test.args, got)
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
