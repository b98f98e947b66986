package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// stageWith is a pipeline with one expression.
func stageWith(expr string) string {
	return "stage \"a\" {\n  command = [\"true\"]\n  values = { v = " + expr + " }\n}\n"
}

func fill(n int, unit string) string { return strings.Repeat(unit, n/len(unit)) }

// A file of the greatest size, nested as deeply as it is long, is refused before the parser recurses into it.
func TestDeep(t *testing.T) {
	const n = maxPipelineSize - 200
	for _, c := range []struct{ unit, want string }{
		{"[", "Nesting too deep"}, {"{", "Nesting too deep"}, {"(", "Nesting too deep"}, {"!", "Nesting too deep"}, {"-", "Nesting too deep"},
		{"! ", "Nesting too deep"}, {"!/**/", "Nesting too deep"}, {"true?1:", "Nesting too deep"}, {"1+", "Nesting too deep"}, {"1\n+", "Nesting too deep"},
		{"1*", "Nesting too deep"}, {"f(", "Nesting too deep"}, {"a[0].b[", "Nesting too deep"}, {"\"${", "Nesting too deep"}, {"\"%{if ", "Nesting too deep"},
		{"[for x in ", "Nesting too deep"}, {"{a=", "Nesting too deep"}, {"<<E\n${", "Nesting too deep"}, {"(1)[", "Nesting too deep"}, {"1&&", "Nesting too deep"},
		{"1==", "Nesting too deep"}, {"a.*.", "Nesting too deep"},
		{"\"% ", "Nesting too deep"}, {"1,", "List too long"}, {"[],", "List too long"}, {"a,", "List too long"},
	} {
		size := n
		if len(c.unit) > 2 {
			size = n / 8 // the same again, for the race detector's sake
		}
		_, err := load(t, stageWith(fill(size, c.unit)), testOptions())
		if got := found(t, err); len(got) != 1 || got[0].summary != c.want {
			t.Errorf("%q: got %v", c.unit, got)
		}
	}
	for _, unit := range []string{"% ", "$ ", "%[", "%%{", "$${", "$a"} {
		for _, form := range []string{`"%s"`, "<<E\n%s\nE\n", "<<-E\n%s\n  E\n"} {
			_, err := load(t, stageWith(fmt.Sprintf(form, fill(n/8, unit))), testOptions())
			if got := found(t, err); len(got) != 1 || got[0].summary != "Text too long" {
				t.Errorf("%q in %q: got %v", unit, form, got)
			}
		}
	}
	for name, src := range map[string]string{
		"index":    stageWith("tolist([1])" + fill(n/8, "[f(0)]")),
		"blocks":   fill(n/8, "a {\n"),
		"if":       stageWith(`"` + fill(n/8, "%{if true}") + `"`),
		"template": stageWith(`"` + fill(n/2, "${") + fill(n/2, "}") + `"`),
		"digits":   stageWith(fill(n/8, "9")),
		"exponent": stageWith("1e999999999"),
		"small":    stageWith("1e-999999999"),
	} {
		_, err := load(t, src, testOptions())
		if got := found(t, err); len(got) != 1 || (got[0].summary != "Nesting too deep" && got[0].summary != "Number out of range") {
			t.Errorf("%s: got %v", name, got)
		}
	}
	for _, set := range []string{"a=" + fill(1<<16, "["), "a=" + fill(1<<16, "1+")} {
		o := testOptions()
		o.Set = set
		_, err := load(t, stageWith("1"), o)
		if got := found(t, err); len(got) != 1 || got[0].summary != "Nesting too deep" {
			t.Errorf("got %v", got)
		}
	}
}

// What is long and flat is no mistake.
func TestLong(t *testing.T) {
	const n = maxPipelineSize / 8
	for name, expr := range map[string]string{
		"list":     "[" + fill(3*maxItems, "1, ") + "]",
		"lists":    "[" + fill(12*maxItems, "[1, \"a\", 2], ") + "]",
		"text":     `"` + fill(n, "text ") + `"`,
		"heredoc":  "<<-E\n" + fill(1<<15, "  a line ${1 + 1}\n") + "E\n",
		"template": `"` + fill(n, "${1}") + `"`,
		"lines":    "[\n" + fill(1<<13, "1 +\n 2,\n") + "]",
		"convert":  "distinct([" + fill(3*maxItems, "1, ") + "])",
	} {
		src := strings.Replace(stageWith(expr), "E\n }", "E\n}", 1)
		mustLoad(t, src, testOptions())
		if name == "list" {
			mustLoad(t, strings.Replace(stageWith("1"), `["true"]`, `["true", `+fill(2*maxItems, "1, ")+"]", 1), testOptions())
		}
	}
	var many strings.Builder
	for i := range maxBlocks - 1 {
		fmt.Fprintf(&many, "stage \"s%d\" { values = { v = 1 } }\n", i)
	}
	many.WriteString("merge { a = stage.s1.v }\n")
	mustLoad(t, many.String(), testOptions())
	many.WriteString("stage \"more\" { values = { v = 1 } }\n")
	_, err := load(t, many.String(), testOptions())
	if got := found(t, err); got[0].summary != "Too many blocks" {
		t.Errorf("got %v", got[0])
	}
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
	if got, err := m.Read(p.Stages[0], 0, nil); err != nil || got["v"] != 2.0 {
		t.Errorf("got %v, %v", got, err)
	}
}

