package cli

import (
	"cmp"
	"fmt"
	"strings"

	"grimperium/internal/pipeline"
)

// describe says of each stage what it runs, needs and gives, and which columns are merged.
func describe(p *pipeline.Pipeline) string {
	var b strings.Builder
	list := func(what string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(&b, "  %-7s %s\n", what, strings.Join(names, ", "))
		}
	}
	for _, s := range p.Stages {
		fmt.Fprintf(&b, "stage %s (%s, line %d): %s\n", s.Name, s.Title, s.Line,
			cmp.Or(s.Program, "no program"))
		list("needs", s.DependsOn)
		list("files", s.FileNames())
		for _, v := range s.Values() {
			list("value", []string{v})
		}
	}
	fmt.Fprintf(&b, "merge: %s\n", strings.Join(p.Merged, ", "))
	return b.String()
}

// graph draws the stages as a Mermaid diagram, with an arrow to each stage that uses a result.
func graph(p *pipeline.Pipeline) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	// A prefix keeps a stage's name from being one of Mermaid's own words.
	node := func(name string) string { return "stage_" + strings.ReplaceAll(name, "-", "_") }
	for _, s := range p.Stages {
		form := "    %s[\"%s\"]\n"
		if s.ForEach {
			form = "    %s[[\"%s\"]]\n"
		}
		title := strings.NewReplacer(`"`, "#quot;", "\n", " ").Replace(s.Title)
		fmt.Fprintf(&b, form, node(s.Name), title)
	}
	for _, s := range p.Stages {
		for _, up := range s.DependsOn {
			fmt.Fprintf(&b, "    %s --> %s\n", node(up), node(s.Name))
		}
	}
	return b.String()
}
