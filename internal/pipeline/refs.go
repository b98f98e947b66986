package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// scope says what an expression may name.
type scope struct {
	what                                     string // "a command", for messages
	vars, locals, mol, stages, each, attempt bool
	stage                                    *Stage // whose outputs output.NAME means, and which must not name itself
	output                                   bool
	program                                  bool // what is named goes to a program, as it is
	ignores                                  bool // a value may be left out of the fingerprint
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// didYouMean suggests the nearest of the known names, in a sentence that starts with a blank.
func didYouMean(name string, known []string) string {
	best, dist := "", 3
	for _, k := range known {
		if diff := len(k) - len(name); diff > 8 || diff < -8 {
			continue // 8 bytes are two letters at least, whatever the script
		}
		if d := levenshtein.Distance(name, k, nil); d < dist || (strings.EqualFold(name, k) && best != k && dist > 0) {
			best, dist = k, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf(" Did you mean %q?", best)
	case len(known) == 0:
		return ""
	case len(known) <= 12:
		return " There are: " + strings.Join(known, ", ") + "."
	}
	return ""
}

// references checks every name in an expression before it is evaluated, because what HCL says of an unknown one helps nobody.
func (p *Pipeline) references(e hcl.Expression, sc scope) hcl.Diagnostics {
	if e == nil {
		return nil
	}
	var diags hcl.Diagnostics
	for _, t := range e.Variables() {
		if d := p.reference(t, sc); d != nil {
			diags = append(diags, d)
		}
	}
	visit(e, func(n hclsyntax.Node) {
		switch x := n.(type) {
		case *hclsyntax.FunctionCallExpr:
			if _, ok := p.functions[x.Name]; !ok {
				diags = append(diags, wrong(x.NameRange, "Unknown function",
					fmt.Sprintf("There is no function %q.%s", x.Name, nearest(x.Name, names(p.functions)))))
			}
			if x.Name == ignoreName && !sc.ignores {
				diags = append(diags, wrong(x.NameRange, "Function out of place", ignoreName+" can stand in command, env and the content of a file only: what else decides a result is never left out."))
			}
		case *hclsyntax.SplatExpr:
			diags = append(diags, p.splat(x, sc)...)
		}
	})
	return diags
}

// nearest is didYouMean without the list of everything.
func nearest(name string, known []string) string {
	if s := didYouMean(name, known); strings.HasPrefix(s, " Did") {
		return s
	}
	return ""
}

func (p *Pipeline) reference(t hcl.Traversal, sc scope) *hcl.Diagnostic {
	root := t.RootName()
	refuse := func(summary, detail string) *hcl.Diagnostic { return wrong(t.SourceRange(), summary, detail) }
	allowed := map[string]bool{"var": sc.vars, "local": sc.locals, "mol": sc.mol, "stage": sc.stages, "each": sc.each, "attempt": sc.attempt, "salvaged": sc.attempt, "output": sc.output}
	if ok, known := allowed[root]; !known {
		what := []string{"var", "local", "mol", "stage", "each", "attempt", "salvaged", "output"}
		return refuse("Unknown name", fmt.Sprintf("Nothing is called %q. An expression may name %s; a text stands in quotes.%s", root, strings.Join(what, ", "), nearest(root, what)))
	} else if !ok {
		return refuse("Name out of place", outOfPlace(root, sc))
	}
	if root == "attempt" || root == "salvaged" {
		return nil
	}
	name, ok := attrAt(t, 1)
	if !ok {
		return refuse("Incomplete name", fmt.Sprintf("%q alone names nothing; write %s.NAME.", root, root))
	}
	return p.member(root, name, t, sc, refuse)
}

// outOfPlace says why a name that exists can't stand there.
func outOfPlace(root string, sc scope) string {
	switch {
	case root == "each" && sc.stage != nil && !sc.stage.ForEach:
		return fmt.Sprintf("\"each\" is an element of for_each, and stage %q has none.", sc.stage.Name)
	case root == "output" && sc.stage != nil:
		return "output.NAME is a file that the stage has made, for values and postconditions. Before that, write the file's name itself."
	}
	return fmt.Sprintf("%q can't be used in %s.", root, sc.what)
}

func (p *Pipeline) member(root, name string, t hcl.Traversal, sc scope, refuse func(string, string) *hcl.Diagnostic) *hcl.Diagnostic {
	unknown := func(what string, known []string) *hcl.Diagnostic {
		return refuse("Unknown "+what, fmt.Sprintf("There is no %s %q.%s", what, name, didYouMean(name, known)))
	}
	switch root {
	case "var":
		if p.variables[name] == nil {
			return unknown("variable", names(p.variables))
		}
	case "local":
		if p.locals[name] == nil {
			return unknown("local value", names(p.locals))
		}
	case "mol":
		if _, ok := p.columns[name]; !ok && !p.anyColumn {
			return refuse("Unknown column", fmt.Sprintf("The table has no column %q.%s", name, didYouMean(name, names(p.columns))))
		}
	case "each":
		if name != "key" && name != "value" {
			return unknown("part of each", []string{"key", "value"})
		}
	case "output":
		if _, ok := sc.stage.Outputs[name]; !ok && !sc.stage.vague {
			return unknown("output", names(sc.stage.Outputs))
		}
	case "stage":
		s := p.stages[name]
		switch {
		case s == nil:
			return unknown("stage", names(p.stages))
		case s == sc.stage:
			return refuse("Stage refers to itself", fmt.Sprintf("Stage %q can't use its own results here; output.NAME is a file that it makes.", name))
		}
		return p.stageMember(s, t, sc, refuse)
	}
	return nil
}

// stageMember checks what follows stage.NAME.
func (p *Pipeline) stageMember(s *Stage, t hcl.Traversal, sc scope, refuse func(string, string) *hcl.Diagnostic) *hcl.Diagnostic {
	at := 2
	if s.ForEach && len(t) > 2 {
		if _, ok := t[2].(hcl.TraverseIndex); !ok {
			return refuse("Which of several", fmt.Sprintf("Stage %q runs once for each element of its for_each: write stage.%s[0] for the first, stage.%s[*] for all.", s.Name, s.Name, s.Name))
		}
		at = 3
	}
	if !s.ForEach && len(t) > 2 {
		if i, ok := t[2].(hcl.TraverseIndex); ok && i.Key.Type() == cty.Number {
			return refuse("One of one", fmt.Sprintf("Stage %q has no for_each and runs once: write stage.%s.NAME.", s.Name, s.Name))
		}
	}
	name, ok := attrAt(t, at)
	if known := s.members(); ok && known != nil && !slices.Contains(known, name) {
		return refuse("Unknown output or value", fmt.Sprintf("Stage %q has no output or value %q.%s", s.Name, name, didYouMean(name, known)))
	}
	if sc.program && s.packed(name) {
		return refuse("Compressed output", s.unreadable(name))
	}
	return nil
}

func (s *Stage) unreadable(output string) string {
	return fmt.Sprintf("stage.%s.%s (%s) is stored compressed, and a program can't read that: take it out of compress (line %d).", s.Name, output, s.Outputs[output],
		s.body.Attributes["compress"].SrcRange.Start.Line)
}

// members are the names that may follow stage.NAME, nil where they are not known before the stage has run.
func (s *Stage) members() []string {
	if s.vague || (s.values != nil && !s.valueType.IsObjectType()) {
		return nil
	}
	out := append(names(s.Outputs), "status", "seconds")
	if s.valueType.IsObjectType() {
		out = append(out, names(s.valueType.AttributeTypes())...)
	}
	slices.Sort(out)
	return out
}

// splat checks stage.NAME[*].value.
func (p *Pipeline) splat(x *hclsyntax.SplatExpr, sc scope) hcl.Diagnostics {
	src, ok := x.Source.(*hclsyntax.ScopeTraversalExpr)
	each, ok2 := x.Each.(*hclsyntax.RelativeTraversalExpr)
	if !ok || !ok2 || src.Traversal.RootName() != "stage" || len(src.Traversal) != 2 {
		return nil
	}
	stage, _ := attrAt(src.Traversal, 1)
	name, ok := attrAt(each.Traversal, 0)
	s := p.stages[stage]
	if known := s.membersOrNil(); ok && known != nil && !slices.Contains(known, name) {
		return hcl.Diagnostics{wrong(x.Range(), "Unknown output or value", fmt.Sprintf("Stage %q has no output or value %q.%s", stage, name, didYouMean(name, known)))}
	}
	if ok && s != nil && sc.program && s.packed(name) {
		return hcl.Diagnostics{wrong(x.Range(), "Compressed output", s.unreadable(name))}
	}
	return nil
}

func (s *Stage) membersOrNil() []string {
	if s == nil {
		return nil
	}
	return s.members()
}

func attrAt(t hcl.Traversal, i int) (string, bool) {
	if i >= len(t) {
		return "", false
	}
	switch a := t[i].(type) {
	case hcl.TraverseAttr:
		return a.Name, true
	case hcl.TraverseIndex:
		if a.Key.IsKnown() && !a.Key.IsNull() && a.Key.Type() == cty.String {
			return a.Key.AsString(), true
		}
	}
	return "", false
}

// stagesIn returns the stages that expressions name, sorted.
func stagesIn(es []hcl.Expression) []string {
	set := map[string]bool{}
	for _, e := range es {
		for _, t := range e.Variables() {
			if name, ok := attrAt(t, 1); ok && t.RootName() == "stage" {
				set[name] = true
			}
		}
	}
	return names(set)
}
