package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// needFiles are the functions whose examples name files or stages, and so can't be evaluated by
// themselves.
var needFiles = map[string]bool{"file": true, "json": true, "step": true, "templatefile": true,
	"status": true, "seconds": true, "ignore_changes": true}

// evaluate evaluates one expression as a pipeline would that has no molecule.
func evaluate(t *testing.T, src string) (cty.Value, error) {
	t.Helper()
	p := &Pipeline{versions: map[string]int{}}
	p.addFunctions(testFunctions)
	e, diags := hclsyntax.ParseExpression([]byte(src), "example", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", src, diags)
	}
	p.instrument(e)
	v, diags := e.Value(&hcl.EvalContext{Functions: p.functions, Variables: map[string]cty.Value{}})
	return v, p.plain(diags)
}

// asJSON writes a value as JSON, in which lists and tuples are the same.
func asJSON(t *testing.T, v cty.Value) string {
	t.Helper()
	data, err := toJSON(v)
	if err != nil {
		t.Errorf("%#v: %v", v, err)
		return "unknown"
	}
	return string(data)
}

func TestExamples(t *testing.T) {
	for _, d := range standardDocs(t) {
		call, want, ok := strings.Cut(d.example, " is ")
		if ok == needFiles[d.name] {
			t.Errorf(
				"%s: the example %q must be of the form CALL is VALUE, or the function in the "+
					"list of those that need files", d.name, d.example)
		}
		if !ok {
			continue
		}
		got, err := evaluate(t, call)
		if err != nil {
			t.Errorf("%s: %v", d.example, err)
			continue
		}
		is, err := evaluate(t, want)
		if err != nil {
			t.Fatal(err)
		}
		if asJSON(t, got) != asJSON(t, is) {
			t.Errorf("%s gives %s", d.example, asJSON(t, got))
		}
	}
}

func TestDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range standardDocs(t) {
		if d.description == "" || d.example == "" {
			t.Errorf("%s has no description or no example", d.name)
		}
		if !strings.Contains(d.example, d.name+"(") && len(d.example) > 1 {
			t.Errorf("the example of %s does not call it: %s", d.name, d.example)
		}
		if seen[d.name] {
			t.Errorf("%s is documented twice", d.name)
		}
		seen[d.name] = true
	}
	p := &Pipeline{versions: map[string]int{}}
	p.addFunctions(nil)
	for name := range p.functions {
		if !seen[name] && hclsyntax.ValidIdentifier(name) {
			t.Errorf("%s can be called and is not documented", name)
		}
	}
}

