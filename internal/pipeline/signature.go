package pipeline

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// Format lays out the text of a pipeline in the usual way: indentation, equals signs under each other. It changes white space alone.
func Format(src []byte) []byte { return hclwrite.Format(src) }

// Values tells the names and types of the stage's values, sorted, as "energy number".
func (s *Stage) Values() []string {
	if s.values == nil {
		return nil
	}
	if !s.valueType.IsObjectType() {
		return []string{"known when the stage has run"}
	}
	types := s.valueType.AttributeTypes()
	var out []string
	for _, name := range names(types) {
		out = append(out, name+" "+typeName(types[name]))
	}
	return out
}

func typeName(t cty.Type) string {
	if t == cty.DynamicPseudoType {
		return "any"
	}
	return strings.TrimPrefix(t.FriendlyName(), "a ")
}

// Describe says of each stage what it runs, needs and gives, and which columns are merged.
func (p *Pipeline) Describe() string {
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

// Graph draws the stages as a Mermaid diagram: an arrow leads from a stage to each that uses its results.
func (p *Pipeline) Graph() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, s := range p.Stages {
		title := strings.NewReplacer(`"`, "#quot;", "\n", " ").Replace(s.Title)
		if s.ForEach {
			fmt.Fprintf(&b, "    %s[[\"%s\"]]\n", nodeID(s.Name), title)
		} else {
			fmt.Fprintf(&b, "    %s[\"%s\"]\n", nodeID(s.Name), title)
		}
	}
	for _, s := range p.Stages {
		for _, up := range s.DependsOn {
			fmt.Fprintf(&b, "    %s --> %s\n", nodeID(up), nodeID(s.Name))
		}
	}
	return b.String()
}

// nodeID keeps a stage's name from being one of Mermaid's own words.
func nodeID(name string) string { return "stage_" + strings.ReplaceAll(name, "-", "_") }
