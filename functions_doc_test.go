package main_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"grimperium/internal/pipeline"
	"grimperium/stages"
)

var update = flag.Bool("update", false, "write docs/functions.md and docs/evidence/walk/ again")

// TestFunctionsDoc keeps docs/functions.md the list of the functions that a pipeline may call.
// -update writes it.
func TestFunctionsDoc(t *testing.T) {
	var more []pipeline.Function
	for _, f := range stages.Functions() {
		more = append(more, pipeline.Function{Name: f.Name, Description: f.Description,
			Example: f.Example, Fn: f.Fn, Version: f.Version, Params: f.Params})
	}
	o := pipeline.Options{Functions: more, Export: stages.Export{}}
	for _, b := range stages.Builtins() {
		o.Builtins = append(o.Builtins, b.Name)
	}
	if _, err := pipeline.Load("pipeline.hcl", o); err != nil { // which calls most of them
		t.Error(err)
	}
	const path = "docs/functions.md"
	want := functionsDoc(pipeline.Docs(nil), pipeline.Docs(more))
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
		t.Errorf("%s is not what the functions say; go test -run TestFunctionsDoc -update . "+
			"writes it again", path)
	}
}

// functionsDoc writes the reference: first what every pipeline has, then the functions that know
// chemistry.
func functionsDoc(standard, all []pipeline.Doc) string {
	var b strings.Builder
	b.WriteString(`# Functions

What an expression in pipeline.hcl may call. This page is made from the functions themselves.

A function fails if an argument is null: an empty cell, or a value of a stage that is turned off. try() and coalesce()
give an alternative. Numbers that reach a text or a function are rounded to doubles, so that 0.1 * 3 is written as 0.3.

## General
`)
	table := func(docs []pipeline.Doc) {
		b.WriteString("\n| function | what it gives | example |\n|---|---|---|\n")
		for _, d := range docs {
			call := example(d.Name + "(" + strings.Join(d.Params, ", ") + ")")
			fmt.Fprintf(&b, "| %s | %s | %s |\n", call, prose(d.Description), example(d.Example))
		}
	}
	table(standard)
	b.WriteString("\n## Geometries, programs, molecules\n")
	table(all[len(standard):])
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