func TestFunctions(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "é.txt")
	if err := os.WriteFile(path, []byte("E = -1.5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ src, want string }{ // want is JSON, or the error where it is none
		{`file("` + path + `")`, `"E = -1.5\n"`},
		{`regex("E = *([-0-9.]+)", file("` + path + `"))[0] * 2`, `-3`},
		{`round(-0.5, 0)`, `-0`},
		{`round(2.5, 0)`, `2`},
		{`round(1234.5678, 2)`, `1234.57`},
		{`round(1, 0.5)`, `round: argument 2: value must be a whole number`},
		{`sum([])`, `0`},
		{`sum([1, null])`, `sum: argument 1 has an element without a value`},
		{`first(0, ["a"])`, `[]`},
		{`first(9, [1, "a"])`, `[1,"a"]`},
		{`first(-1, [1])`, `first: argument 1 must be a whole number, 0 or more`},
		{`first(1.5, [1])`, `first: argument 1 must be a whole number, 0 or more`},
		{`first(1, "a")`, `first: argument 2 must be a list, not a text`},
		{`try(nosuch, 1)`, `1`},
		{`try(nosuch.x)`, `try: no expression succeeded: - Unknown variable`},
		{`try(null, 1)`, `null`},
		{`try()`, `try: at least one argument is required`},
		{`can(1 + 1)`, `true`},
		{`status(1)`, `status: argument 1 must be a stage, like stage.pm7`},
		{`seconds(null)`, `seconds: argument 1 must be a stage, like stage.pm7`},
		{`status({ status = "ok", seconds = 1 })`, `"OK"`},
		{`status([{ status = "ok", seconds = 1 }, { status = "failed", seconds = 2 }], "SUCCESS")`,
			`"FAILED"`},
		{`length(null)`, `length: argument 1 has no value (null)`},
		{`first(1, null)`, `first: argument 2 has no value (null)`},
		{`status([])`, `"NOT_ATTEMPTED"`},
		{`seconds([{ status = "ok", seconds = 1.5 }, { status = "none", seconds = null }])`, `1.5`},
		{`seconds([])`, `null`},
		{`seconds([], { status = "ok", seconds = 2 }, [{ status = "ok", seconds = 1 }])`, `3`},
		{`status({ status = "ok", seconds = 1 }, { status = "none", seconds = null }, "SUCCESS")`,
			`"SUCCESS"`},
		{`status({ status = "ok", seconds = 1 }, [{ status = "failed", seconds = 1 }])`,
			`"FAILED"`},
		{`status({ status = "none", seconds = null }, { status = "ok", seconds = 1 })`,
			`"NOT_ATTEMPTED"`},
		{`abs(null)`,
			`abs: argument 1 has no value (null): an empty cell, or a stage that is turned off`},
		{`1 + null`, `Missing value: One side of this operation has no value (null)`},
		{`pow(-8, 1/3)`, `pow: it can't handle these arguments`},
		{`log(-1, 10)`, `log: it can't handle these arguments`},
		{`pow(10, 400)`, `pow: the number is infinite (a division by zero?), or larger than 1e308`},
		{`format("%1000d", 1)`, `format: the text would be too long`},
		{`format("%3d|%-6s|%.3f", 1, "ab", 2.5)`, `"  1|ab    |2.500"`},
		{`replace("aaa", "a", "bb")`, `"bbbbbb"`},
		{`jsondecode("{\"a\": [1, 2.5, null, \"x\"]}").a`, `[1,2.5,null,"x"]`},
		{`jsondecode("nonsense")`, `"nonsense" is not JSON`},
		{`jsondecode(join("", [for i in range(1000): "[[[[[[[[[[[["]))`, `is not JSON`},
		{`tonumber("1e999")`, `tonumber: the number is infinite`},
		{`tostring(56.12 * 0.1)`, `"5.612"`},
		{`tostring(12345678901234567890123)`, `"12345678901234567890123"`},
		{`abs(1 / 0)`, `A division by 0 has no result`},
		{`0.1 + 0.2 == 0.3`, `true`},
		{`5 % 0`, `A division by 0 has no result`},
		{`try(1 / 0, "none")`, `"none"`},
		{`can(1 / 0)`, `false`},
		{`7 % 4`, `3`},
		{`[1, 2] == [1, 2]`, `true`},
		{`{} != { a = 1 }`, `true`},
		{`null == "a"`, `false`},
		{`jsondecode("1") == "1"`, `text never equals a number: write tonumber(...) for the text`},
		{`"true" == true`, `text never equals true or false: write tobool(...) for the text`},
		{`length([for k in ["1"] : k if k != 1])`, `text never equals a number`},
		{`contains(["1", "2"], 1)`, `text never equals a number`},
		{`contains(["1", 2], 2)`, `true`},
		{`mopac("bad.out", "a.aux")`, `SCF did not converge`},
		{`electrons("C", 1.5)`, `electrons: argument 2: value must be a whole number`},
		{`mopac_cartesian({ comment = "", energy = null, symbols = ["H"], x = [] })`, `"H"`},
		{`electrons(null, 0)`, `electrons: argument 1 has no value (null)`},
	} {
		v, err := evaluate(t, c.src)
		got := shown(t, v, err)
		if got != c.want && !(err != nil && strings.Contains(got, c.want)) {
			t.Errorf("%s gives %s, want %s", c.src, got, c.want)
		}
	}
}

func shown(t *testing.T, v cty.Value, err error) string {
	t.Helper()
	if err != nil {
		return err.Error()
	}
	return asJSON(t, v)
}
