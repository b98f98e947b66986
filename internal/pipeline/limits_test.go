package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// stageWith is a pipeline with one expression.
func stageWith(expr string) string {
	return "stage \"a\" {\n  command = [\"true\"]\n  values = { v = " + expr + " }\n}\n"
}

func fill(n int, unit string) string { return strings.Repeat(unit, n/len(unit)) }

// A file of the greatest size, nested as deeply as it is long, is refused or read, and no stack
// overflows.
func TestDeep(t *testing.T) {
	const n = maxPipelineSize - 200
	for _, unit := range []string{"[", "{", "(", "f(", "a[0].b[", "\"${", "\"%{if ", "[for x in ",
		"{a=", "<<E\n${", "(1)[",
		"!", "-", "! ", "!/**/"} {
		_, err := load(t, stageWith(fill(n, unit)), testOptions())
		if got := found(t, err); len(got) != 1 || got[0].summary != "Nesting too deep" {
			t.Errorf("%q: got %v", unit, got)
		}
	}
	for _, unit := range []string{"true?1:", "1+", "1\n+", "1*", "1&&", "1==", "a.*.", "1,", "[],",
		"\"% ", "9", "a[0]", "[0]", "a {\n", "%{if true}"} {
		if _, err := load(t, stageWith(fill(n/4, unit)), testOptions()); err == nil {
			t.Errorf("%q: is read", unit)
		}
	}
	o := testOptions()
	o.Set = "a=" + fill(1<<16, "[")
	_, err := load(t, stageWith("1"), o)
	if got := found(t, err); len(got) != 1 || got[0].summary != "Nesting too deep" {
		t.Errorf("got %v", got)
	}
}

// What is long and flat is no mistake.
func TestLong(t *testing.T) {
	const n = maxPipelineSize / 8
	for name, expr := range map[string]string{
		"list":     "[" + fill(6000, "1, ") + "]",
		"lists":    "[" + fill(24000, "[1, \"a\", 2], ") + "]",
		"text":     `"` + fill(n, "text ") + `"`,
		"heredoc":  "<<-E\n" + fill(1<<15, "  a line ${1 + 1}\n") + "E\n",
		"template": `"` + fill(n, "${1}") + `"`,
		"lines":    "[\n" + fill(1<<13, "1 +\n 2,\n") + "]",
		"convert":  "distinct([" + fill(6000, "1, ") + "])",
	} {
		src := strings.Replace(stageWith(expr), "E\n }", "E\n}", 1)
		mustLoad(t, src, testOptions())
		if name == "list" {
			mustLoad(t, strings.Replace(stageWith("1"), `["true"]`, `["true", `+fill(4000, "1, ")+
				"]", 1), testOptions())
		}
	}
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "stage \"s%d\" { values = { v = 1 } }\n", i)
	}
	many.WriteString("merge { a = stage.s1.v }\n")
	mustLoad(t, many.String(), testOptions())
}

func TestManyLocals(t *testing.T) {
	var b strings.Builder
	b.WriteString("locals {\n  l0 = mol.charge\n")
	for i := 1; b.Len() < maxPipelineSize-400; i++ {
		fmt.Fprintf(&b, "  l%d = local.l%d + 1\n", i, i-1)
	}
	b.WriteString("}\n" + stageWith("local.l1"))
	p := mustLoad(t, b.String(), testOptions())
	m, err := p.Molecule(map[string]any{"charge": int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Read(p.Stages[0], 0, nil); err != nil || string(got) != `{"v":2}` {
		t.Errorf("got %v, %v", got, err)
	}
}

// What would never end, or fill the memory, ends while the file is checked.
func TestWatch(t *testing.T) {
	defer func(d time.Duration) { maxCheckTime = d }(maxCheckTime)
	maxCheckTime = time.Second
	const long = `"----------------------------------------------------------------"`
	nested := "1"
	for range 20 {
		nested = "[for i in range(1000) : " + nested + "]"
	}
	var doubling strings.Builder
	doubling.WriteString("locals {\n  l0 = " + long + "\n")
	for i := range 60 {
		fmt.Fprintf(&doubling, "  l%d = \"${local.l%d}${local.l%d}\"\n", i+1, i, i)
	}
	doubling.WriteString("}\n" + stageWith("local.l60"))
	for name, c := range map[string]struct{ src, want string }{
		"for": {stageWith(nested), "Expression too expensive: "},
		"locals": {doubling.String(), "Error in function call: The text would be too long|" +
			"Expression too expensive: "}, // what is met first
		"replace": {stageWith("replace(join(" + long + ", range(1000)), \"\", join(" + long +
			", range(1000)))"),
			"Error in function call: replace: the text would be too long"},
		"recursion": {stageWith(`templatefile("again.tmpl", {})`),
			"Error in function call: templatefile: again.tmpl:1: "},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"pipeline.hcl": c.src,
			"again.tmpl": `${templatefile("again.tmpl", {})}`} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Load(filepath.Join(dir, "pipeline.hcl"), testOptions())
		ends := func(want string) bool {
			got := found(t, err)[0]
			return strings.HasPrefix(got.summary+": "+got.detail, want)
		}
		if !slices.ContainsFunc(strings.Split(c.want, "|"), ends) {
			t.Errorf("%s: got %v, want %s", name, found(t, err), c.want)
		}
	}
}

func TestManyMistakes(t *testing.T) {
	_, err := load(t, stageWith("["+fill(6000, "a, ")+"]"), testOptions())
	got := found(t, err)
	if len(got) != maxMistakes+1 || got[maxMistakes].summary != "Too many mistakes" {
		t.Errorf("%d mistakes, the last %v", len(got), got[len(got)-1])
	}
	if err := err.(*Errors).Print(new(strings.Builder), 0, true); err != nil {
		t.Error(err)
	}
}

// HCL composes letters and accents, so that it could not name a file in such a folder.
func TestDecomposedFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "e\u0301thanol")
	path := filepath.Join(dir, "pipeline.hcl")
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(stageWith("1")), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = Load(path, testOptions())
	if got := found(t, err); got[0].summary != "Unsuitable folder" {
		t.Error(got)
	}
}

// What a molecule's values make large ends as an error of the molecule, soon and in little memory.
func TestLargeEvaluation(t *testing.T) {
	double := func(form string) string {
		var locals strings.Builder
		for i := range 36 {
			fmt.Fprintf(&locals, "  l%d = "+form+"\n", i, i+1, i+1)
		}
		return locals.String()
	}
	for name, c := range map[string]struct{ locals, last, word, want string }{
		"loops": {"  l0 = [for a in range(1000 + mol.charge): [for b in range(1000): [for c in " +
			"range(1000): a]]]\n", "", "length(local.l0)",
			"there would be more than 1000000 elements"},
		"texts": {double(`"${local.l%d}${local.l%d}"`), "  l36 = mol.smiles\n", "local.l0",
			"The text would be too long"},
		"lists": {double("concat(local.l%d, local.l%d)"), "  l36 = split(\"\", mol.smiles)\n",
			"length(local.l0)", "there would be more than 1000000 elements"},
	} {
		p := mustLoad(t, "locals {\n"+c.locals+c.last+"}\nstage \"a\" {\n  command = [\"echo\", "+
			c.word+"]\n}\n", testOptions())
		m, err := p.Molecule(map[string]any{"charge": int64(0), "smiles": "CCO"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Task(p.Stage("a"), 0, 0); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.200v", name, err)
		}
	}
}