// What would fill the memory, or never end, is refused while the file is checked.
func TestBombs(t *testing.T) {
	const long = `"----------------------------------------------------------------"`
	doubling := func(from, expr string, n int) string { // expr has %[1]d for the one before
		var b strings.Builder
		fmt.Fprintf(&b, "locals {\n  l0 = %s\n", from)
		for i := range n {
			fmt.Fprintf(&b, "  l%d = %s\n", i+1, fmt.Sprintf(expr, i))
		}
		fmt.Fprintf(&b, "}\n")
		return b.String() + stageWith(fmt.Sprintf("local.l%d", n))
	}
	nested := "1"
	for range 20 {
		nested = "[for i in range(1000) : " + nested + "]"
	}
	filtered := "true"
	for range 20 {
		filtered = "length([for i in range(1000) : 1 if " + filtered + "]) > 2000"
	}
	tries := "nosuch"
	for range 60 {
		tries = "try(tonumber(\"x\"), " + tries + ")"
	}
	quoted := `"\""`
	for range 60 {
		quoted = "jsonencode(" + quoted + ")"
	}
	var types strings.Builder
	types.WriteString("stage \"s0\" { values = { v = mol.charge } }\n")
	for i := range 60 {
		fmt.Fprintf(&types, "stage \"s%d\" { values = { v = [stage.s%d.v, stage.s%d.v] } }\n", i+1, i, i)
	}
	for name, c := range map[string]struct{ src, want string }{ // want begins the first mistake
		"for":       {stageWith(nested), "Error in function call: "},
		"if":        {stageWith(filtered), "Error in function call: "},
		"template":  {stageWith(`"` + strings.Repeat("%{for a in range(1000)}", 8) + "x" + strings.Repeat("%{endfor}", 8) + `"`), "Error in function call: "},
		"object":    {stageWith("{for i in range(1000) : i => {for j in range(1000) : j => {for k in range(1000) : k => 1}}}"), "Error in function call: "},
		"try":       {stageWith(tries), "Unknown name: "},
		"texts":     {doubling(long, `"${local.l%[1]d}${local.l%[1]d}"`, 60), "Value too large: This makes a value of more than 16 MB"},
		"lists":     {doubling("[1]", `[local.l%[1]d, local.l%[1]d]`, 60), "Value too large: "},
		"squares":   {doubling("1e300", `local.l%[1]d * local.l%[1]d`, 60), "Number out of range: The number is infinite"},
		"partly":    {doubling("[mol.charge]", `[local.l%[1]d, local.l%[1]d]`, 60), "Value too large: "},
		"uses":      {doubling(long, `"${local.l%[1]d}${local.l%[1]d}"`, 16) + "locals {\n  all = [" + fill(1<<14, "local.l16, ") + "]\n}\n", "Value too large: "},
		"encode":    {stageWith(quoted), "Error in function call: jsonencode: this makes a value"},
		"join":      {stageWith("join(join(" + long + ", range(1000)), [for i in range(1000) : \"\"])"), "Error in function call: join: this makes a value"},
		"replace":   {stageWith("replace(join(" + long + ", range(1000)), \"\", join(" + long + ", range(1000)))"), "Error in function call: replace: this makes a value"},
		"format":    {stageWith("format(\"" + fill(1<<13, "%[1]s") + "\", join(" + long + ", range(1000)))"), "Error in function call: format: this makes a value"},
		"distinct":  {stageWith("distinct(concat(" + fill(1<<9, "range(1000), ") + "[1]))"), "Error in function call: concat: this takes too long"},
		"parseint":  {stageWith("parseint(join(\"9\", range(1000)), 10)"), "Error in function call: parseint: argument 1 has more than 400 digits"},
		"types":     {types.String(), "Value too large: "},
		"recursion": {stageWith(`templatefile("again.tmpl", {})`), "Error in function call: templatefile: again.tmpl:1: Call to unknown function"},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"pipeline.hcl": c.src, "again.tmpl": `${templatefile("again.tmpl", {})}`} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Load(filepath.Join(dir, "pipeline.hcl"), testOptions())
		runtime.ReadMemStats(&after)
		got := found(t, err)
		if !strings.HasPrefix(got[0].summary+": "+got[0].detail, c.want) {
			t.Errorf("%s: got %v, want %s", name, got[0], c.want)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 2<<30 {
			t.Errorf("%s: %d MB were allocated", name, used>>20)
		}
	}
}

func TestManyMistakes(t *testing.T) {
	_, err := load(t, stageWith("["+fill(3*maxItems, "a, ")+"]"), testOptions())
	got := found(t, err)
	if len(got) != maxMistakes+1 || got[maxMistakes].summary != "Too many mistakes" {
		t.Errorf("%d mistakes, the last %v", len(got), got[len(got)-1])
	}
	if err := err.(*Errors).Print(new(strings.Builder), 0, true); err != nil {
		t.Error(err)
	}
}
