package cli

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"grimperium/internal/command"
)

// shipped are the commands of the magefile.
func shipped(t *testing.T) commands {
	t.Helper()
	source, err := os.ReadFile("../../magefile.go")
	if err != nil {
		t.Fatal(err)
	}
	return commandsOf(string(source))
}

func TestArguments(t *testing.T) {
	c := shipped(t)
	for _, test := range []struct{ args, want string }{
		{"", ""},
		{"batch", "batch"},
		{"-v -t 5s batch -jobs 2", "-v -t 5s batch -jobs=2"},
		{"batch --jobs=2 -dry-run --max-reruns 3", "batch -jobs=2 -dryRun -maxReruns=3"},
		{"batch -dryRun=false", "batch -dryRun=false"},
		{"batch m1 -dryRun m2 -set x=1", "batch -dryRun -set=x=1 m1 m2"},
		{"Batch validate", "Batch validate"}, // two commands
		{"batch m1 validate", "batch m1 validate"},
		{"batch help", "batch help"}, // a molecule may have any name
		{"setup batch -jobs 2", "setup batch -jobs=2"},
		{"why -set=x=1 m1", "why m1 -set=x=1"},
		{"why m1 -set=x=1", "why m1 -set=x=1"},
		{"history m1 m2 -table t.csv", "history -table=t.csv m1 m2"},
		{"why m1 info -count", "why m1 info -count"},
		{"export -format jsonl -out -", "export -format=jsonl -out=-"},
		{"bacth", `mage has no command "bacth"; did you mean mage batch? (mage help lists all)`},
		{"xyzzy", `mage has no command "xyzzy" (mage help lists all)`},
		{"batch -jbos=2",
			"mage batch has no flag -jbos; did you mean -jobs? (mage help batch lists all)"},
		{"batch -j2",
			"mage batch has no flag -j2; did you mean -jobs? (mage help batch lists all)"},
		{"batch -per",
			"mage batch has no flag -per; did you mean -permissive? (mage help batch lists all)"},
		{"info -dryRun", "mage info has no flag -dryRun (mage help info lists all)"},
		{"batch -jobs", "mage batch: -jobs has no value; write -jobs=N"},
		{"batch -table", "mage batch: -table has no value; write -table=VALUE"},
		{"batch -jobs two", `mage batch: -jobs=two: "two" is not a whole number`},
		{"batch -limit=1.5", `mage batch: -limit=1.5: "1.5" is not a whole number`},
		{"batch -yes=maybe", `mage batch: -yes=maybe: "maybe" is neither true nor false`},
		{"-jobs=2 batch", "-jobs=2 stands before the command; write it after: mage batch -jobs=2"},
		{"-t 5 batch", `-t "5" is no time; write -t 90m`},
		{"-t", `-t "" is no time; write -t 90m`},
		{"-list", "mage has no flag -list (mage help lists its commands)"},
		{"why", "mage why: a word is missing; write mage why MOL [FLAGS]; MOL is the molecule, or " +
			"one of its targets"},
		{"why -set=x=1", "mage why: a word is missing; write mage why MOL [FLAGS]; MOL is the " +
			"molecule, or one of its targets"},
		{"rerun", "mage rerun: a word is missing; write mage rerun MOLECULES [FLAGS]; MOLECULES " +
			"is mol_00001, or several with commas between them"},
		{"why m1 m2", `mage why: "m2" is one word too many, and no command; write mage why MOL ` +
			"[FLAGS]; MOL is the molecule, or one of its targets"},
		{"stop now", `mage stop: "now" is one word too many, and no command; write mage stop [FLAGS]`},
		{"setup bacth", `mage has no command "bacth"; did you mean mage batch? (mage help lists all)`},
		{"batch -only=m1 -only=m2", "mage batch: -only=m1 and -only=m2: only one of them counts; " +
			"give the flag once"},
		{"batch -yes --yes", "batch -yes -yes"},
		{"batch -yes -- m1 m2", "batch -yes m1 m2"},
		{"why -set=x=1 -- m1", "why m1 -set=x=1"},
		{"convert a", "mage convert: a word is missing; write mage convert FROM TO; FROM is the " +
			"table; TO is the copy"},
	} {
		out, _, err := c.arguments(strings.Fields(test.args))
		got := strings.Join(out, " ")
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("mage %s: %s, want %s", test.args, got, test.want)
		}
	}
}

// TestAnswer asks for help and for the version in the ways that people try.
// A molecule with the name of a command stands behind --.
func TestArgumentsBehind(t *testing.T) {
	for args, want := range map[string]string{"batch info": "", "batch -- info": "info",
		"history -at=x -- batch": "batch", "batch m1 info": "m1 info"} {
		_, behind, err := shipped(t).arguments(strings.Fields(args))
		if got := strings.Join(behind, " "); err != nil || got != want {
			t.Errorf("mage %s: the molecules %q, %v; want %q", args, got, err, want)
		}
	}
}

func TestAnswer(t *testing.T) {
	c := shipped(t)
	batch, _ := c.find("batch")
	texts := map[string]string{"overview": c.overview(), "batch": batch.help(),
		"version": "grimperium 1.2.3\n", "": ""}
	for args, want := range map[string]string{
		"": "overview", "-l": "overview", "-h": "overview", "help": "overview", "-help": "overview",
		"help help": "overview", "--help": "overview", "help batch": "batch", "-h batch": "batch",
		"--help batch": "batch", "batch -h": "batch", "batch -help": "batch",
		"Batch --help":         "batch",
		"batch -jobs 2 --help": "batch", "version": "version", "-version": "version",
		"--version": "version", "batch": "", "batch help": "", "why m1": "", "-v batch": "",
	} {
		if got, err := c.answer(strings.Fields(args), "1.2.3"); got != texts[want] || err != nil {
			t.Errorf("mage %s: %s, want %s; %v", args, got, want, err)
		}
	}
	if _, err := c.answer([]string{"help", "bacth"}, ""); err == nil ||
		!strings.Contains(err.Error(), "did you mean mage batch?") {
		t.Errorf("help of an unknown command: %v", err)
	}
}

// TestHelp checks the width of all help, and that each command and flag has a description of its
// own. The list of mage -l, which mage makes from the same comments, fits 80 columns, too.
func TestHelp(t *testing.T) {
	c := shipped(t)
	texts := []string{c.overview()}
	for _, command := range c.all {
		help := command.help()
		texts = append(texts, help)
		line := "  " + command.name + "        [" + command.group + "] " + command.synopsis + "."
		if len(line) > 79 {
			t.Errorf("mage -l: %q is %d columns wide", line, len(line))
		}
		if !strings.Contains(c.overview(), "  "+command.name+" ") {
			t.Errorf("%s is not in the overview: its group is %q", command.name, command.group)
		}
		for _, p := range command.flags {
			if p.doc == "" || strings.Contains(p.doc, "as for") ||
				!strings.Contains(help, p.form()) {
				t.Errorf("%s: flag -%s: %q", command.name, p.name, p.doc)
			}
		}
	}
	for _, text := range texts {
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpWidth {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
	stop, _ := c.find("stop")
	want := "  -artefacts=VALUE  the folder of artefacts, instead of pipeline.hcl's;\n        " +
		"            pipeline.hcl is not read then\n"
	if !strings.Contains(stop.help(), want) {
		t.Errorf("no %q in:\n%s", want, stop.help())
	}
	command.Name = command.Release
	defer func() { command.Name = "mage" }()
	for _, shown := range c.all {
		if mage.MatchString(shown.help()) {
			t.Errorf("mage is named:\n%s", shown.help())
		}
	}
}
