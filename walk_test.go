//go:build linux

package main_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// step is one thing that a new user does, and the screen after it.
type step struct {
	name, says string    // of the file with the screen; a sentence for the page
	edit       [3]string // before it, by an editor: a file, a text in it, and another one
	types      string    // a command; "" goes on with the screen of the step before
	key        string    // a key instead of a command, as C-c
	until      string    // the screen is taken while the command runs, once it has this expression
	want       string    // an expression that the screen must have
	varies     bool      // the screen depends on the moment or the machine: only want is checked
}

// walk goes the way of README.md and docs/tutorial.md.
var walk = []step{
	{name: "setup", types: "mage setup -check", want: `xtb +xtb version`, varies: true,
		says: "Are the programs there?"},
	{name: "first-batch", types: "mage batch", until: `(?m)^\[ [5-9]/13\] `,
		want: `13 .*%`,
		says: "The first batch computes the 13 molecules of the shipped table."},
	{name: "first-end", want: `13 molecules in .*: 13 OK`,
		says: "It ends with a summary."},
	{name: "second-batch", types: "mage batch", want: `up to date: 13 molecules`,
		says: "A second batch has nothing to do."},
	{name: "info", types: "mage info", want: `OK +13 `,
		says: "Where does the table stand?"},
	{name: "why", types: "mage why mol_00014", want: `pm7/2 +up to date`,
		says: "Which results does a molecule have?"},
	{name: "quote", types: "mage batch", want: `no quote ends`,
		edit: [3]string{"pipeline.hcl", `timeout  = "15m"`, `timeout  = "15m`},
		says: "The user changes a timeout and forgets a quote. The message shows where."},
	{name: "check", types: "mage check", want: `pipeline.hcl is in order`,
		edit: [3]string{"pipeline.hcl", `timeout  = "15m`, `timeout  = "20m"`},
		says: "The quote is there again, and the file is in order."},
	{name: "keyword", types: "mage why mol_00014", want: `(?s)single_points +stale.*→.*PM6`,
		edit: [3]string{"pipeline.hcl", `pm7   = "PM7 PRECISE`, `pm7   = "PM6 PRECISE`},
		says: "Now PM6 stands in the place of PM7. What would that change?"},
	{name: "dry-run", types: "mage batch -dryRun", want: `pm7 16`,
		says: "What would a batch compute?"},
	{name: "import", types: "mage import theirs.csv -out=mine.csv",
		want: `unclosed ring`,
		edit: [3]string{"pipeline.hcl", `pm7   = "PM6 PRECISE`, `pm7   = "PM7 PRECISE`},
		says: "The edit is taken back. The next table is the user's own. A SMILES has a mistake."},
	{name: "validate", types: "mage validate -table=mine.csv", want: `0 can't be used`,
		edit: [3]string{"mine.csv", ",C1CC,", ",C1CC1,"},
		says: "The SMILES is corrected, and the table is checked again."},
	{name: "mine", types: "mage batch -table=mine.csv", until: `(?m)^\[2/6\] `,
		want: `6 .*%`,
		says: "The batch of this table begins."},
	{name: "ctrl-c", key: "C-c", want: `(?i)interrupted`, varies: true,
		says: "Ctrl-C stops it."},
	{name: "go-on", types: "mage batch -table=mine.csv", want: `\d OK`, varies: true,
		says: "The same command goes on. What was finished is not computed again."},
	{name: "failed", types: "mage batch -table=mine.csv",
		want: `Error: 1 of 1 molecules failed`,
		edit: [3]string{"mine.csv", "\nethanol,", "\nazirine,,0,C1C2=NC12\nethanol,"},
		says: "A new row has a molecule that PM7 does not keep."},
	{name: "why-failed", types: "mage why azirine -table=mine.csv",
		want: `bond C2–C4 broke`,
		says: "Why did it fail?"},
	{name: "failure", types: "cat mine.artefacts/azirine/pm7.failed/1/failure.txt", want: `mopac`,
		says: "The folder of the failed attempt has the command to try by hand."},
	{name: "goes-on", types: "mage batch -table=mine.csv",
		want: `up to date: 7 molecules`,
		says: "PM7 has no such molecule. The user leaves the row as it is."},
	{name: "report", types: "mage report -table=mine.csv", want: `Written: report.html`,
		says: "The report is a page for the browser."},
}

