package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen is what a shell on a terminal has shown so far.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// wait waits until one of some texts is shown.
func (s *screen) wait(t *testing.T, texts ...string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		shown := s.text.String()
		s.mu.Unlock()
		for _, text := range texts {
			if strings.Contains(shown, text) {
				return
			}
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("no %q on the screen:\n%q", texts, shown)
		}
	}
}

// TestCompletion types the beginnings of words in real shells, presses Tab, and has the completed
// command line echoed.
func TestCompletion(t *testing.T) {
	c := shipped(t)
	for _, test := range []struct{ shell, start, echo, prepare string }{
		{"bash", "bash --norc --noprofile -i", `grimperium() { echo "<$*>"; }`, ""},
		{"fish", "fish --private", `function grimperium; echo "<$argv>"; end`, ""},
		{"zsh", "zsh -f -i", `grimperium() { echo "<$*>" }`,
			"autoload -U compinit; compinit -u -D; "},
	} {
		t.Run(test.shell, func(t *testing.T) {
			if _, err := exec.LookPath(test.shell); err != nil {
				t.Skip(err)
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "script")
			script := []byte(c.completion(test.shell, "grimperium"))
			if err := os.WriteFile(path, script, 0o600); err != nil {
				t.Fatal(err)
			}
			var shown screen
			cmd := exec.Command("script", "-qec", test.start, "/dev/null")
			cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &shown, &shown
			cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+
				dir,
				"TERM=vt100")
			in, err := cmd.StdinPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = in.Close()
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}()
			typed := func(text string) {
				t.Helper()
				if _, err := in.Write([]byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			typed(test.prepare + "source ./script; " + test.echo + "; echo rea''dy\r")
			shown.wait(t, "ready\r")
			typed("grimperium valid\t-permis\t\r")
			shown.wait(t, "<validate -permissive>", "<validate -permissive >")
			typed("grimperium batch -dry\t-job\t2\r")
			shown.wait(t, "<batch -dryRun -jobs=2>", "<batch -dryRun -jobs 2>") // both are read
		})
	}
}

// TestMan lets man format the page, which must find no fault in it.
func TestMan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "grimperium.1")
	if err := os.WriteFile(path, []byte(shipped(t).man("grimperium", "1.2.3")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("man"); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("man", "--warnings", "-E", "UTF-8", "-l", path)
	cmd.Env = append(os.Environ(), "MANWIDTH=80", "MANPAGER=cat", "LC_ALL=C.UTF-8",
		"MAN_KEEP_FORMATTING=")
	var faults bytes.Buffer
	cmd.Stderr = &faults
	page, err := cmd.Output()
	if err != nil || faults.Len() > 0 {
		t.Errorf("%v: %s", err, faults.String())
	}
	for _, want := range []string{"grimperium - PM7 heats of formation for a table of molecules\n",
		"\n   grimperium batch [MOL_ID ...] [FLAGS]\n",
		"\n              grimperium batch mol_00001 mol_00007\n",
		"\n       -set=VALUE\n              values of variables: 'search=crest, conformers=5'\n",
		"grimperium 1.2.3"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q in:\n%s", want, page)
		}
	}
	if mage.Match(page) {
		t.Error("mage is named")
	}
}
