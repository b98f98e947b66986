package pipeline

import (
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"grimperium/stages"
)

var update = flag.Bool("update", false, "write docs/functions.md again")

// doc describes a function to the user.
type doc struct {
	name, description, example string
	params                     []string
}

// standardDocs are of the functions that every pipeline may call, in the order of the reference.
func standardDocs(t *testing.T) (out []doc) {
	t.Helper()
	p := &Pipeline{versions: map[string]int{}}
	p.addFunctions(nil)
	file, err := os.Open("functions.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll() // name, description, example
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		d := doc{name: row[0], description: row[1], example: row[2]}
		f, ok := p.functions[d.name]
		if !ok {
			t.Errorf("functions.csv describes %s, which can't be called", d.name)
			continue
		}
		for _, param := range f.Params() {
			d.params = append(d.params, param.Name)
		}
		if rest := f.VarParam(); rest != nil {
			d.params = append(d.params, rest.Name+"...")
		}
		out = append(out, d)
	}
	return out
}

// TestFunctionsDoc keeps docs/functions.md the list of the functions that a pipeline may call.
// -update writes it.
func TestFunctionsDoc(t *testing.T) {
	o := Options{Export: stages.Export{}, Builtins: map[string]func([]string) error{}}
	var more []doc
	for _, f := range stages.Functions() {
		o.Functions = append(o.Functions, Function{Name: f.Name, Fn: f.Fn, Version: f.Version})
		more = append(more, doc{f.Name, f.Description, f.Example, f.Params})
	}
	for _, b := range stages.Builtins() {
		o.Builtins[b.Name] = b.Check
	}
	if _, err := Load("../../pipeline.hcl", o); err != nil { // which calls most of them
		t.Error(err)
	}
	const path = "../../docs/functions.md"
	want := functionsDoc(standardDocs(t), more)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the functions say; go test ./internal/pipeline -run "+
			"TestFunctionsDoc -update writes it again", path)
	}
}

// functionsDoc writes the reference: first what every pipeline has, then the functions that know
// chemistry.
func functionsDoc(standard, more []doc) string {
	var b strings.Builder
	b.WriteString(`# Functions

What an expression in pipeline.hcl may call. This page is made from the functions themselves.

A function fails if an argument is null: an empty cell, or a value of a stage that is turned off. try() and coalesce()
give an alternative. Numbers that reach a text or a function are rounded to doubles, so that 0.1 * 3 is written as 0.3.

## General
`)
	table := func(docs []doc) {
		b.WriteString("\n| function | what it gives | example |\n|---|---|---|\n")
		for _, d := range docs {
			call := example(d.name + "(" + strings.Join(d.params, ", ") + ")")
			fmt.Fprintf(&b, "| %s | %s | %s |\n", call, prose(d.description), example(d.example))
		}
	}
	table(standard)
	b.WriteString("\n## Geometries, programs, molecules\n")
	table(more)
	return b.String()
}

func prose(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;", "_", `\_`, "[",
		`\[`).Replace(text)
}

// example shows an example; a bar would end the cell, and a line break the row.
func example(text string) string {
	return "`" + strings.NewReplacer("|", `\|`, "\n", `\n`).Replace(text) + "`"
}