const screens = "docs/evidence/walk"

var update = flag.Bool("update", false, "take the screens of docs/evidence/walk again")

// TestWalk goes the way of a new user in a terminal of 80 columns and 24 lines, on a fresh project,
// with the real programs. go test -run TestWalk -update . takes the kept screens again.
func TestWalk(t *testing.T) {
	s := newScreen(t)
	if *update {
		if err := os.RemoveAll(screens + ".md"); err != nil {
			t.Fatal(err)
		}
	}
	shown := ""
	for i, step := range walk {
		got, joined := s.take(step)
		if !regexp.MustCompile(step.want).MatchString(broken.ReplaceAllString(joined, " ")) {
			t.Errorf("%s: no %q in\n%s", step.name, step.want, got)
		}
		if strings.Contains(got, "…\n") ||
			strings.Count(got, "\n") > strings.Count(joined, "\n") {
			t.Errorf("%s: a line is wider than 80 columns, or cut:\n%s", step.name, joined)
		}
		varies := step.varies || step.until != ""
		path := fmt.Sprintf("%s/%02d-%s.txt", screens, i+1, step.name)
		shown += fmt.Sprintf("## %d. %s\n\n```text\n%s```\n\n", i+1, step.says,
			kept(t, path, got, varies))
	}
	page := fmt.Sprintf(`# The first hour, screen by screen

**Claim.** A new user gets from the shipped table to a report of their own molecules with the commands on this page.
On each of the %d screens every line fits into 80 columns.

The command ${go test -run TestWalk .}$ goes this way again and compares the screens, apart from times and other
numbers. With ${-update}$ it keeps the new screens. The terminal is tmux with 80 columns and 24 lines. The programs are
the real RDKit, xTB and MOPAC. The commands are those of the [README](../../README.md) and of the
[tutorial](../tutorial.md).

%s`, len(walk), strings.TrimSuffix(shown, "\n"))
	page = strings.NewReplacer("${", "`", "}$", "`").Replace(page)
	kept(t, screens+".md", page, false)
}

// kept returns the kept text of a screen. It is an error if the screen is another one, and with
// -update it is kept. Numbers may differ. A screen that varies may be any.
func kept(t *testing.T, path, got string, varies bool) string {
	t.Helper()
	was, err := os.ReadFile(path)
	switch {
	case *update && (varies || err != nil || stable(string(was)) != stable(got)):
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return got
	case err != nil:
		t.Error(err)
	case !varies && stable(string(was)) != stable(got):
		t.Errorf("%s is now\n%s\nand was\n%s", path, got, was)
	}
	return string(was)
}

var (
	broken   = regexp.MustCompile(`\n {4,}`) // where our own code broke a line
	number   = regexp.MustCompile(`[-+]?[0-9]+([.,:][0-9]+)*`)
	duration = regexp.MustCompile(`#(m#s|ms|m|s)\b`)
	blanks   = regexp.MustCompile(`[ ─]+`)
	slowest  = regexp.MustCompile(`slowest stage: \w+`)
	taken    = regexp.MustCompile(`(?m)(conformers?) #s$`) // which a quick molecule lacks
)

// stable leaves out of a screen what differs from run to run.
func stable(text string) string {
	text = number.ReplaceAllString(slowest.ReplaceAllString(text, "slowest stage"), "#")
	text = blanks.ReplaceAllString(duration.ReplaceAllString(text, "#s"), " ")
	return taken.ReplaceAllString(text, "$1")
}

// screen is a terminal of tmux in the folder of a project.
type screen struct {
	*testing.T
	dir    string
	socket string
}

// newScreen makes a project with the shipped table and the table of the tutorial, and a terminal.
func newScreen(t *testing.T) *screen {
	for _, name := range []string{"tmux", "xtb", "mopac"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v; apt-get install %s", err, name)
		}
	}
	s := &screen{t, t.TempDir(), ""}
	for _, name := range []string{"pipeline.hcl", "stages/embed.py"} {
		s.write(name, string(read(t, name)))
	}
	s.write("data/thermo_pm7.csv", shippedTable(t))
	_, table, _ := strings.Cut(string(read(t, "docs/tutorial.md")), "```csv\n")
	table, _, _ = strings.Cut(table, "```")
	s.write("theirs.csv", table)
	socket, err := os.MkdirTemp("", "walk") // the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	s.socket = filepath.Join(socket, "tmux")
	t.Cleanup(func() {
		s.tmux("kill-server")
		os.RemoveAll(socket)
	})
	s.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "-c", s.dir,
		"bash", "--norc", "--noprofile", "--noediting", ";", "set-option", "-g", "status", "off")
	s.wait("prompt", func() bool { return s.text() == "$\n" })
	return s
}

// shippedTable is data/thermo_pm7.csv as it is shipped. A batch in the checkout may have results.
func shippedTable(t *testing.T) (table string) {
	worked := string(read(t, "data/thermo_pm7.csv"))
	for line := range strings.Lines(string(read(t, "testdata/molecules.csv"))) {
		id, _, _ := strings.Cut(line, ",")
		if strings.HasPrefix(worked, id+",") || strings.Contains(worked, "\n"+id+",") {
			table += line
		}
	}
	return table
}

// write writes a file of the project.
func (s *screen) write(name, text string) {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
}

// tmux runs a command of tmux and returns its output.
func (s *screen) tmux(args ...string) string {
	s.Helper()
	cmd := exec.Command("tmux", append([]string{"-u", "-S", s.socket}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(command)+":"+os.Getenv("PATH"),
		"HOME="+s.dir+"/home", "PS1=$ ", "LANG=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

// take takes a step, and returns the screen without the last prompt: as it is, and with the lines
// joined that the terminal wrapped. Lines that were scrolled away are there, too.
func (s *screen) take(step step) (text, joined string) {
	s.Helper()
	if name := step.edit[0]; name != "" {
		was := string(read(s.T, filepath.Join(s.dir, name)))
		if n := strings.Count(was, step.edit[1]); n == 0 {
			s.Fatalf("%s: %s has no %q", step.name, name, step.edit[1])
		}
		s.write(name, strings.Replace(was, step.edit[1], step.edit[2], 1))
	}
	if step.types != "" {
		s.tmux("send-keys", "-l", "clear\n")
		s.wait("clear", func() bool { return s.text() == "$\n" })
		s.tmux("clear-history")
		s.tmux("send-keys", "-l", step.types+"\n")
	} else if step.key != "" {
		s.tmux("send-keys", step.key)
	}
	isDone := s.isOver
	if step.until != "" {
		expr := regexp.MustCompile(step.until)
		isDone = func() bool { return expr.MatchString(s.text()) }
	}
	s.wait(step.name, isDone)
	return strings.TrimSuffix(s.text(), "\n$\n") + "\n", strings.TrimSuffix(s.text("-J"),
		"\n$\n") + "\n"
}

// text is what the terminal shows and has shown since it was cleared.
func (s *screen) text(flags ...string) string {
	s.Helper()
	out := s.tmux(append([]string{"capture-pane", "-p", "-S", "-"}, flags...)...)
	lines := strings.Split(strings.TrimRight(out, " \n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.ReplaceAll(strings.Join(lines, "\n")+"\n", s.dir, "~/project")
}

// isOver reports whether the command has ended and the next one can be typed.
func (s *screen) isOver() bool { return strings.HasSuffix(s.text(), "\n$\n") }

// wait waits for something on the screen.
func (s *screen) wait(what string, isDone func() bool) {
	s.Helper()
	for end := time.Now().Add(2 * time.Minute); !isDone(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("%s: not after two minutes:\n%s", what, s.text())
		}
	}
}
